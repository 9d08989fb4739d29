"""The snapshot that everything of a backup joins: locks first, then a repeatable-read view, exported.

Locking before the snapshot is taken keeps TRUNCATE and ALTER out between the two, which would show
through a snapshot (PostgreSQL docs 13.6, "Caveats").
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pgproof.errors import Busy, QueryFailed, Refused
from pgproof.postgres import catalog, rights
from pgproof.postgres.server import Address, Session, connect
from pgproof.postgres.sql import qualified, readable

LOCK_SECONDS = 60
GONE = ("42P01", "3F000")  # undefined_table, invalid_schema_name
_LOCKS_AT_ONCE = 200


class Moved(Busy):
    """Tables were dropped or altered while they were being locked: try again from the beginning."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An exported snapshot, and the session that holds it and the locks until it is closed."""

    id: str
    session: Session
    settings: dict[str, str]
    heaps: Sequence[catalog.Heap]


@contextmanager
def exported(address: Address, *, lock_seconds: float = LOCK_SECONDS) -> Iterator[Snapshot]:
    """A read-only snapshot of the whole database under ACCESS SHARE locks on all its tables.

    Raises Refused naming every table that may not be read, Busy naming who blocks a lock, Moved.
    """
    with connect(address) as session:
        settings = session.pin()
        check_privileges(session)
        with _patient(session, address, lock_seconds):
            before = catalog.tables(session)
            session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            _lock(session, before)
            snapshot = session.value("SELECT pg_catalog.pg_export_snapshot()")
            heaps = catalog.tables(session)
            known = {heap.oid for heap in before}
            _lock(session, [heap for heap in heaps if heap.oid not in known])
        yield Snapshot(snapshot, session, settings, heaps)


def check_privileges(session: Session) -> None:
    """Raise Refused with what this role may not read, before anything is dumped."""
    for lack in rights.lacks(session):
        raise Refused(lack.text, hint=lack.hint)


@contextmanager
def _patient(session: Session, address: Address, seconds: float) -> Iterator[None]:
    """Wait for locks, so long and no longer: asking a table's size already waits for whoever has it locked."""
    session.run(f"SET lock_timeout = {int(seconds * 1000)}")
    try:
        yield
    except QueryFailed as error:
        if error.sqlstate in GONE:
            raise Moved(f"a table went away: {error.message}", hint="run it again when no schema changes") from error
        if error.sqlstate != "55P03":
            raise
        raise Busy(
            f"waited {seconds:g} s for a lock: {_blockers(address)}",
            hint="let that session end, or end it with SELECT pg_terminate_backend(pid)",
        ) from error
    session.run("SET LOCAL lock_timeout = 0")


def _lock(session: Session, heaps: Sequence[catalog.Heap]) -> None:
    for start in range(0, len(heaps), _LOCKS_AT_ONCE):
        batch = heaps[start : start + _LOCKS_AT_ONCE]
        names = ", ".join(f"ONLY {qualified(heap.table.schema, heap.table.name)}" for heap in batch)
        session.run(f"LOCK TABLE {names} IN ACCESS SHARE MODE")


def _blockers(address: Address) -> str:
    with connect(address) as session:
        found = session.rows(
            """SELECT l.pid, n.nspname, c.relname, a.usename,
                pg_catalog.date_trunc('second', now() - a.xact_start)::text
            FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
            WHERE l.mode = 'AccessExclusiveLock' AND c.relkind IN ('r', 'p')
            AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
            ORDER BY l.granted DESC, l.pid"""
        )
    if not found:
        return "the session that blocked it has gone meanwhile"
    return "; ".join(
        f"process {pid} ({user}, for {since}) blocks {readable(schema, table)}"
        for pid, schema, table, user, since in found[:5]
    )
