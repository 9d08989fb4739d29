"""The plan of a recovery: which backup and why, what is lost, what is done, how long, and the way back; pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from pgproof.actions.temporary import shortened
from pgproof.errors import Refused
from pgproof.manifest import Kind, Manifest, stamp_of
from pgproof.repository import Backup
from pgproof.run import Run

_MEASURED = ("recover-drill", "recover", "restore", "prove")  # the nearest to what will happen first
_HASH_DIGITS = 12


def thing(kind: Kind) -> str:
    """What is recovered, in a word."""
    return "volume" if kind == "volume" else "database"


def argument(source: str, kind: Kind, reach: str) -> str:
    """The words by which `pgproof recover` knows it; `reach` are options for where there is no configuration."""
    return f"{source}:volume {reach}".rstrip() if kind == "volume" else f"{source} {reach}".rstrip()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backup that could be recovered from, and the stores that have it, in the order of the configuration."""

    backup: Backup
    stores: tuple[str, ...]

    @property
    def manifest(self) -> Manifest:
        return self.backup.manifest

    @property
    def proof(self) -> str:
        """The last drill in words, "" where there was none."""
        drills = [one for one in self.backup.records if one.kind == "drill" and one.ok]
        if not drills:
            return ""
        last = max(drills, key=lambda one: one.at)
        return f"drill of {last.at:%Y-%m-%d %H:%M:%S} UTC: {len(last.tables)} tables equal in {last.seconds:.1f} s"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a plan is made from, once the chosen backup's bytes have been authenticated."""

    source: str
    server: str
    container: str
    database: str
    existed: bool
    old_size: int
    system_identifier: str
    chosen: Candidate
    store: str
    reasons: tuple[str, ...]
    restore_steps: tuple[str, ...]
    missing_roles: tuple[str, ...]
    collation: str
    services: tuple[tuple[str, str], ...]  # name, and how it is stopped
    runs: tuple[Run, ...]
    free: int | None = None  # bytes, where anybody can tell
    said: tuple[str, ...] = ()  # by the application, or of the container: what has to be known before
    mark: str = ""  # of what has the name now (Ground.mark): a plan that was carried out cannot be agreed to again
    reach: str = ""  # options by which it is found where there is no configuration

    @property
    def thing(self) -> str:
        return thing(self.chosen.manifest.kind)

    @property
    def argument(self) -> str:
        return argument(self.source, self.chosen.manifest.kind, self.reach)


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done. `hash` is over all that matters, and not over the time at which it was made."""

    backup: str
    store: str
    server: str
    container: str
    database: str
    system_identifier: str
    new: str
    aside: str
    existed: bool
    lost_from: datetime
    lost_minutes: float
    reasons: tuple[str, ...]
    steps: tuple[str, ...]
    warnings: tuple[str, ...]
    estimate_seconds: float | None
    back: str
    hash: str
    thing: str = "database"


def choose(
    candidates: Iterable[Candidate], broken: Iterable[str], backup: str | None = None, at: datetime | None = None
) -> tuple[tuple[Candidate, ...], tuple[str, ...]]:
    """The backups to try, the best first, and why others were passed over. Raises Refused when there is none.

    Only proven ones, the newest first, begun at or before `at`; of one that is named, that one, if no damage is known.
    """
    ordered = sorted(candidates, key=lambda one: one.manifest.began, reverse=True)
    if backup is not None:
        return _named(ordered, backup)
    early = [one for one in ordered if at is None or one.manifest.began <= at]
    fit = tuple(one for one in early if one.backup.state == "proven")
    if not fit:
        when = f" that began at or before {at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
        others = ", ".join(one.backup.id for one in early[:3])
        hint = f"there are: {others}; `pgproof prove` tries one, --backup takes one all the same" if others else ""
        raise Refused(f"there is no proven backup{when}", hint=hint or "`pgproof list` shows what there is")
    newer = [one for one in early if one.manifest.began > fit[0].manifest.began]
    passed = [f"{one.backup.id} is newer and {one.backup.state}, not proven: passed over" for one in newer]
    return fit, (*(f"passed over: {one}" for one in broken), *passed)


def _named(ordered: list[Candidate], backup: str) -> tuple[tuple[Candidate, ...], tuple[str, ...]]:
    if backup == "latest":
        ordered = [one for one in ordered if one.backup.state != "damaged"][:1]
        backup = ordered[0].backup.id if ordered else backup
    found = [one for one in ordered if one.backup.id == backup or one.manifest.stamp.startswith(backup)]
    found = found or [one for one in ordered if one.backup.id.startswith(backup)]
    if len(found) != 1:
        hint = f"there are: {', '.join(one.backup.id for one in ordered[:5]) or 'none'}"
        raise Refused(f"{backup!r} names {'no backup' if not found else f'{len(found)} backups'}", hint=hint)
    if found[0].backup.state == "damaged":
        raise Refused(f"{found[0].backup.id} is damaged", hint="recover from another one: leave out --backup")
    proven = found[0].backup.state == "proven"
    return (found[0],), () if proven else (f"{found[0].backup.id} was never proven: it was named by hand",)


def plan(facts: Facts, now: datetime) -> Plan:
    """Raises Refused for what cannot be."""
    made, stamp = facts.chosen.manifest, stamp_of(now)
    new, aside = (shortened(facts.database, f"_{word}_{stamp}") for word in ("recovering", "before"))
    lost = max(0.0, (now - made.began).total_seconds() / 60)
    back = f"the old {facts.thing} stays as {aside}: `pgproof recover {facts.argument} --undo` puts it back"
    return Plan(
        backup=made.id,
        store=facts.store,
        server=facts.server,
        container=facts.container,
        database=facts.database,
        system_identifier=facts.system_identifier,
        new=new,
        aside=aside,
        existed=facts.existed,
        lost_from=made.began,
        lost_minutes=round(lost, 1),
        reasons=facts.reasons,
        steps=_steps(facts, new, aside),
        warnings=_warnings(facts),
        estimate_seconds=estimate(facts.runs, made),
        back=back if facts.existed else f"there is no old {facts.thing}: nothing is put aside",
        hash=_hash(facts),
        thing=facts.thing,
    )


def estimate(runs: Iterable[Run], made: Manifest) -> float | None:
    """Seconds, by the newest measured run of the nearest kind and its backup's size; None where none was measured."""
    alike = [one for one in runs if one.backup.endswith(f"-{made.kind}")]
    done = [one for one in alike if one.outcome in ("done", "degraded") and one.ended and one.size]
    for task in _MEASURED:
        for one in sorted((one for one in done if one.task == task), key=lambda run: run.began, reverse=True):
            took = (one.ended - one.began).total_seconds() if one.ended else 0
            return round(took * max(1.0, made.size / one.size), 1)
    return None


