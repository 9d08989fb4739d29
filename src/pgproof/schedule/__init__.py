"""When what is due: cron expressions, their slots in a time zone, and what to do about them now."""

from pgproof.schedule.cron import Cron, longest_gap, parse_cron
from pgproof.schedule.due import (
    Decision,
    Memory,
    Plan,
    cut_off,
    describe,
    due,
    ended,
    late_after,
    missing_from,
    next_wake,
)
from pgproof.schedule.slots import latest_slot, moment_words, next_slot, parse_zone, slots

__all__ = [
    "Cron",
    "Decision",
    "Memory",
    "Plan",
    "cut_off",
    "describe",
    "due",
    "ended",
    "late_after",
    "latest_slot",
    "longest_gap",
    "missing_from",
    "moment_words",
    "next_slot",
    "next_wake",
    "parse_cron",
    "parse_zone",
    "slots",
]
