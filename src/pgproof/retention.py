"""Retention: which backups of one source may go, and why each of the others stays.

A pure function of what there is, the policy and the time. Order comes from the sequence, never from
the clock. Whatever the policy says, these stay: the newest backup that is not damaged, the last
proven ones, what is pinned, and everything while the newest backup or the clock looks wrong.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from statistics import median

from pgproof.errors import ConfigError
from pgproof.manifest import State
from pgproof.thresholds import USUAL, Thresholds

FUTURE = timedelta(days=1)
STANDSTILL = timedelta(days=60)
_ODD, _MANY_TIMES = timedelta(days=2), 8  # the usual gap: a week of holidays is in proportion to days
_SETTLING = timedelta(days=3)  # and so long at least, by the clock that may be wrong
SETTLED = 3  # after a leap of the clock, so many backups must follow before anything goes

_SPAN = re.compile(r"([0-9]{1,5})([hdwmy])")
_UNITS = {
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "m": timedelta(days=30),
    "y": timedelta(days=365),
}


@dataclass(frozen=True, slots=True)
class Policy:
    """What to keep: `keep_daily = 7` keeps the newest backup of each of the last 7 days that have one.

    `most` is the largest number of backups that one run deletes, of all sources and in all stores (None: any number).
    """

    keep_within: timedelta | None = None
    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    keep_proven: int = 2
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backup as retention and health see it; `rows` is None where the kind of backup counts none."""

    id: str
    sequence: int
    began: datetime
    state: State
    pinned: bool
    size: int
    rows: int | None
    kind: str = "logical"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a backup stays, and the reasons in words."""

    id: str
    keep: bool
    reasons: tuple[str, ...]


def decide(
    candidates: Iterable[Candidate], policy: Policy, now: datetime, limits: Thresholds = USUAL, *, gone: int = 0
) -> list[Verdict]:
    """The verdict on each backup of one source, newest first. The policy holds for each kind by itself: a daily
    logical backup does not take the place of a weekly one of the volume. `gone` backups this run has deleted before,
    of other sources or in other stores: they count for `most`. Raises ConfigError for an empty policy.
    """
    check(policy)
    ordered = newest_first(candidates)
    reasons: dict[str, list[str]] = {one.id: _own_reasons(one, policy, now) for one in ordered}
    for alike, rule in product(of_each_kind(ordered), (_guarded, _needed_though_damaged, _last, *_BUCKETS)):
        for id_, reason in rule(alike, policy):
            reasons[id_].append(reason)
    pause = [f"nothing is deleted at present: {reason}" for reason in pauses(ordered, now, limits)]
    _hold_back(ordered, policy.most, gone, reasons, pause)
    kept = {alike[0].kind: [one.sequence for one in alike if reasons[one.id]] for alike in of_each_kind(ordered)}
    return [_verdict(one, reasons[one.id], min(kept[one.kind], default=0)) for one in ordered]


def check(policy: Policy) -> None:
    """Refuse a policy that would leave nothing, or that is not meant. Raises ConfigError."""
    for name in (*_COUNTS, "most"):
        value = getattr(policy, name)
        if value is not None and value < 0:
            raise ConfigError(f"retention.{name} is {value}", hint="give 0 or more")
    if policy.keep_proven < 1:
        hint = "give 1 or more: the last proven backup is never deleted"
        raise ConfigError(f"retention.keep_proven is {policy.keep_proven}", hint=hint)
    if policy.keep_within is not None and policy.keep_within < timedelta(0):
        raise ConfigError("retention.keep_within is below zero", hint=_SPAN_HINT)
    if not policy.keep_within and not any(getattr(policy, name) for name in _COUNTS):
        raise ConfigError(
            "the retention policy keeps nothing",
            hint='set at least one of keep_within (such as "30d"), ' + ", ".join(_COUNTS),
        )


def newest_first(candidates: Iterable[Candidate]) -> list[Candidate]:
    """By sequence: a clock can be wrong, a sequence cannot."""
    return sorted(candidates, key=lambda one: (one.sequence, one.id), reverse=True)


def pauses(candidates: Iterable[Candidate], now: datetime, limits: Thresholds = USUAL) -> tuple[str, ...]:
    """Why nothing at all may be deleted at present; empty when deletion may go on."""
    ordered = newest_first(candidates)
    clock = from_the_future(ordered, now) or clock_leaps(ordered, now)
    damaged = any(alike[0].state == "damaged" for alike in of_each_kind(ordered))
    return (*clock, *(("the newest backup is damaged",) if damaged else ()), *suspicious(ordered, limits))


def of_each_kind(ordered: Sequence[Candidate]) -> list[list[Candidate]]:
    """The same candidates in the same order, those of each kind by themselves."""
    kinds = dict.fromkeys(one.kind for one in ordered)
    return [[one for one in ordered if one.kind == kind] for kind in kinds]


def from_the_future(candidates: Iterable[Candidate], now: datetime) -> tuple[str, ...]:
    """The newest backup that is said to have begun after the present: ages cannot be believed then."""
    ahead = [one for one in newest_first(candidates) if one.began > now + FUTURE]
    return tuple(
        f"{one.id} began {_days(one.began - now)} after the present time: the clock was or is wrong"
        for one in ahead[:1]
    )


def clock_leaps(candidates: Iterable[Candidate], now: datetime) -> tuple[str, ...]:
    """A gap among the last moments that is out of all proportion: a leap of the clock, or long silence.

    Either way ages say nothing yet about what is worth keeping: under a clock that is ten years ahead,
    "older than 30 days" is everything.
    """
    moments = [now, *(one.began for one in newest_first(candidates))]
    gaps = [later - earlier for later, earlier in pairwise(moments)]
    settling = max(SETTLED, 1 + sum(now - one < _SETTLING for one in moments[1:]))
    limit = _proportion([gap.total_seconds() for gap in gaps[settling:]])
    return tuple(
        f"{_days(gap)} lie between two of the last backups, or between the last one and now:"
        f" the clock may have leapt; deletion goes on {SETTLED} backups and {_days(_SETTLING)} later"
        for gap in [gap for gap in gaps[:settling] if gap > limit or gap < -FUTURE][:1]
    )


def _proportion(gaps: Sequence[float]) -> timedelta:
    """The longest gap that is none out of proportion to these, in seconds; two months where none are known."""
    if not gaps:
        return STANDSTILL
    usual = timedelta(seconds=median(gaps))
    return max(3 * usual, min(STANDSTILL, max(_ODD, _MANY_TIMES * usual)))


def suspicious(candidates: Iterable[Candidate], limits: Thresholds = USUAL) -> tuple[str, ...]:
    """What makes the newest backup of a kind unlike the ones before it, with the figures; empty when nothing does.

    Half and five times are far beyond a day's work; a change of codec or encryption stays inside them.
    """
    return tuple(text for alike in of_each_kind(newest_first(candidates)) for text in _suspicious(alike, limits))


def _suspicious(alike: Sequence[Candidate], limits: Thresholds) -> tuple[str, ...]:
    sound = [one for one in alike if one.state != "damaged"]
    if len(sound) < 2:
        return ()
    newest, earlier = sound[0], sound[1 : 1 + limits.look_back]
    rows = [one.rows for one in earlier if one.rows is not None]
    return (
        *_unlike(newest.size, [one.size for one in earlier], "bytes", limits, fewest=limits.enough),
        *_unlike(newest.rows, rows, "rows", limits, fewest=1),
    )


def parse_span(text: str) -> timedelta:
    """The span in "12h", "30d", "4w", "6m" (of 30 days) or "2y". Raises ConfigError."""
    match = _SPAN.fullmatch(text.strip())
    if not match:
        more = f'; did you mean "{text.strip()}d"?' if text.strip().isdigit() else ""
        raise ConfigError(f"{text!r} is not a span of time{more}", hint=_SPAN_HINT)
    return int(match[1]) * _UNITS[match[2]]


def span_words(span: timedelta) -> str:
    """The span in words: "30 days", "12 hours"."""
    hours = round(span / timedelta(hours=1))
    number, unit = (hours // 24, "day") if hours % 24 == 0 else (hours, "hour")
    return f"{number} {unit}" + ("" if number == 1 else "s")


_SPAN_HINT = 'write a number and a unit: "12h" (hours), "30d" (days), "4w" (weeks), "6m" (of 30 days), "2y"'
_COUNTS = ("keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly")

# -- what keeps one ---------------------------------------------------------------------------------


_Rule = Callable[[Sequence[Candidate], Policy], list[tuple[str, str]]]


def _own_reasons(one: Candidate, policy: Policy, now: datetime) -> list[str]:
    """The reasons in the backup itself; they hold for damaged ones too, which another copy may heal."""
    reasons = ["pinned"] if one.pinned else []
    # An age below zero is a clock's slip of less than a day: new, therefore within.
    if policy.keep_within and now - one.began <= policy.keep_within:
        reasons.append(f"within {span_words(policy.keep_within)}")
    return reasons


def _guarded(ordered: Sequence[Candidate], policy: Policy) -> list[tuple[str, str]]:
    """The last good backup and the last proven ones stay, whatever the policy."""
    sound = [one for one in ordered if one.state != "damaged"]
    proven = [one for one in sound if one.state == "proven"]
    found = [(one.id, _proven_words(behind)) for behind, one in enumerate(proven[: policy.keep_proven])]
    if not proven:
        words = f"one of the newest {policy.keep_proven}, as no backup is proven yet"
        found = [(one.id, words) for one in sound[: policy.keep_proven]]
    return [*found, *((one.id, "the newest backup that is not damaged") for one in sound[:1])]


def _proven_words(behind: int) -> str:
    if behind < 2:
        return "the last proven backup" + ("", " but one")[behind]
    return f"the last proven backup but {behind}"


def _needed_though_damaged(ordered: Sequence[Candidate], policy: Policy) -> list[tuple[str, str]]:
    """A damaged backup is better than none: it goes only once others can do without it."""
    damaged = [one for one in ordered if one.state == "damaged"]
    proven = sum(one.state == "proven" for one in ordered)
    if proven >= policy.keep_proven:
        return []
    if proven:
        return [(one.id, f"damaged, but kept until {policy.keep_proven} backups are proven") for one in damaged]
    newest_sound = max((one.sequence for one in ordered if one.state != "damaged"), default=-1)
    words = "damaged, but kept until a newer backup is good"
    return [(one.id, words) for one in damaged if one.sequence > newest_sound]


def _last(ordered: Sequence[Candidate], policy: Policy) -> list[tuple[str, str]]:
    reason = "the newest backup" if policy.keep_last == 1 else f"one of the newest {policy.keep_last}"
    return [(one.id, reason) for one in ordered if one.state != "damaged"][: policy.keep_last]


def _bucket(setting: str, name: str) -> _Rule:
    """The rule that keeps the newest of each hour, day...; `name` is strftime's for the bucket, in UTC."""

    def newest_of_each(ordered: Sequence[Candidate], policy: Policy) -> list[tuple[str, str]]:
        newest: dict[str, str] = {}
        for one in ordered:
            if one.state != "damaged":
                newest.setdefault(one.began.astimezone(UTC).strftime(name), one.id)
        return [(id_, f"newest of {label}") for label, id_ in newest.items()][: getattr(policy, setting)]

    return newest_of_each


