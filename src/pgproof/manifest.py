"""What a backup is: the manifest, its parts and blocks, and the records kept beside it.

The file format is described whole in docs/format.md. Everything here is a value; nothing does I/O.
"""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypeVar, get_args

import msgspec

from pgproof.cluster import Cluster, Image
from pgproof.errors import Damaged, UsageError
from pgproof.evidence import Count

FORMAT = 1  # of logical backups
VOLUME_FORMAT = 2  # of volume backups, which a pgproof that knows only logical ones must not misread
_FORMATS = (FORMAT, VOLUME_FORMAT)

Kind = Literal["logical", "volume"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Codec = Literal["gzip", "zstd", "none"]
Encryption = Literal["gpg", "age", "none"]
BlockKind = Literal["before", "data", "large-objects", "sequences", "after", "files"]

_SOURCE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_ID = re.compile(r"(?P<source>[a-z0-9][a-z0-9_.-]{0,62})/(?P<stamp>\d{8}T\d{6}Z)-(?P<kind>[a-z]+)")


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows the backup holds; `columns` are those that COPY carries, in order.

    `condition` restricts an extension's configuration table to the rows that are the user's
    (PostgreSQL docs, "Extension Configuration Tables").
    """

    schema: str
    name: str
    columns: tuple[str, ...]
    rows: int = 0
    bytes: int = 0
    condition: str = ""

    @property
    def label(self) -> str:
        """`schema.name`; quoted where a dot or quote inside would leave open which table is meant."""
        return ".".join(_quoted(part) if set(part) & set('."') else part for part in (self.schema, self.name))


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Sequence:
    schema: str
    name: str
    last_value: int
    is_called: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the snapshot gave: every table's rows and COPY bytes, sequences, large objects."""

    tables: tuple[Table, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    large_objects: Count = field(default_factory=Count)
    refreshed: tuple[tuple[str, str], ...] = ()  # populated materialized views, each after those it reads

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)


@dataclass(frozen=True, slots=True)
class Share:
    """What one block holds of one table: the table's place in the evidence, rows and COPY bytes."""

    table: int
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a part that decompresses by itself; `offset` and `size` count compressed bytes
    before encryption, `plain` the bytes it decompresses to, `sha256` is of the compressed bytes.
    """

    offset: int
    size: int
    plain: int
    sha256: str
    kind: BlockKind
    shares: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One stored file; `size` and `sha256` are of the stored bytes, so that no key is needed to check it."""

    name: str
    size: int
    sha256: str
    codec: Codec = "none"
    encryption: Encryption = "none"
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True)
class Server:
    """The server that was read: versions as it states them, and its identity (pg_control_system)."""

    version: str
    version_num: int
    system_identifier: str
    superuser: str = "postgres"  # the bootstrap superuser, who owns the system catalogue
    standby: bool = False
    lsn: str = ""

    @property
    def major(self) -> int:
        return self.version_num // 10000


