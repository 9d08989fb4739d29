"""Schedules: slots against a clock that is read minute by minute, and a year of a service's life.

The oracle below knows nothing of the code: it reads the wall clock of a zone at every minute that passes,
as somebody would who stands before it with the cron line in his hand.
"""

import itertools
import random
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgproof.errors import ConfigError
from pgproof.schedule import (
    Decision,
    Memory,
    Plan,
    cut_off,
    describe,
    due,
    ended,
    late_after,
    latest_slot,
    longest_gap,
    missing_from,
    moment_words,
    next_slot,
    next_wake,
    parse_cron,
    parse_zone,
    slots,
)
from tests.sweeps import spread

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

# -- the oracle ---------------------------------------------------------------------------------------

WEEK = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
NAMES = {name: number for number, name in [*enumerate(WEEK), *enumerate(MONTHS, 1)]}
ALIASES = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}  # fmt: skip


def accepted(text: str, least: int, most: int) -> set[int]:
    found = set()
    for piece in text.split(","):
        body, _, step = piece.partition("/")
        low, _, high = body.replace("*", f"{least}-{most}").partition("-")
        top = int(high or (most if step else low))
        found |= {number for number in range(int(low), top + 1) if (number - int(low)) % int(step or 1) == 0}
    return found


def matcher(text: str) -> tuple[Callable[[datetime], bool], bool]:
    """Whether a reading of the clock is one of the line's, and whether it is a line for every hour."""
    words = ALIASES.get(text, text).lower()
    for name, number in NAMES.items():
        words = words.replace(name, str(number))
    fields = words.split()
    limits = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
    minutes, hours, days, months, weekdays = (accepted(one, *limit) for one, limit in zip(fields, limits, strict=True))
    weekdays = {number % 7 for number in weekdays}
    starred = fields[2].startswith("*") or fields[4].startswith("*")

    def matches(wall: datetime) -> bool:
        if wall.minute not in minutes or wall.hour not in hours or wall.month not in months:
            return False
        day, weekday = wall.day in days, (wall.weekday() + 1) % 7 in weekdays
        return (day and weekday) if starred else (day or weekday)

    return matches, hours == set(range(24))


@lru_cache(maxsize=16)
def readings(zone: str, begin: datetime, days: int) -> list[tuple[datetime, datetime]]:
    """Each minute that passes, and what the clock shows."""
    here = ZoneInfo(zone)
    passing = [begin + MINUTE * number for number in range(days * 1440)]
    return [(moment, moment.astimezone(here).replace(tzinfo=None)) for moment in passing]


def walk(text: str, seen: list[tuple[datetime, datetime]]) -> Iterator[datetime]:
    """The slots among these minutes, but for the first."""
    matches, every_hour = matcher(text)
    latest = seen[0][1]
    for moment, wall in seen[1:]:
        if every_hour:
            if matches(wall):
                yield moment
            continue
        fresh = False
        while latest < wall:  # one minute, none in the repeated hour, and all of those left out after a gap
            latest += MINUTE
            fresh = fresh or matches(latest)
        if fresh:
            yield moment


# -- slots --------------------------------------------------------------------------------------------

EDGES = [
    ("Europe/Berlin", datetime(2026, 3, 29, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 2, 18, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 11, 4, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2026, 4, 24, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2026, 10, 30, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, tzinfo=UTC)),
    ("America/St_Johns", datetime(2010, 11, 7, tzinfo=UTC)),  # 00:01 is followed by 23:01 of the day before
    ("Pacific/Kwajalein", datetime(1993, 8, 21, tzinfo=UTC)),  # leaves out a day
    ("Africa/Casablanca", datetime(2026, 2, 15, tzinfo=UTC)),  # winter time for Ramadan
    ("Antarctica/Troll", datetime(2026, 3, 29, tzinfo=UTC)),  # two hours
    ("Asia/Kathmandu", datetime(2026, 7, 1, tzinfo=UTC)),
    ("UTC", datetime(2026, 3, 1, tzinfo=UTC)),
]  # fmt: skip


def field_of(least: int, most: int) -> st.SearchStrategy[str]:
    number = st.integers(least, most)
    pair = st.tuples(number, number).map(sorted).map(lambda two: f"{two[0]}-{two[1]}")
    step = st.tuples(st.one_of(st.just("*"), pair, number.map(str)), st.integers(1, 20)).map(
        lambda two: f"{two[0]}/{two[1]}"
    )
    return st.lists(st.one_of(number.map(str), pair, step), min_size=1, max_size=3).map(",".join)


