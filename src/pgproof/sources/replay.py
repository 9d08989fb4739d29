"""The way back of a logical backup: into an empty database, blocks of rows in parallel, each authenticated.

Schema goes through pg_restore from schema.dump, rows through the COPY protocol: no stored byte reaches
the parser of psql's meta-commands. What is fed is digested on the way, for the drill to compare.
"""

import contextlib
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Self, TypeVar

from pgproof.errors import Damaged, PgproofError, QueryFailed
from pgproof.evidence import Digest
from pgproof.manifest import Block, Manifest, Table
from pgproof.postgres import archive, catalog, roles
from pgproof.postgres.archive import Chosen, TocEntry
from pgproof.postgres.rows import Rows, rows_for, strides
from pgproof.postgres.server import Address, Session, Wire, connect
from pgproof.postgres.tools import Tools
from pgproof.sources import text
from pgproof.sources.units import END, Slice, header
from pgproof.stream.blocks import plain_text
from pgproof.stream.digest import digest_lines
from pgproof.stream.progress import Progress
from pgproof.stream.reading import Reading

LARGE_OBJECTS = "large objects"
_LO_LINE = b"SELECT pg_catalog.lo_put("
Digests = dict[str, Digest]
_Piece = TypeVar("_Piece")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which tables and schemas to bring back; nothing named means everything."""

    tables: tuple[tuple[str, str], ...] = ()
    schemas: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        return not self.tables and not self.schemas


@dataclass(frozen=True, slots=True)
class Manner:
    """How to replay: connections at a time, whether rows are digested, owners and grants set, statistics made."""

    jobs: int = 2
    digest: bool = False
    owners: bool = True
    tablespaces: bool = True
    analyze: bool = True


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was brought back: digests of what was fed (rows alone unless digested), and what was left out."""

    digests: Digests
    entries: tuple[TocEntry, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """A choice worked out: the archive's entries, the places of tables in the evidence."""

    entries: tuple[TocEntry, ...]
    tables: frozenset[int]
    left_out: tuple[str, ...] = ()
    whole: bool = True


def select(tools: Tools, reading: Reading, schema: bytes, choice: Choice) -> Selection:
    """What a choice brings. Raises UsageError for a table or schema that the backup does not have."""
    manifest = reading.manifest
    owners = (*manifest.database.roles, manifest.server.superuser)
    entries = archive.contents(tools, schema, codec_of(manifest), owners)
    everything = frozenset(range(len(manifest.evidence.tables)))
    if choice.everything:
        return Selection(tuple(entries), everything)
    chosen = _chosen(entries, choice)
    made = archive.subjects(chosen.entries, "TABLE")
    tables = frozenset(i for i in everything if _subject(manifest.evidence.tables[i]) in made)
    return Selection(chosen.entries, tables, chosen.left_out, whole=False)


def replay(
    reading: Reading,
    target: Address,
    tools: Tools,
    selection: Selection,
    schema: bytes,
    manner: Manner,
    progress: Progress,
) -> Replayed:
    """Fill the empty database at `target`. Raises PgproofError; what is then in it is to be dropped."""
    with connect(target) as session:
        run = _Run(reading, target, session, session.wire(), tools, selection, manner, progress, schema)
        progress.begin("schema")
        run.pg_restore("pre-data", "--single-transaction")
        digests = run.rows()
        run.sequences()
        progress.begin("indexes and keys")
        late = archive.event_triggers(selection.entries)
        alone = archive.to_do_alone(selection.entries)
        run.pg_restore("post-data", f"--jobs={max(1, manner.jobs)}", but=late | alone)
        if alone:
            run.pg_restore("post-data", only=alone)
        run.refresh()
        if late:
            run.pg_restore("post-data", only=late)
        if manner.analyze:
            progress.begin("statistics")
            run.analyze()
    return Replayed(digests, selection.entries, selection.left_out)


def digest_tables(target: Address, tables: Iterable[Table], jobs: int, progress: Progress) -> Digests:
    """Digest what is in a database now, by the same COPY text; tables are read in parallel."""
    work = list(tables)
    with connect(target) as session:
        wire = session.wire()
    progress.begin("comparing", sum(table.bytes for table in work))
    with _Crew(wire, jobs) as crew:
        futures = {
            table.label: crew.submit(partial(_digest_table, table=table, progress=progress))
            for table in sorted(work, key=lambda t: -t.bytes)
        }
        return {label: future.result() for label, future in futures.items()}


def digest_large_objects(target: Address, query: str) -> tuple[Digest, int]:
    """Digest and size of the contents of all large objects, by the statements that would make them."""
    with connect(target) as session:
        session.pin()
        return _digest_query(session, query)


def codec_of(manifest: Manifest) -> str:
    """Python's name for the encoding of the backup's names and text."""
    return manifest.settings.get("python_codec", "utf-8")


@dataclass(frozen=True, slots=True)
class _Run:
    reading: Reading
    target: Address
    session: Session
    wire: Wire
    tools: Tools
    selection: Selection
    manner: Manner
    progress: Progress
    schema: bytes

    def pg_restore(
        self, section: str, *words: str, but: Collection[int] = (), only: Collection[int] | None = None
    ) -> None:
        options = [] if self.manner.owners else ["--no-owner", "--no-privileges"]
        options += [] if self.manner.tablespaces else ["--no-tablespaces"]
        lines = archive.list_file(self.selection.entries, but=but, only=only)
        use_list = lines.encode(codec_of(self.reading.manifest), "surrogateescape")
        common: list[str | bytes] = [f"--section={section}", "--exit-on-error", *options, "--use-list", use_list]
        if self.tools.container or self.tools.major >= 17 > self.session.version_num // 10000:
            self._as_text([*common, "--file=-", self.schema])
        else:
            self.tools.run("pg_restore", [*common, "--no-password", *words, self.schema], self.wire, _FOR_EVER)

    def _as_text(self, words: list[str | bytes]) -> None:
        """Newer programs set what an older server does not know, and that ends them; those of a container may not
        reach this server: so their text is run here, without it. There is no row in it, and no meta-command.
        """
        lines = (line + b"\n" for line in self.tools.run("pg_restore", words, patience=_FOR_EVER).split(b"\n"))
        statements = text.without_newer(text.without_guards(lines), self.session.version_num // 10000)
        with connect(self.target) as session:
            session.run_bytes(b"BEGIN;\n" + b"".join(statements) + b"COMMIT;\n")

    def rows(self) -> Digests:
        """Feed all wanted blocks; returns per table what was fed."""
        part = self.reading.manifest.main
        tables = self.reading.manifest.evidence.tables
        wanted = [block for block in part.blocks if self._wanted(block)]
        self.progress.begin("rows", sum(block.plain for block in wanted))
        digests: defaultdict[str, Digest] = defaultdict(
            Digest, {tables[i].label: Digest() for i in self.selection.tables}
        )
        with _Crew(self.wire, self.manner.jobs) as crew:
            for fed in crew.each(self._feed, self._data_blocks()):
                for index, digest in fed.items():
                    digests[tables[index].label] += digest
        return dict(digests) | self._large_objects()

    def _wanted(self, block: Block) -> bool:
        return block.kind == "data" and any(share.table in self.selection.tables for share in block.shares)

    def _data_blocks(self) -> Iterator[tuple[Block, bytes]]:
        yield from self.reading.blocks(self.reading.manifest.main, self._wanted)

    def _feed(self, rows: Rows, pair: tuple[Block, bytes]) -> dict[int, Digest]:
        block, data = pair
        part = self.reading.manifest.main
        content = memoryview(plain_text(block, data, part.codec, part.name))
        fed: dict[int, Digest] = defaultdict(Digest)
        for index, table, lines in self._statements(block, content):
            if index not in self.selection.tables:
                continue
            told = rows.copy_in(table.schema, table.name, table.columns, strides(lines))
            digest = digest_lines(bytes(lines)) if self.manner.digest else Digest(told)
            if told != digest.rows:
                raise Damaged(
                    f"{table.label}: {digest.rows} rows were fed, the server took {told}", hint="run it again"
                )
            fed[index] += digest
        self.progress.advance(block.plain)
        return fed

    def _statements(self, block: Block, content: memoryview) -> Iterator[tuple[int, Table, memoryview]]:
        """The rows of each COPY statement; the text around them must be exactly what pgproof writes."""
        place, codec = 0, codec_of(self.reading.manifest)
        for share in block.shares:
            table = self.reading.manifest.evidence.tables[share.table]
            head = header(table).encode(codec)
            begin, end = place + len(head), place + len(head) + share.bytes
            if content[place:begin] != head or content[end : end + len(END)] != END:
                raise Damaged(f"a block does not hold the rows of {table.label} as its manifest says", hint=_HINT)
            yield share.table, table, content[begin:end]
            place = end + len(END)
        if place != len(content):
            raise Damaged("a block holds more than its manifest says", hint=_HINT)

    def _large_objects(self) -> Digests:
        """Made anew one block after the other: the first makes the objects that the others fill."""
        part, digest = self.reading.manifest.main, Digest()
        if not self.selection.whole or not self.reading.manifest.evidence.large_objects.rows:
            return {}
        self.progress.begin("large objects")
        for block, data in self.reading.blocks(part, lambda block: block.kind == "large-objects"):
            content = plain_text(block, data, part.codec, part.name)
            self.session.run_bytes(self._without_owners(content))
            if content.startswith(_LO_LINE):
                digest += digest_lines(content)
        return {LARGE_OBJECTS: digest}

    def _without_owners(self, content: bytes) -> bytes:
        if self.manner.owners or content.startswith(_LO_LINE):
            return content
        skip = (b"ALTER LARGE OBJECT", b"GRANT ", b"REVOKE ")
        return b"".join(one + b";\n" for one in roles.statements(content) if not one.startswith(skip))

    def sequences(self) -> None:
        chosen = self.reading.manifest.evidence.sequences
        if not self.selection.whole:
            made = archive.subjects(self.selection.entries, "SEQUENCE")
            chosen = tuple(one for one in chosen if archive.subject(one.schema, one.name) in made)
        for statement in text.sequence_statements(chosen):
            self.session.run(statement)

    def refresh(self) -> None:
        views = self.reading.manifest.evidence.refreshed
        if not self.selection.whole:
            made = archive.subjects(self.selection.entries, "MATERIALIZED VIEW")
            views = tuple(view for view in views if archive.subject(*view) in made)
        for statement in text.refresh_statements(views):
            self.session.run(statement)

    def analyze(self) -> None:
        """Statistics are no part of the data: what cannot be analysed (a foreign child, say) is passed over."""
        with _Crew(self.wire, self.manner.jobs) as crew:
            for _ in crew.each(_analyze, catalog.to_analyze(self.session)):
                pass


class _Crew:
    """Threads with a connection for rows each; at most a few pieces of work wait, so memory is bounded."""

    def __init__(self, wire: Wire, jobs: int) -> None:
        self._wire, self._jobs = wire, max(1, jobs)
        self._executor = ThreadPoolExecutor(self._jobs, thread_name_prefix="rows")
        self._mine = threading.local()
        self._all: list[Rows] = []
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            self._stopped.set()
            for rows in self._all:
                rows.terminate()
        self._executor.shutdown(wait=True, cancel_futures=True)
        for rows in self._all:
            rows.close()

    def submit(self, work: Callable[[Rows], _Result]) -> "Future[_Result]":
        return self._executor.submit(lambda: work(self._rows()))

    def each(self, work: Callable[[Rows, _Piece], _Result], pieces: Iterable[_Piece]) -> Iterator[_Result]:
        """The results of `work` on all pieces, in any order; the first failure is raised."""
        waiting: set[Future[_Result]] = set()
        for piece in pieces:
            waiting.add(self.submit(partial(_swapped, work, piece)))
            if len(waiting) > self._jobs:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in waiting)

    def _rows(self) -> Rows:
        if not hasattr(self._mine, "rows"):
            self._mine.rows = rows_for(self._wire)
            self._all.append(self._mine.rows)  # before it is open: what is being connected can be ended too
            if self._stopped.is_set():
                raise PgproofError("the run was stopped")
            self._mine.rows.open()
        rows: Rows = self._mine.rows
        return rows


def _analyze(rows: Rows, table: str) -> None:
    with contextlib.suppress(QueryFailed):
        rows.execute(f"ANALYZE {table}")


def _swapped(work: Callable[[Rows, _Piece], _Result], piece: _Piece, rows: Rows) -> _Result:
    return work(rows, piece)


def _digest_table(rows: Rows, table: Table, progress: Progress) -> Digest:
    return _digest_query(rows, Slice(0, table).query(), progress)[0]


def _digest_query(rows: Rows | Session, query: str, progress: Progress | None = None) -> tuple[Digest, int]:
    total, size = Digest(), 0

    def take(chunk: bytes) -> None:
        nonlocal total, size
        total += digest_lines(chunk)
        size += len(chunk)
        if progress:
            progress.advance(len(chunk))

    told = rows.copy_out(query, take)
    if told != total.rows:
        raise Damaged(f"the server counted {told} rows and sent {total.rows}", hint="run it again")
    return total, size


def _chosen(entries: list[TocEntry], choice: Choice) -> Chosen:
    found = [archive.choose(entries, choice.tables)] if choice.tables else []
    found += [archive.choose_schema(entries, choice.schemas)] if choice.schemas else []
    times = Counter(entry.id for one in found for entry in one.entries)
    left_out = tuple(text for one in found for text in one.left_out)
    return Chosen(tuple(entry for entry in entries if times[entry.id]), left_out)


def _subject(table: Table) -> str:
    return archive.subject(table.schema, table.name)


_FOR_EVER = 30.0 * 24 * 3600
_HINT = "restore from another copy of this backup, or from another backup"