@dataclass(frozen=True, slots=True)
class Database:
    """What CREATE DATABASE needs to make the like of it, and what belongs to it outside its own dump."""

    name: str
    encoding: str
    provider: str = "c"
    collate: str = "C"
    ctype: str = "C"
    locale: str = ""
    collation_version: str = ""
    owner: str = ""
    connection_limit: int = -1
    size: int = 0
    extensions: dict[str, str] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    required_roles: tuple[str, ...] = ()
    tablespaces: tuple[str, ...] = ()
    settings: tuple[tuple[str, str, str], ...] = ()  # role ('' for all), name, value
    comment: str = ""
    grants: tuple[tuple[str, str, bool], ...] | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A backup, whole. It exists if and only if this does; it is written last."""

    format: int
    pgproof: str
    source: str
    kind: Kind
    stamp: str
    sequence: int
    previous: str | None
    began: datetime
    ended: datetime
    server: Server
    database: Database
    tools: dict[str, str]
    settings: dict[str, str]
    parts: tuple[Part, ...]
    evidence: Evidence
    notes: tuple[str, ...] = ()
    config: dict[str, str] = field(default_factory=dict)
    cluster: Cluster | None = None  # of a volume backup
    image: Image | None = None  # the container image that ran the server, where it ran in one
    application: dict[str, str] = field(default_factory=dict)  # whose data it is: name and version, as it says

    @property
    def id(self) -> str:
        return f"{self.source}/{self.stamp}-{self.kind}"

    @property
    def size(self) -> int:
        """Stored bytes of all parts."""
        return sum(part.size for part in self.parts)

    def part(self, stem: str) -> Part:
        """The part made as `stem`, whatever endings codec and encryption gave it. Raises Damaged."""
        for part in self.parts:
            if part.name == stem or part.name.startswith(f"{stem}."):
                return part
        raise Damaged(f"backup {self.id} has no part {stem}", hint="restore from another copy of this backup")

    @property
    def main(self) -> Part:
        """The part that holds it all: the SQL text of schema and rows, or the files of the volume."""
        return self.part("volume.tar" if self.kind == "volume" else f"{self.source}.sql")


@dataclass(frozen=True, slots=True)
class TableProof:
    name: str
    rows: int
    digest: str
    same: bool


@dataclass(frozen=True, slots=True)
class Record:
    """What one examination of a backup found: a `verify` of the stored bytes, or a `drill`."""

    backup: str
    kind: Literal["verify", "drill"]
    at: datetime
    ok: bool
    seconds: float
    findings: tuple[str, ...] = ()
    server_version: str = ""
    tables: tuple[TableProof, ...] = ()
    checks: dict[str, bool] = field(default_factory=dict)
    scope: str = ""


STORED_BYTES = "stored bytes"  # the scope of an examination without the key
State = Literal["stored", "intact", "proven", "damaged"]


def state(records: "tuple[Record, ...] | list[Record]") -> State:
    """What may be believed of a backup, from its records.

    Damage that a drill found is taken back only by a later drill; damage that reading found also by a
    later reading. Stored bytes that nobody could open are not yet intact.
    """
    ordered = sorted(records, key=lambda record: record.at)
    drills = [record for record in ordered if record.kind == "drill"]
    if ordered and not ordered[-1].ok:
        return "damaged"
    if drills:
        return "proven" if drills[-1].ok else "damaged"
    deep = any(record.ok and record.scope != STORED_BYTES for record in ordered)
    return "intact" if deep else "stored"


def check_source_name(name: str) -> str:
    """A source's name becomes a folder in every store: small letters, digits, `_`, `.`, `-`.

    Raises UsageError.
    """
    if not _SOURCE.fullmatch(name) or ".." in name or name in ("globals", "latest"):
        raise UsageError(
            f"{name!r} cannot name a source",
            hint="use small letters, digits, '_', '-' and '.', beginning with a letter or digit; at most 63",
        )
    return name


def split_id(backup: str) -> tuple[str, str, str]:
    """Source, stamp and kind of a backup's id. Raises UsageError when it is none."""
    match = _ID.fullmatch(backup)
    if not match:
        raise UsageError(f"{backup!r} is not the id of a backup", hint="see `pgproof list`")
    return match["source"], match["stamp"], match["kind"]


def stamp_of(moment: datetime) -> str:
    """The moment in UTC, to the second, as ids carry it: 20261123T020000Z."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def moment_of(stamp: str) -> datetime:
    """The moment of a stamp; for one that no calendar has, the last there is."""
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)


_HEAD = b'{"sha256":"'
_NECK = b'","content":'
_TAIL = b"}\n"
_Value = TypeVar("_Value", Manifest, Record)


def seal(value: Manifest | Record) -> bytes:
    """The file for `value`: JSON, in which `sha256` is that of the exact bytes of `content`."""
    content = msgspec.json.encode(value)
    return _HEAD + hashlib.sha256(content).hexdigest().encode() + _NECK + content + _TAIL


def seal_hash(sealed: bytes) -> str:
    """The hash that names a sealed file; the next manifest carries it as `previous`."""
    return sealed[len(_HEAD) : len(_HEAD) + 64].decode("ascii", "replace")


def unseal(sealed: bytes, kind: type[_Value], name: str) -> _Value:
    """The value in a sealed file. Raises Damaged if any bit of it is not as written, UsageError if
    it was written by a newer pgproof. `name` is for the message.
    """
    start = len(_HEAD) + 64 + len(_NECK)
    content = sealed[start : -len(_TAIL)]
    if sealed != _HEAD + hashlib.sha256(content).hexdigest().encode() + _NECK + content + _TAIL:
        raise Damaged(f"{name} is damaged: its content does not match its own hash", hint=_COPY_HINT)
    try:
        newer = msgspec.json.decode(content, type=dict[str, object]).get("format", FORMAT)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Damaged(f"{name} is not what pgproof writes: {error}", hint=_COPY_HINT) from error
    if newer not in _FORMATS:
        raise UsageError(
            f"{name} has format {newer}; this pgproof knows {' and '.join(map(str, _FORMATS))}",
            hint="use the version of pgproof that wrote it, or a newer one",
        )
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise Damaged(f"{name} is not what pgproof writes: {error}", hint=_COPY_HINT) from error


_COPY_HINT = "restore from another copy of this backup, or from another backup"
