"""What is told: each thing when it first occurs, changes, is due again or is over; never more, never less."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgproof.alerting import Digest, Event, Policy, Told, body, decide, joined, title
from pgproof.alerting.digest import KEPT
from pgproof.finding import Finding, Level

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def finding(source: str = "shop", code: str = "no-backup", level: Level = "critical", text: str = "x") -> Finding:
    return Finding(code, level, source, f"{source}: {text}", "do it")


class Watch:
    """The memory from one question to the next, written down and read again in between, and all that was told."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.told = Told()
        self.policy = policy
        self.digests: list[Digest] = []

    def at(self, when: datetime, *findings: Finding, blind: tuple[tuple[str, str], ...] = ()) -> list[str]:
        kept = msgspec.json.decode(msgspec.json.encode(self.told), type=Told)
        assert kept == self.told
        self.told, digest = decide(kept, findings, when, self.policy, blind)
        if digest:
            self.digests.append(digest)
        return [event.kind for event in digest.events] if digest else []


def test_the_first_occurrence_is_told_at_once_and_then_no_more() -> None:
    watch = Watch()
    assert watch.at(NOW, finding()) == ["new"]
    assert [watch.at(NOW + n * HOUR, finding()) for n in range(1, 24)] == [[]] * 23


def test_what_is_fine_or_only_information_is_never_told() -> None:
    watch = Watch()
    assert watch.at(NOW, finding(level="ok"), finding(code="orphans", level="info")) == []
    assert watch.at(NOW + HOUR, finding(level="warning")) == ["new"]
    assert watch.at(NOW + 2 * HOUR, finding(level="info")) == ["recovered"]


def test_h8_recovered_is_told_once() -> None:
    watch = Watch()
    watch.at(NOW, finding())
    assert watch.at(NOW + HOUR) == ["recovered"]
    assert [watch.at(NOW + n * HOUR) for n in range(2, 200)] == [[]] * 198
    assert watch.told.known == ()


def test_a_change_of_level_is_told_with_what_it_was() -> None:
    watch = Watch()
    watch.at(NOW, finding(level="warning"))
    assert watch.at(NOW + HOUR, finding()) == ["changed"]
    (event,) = watch.digests[-1].events
    assert (event.before, event.level, event.since) == ("warning", "critical", NOW)
    assert "CRITICAL (was warning)  shop: x" in body(watch.digests[-1], "db1", "1")


def test_a_text_that_changes_is_no_news_but_is_what_the_reminder_says() -> None:
    watch = Watch()
    watch.at(NOW, finding(text="31 hours old"))
    assert watch.at(NOW + HOUR, finding(text="32 hours old")) == []
    assert watch.at(NOW + DAY, finding(text="55 hours old")) == ["reminder"]
    assert "55 hours old" in body(watch.digests[-1], "db1", "1")


@pytest.mark.parametrize(("level", "days"), [("critical", 1), ("warning", 7)])
def test_what_stands_is_told_again_daily_where_critical_and_weekly_where_a_warning(level: Level, days: int) -> None:
    watch = Watch()
    told = [n for n in range(28 * 24) if watch.at(NOW + n * HOUR, finding(level=level))]
    assert told == list(range(0, 28 * 24, days * 24))


def test_h3_a_storm_of_500_findings_is_one_digest_with_20_named_and_the_rest_counted() -> None:
    watch = Watch()
    storm = [finding(f"db{n:03}", level="critical" if n % 2 else "warning", text="it fell") for n in range(500)]
    assert len(watch.at(NOW, *storm)) == 500
    assert len(watch.digests) == 1
    text = body(watch.digests[0], "db1", "1")
    assert text.count("it fell") == 20
    assert text.count("CRITICAL  db") == 20  # the gravest are those that are named
    assert "And 480 more, not named here" in text
    assert title(watch.digests[0], "db1") == "pgproof on db1: 250 critical, 250 warning"
    assert watch.at(NOW + MINUTE, *storm) == []
    assert watch.at(NOW + HOUR) == ["recovered"] * 500
    assert len(watch.digests) == 2


