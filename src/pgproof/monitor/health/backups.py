"""Health of the backups themselves: that there are some, proven, young, whole, and like those before."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from statistics import median

from pgproof.finding import Finding, Level
from pgproof.monitor.health.facts import Facts, age, critical, finding, usual_length, warning
from pgproof.retention import clock_leaps, from_the_future, newest_first, suspicious
from pgproof.thresholds import USUAL, Thresholds

TWICE = 2
NAMED = 3  # tables are named in a finding, the furthest moved


def _no_backup(facts: Facts, _now: datetime) -> Iterable[Finding]:
    if any(one.state != "damaged" for one in facts.backups):
        return
    every = "every backup is damaged" if facts.backups else "there is no backup"
    yield critical("no-backup", facts, every, f"run `pgproof backup {facts.source}` now")


def _kind_without_backup(facts: Facts, _now: datetime) -> Iterable[Finding]:
    """One kind that works must not hide another that never did."""
    there = {one.kind for one in facts.backups if one.state != "damaged"}
    for kind in facts.kinds if there else ():
        if kind not in there:
            hint = f"run `pgproof backup {facts.source} --kind {kind}` now"
            yield critical("no-backup", facts, f"there is no backup of the kind {kind}", hint)


def _no_proven_backup(facts: Facts, now: datetime) -> Iterable[Finding]:
    """A new installation has as long as a drill may take to come; until then it is a warning."""
    sound = [one for one in facts.backups if one.state != "damaged"]
    if not sound or any(one.state == "proven" for one in sound):
        return
    waited = now - min(one.began for one in sound)
    overdue = facts.max_proof_age is not None and waited > facts.max_proof_age
    make = critical if overdue else warning
    yield make("no-proven-backup", facts, "no backup has ever been restored and compared", _prove(facts))


def _backup_too_old(facts: Facts, now: datetime) -> Iterable[Finding]:
    """Of each kind that is configured. A backup is old from its begin, and there only from its end: so it may be older
    by as long as one usually takes.
    """
    sound = [one for one in newest_first(facts.backups) if one.state != "damaged"]
    for kind in facts.kinds or ("",):
        newest = next((one for one in sound if kind in ("", one.kind)), None)
        limit = facts.max_age + usual_length(facts, kind) if facts.max_age is not None else None
        if newest and limit is not None and now - newest.began > limit:
            which = f"good {kind} backup" if len(facts.kinds) > 1 else "good backup"
            text = f"the newest {which} is {age(now - newest.began)} old, more than {age(limit)}"
            yield critical("backup-too-old", facts, text, f"see why it stopped: run `pgproof backup {facts.source}`")


def _proof_too_old(facts: Facts, now: datetime) -> Iterable[Finding]:
    limit, last = facts.max_proof_age, facts.last_proof
    if limit is not None and last is not None and now - last > limit:
        text = f"the last successful drill was {age(now - last)} ago, more than {age(limit)}"
        yield critical("proof-too-old", facts, text, _prove(facts))


def _backup_damaged(facts: Facts, _now: datetime) -> Iterable[Finding]:
    ordered = newest_first(facts.backups)
    sound = next((one.sequence for one in ordered if one.state != "damaged"), -1)
    for one in ordered:
        if one.state == "damaged":
            make = critical if one.sequence > sound else warning
            yield make("backup-damaged", facts, f"{one.id} is damaged", f"see `pgproof show {one.id}`")


def _number_twice(facts: Facts, _now: datetime) -> Iterable[Finding]:
    """Both may be whole; that one of them is not what followed the one before it is what is to be known."""
    for older, newer in pairwise(reversed(newest_first(facts.backups))):
        if older.sequence == newer.sequence:
            text = f"{older.id} and {newer.id} have the same sequence number: one of them was put back from elsewhere"
            hint = "or two machines made them while the store's listing lagged; see `pgproof show` of both"
            yield warning("number-twice", facts, text, hint)


def _backup_suspicious(facts: Facts, _now: datetime) -> Iterable[Finding]:
    for text in suspicious(facts.backups, facts.limits):
        hint = "look at the source; prune deletes nothing until this is usual or the backup has gone"
        yield warning("backup-suspicious", facts, text, hint)


def _clock_jumped(facts: Facts, now: datetime) -> Iterable[Finding]:
    """A backup from the future is certain; a long gap may be mere silence, which other codes speak of."""
    hint = "set this machine's clock (chronyc tracking, timedatectl); prune deletes nothing meanwhile"
    for text in from_the_future(facts.backups, now):
        yield warning("clock-jumped", facts, text, hint)
        return
    for text in clock_leaps(facts.backups, now):
        yield Finding("clock-jumped", "info", facts.source, f"{facts.source}: {text}", hint)


def _tables_moved(facts: Facts, _now: datetime) -> Iterable[Finding]:
    """Tables far from their usual rows: a total that looks usual hides them. To grow alone is information."""
    found = moved(facts.rows, facts.limits)
    lost = [words for words, before, now in found if now < before]
    grown = [words for words, before, now in found if now > before]
    kinds = (("tables lost rows", lost), ("tables grew", grown))
    said = [f"{what}: {_named(tables)}" for what, tables in kinds if tables]
    if said:
        level: Level = "warning" if lost else "info"
        hint = "look at the source: was it emptied on purpose? `pgproof keep` pins the backup before"
        yield finding("tables-moved", level, facts, "; ".join(said), hint if lost else "look at the source")


def moved(rows: Sequence[Mapping[str, int]], limits: Thresholds = USUAL) -> list[tuple[str, float, int]]:
    """Tables whose rows are far from the median of the backups before, the furthest first: in words, before, now.

    Far is below half or above five times, by a hundred rows at least, and beyond five times the median deviation,
    by `limits`. What was so twice before is as usual: a table that is emptied every other day is no news when empty.
    """
    if len(rows) < 2:
        return []
    newest, earlier = rows[0], rows[1 : 1 + limits.look_back]
    found = []
    for name in sorted({name for one in earlier for name in one} | set(newest)):
        series = [one[name] for one in earlier if name in one]
        if not series:
            continue
        usual, now = median(series), newest.get(name, 0)
        spread = median(abs(one - usual) for one in series)
        fewer, more = sum(one <= now for one in series), sum(one >= now for one in series)
        less = now < usual * limits.smaller and fewer < TWICE
        far = less or (usual and now > usual * limits.larger and more < TWICE)
        if far and abs(now - usual) >= max(limits.fewest_rows, limits.deviations * spread):
            gone = "gone" if name not in newest else f"{now:,}"
            found.append((f"{name} {usual:,.0f} -> {gone}", usual, now))
    return sorted(found, key=lambda one: -abs(one[2] - one[1]))


def _named(words: Sequence[str]) -> str:
    more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
    return ", ".join(words[:NAMED]) + more


def _orphans(facts: Facts, _now: datetime) -> Iterable[Finding]:
    if facts.orphans:
        files = "1 file belongs" if facts.orphans == 1 else f"{facts.orphans} files belong"
        text = f"{facts.source}: {files} to no backup, as an interrupted run leaves them"
        yield Finding("orphans", "info", facts.source, text, "run `pgproof prune --apply` to sweep them")


QUESTIONS = (
    _no_backup,
    _kind_without_backup,
    _no_proven_backup,
    _backup_too_old,
    _proof_too_old,
    _backup_damaged,
    _number_twice,
    _backup_suspicious,
    _tables_moved,
    _clock_jumped,
    _orphans,
)


def _prove(facts: Facts) -> str:
    return f"run `pgproof prove {facts.source}`"
