"""Reading the configuration file: which one, and what its lines mean; what is not understood is refused."""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from pgproof.config.cron import parse_cron
from pgproof.config.fields import Table
from pgproof.config.references import Reference, is_reference, located, parse_reference
from pgproof.config.settings import (
    DEFAULT_PROFILE,
    PROFILES,
    Alerts,
    Config,
    Docker,
    EncryptionSettings,
    Profile,
    Schedule,
    SourceSettings,
    StoreSettings,
)
from pgproof.errors import ConfigError, UsageError
from pgproof.manifest import Encryption, check_source_name
from pgproof.retention import Policy, check

FILE = "pgproof.toml"
SYSTEM_WIDE = Path("/etc/pgproof") / FILE
VARIABLE = "PGPROOF_CONFIG"

_SECTIONS = ("profile", "sources", "stores", "encryption", "schedule", "retention", "alerts")
_SOURCE = ("url", "password", "checks", "jobs", "compress", "docker", "lock_timeout")
_COUNTS = ("keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly")
_DAY_SECONDS = 86400
_STORE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_WORD = r"'(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*"
_CONNINFO = re.compile(rf"\s*(?:\w+\s*=\s*(?:{_WORD})(?:\s+|$))+", re.DOTALL)
_CONNINFO_KEY = re.compile(rf"\s*(\w+)\s*=\s*(?:{_WORD})", re.DOTALL)
_USER_INFO = re.compile(r"postgres(?:ql)?://([^@/]*)@")


def find(explicit: str | None, env: Mapping[str, str], cwd: Path, home: Path) -> Path | None:
    """The configuration file: the one that is named, or the first of the three places. Raises ConfigError."""
    named = explicit if explicit is not None else env.get(VARIABLE)
    if named is None:
        places = (cwd / FILE, home / ".config" / "pgproof" / FILE, SYSTEM_WIDE)
        return next((place for place in places if _is_there(place)), None)
    by = "--config" if explicit is not None else VARIABLE
    if not named.strip() or not _is_there(cwd / named):
        raise ConfigError(f"{by} names {named!r}, and there is no such file", hint="`pgproof init` writes one")
    return cwd / named


def _is_there(place: Path) -> bool:
    try:
        return place.is_file()
    except PermissionError as error:
        raise ConfigError(
            f"{place} cannot be looked at: this user may not enter its folder",
            hint="run pgproof as the user whose file it is, or name another with --config",
        ) from error


def load(path: Path) -> Config:
    """The settings in the file. Raises ConfigError with the path of the line that cannot be."""
    path = path.absolute()
    root = Table(_parsed(path), "", _SECTIONS, path.parent)
    profile = PROFILES[root.choice("profile", PROFILES, DEFAULT_PROFILE)]
    return Config(
        path,
        profile,
        _sources(root),
        _stores(root),
        _encryption(root),
        _schedule(root, profile),
        _retention(root, profile),
        _alerts(root),
    )


def checked_cron(text: str, path: str) -> str | None:
    """The cron expression, or None for "none". Raises ConfigError."""
    if text == "none":
        return None
    try:
        parse_cron(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", hint=error.hint) from None
    return text


def check_url(url: str, path: str) -> None:
    """Refuse what libpq would not take, and a password in it. Raises ConfigError; it never shows the URL."""
    if url.startswith(("postgresql://", "postgres://")):
        info = _USER_INFO.match(url)
        named = {key for key, _ in parse_qsl(url.partition("?")[2], keep_blank_values=True)}
        secret = bool(info and info[1].partition(":")[2])
    elif _CONNINFO.fullmatch(url):
        named, secret = set(_CONNINFO_KEY.findall(url)), False
    else:
        hint = 'write "postgresql://user@host:5432/database" or "host=... user=... dbname=..."'
        raise ConfigError(f"{path} is neither a connection URL nor a connection string", hint=hint)
    if secret or named & {"password", "sslpassword"}:
        hint = 'take it out and add a line such as: password = "file:/run/secrets/database"'
        raise ConfigError(f"{path} has a password in it", hint=hint)


def _parsed(path: Path) -> dict[str, object]:
    try:
        if path.stat().st_mode & 0o002:  # its exec: lines are commands, its URLs say where the data goes
            raise ConfigError(f"{path} may be written by anybody", hint=f"run: chmod o-w {path}")
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        hint = "`pgproof init` writes a configuration"
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint=hint) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text", hint="save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        twice = any(word in str(error) for word in ("overwrite", "twice", "uplicate"))
        hint = "a key or table stands there twice: delete one" if twice else "see https://toml.io for the format"
        raise ConfigError(f"{path} is not valid TOML: {error}", hint=hint) from error


def _sources(root: Table) -> tuple[SourceSettings, ...]:
    every = root.table("sources", None)
    if not every.names():
        hint = '[sources.NAME] with a line such as: url = "postgresql://user@host/database"'
        raise ConfigError("sources: no source is configured", hint=hint)
    return tuple(_source(every.table(name, _SOURCE), name) for name in every.names())


