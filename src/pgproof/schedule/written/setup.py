"""What is to be started by whom and what it touches; the files that say so to a scheduler."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from pgproof.errors import UsageError

MARK = "# Written by `pgproof schedule`, which writes it anew when run again: change the configuration, not this file."
STATE = "/var/lib/pgproof"
WORDS = {"prune": ("--apply",), "verify": ("--all",)}  # what a task needs to be done, and of all there is


@dataclass(frozen=True, slots=True)
class Setup:
    """All paths are whole, and text.

    `tasks` are pairs of a command and its cron expression, `zone` the zone that is configured ("" is the machine's
    own). `writes` are the folders of stores, `secrets` files with a secret in them, `reads` the other files that are
    needed, `variables` the environment variables that hold a secret. `home`: something in a home directory is read.
    """

    program: tuple[str, ...]
    config: str
    user: str
    tasks: tuple[tuple[str, str], ...]
    zone: str = ""
    state: str = STATE
    writes: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    home: bool = False
    shared_tmp: bool = False

    def command(self, task: str) -> tuple[str, ...]:
        """The words of the command line that does the task."""
        return (*self.program, task, *WORDS.get(task, ()), "--config", self.config, "--quiet")


@dataclass(frozen=True, slots=True)
class Written:
    """A file's name and its text."""

    name: str
    text: str


def check_setup(setup: Setup) -> None:
    """Refuse names that would end a line or hide in it: no format here has a way to write them. Raises UsageError."""
    texts = (*setup.program, setup.config, setup.user, setup.state, *setup.writes, *setup.secrets, *setup.reads)
    for text in texts:
        if not text or any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in text):
            raise UsageError(f"{text!r} cannot be written into a schedule", hint="use a name of printable characters")


def runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """The numbers as first and last of each unbroken run, in order."""
    grouped = groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0])
    pieces = [[number for _, number in group] for _, group in grouped]
    return [(piece[0], piece[-1]) for piece in pieces]
