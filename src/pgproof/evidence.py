"""Evidence: what was read from the source in its snapshot, added up and compared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

DIGEST_MODULUS = 1 << 128


@dataclass(frozen=True, slots=True)
class Count:
    """Rows, and the bytes of their COPY text without framing."""

    rows: int = 0
    bytes: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.rows + other.rows, self.bytes + other.bytes)


@dataclass(frozen=True, slots=True)
class Digest:
    """Rows and the sum modulo 2**128 of the XXH3-128 of each COPY text line.

    A sum does not depend on the order of its terms, so blocks may be added as they come
    and a table restored in parallel compares equal (docs/format.md, "Digests").
    """

    rows: int = 0
    value: int = 0

    def __add__(self, other: "Digest") -> "Digest":
        return Digest(self.rows + other.rows, (self.value + other.value) % DIGEST_MODULUS)

    def hex(self) -> str:
        return f"{self.value:032x}"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was: `what` names it, `text` says how."""

    what: str
    text: str


def total(counts: Iterable[Count]) -> Count:
    return sum(counts, Count())


def compare_digests(fed: Mapping[str, Digest], found: Mapping[str, Digest]) -> list[Difference]:
    """Name every table whose restored rows are not the ones that were fed, in order of name."""
    differences = []
    for name in sorted(fed.keys() | found.keys()):
        before, after = fed.get(name), found.get(name)
        if before == after:
            continue
        differences.append(Difference(name, _describe(before, after)))
    return differences


def compare_counts(captured: Mapping[str, int], fed: Mapping[str, Digest]) -> list[Difference]:
    """Name every table of which the stored blocks hold other than the rows the snapshot gave."""
    return [
        Difference(name, f"the snapshot gave {rows} rows, the stored blocks hold {fed_rows}")
        for name, rows in sorted(captured.items())
        if (fed_rows := fed.get(name, Digest()).rows) != rows
    ]


def _describe(before: Digest | None, after: Digest | None) -> str:
    if before is None:
        return "is in the restored database and not in the backup"
    if after is None:
        return "is in the backup and not in the restored database"
    if before.rows != after.rows:
        return f"{before.rows} rows in the backup, {after.rows} after the restore"
    return f"{before.rows} rows in both, but their contents differ"
