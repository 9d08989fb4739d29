"""Restore: into a new database beside whatever is there, switched into place by rename when it is whole.

All or nothing: rows go into a database of a temporary name that only a finished restore gives its real
one. What a killed restore left is known by its name and dropped by the next.
"""

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from pgproof.actions.asking import Answers, ask
from pgproof.actions.temporary import drop_abandoned, shortened, temporary_database
from pgproof.checks import Check
from pgproof.checks.keycloak import Statement
from pgproof.errors import Damaged, PgproofError, QueryFailed, Refused
from pgproof.evidence import compare_counts, compare_digests
from pgproof.manifest import Manifest, stamp_of
from pgproof.postgres import catalog, roles
from pgproof.postgres.refusals import Closed
from pgproof.postgres.server import Address, Session, connect, end_sessions
from pgproof.postgres.sql import literal, name
from pgproof.postgres.tools import Tools, for_dump
from pgproof.sources.replay import (
    LARGE_OBJECTS,
    Choice,
    Manner,
    Replayed,
    Selection,
    codec_of,
    digest_large_objects,
    digest_tables,
    replay,
    select,
)
from pgproof.stream.progress import Progress
from pgproof.stream.reading import Reading


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for. `replace` allows to put a database that has tables aside, under a new name. `after` and
    `checks` are for whole backups: in a part of one, what they read may not be there.
    """

    choice: Choice
    manner: Manner
    replace: bool = False
    create_roles: bool = False
    disconnect: bool = False
    after: tuple[Statement, ...] = ()  # run in the restored database before it is switched into place
    checks: tuple[Check, ...] = ()  # asked of it then


@dataclass(frozen=True, slots=True)
class Plan:
    """What a restore would do, worked out before anything is touched."""

    manifest: Manifest
    database: str
    selection: Selection
    tools: Tools
    aside: str | None
    missing_roles: tuple[str, ...]
    tables: int
    rows: int
    making: tuple[str, ...]  # steps until there is a new database
    taking: tuple[str, ...]  # and those by which it is looked at, and takes its name

    @property
    def steps(self) -> tuple[str, ...]:
        return (*self.making, *self.taking)


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done: the database, and where one of that name went."""

    backup: str
    database: str
    aside: str | None
    tables: int
    rows: int
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    checks: dict[str, bool] = field(default_factory=dict)
    compared: int = 0  # tables whose digest, read back from the new database, is that of what was stored


def plan(
    reading: Reading, target: Address, wish: Wish, now: datetime, *, installed: Iterable[Tools] | None = None
) -> Plan:
    """Authenticate the schema, look at the target, and say what would be done. Raises Refused, Damaged.

    `installed` are the PostgreSQL programs to choose from; None means those of this machine.
    """
    manifest = reading.manifest
    database = target.database
    with maintenance(target) as session:
        _fits(session, manifest, wish)
        wanted = max(int(manifest.tools["pg_dump"].split(".")[0]), manifest.server.major)
        tools = for_dump(wanted, installed, target.container)
        part = manifest.part("schema.dump")
        reading.check_stored(part)
        selection = select(tools, reading, reading.content(part), wish.choice)
        aside = _aside(session, target, database, wish, now)
        missing = _missing_roles(session, manifest, wish)
    rows = sum(manifest.evidence.tables[index].rows for index in selection.tables)
    making, taking = _making(manifest, missing, selection, rows, wish), _taking(database, aside, wish)
    return Plan(manifest, database, selection, tools, aside, missing, len(selection.tables), rows, making, taking)


def restore(reading: Reading, target: Address, wish: Wish, made: Plan, progress: Progress) -> Restored:
    """Carry out a plan. The target is as it was, or has all of it. Raises PgproofError."""
    progress.begin("authenticating", reading.manifest.size)
    compared = 0
    if made.selection.whole:
        reading.check_all(progress)
    with maintenance(target) as session:
        drop_abandoned(session, target)
        with (
            _new_roles(session, reading, made) as notes,
            temporary_database(
                session, target, made.database, reading.manifest, owners=wish.manner.owners
            ) as temporary,
        ):
            schema = reading.content(reading.manifest.part("schema.dump"))
            done = replay(reading, target.to(temporary), made.tools, made.selection, schema, wish.manner, progress)
            _check_rows(reading.manifest, done, made)
            if wish.manner.digest and made.selection.whole:
                compared = _check_digests(reading.manifest, target.to(temporary), done, wish, progress)
            answers = _afterwards(target.to(temporary), wish, progress)
            notes += [*(f"{one.what}: {one.text}" for one in answers.failed), *answers.warned]
            _finish(session, temporary, made, wish)
    if reading.manifest.evidence.large_objects.rows and not made.selection.whole:
        notes.append("large objects were left out")
    return Restored(
        reading.manifest.id,
        made.database,
        made.aside,
        made.tables,
        made.rows,
        done.left_out,
        tuple(notes),
        answers.true,
        compared,
    )