@pytest.mark.slow
def test_h3_findings_that_come_one_after_another_are_gathered_for_five_minutes() -> None:
    watch = Watch()
    storm = [finding(f"db{n:03}") for n in range(500)]
    for n in range(500):
        watch.at(NOW + n * timedelta(seconds=2), *storm[: n + 1])
    watch.at(NOW + HOUR, *storm)
    assert len(watch.digests) == 5
    assert Counter(event.source for digest in watch.digests for event in digest.events) == Counter(
        one.source for one in storm
    )


def test_what_comes_and_goes_while_news_are_gathered_is_told_of_both() -> None:
    watch = Watch()
    watch.at(NOW, finding("other"))
    watch.at(NOW + MINUTE, finding("other"), finding(text="short"))
    watch.at(NOW + 2 * MINUTE, finding("other"))
    assert watch.at(NOW + 5 * MINUTE, finding("other")) == ["new", "recovered"]


def test_several_findings_of_one_code_are_one_thing_of_the_gravest_level() -> None:
    watch = Watch()
    two = [finding(level="warning", text="a"), finding(text="b")]
    assert watch.at(NOW, *two) == ["new"]
    assert watch.digests[0].events[0].text == "shop: b (and 1 more like it)"
    assert watch.at(NOW + HOUR, two[0]) == ["changed"]


def test_more_of_what_was_told_is_told_and_not_only_with_the_next_reminder() -> None:
    watch, two = Watch(), [finding(code="backup-damaged", text=text) for text in "ab"]
    assert watch.at(NOW, two[0]) == ["new"]
    assert watch.at(NOW + HOUR, *two) == ["changed"]
    assert "CRITICAL (and more than before)  shop: a (and 1 more like it)" in body(watch.digests[-1], "h", "1")
    assert watch.at(NOW + 2 * HOUR, *two) == []
    assert watch.at(NOW + 3 * HOUR, blind=(("shop", ""),)) == watch.at(NOW + 4 * HOUR, *two) == []
    assert watch.at(NOW + 5 * HOUR, two[1]) == [] == watch.at(NOW + 6 * HOUR, *two), "nor is what was so before"
    more = [finding(code="backup-damaged", text=str(number)) for number in range(9)]
    told = [watch.at(NOW + 7 * HOUR + timedelta(minutes=6 * number), *more[:number]) for number in range(3, 10)]
    assert told == [["changed"]] * 7, "to become more is not to come and go"


def test_what_could_not_be_examined_has_not_recovered() -> None:
    watch = Watch()
    watch.at(NOW, finding(), finding("blog"))
    unknown = finding(code="unknown", text="the store does not answer")
    assert watch.at(NOW + HOUR, unknown, finding("blog"), blind=(("shop", ""),)) == ["new"]
    assert watch.digests[-1].events[0].code == "unknown"
    assert watch.at(NOW + 2 * HOUR, finding(), finding("blog")) == ["recovered"]
    assert watch.digests[-1].events[0].code == "unknown"


def test_what_only_another_store_tells_has_not_recovered_while_that_is_down() -> None:
    watch, lacking = Watch(), finding(code="copy-missing")
    watch.at(NOW, finding(), lacking)
    assert watch.at(NOW + HOUR, blind=(("shop", "copy-missing"),)) == ["recovered"]
    assert watch.digests[-1].events[0].code == "no-backup"
    assert watch.at(NOW + 2 * HOUR) == ["recovered"]
    assert watch.digests[-1].events[0].code == "copy-missing"


def test_what_comes_and_goes_more_than_three_times_an_hour_is_told_once_as_flapping_and_then_hourly() -> None:
    watch = Watch(Policy(gap=timedelta(0)))
    told = []
    for minute in range(5 * 60):
        told += [(minute, kind) for kind in watch.at(NOW + minute * MINUTE, *([finding()] * (minute % 10 < 5)))]
    first = [(n, "new" if n % 10 == 0 else "recovered") for n in (0, 5, 10, 15, 20, 25)]
    assert told == [*first, *((n, "flapping") for n in (30, 90, 150, 210, 270))]
    assert watch.at(NOW + 5 * HOUR, finding()) == []
    assert watch.at(NOW + 6 * HOUR - MINUTE, finding()) == ["flapping"]
    assert watch.at(NOW + 6 * HOUR, finding()) == ["reminder"]  # it has settled, and stands
    assert watch.at(NOW + 7 * HOUR) == ["recovered"]


