"""Progress on a terminal: what is being done, how far, at what rate, and how long still."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pgproof.stream.progress import Progress, Silent

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import ProgressColumn, TaskID


_BAR = 28
_WHAT = 20
_WORDS = 14 + 10 + 5 + 4  # columns: how much, how fast, how long still, and what is between them


_shown: list["_Terminal"] = []  # of this process; a list, so that a question can find it


class _Terminal:
    def __init__(self, bars: "Bars") -> None:
        self._bars = bars
        self._task: TaskID | None = None
        self._lock = threading.Lock()

    def stop(self) -> None:
        with self._lock:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._task = None
            self._bars.stop()

    def start(self) -> None:
        self._bars.start()

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
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    console = Console(stderr=True)
    bar = max(0, min(_BAR, console.width - _WHAT - _WORDS))
    what = Column(no_wrap=True, max_width=max(_WHAT, console.width - bar - _WORDS))
    columns = (
        TextColumn("{task.description:<20}", table_column=what),
        *([BarColumn(bar)] if bar else []),
        *_figures(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        _shown.append(_Terminal(bars))
        try:
            yield _shown[-1]
        finally:
            _shown.pop()


@contextmanager
def put_aside() -> Iterator[None]:
    """Around a question: a bar that is drawn anew all the time would wipe away what is typed."""
    for one in _shown:
        one.stop()
    try:
        yield
    finally:
        for one in _shown:
            one.start()


def _figures() -> "list[ProgressColumn]":
    """How much, how fast, how long still; nothing of a step that has no size."""
    from rich.console import RenderableType
    from rich.progress import DownloadColumn, ProgressColumn, Task, TimeRemainingColumn, TransferSpeedColumn
    from rich.table import Column
    from rich.text import Text

    class Sized(ProgressColumn):
        """Says nothing of a step that has no size."""

        def __call__(self, task: Task) -> RenderableType:
            return super().__call__(task) if task.total else Text()

    class Much(Sized, DownloadColumn): ...

    class Fast(Sized, TransferSpeedColumn): ...

    class Long(Sized, TimeRemainingColumn): ...

    made = Column(no_wrap=True)
    return [Much(table_column=made), Fast(table_column=made.copy()), Long(compact=True, table_column=made.copy())]