def _afterwards(restored: Address, wish: Wish, progress: Progress) -> Answers:
    """The statements that belong to the application, then its checks. Raises PgproofError."""
    if wish.after:
        with connect(restored) as session:
            for one in wish.after:
                progress.begin(one.text)
                session.run(one.sql)
    if not wish.checks:
        return Answers()
    progress.begin("asking the checks")
    return ask(restored, wish.checks)


@contextmanager
def _new_roles(session: Session, reading: Reading, made: Plan) -> Iterator[list[str]]:
    """The roles that the target lacks, dropped again if the restore fails; gives what is to be said of them."""
    if not made.missing_roles:
        yield []
        return
    globals_text = reading.content(reading.manifest.part("globals.sql"))
    notes = roles.create(session, globals_text, made.missing_roles, codec_of(reading.manifest))
    try:
        yield notes
    except BaseException:
        for role in made.missing_roles:
            with contextlib.suppress(PgproofError):
                session.run(f"DROP ROLE IF EXISTS {name(role)}")
        raise


@contextmanager
def maintenance(target: Address) -> Iterator[Session]:
    """A session on the target server that stands in the way of no database: in `postgres`, else `template1`."""
    try:
        session = connect(target, "postgres")
    except Closed:
        session = connect(target, "template1")
    with session:
        yield session


def _fits(session: Session, manifest: Manifest, wish: Wish) -> None:
    """Refuse a server that is older than the backup's, or lacks what the backup needs."""
    major = session.version_num // 10000
    if major < manifest.server.major:
        raise Refused(
            f"the backup is of PostgreSQL {manifest.server.major}, the target is {major}",
            hint=f"restore into PostgreSQL {manifest.server.major} or newer",
        )
    if not session.value("SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"):
        raise Refused(
            "the role on the target may not create databases",
            hint="restore as a superuser, or grant CREATEDB",
        )
    have = {one for (one,) in session.rows("SELECT name FROM pg_catalog.pg_available_extensions")}
    lacking = sorted(set(manifest.database.extensions) - have)
    if lacking:
        versions = ", ".join(f"{one} {manifest.database.extensions[one]}" for one in lacking)
        raise Refused(
            f"the target lacks the extensions {versions}",
            hint="install their packages on the target's host",
        )
    spaces = {one for (one,) in session.rows("SELECT spcname FROM pg_catalog.pg_tablespace")}
    absent = [one for one in manifest.database.tablespaces if one not in spaces] if wish.manner.tablespaces else []
    if absent:
        raise Refused(
            f"the target lacks the tablespaces {', '.join(absent)}",
            hint="make them with CREATE TABLESPACE, or add --no-tablespaces to put everything into the default one",
        )


def _missing_roles(session: Session, manifest: Manifest, wish: Wish) -> tuple[str, ...]:
    have = {one for (one,) in session.rows("SELECT rolname FROM pg_catalog.pg_roles")}
    named = manifest.database.roles if wish.manner.owners else manifest.database.required_roles
    missing = tuple(role for role in named if role not in have)
    if missing and not wish.create_roles:
        instead = ", or --no-owner to do without owners and grants" if wish.manner.owners else ": policies name them"
        raise Refused(
            f"the target lacks the roles {', '.join(missing)}",
            hint=f"add --create-roles to make them from the backup{instead}",
        )
    return missing


