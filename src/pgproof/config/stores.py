"""The stores of a configuration: a directory, a bucket in S3, a folder reached by SFTP."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Literal, cast
from urllib.parse import unquote, urlsplit

from pgproof.config.fields import Table
from pgproof.config.references import Reference, located
from pgproof.errors import ConfigError
from pgproof.retention import Policy
from pgproof.stores.s3 import CLASSES, MOST_PARTS, Bucket

STORE_SECONDS = 60  # without an answer, after which a store counts as unreachable
_STORE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{1,254}")
_PIECE = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
_DAY_SECONDS = 86400


@dataclass(frozen=True, slots=True)
class DirectorySettings:
    """A folder; `mount` demands that something is mounted there whenever it is used."""

    path: Path
    mount: bool = False

    @property
    def url(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class S3Settings(Bucket):
    """A bucket, where its keys are to be found, and who bills it. The `prune_` ones are credentials that may delete."""

    access_key: Reference | None = None
    secret_key: Reference | None = None
    provider: str = ""
    prune_profile: str = ""
    prune_access_key: Reference | None = None
    prune_secret_key: Reference | None = None


@dataclass(frozen=True, slots=True)
class SftpSettings:
    """A folder on another machine; see stores.sftp. A relative path begins at the login's folder."""

    host: str
    port: int = 22
    user: str = ""
    path: str = ""
    identity: Path | None = None
    passphrase: Reference | None = None
    password: Reference | None = None
    known_hosts: Path | None = None
    host_key: str = ""

    @property
    def url(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port != 22 else ""
        return f"sftp://{user}{host}{port}{'' if self.path.startswith('/') else '/~/'}{self.path}"


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """A store by its name; `retention` is its own where it differs, `timeout` in seconds without an answer."""

    name: str
    where: DirectorySettings | S3Settings | SftpSettings
    timeout: int = STORE_SECONDS
    retention: Policy | None = None

    @property
    def url(self) -> str:
        return self.where.url


def flat(store: StoreSettings) -> dict[str, object]:
    """The settings by their path, as the manifest keeps them; None for what is not set."""
    at = f"stores.{store.name}"
    found: dict[str, object] = {f"{at}.url": store.url}
    for field in fields(store.where):
        value = getattr(store.where, field.name)
        if field.name not in _IN_URL and value != field.default:
            words = tuple(f"{key}={text}" for key, text in value) if field.name == "tags" else value
            found[f"{at}.{field.name}"] = words
    if store.timeout != STORE_SECONDS:
        found[f"{at}.timeout"] = store.timeout
    for name in Policy.__slots__ if store.retention else ():
        found[f"{at}.retention.{name}"] = getattr(store.retention, name)
    return found


_IN_URL = ("path", "bucket", "prefix", "host", "port", "user")


def read_stores(root: Table, policy: Callable[[Table], Policy]) -> tuple[StoreSettings, ...]:
    """The [stores] tables; `policy` reads a store's own retention. Raises ConfigError."""
    every = root.table("stores", None)
    if not every.names():
        raise ConfigError("stores: no store is configured", hint='[stores.local] with a line such as: url = "backups"')
    found = [_store(every, name, policy) for name in every.names()]
    seen: dict[object, str] = {}
    for store in found:
        other = seen.setdefault(_identity(store), store.name)
        if other != store.name:
            kind = "directory" if isinstance(store.where, DirectorySettings) else "place"
            text = f"stores.{store.name} is the same {kind} as stores.{other}"
            raise ConfigError(text, hint="a second copy in the same place is none: delete one of the two")
    return tuple(found)


def _identity(store: StoreSettings) -> object:
    where = store.where
    if isinstance(where, DirectorySettings):
        return os.path.normpath(where.path)
    return (where.url, where.endpoint) if isinstance(where, S3Settings) else where.url


def _store(every: Table, name: str, policy: Callable[[Table], Policy]) -> StoreSettings:
    path = every.at(name)
    if not _STORE_NAME.fullmatch(name):
        raise ConfigError(f"{path} cannot name a store", hint="use letters, digits, '_', '-' and '.'")
    url = every.table(name, None).required("url", '"/srv/backups"')
    scheme = match[1].lower() if (match := re.match(r"([a-z][a-z0-9+.-]*):", url, re.IGNORECASE)) else "file"
    if scheme not in _READERS:
        hint = "write a path, s3://bucket/prefix or sftp://user@host/path (a name with a colon: write ./name)"
        raise ConfigError(f"{path}.url: there are no stores of the kind {scheme}:", hint=hint)
    known, read = _READERS[scheme]
    table = every.table(name, ("url", "timeout", "retention", *known))
    return StoreSettings(
        name,
        read(url, table),
        table.whole("timeout", STORE_SECONDS, least=1, most=_DAY_SECONDS),
        policy(table.table("retention", Policy.__slots__)) if "retention" in table else None,
    )


def _directory(url: str, table: Table) -> DirectorySettings:
    if url.startswith("file://"):
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost"):
            raise ConfigError(f"{table.at('url')}: after file:// comes a whole path", hint="write file:///srv/backups")
        url = unquote(parts.path)
    return DirectorySettings(located(url.removeprefix("file:"), table.base), table.flag("mount"))


def _s3(url: str, table: Table) -> S3Settings:
    bucket, _, prefix = url.partition("://")[2].partition("/")
    endpoint = table.text("endpoint")
    settings = S3Settings(
        bucket=bucket,
        prefix=prefix.strip("/"),
        endpoint=endpoint,
        region=table.text("region"),
        path_style=table.flag("path_style", default=bool(endpoint)),
        ca_file=_path(table, "ca_file"),
        profile=table.text("profile"),
        access_key=table.reference("access_key"),
        secret_key=table.reference("secret_key"),
        storage_class=table.text("storage_class"),
        encryption=cast(Literal["", "AES256", "aws:kms"], table.choice("encryption", ("AES256", "aws:kms", ""), "")),
        kms_key=table.text("kms_key"),
        lock=cast(Literal["", "governance", "compliance"], table.choice("lock", ("governance", "compliance", ""), "")),
        lock_for=table.span("lock_for", timedelta()) or timedelta(),
        tags=tuple((key, table.table("tags", None).text(key)) for key in table.table("tags", None).names()),
        most_parts=table.whole("most_parts", MOST_PARTS, least=100, most=MOST_PARTS),
        thaw=cast(Literal["Standard", "Bulk", "Expedited"], table.choice("thaw", _THAWS, "Standard")),
        thaw_days=table.whole("thaw_days", 7, least=1, most=365),
        provider=table.text("provider"),
        prune_profile=table.text("prune_profile"),
        prune_access_key=table.reference("prune_access_key"),
        prune_secret_key=table.reference("prune_secret_key"),
    )
    check_s3(settings, table.at)
    return settings


def check_s3(settings: S3Settings, at: Callable[[str], str]) -> None:
    """Refuse what cannot be, or does not belong together; `at` gives the path of a key. Raises ConfigError."""
    if not _BUCKET.fullmatch(settings.bucket) or (settings.prefix and not _PIECE.fullmatch(settings.prefix)):
        hint = "write s3://bucket or s3://bucket/prefix; of letters, digits, '_', '.' and '-'"
        raise ConfigError(f"{at('url')} is no place in S3", hint=hint)
    if settings.endpoint and not re.match(r"https?://[^/]+/?$", settings.endpoint):
        raise ConfigError(f"{at('endpoint')} is no address", hint="write https://host or https://host:port")
    if settings.storage_class and not settings.endpoint and settings.storage_class not in CLASSES:
        raise ConfigError(f"{at('storage_class')} is none of AWS", hint=f"it has: {', '.join(CLASSES)}")
    for one, other in (("access_key", "secret_key"), ("prune_access_key", "prune_secret_key"), ("lock", "lock_for")):
        if bool(getattr(settings, one)) != bool(getattr(settings, other)):
            raise ConfigError(f"{at(one)} and {at(other)} belong together", hint="give both or neither")
    if settings.kms_key and settings.encryption != "aws:kms":
        raise ConfigError(f'{at("kms_key")} goes with encryption = "aws:kms" only', hint="add that line")


def _sftp(url: str, table: Table) -> SftpSettings:
    try:
        parts = urlsplit(url)
        port = parts.port or 22
    except ValueError:
        raise ConfigError(f"{table.at('url')} is no address", hint=_SFTP_HINT) from None
    if parts.password is not None:
        hint = 'take it out and add a line such as: password = "file:/run/secrets/sftp"'
        raise ConfigError(f"{table.at('url')} has a password in it", hint=hint)
    if not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(f"{table.at('url')} is no address", hint=_SFTP_HINT)
    path = unquote(parts.path)
    return SftpSettings(
        host=parts.hostname,
        port=port,
        user=unquote(parts.username or ""),
        path=path[3:] if path.startswith("/~/") else path or ".",
        identity=_path(table, "identity"),
        passphrase=table.reference("passphrase"),
        password=table.reference("password"),
        known_hosts=_path(table, "known_hosts"),
        host_key=_host_key(table),
    )


def _host_key(table: Table) -> str:
    pinned = table.text("host_key")
    if pinned and not re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}=?", pinned):
        raise ConfigError(
            f"{table.at('host_key')} is no fingerprint",
            hint="on the server: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub prints SHA256:...",
        )
    return pinned


def _path(table: Table, key: str) -> Path | None:
    return located(table.text(key), table.base) if key in table else None


_THAWS = ("Standard", "Bulk", "Expedited")
_SFTP_HINT = "write sftp://user@host/folder or sftp://user@host:port/~/folder-of-the-login"
_READERS: dict[str, tuple[tuple[str, ...], Callable[[str, Table], DirectorySettings | S3Settings | SftpSettings]]] = {
    "file": (("mount",), _directory),
    "s3": (tuple(f.name for f in fields(S3Settings) if f.name not in _IN_URL), _s3),
    "sftp": (tuple(f.name for f in fields(SftpSettings) if f.name not in _IN_URL), _sftp),
}
