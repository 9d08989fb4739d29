"""What recover says: a plan, a question, where a recovery stands, a moment that was written."""

import shutil
import sys
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime

from pgproof.actions.recover import journal
from pgproof.actions.recover import plan as planning
from pgproof.actions.recover.revive import Revival
from pgproof.checks import keycloak
from pgproof.cli import render
from pgproof.cli.watch import put_aside
from pgproof.config import SourceSettings
from pgproof.errors import Refused, UsageError


def moment(text: str | None) -> datetime | None:
    """Raises UsageError."""
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no time", hint="write 2026-11-23T10:00, in UTC or with its zone") from error
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def ask_sessions(source: SourceSettings) -> str | None:
    """What is to become of a Keycloak's sessions, where nothing says so and somebody is there to say it."""
    if not keycloak.wanted(source.checks) or source.sessions is not None or not sys.stdin.isatty():
        return None
    with put_aside():
        print("\n".join([*keycloak.told(), "Keycloak's sessions? [keep] "]), end="", file=sys.stderr, flush=True)
        return keycloak.choice(sys.stdin.readline().strip() or "keep")


def refuse_open(before: journal.Recovery | None) -> None:
    """Raises Refused while a recovery that was begun has no end."""
    if before is None or not before.is_open:
        return
    begun = f"the recovery of {before.argument} begun at {render.moment(before.began)}"
    raise Refused(
        f"{begun} is not at its end, {journal.last_words(before)}; services may be stopped",
        hint=f"`pgproof recover {before.argument} --continue` goes on, --back goes back",
    )


def refuse_ended(one: journal.Recovery) -> None:
    """Raises Refused where there is nothing to go on with."""
    if not one.is_open:
        raise Refused(f"the last recovery is {one.state}: there is nothing to go on with", hint="--undo, or a new one")


def reviving(one: Revival) -> str:
    """What brings a server back, for a person who is tired."""
    return "\n".join(["The server does not answer. First:", *_numbered(one.steps), f"Plan {one.hash}"])


def asking(plan: planning.Plan) -> str:
    """The question, naming what must not be mistaken."""
    inside = f", container {plan.container}" if plan.container else ""
    server = plan.system_identifier or "without identifier"
    what = f"the volume {plan.database}" if plan.thing == "volume" else plan.database
    return f"Recover {what} on {plan.server}{inside} (server {server}) from {plan.backup}?"


def shown(plan: planning.Plan, now: datetime) -> str:
    """The plan, for a person who is tired."""
    took = plan.estimate_seconds
    what = f"the volume {plan.database}" if plan.thing == "volume" else plan.database
    age = render.span(now - plan.lost_from)
    server = f"{plan.server} (server {plan.system_identifier or 'without identifier'})"
    more = f" ({age})" if plan.lost_minutes >= 60 else ""
    lost = f"what was written since {render.moment(plan.lost_from)}: {plan.lost_minutes:,.1f} minutes{more}"
    lines = [
        f"Recover {what} on {server}",
        *_wrapped("  from       ", f"{plan.backup}, read from the store {plan.store}"),
        *_wrapped("  data lost  ", lost),
        *_wrapped("  time       ", f"about {took:.1f} s, as measured" if took is not None else "not measured yet"),
        *_wrapped("  way back   ", plan.back),
        *(line for one in (*plan.reasons, *plan.warnings) for line in _wrapped("  note       ", one)),
        *_numbered(plan.steps),
        f"Plan {plan.hash}",
    ]
    return "\n".join(lines)


def _numbered(steps: Sequence[str]) -> list[str]:
    return [line for number, step in enumerate(steps, 1) for line in _wrapped(f"  {number}. ", step)]


def _wrapped(head: str, text: str) -> list[str]:
    """A paragraph beside its head, as wide as the terminal; what is read by a program stays one line."""
    if not sys.stdout.isatty():
        return [head + text]
    width = max(40, shutil.get_terminal_size().columns - 1)
    indent = " " * len(head)
    return textwrap.wrap(text, width, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False)
