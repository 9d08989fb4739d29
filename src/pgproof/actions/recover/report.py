"""The incident report: a recovery's record as Markdown, and as one HTML page that needs nothing else."""

from datetime import datetime, timedelta
from html import escape

from pgproof.actions.recover.journal import Recovery

_TODO = (
    "verify functions: log in as a user, write and read something",
    "check consistency with other systems that have data from after the backup",
    "do again, or have done again, what was written between the backup and the switch",
    "document the cause, and who was told",
    "review the procedure: what took long, what was missing",
    "when all is well: `pgproof recover {argument} --forget` lets the old {thing} go",
)
Rows = tuple[tuple[str, str], ...]


def sections(one: Recovery, now: datetime) -> tuple[tuple[str, Rows], ...]:
    """The report as headings and pairs; no secret is in a record."""
    switched = next((step.ended for step in one.steps if step.name == "switch" and step.ended), None)
    until = switched or now
    checks = tuple((name, "true" if true else "NOT TRUE") for name, true in sorted(one.checks.items()))
    return (
        ("What happened", _what(one)),
        (
            "Data lost",
            (
                ("from", _moment(one.read_at)),
                ("until", _moment(until)),
                ("that is", _span(until - one.read_at)),
                ("what was written then", f"is in {one.aside}" if one.existed else f"is gone with the old {one.thing}"),
            ),
        ),
        (
            "Backup and comparisons",
            (
                ("backup", f"{one.backup} from the store {one.store}"),
                ("proof", one.proof or "none"),
                *_compared(one),
                *(("passed over", text) for text in one.reasons),
            ),
        ),
        ("Checks of the source", checks or (("none", "are configured"),)),
        ("Timeline", _timeline(one)),
        ("Against the targets", _targets(one, now)),
        ("To be said", tuple(("note", text) for text in one.notes) or (("nothing", "more"),)),
    )


def _compared(one: Recovery) -> Rows:
    tables = f"{one.tables:,} tables with {one.rows:,} rows"
    if one.kind == "volume":
        return (("tried out", f"{tables} read by a server of its own image, started on the files"),)
    return (
        ("restored", f"{tables}, counted against the snapshot"),
        ("compared", f"{one.compared:,} tables read back, digests equal"),
    )


def markdown(one: Recovery, now: datetime) -> str:
    lines = [f"# Incident report: {one.argument}, {_moment(one.began)}", ""]
    for head, pairs in sections(one, now):
        lines += [f"## {head}", "", "| | |", "|---|---|"]
        lines += [f"| {_cell(left)} | {_cell(right)} |" for left, right in pairs]
        lines.append("")
    lines += ["## What remains to do", "", *(f"- [ ] {text}" for text in _todo(one))]
    return "\n".join(lines) + "\n"


def _todo(one: Recovery) -> tuple[str, ...]:
    return tuple(text.format(argument=one.argument, thing=one.thing) for text in _TODO)


def html(one: Recovery, now: datetime) -> str:
    title = escape(f"Incident report: {one.argument}, {_moment(one.began)}")
    body = "".join(
        f"<h2>{escape(head)}</h2><table>"
        + "".join(f"<tr><th>{escape(left)}</th><td>{escape(right)}</td></tr>" for left, right in pairs)
        + "</table>"
        for head, pairs in sections(one, now)
    )
    todo = "".join(f"<li>&#9744; {escape(text)}</li>" for text in _todo(one))
    style = "body{font:16px sans-serif;max-width:60em;margin:2em auto}th{text-align:left;padding-right:2em}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{style}</style>'
        f"<h1>{title}</h1>{body}<h2>What remains to do</h2><ul>{todo}</ul></html>\n"
    )


def _what(one: Recovery) -> Rows:
    return (
        ("state", one.state),
        (one.thing, f"{one.database} on {one.server} (server {one.system_identifier or 'without identifier'})"),
        ("by", f"{one.who} on {one.machine}"),
        ("plan", one.plan),
        (f"old {one.thing}", one.aside if one.existed else "there was none"),
    )


def _timeline(one: Recovery) -> Rows:
    begun: Rows = ((_moment(one.began), "recovery asked for"),)
    planned: Rows = ((_moment(one.planned), "plan agreed to"),) if one.planned else ()
    return (*begun, *planned, *((_moment(step.began), _done(step.name, step.began, step.ended)) for step in one.steps))


def _done(name: str, began: datetime, ended: datetime | None) -> str:
    return f"{name}: {(ended - began).total_seconds():.1f} s" if ended else f"{name}: not ended"


def _targets(one: Recovery, now: datetime) -> Rows:
    plan = (one.planned or one.began) - one.began
    took, target = _span(timedelta(seconds=one.seconds)), _span(timedelta(seconds=one.target_seconds))
    return (
        ("from the command to the plan", f"{_span(plan)} (target: within 1 hour of detection)"),
        ("from the command to the end", f"{took} (target: 1 to 4 hours; configured: {target})"),
        ("of it services were down", _span(timedelta(seconds=one.downtime))),
        ("checks of people", f"until {_moment(now + timedelta(hours=24))} (target: within 24 hours)"),
    )


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def _span(length: timedelta) -> str:
    seconds = max(0.0, length.total_seconds())
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} minutes"


def _cell(text: str) -> str:
    """Within one cell of a table, and nothing that Markdown or HTML would read."""
    flat = " ".join(text.split())
    for mark in ("\\", "|", "<", "`", "*", "_", "["):
        flat = flat.replace(mark, f"&#{ord(mark)};" if mark == "<" else f"\\{mark}")
    return flat