HOURS = st.one_of(st.just("*"), st.sampled_from(["0", "1", "2", "3", "23", "1-3", "0,2", "*/2"]), field_of(0, 23))
DAYS = st.one_of(st.just("*"), st.just("*"), field_of(1, 31))
WEEKDAYS = st.one_of(st.just("*"), st.just("*"), st.sampled_from(["sun", "mon-fri", "sat,7"]), field_of(0, 7))
CRONS = st.tuples(field_of(0, 59), HOURS, DAYS, st.just("*"), WEEKDAYS).map(" ".join)


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(CRONS, st.sampled_from(EDGES), st.integers(0, 4 * 86_400), st.integers(0, 2 * 86_400))
def test_b16_slots_are_those_of_somebody_who_reads_the_clock_every_minute(text, edge, begin, length) -> None:
    zone, day = edge
    after = day - 2 * DAY + timedelta(seconds=begin)
    until = after + timedelta(seconds=length)
    expected = [moment for moment in walk(text, readings(zone, day - 4 * DAY, 10)) if after < moment <= until]
    cron, here = parse_cron(text), parse_zone(zone)
    assert list(slots(cron, here, after, until)) == expected
    assert latest_slot(cron, here, after, until) == (expected[-1] if expected else None)
    assert not expected or next_slot(cron, here, after) == expected[0]


def local(zone: str, text: str, begin: str, end: str) -> list[str]:
    """The slots from a local day to another, as the zone's clock shows them, with its offset."""
    here = ZoneInfo(zone)
    after = datetime.fromisoformat(begin).replace(tzinfo=here).astimezone(UTC) - MINUTE
    until = datetime.fromisoformat(end).replace(tzinfo=here).astimezone(UTC) - MINUTE
    return [f"{one.astimezone(here):%d %H:%M %z}" for one in slots(parse_cron(text), here, after, until)]


@pytest.mark.parametrize(
    ("zone", "text", "begin", "end", "expected"),
    [
        # The gap of spring, 02:00 to 03:00: once, when it ends.
        ("Europe/Berlin", "30 2 * * *", "2026-03-28", "2026-03-31",
         ["28 02:30 +0100", "29 03:00 +0200", "30 02:30 +0200"]),
        ("Europe/Berlin", "*/10 2 * * *", "2026-03-29", "2026-03-30", ["29 03:00 +0200"]),
        ("Europe/Berlin", "0 2,3 * * *", "2026-03-29", "2026-03-30", ["29 03:00 +0200"]),
        ("Europe/Berlin", "30 1-3 * * *", "2026-03-29", "2026-03-30",
         ["29 01:30 +0100", "29 03:00 +0200", "29 03:30 +0200"]),
        ("Europe/Berlin", "30 2 29 3 *", "2026-01-01", "2027-01-01", ["29 03:00 +0200"]),
        # The double hour of autumn, 02:00 to 03:00: once, the first time.
        ("Europe/Berlin", "30 2 * * *", "2026-10-24", "2026-10-27",
         ["24 02:30 +0200", "25 02:30 +0200", "26 02:30 +0100"]),
        ("Europe/Berlin", "0 3 * * *", "2026-10-25", "2026-10-26", ["25 03:00 +0100"]),
        ("Europe/Berlin", "0 2-4/2 * * *", "2026-10-25", "2026-10-26", ["25 02:00 +0200", "25 04:00 +0100"]),
        # Every hour: once in each hour that passes.
        ("Europe/Berlin", "15 * 25 10 *", "2026-10-25", "2026-10-25T05:00",
         ["25 00:15 +0200", "25 01:15 +0200", "25 02:15 +0200", "25 02:15 +0100", "25 03:15 +0100", "25 04:15 +0100"]),
        ("Europe/Berlin", "15 * * * *", "2026-03-29", "2026-03-29T05:00",
         ["29 00:15 +0100", "29 01:15 +0100", "29 03:15 +0200", "29 04:15 +0200"]),
        # Half an hour: 02:00 becomes 02:30 in spring and 01:30 in autumn.
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03", "2026-10-06",
         ["03 02:15 +1030", "04 02:30 +1100", "05 02:15 +1100"]),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04", "2026-04-07",
         ["04 01:45 +1100", "05 01:45 +1100", "06 01:45 +1030"]),
        ("Australia/Lord_Howe", "45 * * * *", "2026-04-05", "2026-04-05T03:00",
         ["05 00:45 +1100", "05 01:45 +1100", "05 01:45 +1030", "05 02:45 +1030"]),
        # Midnight itself is left out, or is reached only after 23:00 has come twice.
        ("America/Sao_Paulo", "@daily", "2018-11-03", "2018-11-06",
         ["03 00:00 -0300", "04 01:00 -0200", "05 00:00 -0200"]),
        ("America/Sao_Paulo", "30 23 * * *", "2018-02-16", "2018-02-19",
         ["16 23:30 -0200", "17 23:30 -0200", "18 23:30 -0300"]),
        ("America/Sao_Paulo", "30 * 17 2 *", "2018-02-17T22:00", "2018-02-19",
         ["17 22:30 -0200", "17 23:30 -0200", "17 23:30 -0300"]),
        ("America/Sao_Paulo", "@midnight", "2018-02-17", "2018-02-20",
         ["17 00:00 -0200", "18 00:00 -0300", "19 00:00 -0300"]),
        ("Africa/Cairo", "15 0 * * *", "2026-04-23", "2026-04-26",
         ["23 00:15 +0200", "24 01:00 +0300", "25 00:15 +0300"]),
        ("Africa/Cairo", "30 23 * * *", "2026-10-29", "2026-10-31", ["29 23:30 +0300", "30 23:30 +0200"]),
        ("America/St_Johns", "@daily", "2010-11-06", "2010-11-09",
         ["06 00:00 -0230", "07 00:00 -0230", "08 00:00 -0330"]),
        # A whole day is left out: what falls on it is due when the next one begins.
        ("Pacific/Apia", "0 2 * * *", "2011-12-29", "2012-01-01",
         ["29 02:00 -1000", "31 00:00 +1400", "31 02:00 +1400"]),
        ("Pacific/Apia", "@daily", "2011-12-29", "2012-01-01", ["29 00:00 -1000", "31 00:00 +1400"]),
        ("Pacific/Apia", "0 4 30 * *", "2011-12-01", "2012-02-01", ["31 00:00 +1400", "30 04:00 +1400"]),
        ("Pacific/Apia", "0 * 30 * *", "2011-12-01", "2012-01-01", []),
        ("UTC", "30 2 * * *", "2026-03-28", "2026-03-31", ["28 02:30 +0000", "29 02:30 +0000", "30 02:30 +0000"]),
        # Aliases and names.
        ("UTC", "@hourly", "2026-03-28", "2026-03-28T03:00", ["28 00:00 +0000", "28 01:00 +0000", "28 02:00 +0000"]),
        ("UTC", "@weekly", "2026-03-01", "2026-03-15", ["01 00:00 +0000", "08 00:00 +0000"]),
        ("UTC", "@monthly", "2026-03-01", "2026-05-01", ["01 00:00 +0000", "01 00:00 +0000"]),
        ("UTC", "@yearly", "2026-01-02", "2027-01-02", ["01 00:00 +0000"]),
        ("UTC", "@annually", "2026-01-02", "2027-01-02", ["01 00:00 +0000"]),
        ("UTC", "0 4 * mar-apr Sat", "2026-02-01", "2026-03-15", ["07 04:00 +0000", "14 04:00 +0000"]),
    ],
)  # fmt: skip
def test_b16_each_slot_comes_once_where_the_clock_is_changed(zone, text, begin, end, expected) -> None:
    assert local(zone, text, begin, end) == expected


