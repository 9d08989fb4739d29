"""The schedule as a file for /etc/cron.d (crontab(5))."""

import shlex

from pgproof.errors import UsageError
from pgproof.schedule.cron import ALIASES, parse_cron
from pgproof.schedule.written.setup import MARK, STATE, Setup, Written, check_setup, runs

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ZONE = """\
# CRON_TZ is honoured by cronie (Fedora, Arch). Debian's cron reads it and goes by the machine's own zone: the hours
# below are then those of that zone. Set the machine's zone, or take `--as systemd` or `pgproof run`.
"""
_HEAD = """\
# A task that fails says so on standard error, and cron mails that to the user, or to:
# MAILTO=you@example.org
# Secrets that the configuration takes from the environment are not here: anybody can read this file.
SHELL=/bin/sh
"""


def crontab(setup: Setup) -> Written:
    """The file. Raises UsageError for names that cron cannot take."""
    check_setup(setup)
    if any(one.isspace() for one in setup.user):
        raise UsageError(f"cron takes no user called {setup.user!r}", hint="a user's name has no blanks there")
    lines = [MARK, _HEAD + f"PATH={PATH}"]
    if setup.state != STATE:
        lines.append(f'PGPROOF_STATE="{_plain(setup.state)}"')
    if setup.zone:
        lines.append(f"{_ZONE}CRON_TZ={setup.zone}")
    lines += ["", *(f"{cron_fields(text)} {setup.user} {_command(setup.command(task))}" for task, text in setup.tasks)]
    return Written("pgproof", "\n".join(lines) + "\n")


def cron_fields(text: str) -> str:
    """The five fields in the form that every cron reads: no names, no aliases, no "5/10", which Debian's refuses."""
    cron = parse_cron(text)
    fields = ALIASES.get(text.strip().lower(), text).lower().split()
    days, weekdays = _starred(fields[2], cron.days, 31), _starred(fields[4], cron.weekdays, 7)
    return f"{_listed(cron.minutes, 60)} {_listed(cron.hours, 24)} {days} {_listed(cron.months, 12)} {weekdays}"


def _starred(field: str, numbers: frozenset[int], count: int) -> str:
    """With a star in front, day and weekday are joined by "and": there it has to stay."""
    if not field.startswith("*"):
        return _numbers(numbers)
    first, comma, _ = field.partition(",")
    return "*" if len(numbers) == count else f"{first},{_numbers(numbers)}" if comma else first


def _listed(numbers: frozenset[int], count: int) -> str:
    return "*" if len(numbers) == count else _numbers(numbers)


def _numbers(numbers: frozenset[int]) -> str:
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs(numbers))


def _command(words: tuple[str, ...]) -> str:
    """A line for the shell; cron ends the command at a % without a backslash, and takes that backslash away."""
    return " ".join(shlex.quote(_plain(word)) for word in words).replace("%", "\\%")


def _plain(text: str) -> str:
    """Crons differ in what they make of a backslash. Raises UsageError."""
    if "\\" in text or '"' in text:
        raise UsageError(f"{text!r} cannot be written for cron", hint="use a path without backslashes and quotes")
    return text
