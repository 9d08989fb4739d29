"""What monitoring looks at: each store once, and what lies there of each source."""

import contextlib
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pgproof import __version__
from pgproof.config import Config, DirectorySettings, StoreSettings
from pgproof.errors import PgproofError
from pgproof.finding import Finding
from pgproof.job import open_repository
from pgproof.manifest import STORED_BYTES, Record
from pgproof.monitor.health import Elsewhere, Facts, Room, examine
from pgproof.monitor.metrics import Picture, Shelf, View
from pgproof.monitor.surroundings import surroundings
from pgproof.repository import Backup, Broken
from pgproof.retention import FUTURE
from pgproof.run import Run
from pgproof.schedule import Memory, Plan
from pgproof.stores.deadline import within


def look(store: StoreSettings, now: datetime, *, orphans: bool = False) -> Shelf:
    """What lies in a store; of one that cannot be asked, why. Raises no PgproofError.

    It lists the store once, and once more for `orphans`, and reads every manifest and record: of a store that
    answers slowly or is paid by the request, keep the shelf for a while.
    """
    try:
        repository = open_repository(store)
        with contextlib.closing(repository.store):
            whole, broken = repository.backups()
            left = tuple(entry.name for entry in repository.orphans(now)) if orphans else ()
        return Shelf(store.name, tuple(whole), tuple(broken), left, _free(store))
    except PgproofError as error:
        return Shelf(store.name, error=error)


def _free(store: StoreSettings) -> int | None:
    """Bytes that may still be written by whom we run as; None where no disk here says it. Raises Unreachable."""
    where = store.where
    if not isinstance(where, DirectorySettings):
        return None
    with contextlib.suppress(OSError):
        return within(store.timeout, where.url, lambda: shutil.disk_usage(where.path).free)
    return None


