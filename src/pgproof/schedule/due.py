"""Due: what to run now, what to hold back and what to skip, decided purely, each with its reasons.

Whoever asks keeps the memory that each decision carries, before acting on it; that is what makes a slot
run once. The interval from the slot handled before to the one of a decision is what the decision stands
for: every slot is in exactly one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from hashlib import sha256
from itertools import islice
from typing import Literal

from pgproof.schedule.cron import Cron, longest_gap
from pgproof.schedule.slots import latest_slot, moment_words, next_slot, slots

Verdict = Literal["run", "wait", "skip"]
PUNCTUAL = timedelta(minutes=2)  # what is asked for within this time of its slot was not missed
FUTURE = timedelta(days=1)  # a memory from further ahead than this is the work of a wrong clock
SKIPS = 2  # so many slots skipped in a row are worth a finding
_MANY = 100  # missed slots are counted up to here
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Plan:
    """A task for a source on a schedule; a slot that was missed is held back for up to `jitter`."""

    task: str
    source: str
    cron: Cron
    zone: tzinfo
    jitter: timedelta = timedelta(0)

    @property
    def key(self) -> tuple[str, str]:
        """What its memory is kept under."""
        return self.task, self.source


@dataclass(frozen=True, slots=True)
class Memory:
    """What is kept of a plan between two questions; all moments in UTC.

    Slots up to `since` are nobody's. `handled` is the last slot that was run, stood for or skipped;
    `running` when the run that is going on began; `held` until when a pending slot is held back; `skips`
    how many slots were skipped in a row since the last run began, `before` how many before it. `again` once the run of
    a slot was cut off, until one comes to its end.
    """

    since: datetime
    handled: datetime | None = None
    running: datetime | None = None
    held: datetime | None = None
    skips: int = 0
    before: int = 0
    again: bool = False

    @property
    def anchor(self) -> datetime:
        """Slots later than this are still to be handled."""
        return self.handled or self.since


State = Mapping[tuple[str, str], Memory]


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a plan's slot, why, and the memory to keep. `late` is how long after the slot."""

    plan: Plan
    verdict: Verdict
    slot: datetime
    reasons: tuple[str, ...]
    memory: Memory
    late: timedelta = timedelta(0)


def due(plans: Iterable[Plan], state: State, now: datetime, seed: str = "") -> list[Decision]:
    """One decision for each plan that has something to decide at `now` (UTC); plans of one source in order.

    `seed` names this machine: the jitter comes from it, the task and the source. A run that `state`
    holds as going on must be: clear it with `ended` when it ends, and when the service starts.
    """
    busy = _busy(state)
    found = []
    for plan in plans:
        decision = _decide(plan, state.get(plan.key), now, busy.get(plan.source), seed)
        if decision:
            found.append(decision)
        if decision and decision.verdict == "run":
            busy[plan.source] = plan.task
    return found


def ended(memory: Memory) -> Memory:
    """The memory once the run that was going on has ended, however it did."""
    return replace(memory, running=None, again=False)


def cut_off(memory: Memory) -> Memory:
    """The memory once the run that was going on was cut off, as the service or the machine went down: its slot is
    pending again. Once only: what takes the machine down with it is not tried at each start.
    """
    if memory.running is None:
        return memory
    if memory.handled is None or memory.again:
        return ended(memory)
    return replace(memory, running=None, handled=memory.handled - timedelta.resolution, again=True)


def next_wake(plans: Iterable[Plan], state: State, now: datetime) -> datetime:
    """When to ask again at the latest, in UTC; also whenever a run ends. Without plans, in a day.

    A clock that is set does not wake a sleeper: sleep in short pieces.
    """
    busy = _busy(state)
    wakes = (_wake(plan, state.get(plan.key), now, busy=plan.source in busy) for plan in plans)
    return min(wakes, default=now + FUTURE)


def describe(plan: Plan, memory: Memory, now: datetime) -> str:
    """For people: "next backup of keycloak at 2026-11-26 02:00 Europe/Berlin", and what is under way."""
    what = f"{plan.task} of {plan.source}"
    under_way = [f"{what} has been running since {moment_words(memory.running, plan.zone)}"] if memory.running else []
    pending = None if memory.running else _pending(plan, memory, now)
    if pending:
        under_way.append(f"{what} of {moment_words(pending, plan.zone)} is still to run")
    coming = moment_words(_coming(plan, memory, now), plan.zone)
    return "; ".join([*under_way, f"next {what} at {coming}"])


def late_after(plan: Plan) -> timedelta:
    """A run that begins longer than this after its slot is late: a quarter of the longest gap, at most an hour."""
    return max(PUNCTUAL, min(_HOUR, longest_gap(plan.cron) / 4)) + plan.jitter


def missing_from(plan: Plan, last: datetime) -> datetime:
    """From when a run is missing, if the last one began at `last`: a quarter of the longest gap after the next slot.

    Where the gaps are even this is 1.25 of one; counted from the slot it also holds when a clock is changed.
    """
    return next_slot(plan.cron, plan.zone, last) + longest_gap(plan.cron) / 4 + plan.jitter


# -- one plan ---------------------------------------------------------------------------------------


