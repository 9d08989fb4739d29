"""Roles from the text of `pg_dumpall --globals-only`: statements one by one, never through psql."""

import contextlib
import re
from collections.abc import Collection, Iterator

from pgproof.errors import PgproofError, QueryFailed
from pgproof.postgres.server import Session

_DUPLICATE = "42710"
_TOKEN = re.compile(rb"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|;|[^'";-]+|-""", re.DOTALL)
_ROLE = re.compile(r'\s*(?:CREATE|ALTER) ROLE (?P<role>"(?:[^"]|"")*"|[^\s;]+)')


def statements(text: bytes) -> Iterator[bytes]:
    """The statements of `text`, without comments; quoted names and strings are kept whole."""
    gathered: list[bytes] = []
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == b";":
            yield b"".join(gathered).strip()
            gathered = []
        elif not token.startswith(b"--"):
            gathered.append(token)


def load(session: Session, text: bytes) -> list[str]:
    """Make all roles and memberships, as a drill needs them; returns what could not be made.

    Tablespaces are left out: their folders are another server's. The role that is connected keeps its
    own password.
    """
    failed = []
    own = session.value("SELECT current_user")
    for statement in statements(text):
        if statement.startswith((b"CREATE TABLESPACE", b"ALTER TABLESPACE", b"GRANT ALL ON TABLESPACE", b"\\")):
            continue
        match = _ROLE.match(statement.decode("utf-8", "replace"))
        if match and _bare(match["role"]) == own:
            continue
        try:
            session.run_bytes(statement)
        except QueryFailed as error:
            if error.sqlstate != _DUPLICATE:
                failed.append(error.message)
    return failed


def create(session: Session, text: bytes, wanted: Collection[str]) -> None:
    """Make the `wanted` roles with their attributes and passwords, and their memberships among one
    another and existing roles: all of it or nothing. Raises QueryFailed.
    """
    session.run("BEGIN")
    try:
        _create(session, text, wanted)
        session.run("COMMIT")
    except BaseException:
        with contextlib.suppress(PgproofError):
            session.run("ROLLBACK")
        raise


def _create(session: Session, text: bytes, wanted: Collection[str]) -> None:
    for statement in statements(text):
        decoded = statement.decode("utf-8", "replace")
        match = _ROLE.match(decoded)
        role = _bare(match["role"]) if match else None
        if role in wanted or (role is None and _grants_to(decoded, wanted)):
            session.run_bytes(statement)


def _grants_to(statement: str, wanted: Collection[str]) -> bool:
    match = re.match(r'GRANT .* TO (?P<role>"(?:[^"]|"")*"|[^\s;]+)', statement, re.DOTALL)
    return match is not None and "TABLESPACE" not in statement and _bare(match["role"]) in wanted


def _bare(quoted: str) -> str:
    return quoted.strip('"').replace('""', '"')
