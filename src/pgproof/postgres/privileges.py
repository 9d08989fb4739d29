"""The SQL of the least-privileged accounts: one that reads rows, one that takes physical backups; and nothing else."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pgproof.errors import UsageError
from pgproof.postgres.sql import dollar_quoted, literal, name, psql_connect

SPARE = 4  # connections of a run beside its workers: the snapshot, pg_dump or pg_dumpall, who blocks; one is to spare
_READS_ALL = 140000  # pg_read_all_data
_DEFAULT_FOR_LARGE_OBJECTS = 180000  # ALTER DEFAULT PRIVILEGES ... ON LARGE OBJECTS
_LONGEST = 63  # bytes of an identifier (NAMEDATALEN - 1)
_RESERVED = ("public", "none")
_OWNERS = """SELECT pg_catalog.pg_get_userbyid(c.relowner) AS owner FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
    UNION SELECT pg_catalog.pg_get_userbyid(datdba) FROM pg_catalog.pg_database WHERE datname = current_database()"""
_LARGE_OBJECT_OWNERS = "SELECT pg_catalog.pg_get_userbyid(lomowner) FROM pg_catalog.pg_largeobject_metadata"


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement without its semicolon, why it is there, and the database to run it in ('' is any)."""

    sql: str
    why: str
    database: str = ""


def connections(jobs: int) -> int:
    """How many connections a run with so many workers may hold at once."""
    return jobs + SPARE


def statements(
    role: str,
    databases: Sequence[str],
    version_num: int,
    *,
    replication: bool = False,
    passwords: bool = False,
    limit: int = 2 + SPARE,
) -> tuple[Statement, ...]:
    """What an administrator runs to make the account, in this order, on a server of `version_num`.

    With `replication` it may take physical backups and nothing else. `passwords` lets it read the password hashes of
    roles on PostgreSQL 13; where pg_read_all_data is, that reads them anyway. `limit` is of connections. No password
    is in it. Raises UsageError for names that cannot be.
    """
    _check(role, databases)
    if replication:
        return (_replicating(role, limit),)
    made = [*_account(role, limit)]
    if version_num >= _READS_ALL:
        made.append(_read_all(role))
    made += [
        Statement(f"GRANT CONNECT ON DATABASE {name(one)} TO {name(role)}", _CONNECT) for one in _entered(databases)
    ]
    for one in databases:
        if version_num < _READS_ALL:
            made += _single_grants(role, one, passwords=passwords)
        made += _large_objects(role, one, version_num)
    return tuple(made)


def as_psql(role: str, found: Iterable[Statement], databases: Sequence[str], *, replication: bool = False) -> str:
    """The statements as a text for psql, each below its reason, and what is left to do by hand.

    The search_path is empty in each database: a superuser runs this, and what others define there must not be found.
    """
    lines, here = ["\\set ON_ERROR_STOP on"], ""
    for one in found:
        if one.database not in ("", here):
            here = one.database
            lines += ["", psql_connect(here), "SET search_path = '';"]
        lines += ["", *_comment(one.why), f"{one.sql};"]
    return "\n".join([*lines, "", *_by_hand(role, databases, replication=replication)]) + "\n"


_CONNECT = """\
The databases that it backs up. Into the others PUBLIC may let it, as by default: keep it out by pg_hba.conf, see
below, or take CONNECT on them from PUBLIC, which concerns everybody."""


def _check(role: str, databases: Sequence[str]) -> None:
    """A name with a control character could end a comment's line or a command of psql's."""
    for one in (role, *databases):
        size = len(one.encode("utf-8", "surrogateescape"))
        if not 0 < size <= _LONGEST or any(ord(letter) < 32 or letter == "\x7f" for letter in one):
            raise UsageError(
                f"{one!r} is no name for which SQL can be printed",
                hint="a name has 1 to 63 bytes and no control character; docs/backup-role.md has the statements",
            )
    if role in _RESERVED or role.startswith("pg_"):
        raise UsageError(f"the name {role} is PostgreSQL's own", hint="choose another with --name, such as backup")


def _entered(databases: Sequence[str]) -> list[str]:
    """Where pg_dumpall is not given the name of the database it asks in `postgres` (sources.dump)."""
    plain = all(re.fullmatch(r"\w+", one) for one in databases)
    return list(dict.fromkeys([*databases, *([] if plain else ["postgres"])]))


