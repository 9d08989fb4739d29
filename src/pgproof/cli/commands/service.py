"""run: the service, in the foreground."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pgproof.cli import render
from pgproof.cli.app import app
from pgproof.cli.options import ConfigPath, settings
from pgproof.cli.putting_back import put_back
from pgproof.cli.recording import journal_file, note_cut_off
from pgproof.errors import PgproofError, UsageError

if TYPE_CHECKING:
    from pgproof.cli.attending import Attendant
    from pgproof.monitor.journal import Journal

Log = Annotated[str, typer.Option("--log", metavar="KIND", help="text or json: one line a step, on standard error.")]
Metrics = Annotated[
    str | None,
    typer.Option("--metrics", metavar="HOST:PORT", help="Answer /metrics and /health there, such as 127.0.0.1:9847."),
]


@app.command(name="run")
def run_(log: Log = "text", metrics: Metrics = None, config: ConfigPath = None) -> int:
    """The service: runs backups, copies, drills and pruning when they are due, until it is stopped.

    For a terminal, systemd or a container. SIGTERM and Ctrl-C end it; SIGHUP reads the configuration again.
    """
    from pgproof.cli.attending import Attendant
    from pgproof.daemon import Service, Watchers
    from pgproof.monitor.journal import Journal

    if log not in ("text", "json"):
        raise UsageError(f"--log takes text or json, not {log!r}", hint="leave it out for text")
    say, journal = logger(log), Journal(journal_file())
    attendant = Attendant(say, journal=journal)
    attendant.checked(settings(config))  # before anything is begun or answered
    with _answering(metrics, attendant):
        _tell_cut_off(journal, say)
        watchers = Watchers(say, attendant.before, attendant.after, attendant.tick)
        code = Service(lambda: attendant.checked(settings(config)), journal, watchers).run()
        put_back()  # before what may take long: who ends the service does not wait for ever
        attendant.finish()
    return code


@contextlib.contextmanager
def _answering(address: str | None, attendant: "Attendant") -> Iterator[None]:
    if address is None:
        yield
        return
    from pgproof.monitor.endpoint import serve

    with serve(address, lambda: attendant.text, attendant.health):
        yield


def _tell_cut_off(journal: "Journal", say: Callable[[str, Mapping[str, object]], None]) -> None:
    """Runs that were under way when the machine, or the service, went down."""
    try:
        for one in note_cut_off(journal):
            say(f"{one.task} of {one.source}, begun at {render.moment(one.began)}, was cut off", {"run": one.id})
    except PgproofError as error:
        say(f"the journal cannot be used: {error.message}", {})


def logger(kind: str) -> Callable[[str, Mapping[str, object]], None]:
    """Writes one line a step to standard error, with its time in UTC."""

    def text(line: str, _words: Mapping[str, object]) -> None:
        with contextlib.suppress(OSError):  # a full disk of the log's, or a terminal that has gone, ends no backups
            print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z  {line}", file=sys.stderr, flush=True)

    def json(line: str, words: Mapping[str, object]) -> None:
        with contextlib.suppress(OSError):
            print(render.as_line({"at": datetime.now(UTC), "text": line, **words}), file=sys.stderr, flush=True)

    return text if kind == "text" else json