def _source(table: Table, name: str) -> SourceSettings:
    try:
        check_source_name(name)
    except UsageError as error:
        raise ConfigError(f"{table.path}: {error.message}", hint=error.hint) from None
    return SourceSettings(
        name,
        _url(table),
        table.reference("password"),
        table.texts("checks"),
        table.whole("jobs", 2, least=1),
        cast(Literal["gzip", "zstd"], table.choice("compress", ("gzip", "zstd"), "gzip")),
        _docker(table) if "docker" in table else None,
        table.whole("lock_timeout", 60, least=1, most=_DAY_SECONDS),
    )


def _url(table: Table) -> str | Reference:
    url = table.required("url", '"postgresql://user@host:5432/database"')
    if is_reference(url):
        return parse_reference(url, table.at("url"), table.base)
    check_url(url, table.at("url"))
    return url


def _docker(table: Table) -> Docker:
    docker = table.table("docker", ("container", "volume", "services"))
    return Docker(docker.required("container", '"keycloak-db"'), docker.text("volume"), docker.texts("services"))


def _stores(root: Table) -> tuple[StoreSettings, ...]:
    every = root.table("stores", None)
    if not every.names():
        raise ConfigError("stores: no store is configured", hint='[stores.local] with a line such as: url = "backups"')
    found = [_store(every, name) for name in every.names()]
    paths: dict[Path, str] = {}
    for store in found:
        other = paths.setdefault(Path(os.path.normpath(store.path)), store.name)
        if other != store.name:
            text = f"stores.{store.name} is the same directory as stores.{other}"
            raise ConfigError(text, hint="a second copy in the same place is none: delete one of the two")
    return tuple(found)


def _store(every: Table, name: str) -> StoreSettings:
    path = every.at(name)
    if not _STORE_NAME.fullmatch(name):
        raise ConfigError(f"{path} cannot name a store", hint="use letters, digits, '_', '-' and '.'")
    url = every.table(name, None).required("url", '"/srv/backups"')
    if re.match(r"(?!file:)[a-z][a-z0-9+.-]*:", url, re.IGNORECASE):
        hint = "give a path; other stores are for later versions (a name with a colon: write ./name)"
        raise ConfigError(f"{path}.url: this version has directory stores only", hint=hint)
    table = every.table(name, ("url", "mount"))
    return StoreSettings(name, _directory(url, table), table.flag("mount"))


def _directory(url: str, table: Table) -> Path:
    if url.startswith("file://"):
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost"):
            raise ConfigError(f"{table.at('url')}: after file:// comes a whole path", hint="write file:///srv/backups")
        url = unquote(parts.path)
    return located(url.removeprefix("file:"), table.base)


def _encryption(root: Table) -> EncryptionSettings:
    table = root.table("encryption", ("method", "passphrase", "recipients", "identity"))
    if "encryption" not in root:
        return EncryptionSettings()
    table.required("method", '"gpg"')
    method = cast(Encryption, table.choice("method", ("gpg", "age", "none"), "none"))
    _check_encryption(table, method)
    return EncryptionSettings(
        method, table.reference("passphrase"), table.texts("recipients"), table.reference("identity")
    )


def _check_encryption(table: Table, method: Encryption) -> None:
    """What does not belong together is refused: a passphrase that is not used would look like protection."""
    fitting = {"gpg": ("passphrase", "recipients"), "age": ("recipients", "identity"), "none": ()}[method]
    for key in ("passphrase", "recipients", "identity"):
        if key in table and key not in fitting:
            known = " and ".join(fitting) or "nothing else"
            raise ConfigError(f'{table.at(key)} does not go with method = "{method}"', hint=f"it takes {known}")
    if method == "gpg" and ("passphrase" in table) == bool(table.texts("recipients")):
        hint = "a passphrase opens the backups by itself; recipients need their secret key: choose one"
        raise ConfigError("encryption: gpg takes either a passphrase or recipients", hint=hint)
    if method == "age" and not table.texts("recipients"):
        raise ConfigError("encryption.recipients is missing", hint="age-keygen makes a key; its public half is age1...")


def _schedule(root: Table, profile: Profile) -> Schedule:
    table = root.table("schedule", Schedule.__slots__)
    backup, copy, prove = (
        checked_cron(table.text(key, getattr(profile, key) or "none"), table.at(key)) for key in Schedule.__slots__
    )
    return Schedule(backup, copy, prove)


def _retention(root: Table, profile: Profile) -> Policy:
    table = root.table("retention", Policy.__slots__)
    counts: dict[str, int] = {key: table.whole(key, 0) for key in _COUNTS}
    policy = replace(
        Policy(table.span("keep_within", profile.keep_within), **counts),
        keep_proven=table.whole("keep_proven", 2, least=1),
        most=table.whole("most", 0) if "most" in table else None,
    )
    check(policy)
    return policy


def _alerts(root: Table) -> Alerts:
    table = root.table("alerts", ("urls", "ping"))
    return Alerts(table.references("urls"), table.reference("ping"))
