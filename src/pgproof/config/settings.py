"""The configuration as frozen settings: sources, stores, encryption, schedule, retention, alerts."""

import difflib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pgproof.checks.keycloak import Sessions
from pgproof.config import health
from pgproof.config.references import Reference
from pgproof.config.stores import StoreSettings, flat
from pgproof.config.urls import refuse_misread
from pgproof.errors import UsageError
from pgproof.finding import Finding
from pgproof.manifest import Encryption, Kind
from pgproof.retention import Policy
from pgproof.schedule import longest_gap, parse_cron
from pgproof.secret import Secret
from pgproof.stream.encrypt import Key
from pgproof.thresholds import USUAL, Thresholds

ProfileName = Literal["high-availability", "production", "development"]


@dataclass(frozen=True, slots=True)
class Profile:
    """A set of defaults; a schedule of None is on demand only."""

    name: ProfileName
    backup: str | None
    copy: str | None
    prove: str | None
    prune: str | None
    keep_within: timedelta
    verify: str | None = None


_NIGHTLY, _AFTER, _SUNDAYS, _FIRSTS, _LAST = "0 2 * * *", "0 3 * * *", "0 4 * * sun", "0 4 1 * *", "30 5 * * *"
PROFILES: dict[str, Profile] = {
    "high-availability": Profile("high-availability", _NIGHTLY, _AFTER, _SUNDAYS, _LAST, timedelta(days=90)),
    "production": Profile("production", _NIGHTLY, _AFTER, _FIRSTS, _LAST, timedelta(days=30)),
    "development": Profile("development", None, None, None, None, timedelta(days=14)),
}
DEFAULT_PROFILE = "production"


@dataclass(frozen=True, slots=True)
class Docker:
    """The source's container, the volume with its files, and the services that use it. `passes` over the volume:
    1 (all while it is stopped), 2 (first while it runs), 0 for what suits its size. `reach`: "exec" for connections by
    `docker exec`, "network" for those of the network, where it leads there. `longest_stop` is how long a backup of the
    volume may keep containers stopped, None for as long as it takes.
    """

    container: str
    volume: str = ""
    services: tuple[str, ...] = ()
    passes: Literal[0, 1, 2] = 0
    reach: Literal["network", "exec"] = "network"
    longest_stop: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Recover:
    """How the services that use a source are stopped and started around a recovery, as argv, and told to be well:
    by a URL that answers 200, or SQL that returns true in the recovered database. `target`: how long it all may take.
    """

    stop: tuple[tuple[str, ...], ...] = ()
    start: tuple[tuple[str, ...], ...] = ()
    health: str = ""
    within: timedelta = timedelta(minutes=5)
    target: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """A server to protect. `url` is a connection URL or string without a password, or where to find one."""

    name: str
    url: str | Reference
    password: Reference | None = None
    checks: tuple[str, ...] = ()
    jobs: int = 2
    codec: Literal["gzip", "zstd"] = "gzip"
    docker: Docker | None = None
    lock_timeout: int = 60  # seconds that a backup waits for a table somebody has locked
    kinds: tuple[Kind, ...] = ("logical",)  # of the backups that are made when none is named
    sessions: Sessions | None = None  # of a Keycloak, when it is restored; None: keep, and ask where somebody is
    recover: Recover | None = None
    ignore: tuple[str, ...] = ()  # databases of its server, and containers, that need no backup

    def conninfo(self) -> Secret:
        """What libpq takes; it holds a password where a referenced URL does. Raises ConfigError."""
        if not isinstance(self.url, Reference):
            return Secret(self.url)
        found = self.url.resolve()
        refuse_misread(found.reveal(), f"the URL at {self.url.path}")
        return found

    def secret(self) -> Secret | None:
        """The password, where one is configured. Raises ConfigError."""
        return self.password.resolve() if self.password else None


