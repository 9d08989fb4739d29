"""The schedule written down for schedulers of others: cron, systemd, Compose. Text alone; nothing is installed here."""

from pgproof.schedule.written.calendar import on_calendar
from pgproof.schedule.written.compose import compose
from pgproof.schedule.written.crontab import cron_fields, crontab
from pgproof.schedule.written.setup import MARK, STATE, WORDS, Setup, Written, check_setup
from pgproof.schedule.written.units import units

__all__ = [
    "MARK",
    "STATE",
    "WORDS",
    "Setup",
    "Written",
    "check_setup",
    "compose",
    "cron_fields",
    "crontab",
    "on_calendar",
    "units",
]
