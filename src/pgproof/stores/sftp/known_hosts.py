"""What known_hosts files say of a server: its keys, revoked ones, certificate authorities.

The format is that of sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT": names plain, with `*`, `?` and `!`, as `[host]:port`, or
hashed (HMAC-SHA1 with a salt); `@revoked` and `@cert-authority` in front. paramiko's own reader passes over
these last two.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass

_SSH_PORT = 22
# The signatures that a key of a kind can give (RFC 8332); of other kinds there is one, named as the kind is.
_ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}


@dataclass(frozen=True, slots=True)
class HostKey:
    """A server's public key: its kind (`ssh-ed25519`) and its bytes as SSH has them."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As OpenSSH prints it: SHA-256 in base64 without padding."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The host key algorithms by which a server can show this key."""
        return _ALGORITHMS.get(self.kind, (self.kind,))

    def __str__(self) -> str:
        return f"{self.fingerprint} ({self.kind})"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one server.

    `keys` are under its own name. `nearly` are under the plain host name where the port is another than 22: as in
    OpenSSH one of them that agrees is good enough, and one that does not says nothing.
    """

    keys: tuple[HostKey, ...] = ()
    nearly: tuple[HostKey, ...] = ()
    revoked: tuple[HostKey, ...] = ()
    authority: bool = False

    @property
    def algorithms(self) -> tuple[str, ...]:
        """What to ask the server for first, so that it shows a key that can be compared."""
        return tuple(name for key in (*self.keys, *self.nearly) for name in key.algorithms)


@dataclass(frozen=True, slots=True)
class _Line:
    marker: str
    names: str
    key: HostKey


def known(text: str, host: str, port: int) -> Known:
    """What `text`, the content of known_hosts files, says of `host`. A line that cannot be read says nothing."""
    plain = host.lower()
    name = plain if port == _SSH_PORT else f"[{plain}]:{port}"
    lines = list(_lines(text))
    here = [line for line in lines if _matches(line.names, name)]
    near = [line for line in lines if name != plain and _matches(line.names, plain)]
    return Known(
        keys=tuple(line.key for line in here if not line.marker),
        nearly=tuple(line.key for line in near if not line.marker),
        revoked=tuple(line.key for line in (*here, *near) if line.marker == "@revoked"),
        authority=any(line.marker == "@cert-authority" for line in here),
    )


def _lines(text: str) -> Iterator[_Line]:
    for line in text.splitlines():
        fields = line.split()
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if len(fields) >= 3 and not fields[0].startswith("#"):
            key = _key(fields[1], fields[2])
            if key is not None:
                yield _Line(marker, fields[0], key)


def _key(kind: str, encoded: str) -> HostKey | None:
    """The key, if its bytes begin with the kind that is written before them (RFC 4253, section 6.6)."""
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    named = len(kind).to_bytes(4, "big") + kind.encode()
    return HostKey(kind, blob) if blob.startswith(named) else None


def _matches(names: str, wanted: str) -> bool:
    if names.startswith("|1|"):
        return _matches_hash(names, wanted)
    patterns = names.lower().split(",")
    refused = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    allowed = [pattern for pattern in patterns if not pattern.startswith("!")]
    return any(_fits(one, wanted) for one in allowed) and not any(_fits(one, wanted) for one in refused)


def _matches_hash(hashed: str, wanted: str) -> bool:
    _, _, salt, *rest = hashed.split("|")
    try:
        made = hmac.digest(base64.b64decode(salt), wanted.encode(), "sha1")  # the format's choice, not ours
        return bool(rest) and hmac.compare_digest(made, base64.b64decode(rest[0]))
    except (binascii.Error, ValueError):
        return False


def _fits(pattern: str, wanted: str) -> bool:
    """`*` and `?` only: brackets stand for themselves."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), wanted) is not None
