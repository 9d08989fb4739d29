"""A digest: everything that is to be told at once, and the words in which it is told."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from pgproof.finding import GRAVITY, Level
from pgproof.retention import span_words

Kind = Literal["new", "changed", "flapping", "reminder", "recovered"]
NAMED = 20  # of more than so many events in a digest the rest is counted
KEPT = 1000  # events that one digest holds at most; of those beyond, the least grave, only the number is known
_ORDER: dict[Kind, int] = {"new": 0, "changed": 1, "flapping": 2, "reminder": 3, "recovered": 4}


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell of a finding; all moments in UTC. `since` is when it first occurred this time.

    `level` of one that recovered is what it was; `before` is the level from which one changed, the same where there is
    more of it; `times` is how often one that flaps has come or changed within the hour.
    """

    kind: Kind
    at: datetime
    level: Level
    source: str
    code: str
    text: str
    hint: str
    since: datetime
    before: str = ""
    times: int = 0

    @property
    def key(self) -> tuple[str, str]:
        return self.source, self.code


@dataclass(frozen=True, slots=True)
class Digest:
    """What is told at once. `more` events are not held; `open` findings stood when it was made, told or not.

    `held` digests before this one could not be sent, the first of them at `held_since`: it holds theirs too.
    """

    at: datetime
    events: tuple[Event, ...]
    open: int = 0
    more: int = 0
    held: int = 0
    held_since: datetime | None = None


def joined(older: Digest, newer: Digest) -> Digest:
    """Both in one, where the older could not be sent. Nothing is lost but reminders that are overtaken."""
    events, more = fitting((*older.events, *newer.events))
    more += older.more + newer.more
    since = older.held_since or older.at
    return replace(newer, events=events, more=more, held=older.held + 1, held_since=since)


def fitting(events: Iterable[Event]) -> tuple[tuple[Event, ...], int]:
    """The events that a digest holds, and how many it does not. A reminder goes where its finding has later news;
    of flapping the last is enough.
    """
    kept: dict[int, Event] = {}
    soft: dict[tuple[str, str], int] = {}  # of each finding the event that later ones may overtake
    for number, event in enumerate(events):
        before = soft.pop(event.key, None)
        if before is not None and _overtaken(kept[before], event):
            del kept[before]
        kept[number] = event
        if event.kind in ("reminder", "flapping"):
            soft[event.key] = number
    gravest_first = sorted(kept, key=lambda one: (kept[one].kind == "recovered", -GRAVITY[kept[one].level], -one))
    return tuple(kept[one] for one in sorted(gravest_first[:KEPT])), len(gravest_first[KEPT:])


def _overtaken(one: Event, by: Event) -> bool:
    return one.kind == "reminder" or one.kind == by.kind == "flapping"


def _standing(digest: Digest) -> dict[tuple[str, str], Event]:
    """The last event of each finding that is not over."""
    last = {event.key: event for event in digest.events}
    return {key: event for key, event in last.items() if event.kind != "recovered"}


def gravest(digest: Digest) -> Level:
    """The gravest level of what is not over; ok where all is."""
    levels = [event.level for event in _standing(digest).values()]
    return max(levels, key=lambda level: GRAVITY[level], default="ok")


def title(digest: Digest, host: str) -> str:
    """One short line: "pgproof on db1: 2 critical, 1 warning, 1 recovered"."""
    counts: dict[str, int] = {"critical": 0, "warning": 0, "recovered": 0}
    for event in digest.events:
        counts["recovered" if event.kind == "recovered" else event.level] += 1
    said = [f"{count} {word}" for word, count in counts.items() if count]
    if digest.more:
        said.append(f"{digest.more} more")
    return f"pgproof on {_line(host)}: {', '.join(said)}"


def body(digest: Digest, host: str, version: str) -> str:
    """Plain text: the gravest first, at most 20 named; then what is not named, and who says it."""
    ordered = sorted(digest.events, key=lambda one: (one.kind == "recovered", -GRAVITY[one.level], _ORDER[one.kind]))
    lines = [line for event in ordered[:NAMED] for line in (*_told(event, digest.at), "")]
    lines += _rest(ordered[NAMED:], digest)
    lines.append(f"{_moment(digest.at)}, pgproof {version} on {_line(host)}")
    return "\n".join(lines) + "\n"


def _told(event: Event, now: datetime) -> Iterator[str]:
    changed = f"was {event.before}" if event.before != event.level else "and more than before"
    heads: dict[Kind, str] = {
        "new": f"{event.level.upper()}",
        "changed": f"{event.level.upper()} ({changed})",
        "flapping": f"{event.level.upper()}, COMES AND GOES ({event.times} times within the hour)",
        "reminder": f"STILL {event.level.upper()}",
        "recovered": f"RECOVERED (was {event.level})",
    }
    text = _line(event.text).removeprefix(f"{event.source}: ")
    yield f"{heads[event.kind]}  {event.source or 'all'}: {text} [{event.code}]"
    if event.hint and event.kind != "recovered":
        yield f"  hint: {_line(event.hint)}"
    until = f" until {_moment(event.at)}" if event.kind == "recovered" else ""
    yield f"  since {_moment(event.since)}{until or _for(now - event.since)}"


def _rest(events: list[Event], digest: Digest) -> Iterator[str]:
    if count := len(events) + digest.more:
        yield f"And {count} more, not named here: run `pgproof status`."
    if digest.held:
        number = "1 digest" if digest.held == 1 else f"{digest.held} digests"
        since = _moment(digest.held_since or digest.at)
        yield f"{number} could not be sent since {since}; what they had to say is in this one."
    quiet = digest.open - len(_standing(digest))
    if quiet > 0 and not digest.more:
        known = "1 finding that was told before still stands" if quiet == 1 else f"{quiet} told before still stand"
        yield f"{known}: `pgproof status` shows all."


def _for(span: timedelta) -> str:
    """How long that is, from an hour on."""
    if span < timedelta(hours=1):
        return ""
    whole = timedelta(days=span.days) if span >= timedelta(days=2) else timedelta(hours=span // timedelta(hours=1))
    return f", {span_words(whole)}"


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"


def _line(text: str) -> str:
    """On one line: a text with line ends could look like another entry."""
    return " ".join(text.split())
