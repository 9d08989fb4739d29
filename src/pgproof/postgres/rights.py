"""What the account of a backup may: too little to read everything, and too much for one that only reads."""

from collections.abc import Iterator, Sequence

from pgproof.finding import Finding
from pgproof.postgres import catalog
from pgproof.postgres.privileges import connections
from pgproof.postgres.server import Session
from pgproof.postgres.sql import plain, readable

WITHOUT_PASSWORDS = "globals.sql holds roles without their passwords: the backup role may not read them"
_SEE = "docs/backup-role.md says what it needs; `pgproof role` prints the SQL of such a role"
_NAMED = 5  # tables that a finding names

# Predefined roles that change things, start programs, or reach files (PostgreSQL docs 21.5).
_POWERFUL = (
    "pg_write_all_data",
    "pg_execute_server_program",
    "pg_read_server_files",
    "pg_write_server_files",
    "pg_signal_backend",
    "pg_checkpoint",
    "pg_maintain",
    "pg_create_subscription",
    "pg_use_reserved_connections",
    "pg_signal_autovacuum_worker",
)
_ATTRIBUTES = (
    ("rolcreaterole", "CREATEROLE", "make roles and change them"),
    ("rolcreatedb", "CREATEDB", "make databases"),
    ("rolreplication", "REPLICATION", "copy the whole server, byte by byte"),
)
_FROM = "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
_USERS = "n.nspname NOT LIKE 'pg\\_%%' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'"


def examine(session: Session, source: str, jobs: int) -> Iterator[Finding]:
    """Too little and too much of the role that is connected, in this database, for a run with so many workers."""
    lacking = list(lacks(session))
    yield from (_named(one, source) for one in lacking)
    if not lacking:
        yield Finding("rights", "ok", source, "the role may read everything")
    yield from (_named(one, source) for one in unread(session))
    role = session.value("SELECT session_user")
    yield from (_named(one, source) for one in _excess(session, role))
    yield from (_named(one, source) for one in _connections(session, role, connections(jobs)))


def examine_replicating(session: Session, source: str, role: str) -> Iterator[Finding]:
    """Too little and too much of the account for physical backups, by what the catalogue of any database says."""
    found = session.rows(
        "SELECT rolcanlogin AND rolreplication, rolsuper FROM pg_catalog.pg_roles WHERE rolname = %s", [role]
    )
    if not found:
        hint = "`pgproof role --replication` prints the SQL that makes it"
        yield Finding("role-missing", "critical", source, f"there is no role {role}", hint)
        return
    replicates, superuser = found[0]
    if superuser:
        yield _named(_superuser(role), source)
        return
    if replicates:
        yield Finding("rights", "ok", source, f"role {role} may log in and replicate")
    else:
        text, hint = f"role {role} may not log in and replicate", f"ALTER ROLE {plain(role)} LOGIN REPLICATION;"
        yield Finding("role-cannot-replicate", "critical", source, text, hint)
    yield from (_named(one, source) for one in _replicating_excess(session, role))
    yield from (_named(one, source) for one in _connections(session, role, 2))


def lacks(session: Session) -> Iterator[Finding]:
    """What keeps this role from reading everything that a backup must hold."""
    denied, hidden = catalog.unreadable(session)
    role = session.value("SELECT current_user")
    if denied:
        hint = f"as a superuser: {_cure(session, role)};"
        yield _critical("role-cannot-read", f"role {role} may not read {_listed(denied)}", hint)
    if hidden:
        hint = f"a backup must see every row; as a superuser: ALTER ROLE {plain(role)} BYPASSRLS;"
        text = f"row-level security hides rows from role {role} in {_listed(hidden)}"
        yield _critical("role-hidden-rows", text, hint)
    objects = catalog.unreadable_large_objects(session)
    if objects:
        hint = f"GRANT SELECT ON LARGE OBJECT ... TO {plain(role)} for each, or back up as their owner or a superuser"
        yield _critical("role-large-objects", f"role {role} may not read {objects} large objects", hint)


