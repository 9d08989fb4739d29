"""Names and strings as SQL text; the one place that quotes them."""

import re
from collections.abc import Iterable

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


def name(identifier: str) -> str:
    """A quoted identifier (PostgreSQL docs 4.1.1): always quoted, so that no list of keywords is needed."""
    return '"' + identifier.replace('"', '""') + '"'


def qualified(schema: str, identifier: str) -> str:
    return f"{name(schema)}.{name(identifier)}"


def names(identifiers: Iterable[str]) -> str:
    return ", ".join(name(one) for one in identifiers)


def literal(text: str) -> str:
    """A string constant; standard_conforming_strings is on in every session and file of ours,
    so a backslash is an ordinary character (PostgreSQL docs 4.1.2.1).
    """
    return "'" + text.replace("'", "''") + "'"


def conninfo_value(text: str) -> str:
    """A value in a libpq connection string (PostgreSQL docs 34.1.1.1)."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def readable(schema: str, identifier: str) -> str:
    """A qualified name for a person: quoted only where it must be."""
    return ".".join(map(plain, (schema, identifier)))


def plain(identifier: str) -> str:
    """A name for a person: quoted only where it must be, keywords apart."""
    return identifier if _PLAIN.fullmatch(identifier) else name(identifier)


def dollar_quoted(text: str) -> str:
    """A string constant for a block of code, between marks that do not occur in it (PostgreSQL docs 4.1.2.4)."""
    marks = ("$$", *(f"$q{number}$" for number in range(len(text))))
    mark = next(mark for mark in marks if mark not in text)
    return f"{mark}{text}{mark}"


def psql_connect(database: str) -> str:
    """The command of psql to go on in another database. A name that psql could take for a connection string goes
    into one, as pg_dumpall does it. Its line ends the command, so the name must have no line break.
    """
    if _PLAIN.fullmatch(database):
        return f"\\connect {database}"
    return f"\\connect -reuse-previous=on {name(f'dbname={conninfo_value(database)}')}"
