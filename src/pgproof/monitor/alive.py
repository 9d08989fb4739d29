"""Who is still there: locks that the kernel drops with the process that holds them (flock(2)).

Unlike a process's number, such a lock means the same after another boot and in another container.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path


def hold(file: Path) -> int | None:
    """Make the file and hold its lock until let_go() or the end of this process; None where that cannot be."""
    try:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        held = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        return None
    return held


def let_go(file: Path, held: int) -> None:
    """The file first: who finds it finds it locked."""
    with contextlib.suppress(OSError):
        file.unlink()
    os.close(held)


def is_dropped(file: Path, otherwise: Callable[[], bool]) -> bool:
    """Whether nobody holds the file's lock any more; `otherwise` is asked where there is no file to tell."""
    try:
        looking = os.open(file, os.O_RDWR)
    except OSError:
        return otherwise()
    try:
        fcntl.flock(looking, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return otherwise()
    finally:
        os.close(looking)
    return True


@contextlib.contextmanager
def folder_held(folder: Path) -> Iterator[None]:
    """The lock on a folder, waited for. Raises OSError."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)
