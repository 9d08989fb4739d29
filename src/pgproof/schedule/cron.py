"""Cron expressions: read and checked, asked on which days and at which times, and how far apart at most."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, time, timedelta
from functools import lru_cache
from itertools import pairwise

from pgproof.errors import ConfigError

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_STEP = re.compile(r"(?P<low>\*|\w+)(-(?P<high>\w+))?(/(?P<step>[0-9]{1,3}))?", re.ASCII)
_FIRST, _SPAN = date(2024, 1, 1), 3654  # days: ten years, in which every date comes twice


@dataclass(frozen=True, slots=True)
class Cron:
    """The five fields as sets; 0 is Sunday. `either`: by month or by week is enough for a day to fit."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool

    def fits(self, day: date) -> bool:
        """Whether the schedule has slots on this day."""
        by_month, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (by_month or by_week if self.either else by_month and by_week)

    def times(self) -> list[time]:
        """The times of day at which it is due, in order."""
        return [time(hour, minute) for hour in sorted(self.hours) for minute in sorted(self.minutes)]


@lru_cache(1024)
def parse_cron(text: str) -> Cron:
    """The expression's fields: five, or an alias such as @daily. Raises ConfigError."""
    fields = ALIASES.get(text.strip().lower(), text).lower().split()
    if len(fields) != 5:
        raise ConfigError("a schedule has five fields", hint=_HINT)
    minutes, hours, days, months, weekdays = fields
    cron = Cron(
        _numbers(minutes, 0, 59),
        _numbers(hours, 0, 23),
        _numbers(days, 1, 31),
        _numbers(months, 1, 12, _MONTHS),
        frozenset(number % 7 for number in _numbers(weekdays, 0, 7, _WEEKDAYS)),
        either=not days.startswith("*") and not weekdays.startswith("*"),
    )
    if next(_days(cron), None) is None:
        raise ConfigError("this day never comes", hint="look at the day of the month and the month")
    return cron


@lru_cache(1024)
def longest_gap(cron: Cron) -> timedelta:
    """The longest time between two moments of the schedule, by a clock that is never changed."""
    times = [timedelta(hours=one.hour, minutes=one.minute) for one in cron.times()]
    within = [later - earlier for earlier, later in pairwise(times)]
    between = [later - earlier + times[0] - times[-1] for earlier, later in pairwise(_days(cron))]
    return max([*within, *between], default=timedelta(days=_SPAN))


_HINT = 'minute, hour, day of month, month, weekday: "0 2 * * *" is every night at two; "none" is on demand only'


def _days(cron: Cron) -> Iterator[date]:
    every = (_FIRST + timedelta(days=number) for number in range(_SPAN))
    return (day for day in every if cron.fits(day))


def _numbers(field: str, least: int, most: int, names: tuple[str, ...] = ()) -> frozenset[int]:
    return frozenset(number for piece in field.split(",") for number in _range(piece, least, most, names))


def _range(piece: str, least: int, most: int, names: tuple[str, ...]) -> range:
    match = _STEP.fullmatch(piece)
    if not match:
        raise ConfigError(f"{piece!r} is not a field of a schedule", hint=_HINT)
    step = int(match["step"] or 1)
    if match["low"] == "*":
        low, high = least, most
    else:
        low = _number(match["low"], least, names)
        high = _number(match["high"], least, names) if match["high"] else most if match["step"] else low
    if not (least <= low <= high <= most and step > 0 and not (match["low"] == "*" and match["high"])):
        raise ConfigError(f"{piece!r} is outside {least} to {most} in a schedule", hint=_HINT)
    return range(low, high + 1, step)


def _number(word: str, least: int, names: tuple[str, ...]) -> int:
    if word in names:
        return names.index(word) + least
    return int(word) if word.isdigit() else -1
