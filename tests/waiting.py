"""Waiting in tests: for something that will be, and for the next second. Nothing else sleeps."""

import time
from collections.abc import Callable


def until(holds: Callable[[], object], what: Callable[[], object] = lambda: "", seconds: float = 60) -> None:
    """Return as soon as `holds` is true. Raises AssertionError with what `what` tells when it is not in time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds:g} s; {what()}"
        time.sleep(0.01)


def next_second() -> None:
    """Return in another second of the clock than that of now: ids and names go by the second."""
    now = int(time.time())
    until(lambda: int(time.time()) > now)
