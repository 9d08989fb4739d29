"""Metrics: what is known of sources, stores and runs, as Prometheus's text (docs/metrics.md).

Pure: what lies where is looked up elsewhere. The text is the exposition format 0.0.4; it is written here, in some
lines, so that no installation lacks it, and read by Prometheus's own parser in the tests.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, get_args

from pgproof.errors import PgproofError
from pgproof.finding import GRAVITY, Finding
from pgproof.manifest import Record, State
from pgproof.repository.found import Backup, Broken
from pgproof.retention import FUTURE
from pgproof.run import Outcome, Run

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
TASKS = ("backup", "copy", "verify", "prove", "prune", "restore")


@dataclass(frozen=True, slots=True)
class Shelf:
    """What lies in one store; `error` says why it could not be asked, and then nothing else is known.

    `orphans` are names of files that belong to no backup, looked for in the first store only. `free_bytes` is None
    where a store is not a directory.
    """

    store: str
    backups: tuple[Backup, ...] = ()
    broken: tuple[Broken, ...] = ()
    orphans: tuple[str, ...] = ()
    free_bytes: int | None = None
    error: PgproofError | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """What is to be shown of one source: `backups` in the first store that could be asked, what health says of them,
    and after what age a backup or a drill is late (None: made on demand).
    """

    source: str
    backups: tuple[Backup, ...] = ()
    findings: tuple[Finding, ...] = ()
    max_age: timedelta | None = None
    max_proof_age: timedelta | None = None


@dataclass(frozen=True, slots=True)
class View:
    """All that is known at `now`. The first shelf is that of the store which is written to; `runs` are the journal's
    last, None where there is none to be read; `older` how many came before, by task, source and outcome.
    """

    now: datetime
    version: str
    pictures: tuple[Picture, ...] = ()
    shelves: tuple[Shelf, ...] = ()
    runs: tuple[Run, ...] | None = None
    older: Mapping[tuple[str, str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value, and the labels that say of what."""

    labels: tuple[tuple[str, str], ...]
    value: float


@dataclass(frozen=True, slots=True)
class Family:
    """The samples of one name."""

    name: str
    kind: Literal["gauge", "counter"]
    text: str
    samples: tuple[Sample, ...]


def families(view: View) -> tuple[Family, ...]:
    """Every family that there is, also those without a sample at present."""
    return tuple(
        Family(name, "counter" if name.endswith("_total") else "gauge", text, _samples(labels, ask(view)))
        for name, labels, text, ask in MEASURES
    )


def exposition(found: Iterable[Family]) -> bytes:
    """The families as Prometheus reads them, in UTF-8."""
    return "".join(line for family in found for line in _lines(family)).encode("utf-8", "replace")


def _samples(labels: tuple[str, ...], rows: Iterable[tuple[str | float, ...]]) -> tuple[Sample, ...]:
    return tuple(
        Sample(tuple(zip(labels, map(str, row[:-1]), strict=True)), float(row[-1])) for row in rows
    )  # the value is the last of a row


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {_escaped(family.text)}\n"
    yield f"# TYPE {family.name} {family.kind}\n"
    for sample in family.samples:
        labels = ",".join(f'{name}="{_quoted(value)}"' for name, value in sample.labels)
        yield (
            f"{family.name}{{{labels}}} {_number(sample.value)}\n"
            if labels
            else (f"{family.name} {_number(sample.value)}\n")
        )


def _escaped(text: str) -> str:
    """Prometheus's format: a backslash and a line feed are escaped everywhere, a quote in the value of a label."""
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(value: str) -> str:
    """A carriage return is no line's end to Prometheus, but it is to others that read the file."""
    return re.sub(r"[\r\x00]", " ", _escaped(value)).replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


# -- what is measured: rows of label values and, last, the figure -----------------------------------


_Rows = Iterator[tuple[str | float, ...]]


