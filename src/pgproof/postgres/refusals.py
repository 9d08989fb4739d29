"""What a server or libpq refuses, as sentences: psycopg's exceptions translated into ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from pgproof.errors import ConfigError, PgproofError, QueryFailed, Unreachable


class Closed(Unreachable):
    """The server answers, and this database is not there or does not let this role in: another may."""


@contextmanager
def translated() -> Iterator[None]:
    """Psycopg's exceptions as ours."""
    try:
        yield
    except psycopg.errors.Error as error:
        raise _query_failed(error) from error


def _query_failed(error: psycopg.Error) -> PgproofError:
    state = error.sqlstate or ""
    said = (error.diag.message_primary or str(error)).strip()
    if not state or state.startswith(("57P", "08")):
        return Unreachable(f"the server went away: {said}", hint="look at its log; nothing was kept of this run")
    hints = {
        "55P03": "another session holds a lock",
        "42501": "give the role the right; `pgproof doctor` lists what lacks",
    }
    return QueryFailed(said, hint=hints.get(state, error.diag.message_hint or ""), sqlstate=state)


def bad_conninfo(error: psycopg.Error) -> ConfigError:
    """A connection string that libpq cannot read, without the secrets that may stand in it."""
    return ConfigError(
        f"the connection string cannot be read: {_scrubbed(str(error))}",
        hint="write it as postgresql://user@host:port/database; special characters are %-encoded",
    )


def _scrubbed(text: str) -> str:
    # libpq quotes the string it could not read, which may hold a password.
    return text.split('"', 1)[0].strip() or "it is malformed"


def unreachable(where: str, said: str) -> PgproofError:
    """No connection to `where`, from the words of libpq or the server."""
    first = said.strip().splitlines()[0] if said.strip() else "no answer"
    for mark, text, hint in _REFUSALS:
        if mark in said:
            kind = Closed if mark in _OF_ONE_DATABASE else Unreachable
            return kind(f"{text} ({where})", hint=hint)
    return Unreachable(f"cannot connect to {where}: {first}", hint="is the server up, and host and port right?")


_OF_ONE_DATABASE = ("permission denied for database", "not currently accepting connections", "does not exist")
_REFUSALS = (
    (
        "password authentication failed",
        "the server refuses the password",
        "check the user and the password's reference",
    ),
    (
        "no password supplied",
        "the server asks for a password and none is configured",
        "set `password` to a reference",
    ),
    (
        "no pg_hba.conf entry",
        "the server does not let this host and user in",
        "add a line to pg_hba.conf and reload",
    ),
    (
        "permission denied for database",
        "the role may not connect to the database",
        "as its owner: GRANT CONNECT ON DATABASE ... TO ...",
    ),
    (
        "not currently accepting connections",
        "the database lets nobody in",
        "as a superuser: ALTER DATABASE ... ALLOW_CONNECTIONS true",
    ),
    ("does not exist", "the database or role does not exist", "was it renamed or dropped? check the URL"),
    ("too many clients", "the server has no connection left", "raise max_connections or try again later"),
    (
        "remaining connection slots",
        "the server has no connection left",
        "raise max_connections or try again later",
    ),
    ("the database system is starting up", "the server is starting up", "try again in a moment"),
    ("the database system is shutting down", "the server is shutting down", "try again when it is up"),
    (
        "certificate",
        "the server's TLS certificate is not accepted",
        "check sslmode and sslrootcert in the URL",
    ),
    (
        "server does not support SSL",
        "TLS is required and the server has none",
        "turn it on, or choose another sslmode",
    ),
)
