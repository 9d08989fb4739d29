"""The logical source: one database, captured in one snapshot into an ordinary, self-guarding SQL file.

The way of the data, all under one exported snapshot:

    pg_dump --schema-only ──> schema.dump ──> text before the rows ─┐
    N workers: COPY ranges of tables ──> compressed blocks ─────────┼──> NAME.sql.gz ──> store
    sequences, large objects, text after the rows ──────────────────┘

Rows are counted by the server's own command tags while they pass; what was counted is the evidence.
"""

import contextlib
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from pgproof.errors import Damaged, ProgramFailed
from pgproof.evidence import Count
from pgproof.manifest import BlockKind, Codec, Database, Evidence, Kind, Server
from pgproof.postgres import archive, catalog, server
from pgproof.postgres.server import Address, Session
from pgproof.postgres.snapshot import LOCK_SECONDS, Moved, Snapshot, exported
from pgproof.postgres.tools import Tools, for_dump
from pgproof.sources import text
from pgproof.sources.source import Captured
from pgproof.sources.units import Unit, plan
from pgproof.sources.workers import QUEUE_SECONDS, Holder, Readers, Workers
from pgproof.stream import process
from pgproof.stream.blocks import PLAIN_TARGET, Building, Finished, text_blocks
from pgproof.stream.part import Parts, PartWriter
from pgproof.stream.progress import Progress

_ATTEMPTS = 8  # at a snapshot that nobody's TRUNCATE, ALTER or DROP comes in the way of


@dataclass(frozen=True, slots=True)
class Dump:
    """A database to be read at `address`, by `jobs` connections beside the one that holds the snapshot."""

    name: str
    address: Address
    codec: Codec = "gzip"
    jobs: int = 2
    lock_seconds: float = LOCK_SECONDS
    kind: Kind = field(default="logical", init=False)

    def identify(self) -> Server:
        """Which server answers at the address."""
        with server.connect(self.address) as session:
            return server.identity(session)

    def capture(self, part: Parts, progress: Progress) -> Captured:
        """Read the whole database into `schema.dump`, `globals.sql` and `NAME.sql`. Raises PgproofError."""
        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(Moved):
                return self._capture(part, progress)
        return self._capture(part, progress)

    def _capture(self, part: Parts, progress: Progress) -> Captured:
        progress.begin("preparing")
        with exported(self.address, lock_seconds=self.lock_seconds) as snapshot:
            identity = server.identity(snapshot.session)
            database = catalog.database(snapshot.session)
            tools = for_dump(identity.major)
            readers = Readers(snapshot, snapshot.session.wire(), self.codec, self.lock_seconds)
            run = _Run(self, snapshot, readers, tools, progress)
            with contextlib.closing(Workers(readers, plan(snapshot.heaps), self.jobs)) as workers:
                schema = run.schema()  # while the workers read the first rows
                with part("schema.dump", "none") as out:
                    out.write(schema)
                notes = run.write_globals(part)
                with part(f"{self.name}.sql", self.codec) as out:
                    evidence = run.write_text(out, workers, schema, database, identity)
            _same_server(snapshot.session, identity)
            settings = snapshot.settings | {"python_codec": snapshot.session.codec}
        return Captured(identity, database, {"pg_dump": tools.version}, settings, evidence, tuple(notes))