def _newest(backups: Iterable[Backup], source: str) -> list[Backup]:
    """The good ones of a source, the newest first; by sequence, as a clock can be wrong."""
    sound = [one for one in backups if one.manifest.source == source and one.state != "damaged"]
    return sorted(sound, key=lambda one: (one.manifest.sequence, one.id), reverse=True)


def _drills(picture: Picture, now: datetime) -> list[Record]:
    """In their order; one from the future is the work of a wrong clock, and would be the last for years."""
    every = [record for one in picture.backups for record in one.records if record.kind == "drill"]
    return sorted((one for one in every if one.at <= now + FUTURE), key=lambda record: record.at)


def _last_proof(view: View) -> _Rows:
    for picture in view.pictures:
        for drill in [drill for drill in _drills(picture, view.now) if drill.ok][-1:]:
            yield picture.source, drill.at.timestamp()


def _drill_duration(view: View) -> _Rows:
    for picture in view.pictures:
        for drill in _drills(picture, view.now)[-1:]:
            yield picture.source, drill.seconds


def _last_copy(view: View) -> _Rows:
    for picture in view.pictures:
        for shelf in view.shelves[1:]:
            for one in _newest(shelf.backups, picture.source)[:1]:
                yield picture.source, shelf.store, one.manifest.began.timestamp()


def _of_newest(figure: Callable[[Backup], float]) -> Callable[[View], _Rows]:
    """A figure of the newest good backup of each source and kind."""

    def rows(view: View) -> _Rows:
        for picture in view.pictures:
            newest = _newest(picture.backups, picture.source)
            for kind in sorted({one.manifest.kind for one in newest}):
                yield picture.source, kind, figure(next(one for one in newest if one.manifest.kind == kind))

    return rows


def _limit(of: Callable[[Picture], timedelta | None]) -> Callable[[View], _Rows]:
    def rows(view: View) -> _Rows:
        for picture in view.pictures:
            if (limit := of(picture)) is not None:
                yield picture.source, limit.total_seconds()

    return rows


def _states(view: View) -> _Rows:
    """Also what is none, so that a series does not end when the last one goes."""
    for shelf in view.shelves:
        if shelf.error is None:
            counts = Counter((one.manifest.source, one.state) for one in shelf.backups)
            counts.update((one.id.partition("/")[0], "damaged") for one in shelf.broken)
            for source in sorted({picture.source for picture in view.pictures} | {source for source, _ in counts}):
                for state in get_args(State):
                    yield source, shelf.store, state, counts[source, state]


def _store_up(view: View) -> _Rows:
    for shelf in view.shelves:
        yield shelf.store, shelf.error is None


def _store_bytes(view: View) -> _Rows:
    for shelf in view.shelves:
        if shelf.error is None:
            yield shelf.store, sum(one.manifest.size for one in shelf.backups)


def _store_free(view: View) -> _Rows:
    for shelf in view.shelves:
        if shelf.free_bytes is not None:
            yield shelf.store, shelf.free_bytes


def _levels(view: View) -> _Rows:
    for picture in view.pictures:
        counts = Counter(finding.level for finding in picture.findings)
        for level in GRAVITY:
            yield picture.source, level, counts[level]


def _findings(view: View) -> _Rows:
    """Each code once, however many findings have it."""
    for picture in view.pictures:
        for code, level in sorted({(finding.code, finding.level) for finding in picture.findings}):
            yield picture.source, code, level, 1


def _runs(view: View) -> _Rows:
    """Runs that have ended: one that is at work has no outcome yet, and a count that is taken back is no counter.
    What has not happened is there as 0, so that the first time is seen as a rise.
    """
    if view.runs is None:
        return
    counts = Counter[tuple[str, str, str]]((run.task, run.source, run.outcome) for run in view.runs)
    counts.update(view.older)
    expected = {(task, picture.source) for task in TASKS for picture in view.pictures}
    for task, source in sorted(expected | {(task, source) for task, source, _ in counts}):
        for outcome in get_args(Outcome):
            if outcome != "running":
                yield task, source, outcome, counts[task, source, outcome]


