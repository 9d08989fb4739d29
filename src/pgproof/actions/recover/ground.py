"""Where a switch happens: whole things with names, databases on a server or volumes of an engine, one of them live."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from pgproof.actions import restore
from pgproof.actions.asking import Answers
from pgproof.actions.recover.journal import Recovery
from pgproof.checks import Check
from pgproof.stream.progress import Progress
from pgproof.stream.reading import Reading

ABSENT = "absent"  # the mark of what is not there
Counters = Mapping[str, tuple[int, int, int]]  # per table: rows inserted, updated, deleted


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a restore beside has brought, and what it said."""

    tables: int
    rows: int
    compared: int
    checks: dict[str, bool]
    notes: tuple[str, ...]
    counters: Counters = field(default_factory=dict)


class Ground(Protocol):
    """All raise PgproofError."""

    @property
    def where(self) -> str:
        """In words, for a person."""
        ...

    def is_of(self, recovery: Recovery) -> bool:
        """Whether it is where that recovery was, as far as can be told."""
        ...

    def names(self, recovery: Recovery) -> frozenset[str]:
        """Of what is there and whole; a restore that is not at its end has no name yet."""
        ...

    def mark(self, name: str) -> str:
        """What tells the one of this name from another that has it later; "" where nothing does."""
        ...

    def restore(
        self, source: Reading, recovery: Recovery, wish: restore.Wish, now: datetime, progress: Progress
    ) -> Outcome:
        """The backup beside what is there, compared and asked; if it fails nothing of it is left."""
        ...

    def ask(self, name: str, checks: tuple[Check, ...]) -> Answers: ...

    def counters(self, name: str) -> Counters:
        """Of what was written to it since its statistics began."""
        ...

    def swap(self, live: str, coming: str, aside: str) -> None:
        """`coming` gets the name `live`, what has that becomes `aside`. Both or neither, also when it is cut off."""
        ...

    def open_again(self, live: str) -> None:
        """Undo what a switch that failed did to keep others out, or carry on with it where half is no state at all. If
        this raises, no service may be started.
        """
        ...

    def drop(self, name: str) -> None:
        """What is not there is no error."""
        ...