def _steps(facts: Facts, new: str, aside: str) -> tuple[str, ...]:
    return (
        f"restore beside what is there, while services run: {'; '.join(facts.restore_steps)}",
        *(f"stop {name}: {how}" for name, how in facts.services),
        _switching(facts, new, aside),
        *(f"start {name} and wait until it is well" for name, _ in reversed(facts.services)),
        "write the incident report, into the store and the state folder",
    )


def _switching(facts: Facts, new: str, aside: str) -> str:
    if facts.thing == "volume":
        into = f"move the restored files into the volume {facts.database}"
        return f"move what {facts.database} has into the volume {aside}; {into}" if facts.existed else into
    rename = f"rename {facts.database} to {aside} and {new} to {facts.database}, in one transaction"
    ended = f"end what is still connected to {facts.database}; {rename}"
    return ended if facts.existed else f"rename {new} to {facts.database}"


def _warnings(facts: Facts) -> tuple[str, ...]:
    made, found = facts.chosen.manifest, []
    if made.cluster is None:
        room = (facts.old_size + made.database.size) / 1e6
        old = f"{room:,.0f} MB with the old one"
        free = (
            f"{facts.free / 1e6:,.0f} MB are free"
            if facts.free is not None
            else "what is free this server does not tell"
        )
        found.append(f"room for both databases is needed ({old}); {free}")
    if not facts.system_identifier or not made.server.system_identifier:
        if made.cluster is None or facts.existed:
            found.append("whether it is the server of the backup cannot be told: one does not tell its identifier")
    elif facts.system_identifier != made.server.system_identifier:
        found.append("another server than the one that was backed up (--new-server)")
    if made.database.collation_version and facts.collation and facts.collation != made.database.collation_version:
        found.append(
            f"the collation's version is {facts.collation}, in the backup {made.database.collation_version}: "
            "text may sort otherwise; the indexes are made anew by the restore"
        )
    found += facts.said
    if not facts.services:
        found.append("no service is configured: whoever is connected is cut off, and nothing is started or looked at")
    return tuple(found)


def _hash(facts: Facts) -> str:
    made = facts.chosen.manifest
    matters = {
        "source": facts.source,
        "server": facts.server,
        "container": facts.container,
        "database": facts.database,
        "existed": facts.existed,
        "mark": facts.mark,
        "system_identifier": facts.system_identifier,
        "backup": made.id,
        "parts": [one.sha256 for one in made.parts],
        "store": facts.store,
        "restore": facts.restore_steps,
        "services": facts.services,
        "container_made": made.image.container if made.image else None,
    }
    return hashlib.sha256(msgspec.json.encode(matters, order="deterministic")).hexdigest()[:_HASH_DIGITS]
