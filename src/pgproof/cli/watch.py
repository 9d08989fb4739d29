"""Progress on a terminal: what is being done, how far, at what rate, and how long still."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pgproof.stream.progress import Progress, Silent

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


class _Terminal:
    def __init__(self, bars: "Bars") -> None:
        self._bars = bars
        self._task: TaskID | None = None
        self._lock = threading.Lock()

    def begin(self, what: str, total: int = 0) -> None:
        with self._lock:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._task = self._bars.add_task(what, total=total or None)

    def advance(self, amount: int) -> None:
        with self._lock:
            if self._task is not None:
                self._bars.advance(self._task, amount)


@contextmanager
def watching(*, quiet: bool) -> Iterator[Progress]:
    """Something to tell progress to: a bar on stderr when that is a terminal, else nobody."""
    if quiet or not sys.stderr.isatty():
        yield Silent()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description:<20}"),
        BarColumn(28),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Terminal(bars)
