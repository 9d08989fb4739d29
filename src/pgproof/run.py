"""A run: one attempt at one action, and how it ended."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pgproof.errors import UsageError

Outcome = Literal["running", "done", "degraded", "failed", "refused", "busy", "interrupted", "cut off"]

_BY_EXIT_CODE: dict[int, Outcome] = {0: "done", 4: "refused", 5: "busy", 7: "degraded", 130: "interrupted"}


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at one action. `id` is 16 hexadecimal digits, random and passed in; times are in UTC."""

    id: str
    task: str  # backup, copy, verify, prove, prune, restore, keep
    source: str  # "" where it is of all
    began: datetime
    ended: datetime | None = None
    outcome: Outcome = "running"
    exit_code: int | None = None
    text: str = ""  # what is to be said of it: one sentence, secrets scrubbed
    hint: str = ""
    asked: str = ""  # the words of the command line, without secrets
    backup: str = ""  # its id, where the run made or examined one
    store: str = ""
    size: int = 0  # stored bytes of that backup
    rows: int = 0

    @property
    def mistyped(self) -> bool:
        """Somebody's wrong word at a terminal, about no source; what fails by the clock is missed by its age."""
        return not self.source and self.exit_code == UsageError.exit_code


def outcome_of(exit_code: int) -> Outcome:
    """How a run with this exit code ended (docs/design.md, section 5); all that is not named there has failed."""
    return _BY_EXIT_CODE.get(exit_code, "failed")