def _decide(plan: Plan, memory: Memory | None, now: datetime, busy: str | None, seed: str) -> Decision | None:
    if memory is None or memory.anchor > now + FUTURE:
        return _begin(plan, memory, now)
    slot = _pending(plan, memory, now)
    if slot is None:
        return None
    if memory.running:
        return _skip(plan, memory, slot, now)
    if busy:
        return _queue(plan, memory, slot, now, busy)
    held = _held(plan, memory, slot, now, seed)
    if held > now:
        why = f"held back until {held:%H:%M:%S} UTC, so that not all hosts begin at once"
        reasons = (*_due_words(plan, memory, slot, now), why)
        return Decision(plan, "wait", slot, reasons, replace(memory, held=held), now - slot)
    again = memory.again and slot - memory.anchor == timedelta.resolution  # and not a later slot's first run
    kept = replace(memory, handled=slot, running=now, held=None, skips=0, before=memory.skips, again=again)
    return Decision(plan, "run", slot, _due_words(plan, memory, slot, now), kept, now - slot)


def _begin(plan: Plan, memory: Memory | None, now: datetime) -> Decision:
    """A plan without a memory, or with one that cannot be believed, begins now."""
    slot = next_slot(plan.cron, plan.zone, now)
    reasons = [f"the first is due at {moment_words(slot, plan.zone)}"]
    if memory:
        ahead = moment_words(memory.anchor, plan.zone)
        reasons = [f"the last slot is remembered as of {ahead}, in the future: the clock was or is wrong", *reasons]
    running = now if memory and memory.running else None
    return Decision(plan, "wait", slot, tuple(reasons), Memory(now, running=running))


def _skip(plan: Plan, memory: Memory, slot: datetime, now: datetime) -> Decision:
    """No overlap: what comes due while the same task runs is not run at all."""
    assert memory.running
    skips = memory.skips + 1
    why = f"the run that began at {moment_words(memory.running, plan.zone)} is still going on"
    reasons = (*_due_words(plan, memory, slot, now), why, *_skips_words(skips))
    return Decision(plan, "skip", slot, reasons, replace(memory, handled=slot, held=None, skips=skips), now - slot)


def _queue(plan: Plan, memory: Memory, slot: datetime, now: datetime, busy: str) -> Decision:
    """Behind another task of its source a slot waits; one that the next catches up with there is skipped."""
    reasons = [*_due_words(plan, memory, slot, now), f"waits until {busy} of {plan.source} has ended"]
    kept = replace(memory, held=now)
    before = latest_slot(plan.cron, plan.zone, memory.anchor, slot - timedelta.resolution)
    if before and memory.held and slot > memory.held:
        kept = replace(kept, handled=before, skips=memory.skips + 1)
        reasons += _skips_words(kept.skips)
    return Decision(plan, "wait", slot, tuple(reasons), kept, now - slot)


def _pending(plan: Plan, memory: Memory, now: datetime) -> datetime | None:
    """The slot to decide about: the last one that has come."""
    if next_slot(plan.cron, plan.zone, memory.anchor) > now:
        return None
    return latest_slot(plan.cron, plan.zone, memory.anchor, now)


def _held(plan: Plan, memory: Memory, slot: datetime, now: datetime, seed: str) -> datetime:
    """Until when the slot is held back. What is remembered counts unless the clock has made nonsense of it."""
    if now - slot <= PUNCTUAL:
        return now
    if memory.held and slot <= memory.held <= now + plan.jitter:
        return memory.held
    return now + _delay(plan, seed)


def _delay(plan: Plan, seed: str) -> timedelta:
    """From 0 to the jitter, in whole seconds, the same for the same seed, task and source."""
    number = int.from_bytes(sha256("\0".join((seed, *plan.key)).encode()).digest()[:8])
    return timedelta(seconds=number % (plan.jitter // timedelta(seconds=1) + 1))


def _busy(state: State) -> dict[str, str]:
    """The task that is going on for each source."""
    return {source: task for (task, source), memory in state.items() if memory.running}


def _wake(plan: Plan, memory: Memory | None, now: datetime, *, busy: bool) -> datetime:
    """While its source is busy, the next slot is soon enough: the end of a run is another reason to ask."""
    if memory is None or memory.anchor > now + FUTURE:
        return now
    if busy or not _pending(plan, memory, now):
        return _coming(plan, memory, now)
    return min(max(now, memory.held or now), _coming(plan, memory, now))


def _coming(plan: Plan, memory: Memory, now: datetime) -> datetime:
    """The slot that comes next and was not handled before the clock was set back."""
    anchor = memory.anchor if memory.anchor <= now + FUTURE else now
    first = next_slot(plan.cron, plan.zone, anchor)
    return first if first > now else next_slot(plan.cron, plan.zone, now)


def _count(plan: Plan, after: datetime, until: datetime) -> int:
    return sum(1 for _ in islice(slots(plan.cron, plan.zone, after, until), _MANY))


# -- in words ---------------------------------------------------------------------------------------


def _due_words(plan: Plan, memory: Memory, slot: datetime, now: datetime) -> tuple[str, ...]:
    found = [f"due at {moment_words(slot, plan.zone)}"]
    if now - slot > PUNCTUAL:
        found.append(f"{timedelta(seconds=round((now - slot).total_seconds()))} late")
    count = _count(plan, memory.anchor, slot)
    if count > 1:
        number = f"{_MANY} or more" if count == _MANY else str(count)
        found.append(f"{number} slots have passed since {moment_words(memory.anchor, plan.zone)}: one stands for all")
    return tuple(found)


def _skips_words(skips: int) -> list[str]:
    return [f"{skips} slots skipped in a row"] if skips >= SKIPS else []
