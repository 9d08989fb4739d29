"""Verify: read every stored byte of a backup back; with the key also decrypt, decompress and parse it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pgproof.errors import ConfigError, Damaged, PgproofError, Unreachable
from pgproof.manifest import Manifest, Part, Record
from pgproof.repository import UNBELIEVABLE, Backup, Repository
from pgproof.stream.encrypt import Key, can_decrypt
from pgproof.stream.progress import Progress
from pgproof.stream.reading import Reading


@dataclass(frozen=True, slots=True)
class PartVerdict:
    name: str
    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verifying one backup found; `scope` says how deep it could look. Of one that is `ok` the findings are
    what else is to be told: they say nothing against its bytes.
    """

    id: str
    ok: bool
    scope: Literal["stored bytes", "contents"]
    parts: tuple[PartVerdict, ...]
    findings: tuple[str, ...]
    kept: bool = True  # whether the store took the record


def reading(repository: Repository, manifest: Manifest, key: Key) -> Reading:
    return Reading(manifest, lambda part, start, length: repository.open_part(manifest, part, start, length), key)


def verify(repository: Repository, backup: str, key: Key, now: datetime, progress: Progress) -> Verdict:
    """Examine one backup and keep the record beside it. Damage is a verdict, not an exception;
    raises Unreachable when the store does not answer.
    """
    began = time.monotonic()
    try:
        manifest = repository.manifest(backup)
    except Damaged as error:
        return Verdict(backup, ok=False, scope="stored bytes", parts=(), findings=(error.message,))
    progress.begin(f"verifying {backup}", manifest.size * (2 if _opens(manifest, key) else 1))
    source = reading(repository, manifest, key)
    parts = tuple(_verify_part(source, part, key, progress) for part in manifest.parts)
    backups, _ = repository.backups(manifest.source)
    wrong = [one.text for one in parts if not one.ok] + _replaced(repository, manifest, backups)
    wrong += _records(repository, backup)
    findings = (*wrong, *_twins(manifest, backups))
    scope: Literal["stored bytes", "contents"] = "contents" if _opens(manifest, key) else "stored bytes"
    took = round(time.monotonic() - began, 3)
    record = Record(backup, "verify", now, not wrong, took, findings, scope=scope)
    return Verdict(backup, record.ok, scope, parts, record.findings, repository.keep_record(record))


def _opens(manifest: Manifest, key: Key) -> bool:
    return all(part.encryption == "none" or _fits(part, key) for part in manifest.parts)


def _fits(part: Part, key: Key) -> bool:
    return part.encryption == key.method and can_decrypt(key)


def _verify_part(source: Reading, part: Part, key: Key, progress: Progress) -> PartVerdict:
    name = f"{source.manifest.id}/{part.name}"
    try:
        source.check_stored(part, progress)
        if part.encryption != "none" and not _fits(part, key):
            return PartVerdict(
                part.name,
                ok=True,
                text=f"{name}: stored bytes are whole; not opened, as no key is configured",
            )
        with source.blaming_the_key(part):
            source.open_up(part, progress)
    except (Unreachable, ConfigError):
        raise
    except PgproofError as error:
        return PartVerdict(part.name, ok=False, text=error.message)
    return PartVerdict(part.name, ok=True, text=f"{name}: whole")


def _records(repository: Repository, backup: str) -> list[str]:
    """Records that are damaged: the backup may be whole, but what was found out about it is lost."""
    wrong = [record for record in repository.records(backup) if record.scope == UNBELIEVABLE]
    return [f"{one.findings[0]}; delete that file, and verify again" for one in wrong]


def _replaced(repository: Repository, manifest: Manifest, backups: Sequence[Backup]) -> list[str]:
    """The chain: where the backup before this one still exists, it must be the one this was written after."""
    before = [one.id for one in backups if one.manifest.sequence == manifest.sequence - 1]
    if not before or manifest.previous in [repository.seal_hash(one) for one in before]:
        return []
    return [f"{before[0]} is not the backup that this one was written after: it was replaced"]


def _twins(manifest: Manifest, backups: Sequence[Backup]) -> list[str]:
    """Told, and no damage: both can be restored, and neither says which of them is the strange one."""
    twins = [one.id for one in backups if one.manifest.sequence == manifest.sequence and one.id != manifest.id]
    why = "one of them was put back from elsewhere, or made by another machine while the store's listing lagged behind"
    return [f"{twin} has the same sequence number: {why}" for twin in twins]
