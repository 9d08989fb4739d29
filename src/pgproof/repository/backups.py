"""Backups in a store: draft, publish, list, open, forget, lock. A backup exists if its manifest does.

Parts are written first and the manifest last; on deletion the manifest goes first. What no manifest
names and is older than the grace time is an orphan.
"""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import BinaryIO, Literal, Self

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
    state,
    unseal,
)
from pgproof.repository.lease import Lease
from pgproof.stores.store import Entry, Store
from pgproof.stream.encrypt import Key
from pgproof.stream.part import PartWriter, part_name

MANIFEST = "manifest.json"
UNBELIEVABLE = "a damaged record"  # the scope of what stands in for one
GRACE = timedelta(days=1)
_RECORD = re.compile(r"proofs/\d{8}T\d{6}Z(-\d+)?\.json")  # whatever else lies there is not ours
_MOST_BYTES = 1 << 30  # a manifest larger than this is none of ours


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup as the repository sees it: what it is, what was found of it, whether it is pinned."""

    manifest: Manifest
    records: tuple[Record, ...]
    pinned: bool

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def state(self) -> Literal["stored", "intact", "proven", "damaged"]:
        return state(self.records)


@dataclass(frozen=True, slots=True)
class Broken:
    """A backup whose manifest or record cannot be believed."""

    id: str
    error: PgproofError


class Repository:
    """The backups in one store. `clock` gives the time in UTC."""

    def __init__(self, store: Store, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.store = store
        self._clock = clock

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
        chosen = _matching(name, whole)
        if chosen:
            _refuse_older(chosen, broken)
        if not chosen:
            for one in broken:
                if one.id.startswith(name):
                    raise one.error
            raise UsageError(f"there is no backup {name!r}", hint="`pgproof list` shows what there is")
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
        try:
            self.store.stat(f"{backup}/{MANIFEST}")
        except NotFound:
            return False
        return True

    def seal_hash(self, backup: str) -> str:
        """The hash in a backup's manifest file, which the next manifest carries."""
        return seal_hash(self.sealed(backup))

    def sealed(self, backup: str) -> bytes:
        """A backup's manifest file, byte for byte."""
        return self._read(f"{backup}/{MANIFEST}")

    def records(self, backup: str) -> tuple[Record, ...]:
        """What examinations found; one that cannot be believed says so, as a bad one."""
        names = [entry.name for entry in self.store.list(f"{backup}/proofs/")]
        return tuple(self._believed(name, backup) for name in names if _RECORD.fullmatch(name, len(backup) + 1))

    def open_part(self, manifest: Manifest, part: Part, start: int = 0, length: int | None = None) -> BinaryIO:
        return self.store.open(f"{manifest.id}/{part.name}", start, length)

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
        return final

    def adopt(self, manifest: Manifest, sealed: bytes, *, replace: bool = False) -> None:
        """Write another store's manifest file, whose parts are here already."""
        self._write(f"{manifest.id}/{MANIFEST}", sealed, replace=replace)

    def add_record(self, record: Record) -> None:
        """Keep what an examination found, beside the backup."""
        stamp = stamp_of(record.at)
        for attempt in range(100):
            with contextlib.suppress(AlreadyExists):
                self._write(f"{record.backup}/proofs/{stamp}{f'-{attempt}' if attempt else ''}.json", seal(record))
                return

    def keep_record(self, record: Record) -> bool:
        """Keep a record if the store takes it; an examination is worth its answer also where it does not."""
        try:
            self.add_record(record)
        except (Unreachable, Refused):
            return False
        return True

    def keep(self, backup: str, *, release: bool = False) -> None:
        """Pin a backup against pruning, or let it go."""
        name = f"{backup}/kept.json"
        if release:
            self.store.delete(name)
        else:
            self._write(name, msgspec.json.encode({"kept": self._clock().isoformat()}) + b"\n", replace=True)

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
        names are ids of ours are looked at: what a user put beside them is never touched.
        """
        found = []
        for inside in self._by_backup(None).values():
            entries = list(inside.values())
            if MANIFEST not in inside and all(now - entry.modified > GRACE for entry in entries):
                found += entries
        return found

    def lock(self, source: str, purpose: str) -> Lease:
        """The right to write backups of `source`. Raises Busy; a stale lock is broken when that is safe."""
        return Lease(self.store, self._clock, source, purpose)

    # -- inside -----------------------------------------------------------------------------------

    def _by_backup(self, source: str | None) -> dict[str, dict[str, Entry]]:
        grouped: dict[str, dict[str, Entry]] = {}
        for entry in self.store.list(f"{source}/" if source else ""):
            parts = entry.name.split("/", 2)
            if len(parts) == 3 and _is_id(f"{parts[0]}/{parts[1]}"):
                grouped.setdefault(f"{parts[0]}/{parts[1]}", {})[parts[2]] = entry
        return grouped

    def _backup(self, backup: str, inside: dict[str, Entry]) -> Backup:
        records = (self._believed(entry.name, backup) for name, entry in inside.items() if _RECORD.fullmatch(name))
        return Backup(self.manifest(backup), tuple(records), "kept.json" in inside)

    def _exact(self, name: str) -> Backup | None:
        if not _is_id(name):
            return None
        inside = self._by_backup(split_id(name)[0]).get(name, {})
        return self._backup(name, inside) if MANIFEST in inside else None

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
        for backup, inside in self._by_backup(source).items():
            if MANIFEST not in inside:
                continue
            sealed = self._read(f"{backup}/{MANIFEST}")
            try:
                sequence = unseal(sealed, Manifest, backup).sequence
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
        self._parts: list[Part] = []
        self._tried = self._published = False

    @property
    def id(self) -> str:
        return f"{self.source}/{self.stamp}-{self.kind}"

    def part(self, stem: str, codec: Codec) -> PartWriter:
        """A new part of this backup (the Parts protocol)."""
        name = part_name(stem, codec, self._key)
        stored = self._repository.store.create(f"{self.id}/{name}")
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
        for part in self._parts:
            with contextlib.suppress(PgproofError):
                self._repository.store.delete(f"{self.id}/{part.name}")

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


def _is_id(name: str) -> bool:
    try:
        split_id(name)
    except UsageError:
        return False
    return True


def _refuse_older(chosen: Backup, broken: list[Broken]) -> None:
    """A newer backup that is damaged is not passed over in silence: whoever wants the older one names it."""
    newer = [one for one in broken if one.id.split("/")[0] == chosen.manifest.source and one.id > chosen.id]
    if newer:
        raise Damaged(
            f"{newer[-1].id} is newer and damaged: {newer[-1].error.message}",
            hint=f"to use the one before it all the same, name it: {chosen.id}",
        )


def _matching(name: str, backups: list[Backup]) -> Backup | None:
    word, _, kind = name.partition(":")
    if word == "latest" or any(one.manifest.source == word for one in backups):
        of_kind = [one for one in backups if not kind or one.manifest.kind == kind]
        of_source = [one for one in of_kind if word in ("latest", one.manifest.source)]
        sources = {one.manifest.source for one in of_source}
        if len(sources) > 1:
            raise UsageError(
                f"{name!r} could be of any of {', '.join(sorted(sources))}",
                hint="name the source instead of `latest`",
            )
        return of_source[-1] if of_source else None
    chosen = [one for one in backups if one.id.startswith(name) or one.id.split("/")[1].startswith(name)]
    if len(chosen) > 1:
        raise UsageError(
            f"{name!r} is the beginning of {len(chosen)} backups: {', '.join(one.id for one in chosen[:5])}",
            hint="give more of the id",
        )
    return chosen[0] if chosen else None
