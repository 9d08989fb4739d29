"""Backups made inside the test's own process: where a test reaches into the store, the manifest, the conditions."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from pgproof.actions import prove as proving
from pgproof.actions import restore as restoring
from pgproof.actions.backup import backup
from pgproof.actions.verify import reading
from pgproof.job import Job
from pgproof.manifest import Codec, Manifest, Record
from pgproof.postgres import catalog
from pgproof.postgres.server import Address, Session, connect
from pgproof.postgres.tools import Tools
from pgproof.repository import Repository
from pgproof.retention import Policy
from pgproof.sources.dump import Dump
from pgproof.sources.replay import Choice, Digests, Manner, digest_tables
from pgproof.stores.directory import DirectoryStore
from pgproof.stream.encrypt import Key
from pgproof.stream.progress import Progress, Silent
from pgproof.stream.reading import Reading

SOURCE = "db"


class CountingStore(DirectoryStore):
    """A directory store that counts the bytes asked of it, by name."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: dict[str, int] = {}

    def open(self, name: str, start: int = 0, length: int | None = None) -> BinaryIO:
        whole = self.stat(name).size - start
        self.asked[name] = self.asked.get(name, 0) + (whole if length is None else min(length, whole))
        return super().open(name, start, length)


@dataclass
class Kit:
    """A repository in a folder of its own, and the verbs on it."""

    folder: Path

    @property
    def repository(self) -> Repository:
        return Repository(DirectoryStore(self.folder))

    def job(self, address: Address, *, jobs: int = 2, codec: Codec = "gzip", lock_seconds: float = 60) -> Job:
        source = Dump(SOURCE, address, codec=codec, jobs=jobs, lock_seconds=lock_seconds)
        return Job(SOURCE, address, source, self.repository, Key(), Policy())

    def backup(
        self,
        address: Address,
        progress: Progress | None = None,
        *,
        jobs: int = 2,
        codec: Codec = "gzip",
        lock_seconds: float = 60,
    ) -> Manifest:
        job = self.job(address, jobs=jobs, codec=codec, lock_seconds=lock_seconds)
        return backup(job, datetime.now(UTC), progress or Silent())

    def reading(self, manifest: Manifest) -> Reading:
        return reading(self.repository, manifest, Key())

    def prove(self, manifest: Manifest, **conditions: object) -> Record:
        asked = proving.Conditions(**conditions)
        return proving.prove(self.reading(manifest), asked, datetime.now(UTC), Silent())

    def restore(
        self,
        manifest: Manifest,
        target: Address,
        choice: Choice | None = None,
        *,
        source: Reading | None = None,
        owners: bool = True,
        create_roles: bool = False,
        installed: tuple[Tools, ...] | None = None,
    ) -> restoring.Restored:
        given = source or self.reading(manifest)
        wish = restoring.Wish(choice or Choice(), Manner(owners=owners), create_roles=create_roles)
        plan = restoring.plan(given, target, wish, datetime.now(UTC), installed=installed)
        return restoring.restore(given, target, wish, plan, Silent())


def run(address: Address, *statements: str) -> None:
    """Statements one by one, each in a transaction of its own."""
    with connect(address) as session:
        session.run("SET search_path = public")
        for statement in statements:
            session.run(statement)


def value(address: Address, question: str) -> object:
    with connect(address) as session:
        return session.value(question)


def rows(address: Address, question: str) -> list[tuple[object, ...]]:
    with connect(address) as session:
        return session.rows(question)


def digests(database: Address) -> Digests:
    """Every table's digest, by the COPY text that backups hold."""
    with connect(database) as session:
        tables = [heap.table for heap in catalog.tables(session)]
    return digest_tables(database, tables, 2, Silent())


def traces(session: Session, database: str) -> list[tuple[object, ...]]:
    """What a run could leave at a server: sessions, locks, prepared transactions, slots, odd databases."""
    return session.rows(
        """SELECT 'session', application_name, query FROM pg_catalog.pg_stat_activity
            WHERE datname = %(db)s AND pid <> pg_catalog.pg_backend_pid() AND backend_type = 'client backend'
        UNION ALL SELECT 'lock', l.mode, c.datname FROM pg_catalog.pg_locks l
            JOIN pg_catalog.pg_database c ON c.oid = l.database
            WHERE c.datname = %(db)s AND l.pid <> pg_catalog.pg_backend_pid() AND l.locktype <> 'virtualxid'
        UNION ALL SELECT 'prepared', gid, database::text FROM pg_catalog.pg_prepared_xacts
        UNION ALL SELECT 'slot', slot_name::text, database::text FROM pg_catalog.pg_replication_slots
        UNION ALL SELECT 'database', datname::text, '' FROM pg_catalog.pg_database
            WHERE datname LIKE '%%\\_restoring\\_%%'""",
        {"db": database},
    )


@contextmanager
def holding(address: Address, *statements: str) -> Iterator[Session]:
    """A session with a transaction under way, rolled back at the end."""
    with connect(address) as session:
        session.run("SET search_path = public")
        session.run("BEGIN")
        for statement in statements:
            session.run(statement)
        yield session
        session.run("ROLLBACK")
