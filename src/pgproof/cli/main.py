"""The program: exit codes, signals, and errors as a sentence and a hint."""

import contextlib
import os
import resource
import signal
import sys
from types import FrameType
from typing import NoReturn

import click

from pgproof.cli import commands, render
from pgproof.cli.app import app
from pgproof.errors import Interrupted, PgproofError

assert commands  # importing them registers them


def main() -> NoReturn:
    """Run the command line and leave with the exit code of docs/design.md, section 5."""
    os.umask(0o077)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    sys.exit(_run())


def _interrupt(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second signal ends at once
    raise KeyboardInterrupt


def _run() -> int:
    try:
        result = app(standalone_mode=False)
        code = result if isinstance(result, int) else 0
        sys.stdout.flush()
        return code
    except PgproofError as error:
        return _report(error)
    except KeyboardInterrupt:
        return _report(Interrupted("interrupted; nothing half-made is left", hint="run it again when you like"))
    except click.exceptions.Abort:
        return _report(Interrupted("stopped at the question; nothing was changed"))
    except click.ClickException as error:
        error.show()
        return 2
    except BrokenPipeError:
        # Whoever read our output has gone; what was to be done has been done.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _report(error: PgproofError) -> int:
    with contextlib.suppress(BrokenPipeError):
        if "--json" in sys.argv:
            print(render.as_json({"error": error.message, "hint": error.hint, "exit_code": error.exit_code}))
        print(f"pgproof: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)
        sys.stdout.flush()
    return error.exit_code