def test_b16_within_the_double_hour_nothing_comes_again() -> None:
    here, cron = ZoneInfo("Europe/Berlin"), parse_cron("45 2 * * *")
    second_half_past_two = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert next_slot(cron, here, second_half_past_two) == datetime(2026, 10, 26, 1, 45, tzinfo=UTC)


def test_a_rare_slot_is_found_at_once() -> None:
    here = ZoneInfo("Europe/Berlin")
    begin = time.perf_counter()
    assert next_slot(parse_cron("0 0 29 2 *"), here, datetime(2096, 3, 1, tzinfo=UTC)).year == 2104
    assert time.perf_counter() - begin < 0.2  # on an idle machine 0.02 s
    assert next_slot(parse_cron("0 0 29 2 */7"), here, datetime(2088, 3, 1, tzinfo=UTC)).year == 2128


def test_zones_are_those_of_the_machine_or_refused() -> None:
    assert parse_zone("UTC") is UTC
    assert str(parse_zone("Europe/Berlin")) == "Europe/Berlin"
    for name in ("", "America", "../etc/passwd", "/etc/passwd", "a\0b", "Europe/Berlim", "x" * 5000, "ä"):
        with pytest.raises(ConfigError) as caught:
            parse_zone(name)
        assert caught.value.hint


def test_moments_are_told_as_the_zone_reads_them() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert moment_words(datetime(2026, 11, 26, 1, tzinfo=UTC), berlin) == "2026-11-26 02:00 Europe/Berlin"
    assert moment_words(datetime(2026, 10, 25, 1, tzinfo=UTC), berlin) == "2026-10-25 02:00 (+0100) Europe/Berlin"
    assert moment_words(datetime(2026, 11, 26, 2, tzinfo=UTC), UTC) == "2026-11-26 02:00 UTC"


# -- what to do now -----------------------------------------------------------------------------------

BERLIN = ZoneInfo("Europe/Berlin")
TEN_YEARS = timedelta(days=3653)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def plan(
    text: str = "0 2 * * *", task: str = "backup", *, source: str = "keycloak", zone=UTC, jitter: float = 0
) -> Plan:
    return Plan(task, source, parse_cron(text), zone, timedelta(minutes=jitter))


