"""The configuration as frozen settings: sources, stores, encryption, schedule, retention, alerts."""

import difflib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pgproof.config.cron import longest_gap, parse_cron
from pgproof.config.references import Reference
from pgproof.errors import UsageError
from pgproof.manifest import Encryption
from pgproof.retention import Policy
from pgproof.secret import Secret
from pgproof.stream.encrypt import Key

MARGIN = 1.25  # what comes on time within a quarter of its interval is not late
ProfileName = Literal["high-availability", "production", "development"]


@dataclass(frozen=True, slots=True)
class Profile:
    """A set of defaults; a schedule of None is on demand only."""

    name: ProfileName
    backup: str | None
    copy: str | None
    prove: str | None
    keep_within: timedelta


_NIGHTLY, _AFTER, _SUNDAYS, _FIRSTS = "0 2 * * *", "0 3 * * *", "0 4 * * sun", "0 4 1 * *"
PROFILES: dict[str, Profile] = {
    "high-availability": Profile("high-availability", _NIGHTLY, _AFTER, _SUNDAYS, timedelta(days=90)),
    "production": Profile("production", _NIGHTLY, _AFTER, _FIRSTS, timedelta(days=30)),
    "development": Profile("development", None, None, None, timedelta(days=14)),
}
DEFAULT_PROFILE = "production"


@dataclass(frozen=True, slots=True)
class Docker:
    """The source's container, the volume with its files, and the services that use it."""

    container: str
    volume: str = ""
    services: tuple[str, ...] = ()


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

    def conninfo(self) -> Secret:
        """What libpq takes; it holds a password where a referenced URL does. Raises ConfigError."""
        return self.url.resolve() if isinstance(self.url, Reference) else Secret(self.url)

    def secret(self) -> Secret | None:
        """The password, where one is configured. Raises ConfigError."""
        return self.password.resolve() if self.password else None


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """A directory store; `mount` demands that something is mounted there whenever it is used."""

    name: str
    path: Path
    mount: bool = False


@dataclass(frozen=True, slots=True)
class EncryptionSettings:
    """How parts are encrypted; the secrets are looked up by `key()` and not before."""

    method: Encryption = "none"
    passphrase: Reference | None = None
    recipients: tuple[str, ...] = ()
    identity: Reference | None = None

    def key(self) -> Key:
        """Raises ConfigError when a secret is not where the configuration says."""
        return Key(
            self.method,
            self.passphrase.resolve() if self.passphrase else None,
            self.recipients,
            self.identity.resolve() if self.identity else None,
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """Cron expressions; None is on demand only."""

    backup: str | None = None
    copy: str | None = None
    prove: str | None = None


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

    @property
    def max_age(self) -> timedelta | None:
        """The age from which the newest backup is late."""
        return _late(self.schedule.backup)

    @property
    def max_proof_age(self) -> timedelta | None:
        """The age from which the last drill is overdue."""
        return _late(self.schedule.prove)

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
        found |= {f"stores.{store.name}.url": store.path, f"stores.{store.name}.mount": store.mount or None}
    for name in EncryptionSettings.__slots__:
        found[f"encryption.{name}"] = getattr(config.encryption, name)
    for name in Schedule.__slots__:
        found[f"schedule.{name}"] = getattr(schedule, name) or "none"
    for name in Policy.__slots__:
        found[f"retention.{name}"] = getattr(policy, name)
    found |= {"alerts.urls": config.alerts.urls, "alerts.ping": config.alerts.ping}
    return {name: _words(value) for name, value in found.items() if value is not None and value != ()}


def _flat_source(source: SourceSettings, at: str) -> dict[str, object]:
    found: dict[str, object] = {
        f"{at}.url": source.url,
        f"{at}.password": source.password,
        f"{at}.checks": source.checks,
        f"{at}.jobs": source.jobs,
        f"{at}.compress": source.codec,
        f"{at}.lock_timeout": source.lock_timeout,
    }
    if source.docker:
        docker = source.docker
        found |= {
            f"{at}.docker.container": docker.container,
            f"{at}.docker.volume": docker.volume or None,
            f"{at}.docker.services": docker.services,
        }
    return found


def _words(value: object) -> str:
    if isinstance(value, Reference):
        return value.shown()
    if isinstance(value, tuple):
        return ", ".join(_words(one) for one in value)
    if isinstance(value, timedelta):
        hours = value // timedelta(hours=1)
        return f"{hours}h" if hours % 24 else f"{hours // 24}d"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _late(cron: str | None) -> timedelta | None:
    return longest_gap(parse_cron(cron)) * MARGIN if cron else None


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return (f"did you mean {near[0]}? " if near else "") + f"there are: {', '.join(known)}"
