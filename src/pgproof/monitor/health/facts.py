"""What health judges: the facts about one source, gathered elsewhere, and the words of a finding."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from pgproof.finding import Finding, Level
from pgproof.retention import Candidate, Policy, span_words
from pgproof.run import Run
from pgproof.schedule import Memory, Plan
from pgproof.thresholds import USUAL, Thresholds


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What another store has of one source: the ids of the backups that are whole there, and of the damaged ones.

    `error` says why it could not be asked.
    """

    store: str
    whole: frozenset[str] = frozenset()
    damaged: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Room:
    """Where something must fit: the folder, its free bytes, and the bytes that are needed."""

    folder: str
    free: int
    needed: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about one source; `other` are findings made elsewhere, such as an unreachable store.

    `max_age` and `max_proof_age` are None where backups or drills are made on demand. `last_proof` is
    the time of the last drill that succeeded, of any backup. `runs` are what the journal has, newest first;
    `free` the bytes of room in the first store, None where nothing says it. `plans` are what is scheduled for the
    source; by task, `memories` are what the service remembers of them, and `since` when they are scheduled as they are.
    `rows` are the rows of each table of sound logical backups, newest first. `opened` is when a backup of the
    key in use was last opened with it, `keyed` whether there is such a key. `limits` say what is too much.
    `others` are backups of other sources, which share the first store's room.
    """

    source: str
    backups: tuple[Candidate, ...] = ()
    last_proof: datetime | None = None
    orphans: int = 0
    other: tuple[Finding, ...] = ()
    max_age: timedelta | None = None
    max_proof_age: timedelta | None = None
    runs: tuple[Run, ...] = ()
    elsewhere: tuple[Elsewhere, ...] = ()
    free: int | None = None
    policy: Policy | None = None
    plans: tuple[Plan, ...] = ()
    memories: Mapping[str, Memory] = field(default_factory=dict)
    since: Mapping[str, datetime] = field(default_factory=dict)
    rows: tuple[Mapping[str, int], ...] = ()
    drill: Room | None = None
    keyed: bool = False
    opened: datetime | None = None
    limits: Thresholds = USUAL
    others: tuple[Candidate, ...] = ()
    kinds: tuple[str, ...] = ()  # of backups that are configured; none are told apart where it is empty


def finding(code: str, level: Level, facts: Facts, text: str, hint: str) -> Finding:
    """About the source, whose name begins the sentence."""
    return Finding(code, level, facts.source, f"{facts.source}: {text}", hint)


def kinds_of(run: Run, kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Of which of `kinds` a backup's run is: by its backup, else by its words; one that came to no kind is of all."""
    if not kinds:
        return ("",)
    told = f"{run.backup} {run.asked} "
    named = tuple(kind for kind in kinds if any(f"{sign}{kind} " in told for sign in ("-", "--kind ", ":")))
    return named or kinds


def usual_length(facts: Facts, kind: str = "") -> timedelta:
    """How long a backup takes: the median of the last ones, nothing where none is known."""
    done = [one for one in facts.runs if one.task == "backup" and one.outcome in ("done", "degraded") and one.ended]
    took = [one.ended - one.began for one in done if one.ended and (not kind or kind in kinds_of(one, facts.kinds))]
    seconds = [one.total_seconds() for one in took[: facts.limits.look_back]]
    return timedelta(seconds=median(seconds)) if seconds else timedelta(0)


def critical(code: str, facts: Facts, text: str, hint: str) -> Finding:
    return finding(code, "critical", facts, text, hint)


def warning(code: str, facts: Facts, text: str, hint: str) -> Finding:
    return finding(code, "warning", facts, text, hint)


def minutes(span: timedelta) -> str:
    seconds = round(span.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"


def age(span: timedelta) -> str:
    """In minutes below an hour, in hours below two days, in days above: nobody wants to hear of 31 hours as "1 day"."""
    if span < timedelta(hours=1):
        return minutes(span)
    return span_words(
        timedelta(hours=span // timedelta(hours=1)) if span < timedelta(days=2) else timedelta(days=span.days)
    )
