"""The other stores: bringing them up to date, and telling what lies where."""

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pgproof.actions.copy import Copying, Outcome, copy
from pgproof.cli.options import Manners
from pgproof.cli.recording import Doing, recorded, words
from pgproof.cli.watch import watching
from pgproof.config import Config, StoreSettings
from pgproof.errors import PgproofError
from pgproof.job import open_repository
from pgproof.manifest import Record


@dataclass(frozen=True, slots=True)
class Brought:
    """What copying one source to one store came to; `error` when it could not be done at all."""

    store: str
    source: str
    outcomes: tuple[Outcome, ...] = ()
    error: PgproofError | None = None

    @property
    def whole(self) -> bool:
        return self.error is None and all(one.what != "failed" for one in self.outcomes)

    def has(self, backup: str) -> bool:
        return any(one.backup == backup and one.what != "failed" for one in self.outcomes)


def bring(conf: Config, sources: Sequence[str], stores: Sequence[StoreSettings], manners: Manners) -> list[Brought]:
    """Copy from the first store to each of `stores`. A store that fails does not stop the others."""
    found = []
    for store in stores:
        for source in sources:
            one = _bring(conf, source, store, manners)
            _tell(one, manners)
            found.append(one)
    return found


def _bring(conf: Config, source: str, store: StoreSettings, manners: Manners) -> Brought:
    """One source to one store, which is a run of its own also where it is part of a backup."""
    try:
        with recorded(Doing("copy", words("copy", source, store=store.name), store.name), source) as note:
            brought = _copied(conf, source, store, manners)
            failed = [one for one in brought.outcomes if one.what == "failed"]
            note.exit_code, note.text = 7 if failed else 0, failed[0].text if failed else ""
    except PgproofError as error:
        return Brought(store.name, source, error=error)
    return brought


def _copied(conf: Config, source: str, store: StoreSettings, manners: Manners) -> Brought:
    first, other = open_repository(conf.stores[0]), open_repository(store, create=True)
    with watching(quiet=manners.quiet or manners.json) as progress:
        policy = store.retention or conf.retention
        outcomes = copy(Copying(first, other, lambda: datetime.now(UTC), progress, policy, conf.health), source)
    return Brought(store.name, source, tuple(outcomes))


def _tell(one: Brought, manners: Manners) -> None:
    if one.error:
        print(f"pgproof: {one.source} is not copied to {one.store}: {one.error.message}", file=sys.stderr)
        print(f"  hint: {one.error.hint or 'run `pgproof copy` again'}", file=sys.stderr)
    for outcome in one.outcomes:
        if outcome.what == "failed":
            print(f"pgproof: {one.store}: {outcome.text}", file=sys.stderr)
        elif outcome.what in ("copied", "repaired"):
            read = "" if "not read back" in outcome.text else ", read back"
            more = f" ({outcome.text})" if outcome.text else ""
            manners.say(f"  {outcome.what} to {one.store}: {outcome.backup}{more}{read}")


def keep(stores: Sequence[StoreSettings], backup: str, *, release: bool) -> list[str]:
    """Pin a backup, or let it go, wherever a copy of it lies. The stores where that could not be done, each told."""
    left = []
    for store in stores:
        try:
            repository = open_repository(store)
            if repository.exists(backup):
                repository.keep(backup, release=release)
        except PgproofError as error:
            print(f"pgproof: not so in the store {store.name}: {error.message}", file=sys.stderr)
            left.append(store.name)
    return left


def tell_first(conf: Config, record: Record, seal: str) -> None:
    """A drill that passed counts wherever the same bytes lie: the first store is told, if it has that backup."""
    with contextlib.suppress(PgproofError):  # `copy` brings it otherwise
        first = open_repository(conf.stores[0])
        if record.ok and first.seal_hash(record.backup) == seal and first.find(record.backup).state != "damaged":
            first.keep_record(record)


def states(stores: Sequence[StoreSettings]) -> dict[str, dict[str, str]]:
    """For each backup the stores that have it, and its state there. A store that cannot be asked is told."""
    found: dict[str, dict[str, str]] = {}
    for store in stores:
        try:
            whole, broken = open_repository(store).backups()
        except PgproofError as error:
            print(f"pgproof: the store {store.name} cannot be asked: {error.message}", file=sys.stderr)
            continue
        for one in whole:
            found.setdefault(one.id, {})[store.name] = one.state
        for other in broken:
            found.setdefault(other.id, {})[store.name] = "damaged"
    return found


def listed(where: dict[str, str]) -> str:
    """The stores' names; with the state where it is damaged, as then it counts for nothing."""
    return ", ".join(f"{name} (damaged)" if word == "damaged" else name for name, word in where.items())
