"""A store between pgproof and the real one, in which one call goes wrong: the n-th, or all from the n-th on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Literal, Self, cast

from pgproof.errors import Unreachable
from pgproof.stores.store import Entry, Store
from pgproof.stream.sink import Sink

# before: it fails and nothing was done. after: it was done, and the answer was lost. gone: the store never
# answers again. short: a stream ends too soon, without a word. flipped: a stream gives a wrong bit.
Mode = Literal["before", "after", "gone", "short", "flipped"]


@dataclass
class FailingStore(Store):
    """`number` counts from 1; 0 never fails. `calls` says what was asked; `hit` what went wrong;
    `spoiled`, that a reader got wrong bytes.
    """

    inner: Store
    number: int = 0
    mode: Mode = "before"
    calls: list[str] = field(default_factory=list)
    hit: str = ""
    spoiled: bool = False

    def begin(self, what: str) -> bool:
        """Count a call; raise if it is to fail before it does anything, True if it is to go wrong otherwise."""
        self.calls.append(what)
        count = len(self.calls)
        due = count == self.number or (self.mode == "gone" and 0 < self.number <= count)
        if not due:
            return False
        self.hit = self.hit or what
        if self.mode in ("before", "gone"):
            self.fail(what)
        return True

    def fail(self, what: str) -> None:
        raise Unreachable(f"{what}: the store does not answer (injected)", hint="a test's doing")

    def end(self, what: str, due: bool) -> None:
        if due and self.mode == "after":
            self.fail(what)

    def create(self, name: str, *, replace: bool = False) -> Sink:
        due = self.begin(f"create {name}")
        sink = _FailingSink(self, name, self.inner.create(name, replace=replace))
        if due and self.mode == "after":
            sink.abort()
        self.end(f"create {name}", due)
        return sink

    def open(self, name: str, start: int = 0, length: int | None = None) -> BinaryIO:
        due = self.begin(f"open {name}")
        stream = self.inner.open(name, start, length)
        if due and self.mode == "after":
            stream.close()
        self.end(f"open {name}", due)
        return cast(BinaryIO, _FailingStream(self, name, stream))

    def stat(self, name: str) -> Entry:
        due = self.begin(f"stat {name}")
        found = self.inner.stat(name)
        self.end(f"stat {name}", due)
        return found

    def list(self, prefix: str = "") -> Iterator[Entry]:
        due = self.begin(f"list {prefix}")
        found = self.inner.list(prefix)
        self.end(f"list {prefix}", due)
        return found

    def delete(self, name: str, *, for_good: bool = False) -> None:
        due = self.begin(f"delete {name}")
        self.inner.delete(name, for_good=for_good)
        self.end(f"delete {name}", due)

    def sweep(self, before: datetime) -> Sequence[str]:
        due = self.begin("sweep")
        swept = self.inner.sweep(before)
        self.end("sweep", due)
        return swept

    def close(self) -> None:
        self.inner.close()


class _FailingSink(Sink):
    def __init__(self, store: FailingStore, name: str, inner: Sink) -> None:
        self._store, self._name, self._inner = store, name, inner

    def write(self, data: bytes) -> None:
        due = self._store.begin(f"write {self._name}")
        self._inner.write(data)
        self._store.end(f"write {self._name}", due)

    def commit(self) -> None:
        due = self._store.begin(f"commit {self._name}")
        self._inner.commit()
        self._store.end(f"commit {self._name}", due)

    def abort(self) -> None:
        self._inner.abort()


class _FailingStream:
    def __init__(self, store: FailingStore, name: str, inner: BinaryIO) -> None:
        self._store, self._name, self._inner = store, name, inner
        self._ended = False

    def read(self, size: int | None = -1) -> bytes:
        due = self._store.begin(f"read {self._name}")
        data = b"" if self._ended else self._inner.read(-1 if size is None else size)
        self._store.end(f"read {self._name}", due)
        if due and data and self._store.mode == "short":
            self._ended, data, self._store.spoiled = True, data[: len(data) // 2], True
        if due and data and self._store.mode == "flipped":
            middle = len(data) // 2
            data, self._store.spoiled = data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :], True
        return data

    def close(self) -> None:
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