class Service:
    """What the service will do with decisions: keep the memories, then act."""

    def __init__(self, *plans: Plan, since: str = "2026-03-01T12:00", seed: str = "host") -> None:
        self.plans, self.seed = plans, seed
        self.state = {one.key: Memory(at(since)) for one in plans}

    def ask(self, moment: str | datetime) -> list[Decision]:
        now = at(moment) if isinstance(moment, str) else moment
        decisions = due(self.plans, self.state, now, self.seed)
        self.state |= {one.plan.key: one.memory for one in decisions}
        return decisions

    def told(self, moment: str | datetime) -> list[tuple[str, str, str]]:
        return [(one.plan.task, one.verdict, f"{one.slot:%m-%d %H:%M}") for one in self.ask(moment)]

    def end(self, task: str = "backup", source: str = "keycloak") -> None:
        self.state[task, source] = ended(self.state[task, source])

    def wake(self, moment: str | datetime) -> datetime:
        return next_wake(self.plans, self.state, at(moment) if isinstance(moment, str) else moment)


def test_a_slot_runs_once_at_its_time() -> None:
    service = Service(plan())
    assert service.wake("2026-03-01T12:00") == at("2026-03-02T02:00")
    assert service.told("2026-03-02T01:59:59.999999") == []
    decision = service.ask("2026-03-02T02:00")[0]
    assert (decision.verdict, decision.slot, decision.late) == ("run", at("2026-03-02T02:00"), timedelta(0))
    assert decision.reasons == ("due at 2026-03-02 02:00 UTC",)
    assert service.told("2026-03-02T02:00") == service.told("2026-03-02T02:01") == []
    service.end()
    assert service.told("2026-03-02T03:00") == []
    assert service.wake("2026-03-02T03:00") == at("2026-03-03T02:00")


def test_a_new_plan_begins_now_and_catches_nothing_up() -> None:
    service = Service(plan())
    service.state = {}
    assert service.wake("2026-03-01T12:00") == at("2026-03-01T12:00")
    decision = service.ask("2026-03-01T12:00")[0]
    assert (decision.verdict, decision.slot) == ("wait", at("2026-03-02T02:00"))
    assert decision.reasons == ("the first is due at 2026-03-02 02:00 UTC",)
    assert service.told("2026-03-01T12:01") == []
    assert service.told("2026-03-02T02:00") == [("backup", "run", "03-02 02:00")]


def test_b17_any_number_of_missed_slots_is_caught_up_once() -> None:
    service = Service(plan(zone=BERLIN))
    decision = service.ask("2026-03-06T09:30")[0]
    assert (decision.verdict, decision.slot) == ("run", at("2026-03-06T01:00"))
    assert decision.late == timedelta(hours=8, minutes=30)
    assert decision.reasons == (
        "due at 2026-03-06 02:00 Europe/Berlin",
        "8:30:00 late",
        "5 slots have passed since 2026-03-01 13:00 Europe/Berlin: one stands for all",
    )
    service.end()
    assert service.told("2026-03-06T09:31") == []
    assert service.wake("2026-03-06T09:31") == at("2026-03-07T01:00")


def test_a_run_that_was_cut_off_is_run_again_once_and_not_at_each_start() -> None:
    service = Service(plan(jitter=10))
    key = ("backup", "keycloak")
    assert service.told("2026-03-02T02:00") == [("backup", "run", "03-02 02:00")]
    service.state[key] = cut_off(service.state[key])
    for _ in range(3):  # starts that do not come as far as a run
        service.state[key] = cut_off(service.state[key])
    assert service.told("2026-03-02T02:01") == [("backup", "run", "03-02 02:00")]
    service.state[key] = cut_off(service.state[key])
    assert service.told("2026-03-02T02:02") == []
    assert service.told("2026-03-03T02:00") == [("backup", "run", "03-03 02:00")]
    service.end()
    assert service.told("2026-03-04T02:00") == [("backup", "run", "03-04 02:00")]
    service.state[key] = cut_off(service.state[key])
    assert service.told("2026-03-05T02:00") == [("backup", "run", "03-05 02:00")], "which stands for both"


def test_b17_what_was_missed_is_held_back_differently_on_each_host_and_always_the_same_on_one() -> None:
    begun = {}
    for host in map(str, range(40)):
        service = Service(plan(jitter=30), seed=host)
        assert service.told("2026-03-06T09:30")[0][1] in {"wait", "run"}
        moment = (
            service.wake("2026-03-06T09:30")
            if not service.state["backup", "keycloak"].running
            else at("2026-03-06T09:30")
        )
        assert at("2026-03-06T09:30") <= moment <= at("2026-03-06T10:00")
        assert service.told(moment - timedelta(seconds=1)) in ([], [("backup", "wait", "03-06 02:00")])
        begun[host] = moment
        assert service.told(moment) in ([], [("backup", "run", "03-06 02:00")])
        assert service.state["backup", "keycloak"].running
        again = Service(plan(jitter=30), seed=host)
        again.ask("2026-03-06T09:30")
        assert again.state["backup", "keycloak"].held in (moment, None)
    assert len(set(begun.values())) > 30
    assert max(begun.values()) - min(begun.values()) > timedelta(minutes=20)