def test_a_level_that_swings_flaps_too_and_its_end_is_told() -> None:
    watch = Watch(Policy(gap=timedelta(0)))
    levels: tuple[Level, Level] = ("warning", "critical")
    told = [kind for n in range(12) for kind in watch.at(NOW + 5 * n * MINUTE, finding(level=levels[n % 2]))]
    assert told == ["new", "changed", "changed", "flapping"]
    watch.at(NOW + HOUR)
    assert [watch.at(NOW + HOUR + n * MINUTE) for n in range(1, 62)].count(["recovered"]) == 1
    assert watch.told.known == ()


def test_a_clock_that_was_years_ahead_silences_nothing() -> None:
    watch = Watch()
    watch.at(NOW + 3650 * DAY, finding())
    assert watch.at(NOW, finding()) == ["reminder"]
    assert watch.at(NOW + HOUR, finding(), finding("blog")) == ["new"]
    assert watch.at(NOW + 2 * HOUR, finding("blog")) == ["recovered"]
    assert watch.at(NOW + DAY + HOUR, finding("blog")) == ["reminder"]


# -- a month ----------------------------------------------------------------------------------------

KEYS = [(source, code) for source in ("shop", "blog", "crm") for code in ("run-failed", "backup-too-old")]
EVERY: dict[str, timedelta] = {"critical": DAY, "warning": 7 * DAY}


def world(chance: Random, before: dict[tuple[str, str], Level]) -> dict[tuple[str, str], Level]:
    """What is wrong next: each thing comes, goes and changes its level at random."""
    levels: tuple[Level, Level] = ("warning", "critical")
    after: dict[tuple[str, str], Level] = {}
    for key in KEYS:
        if key in before and chance.random() < 0.97:
            after[key] = chance.choice(levels) if chance.random() < 0.02 else before[key]
        elif key not in before and chance.random() < 0.03:
            after[key] = chance.choice(levels)
    return after


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_alerts_equal_faults_exactly_over_a_month(seed: int) -> None:
    """The model: what was told last, and when. Steps of over 20 minutes, at which nothing can flap."""
    chance = Random(seed)
    watch, now, faults = Watch(), NOW, dict[tuple[str, str], Level]()
    told: dict[tuple[str, str], datetime] = {}
    while now < NOW + 30 * DAY:
        before, faults = faults, world(chance, faults)
        expected = Counter[tuple[str, tuple[str, str]]]()
        for key in KEYS:
            kind = _expected(before.get(key), faults.get(key), now - told.get(key, now))
            if kind:
                told[key] = now
                expected[kind, key] += 1
        count = len(watch.digests)
        watch.at(now, *(finding(*key, level) for key, level in faults.items()))
        events = watch.digests[-1].events if len(watch.digests) > count else ()
        assert Counter((event.kind, event.key) for event in events) == expected
        assert all(event.level == faults.get(event.key, event.level) for event in events)
        now += timedelta(minutes=chance.randint(21, 240))


def _expected(before: Level | None, after: Level | None, silent: timedelta) -> str:
    if before is None:
        return "new" if after else ""
    if after is None:
        return "recovered"
    return "changed" if before != after else "reminder" if silent >= EVERY[after] else ""


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_however_wildly_things_come_and_go_little_is_told_and_in_the_end_the_truth(seed: int) -> None:
    chance = Random(seed)
    watch, now, faults = Watch(Policy(gap=timedelta(0))), NOW, dict[tuple[str, str], Level]()
    for _ in range(400):
        faults = {key: "critical" for key in KEYS if chance.random() < 0.5}
        watch.at(now, *(finding(*key, level) for key, level in faults.items()))
        now += timedelta(seconds=chance.choice((5, 60, 300)))
    for hours in range(1, 4):
        watch.at(now + hours * HOUR, *(finding(*key, level) for key, level in faults.items()))
    for key in KEYS:
        events = [event for digest in watch.digests for event in digest.events if event.key == key]
        moments = [event.at for event in events if event.kind == "flapping"]
        assert all(b - a >= HOUR for a, b in pairwise(moments) if _unbroken(events, a, b))
        for start in (event.at for event in events):
            assert sum(start <= event.at < start + HOUR for event in events) <= 8
        assert (events[-1].kind != "recovered") == (key in faults)


