"""Blocks: stretches of a part that decompress by themselves, built by workers, appended by one writer.

A part is the concatenation of its blocks. Each block holds whole SQL statements, so blocks may stand
in any order between the first and the last.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from pgproof.errors import Damaged
from pgproof.manifest import Block, BlockKind, Codec, Share
from pgproof.stream.compress import compressor, decompress
from pgproof.stream.sink import Sink

PLAIN_TARGET = 16 << 20  # bytes of SQL text in a block; bounds memory at about workers x this
_GATHER = 1 << 18  # pieces are handed to the compressor in strides of this many bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """A compressed block that waits for its place in the part."""

    data: bytes
    plain: int
    sha256: str
    kind: BlockKind
    shares: tuple[Share, ...]


class Building:
    """One block in the making: text goes in, compressed bytes gather."""

    def __init__(self, codec: Codec, level: int | None = None) -> None:
        self._compressor = compressor(codec, level)
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._out: list[bytes] = []
        self._shares: list[Share] = []
        self.plain = 0

    def write(self, text: bytes) -> None:
        self._waiting.append(text)
        self._waiting_size += len(text)
        self.plain += len(text)
        if self._waiting_size >= _GATHER:
            self._squeeze()

    def add(self, share: Share) -> None:
        """Note what the text just written holds of a table."""
        self._shares.append(share)

    def finish(self, kind: BlockKind) -> Finished:
        self._squeeze()
        self._out.append(self._compressor.flush())
        data = b"".join(self._out)
        return Finished(data, self.plain, hashlib.sha256(data).hexdigest(), kind, tuple(self._shares))

    def _squeeze(self) -> None:
        self._out.append(self._compressor.compress(b"".join(self._waiting)))
        self._waiting.clear()
        self._waiting_size = 0


class BlockWriter:
    """Appends finished blocks to a part, in the order in which they come, and remembers each place."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._offset = 0
        self.blocks: list[Block] = []

    def append(self, block: Finished) -> None:
        self._sink.write(block.data)
        size = len(block.data)
        self.blocks.append(Block(self._offset, size, block.plain, block.sha256, block.kind, block.shares))
        self._offset += size


def text_blocks(text: Iterable[bytes], codec: Codec, kind: BlockKind) -> Iterator[Finished]:
    """One block of all the `text`: schema text is small beside rows, and one member compresses best."""
    block = Building(codec)
    for piece in text:
        block.write(piece)
    if block.plain:
        yield block.finish(kind)


def authenticate(block: Block, data: bytes, part: str) -> bytes:
    """`data` itself, if it is the block that was written. Raises Damaged."""
    if len(data) != block.size or hashlib.sha256(data).hexdigest() != block.sha256:
        raise Damaged(
            f"{part}: the block at byte {block.offset} is not what was stored",
            hint="restore from another copy of this backup, or from another backup",
        )
    return data


def plain_text(block: Block, data: bytes, codec: Codec, part: str) -> bytes:
    """The SQL text of an authenticated block. Raises Damaged."""
    return decompress(codec, data, block.plain, f"{part}: the block at byte {block.offset}")


def read_blocks(stream: BinaryIO, blocks: tuple[Block, ...], part: str) -> Iterator[tuple[Block, bytes]]:
    """All blocks of a part from its stream, in order, each authenticated. Raises Damaged also when
    blocks leave a gap or the stream goes on after the last.
    """
    place = 0
    for block in blocks:
        if block.offset != place:
            raise Damaged(f"{part}: its manifest leaves a gap at byte {place}", hint="restore from another backup")
        yield block, authenticate(block, _read_exactly(stream, block.size), part)
        place += block.size
    if stream.read(1):
        raise Damaged(f"{part} goes on after its last block", hint="restore from another copy of this backup")


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    pieces = []
    while size > 0:
        piece = stream.read(min(size, 1 << 20))
        if not piece:
            break
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