def test_b17_what_one_host_has_missed_of_many_sources_does_not_begin_at_once() -> None:
    service = Service(*(plan(source=f"source{number}", jitter=30) for number in range(20)))
    service.ask("2026-03-06T09:30")
    assert len({memory.held for memory in service.state.values()}) > 15


def test_b17_a_slot_in_time_is_not_held_back_and_stands_for_one_that_is() -> None:
    service = Service(plan("0 2,10 * * *", jitter=600))
    assert service.told("2026-03-06T09:59") == [("backup", "wait", "03-06 02:00")]
    assert service.told("2026-03-06T10:00") == [("backup", "run", "03-06 10:00")]
    service.end()
    assert service.told("2026-03-06T20:00") == []


def test_b18_a_slot_that_comes_while_its_run_goes_on_is_skipped_and_counted() -> None:
    service = Service(plan("0 * * * *"))
    assert service.told("2026-03-01T13:00") == [("backup", "run", "03-01 13:00")]
    assert service.wake("2026-03-01T13:00") == at("2026-03-01T14:00")
    first, second = service.ask("2026-03-01T14:00")[0], service.ask("2026-03-01T15:00")[0]
    assert (first.verdict, first.memory.skips, second.memory.skips) == ("skip", 1, 2)
    assert first.reasons[1:] == ("the run that began at 2026-03-01 13:00 UTC is still going on",)
    assert second.reasons[-1] == "2 slots skipped in a row"
    service.end()
    assert service.told("2026-03-01T15:30") == []
    assert service.told("2026-03-01T16:00") == [("backup", "run", "03-01 16:00")]
    assert service.state["backup", "keycloak"].skips == 0
    assert service.state["backup", "keycloak"].before == 2, "of the run before"


def test_b18_behind_another_task_of_its_source_a_slot_waits_its_turn() -> None:
    service = Service(plan(), plan(task="copy"), plan(source="other"))
    assert service.told("2026-03-02T02:00") == [
        ("backup", "run", "03-02 02:00"), ("copy", "wait", "03-02 02:00"), ("backup", "run", "03-02 02:00"),
    ]  # fmt: skip
    assert service.wake("2026-03-02T02:00") == at("2026-03-03T02:00")
    decision = service.ask("2026-03-02T06:00")[0]
    assert decision.reasons == (
        "due at 2026-03-02 02:00 UTC",
        "4:00:00 late",
        "waits until backup of keycloak has ended",
    )
    service.end()
    assert service.wake("2026-03-02T06:10") == at("2026-03-02T06:10")
    assert service.told("2026-03-02T06:10") == [("copy", "run", "03-02 02:00")]
    service.end("copy")
    assert service.told("2026-03-02T07:00") == []


def test_b18_slots_that_pile_up_behind_another_task_are_skipped_and_counted_but_for_the_last() -> None:
    service = Service(plan("0 13 * * *", task="prove"), plan("0 * * * *", jitter=600))
    assert service.told("2026-03-01T13:00") == [("prove", "run", "03-01 13:00"), ("backup", "wait", "03-01 13:00")]
    for hour in (14, 15):
        assert service.told(f"2026-03-01T{hour}:00") == [("backup", "wait", f"03-01 {hour}:00")]
        assert service.told(f"2026-03-01T{hour}:30") == [("backup", "wait", f"03-01 {hour}:00")]
    assert service.state["backup", "keycloak"].skips == 2
    assert service.ask("2026-03-01T15:40")[0].reasons[-1] == "waits until prove of keycloak has ended"
    service.end("prove")
    assert service.told("2026-03-01T15:45") == [("backup", "run", "03-01 15:00")]
    assert service.state["backup", "keycloak"].skips == 0


def test_b18_what_was_missed_by_night_is_no_skip_when_it_queues_in_the_morning() -> None:
    service = Service(plan(), plan("0 * * * *", task="copy"))
    assert [one[1] for one in service.told("2026-03-06T09:30")] == ["run", "wait"]
    assert [one[1] for one in service.told("2026-03-06T09:40")] == ["wait"]
    assert service.state["copy", "keycloak"].skips == 0


def test_b15_a_clock_set_back_runs_no_slot_twice() -> None:
    service = Service(plan("0 * * * *"))
    for hour in range(13, 19):
        assert service.told(f"2026-03-01T{hour}:00") == [("backup", "run", f"03-01 {hour}:00")]
        service.end()
    for hour in (16, 17, 18):  # at 18:30 the clock is set back by two hours
        assert service.told(f"2026-03-01T{hour}:45") == []
    assert service.wake("2026-03-01T16:30") == at("2026-03-01T19:00")
    assert service.told("2026-03-01T19:00") == [("backup", "run", "03-01 19:00")]


