"""Cron expressions as calendar events of systemd (systemd.time(7))."""

from pgproof.schedule.cron import Cron
from pgproof.schedule.written.setup import runs

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def on_calendar(cron: Cron, zone: str = "") -> list[str]:
    """Values of OnCalendar= that together are due when `cron` is; `zone` "" is the machine's own.

    Two where either the day of the month or the weekday is enough: systemd itself joins them by "and". They differ
    from our slots where a clock is changed: systemd leaves out what falls into the gap in spring, and of the
    double hour in autumn takes one.
    """
    by_week = _weekdays(cron)
    by_month = f"*-{_listed(cron.months, 12)}-{_listed(cron.days, 31)}"
    any_day = f"*-{_listed(cron.months, 12)}-*"
    days = [by_month, f"{by_week}{any_day}"] if cron.either else [f"{by_week}{by_month}"]
    time = f"{_listed(cron.hours, 24, first=0)}:{_listed(cron.minutes, 60, first=0)}:00"
    return [" ".join(filter(None, (day, time, zone))) for day in days]


def _listed(numbers: frozenset[int], count: int, *, first: int = 1) -> str:
    if numbers == frozenset(range(first, first + count)):
        return "*"
    return ",".join(f"{low:02}" if low == high else f"{low:02}..{high:02}" for low, high in runs(numbers))


def _weekdays(cron: Cron) -> str:
    """The weekdays and a blank; nothing for all seven. systemd's week begins on Monday."""
    if len(cron.weekdays) == 7:
        return ""
    found = runs((number - 1) % 7 for number in cron.weekdays)
    names = [(_WEEKDAYS[low], _WEEKDAYS[high]) for low, high in found]
    return ",".join(low if low == high else f"{low}..{high}" for low, high in names) + " "
