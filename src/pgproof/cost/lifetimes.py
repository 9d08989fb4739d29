"""How many backups are held, and how old each is when it goes: retention played out over years of a schedule."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from pgproof.retention import Candidate, Policy, decide

MONTH = timedelta(days=365.25 / 12)  # 30.4375 days: prices are per month, schedules by days
_DAY = timedelta(days=1)
_LONGEST = timedelta(days=15 * 366)  # what is kept for longer counts as kept for ever
_WARM_UP_STEP = timedelta(days=30)
_LEAST_WINDOW, _WINDOW = timedelta(days=60), timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """The steady state: backups held on average, made and deleted in a month; `ages` at deletion, in days."""

    held: float
    made: float
    deleted: float
    ages: tuple[float, ...] = ()


def timeline(policy: Policy, gap: timedelta) -> timedelta:
    """How much time `simulate` needs: up to the first backup, as long as any rule reaches back, and as long as is
    looked at after that.

    `gap` is the longest time between two backups.
    """
    return _whole_days(_reach(policy, gap)) + _whole_days(_window(policy, gap)) + _whole_days(gap)


def evenly(gap: timedelta, policy: Policy, first: datetime) -> list[datetime]:
    """Moments `gap` apart, as many as `simulate` needs: for sources that have no schedule."""
    return [first + gap * number for number in range(timeline(policy, gap) // gap + 1)]


def simulate(moments: Sequence[datetime], policy: Policy, gap: timedelta) -> Lifetimes:
    """What is held and deleted once the oldest backups go as fast as new ones come.

    `moments` are those of the backups, ascending, over at least `timeline(policy, gap)`. All are alike, good and
    proven, and prune runs at the end of every day (UTC). `most` and pins are not looked at. Raises ConfigError for
    an empty policy.
    """
    if not moments:
        return Lifetimes(0.0, 0.0, 0.0)
    plain = replace(policy, most=None)
    start = moments[0].astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    opens = start + _whole_days(_reach(policy, gap))
    closes = opens + _whole_days(_window(policy, gap))
    gone: list[tuple[datetime, datetime]] = []
    held: list[Candidate] = []
    made = 0
    for now in _prunes(start, opens, closes):
        upto = bisect_left(moments, now)  # one that begins this moment is not there yet
        held += [_candidate(number, moments[number]) for number in range(made, upto)]
        made = upto
        going = _going(held, plain, now)
        gone += [(one.began, now) for one in held if one.id in going]
        held = [one for one in held if one.id not in going]
    spans = [*gone, *((one.began, closes) for one in held)]
    return _measured(spans, [pair for pair in gone if pair[1] > opens], opens, closes)


def _going(held: Sequence[Candidate], policy: Policy, now: datetime) -> set[str]:
    """Which ones a prune deletes. Of those within `keep_within`, which all stay, only those are asked about that
    another rule can count: hundreds of hourly ones would take seconds, and change no verdict.
    """
    begins = bisect_left(held, now - (policy.keep_within or timedelta()), key=lambda one: one.began)
    old, young = held[:begins], held[begins:]
    hourly = bool(policy.keep_hourly)
    newest = {(one.began.date(), one.began.hour * hourly): one for one in young}
    last = young[-max(policy.keep_last, policy.keep_proven) :]
    asked = {one.id: one for one in (*old, *newest.values(), *last)}
    return {verdict.id for verdict in decide(asked.values(), policy, now) if not verdict.keep}


def _measured(
    spans: Sequence[tuple[datetime, datetime]],
    gone: Sequence[tuple[datetime, datetime]],
    opens: datetime,
    closes: datetime,
) -> Lifetimes:
    """The averages over the window; a backup counts for the time that it is there, as bills do."""
    window = closes - opens
    there = sum((min(end, closes) - max(began, opens) for began, end in spans if end > opens), timedelta())
    ages = tuple((end - began) / _DAY for began, end in gone)
    made = sum(opens <= began < closes for began, _ in spans)
    return Lifetimes(there / window, made * (MONTH / window), len(ages) * (MONTH / window), ages)


def _prunes(start: datetime, opens: datetime, closes: datetime) -> Iterator[datetime]:
    """When prune runs: seldom while the past fills up (the outcome is the same), then daily."""
    now = start
    while now + _WARM_UP_STEP < opens:
        now += _WARM_UP_STEP
        yield now
    yield opens
    now = opens
    while now < closes:
        now += _DAY
        yield now


def _reach(policy: Policy, gap: timedelta) -> timedelta:
    """How far back any rule of the policy can hold a backup."""
    units = (
        (policy.keep_last, timedelta()),
        (policy.keep_hourly, timedelta(hours=1)),
        (policy.keep_daily, _DAY),
        (policy.keep_weekly, timedelta(days=7)),
        (policy.keep_monthly, timedelta(days=31)),
        (policy.keep_yearly, timedelta(days=366)),
    )
    longest = max(number * max(unit, gap) for number, unit in units)
    guarded = (policy.keep_proven + 4) * gap  # as retention does not trust the clock before it has seen a few gaps
    return min(max(longest, policy.keep_within or timedelta(), guarded) + 2 * gap + _DAY, _LONGEST)


def _window(policy: Policy, gap: timedelta) -> timedelta:
    """How long to look: a year where weeks, months or years matter, so that each rule has let something go."""
    calendar = policy.keep_weekly or policy.keep_monthly or policy.keep_yearly
    return min(max(_WINDOW if calendar else _LEAST_WINDOW, 12 * gap), _LONGEST)


def _whole_days(span: timedelta) -> timedelta:
    return -(-span // _DAY) * _DAY


def _candidate(number: int, began: datetime) -> Candidate:
    return Candidate(str(number), number, began, "proven", pinned=False, size=1, rows=1)