def unread(session: Session) -> Iterator[Finding]:
    """What a backup by this role will lack without failing; it says so in its notes."""
    if not reads_passwords(session):
        hint = "set them anew after a restore on a new server, or see docs/backup-role.md"
        yield Finding("role-no-passwords", "info", "", WITHOUT_PASSWORDS, hint)
    for sentence in catalog.left_out(session):
        yield Finding("role-left-out", "info", "", sentence, "docs/backup-role.md")


def reads_passwords(session: Session) -> bool:
    """Whether this role may read the password hashes of all roles."""
    return bool(session.value("SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')"))


def _cure(session: Session, role: str) -> str:
    """The statement that gives the right to read; a member that does not inherit it has it only by SET ROLE."""
    member = session.value("""
        SELECT count(*) > 0 FROM pg_catalog.pg_roles r WHERE r.rolname = 'pg_read_all_data'
        AND pg_catalog.pg_has_role(r.oid, 'MEMBER') AND NOT pg_catalog.pg_has_role(r.oid, 'USAGE')""")
    if not member:
        return f"GRANT pg_read_all_data TO {plain(role)}"
    if session.version_num >= 160000:
        return f"GRANT pg_read_all_data TO {plain(role)} WITH INHERIT TRUE"
    return f"ALTER ROLE {plain(role)} INHERIT"


def _excess(session: Session, role: str) -> Iterator[Finding]:
    """What a role that only reads need not have. A superuser has it all, which is said once."""
    if session.value("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = %s", [role]):
        yield _superuser(role)
        return
    yield from _attributes(session, role, _ATTRIBUTES)
    yield from _memberships(session, role)
    yield from _owned(session, role)
    yield from _writable(session, role)
    yield from _creates(session, role)
    if session.value("SELECT current_setting('default_transaction_read_only')") != "on":
        hint = f"ALTER ROLE {plain(role)} SET default_transaction_read_only = on;"
        yield _warning("role-not-read-only", f"sessions of role {role} may write by default", hint)


def _replicating_excess(session: Session, role: str) -> Iterator[Finding]:
    yield from _attributes(
        session, role, [*_ATTRIBUTES[:2], ("rolbypassrls", "BYPASSRLS", "see rows that policies hide")]
    )
    others = session.rows(
        """SELECT r.rolname FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.roleid
        JOIN pg_catalog.pg_roles u ON u.oid = m.member WHERE u.rolname = %s ORDER BY 1""",
        [role],
    )
    for (other,) in others:
        hint = f"REVOKE {plain(other)} FROM {plain(role)};"
        yield _warning("role-member", f"role {role} needs REPLICATION alone, and is a member of {other}", hint)


def _superuser(role: str) -> Finding:
    return _warning("role-superuser", f"role {role} is a superuser, which a backup needs not be", _SEE)


def _attributes(session: Session, role: str, wanted: Sequence[tuple[str, str, str]]) -> Iterator[Finding]:
    for column, word, meaning in wanted:
        if session.value(f"SELECT {column} FROM pg_catalog.pg_roles WHERE rolname = %s", [role]):
            hint = f"ALTER ROLE {plain(role)} NO{word};"
            yield _warning(f"role-{word.lower()}", f"role {role} has {word}: it may {meaning}", hint)


def _memberships(session: Session, role: str) -> Iterator[Finding]:
    """Powers by way of roles it is a member of, through however many steps, and with or without inheriting."""
    found = session.rows(
        """SELECT rolname FROM pg_catalog.pg_roles r
        WHERE rolname <> %(role)s AND pg_catalog.pg_has_role(%(role)s, r.oid, 'MEMBER')
        AND (rolname = ANY (%(powerful)s) OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication)
        ORDER BY 1""",
        {"role": role, "powerful": list(_POWERFUL)},
    )
    for (other,) in found:
        hint = f"REVOKE {plain(other)} FROM {plain(role)};"
        yield _warning("role-member", f"role {role} is a member of {other}, which may do more than read", hint)


