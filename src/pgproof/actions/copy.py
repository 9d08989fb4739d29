"""Copy: bring another store up to what the first one has. Only whole backups travel, and what was written is
read back; each run goes on where the last one stopped.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pgproof.errors import Damaged, Frozen, NotFound, PgproofError, Refused, Unreachable
from pgproof.manifest import STORED_BYTES, Manifest, Part, Record, state
from pgproof.repository import GRACE, Backup, Repository
from pgproof.retention import Policy, decide
from pgproof.stream.progress import Progress
from pgproof.thresholds import USUAL, Thresholds

_STRIDE = 1 << 20
_HINT = "look at that store's disk, then run `pgproof copy` again"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one backup in the other store; `text` is for a person."""

    backup: str
    what: Literal["there", "copied", "repaired", "failed", "left"]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Copying:
    """From one store to another. `policy` is what the other one keeps: what it would delete at once is left."""

    first: Repository
    other: Repository
    clock: Callable[[], datetime]
    progress: Progress
    policy: Policy | None = None
    limits: Thresholds = USUAL


def copy(copying: Copying, source: str) -> list[Outcome]:
    """Copy all backups of `source` that the other store lacks, or has damaged.

    A backup that cannot be copied is an outcome, and does not stop the others.
    Raises Unreachable when a store does not answer, Busy when another run writes to the other, Refused when that is
    the first store itself.
    """
    whole, broken = copying.first.backups(source)
    with copying.other.lock(source, "copy") as lease:
        if lease.lies_in(copying.first.store):
            hint = "a copy in the same place is none: name another disk, bucket or server, or delete that store's lines"
            raise Refused("it is the first store's own place, under another name", hint=hint)
        copying.other.store.sweep(copying.clock() - GRACE)
        unwanted = _unwanted(copying, whole)
        done = [
            Outcome(backup.id, "left", unwanted[backup.id]) if backup.id in unwanted else _outcome(copying, backup)
            for backup in whole
        ]
    return done + [Outcome(one.id, "failed", f"{one.error.message}; it is not copied") for one in broken]


def _unwanted(copying: Copying, backups: Sequence[Backup]) -> dict[str, str]:
    """What the other store lacks and its own retention would not keep, with the reason."""
    if copying.policy is None:
        return {}
    verdicts = decide([one.candidate for one in backups], copying.policy, copying.clock(), copying.limits)
    return {one.id: "; ".join(one.reasons) for one in verdicts if not one.keep and not copying.other.exists(one.id)}


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
    there = copying.other.records(backup.id)
    doubted = kept == "whole" and state(there) == "damaged"
    lacking = list(_lacking(copying, backup.manifest, examine=doubted or kept != "whole"))
    copying.progress.begin(f"copying {backup.id}", sum(part.size for part in lacking))
    frozen = [part.name for part in lacking if not _bring_part(copying, backup.manifest, part)]
    if kept != "whole":
        copying.other.adopt(backup.manifest, copying.first.sealed(backup.id), replace=kept == "damaged")
    if not frozen and (lacking or doubted or kept != "whole"):
        _note_reading(copying, backup.id)
    _bring_records(copying, backup, there)
    more = ["not read back: it went straight into an archive, from which `verify` gets it"] if frozen else []
    if kept == "absent":
        return Outcome(backup.id, "copied", "; ".join(more))
    if kept == "whole" and not lacking:
        return Outcome(backup.id, "there")
    return Outcome(backup.id, "repaired", "; ".join([", ".join(p.name for p in lacking) or "the manifest", *more]))


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
        if not same or (examine and not _frozen_or_same(copying, manifest, part)):
            yield part


def _frozen_or_same(copying: Copying, manifest: Manifest, part: Part) -> bool:
    """What lies in an archive is believed by its size here; `verify --store` asks for it and reads it."""
    try:
        return _stored_hash(copying.other, manifest, part) == part.sha256
    except Frozen:
        return True


def _bring_part(copying: Copying, manifest: Manifest, part: Part) -> bool:
    """The part's bytes; they are committed only if they are the ones that were stored. False where they could
    not be read back, as they went straight into an archive.
    """
    name, digest = f"{manifest.id}/{part.name}", hashlib.sha256()
    with copying.other.store.create(name, replace=True) as sink, copying.first.open_part(manifest, part) as stream:
        while data := stream.read(_STRIDE):
            digest.update(data)
            sink.write(data)
            copying.progress.advance(len(data))
        if digest.hexdigest() != part.sha256:
            raise Damaged(f"{name} is damaged in the first store; it is not copied", hint="verify the other copy")
    try:
        same = _stored_hash(copying.other, manifest, part) == part.sha256
    except Frozen:
        return False
    if not same:
        copying.other.store.delete(name)
        raise Damaged(f"the other store gives back other bytes of {name} than it was given", hint=_HINT)
    return True


def _passed(here: Sequence[Record], there: Sequence[Record]) -> list[Record]:
    """The drills that passed and are known here, and not there."""
    have = {record.at for record in there if record.kind == "drill"}
    return [record for record in here if record.kind == "drill" and record.ok and record.at not in have]


def _stored_hash(place: Repository, manifest: Manifest, part: Part) -> str:
    digest = hashlib.sha256()
    with place.open_part(manifest, part) as stream:
        while data := stream.read(_STRIDE):
            digest.update(data)
    return digest.hexdigest()


def _bring_records(copying: Copying, backup: Backup, there: Sequence[Record]) -> None:
    """Drills that passed count wherever the same bytes lie, on either side; what was found about stored bytes is
    each store's own.
    """
    for record in _passed(backup.records, there):
        copying.other.add_record(record, once=True)
    for record in _passed(there, backup.records):
        copying.first.keep_record(record, once=True)
    if backup.pinned:
        copying.other.keep(backup.id)
