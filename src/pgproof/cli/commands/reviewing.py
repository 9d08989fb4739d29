"""review: the quarterly review of the strategy, printed, and recorded once it was held."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from pgproof.cli import render
from pgproof.cli.app import app
from pgproof.cli.options import AsJson, ConfigPath, Manners, Quiet, settings
from pgproof.cli.recording import Doing, recorded, words

if TYPE_CHECKING:
    from pgproof.monitor.review import Practice, Review

Held = Annotated[bool, typer.Option("--held", help="Record that it was held; the next is due in a quarter.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who held it.")]
Remark = Annotated[str | None, typer.Option("--note", metavar="TEXT", help="What was decided.")]


@app.command()
def review(
    held: Held = False,
    by: By = None,
    note: Remark = None,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """The quarterly review: policy against practice, growth, drills with their times, troubles, what is not done."""
    from pgproof.cli.present import present
    from pgproof.daemon import plans
    from pgproof.monitor import review as action

    conf, manners, now = settings(config), Manners(json, quiet), datetime.now(UTC)
    made = action.review(conf, present(conf, now), plans(conf), now)
    manners.say("\n".join(_told(made)))
    if held:
        with recorded(Doing(action.TASK, words(action.TASK, held=held, by=by, note=note))) as kept:
            kept.text = "; ".join(one for one in (f"held by {by}" if by else "", note or "") if one)
        manners.say("Recorded: it was held today.")
    manners.document({**msgspec.to_builtins(made), "held": held})
    return 0


def _told(made: "Review") -> list[str]:
    last = f"the last one was held on {made.last_held:%Y-%m-%d}" if made.last_held else "none was held before"
    lines = [f"Review of {made.since:%Y-%m-%d} to {made.until:%Y-%m-%d}; {last}."]
    for one in made.practices:
        lines += ["", one.source, *(f"  {line}" for line in _practice(one))]
    lines += ["", "Troubles of the quarter", *(f"  {one}" for one in made.troubles or ("none in the journal",))]
    lines += ["", "Checklist", *(f"  [{'x' if one.done else ' '}] {one.text}: {one.why}" for one in made.checklist)]
    return lines


def _practice(one: "Practice") -> list[str]:
    lines = [
        f"{task.name:<8} due {task.slots} times, ended well {task.well} times, ill {task.ill}" for task in one.tasks
    ]
    oldest = f", the oldest of {one.oldest:%Y-%m-%d}" if one.oldest else ""
    lines.append(f"backups  {one.backups} good ones, {one.proven} proven{oldest}")
    lines.append(f"growth   {render.size(one.first_size)} at the begin, {render.size(one.last_size)} now")
    if one.drill_times:
        fastest, middle, slowest = one.drill_times
        lines.append(
            f"drills   {len(one.drills)}: {fastest:.1f} s, {middle:.1f} s, {slowest:.1f} s (fastest, median, slowest)"
        )
    else:
        lines.append("drills   none")
    return [*lines, *(f"copies   {count} in {store}" for store, count in one.copies)]