def _unbroken(events: list[Event], a: datetime, b: datetime) -> bool:
    return not any(a < event.at < b for event in events if event.kind != "flapping")


# -- digests ----------------------------------------------------------------------------------------


def test_the_words_of_a_digest_are_these() -> None:
    watch = Watch()
    watch.at(NOW, finding("crm", "proof-too-old", "warning", "the last drill was 40 days ago"), finding("blog"))
    watch.at(NOW + 26 * HOUR, finding("crm", "proof-too-old", "warning", "the last drill was 41 days ago"))
    watch.at(NOW + 7 * DAY, finding("crm", "proof-too-old", "warning", "the last drill was 47 days ago"), finding())
    assert title(watch.digests[-1], "db1") == "pgproof on db1: 1 critical, 1 warning"
    assert body(watch.digests[-1], "db1", "0.2.0") == (
        "CRITICAL  shop: x [no-backup]\n"
        "  hint: do it\n"
        "  since 2026-11-08 12:00 UTC\n"
        "\n"
        "STILL WARNING  crm: the last drill was 47 days ago [proof-too-old]\n"
        "  hint: do it\n"
        "  since 2026-11-01 12:00 UTC, 7 days\n"
        "\n"
        "2026-11-08 12:00 UTC, pgproof 0.2.0 on db1\n"
    )
    assert title(watch.digests[1], "db1") == "pgproof on db1: 1 recovered"
    assert body(watch.digests[1], "db1", "0.2.0") == (
        "RECOVERED (was critical)  blog: x [no-backup]\n"
        "  since 2026-11-01 12:00 UTC until 2026-11-02 14:00 UTC\n"
        "\n"
        "1 finding that was told before still stands: `pgproof status` shows all.\n"
        "2026-11-02 14:00 UTC, pgproof 0.2.0 on db1\n"
    )


def test_digests_that_could_not_be_sent_become_one_that_has_all_of_them() -> None:
    watch = Watch()
    watch.at(NOW, finding())
    watch.at(NOW + DAY, finding())
    watch.at(NOW + 25 * HOUR, finding("blog", level="warning"))
    first, second, third = watch.digests
    both = joined(joined(first, second), third)
    assert [(event.kind, event.source) for event in both.events] == [
        ("new", "shop"),
        ("new", "blog"),
        ("recovered", "shop"),
    ]
    assert "2 digests could not be sent since 2026-11-01 12:00 UTC" in body(both, "db1", "1")


def test_a_digest_does_not_grow_without_end_and_says_what_it_leaves_out() -> None:
    storm = tuple(Event("new", NOW, "warning", f"db{n}", "no-backup", "x", "", NOW) for n in range(KEPT))
    more = tuple(Event("new", NOW, "critical", f"db{n}", "run-failed", "x", "", NOW) for n in range(300))
    both = joined(Digest(NOW, storm, KEPT), Digest(NOW + HOUR, more, KEPT + 300))
    assert (len(both.events), both.more) == (KEPT, 300)
    assert sum(event.level == "critical" for event in both.events) == 300
    assert f"And {KEPT + 300 - 20} more, not named here" in body(both, "db1", "1")


def test_a_text_with_line_ends_cannot_look_like_another_entry() -> None:
    watch = Watch()
    watch.at(NOW, finding(text="x\n\nRECOVERED (was critical)  shop: y"))
    assert not any(line.startswith("RECOVERED") for line in body(watch.digests[0], "db\n1", "1").splitlines())
    assert "\n" not in title(watch.digests[0], "db\n1")