@pytest.mark.parametrize("text", ["* * * * *", "0 * * * *", "0 2 * * *", "0 4 1 * *", "0 0 29 2 *"])
def test_b15_a_clock_that_leaps_ten_years_runs_once_and_its_return_silences_nothing(text) -> None:
    service = Service(plan(text, jitter=5), since="2026-03-01T12:00")
    ahead = at("2026-03-01T12:00:30") + TEN_YEARS
    begin = time.perf_counter()
    ran = [one for second in range(0, 600, 10) for one in service.ask(ahead + timedelta(seconds=second))]
    assert time.perf_counter() - begin < 10
    assert [one.verdict for one in ran].count("run") == 1
    service.end()
    back = "2026-03-01T12:11:10"
    assert service.wake(back) == at(back)
    (decision,) = service.ask(back)
    coming = next_slot(parse_cron(text), UTC, at(back))
    assert (decision.verdict, decision.slot) == ("wait", coming)
    assert decision.reasons[0].endswith("in the future: the clock was or is wrong")
    assert service.ask(back) == []
    assert service.wake(back) == coming
    assert [(one.verdict, one.slot) for one in service.ask(coming)] == [("run", coming)]


def test_b15_a_memory_that_began_in_the_future_begins_again() -> None:
    service = Service(plan(), since="2036-03-01T12:00")
    assert service.told("2026-03-01T12:00") == [("backup", "wait", "03-02 02:00")]
    assert service.told("2026-03-02T02:00") == [("backup", "run", "03-02 02:00")]


def test_b15_a_leap_during_a_run_starts_no_second_one() -> None:
    service = Service(plan("0 * * * *"))
    service.ask("2026-03-01T13:00")
    assert [one.verdict for one in service.ask(at("2026-03-01T13:30") + TEN_YEARS)] == ["skip"]
    assert [one.verdict for one in service.ask("2026-03-01T13:31")] == ["wait"]
    assert [one.verdict for one in service.ask("2026-03-01T14:00")] == ["skip"]
    service.end()
    assert [one.verdict for one in service.ask("2026-03-01T15:00")] == ["run"]


def test_b15_what_a_wrong_clock_held_back_is_held_back_anew() -> None:
    service = Service(plan(jitter=600), seed="4")
    service.ask("2026-03-06T09:30")
    memory = service.state["backup", "keycloak"]
    assert memory.held
    service.state["backup", "keycloak"] = replace(memory, held=memory.held + timedelta(days=300))
    assert service.ask("2026-03-06T09:30")[0].memory == memory


def test_a_plan_is_described_for_people() -> None:
    here, service = plan(zone=BERLIN, jitter=600), Service(plan(zone=BERLIN, jitter=600))
    now = at("2026-11-25T12:00")
    memory = Memory(now)
    assert describe(here, memory, now) == "next backup of keycloak at 2026-11-26 02:00 Europe/Berlin"
    assert describe(here, replace(memory, since=at("2026-11-24T12:00")), now) == (
        "backup of keycloak of 2026-11-25 02:00 Europe/Berlin is still to run;"
        " next backup of keycloak at 2026-11-26 02:00 Europe/Berlin"
    )
    assert describe(here, replace(memory, handled=at("2026-11-25T01:00"), running=at("2026-11-25T01:00")), now) == (
        "backup of keycloak has been running since 2026-11-25 02:00 Europe/Berlin;"
        " next backup of keycloak at 2026-11-26 02:00 Europe/Berlin"
    )
    assert describe(here, Memory(now, handled=now + TEN_YEARS), now).endswith("2026-11-26 02:00 Europe/Berlin")
    assert service.wake(now) <= now


def test_without_plans_there_is_nothing_to_wake_for_within_a_day() -> None:
    assert next_wake([], {}, at("2026-03-01T12:00")) == at("2026-03-02T12:00")


@pytest.mark.parametrize(
    ("text", "jitter", "late", "last", "missing"),
    [
        ("0 2 * * *", 0, HOUR, "2026-03-02T02:00", "2026-03-03T08:00"),
        ("0 2 * * *", 30, 1.5 * HOUR, "2026-03-02T09:30", "2026-03-03T08:30"),
        ("0 * * * *", 0, 15 * MINUTE, "2026-03-02T02:00", "2026-03-02T03:15"),
        ("* * * * *", 0, 2 * MINUTE, "2026-03-02T02:00", "2026-03-02T02:01:15"),
        ("0 4 * * sun", 0, HOUR, "2026-03-01T04:00", "2026-03-09T22:00"),
    ],
)
def test_late_and_missing_are_a_quarter_of_the_longest_gap(text, jitter, late, last, missing) -> None:
    one = plan(text, jitter=jitter)
    assert late_after(one) == late
    assert missing_from(one, at(last)) == at(missing)


