"""Health of the places: copies, room now and to come, the room of a drill, the key."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations, pairwise
from math import inf
from statistics import median

from pgproof.finding import Finding
from pgproof.monitor.health.facts import Facts, age, critical, warning
from pgproof.retention import Candidate, newest_first

LEAST_SPAN = timedelta(days=2)  # over which backups must lie to tell how a store fills
ONCE = timedelta(days=14)  # after so long one that was made by hand is not looked for again
_SERIES = 30  # backups say how sizes grow


OF_COPIES = ("copy-missing", "copy-damaged")  # codes that only the other stores tell of


def _elsewhere(facts: Facts, now: datetime) -> Iterable[Finding]:
    """Copies: a store that cannot be asked, one that lacks what it should have by now, damage there."""
    sound = [one for one in newest_first(facts.backups) if one.state != "damaged"]
    due = next((one for one in sound if now - one.began > facts.limits.copy_within), None)
    for other in facts.elsewhere:
        if other.error:
            text = f"the store {other.store} cannot be asked: {other.error}"
            yield warning("store-unreachable", facts, text, "copies are caught up with once it answers")
            continue
        if due and due.id not in other.whole and not any(one.id in other.whole for one in sound[: sound.index(due)]):
            text = f"the store {other.store} has no copy of {due.id}, nor of a newer backup"
            yield critical("copy-missing", facts, text, f"run `pgproof copy {facts.source}`, and see what it says")
        for one in other.damaged:
            hint = f"run `pgproof copy {facts.source}`: it repairs what is damaged there"
            yield warning("copy-damaged", facts, f"{one} is damaged in the store {other.store}", hint)


def _room(facts: Facts, now: datetime) -> Iterable[Finding]:
    """Room in the first store, in backups like the newest of each source and kind: all of them are written to it."""
    lines = _lines(facts, now)
    needed = sum(line[0].size for line in lines)
    if facts.free is None or not facts.backups or not needed:
        return
    left = facts.free // needed
    if left < facts.limits.room:
        make = critical if left < 1 else warning
        each = " of each source and kind" if len(lines) > 1 else ""
        text = f"the first store has room for {left} more backups like the newest{each}"
        yield make("space", facts, text, "make room; `pgproof prune` shows what may go")


def _full_soon(facts: Facts, now: datetime) -> Iterable[Finding]:
    """When the first store will be full at the present growth."""
    left = full_in(facts, now)
    if left is None or left > facts.limits.full_soon:
        return
    make = critical if left <= facts.limits.full_very_soon else warning
    text = f"at the present growth the first store is full on {now + left:%Y-%m-%d}"
    yield make("disk-full-soon", facts, text, "make room, or keep less: `pgproof prune` shows what may go")


def full_in(facts: Facts, now: datetime) -> timedelta | None:
    """The time until the first store has no room; None where that cannot be told, or is not to come."""
    flows = [flow for line in _lines(facts, now) if (flow := _flow(line, facts, now))]
    if facts.free is None:
        return None
    days, left = 0.0, float(facts.free)
    for until in sorted({one.filling for one in flows} | {inf}):
        rate = sum(one.added if days < one.filling else one.growth for one in flows)
        if rate and left <= rate * (until - days):
            return timedelta(days=min(days + left / rate, 36500.0))
        if until < inf:
            days, left = until, left - rate * (until - days)
    return None


@dataclass(frozen=True, slots=True)
class _Flow:
    """What the backups of a source and kind add in bytes a day: `added` for the days of `filling`, `growth` later."""

    added: float
    growth: float
    filling: float


def _flow(line: Sequence[Candidate], facts: Facts, now: datetime) -> _Flow | None:
    """Until the oldest backup is as old as the policy keeps any, every backup adds its whole size; from then on only
    what backups grow by counts, times their number. None where too few tell of it.
    """
    recent = line[:_SERIES]
    span = recent[0].began - recent[-1].began
    if len(recent) < 3 or span < LEAST_SPAN:
        return None  # some made by hand within the hour say nothing of days
    per_day = (len(recent) - 1) / (span / timedelta(days=1))
    added = median(one.size for one in recent) * per_day
    return _Flow(added, max(0.0, _growth(recent) * len(line)), _filling(line, facts, now))


def _filling(line: Sequence[Candidate], facts: Facts, now: datetime) -> float:
    """Days until retention deletes as much as is added; without end, where nothing is deleted."""
    within = facts.policy.keep_within if facts.policy else None
    if within is None or not any(one.task == "prune" for one in facts.plans):
        return inf
    oldest = min(one.began for one in line)
    return max(0.0, (within - (now - oldest)) / timedelta(days=1))


def _lines(facts: Facts, now: datetime) -> list[list[Candidate]]:
    """All that is being written to the first store, each source and kind by itself, newest first."""
    groups: dict[tuple[str, str], list[Candidate]] = {}
    for one in (*facts.backups, *facts.others):
        if one.state != "damaged":
            groups.setdefault((one.id.partition("/")[0], one.kind), []).append(one)
    return [line for group in groups.values() if not _given_up(line := newest_first(group), now)]


def _given_up(line: Sequence[Candidate], now: datetime) -> bool:
    """Whether nobody makes such backups any more: what lies there still takes its room, and no further room."""
    gaps = [(newer.began - older.began).total_seconds() for newer, older in pairwise(line[:_SERIES])]
    usual = timedelta(seconds=median(gaps)) if gaps else ONCE
    return now - line[0].began > max(3 * usual, ONCE)


def _growth(line: Sequence[Candidate]) -> float:
    """Bytes by which a backup grows in a day: the median of all slopes (Theil and Sen), as odd days must not count."""
    day = timedelta(days=1)
    slopes = [
        (one.size - other.size) / ((one.began - other.began) / day)
        for one, other in combinations(line, 2)
        if one.began > other.began
    ]
    return median(slopes) if slopes else 0.0


def _drill_fits(facts: Facts, _now: datetime) -> Iterable[Finding]:
    """A drill restores the whole database: it needs the room of one."""
    room = facts.drill
    if room is not None and room.free < room.needed:
        text = f"a drill needs about {room.needed >> 20} MB in {room.folder}, which has {room.free >> 20} MB free"
        yield warning("restore-would-not-fit", facts, text, "let TMPDIR name a folder on a larger disk")


def _key_unproven(facts: Facts, now: datetime) -> Iterable[Finding]:
    """A key that nobody has tried for long may be another by now."""
    limit = facts.limits.key_age
    if facts.max_proof_age:
        limit = max(limit, 2 * facts.max_proof_age)
    sound = [one.began for one in facts.backups if one.state != "damaged"]
    since = facts.opened or min(sound, default=now)
    if facts.keyed and sound and now - since > limit:
        text = f"no backup has been opened with the key for {age(now - since)}"
        yield warning("key-unproven", facts, text, f"run `pgproof verify {facts.source}` or `pgproof prove`")


QUESTIONS = (_elsewhere, _room, _full_soon, _drill_fits, _key_unproven)
