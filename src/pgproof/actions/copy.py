"""Copy: bring another store up to what the first one has. Only whole backups travel, and what was written is
read back; each run goes on where the last one stopped.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pgproof.errors import Damaged, NotFound, PgproofError, Refused, Unreachable
from pgproof.manifest import STORED_BYTES, Manifest, Part, Record, state
from pgproof.repository import Backup, Repository
from pgproof.stream.progress import Progress

_STRIDE = 1 << 20
_HINT = "look at that store's disk, then run `pgproof copy` again"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one backup in the other store; `text` is for a person."""

    backup: str
    what: Literal["there", "copied", "repaired", "failed"]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Copying:
    """From one store to another."""

    first: Repository
    other: Repository
    clock: Callable[[], datetime]
    progress: Progress


def copy(copying: Copying, source: str) -> list[Outcome]:
    """Copy all backups of `source` that the other store lacks, or has damaged.

    A backup that cannot be copied is an outcome, and does not stop the others.
    Raises Unreachable when a store does not answer, Busy when another run writes to the other.
    """
    whole, broken = copying.first.backups(source)
    with copying.other.lock(source, "copy"):
        done = [_outcome(copying, backup) for backup in whole]
    return done + [Outcome(one.id, "failed", f"{one.error.message}; it is not copied") for one in broken]


def _outcome(copying: Copying, backup: Backup) -> Outcome:
    try:
        if backup.state == "damaged":
            raise Damaged(f"{backup.id} is damaged in the first store; it is not copied", hint="verify the other copy")
        return _bring(copying, backup)
    except Unreachable:
        raise
    except PgproofError as error:
        return Outcome(backup.id, "failed", error.message)


def _bring(copying: Copying, backup: Backup) -> Outcome:
    kept = _manifest_there(copying, backup)
    doubted = kept == "whole" and copying.other.find(backup.id).state == "damaged"
    lacking = list(_lacking(copying, backup.manifest, examine=doubted or kept != "whole"))
    copying.progress.begin(f"copying {backup.id}", sum(part.size for part in lacking))
    for part in lacking:
        _bring_part(copying, backup.manifest, part)
    if kept != "whole":
        copying.other.adopt(backup.manifest, copying.first.sealed(backup.id), replace=kept == "damaged")
    if lacking or doubted or kept != "whole":
        _note_reading(copying, backup.id)
    _bring_records(copying, backup)
    if kept == "absent":
        return Outcome(backup.id, "copied")
    if kept == "whole" and not lacking:
        return Outcome(backup.id, "there")
    return Outcome(backup.id, "repaired", ", ".join(part.name for part in lacking) or "the manifest")


def _manifest_there(copying: Copying, backup: Backup) -> Literal["whole", "damaged", "absent"]:
    """Raises Refused when the other store has another backup of this name."""
    try:
        copying.other.manifest(backup.id)
    except NotFound:
        return "absent"
    except Damaged:
        return "damaged"
    if copying.other.seal_hash(backup.id) != copying.first.seal_hash(backup.id):
        raise Refused(f"the other store has another backup of the name {backup.id}", hint="give each its own store")
    return "whole"


def _note_reading(copying: Copying, backup: str) -> None:
    """Every byte was read back just now; that does not take back what a drill found."""
    read = Record(backup, "verify", copying.clock(), ok=True, seconds=0, scope=STORED_BYTES)
    if state([*copying.other.records(backup), read]) != "damaged":
        copying.other.add_record(read)


def _lacking(copying: Copying, manifest: Manifest, *, examine: bool) -> Iterator[Part]:
    """Parts that are not there, or of another size; with `examine` also those whose bytes are others."""
    for part in manifest.parts:
        try:
            same = copying.other.store.stat(f"{manifest.id}/{part.name}").size == part.size
        except NotFound:
            same = False
        if not same or (examine and _stored_hash(copying.other, manifest, part) != part.sha256):
            yield part


def _bring_part(copying: Copying, manifest: Manifest, part: Part) -> None:
    """The part's bytes; they are committed only if they are the ones that were stored."""
    name, digest = f"{manifest.id}/{part.name}", hashlib.sha256()
    with copying.other.store.create(name, replace=True) as sink, copying.first.open_part(manifest, part) as stream:
        while data := stream.read(_STRIDE):
            digest.update(data)
            sink.write(data)
            copying.progress.advance(len(data))
        if digest.hexdigest() != part.sha256:
            raise Damaged(f"{name} is damaged in the first store; it is not copied", hint="verify the other copy")
    if _stored_hash(copying.other, manifest, part) != part.sha256:
        copying.other.store.delete(name)
        raise Damaged(f"the other store gives back other bytes of {name} than it was given", hint=_HINT)


def _stored_hash(place: Repository, manifest: Manifest, part: Part) -> str:
    digest = hashlib.sha256()
    with place.open_part(manifest, part) as stream:
        while data := stream.read(_STRIDE):
            digest.update(data)
    return digest.hexdigest()


def _bring_records(copying: Copying, backup: Backup) -> None:
    """Drills count wherever the same bytes lie; what was found about stored bytes is each store's own."""
    drills = [record for record in backup.records if record.kind == "drill" and record.ok]
    have = {(record.kind, record.at) for record in copying.other.records(backup.id)} if drills else set()
    for record in drills:
        if ("drill", record.at) not in have:
            copying.other.add_record(record)
    if backup.pinned:
        copying.other.keep(backup.id)
