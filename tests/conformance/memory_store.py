"""A store in memory: the least that passes the conformance suite, for fault tests to wrap.

It keeps the one rule that matters in the same way as a real one: an object appears whole, at commit,
under a lock, or not at all.
"""

import io
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import BinaryIO

from pgproof.errors import AlreadyExists, NotFound, PgproofError
from pgproof.stores.store import Entry, Store
from pgproof.stream.sink import Sink

_NAME = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")


class MemoryStore(Store):
    """Objects by name. `clock` dates them, so that a test can make one old."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._objects: dict[str, tuple[bytes, datetime]] = {}
        self._guard = threading.Lock()

    def create(self, name: str, *, replace: bool = False) -> Sink:
        return _MemorySink(self, _checked(name), replace=replace)

    def open(self, name: str, start: int = 0, length: int | None = None) -> BinaryIO:
        data = self._get(name)[0]
        return io.BytesIO(data[start:] if length is None else data[start : start + length])

    def stat(self, name: str) -> Entry:
        data, modified = self._get(name)
        return Entry(name, len(data), modified)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        with self._guard:
            found = sorted((name, *value) for name, value in self._objects.items() if name.startswith(prefix))
        for name, data, modified in found:
            yield Entry(name, len(data), modified)

    def delete(self, name: str, *, for_good: bool = False) -> None:
        with self._guard:
            self._objects.pop(_checked(name), None)

    def sweep(self, before: datetime) -> Sequence[str]:
        return []

    def close(self) -> None:
        """Nothing is held open."""

    def _get(self, name: str) -> tuple[bytes, datetime]:
        with self._guard:
            if _checked(name) not in self._objects:
                raise NotFound(f"{name} is not in the store")
            return self._objects[name]

    def _put(self, name: str, data: bytes, *, replace: bool) -> None:
        with self._guard:
            if name in self._objects and not replace:
                raise AlreadyExists(f"{name} is in the store already")
            self._objects[name] = (data, self._clock())


class _MemorySink(Sink):
    def __init__(self, store: MemoryStore, name: str, *, replace: bool) -> None:
        self._store, self._name, self._replace = store, name, replace
        self._data = bytearray()

    def write(self, data: bytes) -> None:
        self._data += data

    def commit(self) -> None:
        self._store._put(self._name, bytes(self._data), replace=self._replace)

    def abort(self) -> None:
        self._data.clear()


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name) or any(part in (".", "..") for part in name.split("/")):
        raise PgproofError(f"{name!r} cannot be a name in a store")
    return name
