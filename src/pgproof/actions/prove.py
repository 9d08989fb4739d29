"""Prove: the drill. Restore a backup into a throw-away server and compare it, table by table, with what
the snapshot gave; whatever differs is named. A drill that cannot run says why; it never passes by default.
"""

import time
from dataclasses import dataclass
from datetime import datetime

from pgproof.actions import volume
from pgproof.actions.asking import Answers, ask
from pgproof.actions.throwaway import throw_away
from pgproof.checks import Check
from pgproof.docker import Engine
from pgproof.errors import Damaged, NotProven, PgproofError, QueryFailed, Unreachable
from pgproof.evidence import Count, Difference, compare_counts, compare_digests
from pgproof.manifest import Manifest, Record, Sequence, TableProof
from pgproof.postgres import archive, catalog, roles, tools
from pgproof.postgres.scratch import Scratch, room
from pgproof.postgres.server import Address, connect
from pgproof.sources import text
from pgproof.sources.replay import (
    LARGE_OBJECTS,
    Choice,
    Digests,
    Manner,
    Replayed,
    codec_of,
    digest_large_objects,
    digest_tables,
    replay,
    select,
)
from pgproof.stream.progress import Progress
from pgproof.stream.reading import Reading

_DATABASE = "drill"


@dataclass(frozen=True, slots=True)
class Conditions:
    """How to drill: connections at a time, the folder for the throw-away server, questions to ask, the PostgreSQL
    installations to choose from (None: those of this machine), and the engine that may have the source's own image
    (None: none is asked).
    """

    jobs: int = 2
    below: str | None = None
    checks: tuple[Check, ...] = ()
    installed: tuple[tools.Tools, ...] | None = None
    engine: Engine | None = None


def prove(reading: Reading, conditions: Conditions, now: datetime, progress: Progress) -> Record:
    """Run the drill; the record says whether the backup is proven, and all that differed.

    Raises NotProven when the drill cannot run at all. Keeping the record is the caller's.
    """
    began = time.monotonic()
    manifest = reading.manifest
    if manifest.kind == "volume":
        wanted = volume.Conditions(Engine(), conditions.jobs, conditions.checks, manifest.database.name)
        return volume.drill(reading, wanted, now, progress)
    progress.begin("authenticating", manifest.size)
    try:
        reading.check_all(progress)
    except Damaged as error:
        seconds = round(time.monotonic() - began, 3)
        return Record(manifest.id, "drill", now, ok=False, seconds=seconds, findings=(error.message,))
    with throw_away(manifest, conditions.engine, progress, conditions.installed, conditions.below) as server:
        outcome = _Drill(reading, server.scratch, conditions, progress).run()
    return Record(
        backup=manifest.id,
        kind="drill",
        at=now,
        ok=not outcome.differences,
        seconds=round(time.monotonic() - began, 3),
        findings=tuple(f"{one.what}: {one.text}" for one in outcome.differences) + outcome.remarks + server.remarks,
        server_version=server.version,
        tables=outcome.tables,
        checks=outcome.checks,
        scope=server.scope,
    )


@dataclass(frozen=True, slots=True)
class _Outcome:
    differences: tuple[Difference, ...]
    remarks: tuple[str, ...]
    tables: tuple[TableProof, ...]
    checks: dict[str, bool]


