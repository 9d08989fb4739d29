"""A sink is pushed into: `with` gives commit on success and abort on error."""

import hashlib
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Sink(ABC):
    """Where bytes go. Nothing is visible at the far end before `commit`."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Take `data`, whole. Raises PgproofError."""

    @abstractmethod
    def commit(self) -> None:
        """Make what was written last, durably, under its name."""

    @abstractmethod
    def abort(self) -> None:
        """Forget what was written. Never raises; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abort()
            return
        try:
            self.commit()
        except BaseException:
            self.abort()
            raise


class Meter(Sink):
    """Counts and hashes (SHA-256) what goes on to the next sink."""

    def __init__(self, onward: Sink) -> None:
        self._onward = onward
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)
        self._onward.write(data)

    def commit(self) -> None:
        self._onward.commit()

    def abort(self) -> None:
        self._onward.abort()
