"""The configuration of a container: everything from the environment, under the names that people know."""

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from pgproof.config.read import checked_cron
from pgproof.config.references import by_variable, read_file
from pgproof.config.settings import (
    DEFAULT_PROFILE,
    PROFILES,
    Alerts,
    Config,
    EncryptionSettings,
    Profile,
    Schedule,
    SourceSettings,
)
from pgproof.config.stores import DirectorySettings, S3Settings, StoreSettings, check_s3
from pgproof.errors import ConfigError, UsageError
from pgproof.manifest import check_source_name
from pgproof.retention import Policy, check

_PLAIN = (
    *("SCHEDULE", "BACKUP_DIR", "BACKUP_KEEP_DAYS", "BACKUP_KEEP_WEEKS", "BACKUP_KEEP_MONTHS"),
    *("S3_BUCKET", "S3_PREFIX", "S3_REGION", "S3_ENDPOINT", "AWS_STORAGE_CLASS"),
)
_OR_FILE = (
    "POSTGRES_HOST",
    "POSTGRES_PORT",
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "POSTGRES_DB",
    "POSTGRES_DATABASES",
    "POSTGRES_IGNORE",
    "GPG_PASSPHRASE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
)
_S3_NAMES = {
    "url": "S3_BUCKET",
    "endpoint": "S3_ENDPOINT",
    "storage_class": "AWS_STORAGE_CLASS",
    "access_key": "AWS_ACCESS_KEY_ID",
    "secret_key": "AWS_SECRET_ACCESS_KEY",
}


def from_environment(env: Mapping[str, str]) -> Config | None:
    """The settings in POSTGRES_HOST and its like; None without POSTGRES_HOST. Raises ConfigError."""
    if "POSTGRES_HOST" not in env and "POSTGRES_HOST_FILE" not in env:
        return None
    return around(env)


def around(env: Mapping[str, str], sources: tuple[SourceSettings, ...] = ()) -> Config:
    """Stores, encryption, schedule and retention of the environment, and `sources` or its own. Raises ConfigError."""
    _check(env)
    profile = PROFILES[DEFAULT_PROFILE]
    passphrase = by_variable(env, "GPG_PASSPHRASE")
    return Config(
        None,
        profile,
        sources or _sources(env),
        _stores(env),
        EncryptionSettings("gpg", passphrase) if passphrase else EncryptionSettings(),
        Schedule(
            checked_cron(env.get("SCHEDULE", profile.backup or "none"), "SCHEDULE"),
            profile.copy,
            profile.prove,
            profile.verify,
            profile.prune,
        ),
        _retention(env, profile),
        Alerts(),
    )


def _check(env: Mapping[str, str]) -> None:
    """A variable that is set and empty is a mistake in a compose file, not a wish for the default."""
    for name in (*_PLAIN, *_OR_FILE, *(f"{name}_FILE" for name in _OR_FILE)):
        if name in env and not env[name].strip():
            raise ConfigError(f"{name} is set and empty", hint="give it a value or do not set it")
    for name in _OR_FILE:
        if name in env and f"{name}_FILE" in env:
            raise ConfigError(f"{name} and {name}_FILE are both set", hint="set one of the two")


def _text(env: Mapping[str, str], name: str) -> str | None:
    file = env.get(f"{name}_FILE")
    if file is None:
        return env.get(name)
    text = read_file(Path(file), f"{name}_FILE", private=False).strip()
    if not text:
        raise ConfigError(f"{name}_FILE: {file} is empty", hint="write the value into it")
    return text


def _sources(env: Mapping[str, str]) -> tuple[SourceSettings, ...]:
    password = by_variable(env, "POSTGRES_PASSWORD")
    found: dict[str, SourceSettings] = {}
    for database in _databases(env):
        name = _source_name(database)
        if name in found:
            text = f"POSTGRES_DATABASES: two databases would both be the source {name}"
            raise ConfigError(text, hint="name the sources yourself in a pgproof.toml")
        found[name] = SourceSettings(name, _url(env, database), password, ignore=_ignored(env))
    return tuple(found.values())


