"""The program: exit codes, signals, and errors as a sentence and a hint."""

import contextlib
import os
import resource
import signal
import sys
from types import FrameType
from typing import NoReturn

from typer.exceptions import Abort, TyperException

from pgproof.cli import commands, render
from pgproof.cli.app import app
from pgproof.errors import Interrupted, PgproofError, UsageError

assert commands  # importing them registers them


def main() -> NoReturn:
    """Run the command line and leave with the exit code of docs/design.md, section 5."""
    os.umask(0o077)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    if len(sys.argv) == 1:
        sys.argv.append("--help")
    sys.exit(_run())


def _interrupt(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second signal ends at once
    raise KeyboardInterrupt


def _run() -> int:
    try:
        result = app(standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except BrokenPipeError:
        # Whoever read our output has gone; what was to be done has been done.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("PGPROOF_TRACEBACK"):
            raise
        return _report(_as_ours(error))


def _as_ours(error: BaseException) -> PgproofError:
    """Whatever was raised, as a sentence with a hint and an exit code."""
    if isinstance(error, PgproofError):
        return error
    if isinstance(error, TyperException):
        hint = "`pgproof --help` lists the commands, `pgproof COMMAND --help` its options"
        return UsageError(error.format_message(), hint=hint)
    if isinstance(error, KeyboardInterrupt | Abort):
        return Interrupted("interrupted; nothing half-made is left", hint="run it again when you like")
    if isinstance(error, UnicodeEncodeError) and not all(_is_text(word) for word in sys.argv):
        return UsageError("a word of the command line is not UTF-8 text", hint="names of PostgreSQL are given in UTF-8")
    return PgproofError(
        f"a fault in pgproof itself: {type(error).__name__}: {error}",
        hint="nothing stored was changed; please report it with what PGPROOF_TRACEBACK=1 shows",
    )


def _is_text(word: str) -> bool:
    """Whether an argument was UTF-8: Python keeps other bytes as lone surrogates."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _report(error: PgproofError) -> int:
    with contextlib.suppress(BrokenPipeError):
        if "--json" in sys.argv:
            print(render.as_json({"error": error.message, "hint": error.hint, "exit_code": error.exit_code}))
        print(f"pgproof: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)
        sys.stdout.flush()
    return error.exit_code
