"""Slots: the moments at which a schedule is due in a time zone, each exactly once across changes of the clock.

Two rules, both about what a clock on the wall of that zone shows:

- A schedule for certain hours is due at the first moment at which the clock shows its time or a later
  one. So a time in the spring gap is due when the gap ends, several times in one gap are due there
  together, once; a time in the autumn's double hour is due at its first occurrence; and what falls on a
  day that the zone leaves out is due when the next day begins.
- A schedule for every hour is due whenever the clock shows its time: nothing in the gap, twice in the
  double hour, so that an hourly run comes once in each hour that passes.
"""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import chain
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pgproof.errors import ConfigError
from pgproof.schedule.cron import Cron

_TICK = timedelta.resolution
_STEP = timedelta(days=1)  # how far apart a zone's offset is looked at; two changes within it, back and forth, hide
_LONGEST_REPEAT = timedelta(days=2)  # Kwajalein showed a whole day twice, in 1969
_ALWAYS_WITHIN = timedelta(days=366 * 41)  # a 29 February of a given weekday comes every 40 years at the latest


def slots(cron: Cron, zone: tzinfo, after: datetime, until: datetime) -> Iterator[datetime]:
    """The slots later than `after`, up to and with `until`: aware, in UTC, in order, none twice."""
    every_hour = len(cron.hours) == 24
    times, last = cron.times(), after
    shown = max(_wall(end, offset) for _, end, offset in _stretches(zone, after - _LONGEST_REPEAT, after + _TICK))
    for begin, end, offset in _stretches(zone, after + _TICK, until + _TICK):
        low = _wall(begin, offset) if every_hour else shown
        shown = max(shown, _wall(end, offset))
        for wall in _walls(cron, times, low, _wall(end, offset)):
            moment = max((wall - offset).replace(tzinfo=UTC), begin)
            if moment > last:
                yield moment
            last = moment


@lru_cache(maxsize=1024)  # whoever waits for a slot asks for the same one again and again
def next_slot(cron: Cron, zone: tzinfo, after: datetime) -> datetime:
    """The first slot later than `after`, in UTC."""
    return next(slots(cron, zone, after, after + _ALWAYS_WITHIN))


def latest_slot(cron: Cron, zone: tzinfo, after: datetime, until: datetime) -> datetime | None:
    """The last of the slots later than `after`, up to and with `until`; quick also over many years."""
    span = timedelta(hours=1)
    while until > after:
        begin = max(after, until - span)
        found = deque(slots(cron, zone, begin, until), maxlen=1)
        if found or begin == after:
            return found[0] if found else None
        span *= 24
    return None


def parse_zone(name: str) -> tzinfo:
    """The time zone of this name in the machine's time zone database; UTC needs none. Raises ConfigError."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = 'write a name such as "Europe/Berlin" or "UTC"; if the name is right, install tzdata'
        raise ConfigError(f"there is no time zone {name!r} on this machine", hint=hint) from None


def moment_words(moment: datetime, zone: tzinfo) -> str:
    """As people of that zone read it: "2026-11-26 02:00 Europe/Berlin"; with its offset where that shows twice."""
    local = moment.astimezone(zone)
    twice = local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()
    return f"{local:%Y-%m-%d %H:%M}" + (f" ({local:%z})" if twice else "") + f" {zone}"


def _wall(moment: datetime, offset: timedelta) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) + offset


def _walls(cron: Cron, times: list[time], low: datetime, high: datetime) -> Iterator[datetime]:
    """The schedule's times by the calendar alone, from `low` to before `high`."""
    days = (low.date() + timedelta(days=number) for number in range((high.date() - low.date()).days + 1))
    every = chain.from_iterable((datetime.combine(day, one) for one in times) for day in days if cron.fits(day))
    return (wall for wall in every if low <= wall < high)


def _stretches(zone: tzinfo, begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """From `begin` to before `end`, in pieces within which the zone's offset does not change, and that offset."""
    begin, end = begin.astimezone(UTC), end.astimezone(UTC)
    while begin < end:
        offset, ahead = _offset(zone, begin), min(begin + _STEP, end)
        if _offset(zone, ahead) != offset:
            ahead = _change(zone, begin, ahead)
        yield begin, ahead, offset
        begin = ahead


def _change(zone: tzinfo, low: datetime, high: datetime) -> datetime:
    """The first moment after `low` at which the offset is another; at `high` it is."""
    offset = _offset(zone, low)
    while high - low > _TICK:
        middle = low + (high - low) // 2
        low, high = (middle, high) if _offset(zone, middle) == offset else (low, middle)
    return high


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)
