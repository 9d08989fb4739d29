"""Databases on a server: restored beside, switched by two renames in one transaction while nobody is connected."""

import contextlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from pgproof.actions import restore
from pgproof.actions.asking import Answers, ask, counters
from pgproof.actions.recover.ground import ABSENT, Counters, Outcome
from pgproof.actions.recover.journal import Recovery
from pgproof.checks import Check
from pgproof.errors import Busy, PgproofError, QueryFailed, Refused
from pgproof.postgres.server import Address, Session, end_sessions, identity
from pgproof.postgres.sql import name as quoted
from pgproof.stream.progress import Progress
from pgproof.stream.reading import Reading

_LOCKS = 0x70677078  # the class of our advisory locks of recoveries: "pgpx"


@dataclass(frozen=True, slots=True)
class Databases:
    """`target` is the address of the one that is recovered, `session` stands in nobody's way."""

    target: Address
    session: Session

    @property
    def where(self) -> str:
        return self.target.server

    def is_of(self, recovery: Recovery) -> bool:
        here = identity(self.session).system_identifier
        return not here or not recovery.system_identifier or here == recovery.system_identifier

    def names(self, recovery: Recovery) -> frozenset[str]:  # noqa: ARG002 - a database gets its name when it is whole
        return databases(self.session)

    def mark(self, name: str) -> str:
        """Its oid: a database made later under the name has another, also on another server's copy of this one."""
        found = self.session.rows("SELECT oid FROM pg_catalog.pg_database WHERE datname = %s", [name])
        return str(found[0][0]) if found else ABSENT

    def restore(
        self, source: Reading, recovery: Recovery, wish: restore.Wish, now: datetime, progress: Progress
    ) -> Outcome:
        new = self.target.to(recovery.new)
        done = restore.restore(source, new, wish, restore.plan(source, new, wish, now), progress)
        return Outcome(done.tables, done.rows, done.compared, done.checks, done.notes, counters(new))

    def ask(self, name: str, checks: tuple[Check, ...]) -> Answers:
        return ask(self.target.to(name), checks)

    def counters(self, name: str) -> Counters:
        return counters(self.target.to(name))

    def swap(self, live: str, coming: str, aside: str) -> None:
        swap(self.session, live, coming, aside)

    def open_again(self, live: str) -> None:
        """By a new session where the old one has died, as it may have been the reason."""
        try:
            open_again(self.session, live)
        except PgproofError:
            with restore.maintenance(self.target) as session:
                open_again(session, live)

    def drop(self, name: str) -> None:
        self.session.run(f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")


@contextmanager
def alone_on(target: Address) -> Iterator[Session]:
    """A session on the server that no other recovery of this database has, from whichever machine. Raises Busy."""
    with restore.maintenance(target) as session:
        key = zlib.crc32(target.database.encode()) >> 1
        if not session.value(f"SELECT pg_catalog.pg_try_advisory_lock({_LOCKS}, {key})"):
            raise Busy(
                f"somebody is recovering {target.database} on that server already, from this machine or another",
                hint="wait for them, or ask them; pg_locks of the server tells the session",
            )
        yield session


def databases(session: Session) -> frozenset[str]:
    return frozenset(one for (one,) in session.rows("SELECT datname FROM pg_catalog.pg_database"))


def refuse_powerless(session: Session, database: str) -> tuple[str, ...]:
    """What has to be known of who may end whose sessions. Raises Refused for a role that may not rename `database`:
    its owner with CREATEDB may (PostgreSQL docs, ALTER DATABASE).
    """
    role, owner, may = session.row(
        "SELECT current_user, pg_catalog.pg_get_userbyid(datdba), pg_catalog.pg_has_role(datdba, 'USAGE')"
        " FROM pg_catalog.pg_database WHERE datname = %s",
        [database],
    )
    if not may:
        raise Refused(
            f"{role} may not rename {database}, which is {owner}'s",
            hint=f"recover as a superuser, or: GRANT {quoted(owner)} TO {quoted(role)}",
        )
    theirs = [str(one) for (one,) in session.rows(_NOT_OURS_TO_END, [database])]
    if not theirs:
        return ()
    grant = f"GRANT pg_signal_backend TO {quoted(role)}"
    return (f"{role} may not end the sessions of {', '.join(theirs)}: they must have ended by the switch ({grant})",)


# A superuser's session only a superuser may end (PostgreSQL docs 9.28.2, pg_signal_backend).
_NOT_OURS_TO_END = """
SELECT DISTINCT r.rolname FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid
WHERE a.datname = %s AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
  AND NOT pg_catalog.pg_has_role(r.oid, 'USAGE')
  AND (r.rolsuper OR NOT pg_catalog.pg_has_role('pg_signal_backend', 'USAGE'))
ORDER BY 1
"""


def swap(session: Session, database: str, coming: str, aside: str) -> None:
    """`coming` gets the name `database`; what has that name becomes `aside`. Both or neither. Raises Refused."""
    there = database in databases(session)
    if there:
        _let_in(session, database, yes=False)
    try:
        if there:
            end_sessions(session, database)
        leave = (
            f"ALTER DATABASE {quoted(database)} RENAME TO {quoted(aside)}; "
            f"ALTER DATABASE {quoted(aside)} WITH ALLOW_CONNECTIONS true; "
        )
        session.run(
            f"BEGIN; {leave if there else ''}ALTER DATABASE {quoted(coming)} RENAME TO {quoted(database)}; COMMIT"
        )
    except QueryFailed as error:
        with contextlib.suppress(PgproofError):
            session.run("ROLLBACK")
        raise Refused(
            f"the switch failed, nothing was changed: {error.message}", hint="see what uses the databases, and go on"
        ) from error
    finally:
        with contextlib.suppress(PgproofError):  # who called us opens it again where this session has died
            open_again(session, database)


def open_again(session: Session, database: str) -> None:
    """Let sessions in; a recovery that was cut off may have kept them out. Raises PgproofError."""
    if database in databases(session):
        _let_in(session, database, yes=True)


def _let_in(session: Session, database: str, *, yes: bool) -> None:
    session.run(f"ALTER DATABASE {quoted(database)} WITH ALLOW_CONNECTIONS {'true' if yes else 'false'}")