def test_b16_the_longer_night_of_autumn_makes_nothing_missing() -> None:
    one = plan("0 */2 * * *", zone=BERLIN)
    last = at("2026-10-25T00:00")  # 02:00, the first time; 04:00 is three hours later
    assert missing_from(one, last) == at("2026-10-25T03:30") > last + longest_gap(one.cron) * 1.25


# -- a year in the life of a service ------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """A time in which the host is off, or its clock is wrong by `shift`."""

    begin: datetime
    end: datetime
    shift: timedelta | None = None


@dataclass(frozen=True)
class Step:
    """What a decision stood for: the slots later than `after`, up to `until`; when, by the true time and the clock."""

    true: datetime
    now: datetime
    after: datetime
    until: datetime
    decision: Decision


@dataclass(frozen=True)
class Run:
    """When a plan's task was at work, by the true time."""

    plan: Plan
    begin: datetime
    end: datetime


@dataclass
class Life:
    """A host with a service on it: it sleeps until it should ask, is switched off, and its clock is set wrongly."""

    plans: list[Plan]
    begin: datetime
    end: datetime
    spans: list[Span]
    rng: random.Random
    state: dict[tuple[str, str], Memory] = field(default_factory=dict)
    ends: dict[tuple[str, str], datetime] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    asked: int = 0

    def span(self, true: datetime) -> Span | None:
        return next((one for one in self.spans if one.begin <= true < one.end), None)

    def live(self) -> None:
        true = self.begin
        while true < self.end:
            span = self.span(true)
            if span and span.shift is None:
                self.cut(true)
                true = span.end
                span = self.span(true)
            shift = (span.shift if span else None) or timedelta(0)
            for key in [key for key, end in self.ends.items() if end <= true]:
                del self.ends[key]
                self.state[key] = ended(self.state[key])
            self.ask(true, true + shift)
            wake = next_wake(self.plans, self.state, true + shift)
            assert wake > true + shift, "the service would ask without pause"
            edges = [moment for one in self.spans for moment in (one.begin, one.end) if moment > true]
            true = min([wake - shift, *self.ends.values(), *edges])

    def cut(self, true: datetime) -> None:
        for key in self.ends:
            self.state[key] = ended(self.state[key])
        self.runs = [replace(run, end=min(run.end, true)) for run in self.runs]
        self.ends.clear()

    def ask(self, true: datetime, now: datetime) -> None:
        self.asked += 1
        for one in due(self.plans, self.state, now, "host"):
            before = self.state.get(one.plan.key)
            self.state[one.plan.key] = one.memory
            if before and one.memory.handled and one.memory.handled != before.handled:
                self.steps.append(Step(true, now, before.anchor, one.memory.handled, one))
            if one.verdict == "run":
                length = timedelta(seconds=self.rng.choice((5, 60, 900, 900, 4000, 9000)) * self.rng.uniform(0.5, 1.5))
                self.ends[one.plan.key] = true + length
                self.runs.append(Run(one.plan, true, true + length))


YEAR = [
    ("Europe/Berlin", 2026), ("America/New_York", 2026), ("Australia/Lord_Howe", 2026), ("America/Sao_Paulo", 2018),
    ("Africa/Cairo", 2026), ("Pacific/Apia", 2011), ("Africa/Casablanca", 2026), ("UTC", 2024),
]  # fmt: skip
TASKS = [
    ("backup", "keycloak", "30 2 * * *"), ("copy", "keycloak", "0 3 * * *"), ("prove", "keycloak", "30 23 * * sun"),
    ("backup", "hourly", "15 * * * *"), ("copy", "hourly", "*/30 */3 * * *"), ("prove", "monthly", "0 0 1 * *"),
]  # fmt: skip


def troubles(rng: random.Random, begin: datetime, shifts: tuple[timedelta, ...]) -> list[Span]:
    """The host is off for minutes to weeks, or its clock goes wrong for hours; each a while after the last."""
    found, moment = [], begin + DAY
    while moment < begin + 350 * DAY:
        moment += timedelta(days=rng.uniform(1, 12))
        shift = rng.choice(shifts) if shifts and rng.random() < 0.5 else None
        length = timedelta(
            hours=rng.choice((0.1, 1, 5, 12)) if shift else rng.choice((0.05, 1, 9, 30, 400))
        ) * rng.uniform(0.5, 1.5)
        found.append(Span(moment, moment + length, shift))
        moment += length
    return found


@lru_cache(maxsize=1)
def year_of(zone: str, year: int) -> list[list[datetime]]:
    """The slots of each of TASKS, by the oracle."""
    seen = readings(zone, datetime(year, 1, 1, tzinfo=UTC), 366)
    return [list(walk(text, seen)) for _, _, text in TASKS]


