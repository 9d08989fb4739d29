"""Told: what people know of, and what to tell them next, decided purely."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pgproof.alerting.digest import Digest, Event, Kind, fitting
from pgproof.finding import GRAVITY, Finding, Level

_HOUR = timedelta(hours=1)
_TURNS = 20  # are remembered of what comes and goes; beyond, nobody counts
_AHEAD = timedelta(minutes=1)  # a moment remembered from further ahead is the work of a wrong clock


@dataclass(frozen=True, slots=True)
class Policy:
    """How often to tell. What is new waits until `gap` after the digest before, to come with what else is new.

    More than `most_turns` comings (or changes of level) in an hour are flapping: told once, and hourly at most.
    """

    gap: timedelta = timedelta(minutes=5)
    remind_critical: timedelta = timedelta(days=1)
    remind_warning: timedelta = timedelta(days=7)
    most_turns: int = 3

    def reminder(self, level: Level) -> timedelta:
        return self.remind_critical if level == "critical" else self.remind_warning


@dataclass(frozen=True, slots=True)
class Known:
    """A finding that was told of, or is about to be. All moments in UTC.

    `here` is False where it is over and remembered only because it may come again. `turns` are the last hour's
    comings and changes of level, `moved` the last time that it came, went or changed, `told` the last event. `count`
    is how many findings it has spoken for at most since it is here, 0 where that was not remembered.
    """

    source: str
    code: str
    level: Level
    text: str
    hint: str
    since: datetime
    told: datetime
    moved: datetime
    turns: tuple[datetime, ...] = ()
    here: bool = True
    flapping: bool = False
    count: int = 0

    @property
    def key(self) -> tuple[str, str]:
        return self.source, self.code

    def event(self, kind: Kind, now: datetime, before: str = "") -> Event:
        times = len(self.turns) if kind == "flapping" else 0
        said = (self.source, self.code, self.text, self.hint, self.since)
        return Event(kind, now, self.level, *said, before, times)


@dataclass(frozen=True, slots=True)
class Told:
    """The memory: every finding that stands or flaps, what waits for the next digest, and when the last one was."""

    known: tuple[Known, ...] = ()
    waiting: tuple[Event, ...] = ()
    more: int = 0
    last: datetime | None = None


def decide(
    told: Told,
    findings: Sequence[Finding],
    now: datetime,
    policy: Policy | None = None,
    blind: Collection[tuple[str, str]] = (),
) -> tuple[Told, Digest | None]:
    """The memory to keep, and what is to be told at `now` (UTC), if anything is.

    `findings` are all there are: one that is missing is over, unless it is in `blind`: by source and code what could
    not be examined, by source and "" all that there is to say of a source. A finding is known by its source and code;
    of several the gravest speaks. What is ok or info is nothing to tell.
    """
    rules = policy or Policy()
    seen = _standing(findings)
    known = {one.key: one for one in told.known}
    events, kept = [], []
    for key in sorted(seen.keys() | known.keys()):
        before = known.get(key)
        found = seen.get(key)
        if found is None and before and before.here and not {key, (before.source, "")}.isdisjoint(blind):
            found = _Standing(Finding(before.code, before.level, before.source, before.text, before.hint), before.count)
        after, event = _follow(before, found, now, rules)
        kept += [after] if after else []
        events += [event] if event else []
    waiting, more = fitting((*told.waiting, *events))
    fresh = Told(tuple(kept), waiting, told.more + more, told.last)
    if not waiting or (told.last and not _passed(told.last, now, rules.gap)):
        return fresh, None
    digest = Digest(now, waiting, sum(one.here for one in kept), fresh.more)
    return Told(fresh.known, (), 0, now), digest


@dataclass(frozen=True, slots=True)
class _Standing:
    """What speaks for the findings of one source and code, and how many there are."""

    finding: Finding
    count: int = 1


def _standing(findings: Iterable[Finding]) -> dict[tuple[str, str], _Standing]:
    """What is worth an alert, by source and code; of several of one code the gravest, and how many there are."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for one in findings:
        if GRAVITY[one.level] >= GRAVITY["warning"]:
            groups.setdefault((one.source, one.code), []).append(one)
    return {key: _spokesman(group) for key, group in groups.items()}


def _spokesman(group: list[Finding]) -> _Standing:
    first = max(group, key=lambda one: GRAVITY[one.level])
    if len(group) == 1:
        return _Standing(first)
    return _Standing(replace(first, text=f"{first.text} (and {len(group) - 1} more like it)"), len(group))


def _follow(
    before: Known | None, found: _Standing | None, now: datetime, rules: Policy
) -> tuple[Known | None, Event | None]:
    """One finding from one examination to the next: what to remember of it, and what to tell."""
    after = _moved(before, found, now)
    if after is None:
        return None, None
    if after.flapping:
        return _flap(after, now)
    if len(after.turns) > rules.most_turns:
        return _tell(replace(after, flapping=True), "flapping", now)
    if before and not before.here and not after.here:
        return (None if _passed(after.moved, now, _HOUR) else after), None
    kind = _kind(before, after, now, rules)
    return _tell(after, kind, now, before.level if before and kind == "changed" else "") if kind else (after, None)


def _kind(before: Known | None, after: Known, now: datetime, rules: Policy) -> Kind | None:
    if before is None or after.here != before.here:
        return "new" if after.here else "recovered"
    if after.level != before.level or after.count > before.count > 0:
        return "changed"
    return "reminder" if _passed(after.told, now, rules.reminder(after.level)) else None


def _moved(before: Known | None, found: _Standing | None, now: datetime) -> Known | None:
    """The finding as it is now, with its turns; None where there never was one."""
    if before is None:
        return None if found is None else _known(found, now)
    turns = tuple(turn for turn in before.turns if now - _HOUR < turn <= now)[-_TURNS:]
    if found is None:
        return replace(before, turns=turns, here=False, moved=now if before.here else before.moved)
    of = found.finding
    count = max(before.count, found.count) if before.here else found.count
    after = replace(before, turns=turns, level=of.level, text=of.text, hint=of.hint, here=True, count=count)
    if not before.here:
        return replace(after, since=now, moved=now, turns=(*turns, now))
    if before.level != of.level:
        return replace(after, moved=now, turns=(*turns, now))
    return after


def _known(found: _Standing, now: datetime) -> Known:
    of = found.finding
    said = (of.source, of.code, of.level, of.text, of.hint)
    return Known(*said, since=now, told=now, moved=now, turns=(now,), count=found.count)


def _flap(known: Known, now: datetime) -> tuple[Known | None, Event | None]:
    """One that flaps settles when it has not moved for an hour: how, is told."""
    if _passed(known.moved, now, _HOUR):
        return _tell(replace(known, flapping=False), "reminder" if known.here else "recovered", now)
    if _passed(known.told, now, _HOUR):
        return _tell(known, "flapping", now)
    return known, None


def _tell(known: Known, kind: Kind, now: datetime, before: str = "") -> tuple[Known, Event]:
    return replace(known, told=now), known.event(kind, now, before)


def _passed(since: datetime, now: datetime, span: timedelta) -> bool:
    """Whether so long has passed; also when the clock says that it has not even begun."""
    return now - since >= span or since > now + _AHEAD
