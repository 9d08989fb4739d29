"""Getting in: TCP, the SSH handshake, the server's key checked, then log-in; nothing is said before the check."""

import contextlib
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from pgproof.errors import ConfigError, Refused, Unreachable
from pgproof.stores.sftp.identities import identities
from pgproof.stores.sftp.known_hosts import HostKey, Known, known
from pgproof.stores.sftp.place import Place

if TYPE_CHECKING:
    from paramiko import Channel, PKey, Transport

# What may be on its way to us unread: all that one reader asks for ahead, and more.
_WINDOW = 32 << 20
_PACKET = 256 << 10  # of the channel; OpenSSH's largest packet
_SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
# Of AES, GCM is faster here: one pass in C, no HMAC by Python beside it.
_CIPHERS_FIRST = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")


def log_in(place: Place) -> "Channel":
    """A channel to the server's SFTP subsystem; its transport is the caller's to close.

    Raises ConfigError (the private key), Refused (the server's key), Unreachable (all else).
    """
    _require_paramiko()
    with identities(place) as keys:
        transport = _trusted(place)
        try:
            _authenticate(transport, place, keys)
            return _subsystem(transport, place)
        except BaseException:
            shut(transport)
            raise


def shut(transport: "Transport") -> None:
    """Close it and its socket, whatever state it is in."""
    with contextlib.suppress(Exception):
        transport.close()
    with contextlib.suppress(OSError):
        transport.sock.close()  # which transport.close() leaves alone after a failure


def _require_paramiko() -> None:
    try:
        import paramiko  # noqa: F401, PLC0415 - an optional extra
    except ImportError:
        raise ConfigError(
            "an SFTP store needs the extra `sftp`", hint="install it: pip install 'pgproof[sftp]'"
        ) from None
    # Without a handler Python prints its warnings on stderr; what matters of them we say ourselves.
    logger = logging.getLogger("paramiko")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


# -- the server's key -------------------------------------------------------------------------------


def _trusted(place: Place) -> "Transport":
    """A handshake with a server whose key is the right one. Raises Refused."""
    if place.host_key:
        return _pinned(place)
    understood = known(_known_hosts(place), place.host, place.port)
    transport = _handshake(place, understood.algorithms)
    try:
        _check(place, understood, _shown(transport))
    except BaseException:
        shut(transport)
        raise
    return transport


def _pinned(place: Place) -> "Transport":
    """As a fingerprint does not tell its kind, a server with several keys is asked for one after the other."""
    wanted = "SHA256:" + place.host_key.strip().removeprefix("SHA256:").rstrip("=")
    seen: list[HostKey] = []
    while True:
        try:
            transport = _handshake(place, (), without={name for key in seen for name in key.algorithms})
        except Unreachable:
            if seen:
                break
            raise
        seen.append(_shown(transport))
        if seen[-1].fingerprint == wanted:
            return transport
        shut(transport)
    raise Refused(
        f"the SSH server {place.server} is not the one of the configuration: its key is "
        f"{_or(seen)}, and host_key is {wanted}",
        hint=f"somebody may be in between; if the server has a new key, {_how_to_check(place, seen[0])}, "
        "and set host_key to it",
    )


def _check(place: Place, understood: Known, key: HostKey) -> None:
    if key in understood.revoked:
        raise Refused(
            f"the SSH server {place.server} shows a key that known_hosts has as revoked: {key}",
            hint="do not send anything there before its administrator has explained it",
        )
    if key in understood.keys or key in understood.nearly:
        return
    if understood.keys:
        raise Refused(
            f"the key of the SSH server {place.server} has changed: it is {key}, "
            f"and known_hosts has {_or(understood.keys)}",
            hint=f"somebody may be in between; if the server has a new key, {_how_to_check(place, key)}, "
            f"and replace the old line: ssh-keygen -R '{_name(place)}'",
        )
    authority = " (a certificate authority for it is, which pgproof cannot use)" if understood.authority else ""
    raise Refused(
        f"the SSH server {place.server} is not known{authority}; its key is {key}",
        hint=f"{_how_to_check(place, key)}; then either append it to known_hosts "
        f'(ssh-keyscan -p {place.port} {place.host}) or set host_key = "{key.fingerprint}"',
    )


def _how_to_check(place: Place, key: HostKey) -> str:
    file = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}.get(key.kind, "ecdsa")
    return f"compare it with what this prints on {place.host} itself: ssh-keygen -lf /etc/ssh/ssh_host_{file}_key.pub"


def _name(place: Place) -> str:
    return place.host if place.port == 22 else f"[{place.host}]:{place.port}"


def _or(keys: "tuple[HostKey, ...] | list[HostKey]") -> str:
    return " or ".join(map(str, keys))


