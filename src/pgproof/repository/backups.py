"""Backups in a store: draft, publish, list, open, forget, lock. A backup exists if its manifest does.

Parts are written first and the manifest last; on deletion the manifest goes first. What no manifest
names and is older than the grace time is an orphan.
"""

import contextlib
import difflib
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from pgproof.errors import AlreadyExists, Damaged, NotFound, PgproofError, Refused, Unreachable, UsageError
from pgproof.manifest import (
    Codec,
    Kind,
    Manifest,
    Part,
    Record,
    moment_of,
    seal,
    seal_hash,
    split_id,
    stamp_of,
    unseal,
)
from pgproof.repository.found import Backup, Broken, matching, refuse_older
from pgproof.repository.lease import Lease
from pgproof.repository.memory import Forgetful, Memory
from pgproof.stores.store import Entry, Store, Thaw
from pgproof.stream.encrypt import Key
from pgproof.stream.part import PartWriter, part_name

MANIFEST = "manifest.json"
UNBELIEVABLE = "a damaged record"  # the scope of what stands in for one
GRACE = timedelta(days=1)
_RECORD = re.compile(r"proofs/\d{8}T\d{6}Z(-\d+)?\.json")  # whatever else lies there is not ours
_MOST_BYTES = 1 << 30  # a manifest larger than this is none of ours