def _run_durations(view: View) -> _Rows:
    last: dict[tuple[str, str], float] = {}
    for run in sorted(view.runs or (), key=lambda run: run.began):
        if run.ended is not None and run.began <= view.now + FUTURE:
            last[run.task, run.source] = (run.ended - run.began).total_seconds()
    for (task, source), seconds in sorted(last.items()):
        yield task, source, seconds


def _up(view: View) -> _Rows:
    yield (all(shelf.error is None for shelf in view.shelves[:1]),)


def _seconds(one: Backup) -> float:
    return (one.manifest.ended - one.manifest.began).total_seconds()


MEASURES: tuple[tuple[str, tuple[str, ...], str, Callable[[View], _Rows]], ...] = (
    ("pgproof_up", (), "1 if the first store could be asked", _up),
    ("pgproof_info", ("version",), "The version of pgproof; always 1", lambda view: iter([(view.version, 1)])),
    (
        "pgproof_metrics_timestamp_seconds",
        (),
        "When these figures were gathered",
        lambda view: iter([(view.now.timestamp(),)]),
    ),
    (
        "pgproof_last_success_timestamp_seconds",
        ("source", "kind"),
        "When the newest good backup began: its rows are of that moment",
        _of_newest(lambda one: one.manifest.began.timestamp()),
    ),
    ("pgproof_last_proof_timestamp_seconds", ("source",), "When a drill last succeeded, of any backup", _last_proof),
    (
        "pgproof_last_copy_timestamp_seconds",
        ("source", "store"),
        "When the newest good backup in another store than the first began",
        _last_copy,
    ),
    (
        "pgproof_backup_max_age_seconds",
        ("source",),
        "The age from which the newest good backup is late, by the schedule",
        _limit(lambda picture: picture.max_age),
    ),
    (
        "pgproof_proof_max_age_seconds",
        ("source",),
        "The age from which the last successful drill is late, by the schedule",
        _limit(lambda picture: picture.max_proof_age),
    ),
    (
        "pgproof_backup_size_bytes",
        ("source", "kind"),
        "Stored bytes of the newest good backup",
        _of_newest(lambda one: one.manifest.size),
    ),
    (
        "pgproof_backup_duration_seconds",
        ("source", "kind"),
        "How long the newest good backup took",
        _of_newest(_seconds),
    ),
    (
        "pgproof_backup_rows",
        ("source", "kind"),
        "Rows in the newest good backup",
        _of_newest(lambda one: one.manifest.evidence.rows),
    ),
    (
        "pgproof_backup_tables",
        ("source", "kind"),
        "Tables in the newest good backup",
        _of_newest(lambda one: len(one.manifest.evidence.tables)),
    ),
    (
        "pgproof_drill_duration_seconds",
        ("source",),
        "How long the last drill took, whatever it found",
        _drill_duration,
    ),
    ("pgproof_backups", ("source", "store", "state"), "Backups in a store, by state", _states),
    ("pgproof_store_up", ("store",), "1 if the store could be asked", _store_up),
    ("pgproof_store_bytes", ("store",), "Stored bytes of all backups in the store", _store_bytes),
    ("pgproof_store_free_bytes", ("store",), "Free bytes on the disk of a store that is a directory", _store_free),
    ("pgproof_findings", ("source", "level"), "Findings on the source, by level", _levels),
    ("pgproof_finding", ("source", "code", "level"), "1 while there is such a finding", _findings),
    (
        "pgproof_runs_total",
        ("task", "source", "outcome"),
        "Runs in the journal that have ended, by how",
        _runs,
    ),
    (
        "pgproof_run_duration_seconds",
        ("task", "source"),
        "How long the last run took that has ended",
        _run_durations,
    ),
)
