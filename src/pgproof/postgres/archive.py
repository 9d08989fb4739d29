"""A custom-format archive's table of contents: what it holds, what depends on what, which entries a table needs.

`pg_restore --list --verbose` prints the entries with their dependencies; the same lines, kept or left
out, steer `pg_restore --use-list` (PostgreSQL docs, pg_restore).
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from pgproof.errors import Damaged, UsageError
from pgproof.postgres.tools import Tools

_ENTRY = re.compile(r"(?P<id>\d+); (?P<table>\d+) (?P<oid>\d+) (?P<rest>.*)", re.DOTALL)
_DEPENDS = re.compile(r";\s+depends on:(?P<ids>(?: \d+)+)")

# Descriptions of more than one word (pg_dump's TOC); all others are one word.
_LONG = (
    "MATERIALIZED VIEW DATA", "TEXT SEARCH CONFIGURATION", "TEXT SEARCH DICTIONARY", "TEXT SEARCH PARSER",
    "TEXT SEARCH TEMPLATE", "FOREIGN DATA WRAPPER", "PUBLICATION TABLES IN SCHEMA", "DATABASE PROPERTIES",
    "PUBLICATION TABLE", "SEQUENCE OWNED BY", "PROCEDURAL LANGUAGE", "MATERIALIZED VIEW", "CHECK CONSTRAINT",
    "STATISTICS DATA", "OPERATOR FAMILY", "EVENT TRIGGER", "ACCESS METHOD", "FK CONSTRAINT", "OPERATOR CLASS",
    "SECURITY LABEL", "SEQUENCE SET", "FOREIGN TABLE", "FOREIGN SERVER", "TABLE ATTACH", "INDEX ATTACH",
    "USER MAPPING", "ROW SECURITY", "TABLE DATA", "DEFAULT ACL", "SHELL TYPE", "LARGE OBJECT", "SUBSCRIPTION TABLE",
)  # fmt: skip

# Entries that others hang on to: brought along when what they belong to is chosen.
_ATTACHED = {
    "DEFAULT", "CONSTRAINT", "FK CONSTRAINT", "CHECK CONSTRAINT", "INDEX", "INDEX ATTACH", "TRIGGER", "RULE", "POLICY",
    "ROW SECURITY", "STATISTICS", "COMMENT", "ACL", "SEQUENCE OWNED BY", "TABLE ATTACH", "SECURITY LABEL", "SEQUENCE",
}  # fmt: skip
_SETTINGS = {"ENCODING", "STDSTRINGS", "SEARCHPATH"}
_HOLDERS = {"TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW"}
_TABLES = _HOLDERS | {"SEQUENCE"}


@dataclass(frozen=True, slots=True)
class TocEntry:
    """One line of the table of contents: schema, name and owner are `rest`, schema and name are `subject`
    (names are printed bare; newlines as blanks).
    """

    id: int
    description: str
    rest: str
    subject: str
    line: str
    depends: tuple[int, ...]

    def is_of(self, schema: str, name: str) -> bool:
        """Whether it is the object `name` in `schema`."""
        return self.subject == subject(schema, name)

    @property
    def key(self) -> str:
        """Description, schema and tag, without numbers: equal in two archives of equal schemas."""
        return f"{self.description} {self.rest}"


def contents(tools: Tools, archive: bytes, codec: str, owners: Iterable[str] = ()) -> list[TocEntry]:
    """The table of contents of an archive held in memory. Raises Damaged when it is none.

    `owners` are the roles that may own what is in it: a line does not show where a name with blanks ends.
    """
    text = tools.run("pg_restore", ["--list", "--verbose", archive]).decode(codec, "surrogateescape")
    endings = sorted((f" {_flat(owner)}" for owner in owners if " " in _flat(owner)), key=len, reverse=True)
    entries = [] if not text else list(_parse(text.split("\n"), endings))
    if not entries:
        raise Damaged("schema.dump has no entries", hint="restore from another copy of this backup")
    return entries


def _parse(lines: Iterable[str], owners: list[str]) -> Iterator[TocEntry]:
    pending: tuple[int, str, str] | None = None
    for line in lines:
        depends = _DEPENDS.fullmatch(line)
        match = None if line.startswith(";") else _ENTRY.fullmatch(line)
        if depends and pending:
            yield _entry(pending, tuple(map(int, depends["ids"].split())), owners)
            pending = None
        elif match:
            if pending:
                yield _entry(pending, (), owners)
            pending = (int(match["id"]), match["rest"], line)
    if pending:
        yield _entry(pending, (), owners)


def _entry(pending: tuple[int, str, str], depends: tuple[int, ...], owners: list[str]) -> TocEntry:
    number, whole, line = pending
    description = next((long for long in _LONG if whole.startswith(f"{long} ")), whole.split(" ", 1)[0])
    rest = whole[len(description) + 1 :]
    owner = next((one for one in owners if rest.endswith(one)), None)
    subject = rest.removesuffix(owner) if owner else rest.rpartition(" ")[0]
    return TocEntry(number, description, rest, subject, line, depends)


def subject(schema: str, name: str) -> str:
    """Schema and name as a line of the table of contents shows them."""
    return f"{_flat(schema)} {_flat(name)}"


def subjects(entries: Iterable[TocEntry], description: str) -> frozenset[str]:
    """The subjects of all entries of one description."""
    return frozenset(entry.subject for entry in entries if entry.description == description)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A choice of entries, and what had to be left out because something it needs was not chosen."""

    entries: tuple[TocEntry, ...]
    left_out: tuple[str, ...]


