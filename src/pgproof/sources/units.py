"""Units of work: ranges of tables under a shared snapshot, each becoming blocks of COPY statements.

A unit is a pure value, so whoever runs it needs only the snapshot's name and a connection.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pgproof.errors import Damaged
from pgproof.manifest import Codec, Share, Table
from pgproof.postgres.catalog import Heap
from pgproof.postgres.sql import names, qualified
from pgproof.stream.blocks import PLAIN_TARGET, Building, Finished

RANGE_BYTES = 16 << 20  # of a table on disk, in one unit: its text then mostly fits one block
GROUP_BYTES = 16 << 20  # of small tables together, in one unit
GROUP_TABLES = 400
END = b"\\.\n\n"


@dataclass(frozen=True, slots=True)
class Slice:
    """Pages `first` up to, not including, `last` of a table; None for no bound."""

    index: int
    table: Table
    first: int | None = None
    last: int | None = None

    def query(self) -> str:
        """What COPY reads: this slice, and with ONLY nothing of child tables."""
        bounds = [f"ctid >= '({self.first},0)'::pg_catalog.tid"] if self.first is not None else []
        bounds += [f"ctid < '({self.last},0)'::pg_catalog.tid"] if self.last is not None else []
        where = self.table.condition.removeprefix("WHERE ") if self.table.condition else ""
        bounds += [f"({where})"] if where else []
        condition = f" WHERE {' AND '.join(bounds)}" if bounds else ""
        return (
            f"SELECT {names(self.table.columns)} FROM ONLY {qualified(self.table.schema, self.table.name)}{condition}"
        )


@dataclass(frozen=True, slots=True)
class Unit:
    """What one worker copies at a time; `size` in bytes on disk, for progress."""

    slices: tuple[Slice, ...]
    size: int


def header(table: Table) -> str:
    """The COPY statement that the text carries before a table's rows."""
    columns = f" ({names(table.columns)})" if table.columns else ""
    return f"COPY {qualified(table.schema, table.name)}{columns} FROM stdin;\n"


def plan(heaps: Iterable[Heap]) -> list[Unit]:
    """Cut large tables into ranges of pages, gather small ones. The index of a heap is its table's place
    in the evidence.
    """
    large: list[Unit] = []
    small: list[tuple[Slice, int]] = []
    for index, heap in enumerate(heaps):
        if heap.ranges and heap.size > RANGE_BYTES:
            large += _ranges(index, heap)
        else:
            first = 0 if heap.ranges else None
            small.append((Slice(index, heap.table, first), heap.size))
    return [*large, *_groups(small)]


def _ranges(index: int, heap: Heap) -> Iterator[Unit]:
    """The last range is open, as the table may have grown since its size was read."""
    stride = max(64, min(heap.pages, RANGE_BYTES * heap.pages // max(heap.size, 1)))
    starts = range(0, max(heap.pages, 1), stride)
    for first in starts:
        last = first + stride if first + stride < heap.pages else None
        yield Unit((Slice(index, heap.table, first, last),), heap.size // len(starts))


def _groups(small: list[tuple[Slice, int]]) -> Iterator[Unit]:
    group: list[Slice] = []
    size = 0
    for piece, piece_size in small:
        group.append(piece)
        size += piece_size
        if size >= GROUP_BYTES or len(group) >= GROUP_TABLES:
            yield Unit(tuple(group), size)
            group, size = [], 0
    if group:
        yield Unit(tuple(group), size)


class Reader(Protocol):
    """Who reads a slice: `take` gets chunks of whole rows; returns the server's own count."""

    def copy_out(self, piece: Slice, take: Callable[[bytes], None]) -> int: ...


class UnitCopier:
    """Reads one unit and emits its blocks. A block is closed at a row's end once it is large enough, so
    memory does not depend on what a range holds in TOAST.

    Rows are counted by the server's own tag. Only where a block is closed within a slice does the text
    itself say how many of them it has.
    """

    def __init__(self, reader: Reader, codec: Codec, encoding: str, emit: Callable[[Finished], None]) -> None:
        self._reader, self._codec, self._encoding, self._emit = reader, codec, encoding, emit
        self._block = Building(codec)
        self._header = b""
        self._chunks: list[bytes] = []  # of the statement that is being written
        self._counted = 0  # rows of the slice in blocks that are closed

    def copy(self, unit: Unit) -> None:
        for piece in unit.slices:
            self._copy_slice(piece)
        self._close_block()

    def _copy_slice(self, piece: Slice) -> None:
        self._header = header(piece.table).encode(self._encoding)
        self._counted = 0
        told = self._reader.copy_out(piece, lambda chunk: self._take(chunk, piece.index))
        rest = told - self._counted
        if rest < 0 or (rest > 0) != bool(self._chunks):
            raise Damaged(f"the server counted {told} rows of {piece.table.label}, others arrived", hint="run it again")
        self._close_statement(piece.index, rest)

    def _take(self, chunk: bytes, index: int) -> None:
        if not self._chunks:
            self._block.write(self._header)
        self._block.write(chunk)
        self._chunks.append(chunk)
        if self._block.plain >= PLAIN_TARGET:
            rows = sum(one.count(b"\n") for one in self._chunks)
            self._counted += rows
            self._close_statement(index, rows)
            self._close_block()

    def _close_statement(self, index: int, rows: int) -> None:
        if self._chunks:
            self._block.write(END)
            self._block.add(Share(index, rows, sum(map(len, self._chunks))))
            self._chunks.clear()

    def _close_block(self) -> None:
        if self._block.plain:
            self._emit(self._block.finish("data"))
            self._block = Building(self._codec)
