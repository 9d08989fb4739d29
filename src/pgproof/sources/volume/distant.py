"""Files of a volume whose folder cannot be read from here, as an engine elsewhere has it: all by `docker cp`."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from pgproof.docker import Engine
from pgproof.errors import NotFound
from pgproof.manifest import Codec
from pgproof.stream import tar
from pgproof.stream.blocks import PLAIN_TARGET, Building, Finished
from pgproof.stream.part import PartWriter
from pgproof.stream.progress import Progress


def content(engine: Engine, container: str, path: str) -> bytes:
    """Of one file in a container, also one that is stopped. Raises NotFound, PgproofError."""
    with engine.reading(container, path) as child:
        return tar.only(child)


def is_there(engine: Engine, container: str, path: str) -> bool:
    try:
        content(engine, container, path)
    except NotFound:
        return False
    return True


def links(engine: Engine, container: str, path: str) -> Iterator[tuple[str, str]]:
    """Names of the symbolic links below a folder, and where they lead."""
    with engine.reading(container, path) as child:
        for entry, data in tar.members(child):
            for _ in data:
                pass
            if entry.kind == "symlink":
                yield entry.name, entry.link


def link(engine: Engine, container: str, path: str) -> str:
    """Where a path leads, "" for one that is no link; of a folder no more than its name is read."""
    with engine.reading(container, path) as child:
        for entry, _ in tar.members(child):
            return entry.link if entry.kind == "symlink" else ""
    return ""


class Copied:
    """A folder of a container into blocks of a part: what the engine sends is compressed by `jobs` threads."""

    def __init__(self, out: PartWriter, codec: Codec, jobs: int, progress: Progress) -> None:
        self._out, self._codec, self._jobs, self._progress = out, codec, jobs, progress
        self._pool = ThreadPoolExecutor(jobs)
        self._waiting: deque[Future[Finished]] = deque()

    def take(self, engine: Engine, container: str, path: str, bound: Callable[[], None]) -> list[tar.Entry]:
        """When this returns the last byte has been read, though not yet been stored. `bound` is asked again and again
        whether to go on. Raises PgproofError.
        """
        entries, unit, size = [], [], 0
        with engine.reading(container, path) as child:
            for entry, data in tar.members(child):
                bound()
                entries.append(entry)
                for piece in data:
                    unit.append(piece)
                    size += len(piece)
                    if size >= PLAIN_TARGET:
                        bound()
                        self._submit(unit)
                        unit, size = [], 0
        self._submit(unit)
        return entries

    def finish(self) -> None:
        """Append what waits, and the archive's end."""
        while self._waiting:
            self._append()
        last = Building(self._codec)
        last.write(tar.END)
        self._out.append(last.finish("files"))

    def _submit(self, unit: list[bytes]) -> None:
        self._waiting.append(self._pool.submit(self._build, unit))
        if len(self._waiting) > self._jobs:
            self._append()

    def _append(self) -> None:
        block = self._waiting.popleft().result()
        self._out.append(block)
        self._progress.advance(block.plain)

    def _build(self, unit: list[bytes]) -> Finished:
        block = Building(self._codec)
        for piece in unit:
            block.write(piece)
        return block.finish("files")

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def copied(out: PartWriter, codec: Codec, jobs: int, progress: Progress) -> Iterator[Copied]:
    made = Copied(out, codec, jobs, progress)
    try:
        yield made
    finally:
        made.close()
