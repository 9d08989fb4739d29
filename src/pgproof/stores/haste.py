"""That the user wants out (Ctrl-C, SIGTERM): from then on no store is waited for longer than a second."""

import time

GRACE_SECONDS = 1.0
_began: list[float] = []  # a list, as to append to it is safe where a signal lands


def begin() -> None:
    """To be called by whoever catches the signal, in the signal's handler too."""
    _began.append(time.monotonic())


def limit(asked: float, seconds: float) -> float:
    """Until when to wait for what was asked at `asked`, with `seconds` of patience (time.monotonic())."""
    if not _began:
        return asked + seconds
    return min(asked + seconds, max(asked, _began[0]) + GRACE_SECONDS)
