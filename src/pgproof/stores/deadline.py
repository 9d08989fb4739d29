"""A store that must answer in time: where it hangs, as a dead NFS server lets it, nobody hangs with it.

The kernel may hold a call to such a store for ever. So each call is made by a thread of its own, and waited
for. One that is not answered gives the store up: nothing more is asked of it, and its thread is left behind,
which the interpreter's end does not wait for. The kernel may: it closes the files of a process that ends, and
where they are of such a store (of FUSE any, of NFS those with data on their way) only `umount -f` or the
server's return ends that. By then the user has been told so.
"""

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from queue import SimpleQueue
from typing import BinaryIO, Generic, Self, TypeVar, cast

from pgproof.errors import Unreachable
from pgproof.finding import Finding
from pgproof.stores import haste
from pgproof.stores.store import Entry, Store, Thaw
from pgproof.stream.sink import Sink

_COMMIT = 10  # times as long: all that was written may go to the disk only then
_SLICE_SECONDS = 0.25  # how soon a waiting thread sees that another gave up, or that the user wants out
_PIECE = 16 << 20  # bytes of one call at most: a slow store must be able to move them in the time of one

T = TypeVar("T")
_owing: dict[str, "_Patience"] = {}  # places that did not answer within()


def within(seconds: float, place: str, call: Callable[[], T]) -> T:
    """What `call` gives, or raises. Raises Unreachable when that takes longer than `seconds`, and at once
    while `place` still owes an earlier answer.
    """
    earlier = _owing.get(place)
    if earlier and earlier.hangs:
        earlier.check()
    patience, worker = _Patience(seconds, place), _Worker()
    try:
        return patience.ask(worker, call)
    finally:
        worker.retire()
        if patience.given_up:
            _owing[place] = patience


class Deadline(Store):
    """The store `inner`, each of whose calls must be answered in `seconds`; `place` is its name in messages.

    Everything raises Unreachable once a single call was not.
    """

    def __init__(self, inner: Store, seconds: float, place: str) -> None:
        self._inner = inner
        self._patience = _Patience(seconds, place)
        self._workers = _Workers()
        weakref.finalize(self, self._workers.retire)

    def create(self, name: str, *, replace: bool = False) -> Sink:
        line = self._line()
        return _Sink(line, line.begin(partial(self._inner.create, name, replace=replace), _abort))

    def open(self, name: str, start: int = 0, length: int | None = None) -> BinaryIO:
        line = self._line()
        return cast(BinaryIO, _Stream(line, line.begin(partial(self._inner.open, name, start, length), _close)))

    def stat(self, name: str) -> Entry:
        return self._ask(partial(self._inner.stat, name))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        yield from self._ask(lambda: [*self._inner.list(prefix)])

    def delete(self, name: str, *, for_good: bool = False) -> None:
        self._ask(partial(self._inner.delete, name, for_good=for_good))

    def sweep(self, before: datetime) -> Sequence[str]:
        return self._ask(partial(self._inner.sweep, before))

    def thaw(self, names: Iterable[str]) -> Thaw | None:
        return self._ask(partial(self._inner.thaw, names))

    def remarks(self) -> Sequence[Finding]:
        return self._ask(self._inner.remarks)

    def close(self) -> None:
        """Never raises, as there is nothing that a store which hangs could still lose by it."""
        with contextlib.suppress(Unreachable):
            self._ask(self._inner.close)
        self._workers.retire()

    def _line(self) -> "_Line":
        self._patience.check()
        return _Line(self._patience, self._workers)

    def _ask(self, what: Callable[[], T]) -> T:
        self._patience.check()
        worker = self._workers.take()
        try:
            return self._patience.ask(worker, what)
        finally:
            self._workers.give_back(worker)


class _Call(Generic[T]):
    """Something to be done by a worker, and what came of it."""

    def __init__(self, what: Callable[[], T]) -> None:
        self._what = what
        self._done = threading.Lock()
        self._done.acquire()
        self._result: T | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._result = self._what()
        except BaseException as error:  # noqa: BLE001 - carried to the thread that asked
            self._error = error
        self._done.release()

    def wait(self, seconds: float) -> bool:
        """Whether it was done within `seconds`. A signal is answered meanwhile."""
        return self._done.acquire(timeout=max(0.0, seconds))

    @property
    def pending(self) -> bool:
        return self._done.locked()

    def answer(self) -> T:
        error, self._error = self._error, None
        if error is None:
            return cast(T, self._result)
        try:
            raise error
        finally:
            del error  # it has this frame, which must not have it


class _Worker:
    """A thread that makes calls, one after the other; the interpreter's end does not wait for it."""

    def __init__(self) -> None:
        self._inbox: SimpleQueue[_Call[object] | None] = SimpleQueue()
        self.busy = False  # with a call that has not been answered
        # An open file is held here too: wherever else the last hold on it is let go of, its closing hangs there.
        # The stack of a thread that never ends is never let go of.
        self.held: object = None
        threading.Thread(target=self._work, name="store", daemon=True).start()

    def begin(self, what: Callable[[], T]) -> _Call[T]:
        call = _Call(what)
        self._inbox.put(cast(_Call[object], call))
        return call

    def retire(self) -> None:
        """End the thread once all that was begun is done."""
        self._inbox.put(None)

    def _work(self) -> None:
        for call in iter(self._inbox.get, None):
            call.run()
            del call