def _owned(session: Session, role: str) -> Iterator[Finding]:
    found = session.rows(
        f"""SELECT n.nspname, c.relname {_FROM} WHERE c.relkind IN ('r', 'p', 'm', 'v', 'S', 'f') AND {_USERS}
        AND pg_catalog.pg_has_role(%s, c.relowner, 'MEMBER') ORDER BY 1, 2""",
        [role],
    )
    if found:
        text = f"role {role} owns, or can become the owner of, {_listed([readable(*one) for one in found], _NAMED)}"
        hint = f"who owns a table may drop it: back up by another role than the application's; {_SEE}"
        yield _warning("role-owner", text, hint)


def _writable(session: Session, role: str) -> Iterator[Finding]:
    """Tables and sequences of others that it may write to; TRIGGER counts, as whoever writes runs the trigger."""
    found = session.rows(
        f"""SELECT n.nspname, c.relname {_FROM} WHERE {_USERS}
        AND NOT pg_catalog.pg_has_role(%(role)s, c.relowner, 'MEMBER')
        AND CASE WHEN c.relkind IN ('r', 'p', 'v', 'f') THEN
            pg_catalog.has_table_privilege(%(role)s, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')
            OR pg_catalog.has_any_column_privilege(%(role)s, c.oid, 'INSERT, UPDATE')
        WHEN c.relkind = 'S' THEN pg_catalog.has_sequence_privilege(%(role)s, c.oid, 'USAGE, UPDATE')
        ELSE false END ORDER BY 1, 2""",
        {"role": role},
    )
    if found:
        text = f"role {role} may write to {_listed([readable(*one) for one in found], _NAMED)}"
        hint = (
            f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER ON ... FROM {plain(role)}, or from the role it has it by"
        )
        yield _warning("role-writes", text, hint)


def _creates(session: Session, role: str) -> Iterator[Finding]:
    """PostgreSQL 14 and older let everybody create in the schema public, and upgrades keep that."""
    found = session.rows(
        """SELECT 'SCHEMA', nspname FROM pg_catalog.pg_namespace
        WHERE nspname NOT LIKE 'pg\\_%%' AND pg_catalog.has_schema_privilege(%(role)s, oid, 'CREATE')
        UNION ALL SELECT 'DATABASE', datname FROM pg_catalog.pg_database
        WHERE datname = current_database() AND pg_catalog.has_database_privilege(%(role)s, oid, 'CREATE')
        ORDER BY 1 DESC, 2""",
        {"role": role},
    )
    for kind, where in found:
        hint = f"REVOKE CREATE ON {kind} {plain(where)} FROM {plain(role)}; or FROM PUBLIC, if everybody may"
        yield _warning("role-creates", f"role {role} may create in {kind.lower()} {where}", hint)


def _connections(session: Session, role: str, needed: int) -> Iterator[Finding]:
    """PostgreSQL holds a superuser to no limit."""
    limit, superuser = session.row("SELECT rolconnlimit, rolsuper FROM pg_catalog.pg_roles WHERE rolname = %s", [role])
    hint = f"ALTER ROLE {plain(role)} CONNECTION LIMIT {needed};"
    if limit == -1 and not superuser:
        yield _warning("role-unlimited", f"role {role} has no connection limit", hint)
    if 0 <= limit < needed and not superuser:
        text = f"role {role} may have {limit} connections, and a run can need {needed}"
        yield _warning("role-connections", text, hint)


def _critical(code: str, text: str, hint: str) -> Finding:
    return Finding(code, "critical", "", text, hint)


def _warning(code: str, text: str, hint: str) -> Finding:
    return Finding(code, "warning", "", text, hint)


def _named(found: Finding, source: str) -> Finding:
    return Finding(found.code, found.level, source, found.text, found.hint)


def _listed(names: Sequence[str], most: int = 50) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