_BUCKETS = (
    _bucket("keep_hourly", "%Y-%m-%d, hour %H"),
    _bucket("keep_daily", "%Y-%m-%d"),
    _bucket("keep_weekly", "week %G-W%V"),
    _bucket("keep_monthly", "%Y-%m"),
    _bucket("keep_yearly", "%Y"),
)

# -- what holds a deletion back ---------------------------------------------------------------------


def _hold_back(
    ordered: Sequence[Candidate], most: int | None, gone: int, reasons: dict[str, list[str]], pause: list[str]
) -> None:
    """Give those that would go a reason to stay: all of them in a pause, else the newest beyond what the `gone` have
    left of `most`.
    """
    going = [one for one in ordered if not reasons[one.id]]
    if not pause and most is not None:
        before = f", and has deleted {gone} of other sources or in other stores" if gone else ""
        pause = [f"for a later run: one run deletes at most {most}{before}"]
        going = going[: max(0, len(going) - max(0, most - gone))]
    for one in going:
        reasons[one.id].extend(pause)


def _verdict(one: Candidate, reasons: list[str], oldest_kept: int) -> Verdict:
    if reasons:
        return Verdict(one.id, keep=True, reasons=tuple(reasons))
    if one.state == "damaged":
        return Verdict(one.id, keep=False, reasons=("damaged, and good ones are there",))
    older = one.sequence < oldest_kept
    why = "older than anything the policy keeps" if older else "no rule of the policy keeps it"
    return Verdict(one.id, keep=False, reasons=(why,))


def _unlike(
    newest: int | None, earlier: Sequence[int], unit: str, limits: Thresholds, *, fewest: int
) -> tuple[str, ...]:
    if newest is None or len(earlier) < fewest:
        return ()
    usual = median(earlier)
    if newest < usual * limits.smaller:
        below = "half of" if limits.smaller == USUAL.smaller else f"{limits.smaller:g} times"
        return (f"the newest backup has {newest:,} {unit}, below {below} the usual {usual:,.0f}",)
    if len(earlier) >= limits.enough and usual and newest > usual * limits.larger:
        above = "five" if limits.larger == USUAL.larger else f"{limits.larger:g}"
        return (f"the newest backup has {newest:,} {unit}, above {above} times the usual {usual:,.0f}",)
    return ()


def _days(span: timedelta) -> str:
    return span_words(timedelta(days=abs(round(span / timedelta(days=1)))))
