"""Reading the configuration file: which one, and what its lines mean; what is not understood is refused."""

import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast, get_args

from pgproof.checks import keycloak
from pgproof.checks.keycloak import Sessions
from pgproof.config.fields import Table
from pgproof.config.health import read_thresholds
from pgproof.config.references import Reference, is_reference, located, parse_reference
from pgproof.config.settings import (
    DEFAULT_PROFILE,
    PROFILES,
    TASKS,
    Alerts,
    Config,
    Docker,
    EncryptionSettings,
    Profile,
    Recover,
    Schedule,
    SourceSettings,
)
from pgproof.config.stores import read_stores
from pgproof.config.urls import check_url
from pgproof.errors import ConfigError, UsageError
from pgproof.manifest import Encryption, Kind, check_source_name
from pgproof.retention import Policy, check
from pgproof.schedule import parse_cron, parse_zone

FILE = "pgproof.toml"
SYSTEM_WIDE = Path("/etc/pgproof") / FILE
VARIABLE = "PGPROOF_CONFIG"

_SECTIONS = ("profile", "sources", "stores", "encryption", "schedule", "retention", "alerts", "cost", "health")
_SOURCE = (
    *("url", "password", "checks", "jobs", "compress", "docker", "lock_timeout", "kinds", "sessions", "recover"),
    "ignore",
)
_COUNTS = ("keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly")
_DAY_SECONDS = 86400


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
        read_stores(root, lambda table: read_policy(table, profile)),
        _encryption(root),
        _schedule(root, profile),
        read_policy(root.table("retention", Policy.__slots__), profile),
        _alerts(root),
        _prices(root),
        read_thresholds(root),
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
    return tuple(read_source(every.table(name, _SOURCE), name) for name in every.names())


def read_source(table: Table, name: str) -> SourceSettings:
    """A [sources.NAME] table. Raises ConfigError."""
    try:
        check_source_name(name)
    except UsageError as error:
        raise ConfigError(f"{table.path}: {error.message}", hint=error.hint) from None
    docker = _docker(table) if "docker" in table else None
    return SourceSettings(
        name,
        _url(table),
        table.reference("password"),
        table.texts("checks"),
        table.whole("jobs", 2, least=1),
        cast(Literal["gzip", "zstd"], table.choice("compress", ("gzip", "zstd"), "gzip")),
        docker,
        table.whole("lock_timeout", 60, least=1, most=_DAY_SECONDS),
        _kinds(table, docker),
        _sessions(table),
        _recover(table),
        table.texts("ignore"),
    )


def _kinds(table: Table, docker: Docker | None) -> tuple[Kind, ...]:
    given = table.texts("kinds") if "kinds" in table else ("logical",)
    for one in given:
        if one not in get_args(Kind):
            raise ConfigError(
                f"{table.at('kinds')}: {one!r} is no kind", hint=f"there are: {', '.join(get_args(Kind))}"
            )
    if not given or len(set(given)) < len(given):
        raise ConfigError(f"{table.at('kinds')} must name each kind once", hint='such as kinds = ["logical", "volume"]')
    if "volume" in given and docker is None:
        hint = 'add a line such as: docker = { container = "keycloak-db", volume = "exp_postgres_keycloak" }'
        raise ConfigError(f"{table.at('kinds')}: a volume backup needs to know the container", hint=hint)
    return cast(tuple[Kind, ...], given)


def _sessions(table: Table) -> Sessions | None:
    if "sessions" in table and not keycloak.wanted(table.texts("checks")):
        hint = 'add the line: checks = ["keycloak"]'
        raise ConfigError(f"{table.at('sessions')} is for a source that is a Keycloak", hint=hint)
    return cast(Sessions, table.choice("sessions", keycloak.SESSIONS, "keep")) if "sessions" in table else None


def _url(table: Table) -> str | Reference:
    url = table.required("url", '"postgresql://user@host:5432/database"')
    if is_reference(url):
        return parse_reference(url, table.at("url"), table.base)
    check_url(url, table.at("url"))
    return url


def _recover(table: Table) -> Recover | None:
    if "recover" not in table:
        return None
    told = table.table("recover", Recover.__slots__)
    stop, start = (_commands(told, key) for key in ("stop", "start"))
    if bool(stop) != bool(start):
        lacking, other = ("start", "stop") if stop else ("stop", "start")
        raise ConfigError(f"{told.at(lacking)} is missing", hint=f"what {other} does must have its counterpart")
    within, target = (told.moments(key, default) for key, default in (("within", 300), ("target", 3600)))
    return Recover(stop, start, told.text("health"), within, target)


def _commands(table: Table, key: str) -> tuple[tuple[str, ...], ...]:
    """One command, or several in their order; split as a shell would split it, and never given to one."""
    if key not in table:
        return ()
    lines = (table.text(key),) if table.is_text(key) else table.texts(key)
    try:
        found = tuple(tuple(shlex.split(line)) for line in lines)
    except ValueError as error:
        raise ConfigError(f"{table.at(key)} has a quotation mark without its fellow", hint="mend the line") from error
    if not found or not all(found):
        raise ConfigError(f"{table.at(key)} holds no command", hint='write one such as "systemctl stop keycloak"')
    return found


def _docker(table: Table) -> Docker:
    docker = table.table("docker", Docker.__slots__)
    passes = cast(Literal[0, 1, 2], docker.whole("passes", 0, most=2))
    container = docker.required("container", '"keycloak-db"')
    reach = cast(Literal["network", "exec"], docker.choice("reach", ("network", "exec"), "network"))
    longest = docker.moments("longest_stop", 0) if "longest_stop" in docker else None
    return Docker(container, docker.text("volume"), docker.texts("services"), passes, reach, longest)


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
        said = "gpg takes either a passphrase or recipients, and there are both"
        if "passphrase" not in table:
            said, hint = "gpg needs a passphrase or recipients", 'add: passphrase = "file:/etc/pgproof/passphrase"'
        raise ConfigError(f"encryption: {said}", hint=hint)
    if method == "age" and not table.texts("recipients"):
        raise ConfigError("encryption.recipients is missing", hint="age-keygen makes a key; its public half is age1...")


def _schedule(root: Table, profile: Profile) -> Schedule:
    table = root.table("schedule", Schedule.__slots__)
    given = {key: checked_cron(table.text(key, getattr(profile, key) or "none"), table.at(key)) for key in TASKS}
    zone = table.text("timezone")
    if zone:
        try:
            parse_zone(zone)
        except ConfigError as error:
            raise ConfigError(f"{table.at('timezone')}: {error.message}", hint=error.hint) from None
    return Schedule(**given, timezone=zone)


def read_policy(table: Table, profile: Profile) -> Policy:
    """A table that says what to keep; what it leaves open is the profile's. Raises ConfigError."""
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


def _prices(root: Table) -> Path | None:
    table = root.table("cost", ("prices",))
    return located(table.text("prices"), table.base) if "prices" in table else None
