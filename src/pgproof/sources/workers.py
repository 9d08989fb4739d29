"""The workers of a capture: connections that see its snapshot, threads that copy units, one queue of blocks.

Where somebody's TRUNCATE, ALTER or DROP queues up for a table meanwhile, whoever asks for it anew waits
behind them, and they wait for the snapshot's end. Such slices are left to the session that has the locks.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, Full, Queue

from pgproof.errors import Busy, PgproofError, QueryFailed
from pgproof.manifest import Codec
from pgproof.postgres.rows import Rows, rows_for
from pgproof.postgres.server import Wire
from pgproof.postgres.snapshot import Snapshot
from pgproof.sources.units import Reader, Slice, Unit, UnitCopier
from pgproof.stream.blocks import Finished

QUEUE_SECONDS = 2  # that a reader waits for a table that the snapshot has locked already
_LOCK_NOT_AVAILABLE = "55P03"
_WAITING_BLOCKS = 4  # finished ones that may wait for the writer, beside one for each worker

# Ranges are read by TID range scans; no other plan may be preferred, or each range would read the whole table.
_RANGE_SETTINGS = {
    "enable_seqscan": "off",
    "enable_indexscan": "off",
    "enable_indexonlyscan": "off",
    "enable_bitmapscan": "off",
}


@dataclass(frozen=True, slots=True)
class Readers:
    """How units of a snapshot are read: connections that see it, and the codec of the blocks made of them."""

    snapshot: Snapshot
    wire: Wire
    codec: Codec
    lock_seconds: float

    @property
    def range_settings(self) -> dict[str, str]:
        return _RANGE_SETTINGS if self.snapshot.session.version_num >= 140000 else {}

    def copier(self, reader: Reader, emit: Callable[[Finished], None]) -> UnitCopier:
        return UnitCopier(reader, self.codec, self.snapshot.session.codec, emit)

    def connection(self) -> Rows:
        """A connection for rows, not yet open."""
        return rows_for(self.wire, settings=self.range_settings | {"lock_timeout": str(QUEUE_SECONDS * 1000)})

    @contextlib.contextmanager
    def joined(self, rows: Rows) -> Iterator[None]:
        """A transaction that sees the snapshot. It is short: the locks on indexes that reading takes would
        else stand in the way of a REINDEX, and that in the way of the next who reads.
        """
        self.join(rows)
        yield
        rows.execute("ROLLBACK")

    def join(self, rows: Rows) -> None:
        rows.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        rows.execute(f"SET TRANSACTION SNAPSHOT '{self.snapshot.id}'")


class Workers:
    """Threads that copy units from the moment they are made, and the queue to the one writer."""

    def __init__(self, readers: Readers, units: list[Unit], jobs: int) -> None:
        self._readers = readers
        self._executor = ThreadPoolExecutor(jobs, thread_name_prefix="copy")
        self._queue: Queue[Finished] = Queue(maxsize=jobs + _WAITING_BLOCKS)
        self._mine = threading.local()
        self._all: list[Rows] = []
        self._stopped = threading.Event()
        self.queued: list[Slice] = []  # slices that only the session with the locks can read now
        self._futures = [self._executor.submit(self._copy, unit) for unit in units]

    def blocks(self) -> Iterator[Finished]:
        """Finished blocks as they come; the first failure is raised."""
        while True:
            try:
                yield self._queue.get(timeout=0.05)
            except Empty:
                self._raise_failure()
                if all(future.done() for future in self._futures) and self._queue.empty():
                    return

    def _raise_failure(self) -> None:
        for future in self._futures:
            if future.done() and not future.cancelled() and (error := future.exception()):
                raise error

    def _copy(self, unit: Unit) -> None:
        if self._stopped.is_set():
            return
        if not hasattr(self._mine, "rows"):
            self._mine.rows = self._readers.connection()
            self._all.append(self._mine.rows)  # before it is open: what is being connected can be ended too
            if self._stopped.is_set():
                return
            self._mine.rows.open()
        with self._readers.joined(self._mine.rows):
            self._readers.copier(_Patient(self._readers, self._mine.rows, self.queued), self._emit).copy(unit)

    def _emit(self, block: Finished) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(Full):
                self._queue.put(block, timeout=0.2)
                return
        raise PgproofError("the run was stopped")

    def close(self) -> None:
        """End all work at once; connections are dropped, so the server stops too."""
        self._stopped.set()
        for rows in self._all:
            rows.terminate()
        self._executor.shutdown(wait=True, cancel_futures=True)
        for rows in self._all:
            rows.close()


@dataclass(frozen=True, slots=True)
class _Patient:
    """Reads slices through a worker's connection. Where somebody's TRUNCATE, ALTER or DROP has queued up for
    the table meanwhile, whoever asks for it anew waits behind them, and they wait for the snapshot's end:
    such slices are left to the session that has the lock already.
    """

    readers: Readers
    rows: Rows
    queued: list[Slice]

    def copy_out(self, piece: Slice, take: Callable[[bytes], None]) -> int:
        if not any(one.index == piece.index for one in self.queued):
            try:
                return self.rows.copy_out(piece.query(), take)
            except QueryFailed as error:
                if error.sqlstate != _LOCK_NOT_AVAILABLE:
                    raise
            self.rows.execute("ROLLBACK")
            self.readers.join(self.rows)
        self.queued.append(piece)
        return 0


@dataclass(frozen=True, slots=True)
class Holder:
    """Reads slices through the session that holds the snapshot and all locks."""

    readers: Readers

    def copy_out(self, piece: Slice, take: Callable[[bytes], None]) -> int:
        session, seconds = self.readers.snapshot.session, self.readers.lock_seconds
        settings = self.readers.range_settings | {"lock_timeout": str(int(seconds * 1000))}
        session.run("; ".join(f"SET LOCAL {key} = {value}" for key, value in settings.items()))
        try:
            return session.copy_out(piece.query(), take)
        except QueryFailed as error:
            if error.sqlstate != _LOCK_NOT_AVAILABLE:
                raise
            raise Busy(
                f"waited {seconds:g} s for {piece.table.label}: {error.message}",
                hint="let the session that changes its indexes end, then run it again",
            ) from error