class _Workers:
    """Those that have nothing to do."""

    def __init__(self) -> None:
        self._idle: list[_Worker] = []

    def take(self) -> _Worker:
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        return _Worker()

    def give_back(self, worker: _Worker) -> None:
        """One that is still busy is not used again."""
        if worker.busy:
            worker.retire()
        else:
            worker.held = None
            self._idle.append(worker)

    def retire(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().retire()


class _Patience:
    """How long a store is waited for, and whether it has been given up."""

    def __init__(self, seconds: float, place: str) -> None:
        self._seconds, self._place = seconds, place
        self._waited = 0.0
        self._unanswered: _Call[object] | None = None
        self.given_up = False

    @property
    def hangs(self) -> bool:
        """Whether what was not answered in time has not been since."""
        return self._unanswered is not None and self._unanswered.pending

    def ask(self, worker: _Worker, what: Callable[[], T], *, times: int = 1) -> T:
        """Let `worker` do it and wait, `times` as long as usual. Raises Unreachable, and what `what` raises."""
        self.check()
        worker.busy = True
        call = worker.begin(what)
        self._wait(call, self._seconds * times)
        worker.busy = False
        return call.answer()

    def check(self) -> None:
        """Raise Unreachable once the store has been given up: no more threads come to stand behind one that hangs."""
        if self.given_up:
            raise self._refusal()

    def _wait(self, call: _Call[T], seconds: float) -> None:
        asked = time.monotonic()
        while not call.wait(min(_SLICE_SECONDS, haste.limit(asked, seconds) - time.monotonic())):
            if self.given_up or time.monotonic() >= haste.limit(asked, seconds):
                self._waited = self._waited or time.monotonic() - asked
                self._unanswered = self._unanswered or cast(_Call[object], call)
                self.given_up = True
                raise self._refusal()

    def _refusal(self) -> Unreachable:
        return Unreachable(
            f"{self._place} has not answered for {max(1, round(self._waited))} s",
            hint="is the server of that mount up? `umount -f` lets go of one that does not come back, `umount -l` too",
        )


class _Line:
    """The worker of one sink or stream, from its opening to its end: what is asked there is done in that order."""

    def __init__(self, patience: _Patience, workers: _Workers) -> None:
        self._patience, self._workers = patience, workers
        self._worker: _Worker | None = workers.take()

    def begin(self, make: Callable[[], T], undo: Callable[[T], None]) -> T:
        """Open it. What comes of it later than anybody waits is undone."""
        assert self._worker
        worker, made = self._worker, []

        def hold() -> T:
            made.append(make())
            worker.held = made[0]
            return made[0]

        def too_late() -> None:
            for one in made:
                undo(one)

        try:
            return self._patience.ask(worker, hold)
        except BaseException:
            if worker.busy:
                worker.begin(too_late)
            self.end()
            raise

    def ask(self, what: Callable[[], T], *, times: int = 1) -> T:
        assert self._worker
        return self._patience.ask(self._worker, what, times=times)

    def finish(self, what: Callable[[], object]) -> None:
        """The last call, once: made also behind one that hangs, but then not waited for. Never raises Unreachable."""
        if self._worker is None:
            return
        try:
            if self._patience.given_up:
                self._worker.busy = True
                self._worker.begin(what)
            else:
                with contextlib.suppress(Unreachable):
                    self._patience.ask(self._worker, what)
        finally:
            self.end()

    def end(self) -> None:
        """After a call that was the last one by itself."""
        worker, self._worker = self._worker, None
        if worker:
            self._workers.give_back(worker)


class _Sink(Sink):
    def __init__(self, line: _Line, inner: Sink) -> None:
        self._line, self._inner = line, inner

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE):
            self._line.ask(partial(self._inner.write, data[start : start + _PIECE]))

    def commit(self) -> None:
        self._line.ask(self._inner.commit, times=_COMMIT)
        self._line.end()

    def abort(self) -> None:
        self._line.finish(self._inner.abort)


class _Stream:
    def __init__(self, line: _Line, inner: BinaryIO) -> None:
        self._line, self._inner = line, inner

    def read(self, size: int | None = -1) -> bytes:
        left = -1 if size is None or size < 0 else size
        pieces: list[bytes] = []
        while not pieces or (left and pieces[-1]):
            wanted = _PIECE if left < 0 else min(left, _PIECE)
            pieces.append(self._line.ask(partial(self._inner.read, wanted)))
            left = left if left < 0 else left - len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        self._line.finish(self._inner.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _abort(sink: Sink) -> None:
    sink.abort()


def _close(stream: BinaryIO) -> None:
    stream.close()
