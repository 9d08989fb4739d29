"""The program: exit codes, signals, and errors as a sentence and a hint."""

import contextlib
import io
import os
import resource
import signal
import sys
import warnings
from types import FrameType
from typing import NoReturn, TextIO

from pgproof.errors import Interrupted, PgproofError, UsageError
from pgproof.stores import haste
from pgproof.stream import interruption

# All else is imported in _command(), so that a Ctrl-C in that third of a second is answered like any other.


def main() -> NoReturn:
    """Run the command line and leave with the exit code of docs/design.md, section 5."""
    os.umask(0o077)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # Python's, which are for whoever writes pgproof
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background has it ignored
        signal.signal(signal.SIGINT, _ctrl_c)
    sys.stdout, sys.stderr = _patient(sys.stdout), _patient(sys.stderr)
    if len(sys.argv) == 1:
        sys.argv.append("--help")
    try:
        code = _run()
    except KeyboardInterrupt as error:  # a second one, in the instant before the first was being answered
        code = _answer(error)
    sys.exit(code)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second signal ends at once
    haste.begin()
    interruption.interrupt()


def _ctrl_c(_number: int, _frame: FrameType | None) -> None:
    haste.begin()
    interruption.interrupt()


class _Output(io.TextIOWrapper):
    """Standard output or error whose reader may go away (`pgproof backup | head -1`): what is said then is
    dropped, and what is to be done is done.
    """

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except BrokenPipeError:
            self._drop()

    def _drop(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def _patient(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):  # closed by whoever started us
        return stream
    manner = {"encoding": stream.encoding, "errors": stream.errors, "line_buffering": stream.line_buffering}
    through = stream.write_through
    return _Output(stream.detach(), **manner, write_through=through)  # type: ignore[arg-type]


def _run() -> int:
    try:
        result = _command()
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - said as a sentence, and never as a traceback
        return _answer(error)


def _answer(error: BaseException) -> int:
    """Say what ended the command; a Ctrl-C while two lines are printed changes nothing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.environ.get("PGPROOF_TRACEBACK"):
        raise error
    return _report(_as_ours(error))


def _command() -> object:
    """What the command returns; what it raises is raised as it was: Typer makes a silent exit of some."""
    from pgproof.cli import commands  # noqa: F401 - importing them registers them
    from pgproof.cli.app import app

    try:
        result = app(standalone_mode=False)
    except SystemExit as error:
        raise error.__context__ or error from None
    if result == Interrupted.exit_code:
        raise KeyboardInterrupt
    return result


def _as_ours(error: BaseException) -> PgproofError:
    """Whatever was raised, as a sentence with a hint and an exit code."""
    if isinstance(error, PgproofError):
        return error
    if isinstance(error, KeyboardInterrupt):
        sys.unraisablehook = lambda _: None  # what an object says that was interrupted in its closing is no news
        return Interrupted("interrupted; nothing half-made is left", hint="run it again when you like")
    from typer.exceptions import Abort, TyperException

    if isinstance(error, Abort):
        return _as_ours(KeyboardInterrupt())
    if isinstance(error, TyperException):
        hint = "`pgproof --help` lists the commands, `pgproof COMMAND --help` its options"
        return UsageError(error.format_message().replace("Value error, ", ""), hint=hint)
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
    if "--json" in sys.argv:
        from pgproof.cli import render

        print(render.as_json({"error": error.message, "hint": error.hint, "exit_code": error.exit_code}))
    print(f"pgproof: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  hint: {error.hint}", file=sys.stderr)
    sys.stdout.flush()
    return error.exit_code