class Repository:
    """The backups in one store. `clock` gives the time in UTC.

    What is there is found by listing, and believed by its manifest: a listing may lag behind, lack what was just
    written, and name what was just deleted.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        memory: Memory | None = None,
    ) -> None:
        self.store = store
        self._clock = clock
        self._memory = memory or Forgetful()

    # -- reading ----------------------------------------------------------------------------------

    def backups(self, source: str | None = None) -> tuple[list[Backup], list[Broken]]:
        """All backups, of one source or of all, in order of source and sequence; and what is broken."""
        names = self._by_backup(source)
        whole: list[Backup] = []
        broken: list[Broken] = []
        for backup, inside in names.items():
            if MANIFEST not in inside:
                continue
            try:
                whole.append(self._backup(backup, inside))
            except NotFound:  # it was deleted, and is listed still
                continue
            except PgproofError as error:
                broken.append(Broken(backup, error))
        whole.sort(key=lambda one: (one.manifest.source, one.manifest.sequence, one.id))
        return whole, broken

    def find(self, name: str, source: str | None = None) -> Backup:
        """The backup that `name` means: an id, an unambiguous prefix of one, `latest`, `latest:KIND`,
        or a source's name for its latest. Raises UsageError or Damaged.
        """
        if not name:
            raise UsageError("an empty name means no backup", hint="`pgproof list` shows what there is")
        exact = self._exact(name)
        if exact:
            return exact
        whole, broken = self.backups(source)
        chosen = matching(name, whole)
        if chosen:
            refuse_older(chosen, broken)
        if not chosen:
            for one in broken:
                if one.id.startswith(name):
                    raise one.error
            raise UsageError(
                f"there is no backup {name!r}", hint=f"{_near(name, whole)}`pgproof list` shows what there is"
            )
        return chosen

    def manifest(self, backup: str) -> Manifest:
        """Raises NotFound, Damaged (also when it is another backup's)."""
        found = unseal(self._read(f"{backup}/{MANIFEST}"), Manifest, f"the manifest of {backup}")
        if found.id != backup:
            raise Damaged(
                f"the manifest at {backup} is that of {found.id}",
                hint="files were moved or swapped; put them back",
            )
        return found

    def exists(self, backup: str) -> bool:
        """Whether the manifest is there, and so the backup."""
        return self._is_there(f"{backup}/{MANIFEST}")

    def seal_hash(self, backup: str) -> str:
        """The hash in a backup's manifest file, which the next manifest carries."""
        return seal_hash(self.sealed(backup))

    def sealed(self, backup: str) -> bytes:
        """A backup's manifest file, byte for byte."""
        return self._read(f"{backup}/{MANIFEST}")

    def records(self, backup: str) -> tuple[Record, ...]:
        """What examinations found; one that cannot be believed says so, as a bad one."""
        names = [entry.name for entry in self.store.list(f"{backup}/proofs/")]
        return self._all_believed([name for name in names if _RECORD.fullmatch(name, len(backup) + 1)], backup)

    def pinned(self, backup: str) -> bool:
        """Whether it is pinned, asked by name: whoever is to delete it asks."""
        return self._is_there(f"{backup}/kept.json")

    def open_part(self, manifest: Manifest, part: Part, start: int = 0, length: int | None = None) -> BinaryIO:
        return self.store.open(f"{manifest.id}/{part.name}", start, length)

    def thaw(self, manifest: Manifest) -> Thaw | None:
        """Ask for the parts that lie in an archive; None when all of them can be read now."""
        return self.store.thaw(f"{manifest.id}/{part.name}" for part in manifest.parts)

    # -- writing ----------------------------------------------------------------------------------

    def draft(self, source: str, kind: Kind, began: datetime, key: Key) -> "Draft":
        """Begin a backup. Leaving the draft without publish() removes every part of it."""
        stamp = stamp_of(began)
        while any(self.store.list(f"{source}/{stamp}-{kind}/")):
            began += timedelta(seconds=1)
            stamp = stamp_of(began)
        return Draft(self, source, kind, stamp, key)

    def publish(self, manifest: Manifest, lease: Lease) -> Manifest:
        """Write the manifest, which makes the backup exist. Raises Busy if the lease was lost."""
        sequence, previous = self._head(manifest.source)
        final = replace(manifest, sequence=sequence + 1, previous=previous)
        lease.check()
        self._write(f"{final.id}/{MANIFEST}", seal(final))
        self._memory.note(final.source, final.id)
        return final

    def adopt(self, manifest: Manifest, sealed: bytes, *, replace: bool = False) -> None:
        """Write another store's manifest file, whose parts are here already."""
        self._write(f"{manifest.id}/{MANIFEST}", sealed, replace=replace)

    def add_record(self, record: Record, *, once: bool = False) -> None:
        """Keep what an examination found, beside the backup. `once`: the very same one is not kept twice."""
        stamp, sealed = stamp_of(record.at), seal(record)
        for attempt in range(100):
            name = f"{record.backup}/proofs/{stamp}{f'-{attempt}' if attempt else ''}.json"
            with contextlib.suppress(AlreadyExists):
                self._write(name, sealed)
                return
            if once and self._read(name) == sealed:
                return

    def keep_record(self, record: Record, *, once: bool = False) -> bool:
        """Keep a record if the store takes it; an examination is worth its answer also where it does not."""
        try:
            self.add_record(record, once=once)
        except (Unreachable, Refused):
            return False
        return True

    def keep(self, backup: str, *, release: bool = False) -> None:
        """Pin a backup against pruning, or let it go."""
        name = f"{backup}/kept.json"
        if release:
            self.store.delete(name)
        else:
            with contextlib.suppress(AlreadyExists):
                self._write(name, msgspec.json.encode({"kept": self._clock().isoformat()}) + b"\n")

    def forget(self, backup: str) -> None:
        """Delete a backup: the manifest first, so that no half of it is ever listed."""
        manifest = self.manifest(backup)
        self.store.delete(f"{backup}/{MANIFEST}")
        for part in manifest.parts:
            self.store.delete(f"{backup}/{part.name}")
        for entry in list(self.store.list(f"{backup}/")):
            self.store.delete(entry.name)

    def orphans(self, now: datetime) -> list[Entry]:
        """Files in backup folders without a manifest, older than the grace time. Only folders whose
        names are ids of ours are looked at: what a user put beside them is never touched. A manifest
        that is not listed is asked for by name.
        """
        found = []
        for backup, inside in self._by_backup(None).items():
            entries = list(inside.values())
            old = MANIFEST not in inside and all(now - entry.modified > GRACE for entry in entries)
            if old and not self.exists(backup):
                found += entries
        return found

    def lock(self, source: str, purpose: str) -> Lease:
        """The right to write backups of `source`. Raises Busy; a stale lock is broken when that is safe."""
        return Lease(self.store, self._clock, source, purpose)

    # -- inside -----------------------------------------------------------------------------------

    def _is_there(self, name: str) -> bool:
        try:
            self.store.stat(name)
        except NotFound:
            return False
        return True

    def _by_backup(self, source: str | None) -> dict[str, dict[str, Entry]]:
        grouped: dict[str, dict[str, Entry]] = {}
        for entry in self.store.list(f"{source}/" if source else ""):
            parts = entry.name.split("/", 2)
            if len(parts) == 3 and _is_id(f"{parts[0]}/{parts[1]}"):
                grouped.setdefault(f"{parts[0]}/{parts[1]}", {})[parts[2]] = entry
        return grouped

    def _backup(self, backup: str, inside: dict[str, Entry]) -> Backup:
        """Raises NotFound, Damaged."""
        manifest = self.manifest(backup)
        names = [entry.name for name, entry in inside.items() if _RECORD.fullmatch(name)]
        return Backup(manifest, self._all_believed(names, backup), "kept.json" in inside)

    def _exact(self, name: str) -> Backup | None:
        if not _is_id(name):
            return None
        inside = self._by_backup(split_id(name)[0]).get(name, {})
        try:
            return self._backup(name, inside)
        except NotFound:
            return None

    def _all_believed(self, names: list[str], backup: str) -> tuple[Record, ...]:
        """The records of these names that are there: one that was deleted may be listed still."""
        found = []
        for name in names:
            with contextlib.suppress(NotFound):
                found.append(self._believed(name, backup))
        return tuple(found)

    def _believed(self, name: str, backup: str) -> Record:
        """The record; in place of a damaged one a bad one of its time, so that the backup itself stays in reach."""
        try:
            return self._record(name, backup)
        except Damaged as error:
            at = moment_of(name.rpartition("/")[2][:16])
            return Record(backup, "verify", at, ok=False, seconds=0, findings=(error.message,), scope=UNBELIEVABLE)

    def _record(self, name: str, backup: str) -> Record:
        record = unseal(self._read(name), Record, f"the record {name}")
        if record.backup != backup:
            raise Damaged(
                f"the record {name} is about {record.backup}",
                hint="files were moved or swapped; put them back",
            )
        return record

    def _head(self, source: str) -> tuple[int, str | None]:
        """Sequence and hash of the newest manifest of a source; order comes from the sequence."""
        newest, damaged, digest = 0, 0, None
        listed = [backup for backup, inside in self._by_backup(source).items() if MANIFEST in inside]
        remembered = self._memory.newest(source) or ""
        if _is_id(remembered) and remembered not in listed:  # the listing lags: its number must not be given again
            listed.append(remembered)
        for backup in listed:
            try:
                sealed = self._read(f"{backup}/{MANIFEST}")
                sequence = unseal(sealed, Manifest, f"the manifest of {backup}").sequence
            except NotFound:  # it was deleted, and is listed or remembered still
                continue
            except Damaged:
                damaged += 1  # its number cannot be read, and must not be given again
                continue
            if sequence > newest:
                newest, digest = sequence, seal_hash(sealed)
        return newest + damaged, digest

    def _read(self, name: str) -> bytes:
        with self.store.open(name) as stream:
            return stream.read(_MOST_BYTES)

    def _write(self, name: str, data: bytes, *, replace: bool = False) -> None:
        with self.store.create(name, replace=replace) as sink:
            sink.write(data)


class Draft:
    """A backup in the making."""

    def __init__(self, repository: Repository, source: str, kind: Kind, stamp: str, key: Key) -> None:
        self._repository = repository
        self.source, self.kind, self.stamp = source, kind, stamp
        self._key = key
        self._begun: list[str] = []  # also one that was interrupted as the store took it
        self._parts: list[Part] = []
        self._tried = self._published = False

    @property
    def id(self) -> str:
        return f"{self.source}/{self.stamp}-{self.kind}"

    def part(self, stem: str, codec: Codec) -> PartWriter:
        """A new part of this backup (the Parts protocol)."""
        name = part_name(stem, codec, self._key)
        stored = self._repository.store.create(f"{self.id}/{name}")
        self._begun.append(name)
        return PartWriter(name, codec, self._key, stored, self._parts.append)

    def publish(self, manifest: Manifest, lease: Lease) -> Manifest:
        """Commit: `manifest` with the parts that were written. Returns it as stored."""
        self._tried = True
        final = self._repository.publish(replace(manifest, parts=tuple(self._parts)), lease)
        self._published = True
        return final

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._published or not self._take_back():
            return
        # What was there already is somebody else's.
        names = [part.name for part in self._parts] if isinstance(error, AlreadyExists) else self._begun
        for name in names:
            with contextlib.suppress(PgproofError):
                self._repository.store.delete(f"{self.id}/{name}")

    def _take_back(self) -> bool:
        """Make sure that no manifest names our parts: a store may keep one and still report a failure.
        False when that is not certain, and the parts must stay.
        """
        try:
            if self._tried and self._repository.manifest(self.id).parts == tuple(self._parts):
                self._repository.store.delete(f"{self.id}/{MANIFEST}")
        except NotFound:
            return True
        except PgproofError:
            return False
        return True


def _near(name: str, whole: list[Backup]) -> str:
    """What may have been meant."""
    known = ["latest", *dict.fromkeys(one.manifest.source for one in whole), *(one.id for one in whole)]
    near = difflib.get_close_matches(name, known, 1, 0.6)
    return f"did you mean {near[0]}? " if near else ""


def _is_id(name: str) -> bool:
    try:
        split_id(name)
    except UsageError:
        return False
    return True
