"""alert: send what is due, and test that alerts arrive."""

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pgproof import __version__
from pgproof.cli import render
from pgproof.cli.app import app
from pgproof.cli.options import AsJson, ConfigPath, Manners, Quiet, settings
from pgproof.cli.present import blind, health_of, present
from pgproof.config import Config, known_secrets
from pgproof.errors import ConfigError
from pgproof.job import state_folder

if TYPE_CHECKING:
    from pgproof.monitor.notify import Channel, Outcome
    from pgproof.monitor.outbox import Outbox


@app.command()
def alert(
    test: Annotated[
        bool, typer.Option("--test", help="Send a test to every channel, and ask whether it came.")
    ] = False,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Examine all backups and send what is new, has changed, is due again or is over; for cron.

    `pgproof run` does it by itself. With --test every channel gets a test. Exit 7 when one did not accept.
    """
    from pgproof.monitor.notify import check_urls
    from pgproof.monitor.outbox import Outbox

    conf, manners = settings(config), Manners(json, quiet)
    channels = check_urls(conf.alerts)
    if not channels:
        raise ConfigError("no alerts are configured", hint='add to [alerts] a line such as: urls = ["env:ALERT_URL"]')
    outbox = Outbox(state_folder(), os.uname().nodename, __version__)
    act = _test if test else _tell
    return act(outbox, conf, channels, manners)


def _tell(outbox: "Outbox", conf: Config, channels: tuple["Channel", ...], manners: Manners) -> int:
    from pgproof.monitor import neighbours
    from pgproof.monitor.outbox import examine

    now = datetime.now(UTC)
    neighbours.ask_if_due(conf, now)
    seen = present(conf, now)
    found = [*health_of(seen, []), *examine(outbox.read(), now)]
    report = outbox.tell(found, channels, now, known_secrets(conf), blind(seen))
    sent = len(report.digest.events) + report.digest.more if report.digest else 0
    manners.say(f"{render.count(sent, 'thing')} to tell." if sent else "Nothing new to tell.")
    _show(report.outcomes, manners)
    if report.note:
        print(f"pgproof: {report.note}", file=sys.stderr)
    outcomes = [_document(one) for one in report.outcomes]
    manners.document({"events": sent, "channels": outcomes, "waiting": report.waiting, "note": report.note})
    return 0 if report.whole else 7


def _test(outbox: "Outbox", conf: Config, channels: tuple["Channel", ...], manners: Manners) -> int:
    outcomes = outbox.test(channels, datetime.now(UTC), known_secrets(conf))
    _show(outcomes, manners)
    arrived = None
    if any(one.ok for one in outcomes) and not manners.json and sys.stdin.isatty():
        arrived = _asked("Did it arrive? [y/N] ")
    note = outbox.note_test(datetime.now(UTC), arrived=bool(arrived))
    if note:
        print(f"pgproof: {note}", file=sys.stderr)
    if arrived is False:
        manners.say("What was accepted and did not come was lost on the way: look for it in the spam folder first.")
    manners.document({"channels": [_document(one) for one in outcomes], "arrived": arrived, "note": note})
    return 0 if all(one.ok for one in outcomes) else 7


def _asked(question: str) -> bool:
    print(question, end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _show(outcomes: tuple["Outcome", ...], manners: Manners) -> None:
    for one in outcomes:
        if one.ok:
            manners.say(f"  {one.name}: accepted")
        else:
            print(f"pgproof: {one.name} did not accept it: {one.text}", file=sys.stderr)


def _document(one: "Outcome") -> dict[str, object]:
    return {"channel": one.name, "accepted": one.ok, "text": one.text}
