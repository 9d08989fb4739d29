"""Health: what there is to say about one source's backups, as findings.

Pure: the facts are gathered elsewhere. Green means restorable: without a proven backup nothing is green.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from pgproof.finding import GRAVITY, Finding, level
from pgproof.monitor.health import backups, runs, stores
from pgproof.monitor.health.backups import moved
from pgproof.monitor.health.facts import Elsewhere, Facts, Room, age
from pgproof.monitor.health.runs import OF_RUNS, last_ended
from pgproof.monitor.health.stores import OF_COPIES
from pgproof.retention import newest_first

__all__ = ["OF_COPIES", "OF_RUNS", "Elsewhere", "Facts", "Room", "examine", "last_ended", "moved"]

_Question = Callable[[Facts, datetime], Iterable[Finding]]
_QUESTIONS: tuple[_Question, ...] = (*backups.QUESTIONS, *runs.QUESTIONS, *stores.QUESTIONS)


def examine(facts: Facts, now: datetime) -> list[Finding]:
    """All findings on one source, the gravest first; a single `ok` when there is nothing to say."""
    found = [*facts.other, *(finding for question in _QUESTIONS for finding in question(facts, now))]
    if level(found) == "ok":
        found.append(_fine(facts, now))
    return sorted(found, key=lambda finding: -GRAVITY[finding.level])


def _fine(facts: Facts, now: datetime) -> Finding:
    newest = next(one for one in newest_first(facts.backups) if one.state == "proven")
    return Finding(
        "fine", "ok", facts.source, f"{facts.source}: the last proven backup is {age(now - newest.began)} old"
    )
