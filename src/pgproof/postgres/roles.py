"""Roles from the text of `pg_dumpall --globals-only`: statements one by one, never through psql."""

import contextlib
import re
from collections.abc import Collection, Iterator

from pgproof.errors import PgproofError, QueryFailed
from pgproof.postgres.server import Session

_DUPLICATE = "42710"
_TOKEN = re.compile(rb"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|;|[^'";-]+|-""", re.DOTALL)
_NAME = r'"(?:[^"]|"")*"|[^\s;]+'
_ROLE = re.compile(rf"\s*(?:CREATE ROLE|ALTER ROLE|COMMENT ON ROLE) (?P<role>{_NAME})", re.DOTALL)
_TABLESPACE = re.compile(rb"(?:CREATE|ALTER|COMMENT ON|(?:GRANT|REVOKE) [A-Z, ]+ ON) TABLESPACE ")
_MEMBER = re.compile(
    rf"(?P<grant>GRANT (?P<role>{_NAME}) TO (?P<member>{_NAME})(?: WITH (?:(?!GRANTED).)*?)?)"
    rf"(?: GRANTED BY (?:{_NAME}))?",
    re.DOTALL,
)


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
        if _TABLESPACE.match(statement):
            continue
        match = _ROLE.match(statement.decode("utf-8", "replace"))
        if match and _bare(match["role"]) == own:
            continue
        try:
            session.run_bytes(statement)
        except QueryFailed as error:
            if error.sqlstate != _DUPLICATE:
                failed.append(error.message)
    session.own_encoding()  # the text sets the one it is written in
    return failed


def create(session: Session, text: bytes, wanted: Collection[str], codec: str) -> list[str]:
    """Make the `wanted` roles with their attributes and passwords, and their memberships among one another
    and in roles that are there: all of it or nothing. Returns what was left out. Raises QueryFailed.
    """
    session.run("BEGIN")
    try:
        left_out = _create(session, text, wanted, codec)
        session.run("COMMIT")
    except BaseException:
        with contextlib.suppress(PgproofError):
            session.run("ROLLBACK")
        raise
    return left_out


def _create(session: Session, text: bytes, wanted: Collection[str], codec: str) -> list[str]:
    have = {one for (one,) in session.rows("SELECT rolname FROM pg_catalog.pg_roles")} | set(wanted)
    left_out = []
    for statement in statements(text):
        decoded = statement.decode(codec, "surrogateescape")
        match, grant = _ROLE.match(decoded), _MEMBER.fullmatch(decoded)
        if match and _bare(match["role"]) in wanted:
            session.run(decoded)
        elif grant and _bare(grant["member"]) in wanted:
            if _bare(grant["role"]) in have:
                session.run(grant["grant"])  # in our name: who granted it may not exist here, or not be allowed to
            else:
                left_out.append(f"{grant['member']} is no member of {grant['role']}: the target has no such role")
    return left_out


def _bare(quoted: str) -> str:
    return quoted[1:-1].replace('""', '"') if quoted.startswith('"') else quoted