@dataclass(frozen=True, slots=True)
class _Drill:
    reading: Reading
    server: Scratch
    conditions: Conditions
    progress: Progress

    @property
    def manifest(self) -> Manifest:
        return self.reading.manifest

    @property
    def address(self) -> Address:
        return self.server.address.to(_DATABASE)

    def run(self) -> _Outcome:
        remarks = self._prepare()
        schema = self.reading.content(self.manifest.part("schema.dump"))
        try:
            done = self._replay(schema)
        except (NotProven, Unreachable):
            raise
        except PgproofError as error:
            _refuse_blame(error, self.server)
            difference = Difference("the restore", f"failed: {error.message}")
            return _Outcome((difference,), tuple(remarks), (), {})
        found, large = self._digests()
        differences = [
            *compare_counts({table.label: table.rows for table in self.manifest.evidence.tables}, done.digests),
            *compare_digests(done.digests, found),
            *self._sequences(),
            *large,
            *self._schema(schema),
            *self._indexes(),
        ]
        answers = self._checks()
        proofs = tuple(
            TableProof(name, digest.rows, digest.hex(), found.get(name) == digest)
            for name, digest in sorted(done.digests.items())
        )
        return _Outcome((*differences, *answers.failed), (*remarks, *answers.warned), proofs, answers.true)

    def _prepare(self) -> list[str]:
        """Roles first, then an empty database like the source's."""
        like = self.manifest.database
        with connect(self.server.address) as session:
            failed = roles.load(session, self.reading.content(self.manifest.part("globals.sql")))
            have = {one for (one,) in session.rows("SELECT name FROM pg_catalog.pg_available_extensions")}
            lacking = sorted(set(like.extensions) - have)
            if lacking:
                raise NotProven(
                    f"the throw-away PostgreSQL {self.server.tools.version} lacks the extensions {', '.join(lacking)}",
                    hint="install their packages for it on this machine, then run the drill again",
                )
            try:
                session.run(catalog.create_database(_DATABASE, like, owner=None, version_num=session.version_num))
            except PgproofError as error:
                locale = f"{like.locale or like.collate} ({_provider(like.provider)})"
                raise NotProven(
                    f"the throw-away server cannot make a database like the source's: {error.message}",
                    hint=f"it needs the locale {locale} on this machine",
                ) from error
        return [f"a role could not be made: {one}" for one in failed]

    def _replay(self, schema: bytes) -> Replayed:
        selection = select(self.server.tools, self.reading, schema, Choice())
        manner = Manner(jobs=self.conditions.jobs, digest=True, tablespaces=False, analyze=False)
        return replay(self.reading, self.address, self.server.tools, selection, schema, manner, self.progress)

    def _digests(self) -> tuple[Digests, list[Difference]]:
        """Of all tables and large objects; of these also what their digest does not tell: how many there are,
        as an empty one has no contents, and how many bytes, as the stored text itself may hold none.
        """
        found = digest_tables(self.address, self.manifest.evidence.tables, self.conditions.jobs, self.progress)
        before, after = self.manifest.evidence.large_objects, Count()
        with connect(self.address) as session:
            count = catalog.large_objects(session)
        if before.rows or count.rows:
            found[LARGE_OBJECTS], size = digest_large_objects(self.address, catalog.LARGE_OBJECT_CONTENTS)
            after = Count(count.rows, size)
        words = (
            f"{before.rows} with {before.bytes} bytes of text were read, {after.rows} with {after.bytes} are restored"
        )
        return found, [] if before == after else [Difference(LARGE_OBJECTS, words)]

    def _sequences(self) -> list[Difference]:
        with connect(self.address) as session:
            found = {(one.schema, one.name): one for one in catalog.sequences(session)}
        return [
            Difference(
                f"sequence {one.schema}.{one.name}",
                f"stood at {_value(one)}, after the restore at {_value(after)}",
            )
            for one in self.manifest.evidence.sequences
            if (after := found.get((one.schema, one.name))) != one
        ]

    def _indexes(self) -> list[Difference]:
        """Indexes that are invalid after the restore; none can be, as pg_restore makes them anew."""
        with connect(self.address) as session:
            return [
                Difference(f"index {one}", "is invalid after the restore") for one in catalog.invalid_indexes(session)
            ]

    def _schema(self, schema: bytes) -> list[Difference]:
        """Dump the restored schema and compare: the text when the versions are the same, otherwise the
        list of objects, as another version writes the same thing in other words.
        """
        with connect(self.address) as session:
            words = ["--format=custom", "--schema-only", "--no-tablespaces"]
            after = self.server.tools.run("pg_dump", words, session.wire())
        same_version = self.manifest.server.major == self.server.tools.major
        compare = self._statements if same_version else self._objects
        return _set_difference(compare(schema), compare(after))

    def _statements(self, schema: bytes) -> set[str]:
        codec = codec_of(self.manifest)
        lines = b"".join(text.schema_text(self.server.tools, schema)).decode(codec, "surrogateescape")
        return set(text.pieces(lines))

    def _objects(self, schema: bytes) -> set[str]:
        entries = archive.contents(self.server.tools, schema, codec_of(self.manifest))
        return {entry.key for entry in entries if not entry.description.startswith("DATABASE")}

    def _checks(self) -> Answers:
        if not self.conditions.checks:
            return Answers()
        self.progress.begin("asking the checks")
        return ask(self.address, self.conditions.checks)


def _refuse_blame(error: PgproofError, server: Scratch) -> None:
    """Raise NotProven where this machine, and not the backup, is why the restore failed."""
    lacking = isinstance(error, QueryFailed) and error.sqlstate.startswith("53")
    if lacking or any(mark in error.message for mark in _OURS):
        raise NotProven(f"the drill could not be finished: {error.message}", hint=room(server.folder)) from error


# What pg_restore says when the throw-away server, or pg_restore itself, lacks something: space, memory, its life.
_OURS = (
    *("No space left on device", "out of memory", "out of shared memory", "was killed by signal", "was stopped: it"),
    *("server closed the connection", "the database system is", "terminating connection"),
)


def _value(sequence: Sequence | None) -> str:
    if sequence is None:
        return "nothing"
    return f"{sequence.last_value}{'' if sequence.is_called else ' (not yet called)'}"


def _provider(letter: str) -> str:
    return {"c": "libc", "i": "ICU", "b": "builtin"}.get(letter, letter)


def _set_difference(before: set[str], after: set[str], most: int = 20) -> list[Difference]:
    lost = [Difference("schema", f"lost: {_short(one)}") for one in sorted(before - after)]
    added = [Difference("schema", f"not in the backup: {_short(one)}") for one in sorted(after - before)]
    return (lost + added)[:most]


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 300 else f"{flat[:300]}..."