def _aside(session: Session, target: Address, database: str, wish: Wish, now: datetime) -> str | None:
    """The name under which an existing database is put aside; None when there is none. Raises Refused."""
    if not session.rows("SELECT FROM pg_catalog.pg_database WHERE datname = %s", [database]):
        return None
    with connect(target) as inside:
        tables, ours = len(catalog.tables(inside)), inside.backend
    if tables and not wish.replace:
        raise Refused(
            f"the database {database} exists and has {tables} tables",
            hint="restore to another name, or add --replace: the old database then stays, under a new name",
        )
    others = session.rows(
        """SELECT pid, usename, application_name FROM pg_catalog.pg_stat_activity
        WHERE datname = %s AND pid NOT IN (%s, %s)""",
        [database, session.backend, ours],  # a session of ours that was closed just now may still be shown
    )
    if others and not wish.disconnect:
        who = "; ".join(f"process {pid} ({user}, {application or 'unnamed'})" for pid, user, application in others[:5])
        raise Refused(
            f"{len(others)} sessions are connected to {database}: {who}",
            hint="stop the services that use it, or add --disconnect",
        )
    return shortened(database, f"_before_{stamp_of(now)}")


def _making(
    manifest: Manifest, missing: tuple[str, ...], selection: Selection, rows: int, wish: Wish
) -> tuple[str, ...]:
    steps = [f"check the stored bytes of {manifest.id} against their hashes"]
    steps += [f"create the roles {', '.join(missing)}"] if missing else []
    steps.append(f"make a new database and restore {len(selection.tables):,} tables with {rows:,} rows into it")
    steps += [f"leave out {text}: what it refers to is not chosen" for text in selection.left_out]
    steps.append("count the rows against what the backup's snapshot gave")
    return (*steps, *(one.text for one in wish.after))


def _taking(database: str, aside: str | None, wish: Wish) -> tuple[str, ...]:
    steps = [f"ask {len(wish.checks)} checks; what is not true is said, and stops nothing"] if wish.checks else []
    steps += [f"rename {database} to {aside}, where it stays"] if aside else []
    return (*steps, f"give the new database the name {database}")


def _check_rows(manifest: Manifest, done: Replayed, made: Plan) -> None:
    captured = {manifest.evidence.tables[i].label: manifest.evidence.tables[i].rows for i in made.selection.tables}
    fed = {label: digest for label, digest in done.digests.items() if label != LARGE_OBJECTS}
    differences = compare_counts(captured, fed)
    if differences:
        raise Damaged(
            "; ".join(f"{one.what}: {one.text}" for one in differences),
            hint="restore from another backup; nothing was changed",
        )


def _check_digests(manifest: Manifest, restored: Address, done: Replayed, wish: Wish, progress: Progress) -> int:
    """Read every table and large object back and compare it with what was fed; how many tables were. Raises Damaged."""
    fed, tables = done.digests, manifest.evidence.tables
    found = digest_tables(restored, tables, wish.manner.jobs, progress)
    if LARGE_OBJECTS in fed:
        found[LARGE_OBJECTS], _ = digest_large_objects(restored, catalog.LARGE_OBJECT_CONTENTS)
    differences = compare_digests(fed, {label: one for label, one in found.items() if label in fed or one.rows})
    if differences:
        raise Damaged(
            "; ".join(f"{one.what}: {one.text}" for one in differences),
            hint="restore from another backup; nothing was changed",
        )
    return len(found.keys() - {LARGE_OBJECTS})


def _finish(session: Session, temporary: str, made: Plan, wish: Wish) -> None:
    """Settings of the database, then the switch: two renames, in one transaction."""
    for statement in catalog.database_statements(temporary, made.manifest.database, owners=wish.manner.owners):
        session.run(statement)
    comment = literal(made.manifest.database.comment) if made.manifest.database.comment else "NULL"
    if made.aside and wish.disconnect:
        end_sessions(session, made.database)
    switch = [f"COMMENT ON DATABASE {name(temporary)} IS {comment}"]
    switch += [f"ALTER DATABASE {name(made.database)} RENAME TO {name(made.aside)}"] if made.aside else []
    switch.append(f"ALTER DATABASE {name(temporary)} RENAME TO {name(made.database)}")
    try:
        session.run("BEGIN; " + "; ".join(switch) + "; COMMIT")
    except QueryFailed as error:
        with contextlib.suppress(PgproofError):
            session.run("ROLLBACK")
        raise Refused(
            f"the switch failed, nothing was changed: {error.message}", hint="stop what uses it and try again"
        ) from error
