"""The right to write a source's backups: a lock in the store with owner and expiry."""

import contextlib
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

import msgspec

from pgproof.errors import AlreadyExists, Busy, NotFound, PgproofError, Refused
from pgproof.stores.store import Store
from pgproof.stream import process

LEASE = timedelta(minutes=5)
_RENEW_SECONDS = 60.0
_held: set[str] = set()  # tokens of this process's own leases: one that it could not give back is none of them
_MOST_BYTES = 1 << 16  # a lock larger than this is none of ours


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, and until when it is believed."""

    token: str
    purpose: str
    process: process.Identity
    expires: datetime


class Lease:
    """A lock with an expiry, renewed while it is held; a lost one is noticed before the commit."""

    def __init__(self, store: Store, clock: Callable[[], datetime], source: str, purpose: str) -> None:
        self._store, self._clock, self._name = store, clock, f"{source}/lock.json"
        self._source, self._purpose = source, purpose
        self._token = secrets.token_hex(16)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Self:
        _held.add(self._token)
        try:
            self._take()
            self._thread.start()
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._give_back()
        except KeyboardInterrupt:  # which is answered once the lock is back
            self._give_back()
            raise

    def _give_back(self) -> None:
        self._stop.set()
        with contextlib.suppress(RuntimeError):  # it was never started
            self._thread.join()
        with contextlib.suppress(PgproofError):
            if self._mine():
                self._let_go()
        _held.discard(self._token)

    def _let_go(self) -> None:
        try:
            self._store.delete(self._name)
        except Refused:  # a store that lets us write and not delete: what has expired is free
            self._write(replace=True, expires=self._clock())

    def check(self) -> None:
        """Raise Busy unless the lock is still ours (we may have been stopped for longer than the lease)."""
        if not self._mine():
            raise Busy(f"the lock on {self._source} was lost while this run was stopped", hint="run it again")

    def lies_in(self, store: Store) -> bool:
        """Whether this very lock is in `store`: then that is the same place under another name."""
        holder = self._holder(store)
        return holder is not None and holder.token == self._token

    def _take(self) -> None:
        try:
            self._write(replace=False)
        except AlreadyExists:
            self._take_again(replace=self._break_stale())
        # Read back, for stores that pass over conditions, and for locks that had to be written over.
        if not self._mine():
            raise Busy(f"another run took the lock on {self._source} just now", hint="try again later")

    def _take_again(self, *, replace: bool) -> None:
        try:
            self._write(replace=replace)
        except AlreadyExists:
            raise Busy(f"another run took the lock on {self._source} just now", hint="try again later") from None

    def _break_stale(self) -> bool:
        """Take away a lock that nobody holds. True where it may not be deleted, and is to be written over."""
        holder = self._holder()
        if holder is None:
            return False
        forgotten = holder.process == process.identity() and holder.token not in _held
        gone = forgotten or process.is_gone(holder.process)
        if not gone and holder.expires > self._clock():
            raise Busy(
                f"{holder.process.describe()} holds the lock on {self._source} for its {holder.purpose}",
                hint=f"try again later; unless it is renewed, the lock ends at {holder.expires:%Y-%m-%d %H:%M:%S} UTC",
            )
        try:
            self._store.delete(self._name)
        except Refused:
            return True
        return False

    def _holder(self, store: Store | None = None) -> Holder | None:
        try:
            with (store or self._store).open(self._name) as stream:
                return msgspec.json.decode(stream.read(_MOST_BYTES), type=Holder)
        except NotFound:
            return None
        except (msgspec.DecodeError, msgspec.ValidationError):
            raise Busy(
                f"the lock file of {self._source} cannot be read",
                hint=f"make sure that no other pgproof works on this store, then delete {self._name} in it",
            ) from None

    def _mine(self) -> bool:
        return self.lies_in(self._store)

    def _write(self, *, replace: bool, expires: datetime | None = None) -> None:
        until = expires or self._clock() + LEASE
        holder = Holder(self._token, self._purpose, process.identity(), until)
        with self._store.create(self._name, replace=replace) as sink:
            sink.write(msgspec.json.encode(holder) + b"\n")

    def _renew(self) -> None:
        while not self._stop.wait(_RENEW_SECONDS):
            with contextlib.suppress(PgproofError):
                if not self._mine():
                    return
                self._write(replace=True)