def _databases(env: Mapping[str, str]) -> list[str]:
    given = [text for name in ("POSTGRES_DB", "POSTGRES_DATABASES") if (text := _text(env, name))]
    if len(given) != 1:
        text = "POSTGRES_DB and POSTGRES_DATABASES are both set" if given else "POSTGRES_DB is not set"
        raise ConfigError(text, hint="set one of them; several databases have commas between them")
    names = [name.strip() for name in given[0].split(",")]
    if not all(names):
        raise ConfigError("POSTGRES_DB has an empty name between its commas", hint="take the comma out")
    return names


def _ignored(env: Mapping[str, str]) -> tuple[str, ...]:
    """Databases and containers without a backup that are not to be told of."""
    text = _text(env, "POSTGRES_IGNORE")
    names = tuple(name.strip() for name in text.split(",")) if text else ()
    if not all(names):
        raise ConfigError("POSTGRES_IGNORE has an empty name between its commas", hint="take the comma out")
    return names


def _source_name(database: str) -> str:
    name = re.sub(r"[^a-z0-9_.-]", "-", database.lower()).lstrip("_.-")
    try:
        return check_source_name(name)
    except UsageError:
        text = f"the database {database!r} gives no name for a source"
        raise ConfigError(text, hint="name the source yourself in a pgproof.toml") from None


def _url(env: Mapping[str, str], database: str) -> str:
    host, port = _text(env, "POSTGRES_HOST") or "", _text(env, "POSTGRES_PORT") or "5432"
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ConfigError("POSTGRES_PORT must be a number from 1 to 65535", hint="PostgreSQL's own is 5432")
    user = quote(_text(env, "POSTGRES_USER") or "postgres", safe="")
    # A host with a slash is a directory with a socket, one with colons an IPv6 address.
    place = f"[{host}]" if ":" in host else quote(host, safe="")
    return f"postgresql://{user}@{place}:{port}/{quote(database, safe='')}"


def _stores(env: Mapping[str, str]) -> tuple[StoreSettings, ...]:
    """The directory, the bucket, or both: then the bucket gets copies. Without either, the directory /backups."""
    local = StoreSettings("local", DirectorySettings(_directory(env)))
    if "S3_BUCKET" not in env:
        return (local,)
    endpoint = env.get("S3_ENDPOINT", "")
    bucket = S3Settings(
        bucket=env["S3_BUCKET"],
        prefix=env.get("S3_PREFIX", "").strip("/"),
        endpoint=endpoint,
        region=env.get("S3_REGION", ""),
        path_style=bool(endpoint),
        access_key=by_variable(env, "AWS_ACCESS_KEY_ID"),
        secret_key=by_variable(env, "AWS_SECRET_ACCESS_KEY"),
        storage_class=env.get("AWS_STORAGE_CLASS", ""),
    )
    check_s3(bucket, lambda key: _S3_NAMES.get(key, key))
    offsite = StoreSettings("offsite", bucket)
    return (local, offsite) if "BACKUP_DIR" in env else (offsite,)


def _directory(env: Mapping[str, str]) -> Path:
    path = Path(env.get("BACKUP_DIR", "/backups"))
    if not path.is_absolute():
        raise ConfigError("BACKUP_DIR must be a whole path", hint="begin it with a slash")
    return path


def _retention(env: Mapping[str, str], profile: Profile) -> Policy:
    days = timedelta(days=_count(env, "BACKUP_KEEP_DAYS"))
    policy = Policy(
        days if "BACKUP_KEEP_DAYS" in env else profile.keep_within,
        keep_weekly=_count(env, "BACKUP_KEEP_WEEKS"),
        keep_monthly=_count(env, "BACKUP_KEEP_MONTHS"),
    )
    check(policy)
    return policy


def _count(env: Mapping[str, str], name: str) -> int:
    text = env.get(name, "0").strip()
    if not re.fullmatch(r"[0-9]{1,5}", text):
        raise ConfigError(f"{name} must be a whole number, 0 or more", hint="write the number alone, such as 7")
    return int(text)
