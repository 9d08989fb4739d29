"""Health: what there is to say about one source's backups, as findings.

Pure: the facts are gathered elsewhere. Green means restorable: without a proven backup nothing is green.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pgproof.finding import GRAVITY, Finding, level
from pgproof.retention import Candidate, clock_leaps, from_the_future, newest_first, span_words, suspicious


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about one source; `other` are findings made elsewhere, such as an unreachable store.

    `max_age` and `max_proof_age` are None where backups or drills are made on demand. `last_proof` is
    the time of the last drill that succeeded, of any backup.
    """

    source: str
    backups: tuple[Candidate, ...] = ()
    last_proof: datetime | None = None
    orphans: int = 0
    other: tuple[Finding, ...] = ()
    max_age: timedelta | None = None
    max_proof_age: timedelta | None = None


def examine(facts: Facts, now: datetime) -> list[Finding]:
    """All findings on one source, the gravest first; a single `ok` when there is nothing to say."""
    found = [*facts.other, *(finding for question in _QUESTIONS for finding in question(facts, now))]
    if level(found) == "ok":
        found.append(_fine(facts, now))
    return sorted(found, key=lambda finding: -GRAVITY[finding.level])


def _fine(facts: Facts, now: datetime) -> Finding:
    newest = next(one for one in newest_first(facts.backups) if one.state == "proven")
    age = _age(now - newest.began)
    return Finding("fine", "ok", facts.source, f"{facts.source}: the last proven backup is {age} old")


def _no_backup(facts: Facts, _now: datetime) -> Iterable[Finding]:
    if any(one.state != "damaged" for one in facts.backups):
        return
    every = "every backup is damaged" if facts.backups else "there is no backup"
    yield _critical("no-backup", facts, every, f"run `pgproof backup {facts.source}` now")


def _no_proven_backup(facts: Facts, now: datetime) -> Iterable[Finding]:
    """A new installation has as long as a drill may take to come; until then it is a warning."""
    sound = [one for one in facts.backups if one.state != "damaged"]
    if not sound or any(one.state == "proven" for one in sound):
        return
    waited = now - min(one.began for one in sound)
    overdue = facts.max_proof_age is not None and waited > facts.max_proof_age
    make = _critical if overdue else _warning
    yield make("no-proven-backup", facts, "no backup has ever been restored and compared", _prove(facts))


def _backup_too_old(facts: Facts, now: datetime) -> Iterable[Finding]:
    newest = next((one for one in newest_first(facts.backups) if one.state != "damaged"), None)
    if newest and facts.max_age is not None and now - newest.began > facts.max_age:
        text = f"the newest good backup is {_age(now - newest.began)} old, more than {_age(facts.max_age)}"
        yield _critical("backup-too-old", facts, text, f"see why it stopped: run `pgproof backup {facts.source}`")


def _proof_too_old(facts: Facts, now: datetime) -> Iterable[Finding]:
    limit, last = facts.max_proof_age, facts.last_proof
    if limit is not None and last is not None and now - last > limit:
        text = f"the last successful drill was {_age(now - last)} ago, more than {_age(limit)}"
        yield _critical("proof-too-old", facts, text, _prove(facts))


def _backup_damaged(facts: Facts, _now: datetime) -> Iterable[Finding]:
    ordered = newest_first(facts.backups)
    sound = next((one.sequence for one in ordered if one.state != "damaged"), -1)
    for one in ordered:
        if one.state == "damaged":
            make = _critical if one.sequence > sound else _warning
            yield make("backup-damaged", facts, f"{one.id} is damaged", f"see `pgproof show {one.id}`")


def _backup_suspicious(facts: Facts, _now: datetime) -> Iterable[Finding]:
    for text in suspicious(facts.backups):
        hint = "look at the source; prune deletes nothing until this is usual or the backup has gone"
        yield _warning("backup-suspicious", facts, text, hint)


def _clock_jumped(facts: Facts, now: datetime) -> Iterable[Finding]:
    """A backup from the future is certain; a long gap may be mere silence, which other codes speak of."""
    hint = "set this machine's clock (chronyc tracking, timedatectl); prune deletes nothing meanwhile"
    for text in from_the_future(facts.backups, now):
        yield _warning("clock-jumped", facts, text, hint)
        return
    for text in clock_leaps(facts.backups, now):
        yield Finding("clock-jumped", "info", facts.source, f"{facts.source}: {text}", hint)


def _orphans(facts: Facts, _now: datetime) -> Iterable[Finding]:
    if facts.orphans:
        files = "1 file belongs" if facts.orphans == 1 else f"{facts.orphans} files belong"
        text = f"{facts.source}: {files} to no backup, as an interrupted run leaves them"
        yield Finding("orphans", "info", facts.source, text, "run `pgproof prune --apply` to sweep them")


_QUESTIONS: tuple[Callable[[Facts, datetime], Iterable[Finding]], ...] = (
    _no_backup,
    _no_proven_backup,
    _backup_too_old,
    _proof_too_old,
    _backup_damaged,
    _backup_suspicious,
    _clock_jumped,
    _orphans,
)


def _critical(code: str, facts: Facts, text: str, hint: str) -> Finding:
    return Finding(code, "critical", facts.source, f"{facts.source}: {text}", hint)


def _warning(code: str, facts: Facts, text: str, hint: str) -> Finding:
    return Finding(code, "warning", facts.source, f"{facts.source}: {text}", hint)


def _prove(facts: Facts) -> str:
    return f"run `pgproof prove {facts.source}`"


def _age(span: timedelta) -> str:
    """In hours below two days, in days above: nobody wants to hear of 31 hours as "1 day"."""
    if span < timedelta(hours=1):
        return "less than an hour"
    return span_words(
        timedelta(hours=span // timedelta(hours=1)) if span < timedelta(days=2) else timedelta(days=span.days)
    )
