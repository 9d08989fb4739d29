"""The database that a restore fills: made under a temporary name, and dropped unless it was finished and renamed.

The name tells whose it is: what a killed restore left is dropped by the next.
"""

import contextlib
import re
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from pgproof.errors import Interrupted, PgproofError, QueryFailed, Refused
from pgproof.manifest import Manifest
from pgproof.postgres import catalog
from pgproof.postgres.server import Address, Session, connect
from pgproof.postgres.sql import name
from pgproof.stream import process

_MARK = "_restoring_"
_OURS = rf"{_MARK}(?P<tag>[0-9a-z]+\.\d+\.\d*)\.[0-9a-f]{{4}}"
_LOCKS = 0x70677072  # the class of our advisory locks: "pgpr"
_DROP_SECONDS, _DROP_SECONDS_IN_HASTE = 120, 3  # for the cleanup: after a failure; a signal is to end it within five
_LONGEST = 63  # bytes of an identifier (NAMEDATALEN - 1)
_LOCALE_HINT = "the target's operating system must have the same locale; `locale -a` lists what it has"


@contextmanager
def temporary_database(
    session: Session, target: Address, database: str, manifest: Manifest, *, owners: bool
) -> Iterator[str]:
    """The name of a new database like the backup's, dropped unless it has been renamed by the end."""
    temporary = shortened(database, f"{_MARK}{process.identity().tag}.{secrets.token_hex(2)}")
    owner = manifest.database.owner if owners else None
    statement = catalog.create_database(temporary, manifest.database, owner=owner, version_num=session.version_num)
    # As long as this lock is held somebody works on the database; it ends with the session, however that ends.
    session.run(f"SELECT pg_catalog.pg_advisory_lock({_LOCKS}, {_lock_key(temporary)})")
    try:
        _create(session, statement)
        yield temporary
    except BaseException as error:
        left = _give_up(session, target.to(temporary), in_haste=isinstance(error, KeyboardInterrupt))
        if left and isinstance(error, PgproofError):
            error.message = f"{error.message}; {left}"
        elif left and isinstance(error, KeyboardInterrupt):
            raise Interrupted(f"interrupted; {left}", hint="run the restore again") from error
        raise


def _give_up(session: Session, temporary: Address, *, in_haste: bool) -> str:
    """Drop the unfinished database, within a deadline or not at all; returns what is left, '' for nothing.

    The server makes a drop wait for a checkpoint, and for everybody who is just logging in, at most for its
    authentication_timeout (WaitForProcSignalBarrier in PostgreSQL's dropdb()).
    """
    try:
        session.run(f"SET statement_timeout = '{_DROP_SECONDS_IN_HASTE if in_haste else _DROP_SECONDS}s'")
        _drop(session, temporary)
    except PgproofError as error:
        return (
            f"the unfinished database {temporary.database} is left on the server ({error.message}); "
            "the next restore to this server drops it"
        )
    return ""


def _create(session: Session, statement: str) -> None:
    try:
        session.run(statement)
    except QueryFailed as error:
        raise Refused(
            f"the target cannot make a database like the backup's: {error.message}", hint=_LOCALE_HINT
        ) from error


def _lock_key(database: str) -> int:
    return zlib.crc32(database.encode()) >> 1


def _drop(session: Session, database: Address) -> None:
    """Drop a database of ours, after its subscriptions, which would hold it; their slots are left alone."""
    with contextlib.suppress(PgproofError), connect(database) as inside:
        for (subscription,) in inside.rows("""
            SELECT s.subname FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
            WHERE d.datname = current_database()"""):
            inside.run(f"ALTER SUBSCRIPTION {name(subscription)} DISABLE")
            inside.run(f"ALTER SUBSCRIPTION {name(subscription)} SET (slot_name = NONE)")
            inside.run(f"DROP SUBSCRIPTION {name(subscription)}")
    session.run(f"DROP DATABASE IF EXISTS {name(database.database)} WITH (FORCE)")


def drop_abandoned(session: Session, target: Address) -> None:
    """Drop what restores left that were killed: by its name, and only where nobody works on it any more."""
    for (database,) in session.rows("SELECT datname FROM pg_catalog.pg_database WHERE datname LIKE %s", [f"%{_MARK}%"]):
        match = re.search(_OURS + r"\Z", database)
        if match and (process.is_gone_by(match["tag"]) or not _worked_on(session, database)):
            with contextlib.suppress(PgproofError):
                _drop(session, target.to(database))


def _worked_on(session: Session, database: str) -> bool:
    """Whether the session that made it is there still: also that of another host, where a process says nothing."""
    held = """SELECT count(*) FROM pg_catalog.pg_locks
        WHERE locktype = 'advisory' AND classid::int8 = %s AND objid::int8 = %s AND objsubid = 2"""
    return bool(session.value(held, [_LOCKS, _lock_key(database)]))


def shortened(database: str, ending: str) -> str:
    """`database` with an ending, within the bytes that an identifier may have."""
    room = _LONGEST - len(ending.encode())
    return database.encode()[:room].decode("utf-8", "ignore") + ending