def lived(zone: str, year: int, shifts: tuple[timedelta, ...] = ()) -> Life:
    rng = random.Random(f"{zone} {shifts}")
    begin = datetime(year, 1, 1, 12, tzinfo=UTC)
    plans = [Plan(task, source, parse_cron(text), parse_zone(zone), 10 * MINUTE) for task, source, text in TASKS]
    life = Life(plans, begin, begin + 364 * DAY, troubles(rng, begin, shifts), rng)
    life.live()
    return life


def by_end(steps: list[Step], slot: datetime) -> list[Step]:
    """The steps that stood for this slot; their ends are in order wherever no clock leaps."""
    first = bisect_left(steps, slot, key=lambda step: step.until)
    return [step for step in steps[first : first + 3] if step.after < slot]


def at_work(runs: list[Run], slot: datetime) -> list[Run]:
    """The runs of one source that were going on, or began, at this moment; in order, and one at a time."""
    last = bisect_right(runs, slot, key=lambda run: run.begin)
    return [run for run in runs[max(0, last - 3) : last] if slot < run.end]


def runs_of(life: Life, source: str) -> list[Run]:
    found = [run for run in life.runs if run.plan.source == source]
    assert all(earlier.end <= later.begin for earlier, later in itertools.pairwise(found)), "two runs at once"
    return found


@pytest.mark.slow
@pytest.mark.sweep(2, full=len(YEAR))
def test_b16_b17_b18_in_a_year_every_slot_is_run_or_stood_for_exactly_once(sweep: int) -> None:
    for zone, year in spread(YEAR, sweep):
        every_slot_is_run_or_stood_for_exactly_once(zone, year)


def every_slot_is_run_or_stood_for_exactly_once(zone: str, year: int) -> None:
    life, outcomes = lived(zone, year), Counter()
    for one, expected in zip(life.plans, year_of(zone, year), strict=True):
        steps, busy = [step for step in life.steps if step.decision.plan == one], runs_of(life, one.source)
        for slot in [slot for slot in expected if life.begin < slot <= steps[-1].until]:
            (step,) = by_end(steps, slot)
            going_on = [run for run in at_work(busy, slot) if (run.plan, run.begin) != (one, slot)]
            if any(span.begin <= slot < span.end for span in life.spans):
                outcomes["off"] += 1
            elif any(run.plan == one for run in going_on):
                assert (step.decision.verdict, step.until, step.true) == ("skip", slot, slot)
                outcomes["skipped"] += 1
            elif going_on:
                assert step.true >= going_on[-1].end or step.decision.memory.skips
                outcomes["queued"] += 1
            else:
                assert (step.decision.verdict, step.decision.slot, step.true) == ("run", slot, slot)
                outcomes["in time"] += 1
        assert {step.decision.slot for step in steps} <= set(expected)
        ran = [step for step in steps if step.decision.verdict == "run"]
        assert len(ran) == len({step.decision.slot for step in ran})
        for span in life.spans:
            caught_up = [step for step in ran if step.decision.slot < span.end <= step.true and step.after < span.end]
            assert len([step for step in caught_up if step.decision.slot >= span.begin]) <= 1
    assert outcomes["in time"] > 3500
    assert min(outcomes["off"], outcomes["skipped"], outcomes["queued"]) > 100


@pytest.mark.slow
@pytest.mark.sweep(2, full=len(YEAR))
def test_b15_in_a_year_of_a_clock_that_leaps_no_slot_is_run_twice_and_none_is_lost_for_long(sweep: int) -> None:
    for zone, year in spread(YEAR, sweep):
        no_slot_is_run_twice_and_none_is_lost_for_long(zone, year)


def no_slot_is_run_twice_and_none_is_lost_for_long(zone: str, year: int) -> None:
    life, in_time = lived(zone, year, (-2 * HOUR, TEN_YEARS)), 0
    assert Counter(span.shift for span in life.spans)[TEN_YEARS] > 5
    for one, expected in zip(life.plans, year_of(zone, year), strict=True):
        ran = [step for step in life.steps if step.decision.plan == one and step.decision.verdict == "run"]
        of_now = [step.decision.slot for step in ran if step.decision.slot < life.end]
        assert len(of_now) == len(set(of_now))
        for span in life.spans:
            leaps = [
                step for step in ran if span.begin <= step.true < span.end and step.until - step.after > 3000 * DAY
            ]
            assert len(leaps) <= (span.shift == TEN_YEARS)
        busy, punctual = (
            runs_of(life, one.source),
            {step.decision.slot for step in ran if step.true == step.decision.slot},
        )
        for slot in [slot for slot in expected if life.begin < slot < life.end]:
            # Two hours after a clock that went slow is right again, all that it slept through has been handled.
            if any(span.begin <= slot < span.end + 2 * HOUR for span in life.spans):
                continue
            if not [run for run in at_work(busy, slot) if (run.plan, run.begin) != (one, slot)]:
                assert slot in punctual
                in_time += 1
    assert in_time > 3000
