"""Results as text for people and JSON for machines."""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

_COLOURS = {
    "ok": "32",
    "proven": "32",
    "intact": "36",
    "info": "36",
    "warning": "33",
    "critical": "31",
    "damaged": "31",
}


def size(count: float) -> str:
    """Bytes in decimal units, as disks and bills count."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def count(number: int, word: str) -> str:
    """A number and its word: 1 table, 2 tables, 1,600,000 rows."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def age(moment: datetime, now: datetime) -> str:
    return f"{span(now - moment)} ago"


def seconds(length: timedelta) -> str:
    """How long something took: tenths of a second while they matter."""
    total = length.total_seconds()
    return f"{total:.1f} s" if total < 60 else span(length)


def span(length: timedelta) -> str:
    """A length of time in its two largest units."""
    seconds = max(0, int(length.total_seconds()))
    for word, unit, below in (("d", 86400, 3600), ("h", 3600, 60), ("min", 60, 1)):
        if seconds >= unit:
            rest = seconds % unit // below
            name = {"d": "h", "h": "min", "min": "s"}[word]
            return f"{seconds // unit} {word} {rest} {name}" if rest else f"{seconds // unit} {word}"
    return f"{seconds} s"


def paint(word: str, *, stream: object = None) -> str:
    """The word in its colour, on a terminal only."""
    colour = _COLOURS.get(word)
    target = stream or sys.stdout
    return f"\033[{colour}m{word}\033[0m" if colour and _is_terminal(target) else word


def _is_terminal(stream: object) -> bool:
    check = getattr(stream, "isatty", None)
    return bool(check and check()) and not _no_colour()


def _no_colour() -> bool:
    import os

    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns under headings; numbers, which end in a unit or digit, are not lined up apart."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    made = []
    for number, line in enumerate(lines):
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        if number:
            cells = [
                c.replace(cell, paint(cell), 1) if cell in _COLOURS else c for c, cell in zip(cells, line, strict=True)
            ]
        made.append("  ".join(cells).rstrip())
    return "\n".join(made)


def as_json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def as_line(value: object) -> str:
    """JSON on one line, for logs."""
    return msgspec.json.encode(value).decode()


def moment(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