@dataclass(frozen=True, slots=True)
class _Run:
    """One capture under way."""

    dump: Dump
    snapshot: Snapshot
    readers: Readers
    tools: Tools
    progress: Progress

    def schema(self) -> bytes:
        """The schema as a custom-format archive: pg_dump is the authority on it."""
        argv = ["--format=custom", "--schema-only", f"--snapshot={self.snapshot.id}", "--no-password"]
        # We hold all locks: pg_dump can only wait behind somebody who waits for us. Then we let them pass.
        patience = QUEUE_SECONDS + len(self.snapshot.heaps) // 500
        argv += [f"--lock-wait-timeout={patience * 1000}", f"--encoding={self.snapshot.session.encoding}"]
        try:
            return self._program("pg_dump", *argv)
        except ProgramFailed as error:
            if "Query was: LOCK TABLE" not in error.message:
                raise
            raise Moved(f"a table is being changed: {error.message}", hint="run it again a little later") from error

    def write_globals(self, part: Parts) -> Iterator[str]:
        """Roles and tablespaces; yields what has to be said of them."""
        argv = ["--globals-only", "--no-password"]
        may_read = self.snapshot.session.value(
            "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')"
        )
        if not may_read:
            argv.append("--no-role-passwords")
        if re.fullmatch(r"\w+", self.readers.wire.database):
            argv.append(f"--database={self.readers.wire.database}")
        lines = (line + b"\n" for line in self._program("pg_dumpall", *argv).split(b"\n"))
        with part("globals.sql", self.dump.codec) as out:
            for block in text_blocks(text.without_guards(lines), self.dump.codec, "before"):
                out.append(block)
        notes = (
            [] if may_read else ["globals.sql holds roles without their passwords: the backup role may not read them"]
        )
        notes += catalog.left_out(self.snapshot.session)
        if self.tools.below_floor:
            notes.append(f"pg_dump {self.tools.version} is older than the last security round of its major version")
        return iter(notes)

    def write_text(
        self, out: PartWriter, workers: Workers, schema: bytes, database: Database, identity: Server
    ) -> Evidence:
        """The main part: schema text, rows, sequences, schema text, in one transaction of SQL."""
        codec = self.snapshot.session.codec
        entries = archive.contents(self.tools, schema, codec)
        # Now, near the snapshot: sequences cannot be locked, and one may be dropped while the rows are read.
        found = catalog.sequences(self.snapshot.session)
        with archive.in_memory(schema) as (fd, path):
            late = archive.event_triggers(entries)
            before = text.section(self.tools, path, fd, "pre-data", identity.major)
            guard = text.opening(database, identity).encode(codec, "replace")
            self._append(out, itertools.chain([guard], before), "before")
            evidence = self._write_rows(out, workers)
            objects = self._write_large_objects(out)
            statements = (line.encode(codec) for line in text.sequence_statements(found))
            self._append(out, statements, "sequences")
            after = text.section(
                self.tools, path, fd, "post-data", identity.major, archive.list_file(entries, but=late)
            )
            views = catalog.materialized_views(self.snapshot.session)
            refresh = [
                line.encode(codec) for line in text.refresh_statements((view.schema, view.name) for view in views)
            ]
            last = archive.list_file(entries, only=late)
            triggers = text.section(self.tools, path, fd, "post-data", identity.major, last) if late else iter(())
            self._append(out, itertools.chain(after, refresh, triggers, [text.closing().encode()]), "after")
        refreshed = tuple((view.schema, view.name) for view in views)
        return replace(evidence, sequences=tuple(found), large_objects=objects, refreshed=refreshed)

    def _append(self, out: PartWriter, pieces: Iterable[bytes], kind: BlockKind) -> None:
        for block in text_blocks(pieces, self.dump.codec, kind):
            out.append(block)

    def _write_rows(self, out: PartWriter, workers: Workers) -> Evidence:
        heaps = self.snapshot.heaps
        self.progress.begin("rows", sum(heap.size for heap in heaps))
        counts = [Count()] * len(heaps)

        def take(block: Finished) -> None:
            out.append(block)
            self.progress.advance(block.plain)
            for share in block.shares:
                counts[share.table] += Count(share.rows, share.bytes)

        for block in workers.blocks():
            take(block)
        if workers.queued:
            self.readers.copier(Holder(self.readers), take).copy(Unit(tuple(workers.queued), 0))
        tables = (replace(h.table, rows=c.rows, bytes=c.bytes) for h, c in zip(heaps, counts, strict=True))
        return Evidence(tuple(tables))

    def _write_large_objects(self, out: PartWriter) -> Count:
        count = catalog.large_objects(self.snapshot.session)
        if not count.rows:
            return count
        self.progress.begin("large objects")
        codec = self.snapshot.session.codec
        made = (line.encode(codec) for line in catalog.large_object_statements(self.snapshot.session))
        self._append(out, made, "large-objects")
        block, size = Building(self.dump.codec), 0

        def take(chunk: bytes) -> None:
            nonlocal block, size
            block.write(chunk)
            size += len(chunk)
            if block.plain >= PLAIN_TARGET:
                out.append(block.finish("large-objects"))
                block = Building(self.dump.codec)

        with contextlib.closing(self.readers.connection()) as rows:
            rows.open()
            with self.readers.joined(rows):
                rows.copy_out(catalog.LARGE_OBJECT_CONTENTS, take)
        if block.plain:
            out.append(block.finish("large-objects"))
        return Count(count.rows, size)

    def _program(self, name: str, *words: str) -> bytes:
        with server.for_programs(self.readers.wire) as access:
            argv = [self.tools.program(name), *words, f"--dbname={access.conninfo}"]
            return process.run(process.Program(argv, env=access.env, pass_fds=access.fds))


def _same_server(session: Session, before: Server) -> None:
    """Raise unless the server is still the one that was read (no failover, no rebuild in between)."""
    now = server.identity(session)
    if (now.system_identifier, now.version_num, now.standby) != (
        before.system_identifier,
        before.version_num,
        before.standby,
    ):
        raise Damaged("the server changed during the backup (failover or rebuild)", hint="run it again")