@dataclass(frozen=True, slots=True)
class EncryptionSettings:
    """How parts are encrypted; the secrets are looked up by `key()` and not before."""

    method: Encryption = "none"
    passphrase: Reference | None = None
    recipients: tuple[str, ...] = ()
    identity: Reference | None = None
    typed: Secret | None = None  # a passphrase that a person gave at the terminal

    def key(self) -> Key:
        """Raises ConfigError when a secret is not where the configuration says."""
        return Key(
            self.method,
            self.passphrase.resolve() if self.passphrase else self.typed,
            self.recipients,
            self.identity.resolve() if self.identity else None,
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """Cron expressions; None is on demand only. `timezone` is a name such as Europe/Berlin, "" the machine's own."""

    backup: str | None = None
    copy: str | None = None
    prove: str | None = None
    verify: str | None = None
    prune: str | None = None
    timezone: str = ""


TASKS = ("backup", "copy", "prove", "verify", "prune")


@dataclass(frozen=True, slots=True)
class Alerts:
    urls: tuple[Reference, ...] = ()
    ping: Reference | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """All of it. The first store is written to, the others get copies; `path` is None without a file."""

    path: Path | None
    profile: Profile
    sources: tuple[SourceSettings, ...]
    stores: tuple[StoreSettings, ...]
    encryption: EncryptionSettings
    schedule: Schedule
    retention: Policy
    alerts: Alerts
    prices: Path | None = None  # what storage costs, where it is not what pgproof comes with
    health: Thresholds = USUAL
    left_out: tuple[Finding, ...] = ()  # what labels ask for and cannot be had, while the rest goes on

    @property
    def max_age(self) -> timedelta | None:
        """The age from which the newest backup is late."""
        return _late(self.schedule.backup, self.health)

    @property
    def max_proof_age(self) -> timedelta | None:
        """The age from which the last drill is overdue."""
        return _late(self.schedule.prove, self.health)

    def source(self, name: str) -> SourceSettings:
        """Raises UsageError with the nearest name."""
        for one in self.sources:
            if one.name == name:
                return one
        raise UsageError(f"no source is called {name!r}", hint=_nearest(name, [one.name for one in self.sources]))

    def store(self, name: str) -> StoreSettings:
        """Raises UsageError with the nearest name."""
        for one in self.stores:
            if one.name == name:
                return one
        raise UsageError(f"no store is called {name!r}", hint=_nearest(name, [one.name for one in self.stores]))


def without_secrets(config: Config) -> dict[str, str]:
    """The configuration, flat, as the manifest keeps it: references by their place, never what is there."""
    policy, schedule = config.retention, config.schedule
    found: dict[str, object] = {"profile": config.profile.name}
    for source in config.sources:
        found |= _flat_source(source, f"sources.{source.name}")
    for store in config.stores:
        found |= flat(store)
    for name in ("method", "passphrase", "recipients", "identity"):
        found[f"encryption.{name}"] = getattr(config.encryption, name)
    for name in TASKS:
        found[f"schedule.{name}"] = getattr(schedule, name) or "none"
    found["schedule.timezone"] = schedule.timezone or None
    for name in Policy.__slots__:
        found[f"retention.{name}"] = getattr(policy, name)
    found |= {"alerts.urls": config.alerts.urls, "alerts.ping": config.alerts.ping} | health.flat(config.health)
    return {name: _words(value) for name, value in found.items() if value is not None and value != ()}


def _flat_source(source: SourceSettings, at: str) -> dict[str, object]:
    found: dict[str, object] = {
        f"{at}.url": source.url,
        f"{at}.password": source.password,
        f"{at}.checks": source.checks,
        f"{at}.jobs": source.jobs,
        f"{at}.compress": source.codec,
        f"{at}.lock_timeout": source.lock_timeout,
        f"{at}.kinds": source.kinds,
        f"{at}.sessions": source.sessions,
        f"{at}.ignore": source.ignore,
    }
    if source.recover:
        found |= {  # arguments may be secret: the programs are named
            f"{at}.recover.stop": tuple(one[0] for one in source.recover.stop),
            f"{at}.recover.start": tuple(one[0] for one in source.recover.start),
            f"{at}.recover.target": f"{int(source.recover.target.total_seconds())}s",
        }
    if source.docker:
        docker = source.docker
        found |= {
            f"{at}.docker.container": docker.container,
            f"{at}.docker.volume": docker.volume or None,
            f"{at}.docker.services": docker.services,
            f"{at}.docker.passes": docker.passes or None,
            f"{at}.docker.longest_stop": f"{docker.longest_stop.total_seconds():.0f}s" if docker.longest_stop else None,
        }
    return found


def _words(value: object) -> str:
    if isinstance(value, Reference):
        return value.shown()
    if isinstance(value, tuple):
        return ", ".join(_words(one) for one in value)
    if isinstance(value, timedelta) and value < timedelta(hours=1):
        return f"{value // timedelta(seconds=1)}s"
    if isinstance(value, timedelta):
        hours = value // timedelta(hours=1)
        return f"{hours}h" if hours % 24 else f"{hours // 24}d"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _late(cron: str | None, health: Thresholds) -> timedelta | None:
    return longest_gap(parse_cron(cron)) * health.late if cron else None


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return (f"did you mean {near[0]}? " if near else "") + f"there are: {', '.join(known)}"