def survey(conf: Config, now: datetime) -> tuple[Shelf, ...]:
    """Every configured store, one after the other; one that is down does not stop the others."""
    return tuple(look(store, now, orphans=number == 0) for number, store in enumerate(conf.stores))


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine knows of all sources: the journal's runs (None: there is none to be read), what is scheduled,
    by task and source what the service remembers of it and since when it is so, and what was found beside the sources.
    """

    runs: tuple[Run, ...] | None = None
    plans: tuple[Plan, ...] = ()
    memories: Mapping[tuple[str, str], Memory] = field(default_factory=dict)
    since: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    beside: tuple[Finding, ...] = ()


def view(conf: Config, shelves: tuple[Shelf, ...], now: datetime, machine: Machine) -> View:
    """All that metrics tell. Where the first store is down, the next one that could be asked speaks for it."""
    pictures = tuple(_picture(conf, one.name, shelves, now, machine) for one in conf.sources)
    return View(now, __version__, pictures, shelves, machine.runs)


def _picture(conf: Config, source: str, shelves: tuple[Shelf, ...], now: datetime, machine: Machine) -> Picture:
    runs = tuple(one for one in machine.runs or () if one.began <= now + FUTURE)  # else the work of a wrong clock
    down = _down(source, shelves[0])
    base = next((shelf for shelf in shelves if shelf.error is None), None)
    if base is None:
        return Picture(source, (), down, conf.max_age, conf.max_proof_age)
    backups = tuple(one for one in base.backups if one.manifest.source == source)
    broken = [one for one in base.broken if one.id.startswith(f"{source}/")]
    left = sum(name.startswith(f"{source}/") for name in base.orphans)
    known = facts(source, backups, broken, left, now, max_age=conf.max_age, max_proof_age=conf.max_proof_age)
    names = {one.name for one in conf.sources} - {source}
    sound = sorted((one for one in backups if one.state != "damaged"), key=lambda one: -one.manifest.sequence)
    major = backups[-1].manifest.server.major if backups else 0
    here = surroundings(conf, conf.source(source), major, now)
    beside = [one for one in machine.beside if one.source == source]
    more = replace(
        known,
        other=(*known.other, *down, *here, *beside, *_too_slow(conf, source, runs)),
        runs=tuple(one for one in runs if one.source in (source, "")),
        elsewhere=tuple(_elsewhere(shelf, source) for shelf in shelves[1:]),
        free=shelves[0].free_bytes,
        policy=conf.stores[0].retention or conf.retention,
        plans=tuple(one for one in machine.plans if one.source == source),
        memories={task: one for (task, name), one in machine.memories.items() if name == source},
        since={task: moment for (task, name), moment in machine.since.items() if name == source},
        limits=conf.health,
        kinds=conf.source(source).kinds,
        rows=tuple(_rows(one) for one in sound if one.manifest.kind == "logical"),
        drill=_drill_room(sound, conf.health.drill_room),
        keyed=conf.encryption.method != "none",
        others=tuple(one.candidate for one in base.backups if one.manifest.source in names),
    )
    found = examine(more, now)
    return Picture(source, backups, tuple(found), conf.max_age, conf.max_proof_age)


def _rows(one: Backup) -> dict[str, int]:
    return {table.label: table.rows for table in one.manifest.evidence.tables}


def _drill_room(sound: list[Backup], factor: float) -> Room | None:
    """Where a drill would restore the newest logical backup, so many times the size of the database."""
    made = next((one.manifest for one in sound if one.manifest.kind == "logical"), None)
    folder = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - as postgres.scratch has it
    with contextlib.suppress(OSError):
        if made is not None:
            return Room(folder, shutil.disk_usage(folder).free, round(made.database.size * factor))
    return None


def _too_slow(conf: Config, source: str, runs: tuple[Run, ...]) -> tuple[Finding, ...]:
    """Whether the last drill of a recovery took longer than the configured target."""
    told = conf.source(source).recover
    drills = [one for one in runs if one.task == "recover-drill" and one.source == source and one.outcome == "done"]
    if told is None or not drills:
        return ()
    last = max(drills, key=lambda one: one.began)
    took = (last.ended or last.began) - last.began
    if took <= told.target:
        return ()
    seconds, target = took.total_seconds(), told.target.total_seconds()
    text = f"{source}: the last drill of a recovery took {seconds:.0f} s, its target is {target:.0f} s"
    hint = "raise `jobs`, keep a copy nearer, or set recover.target to what you can live with"
    return (Finding("recovery-too-slow", "warning", source, text, hint),)


def _elsewhere(shelf: Shelf, source: str) -> Elsewhere:
    if shelf.error:
        return Elsewhere(shelf.store, error=shelf.error.message)
    mine = [one for one in shelf.backups if one.manifest.source == source]
    damaged = [one.id for one in mine if one.state == "damaged"]
    damaged += [one.id for one in shelf.broken if one.id.startswith(f"{source}/")]
    return Elsewhere(shelf.store, frozenset(one.id for one in mine) - set(damaged), tuple(damaged))


def _down(source: str, first: Shelf) -> tuple[Finding, ...]:
    """`status` cannot say anything then, and calls it unknown; here what the other stores hold is still told."""
    if first.error is None:
        return ()
    text = f"{source}: the store {first.store} cannot be asked: {first.error.message}"
    return (Finding("store", "critical", source, text, first.error.hint),)


def facts(
    source: str,
    backups: Iterable[Backup],
    broken: Iterable[Broken],
    orphans: int,
    now: datetime,
    *,
    max_age: timedelta | None,
    max_proof_age: timedelta | None,
) -> Facts:
    """What health judges, from what a repository told of one source."""
    whole = tuple(backups)
    every = [(_when(record, one, now), record) for one in whole for record in one.records if record.ok]
    good = [(moment, record) for moment, record in every if moment is not None]
    drills = [moment for moment, record in good if record.kind == "drill"]
    opened = [moment for moment, record in good if record.scope != STORED_BYTES]
    other = tuple(Finding("backup-damaged", "critical", source, one.error.message, one.error.hint) for one in broken)
    candidates = tuple(one.candidate for one in whole)
    last = max(drills, default=None)
    return Facts(source, candidates, last, orphans, other, max_age, max_proof_age, opened=max(opened, default=None))


def _when(record: Record, backup: Backup, now: datetime) -> datetime | None:
    """One from the future is of a wrong clock: it was after the backup, more is not known; if at all."""
    return next((one for one in (record.at, backup.manifest.began) if one <= now + FUTURE), None)