def _shown(transport: "Transport") -> HostKey:
    key = transport.get_remote_server_key()
    return HostKey(key.get_name(), key.asbytes())


def _known_hosts(place: Place) -> str:
    """The content of the files; one that is not there says nothing. Raises ConfigError for one that is unreadable."""
    own = place.known_hosts
    files = [own] if own is not None else [Path.home() / ".ssh" / "known_hosts", _SYSTEM_KNOWN_HOSTS]
    texts = []
    for path in files:
        try:
            texts.append(path.read_text(errors="replace"))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="check known_hosts") from error
    return "\n".join(texts)


# -- the handshake ----------------------------------------------------------------------------------


def _handshake(place: Place, first: tuple[str, ...], without: "set[str] | frozenset[str]" = frozenset()) -> "Transport":
    """Host key algorithms of `first` are preferred, those of `without` not offered. Raises Unreachable."""
    import paramiko  # noqa: PLC0415

    transport = paramiko.Transport(_connect(place))
    try:
        _choose(transport, first, without)
        timeout = place.timeout
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = timeout
        transport.channel_timeout = timeout
        transport.start_client(timeout=timeout)
        transport.get_remote_server_key()  # raises when the time was over before the handshake was
        transport.set_keepalive(max(1, min(15, int(timeout / 2))))
    except BaseException as error:
        shut(transport)
        if isinstance(error, paramiko.SSHException | OSError | EOFError):
            raise Unreachable(
                f"the server {place.server} does not speak SSH with us: {_said(error)}",
                hint=f"try: ssh -v -p {place.port} {place.host}",
            ) from error
        raise
    return transport


def _choose(transport: "Transport", first: tuple[str, ...], without: "set[str] | frozenset[str]") -> None:
    options = transport.get_security_options()
    offered = [name for name in options.key_types if name not in without]
    if not offered:
        raise Unreachable("no host key algorithm is left to ask for", hint="see host_key")
    preferred = [name for name in dict.fromkeys(first) if name in offered]
    options.key_types = (*preferred, *(name for name in offered if name not in preferred))
    ciphers = [name for name in _CIPHERS_FIRST if name in options.ciphers]
    options.ciphers = (*ciphers, *(name for name in options.ciphers if name not in ciphers))


def _connect(place: Place) -> socket.socket:
    try:
        made = socket.create_connection((place.host, place.port), timeout=place.timeout)
    except OSError as error:
        raise Unreachable(
            f"the SSH server {place.server} does not answer: {error.strerror or error}",
            hint="check host and port, and that the server is up",
        ) from error
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # tcp(7): what is sent and not acknowledged for so long ends the connection, in milliseconds. With SSH's
    # keepalive a server that vanished is noticed while we wait for nothing.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(place.timeout * 1000))
    return made


# -- log-in -----------------------------------------------------------------------------------------


def _authenticate(transport: "Transport", place: Place, keys: "list[PKey]") -> None:
    """Each key once, then the password once, if there is one. Raises Unreachable."""
    import paramiko  # noqa: PLC0415

    reason = ""
    try:
        for key in keys:
            try:
                transport.auth_publickey(place.login, key)
            except paramiko.AuthenticationException as error:
                reason = _said(error)
            if transport.is_authenticated():
                return
        if place.password is not None:
            transport.auth_password(place.login, place.password.reveal())
    except (paramiko.SSHException, OSError, EOFError) as error:
        reason = _said(error)
    if not transport.is_authenticated():
        raise _not_let_in(place, keys, reason)


def _not_let_in(place: Place, keys: "list[PKey]", reason: str) -> Unreachable:
    key = f"the key {place.identity}" if place.identity else f"{len(keys)} key(s) of the agent and ~/.ssh"
    tried = [key] if keys else []
    if place.password is not None:
        tried.append("the password")
    if not tried:
        return Unreachable(
            f"there is no key to log in with on {place.server}: no agent has one, and there is none in ~/.ssh",
            hint="set identity to a private key's file",
        )
    said = f": {reason}" if reason else ""
    return Unreachable(
        f"the SSH server {place.server} does not let {place.login} in with {' and '.join(tried)}{said}",
        hint=f"check the user, and that the public key is in ~{place.login}/.ssh/authorized_keys there",
    )


def _subsystem(transport: "Transport", place: Place) -> "Channel":
    import paramiko  # noqa: PLC0415

    try:
        channel = transport.open_session(window_size=_WINDOW, max_packet_size=_PACKET, timeout=place.timeout)
        channel.invoke_subsystem("sftp")
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise Unreachable(
            f"the SSH server {place.server} lets us in and gives no SFTP: {_said(error)}",
            hint=f"try: sftp -P {place.port} {place.login}@{place.host}",
        ) from error
    return channel


def _said(error: BaseException) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
