"""Settings become live objects: with config, the only module that names a concrete store and source."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pgproof import config
from pgproof.checks import Check, resolve
from pgproof.config import Config, SourceSettings, StoreSettings
from pgproof.errors import ConfigError
from pgproof.postgres.server import Address
from pgproof.repository import Repository
from pgproof.retention import Policy
from pgproof.sources.dump import Dump
from pgproof.sources.source import Source
from pgproof.stores import directory
from pgproof.stores.directory import DirectoryStore
from pgproof.stream.encrypt import Key


@dataclass(frozen=True, slots=True)
class Job:
    """One source, where its backups go, and how they are to be made and judged."""

    name: str
    address: Address
    source: Source
    repository: Repository
    key: Key
    policy: Policy
    checks: tuple[Check, ...] = ()
    jobs: int = 2
    max_age: timedelta | None = None
    max_proof_age: timedelta | None = None
    config: dict[str, str] = field(default_factory=dict)
    new_server: bool = False
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


def jobs(settings: Config, names: list[str], *, create: bool = False, new_server: bool = False) -> list[Job]:
    """The jobs of the sources that are named, or of all. `create` lets a store that is new be made.

    Raises ConfigError, UsageError, Refused.
    """
    wanted = [settings.source(name) for name in names] if names else list(settings.sources)
    if not wanted:
        raise ConfigError("no source is configured", hint="`pgproof init` looks around and writes a configuration")
    repository = open_repository(settings.stores[0], create=create)
    key = settings.encryption.key()
    shown = config.without_secrets(settings)
    return [_job(settings, one, repository, key, shown, new_server=new_server) for one in wanted]


def _job(
    settings: Config,
    source: SourceSettings,
    repository: Repository,
    key: Key,
    shown: dict[str, str],
    *,
    new_server: bool,
) -> Job:
    address = Address(source.conninfo().reveal(), source.secret())
    return Job(
        name=source.name,
        address=address,
        source=Dump(source.name, address, codec=source.codec, jobs=source.jobs, lock_seconds=source.lock_timeout),
        repository=repository,
        key=key,
        policy=settings.retention,
        checks=resolve(source.checks),
        jobs=source.jobs,
        max_age=settings.max_age,
        max_proof_age=settings.max_proof_age,
        config=shown,
        new_server=new_server,
    )


def open_repository(store: StoreSettings, *, create: bool = False) -> Repository:
    """The repository in a configured store. Raises Refused when the path is not the store it was."""
    known = _remembered()
    place = str(store.path)
    directory.check_mounted(store.path, known.get(place), mount=store.mount)
    found = directory.read_marker(store.path)
    if found is None and create:
        found = directory.make_marker(store.path)
    if found is not None and known.get(place) != found:
        _remember(place, found)
    return Repository(DirectoryStore(store.path))


def forget_store(path: Path) -> None:
    """Accept another store in this place from now on (`pgproof init --new-store`)."""
    known = _remembered()
    if known.pop(str(path), None) is not None:
        _write_remembered(known)


def state_folder() -> Path:
    """Where this machine remembers things: losing it loses no backup."""
    if given := os.environ.get("PGPROOF_STATE"):
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/pgproof")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "pgproof"


def _remembered() -> dict[str, str]:
    """Which store was last seen at which path."""
    try:
        return dict(json.loads((state_folder() / "stores.json").read_text()))
    except (OSError, ValueError):
        return {}


def _remember(path: str, store: str) -> None:
    _write_remembered(_remembered() | {path: store})


def _write_remembered(known: dict[str, str]) -> None:
    """A memory that cannot be written is no reason to go without a backup: the marker itself still guards."""
    folder = state_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = folder / f"stores.json.{os.getpid()}"
        new.write_text(json.dumps(known, indent=1) + "\n")
        new.replace(folder / "stores.json")
    except OSError:
        return
