"""Private keys to log in with: the file that is named, or the agent's and the usual ones in ~/.ssh."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pgproof.errors import ConfigError
from pgproof.stores.sftp.place import Place

if TYPE_CHECKING:
    from paramiko import PKey

_USUAL = ("id_ed25519", "id_ecdsa", "id_rsa")  # ssh_config(5), IdentityFile, without those of tokens


@contextlib.contextmanager
def identities(place: Place) -> Iterator[list["PKey"]]:
    """The keys to try, in order. Raises ConfigError when the file that is named cannot be used."""
    if place.identity is not None:
        yield [_named(place, place.identity)]
    elif place.password is not None:
        yield []
    else:
        import paramiko  # noqa: PLC0415 - an optional extra

        agent = paramiko.Agent()
        try:
            yield [*agent.get_keys(), *_usual(place)]
        finally:
            agent.close()


def _named(place: Place, path: Path) -> "PKey":
    try:
        return _load(path, place)
    except OSError as error:
        raise ConfigError(
            f"the key {path} for {place.server} cannot be read: {error.strerror}", hint="check identity"
        ) from error
    except Exception as error:
        # paramiko and cryptography raise ValueError, TypeError, SSHException and their own for the same faults.
        what = _fault(path, place)
        raise ConfigError(
            f"the key {path} for {place.server} cannot be used: {what}",
            hint="identity is the private key's file; its passphrase is a setting of its own",
        ) from error


def _fault(path: Path, place: Place) -> str:
    text = path.read_bytes()
    if b"PRIVATE KEY" not in text:
        return "it is not a private key"
    return "its passphrase is missing" if place.passphrase is None else "the passphrase is wrong, or the key unreadable"


def _usual(place: Place) -> Iterator["PKey"]:
    for name in _USUAL:
        # One of these that cannot be read is nobody's wish; that none fits is told when the server says no.
        with contextlib.suppress(Exception):
            yield _load(Path.home() / ".ssh" / name, place)


def _load(path: Path, place: Place) -> "PKey":
    import paramiko  # noqa: PLC0415 - an optional extra

    # By position: the parameter is `passphrase` in paramiko 4 and `password` in 5. Both want bytes,
    # whatever the one's type information says.
    try:
        return paramiko.PKey.from_path(path)
    except TypeError:  # it is encrypted
        if place.passphrase is None:
            raise
        return paramiko.PKey.from_path(path, cast(str, place.passphrase.reveal_bytes()))
    except paramiko.SSHException:
        return _written_anew(path.read_bytes())


def _written_anew(data: bytes) -> "PKey":
    """Of keys without a comment whose length needs no padding paramiko takes the end off as padding
    (pkey.py, _unpad_openssh): half of all ECDSA ones. cryptography, which it stands on, reads them.
    """
    import paramiko  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization as forms  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415

    key = forms.load_ssh_private_key(data, None)
    kind = paramiko.RSAKey if isinstance(key, RSAPrivateKey) else paramiko.ECDSAKey
    plain = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.TraditionalOpenSSL, forms.NoEncryption())
    return kind.from_private_key(io.StringIO(plain.decode()))
