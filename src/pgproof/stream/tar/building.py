"""An archive in the making: entries become units of a few megabytes, each built by itself, concatenated in order."""

import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import xxhash

from pgproof.stream.tar.entry import Entry, unreadable

RECORD = tarfile.BLOCKSIZE  # 512 bytes: POSIX.1-2017, pax, "ustar Interchange Format"
END = bytes(2 * RECORD)  # closes an archive
SPARSE = "PGPROOF.sparse"  # a pax keyword in our own name space: the file had holes, which may be made again
ATTRIBUTE = "SCHILY.xattr."  # as GNU tar, bsdtar and star name extended attributes
_STRIDE = 1 << 20
_TYPES = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE}


@dataclass(frozen=True, slots=True)
class Piece:
    """Either `data` itself, or `length` bytes of the file `path` from `offset` on, and `padding` zeros."""

    data: bytes = b""
    path: str = ""
    offset: int = 0
    length: int = 0
    padding: int = 0

    @property
    def size(self) -> int:
        return len(self.data) + self.length + self.padding


Unit = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """What a stretch of a file was when it was read: by this a later look tells whether it has changed."""

    path: str
    offset: int
    length: int
    digest: bytes


def member(name: str, data: bytes) -> bytes:
    """A small file of our own, as it stands in an archive."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o600
    return info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % RECORD)


def header(entry: Entry) -> bytes:
    """The header of an entry, in the pax format that every tar of today reads."""
    info = tarfile.TarInfo(entry.name)
    info.type, info.mode, info.uid, info.gid = _TYPES[entry.kind], entry.mode, entry.uid, entry.gid
    info.size, info.mtime, info.linkname = entry.size, entry.mtime_ns // 10**9, entry.link
    words = {f"{ATTRIBUTE}{name}": value.decode("utf-8", "surrogateescape") for name, value in entry.attributes}
    info.pax_headers = words | ({SPARSE: "1"} if entry.sparse else {})
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def units(entries: Iterable[Entry], target: int) -> Iterator[Unit]:
    """The archive's content, without its end, in units of about `target` bytes."""
    waiting: list[Piece] = []
    size = 0
    for piece in _pieces(entries, target):
        if size + piece.size > target and waiting:
            yield tuple(waiting)
            waiting, size = [], 0
        waiting.append(piece)
        size += piece.size
    if waiting:
        yield tuple(waiting)


def _pieces(entries: Iterable[Entry], target: int) -> Iterator[Piece]:
    for entry in entries:
        yield Piece(header(entry))
        for offset in range(0, entry.size, target):
            length = min(target, entry.size - offset)
            padding = -entry.size % RECORD if offset + length == entry.size else 0
            yield Piece(b"", entry.name, offset, length, padding)


def built(root: Path, unit: Unit, take: Callable[[bytes], None], mark: Callable[[Mark], None] | None = None) -> None:
    """Read a unit and hand its bytes to `take`. A file that has become shorter or vanished, as files of a running
    server may, is filled up with zeros: with `mark` it is told what was read. Raises PgproofError.
    """
    for piece in unit:
        if piece.data:
            take(piece.data)
        if piece.length:
            digest = _copy(root, piece, take)
            if mark is not None:
                mark(Mark(piece.path, piece.offset, piece.length, digest))
        if piece.padding:
            take(bytes(piece.padding))


def same(root: Path, mark: Mark) -> bool:
    """Whether the stretch still reads as it did. Raises PgproofError."""
    return _copy(root, Piece(b"", mark.path, mark.offset, mark.length), lambda _: None) == mark.digest


def _copy(root: Path, piece: Piece, take: Callable[[bytes], None]) -> bytes:
    """Hand on a stretch of a file; returns the XXH3-128 of what was read, without what was filled up."""
    seen = xxhash.xxh3_128()
    left, place = piece.length, piece.offset
    try:
        with (root / piece.path).open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), place, left, os.POSIX_FADV_SEQUENTIAL)
            while left and (data := os.pread(file.fileno(), min(_STRIDE, left), place)):
                seen.update(data)
                take(data)
                left -= len(data)
                place += len(data)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise unreadable(piece.path, error) from error
    while left:
        take(bytes(min(_STRIDE, left)))
        left -= min(_STRIDE, left)
    return seen.digest() + place.to_bytes(8, "big")
