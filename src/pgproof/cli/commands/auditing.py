"""audit: who did what, and whether somebody has changed what is said of it."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from pgproof.cli import render
from pgproof.cli.app import app
from pgproof.cli.options import AsJson, ConfigPath, Manners, Quiet, settings
from pgproof.cli.recording import audit_log
from pgproof.errors import PgproofError
from pgproof.finding import Finding, level
from pgproof.job import open_repository

if TYPE_CHECKING:
    from pgproof.config import Config
    from pgproof.monitor.audit import Head, Line

Check = Annotated[
    bool, typer.Option("--check", help="Was it changed? The chain, and the heads that backups in the stores kept.")
]
Last = Annotated[int, typer.Option("--last", metavar="N", min=1, help="So many of the newest lines.")]


@app.command()
def audit(
    check: Check = False, last: Last = 20, config: ConfigPath = None, json: AsJson = False, quiet: Quiet = False
) -> int:
    """Who backed up, restored, proved or deleted what on this machine, and how it ended; --check finds tampering."""
    from pgproof.monitor import audit as log

    manners = Manners(json, quiet)
    if check:
        return _check(settings(config), manners)
    found = log.lines(audit_log(), last)
    manners.document([{"number": one.number, **msgspec.to_builtins(one.entry)} for one in found])
    if found:
        manners.say(render.table(("NUMBER", "WHEN", "WHO", "OUTCOME", "ASKED"), [_row(one) for one in found]))
    else:
        manners.say(f"Nothing has been done yet, as far as {audit_log()} tells.")
    return 0


def _row(line: "Line") -> tuple[str, ...]:
    said = line.entry
    user = f"{said.sudo_user} as {said.user}" if said.sudo_user else said.user
    return (str(line.number), render.moment(said.when), user or "?", said.outcome, said.asked or said.text)


def _check(conf: "Config", manners: Manners) -> int:
    """Exit 3 where something was tampered with, 7 where a store could not be asked."""
    from pgproof.monitor import audit as log

    heads, found = _heads(conf)
    unasked = bool(found)
    found += log.check(audit_log(), heads)
    number = log.head(audit_log()).number
    gravest = level(found)
    manners.document({"level": gravest, "lines": number, "findings": [msgspec.to_builtins(one) for one in found]})
    for one in found:
        manners.say(f"{render.paint(one.level):<8}  {one.source}: {one.text}\n          hint: {one.hint}")
    if gravest == "ok":
        manners.say(f"All {number} lines are as they were written; {len(heads)} heads in backups agree.")
    return 3 if gravest == "critical" else 7 if unasked else 0


def _heads(conf: "Config") -> tuple[list["Head"], list[Finding]]:
    """The heads of this machine's log that backups kept, and the stores that could not be asked for them."""
    from pgproof.monitor import audit as log

    here, heads, found = log.place(audit_log()), set(), []
    for store in conf.stores:
        try:
            backups, _ = open_repository(store).backups()
        except PgproofError as error:
            text = f"its backups' heads could not be asked for: {error.message}"
            found.append(Finding("store-unreachable", "warning", store.name, text, error.hint))
            continue
        kept = [(one.id, one.manifest.config) for one in backups if one.manifest.config.get("audit.log") == here]
        heads |= {head for name, words in kept if (head := log.parse_head(words.get("audit.head", ""), name))}
    return sorted(heads, key=lambda one: one.number), found
