"""The store, whole: six methods that each makes its own, and three that most inherit.

Every store passes tests/conformance/test_store.py.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from pgproof.finding import Finding
from pgproof.stream.sink import Sink


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored object: its name with `/` between the parts, its size in bytes, when it was committed."""

    name: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Thaw:
    """So many objects lie in an archive and have been asked for; `text` says how long that takes."""

    waiting: int
    text: str


class Store(Protocol):
    """Names are relative, of ASCII letters, digits and `_.-`, with `/` between; nothing is overwritten
    unless `replace` says so. Every method raises Unreachable when the store does not answer.
    """

    def create(self, name: str, *, replace: bool = False) -> Sink:
        """A sink for a new object: nothing visible before commit(), durable after.

        commit() raises AlreadyExists when the name is taken and `replace` is not given: of two
        writers of one name exactly one wins.
        """
        ...

    def open(self, name: str, start: int = 0, length: int | None = None) -> BinaryIO:
        """The bytes from `start`, `length` of them or all. Raises NotFound."""
        ...

    def stat(self, name: str) -> Entry:
        """Raises NotFound."""
        ...

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """What begins with `prefix`, sorted by name; never unfinished ones."""
        ...

    def delete(self, name: str, *, for_good: bool = False) -> None:
        """Absent is no error. `for_good` destroys older versions too, where a store keeps any.

        Raises Refused where the store lets us write and not delete.
        """
        ...

    def sweep(self, before: datetime) -> Sequence[str]:
        """Remove what writers that are gone left unfinished, and return its names: where it is certain that
        they are gone at once, else what is from before `before`.
        """
        del before
        return ()

    def thaw(self, names: Iterable[str]) -> Thaw | None:
        """Ask for what of these lies in an archive; None when all of it can be read now."""
        del names
        return None

    def remarks(self) -> Sequence[Finding]:
        """What is to be said of this store beside that it works: room, protection, who else may read it."""
        return ()

    def close(self) -> None:
        """Let go of connections; nothing stored depends on it."""
        return