def choose(entries: list[TocEntry], tables: Iterable[tuple[str, str]]) -> Chosen:
    """The entries that bring these (schema, table) back whole: what they need (types, functions,
    sequences) and what hangs on them (indexes, constraints, triggers, comments, grants).

    A foreign key to a table that is not chosen is left out, and named. Raises UsageError.
    """
    by_id = _by_id(entries)
    chosen: set[int] = {entry.id for entry in entries if entry.description in _SETTINGS}
    roots = set()
    for schema, table in tables:
        of_table = [e.id for e in entries if e.description in _TABLES and e.is_of(schema, table)]
        if not of_table:
            raise UsageError(f"the backup has no table {schema}.{table}", hint="`pgproof show BACKUP` lists its tables")
        roots |= set(of_table)
    _close(roots, by_id, chosen)
    known = _schemas(entries)
    used = {_schema_of(by_id[number], known) for number in chosen}
    roots |= {e.id for e in entries if e.description == "SCHEMA" and e.subject.removeprefix("- ") in used}
    _close(roots, by_id, chosen)
    left_out = _attach(entries, by_id, chosen, roots)
    return Chosen(tuple(entry for entry in entries if entry.id in chosen), tuple(left_out))


def choose_schema(entries: list[TocEntry], schemas: Iterable[str]) -> Chosen:
    """The entries of whole schemas, with what they need from outside."""
    by_id = _by_id(entries)
    chosen = {entry.id for entry in entries if entry.description in _SETTINGS}
    roots: set[int] = set()
    known = _schemas(entries)
    for schema in schemas:
        inside = {e.id for e in entries if _schema_of(e, known) == _flat(schema)}
        if not inside:
            raise UsageError(
                f"the backup has nothing in a schema {schema}", hint="`pgproof show BACKUP` lists its tables"
            )
        roots |= {number for number in inside if by_id[number].description != "FK CONSTRAINT"}
    _close(roots, by_id, chosen)
    left_out = _attach(entries, by_id, chosen, roots)
    return Chosen(tuple(entry for entry in entries if entry.id in chosen), tuple(left_out))


def with_followers(entries: Iterable[TocEntry], description: str) -> frozenset[int]:
    """The entries of a kind and what hangs on them, such as their comments."""
    entries = list(entries)
    chosen = {entry.id for entry in entries if entry.description == description}
    return frozenset(entry.id for entry in entries if entry.id in chosen or chosen & set(entry.depends))


def event_triggers(entries: Iterable[TocEntry]) -> frozenset[int]:
    """Event triggers, which are to come last of all: they fire on what comes after them."""
    return with_followers(entries, "EVENT TRIGGER")


