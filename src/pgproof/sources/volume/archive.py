"""The archive on its way: units built by threads, appended in order; and which files a second pass must read anew."""

import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from pgproof.cluster import REMOVED
from pgproof.manifest import Codec
from pgproof.stream import tar
from pgproof.stream.blocks import PLAIN_TARGET, Building, Finished
from pgproof.stream.part import PartWriter
from pgproof.stream.progress import Progress

_TICK_NS = 2 * 10**9  # file systems tell times no finer than this, at worst


class Archive:
    """Files into blocks of a part: `jobs` threads read and compress, whoever calls appends. While the server stands
    still blocks are held in a temporary file, as no store is so quick that a server should wait for it.
    """

    def __init__(self, root: Path, out: PartWriter, codec: Codec, jobs: int, progress: Progress) -> None:
        self._root, self._out, self._codec, self._progress = root, out, codec, progress
        self._jobs = jobs
        self._pool = ThreadPoolExecutor(jobs)
        self._waiting: deque[Future[Finished]] = deque()
        self._held: _Held | None = None

    def add(
        self, entries: Iterable[tar.Entry], marks: "list[tar.Mark] | None" = None, *, hold: bool = False,
        bound: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Read all of `entries`; when this returns, the last byte has been read, though not yet been stored: with
        `hold` none of it has. `bound` is asked before each unit whether to go on. Raises PgproofError.
        """
        self._held = _Held() if hold else None
        for unit in tar.units(entries, PLAIN_TARGET):
            bound()
            self._waiting.append(self._pool.submit(self._build, unit, marks))
            if len(self._waiting) > self._jobs:
                self._append()
        wait(self._waiting)
        for future in self._waiting:
            future.result()

    def finish(self, removed: Sequence[str] = ()) -> None:
        """Append what waits, and the archive's end."""
        self._unhold()
        while self._waiting:
            self._append()
        last = Building(self._codec)
        if removed:
            names = b"".join(name.encode("utf-8", "surrogateescape") + b"\0" for name in removed)
            last.write(tar.member(REMOVED, names))
        last.write(tar.END)
        self._out.append(last.finish("files"))

    def _append(self) -> None:
        block = self._waiting.popleft().result()
        if self._held is None or not self._held.take(block):
            self._unhold()
            self._store(block)

    def _unhold(self) -> None:
        """Where there is no room for more, what was held comes first."""
        held, self._held = self._held, None
        for block in held.blocks() if held is not None else ():
            self._store(block)

    def _store(self, block: Finished) -> None:
        self._out.append(block)
        self._progress.advance(block.plain)

    def _build(self, unit: tar.Unit, marks: "list[tar.Mark] | None") -> Finished:
        block = Building(self._codec)
        tar.built(self._root, unit, block.write, None if marks is None else marks.append)
        return block.finish("files")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._held is not None:
            self._held.close()


class _Held:
    """Blocks in a file that has no name, in their order."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it outlives this call
        self._end = 0
        self._blocks: list[tuple[Finished, int]] = []

    def take(self, block: Finished) -> bool:
        """False where there is no room for it."""
        rest = memoryview(block.data)
        try:
            self._file.seek(self._end)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            return False
        self._blocks.append((replace(block, data=b""), len(block.data)))
        self._end += len(block.data)
        return True

    def blocks(self) -> Iterator[Finished]:
        """All of them, once."""
        self._file.seek(0)
        for block, size in self._blocks:
            data = bytearray()
            while len(data) < size:
                data += self._file.read(size - len(data))
            yield replace(block, data=bytes(data))
        self.close()

    def close(self) -> None:
        self._file.close()


def changed(
    root: Path, before: Mapping[str, tar.Entry], after: Iterable[tar.Entry], marks: Iterable[tar.Mark], began_ns: int
) -> Iterator[tar.Entry]:
    """Of what is there `after`, that which the first pass, begun at `began_ns`, does not have as it is now.

    Size, times, inode, owner and mode tell; where a file was written so near to its reading that its times may
    not tell, its content is read and compared.
    """
    read: dict[str, list[tar.Mark]] = {}
    for mark in marks:
        read.setdefault(mark.path, []).append(mark)
    for entry in after:
        known = before.get(entry.name)
        if known != entry or (in_doubt(entry, began_ns) and not _reads_the_same(root, read.get(entry.name, []))):
            yield entry


def in_doubt(entry: tar.Entry, began_ns: int) -> bool:
    """Whether the file's times cannot tell if it was written after it had been read."""
    return entry.kind == "file" and max(entry.mtime_ns, entry.ctime_ns) >= began_ns - _TICK_NS


def _reads_the_same(root: Path, marks: list[tar.Mark]) -> bool:
    return all(tar.same(root, mark) for mark in marks)
