r"""The SQL text around the rows: schema before and after, sequences, and the guard at both ends.

The text is made by `pg_restore` from the archive that `pg_dump` wrote. Its `\restrict` lines are taken
out: they would stop every psql older than August 2025, and pgproof's own restore never feeds psql.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator

from pgproof.manifest import Database, Sequence, Server
from pgproof.postgres.sql import literal, qualified
from pgproof.postgres.tools import Tools

_END_LINES = ("", "--", "-- PostgreSQL database dump complete")
TRAILER = "--\n-- PostgreSQL database dump complete\n--\n\n"

_TIMEOUT = b"SET transaction_timeout = 0;\n"  # from PostgreSQL 17 on

_ROLE_NAME = r"""(?:"(?:[^"]|"")*"|[^\s,;"]+)"""
_ROLE = re.compile(_ROLE_NAME)
_POLICY = re.compile(
    rf"(?<=\n)(?P<head>CREATE POLICY .*?) TO (?P<roles>{_ROLE_NAME}(?:, {_ROLE_NAME})*)(?P<end> USING| WITH CHECK|;)",
    re.DOTALL,
)


def opening(database: Database, server: Server) -> str:
    """The guard: any error stops psql, and nothing lasts before the last line's COMMIT."""
    about = " ".join(database.name.split())
    return (
        f"--\n-- PostgreSQL database dump of {about}, server {server.version}, written by pgproof\n"
        "-- Restore into an empty database:  gunzip -c FILE | psql -X -d DATABASE\n--\n\n"
        "\\set ON_ERROR_STOP on\n\nBEGIN;\n\n"
    )


def closing() -> str:
    return "COMMIT;\n\n" + TRAILER


def section(tools: Tools, schema: bytes, which: str, major: int, use_list: str | None = None) -> Iterator[bytes]:
    """The text of one section (pre-data, post-data) of an archive, without restriction lines and trailer, for
    a server of `major`.
    """
    words: list[str | bytes] = [f"--section={which}", "--file=-"]
    words += [] if use_list is None else ["--use-list", use_list.encode("utf-8", "surrogateescape")]
    yield from without_newer(_lines_of(tools, [*words, schema]), major)


def without_newer(lines: Iterable[bytes], major: int) -> Iterator[bytes]:
    """Take out of pg_restore's own head the settings that a server of `major` does not know."""
    head = True
    for line in lines:
        head = head and not line.startswith(b"-- Name: ")
        if not (head and major < 17 and line == _TIMEOUT):
            yield line


def schema_text(tools: Tools, schema: bytes) -> Iterator[bytes]:
    """All of a schema archive as text, without restriction lines and trailer."""
    yield from _lines_of(tools, ["--schema-only", "--no-tablespaces", "--file=-", schema])


def pieces(schema: str) -> Iterator[str]:
    """The objects in schema text, each with its heading; what says which server it came from is left out."""
    for piece in schema.split("\n--\n-- Name: ")[1:]:
        found = _POLICY.sub(_sorted_roles, piece.rstrip())
        yield _sorted_grants(found) if "; Type: DEFAULT ACL; " in found.partition("\n")[0] else found


def _sorted_roles(match: "re.Match[str]") -> str:
    """A policy's roles come in the order of their numbers, which is another on another server."""
    return f"{match['head']} TO {', '.join(sorted(_ROLE.findall(match['roles'])))}{match['end']}"


def _sorted_grants(piece: str) -> str:
    """Default privileges are kept in the order of the grantees' numbers (aclitemsort in SetDefaultACL)."""
    lines = piece.split("\n")
    return "\n".join(sorted(lines, key=lambda line: line if line.startswith("ALTER DEFAULT PRIVILEGES ") else ""))


def _lines_of(tools: Tools, words: list[str | bytes]) -> Iterator[bytes]:
    yield from without_guards(_lines([tools.run("pg_restore", words)]))


def without_guards(lines: Iterable[bytes]) -> Iterator[bytes]:
    r"""Take out `\restrict KEY`, its `\unrestrict KEY`, and the trailer at the very end.

    The key is random, so no other line can equal the second; the first is the first such line.
    """
    unrestrict = b""
    held: deque[bytes] = deque()
    for line in lines:
        if not unrestrict and line.startswith(b"\\restrict "):
            unrestrict = b"\\un" + line[1:]
            continue
        if unrestrict and line == unrestrict:
            continue
        held.append(line)
        if len(held) > 8:
            yield held.popleft()
    while held and held[-1].strip().decode("ascii", "replace") in _END_LINES:
        held.pop()
    yield from held
    yield b"\n"


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        yield from (line + b"\n" for line in lines)
    if rest:
        yield rest


def sequence_statements(sequences: Iterable[Sequence]) -> Iterator[str]:
    for one in sequences:
        target = literal(qualified(one.schema, one.name))
        yield f"SELECT pg_catalog.setval({target}, {one.last_value}, {'true' if one.is_called else 'false'});\n"


def refresh_statements(views: Iterable[tuple[str, str]]) -> Iterator[str]:
    for schema, view in views:
        yield f"REFRESH MATERIALIZED VIEW {qualified(schema, view)};\n"