def to_do_alone(entries: Iterable[TocEntry]) -> frozenset[int]:
    """What two connections must not do at the same time, where any table is partitioned.

    Foreign keys: each locks partitions that pg_restore does not know of, and two can wait for one another
    until the server ends one (seen on 16). Attaching of indexes: an index becomes valid with the last that is
    attached to it, and so the one above it; of two at once on two levels neither sees the other, and the
    uppermost stays invalid for ever (seen on 15; validatePartitionedIndex in tablecmds.c).
    """
    entries = list(entries)
    if not any(entry.description == "TABLE ATTACH" for entry in entries):
        return frozenset()
    return with_followers(entries, "INDEX ATTACH") | with_followers(entries, "FK CONSTRAINT")


def list_file(entries: Iterable[TocEntry], *, but: Collection[int] = (), only: Collection[int] | None = None) -> str:
    """What `pg_restore --use-list` reads: all entries, or all but some, or only some; settings always."""
    return "".join(
        f"{entry.line}\n"
        for entry in entries
        if entry.description in _SETTINGS or (entry.id not in but and (only is None or entry.id in only))
    )


def _by_id(entries: Iterable[TocEntry]) -> dict[int, TocEntry]:
    """The entries by number. A partition and its indexes do not need those that they are attached to:
    attaching is an entry of its own, so a partition can stand alone.
    """
    by_id = {entry.id: entry for entry in entries}
    for attach in [entry for entry in by_id.values() if entry.description in ("TABLE ATTACH", "INDEX ATTACH")]:
        for kind in (("TABLE", "FOREIGN TABLE"), ("INDEX", "CONSTRAINT")):
            alike = {n for n in attach.depends if n in by_id and by_id[n].description in kind}
            for number in alike:
                rest = tuple(n for n in by_id[number].depends if n not in alike)
                by_id[number] = replace(by_id[number], depends=rest)
    return by_id


def _needed(roots: Iterable[int], by_id: dict[int, TocEntry], chosen: set[int]) -> set[int]:
    """`roots` and all that they need, without what is chosen already."""
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        number = waiting.pop()
        if number in by_id and number not in chosen and number not in found:
            found.add(number)
            waiting += by_id[number].depends
    return found


def _close(roots: set[int], by_id: dict[int, TocEntry], chosen: set[int]) -> None:
    chosen |= _needed(roots, by_id, chosen)


def _schemas(entries: Iterable[TocEntry]) -> list[str]:
    """The names of schemas, longest first: of "a" and "a b", an object of the second begins with both."""
    names = {entry.subject.removeprefix("- ") for entry in entries if entry.description == "SCHEMA"}
    return sorted(names | {"public"}, key=len, reverse=True)


def _schema_of(entry: TocEntry, known: list[str]) -> str | None:
    if entry.description == "SCHEMA":
        return entry.subject.removeprefix("- ")
    return next((name for name in known if entry.subject.startswith(f"{name} ")), None)


def _attach(entries: list[TocEntry], by_id: dict[int, TocEntry], chosen: set[int], roots: set[int]) -> list[str]:
    """Grow `chosen` by what hangs on it, until nothing more does; return what could not come along.

    What hangs on a chosen table brings the functions and types that it needs, but never another table:
    that is the user's to choose. It is then left out, and named.
    """
    left_out: dict[int, str] = {}
    while True:
        grown = False
        for entry in entries:
            needs = [number for number in by_id[entry.id].depends if number in by_id]
            if entry.id in chosen or entry.description not in _ATTACHED or not needs:
                continue
            if all(number in chosen for number in needs):
                chosen.add(entry.id)
                grown = True
            elif entry.description == "TABLE ATTACH" and any(by_id[n].rest != entry.rest for n in set(needs) & roots):
                _close(set(needs), by_id, chosen)  # a partitioned table brings its partitions along
                roots |= set(needs)
                grown = True
            elif any(number in roots for number in needs):
                more = _needed(needs, by_id, chosen)
                if entry.description != "FK CONSTRAINT" and not any(by_id[n].description in _HOLDERS for n in more):
                    chosen |= more | {entry.id}
                    grown = True
                elif any(f"{entry.subject} ".startswith(f"{by_id[n].subject} ") for n in roots & set(needs)):
                    left_out[entry.id] = entry.key
        if not grown:
            return [text for number, text in left_out.items() if number not in chosen]


def _flat(text: str) -> str:
    return text.replace("\n", " ").replace("\r", " ")
