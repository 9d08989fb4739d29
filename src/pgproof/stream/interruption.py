"""A signal that asks us to end, put off while something is begun that could not be ended yet."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Of the main thread, in which alone Python answers signals (docs.python.org, signal: "Signals and threads").
_putting_off = False
_pending = False


def interrupt() -> None:
    """To be called by a signal's handler: raises KeyboardInterrupt, now or at the end of put_off()."""
    global _pending  # noqa: PLW0603 - a handler has no other way to leave word
    if _putting_off:
        _pending = True
        return
    raise KeyboardInterrupt


@contextmanager
def put_off() -> Iterator[None]:
    """Nothing within is interrupted; KeyboardInterrupt comes at the end. For a few instructions; not to be nested."""
    global _putting_off, _pending  # noqa: PLW0603 - as above
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _putting_off = True
    try:
        yield
    finally:
        _putting_off = False
    if _pending:
        _pending = False
        raise KeyboardInterrupt