def _account(role: str, limit: int) -> Iterator[Statement]:
    yield Statement(
        f"CREATE ROLE {name(role)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION INHERIT "
        f"CONNECTION LIMIT {limit}",
        "What it does not need, it does not get. INHERIT: what is granted below holds without SET ROLE.\n"
        "The limit: as many connections as one run of each source has workers, and four more each.",
    )
    yield Statement(
        f"ALTER ROLE {name(role)} BYPASSRLS",
        "Row-level security would hide rows, and a backup that lacks rows is none. Where no table has policies, leave\n"
        "it out; pgproof refuses to run where one hides something.",
    )
    yield Statement(
        f"ALTER ROLE {name(role)} SET default_transaction_read_only = on",
        "A belt against mistakes. No right hangs on it: a session may switch it off.",
    )


def _read_all(role: str) -> Statement:
    return Statement(
        f"GRANT pg_read_all_data TO {name(role)}",
        "Reads every table, view and sequence of every database, also those that come later; and the password hashes\n"
        "of all roles, which then are in the backup: encrypt it. For less, see docs/backup-role.md, single grants.",
    )


def _single_grants(role: str, database: str, *, passwords: bool) -> Iterator[Statement]:
    who, namespace = literal(role), "pg_catalog.pg_namespace"
    grants = _each(
        f"SELECT nspname FROM {namespace} WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'",
        [
            f"pg_catalog.format('GRANT {right} SCHEMA %I TO %I', one, {who})"
            for right in ("USAGE ON", "SELECT ON ALL TABLES IN", "SELECT ON ALL SEQUENCES IN")
        ],
    )
    yield Statement(grants, "PostgreSQL 13 has no pg_read_all_data: each schema, and what is in it.", database)
    yield Statement(
        _each(
            _OWNERS, [_default(right, who) for right in ("USAGE ON SCHEMAS", "SELECT ON TABLES", "SELECT ON SEQUENCES")]
        ),
        "What those who own something here will make later. What others make needs the same: run it again then.",
        database,
    )
    if passwords:
        yield Statement(
            f"GRANT SELECT ON pg_catalog.pg_authid TO {name(role)}",
            "The password hashes of all roles, which then are in the backup: encrypt it.",
            database,
        )


def _large_objects(role: str, database: str, version_num: int) -> Iterator[Statement]:
    """`pg_read_all_data` reaches large objects in no released version: 18 is the newest."""
    who = literal(role)
    later = version_num >= _DEFAULT_FOR_LARGE_OBJECTS
    until = "" if later else " For new ones run it again; until then a backup refuses, and says so."
    yield Statement(
        _each(
            "SELECT oid FROM pg_catalog.pg_largeobject_metadata",
            [f"pg_catalog.format('GRANT SELECT ON LARGE OBJECT %s TO %I', one, {who})"],
        ),
        f"Large objects, each by itself.{until}",
        database,
    )
    if later:
        yield Statement(
            _each(f"{_OWNERS}\n    UNION {_LARGE_OBJECT_OWNERS}", [_default("SELECT ON LARGE OBJECTS", who)]),
            "Large objects that come later, made by those who own something here. For those of others run it again.",
            database,
        )


def _replicating(role: str, limit: int) -> Statement:
    return Statement(
        f"CREATE ROLE {name(role)} LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOINHERIT "
        f"CONNECTION LIMIT {limit}",
        "For physical backups. REPLICATION reads every byte of the server, and can make replication slots, which keep\n"
        "WAL: no other right is needed, and an account that has it should have no other.",
    )


def _default(right: str, who: str) -> str:
    return f"pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT {right} TO %I', one, {who})"


def _each(question: str, texts: Sequence[str]) -> str:
    """A DO statement that runs the SQL that the expressions give, for each answer, which they know as `one`."""
    runs = "".join(f"\n    EXECUTE {text};" for text in texts)
    body = f" DECLARE one text; BEGIN\n  FOR one IN {question} LOOP{runs}\n  END LOOP;\nEND "
    return f"DO {dollar_quoted(body)}"


def _comment(text: str) -> Iterator[str]:
    return (f"-- {line}" for line in text.splitlines())


def _by_hand(role: str, databases: Sequence[str], *, replication: bool) -> Iterator[str]:
    where = "replication" if replication else ",".join(name(one) for one in databases)
    yield from _comment(
        f"""\
Its password is not here: psql asks for it and sends only its hash, so that it stands in no history and no log.
  \\password {name(role)}
Who may connect: a line in pg_hba.conf before broader ones, with pgproof's address, then SELECT pg_reload_conf();
  hostssl  {where}  {name(role)}  192.0.2.10/32  scram-sha-256"""
    )
    if not replication:
        yield from _comment(
            "Subscriptions, and the options of others' user mappings, only a superuser may read: a backup by this\n"
            "role is without them, and says so."
        )
