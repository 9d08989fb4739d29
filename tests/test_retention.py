"""Retention never eats the backups that matter: generated histories against a reference model.

The model below is written from the sentences of docs/design.md, not from the code, and shares nothing
with it but the nouns.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pgproof.errors import ConfigError
from pgproof.manifest import State
from pgproof.retention import (
    Candidate,
    Policy,
    Verdict,
    clock_leaps,
    decide,
    from_the_future,
    parse_span,
    pauses,
    span_words,
    suspicious,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def backup(
    sequence: int,
    age_days: float,
    state: State = "intact",
    *,
    pinned: bool = False,
    size: int = 1000,
    rows: int | None = 100,
    now: datetime = NOW,
) -> Candidate:
    began = now - timedelta(days=age_days)
    return Candidate(f"keycloak/{sequence}", sequence, began, state, pinned, size, rows)


def daily(count: int, *, proven: tuple[int, ...] = ()) -> list[Candidate]:
    """`count` backups, one a day, the newest of today; `proven` are sequences (1 is the oldest)."""
    return [
        backup(number, count - number, "proven" if number in proven else "intact") for number in range(1, count + 1)
    ]


def kept(verdicts: list[Verdict]) -> set[int]:
    return {int(one.id.split("/")[1]) for one in verdicts if one.keep}


def reasons(verdicts: list[Verdict], sequence: int) -> tuple[str, ...]:
    return next(one.reasons for one in verdicts if one.id == f"keycloak/{sequence}")


# -- the reference model --------------------------------------------------------------------------


def model(backups: Iterable[Candidate], policy: Policy, now: datetime) -> set[int]:
    """The sequences that stay, by the plainest reading of the rules."""
    line = sorted(backups, key=lambda one: -one.sequence)
    if stands_still(line, now):
        return {one.sequence for one in line}
    good = [one for one in line if one.state != "damaged"]
    proven = [one for one in good if one.state == "proven"]
    stay = {one.sequence for one in line if one.pinned}
    stay |= {one.sequence for one in line if policy.keep_within and one.began + policy.keep_within >= now}
    stay |= {one.sequence for one in good[:1]}
    stay |= {one.sequence for one in (proven or good)[: policy.keep_proven]}
    stay |= {one.sequence for one in good[: policy.keep_last]}
    buckets: tuple[tuple[int, Callable[[datetime], object]], ...] = (
        (policy.keep_hourly, lambda t: (t.date(), t.hour)),
        (policy.keep_daily, lambda t: t.date()),
        (policy.keep_weekly, lambda t: t.isocalendar()[:2]),
        (policy.keep_monthly, lambda t: (t.year, t.month)),
        (policy.keep_yearly, lambda t: t.year),
    )
    for limit, part in buckets:
        seen: list[object] = []
        for one in good:
            if part(one.began) not in seen and len(seen) < limit:
                seen.append(part(one.began))
                stay.add(one.sequence)
    for one in line:
        if one.state == "damaged":
            enough = len(proven) >= policy.keep_proven
            replaced = not proven and any(other.sequence > one.sequence for other in good)
            if not enough and not replaced:
                stay.add(one.sequence)
    go = sorted(one.sequence for one in line if one.sequence not in stay)
    spared = go[policy.most :] if policy.most is not None else []
    return stay | set(spared)


def stands_still(line: list[Candidate], now: datetime) -> bool:
    if not line:
        return False
    if line[0].state == "damaged" or any(one.began > now + DAY for one in line):
        return True
    times = [now] + [one.began for one in line]
    gaps = [(times[i] - times[i + 1]).total_seconds() for i in range(len(line))]
    settling = max(3, 1 + sum((now - one.began).total_seconds() < 3 * 86400 for one in line))
    sixty, rest = 60 * 86400, gaps[settling:]
    limit = max(3 * middle(rest), min(sixty, max(2 * 86400, 8 * middle(rest)))) if rest else sixty
    if any(gap > limit or gap < -86400 for gap in gaps[:settling]):
        return True
    newest, *earlier = [one for one in line if one.state != "damaged"][:11]
    sizes, rows = [one.size for one in earlier], [one.rows or 0 for one in earlier]
    if len(earlier) >= 3 and (odd(newest.size, sizes) or odd(newest.rows or 0, rows)):
        return True
    return bool(earlier) and (newest.rows or 0) * 2 < middle(rows)


def middle(values: Sequence[float]) -> float:
    numbers = sorted(values) or [0]
    return (numbers[(len(numbers) - 1) // 2] + numbers[len(numbers) // 2]) / 2


def odd(value: float, others: Sequence[float]) -> bool:
    return value * 2 < middle(others) or (middle(others) > 0 and value > 5 * middle(others))


# -- generated histories ---------------------------------------------------------------------------

counts = st.integers(0, 4)
any_policies = st.builds(
    Policy,
    keep_within=st.none() | st.builds(timedelta, hours=st.integers(1, 24 * 60)),
    keep_last=counts,
    keep_hourly=counts,
    keep_daily=counts,
    keep_weekly=counts,
    keep_monthly=counts,
    keep_yearly=counts,
    keep_proven=st.integers(1, 3),
    most=st.none() | st.integers(0, 5),
)
policies = any_policies.filter(
    lambda p: (
        p.keep_within is not None
        or p.keep_last + p.keep_hourly + p.keep_daily + p.keep_weekly + p.keep_monthly + p.keep_yearly > 0
    )
)
STATES: tuple[State, ...] = ("stored", "intact", "proven", "damaged")
states = st.sampled_from(STATES)
# Mostly like the ones before, so that most histories are not paused as suspicious.
sizes = st.integers(900, 1100) | st.integers(900, 1100) | st.integers(0, 10_000)


@st.composite
def histories(draw: st.DrawFn) -> list[Candidate]:
    """Backups oldest first, with a steady clock mostly and a leaping one sometimes."""
    steps = st.integers(1, 24 * 20) if draw(st.integers(0, 4)) else st.integers(-24 * 90, 24 * 400)
    when = NOW - timedelta(hours=draw(st.integers(0, 48)))
    found: list[Candidate] = []
    count = draw(st.integers(0, 18))
    for sequence in range(count, 0, -1):
        usual = draw(sizes)
        found.append(
            Candidate(
                f"keycloak/{sequence}",
                sequence,
                when,
                draw(states),
                draw(st.integers(0, 9)) == 0,
                usual,
                usual // 10,
            )
        )
        when -= timedelta(hours=draw(steps))
    return found[::-1]


@pytest.mark.slow
@given(histories(), policies)
@settings(max_examples=600, deadline=None)
def test_the_plan_is_the_models(history: list[Candidate], policy: Policy) -> None:
    assert kept(decide(history, policy, NOW)) == model(history, policy, NOW)


@given(histories(), policies, st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_what_is_sacred_survives_and_order_of_input_means_nothing(
    history: list[Candidate], policy: Policy, chance: random.Random
) -> None:
    verdicts = decide(history, policy, NOW)
    mixed = list(history)
    chance.shuffle(mixed)
    assert decide(mixed, policy, NOW) == verdicts == decide(tuple(history), policy, NOW)
    assert [one.id for one in verdicts] == [one.id for one in reversed(history)]
    assert all(one.reasons and all(one.reasons) for one in verdicts)
    check_sacred(history, kept(verdicts), policy)


def check_sacred(history: list[Candidate], stay: set[int], policy: Policy) -> None:
    good = [one.sequence for one in history if one.state != "damaged"]
    proven = [one.sequence for one in history if one.state == "proven"]
    assert set(good[-1:]) <= stay
    assert set(proven[-policy.keep_proven :]) <= stay
    assert {one.sequence for one in history if one.pinned} <= stay
    if history:
        assert stay


class Years(RuleBasedStateMachine):
    """A source over time: backups, drills, damage, pins, a clock that leaps, and prune after any of it."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.next = NOW, 1
        self.history: list[Candidate] = []
        self.policy = Policy(keep_last=1)

    @initialize(policy=policies)
    def begin(self, policy: Policy) -> None:
        self.policy = policy

    @rule(size=sizes, state=states)
    def back_up(self, size: int, state: State) -> None:
        self.history.append(Candidate(f"keycloak/{self.next}", self.next, self.now, state, False, size, size // 10))
        self.next += 1

    @rule(hours=st.integers(1, 24 * 12))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(days=st.sampled_from([-3650, -2, 2, 400, 3650]))
    def leap(self, days: int) -> None:
        self.now += timedelta(days=days)

    @rule(place=st.integers(0, 30), state=states, pinned=st.booleans())
    def learn(self, place: int, state: State, pinned: bool) -> None:
        if self.history:
            place %= len(self.history)
            self.history[place] = replace(self.history[place], state=state, pinned=pinned)

    @rule()
    def prune(self) -> None:
        verdicts = decide(self.history, self.policy, self.now)
        stay = kept(verdicts)
        assert stay == model(self.history, self.policy, self.now)
        check_sacred(self.history, stay, self.policy)
        before = len(self.history)
        self.history = [one for one in self.history if one.sequence in stay]
        if self.policy.most is not None:
            assert before - len(self.history) <= self.policy.most

    @invariant()
    def a_leap_of_the_clock_deletes_nothing(self) -> None:
        """Whatever the clock says, ten years more or less must not cost a backup."""
        for years in (-10, 10):
            then = self.now + timedelta(days=3650 * years // 10)
            if self.history and abs(then - self.history[-1].began) > 3000 * DAY and usual_gap(self.history) < DAY * 30:
                assert len(kept(decide(self.history, self.policy, then))) == len(self.history)


def usual_gap(history: list[Candidate]) -> timedelta:
    gaps = [abs(later.began - earlier.began) for earlier, later in zip(history, history[1:], strict=False)]
    return max(gaps, default=timedelta(0))


TestYears = Years.TestCase
TestYears.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# -- the sentences ---------------------------------------------------------------------------------


def test_reasons_in_plain_words() -> None:
    history = [*daily(40, proven=(3, 5))]
    history[0] = replace(history[0], pinned=True)
    verdicts = decide(history, Policy(keep_within=timedelta(days=30), keep_monthly=2, keep_last=3), NOW)
    assert "within 30 days" in reasons(verdicts, 40)
    assert "one of the newest 3" in reasons(verdicts, 38)
    assert "newest of 2026-11" in reasons(verdicts, 40)
    assert "the newest backup that is not damaged" in reasons(verdicts, 40)
    assert reasons(verdicts, 5) == ("the last proven backup",)
    assert reasons(verdicts, 3) == ("the last proven backup but one",)
    assert reasons(verdicts, 1) == ("pinned",)
    assert reasons(verdicts, 4) == ("no rule of the policy keeps it",)
    assert kept(verdicts) == {1, 3, 5, *range(10, 41)}


def test_older_than_anything() -> None:
    verdicts = decide(daily(10), Policy(keep_last=3), NOW)
    assert kept(verdicts) == {8, 9, 10}
    assert reasons(verdicts, 7) == ("older than anything the policy keeps",)


def test_f1_the_only_backup_is_kept_however_old() -> None:
    verdicts = decide([backup(1, 4000)], Policy(keep_within=DAY), NOW)
    assert kept(verdicts) == {1}


def test_f2_damaged_ones_never_count() -> None:
    history = [*daily(4), *(backup(number, 0.1, "damaged") for number in range(5, 15)), backup(15, 0)]
    verdicts = decide(history, Policy(keep_last=3, keep_proven=1), NOW)
    assert kept(verdicts) == {3, 4, 15}
    assert reasons(verdicts, 9) == ("damaged, and good ones are there",)


def test_damaged_ones_stay_until_others_can_replace_them() -> None:
    one_proven = [backup(1, 9, "damaged"), backup(2, 8, "proven"), backup(3, 7)]
    verdicts = decide(one_proven, Policy(keep_last=1), NOW)
    assert reasons(verdicts, 1) == ("damaged, but kept until 2 backups are proven",)
    assert kept(decide(one_proven, Policy(keep_last=1, keep_proven=1), NOW)) == {2, 3}
    all_damaged = [backup(1, 9, "damaged"), backup(2, 8, "damaged")]
    assert "damaged, but kept until a newer backup is good" in reasons(decide(all_damaged, Policy(keep_last=1), NOW), 1)


def test_f3_the_newest_proven_one_is_kept_behind_many_unproven() -> None:
    verdicts = decide(daily(9, proven=(2,)), Policy(keep_last=2), NOW)
    assert kept(verdicts) == {2, 8, 9}


def test_f4_a_suspicious_newest_backup_stops_all_deletion() -> None:
    history = daily(20)
    history[-1] = replace(history[-1], size=50)
    verdicts = decide(history, Policy(keep_last=1), NOW)
    assert kept(verdicts) == set(range(1, 21))
    assert reasons(verdicts, 1) == (
        "nothing is deleted at present: the newest backup has 50 bytes, below half of the usual 1,000",
    )


@pytest.mark.parametrize(
    ("earlier", "newest", "expected"),
    [
        ([(1000, 100)] * 3, (1000, 100), ()),
        ([(1000, 100)] * 3, (500, 100), ()),
        ([(1000, 100)] * 3, (499, 100), ("bytes, below half of the usual 1,000",)),
        ([(1000, 100)] * 2, (499, 100), ()),
        ([(1000, 100)] * 3, (5000, 100), ()),
        ([(1000, 100)] * 3, (5001, 100), ("bytes, above five times the usual 1,000",)),
        ([(1000, 100)], (1000, 49), ("rows, below half of the usual 100",)),
        ([(1000, 100)], (1000, 0), ("rows, below half of the usual 100",)),
        ([(1000, 100)], (1000, 501), ()),
        ([(1000, 100)] * 3, (1000, 501), ("rows, above five times the usual 100",)),
        ([(1000, 0)] * 3, (1000, 5), ()),
        ([(1000, None)] * 3, (1000, None), ()),
        ([], (1, 1), ()),
    ],
)
def test_suspicion(
    earlier: list[tuple[int, int | None]], newest: tuple[int, int | None], expected: tuple[str, ...]
) -> None:
    pairs = [*earlier, newest]
    history = [backup(place, len(pairs) - place, size=size, rows=rows) for place, (size, rows) in enumerate(pairs)]
    found = suspicious(history)
    assert len(found) == len(expected)
    assert all(end in text for text, end in zip(found, expected, strict=True))


def test_suspicion_looks_at_ten_earlier_ones_and_never_at_damaged_ones() -> None:
    history = [backup(n, 40 - n, size=10) for n in range(20)] + [backup(n, 40 - n) for n in range(20, 31)]
    assert suspicious(history) == ()
    broken = [backup(n, 40 - n, "damaged", size=1) for n in range(31, 36)]
    assert suspicious([*history, *broken]) == ()


def test_a_damaged_newest_backup_stops_all_deletion() -> None:
    history = [*daily(8, proven=(6, 7)), backup(9, 0, "damaged")]
    verdicts = decide(history, Policy(keep_last=1), NOW)
    assert kept(verdicts) == set(range(1, 10))
    assert "the newest backup is damaged" in reasons(verdicts, 1)[0]


def test_b15_a_backup_from_the_future_stops_all_deletion() -> None:
    history = [backup(1, 20), backup(2, -3650), *(backup(n, 10 - n) for n in range(3, 10))]
    verdicts = decide(history, Policy(keep_last=1), NOW)
    assert kept(verdicts) == set(range(1, 10))
    assert "3650 days after the present time" in reasons(verdicts, 1)[0]
    assert from_the_future(daily(3), NOW - timedelta(hours=2)) == ()
    assert from_the_future(daily(3), NOW - timedelta(hours=25)) != ()


@pytest.mark.parametrize("hours", [-2, 24 * 3650])
def test_b15_a_clock_that_jumps_between_runs_deletes_nothing_more(hours: int) -> None:
    policy = Policy(keep_within=timedelta(days=30))
    history, then = daily(25), NOW + timedelta(hours=hours)
    assert kept(decide(history, policy, then)) == set(range(1, 26))
    made_then = [*history, backup(26, 0, now=then)]
    assert kept(decide(made_then, policy, then)) == set(range(1, 27))


def test_deletion_goes_on_three_backups_after_a_leap() -> None:
    after = [backup(n, 10 - n) for n in range(6, 10)]
    history = [backup(n, 400 - n) for n in range(1, 6)] + after
    assert clock_leaps(history, NOW) == ()
    assert kept(decide(history, Policy(keep_last=4), NOW)) == {6, 7, 8, 9}
    assert clock_leaps(history[:-1], NOW - DAY) == ()
    assert "391 days lie between" in clock_leaps(history[:-2], NOW - 2 * DAY)[0]


@pytest.mark.parametrize("days", [9, 31, 45, 59])
def test_f5_a_machine_that_was_off_for_weeks_keeps_what_it_had(days: int) -> None:
    """Or whose clock has leapt: by days that are old now, its history would go."""
    policy, then = Policy(keep_within=timedelta(days=30)), NOW + timedelta(days=days)
    history = [backup(n, 31 - n) for n in range(1, 31)]
    assert kept(decide([*history, backup(31, 0, now=then)], policy, then)) == set(range(1, 32))


def test_a_leap_holds_for_days_also_where_backups_come_by_the_hour() -> None:
    hourly = [replace(backup(n, 0), began=NOW - timedelta(hours=101 - n)) for n in range(1, 101)]
    then = NOW + timedelta(days=3650)
    after = [replace(backup(n, 0), began=then - timedelta(hours=110 - n)) for n in range(101, 111)]
    assert "lie between" in clock_leaps([*hourly, *after], then)[0]


def test_rare_backups_are_no_leap() -> None:
    history = [backup(n, (10 - n) * 30) for n in range(1, 10)]
    assert clock_leaps(history, NOW) == ()
    assert clock_leaps(history, NOW + 59 * DAY) == ()
    assert clock_leaps(history, NOW + 61 * DAY) != ()


def test_a_week_belongs_to_one_year_and_a_day_to_utc() -> None:
    new_year = datetime(2027, 1, 1, 3, tzinfo=timezone(timedelta(hours=10)))  # still the last of 2026 in UTC
    history = [
        Candidate("keycloak/1", 1, datetime(2026, 12, 30, 17, tzinfo=UTC), "intact", False, 9, 9),
        Candidate("keycloak/2", 2, datetime(2026, 12, 31, 16, tzinfo=UTC), "intact", False, 9, 9),
        Candidate("keycloak/3", 3, new_year, "intact", False, 9, 9),
        Candidate("keycloak/4", 4, datetime(2027, 1, 1, 9, tzinfo=UTC), "intact", False, 9, 9),
    ]
    days = decide(history, Policy(keep_daily=3, keep_proven=1), new_year + DAY)
    assert kept(days) == {1, 3, 4}
    assert "newest of 2026-12-31" in reasons(days, 3)
    weeks = decide(history, Policy(keep_weekly=3, keep_proven=1), new_year + DAY)
    assert kept(weeks) == {4}
    assert "newest of week 2026-W53" in reasons(weeks, 4)


def test_f6_a_flood_of_backups_does_not_push_out_the_old_days() -> None:
    history = [*daily(7), *(backup(8 + n, 0) for n in range(1000))]
    verdicts = decide(history, Policy(keep_daily=7), NOW)
    assert {1, 2, 3, 4, 5, 6} <= kept(verdicts)


def test_each_kind_is_kept_by_the_policy_for_itself() -> None:
    """Thirty daily logical backups do not push out the two of the volume, nor make their size look strange."""
    logical = [replace(one, sequence=one.sequence * 2, id=f"keycloak/{one.sequence * 2}") for one in daily(30)]
    volumes = [replace(backup(n, age, size=90_000, rows=None), kind="volume") for n, age in ((5, 27.5), (33, 13.5))]
    everything = [*logical, *volumes]
    verdicts = decide(everything, Policy(keep_last=2, keep_proven=1), NOW)
    assert kept(verdicts) == {60, 58, 33, 5}
    assert suspicious(everything) == () and pauses(everything, NOW) == ()
    small = replace(backup(61, 0, size=10, rows=None), kind="volume")
    assert (
        len(suspicious([*everything, replace(small, size=10), *(replace(v, sequence=v.sequence - 1) for v in volumes)]))
        == 1
    )
    assert pauses([*everything, replace(small, state="damaged")], NOW) == ("the newest backup is damaged",)


def test_f12_most_deletes_the_oldest_first_and_says_why_the_others_stay() -> None:
    verdicts = decide(daily(10), Policy(keep_last=2, most=3), NOW)
    assert kept(verdicts) == set(range(4, 11))
    assert reasons(verdicts, 4) == ("for a later run: one run deletes at most 3",)
    assert kept(decide(daily(10), Policy(keep_last=2, most=0), NOW)) == set(range(1, 11))


def test_f12_what_one_run_has_deleted_elsewhere_counts_for_most() -> None:
    def after(gone: int, most: int | None = 3) -> list[Verdict]:
        return decide(daily(10), Policy(keep_last=2, most=most), NOW, gone=gone)

    assert kept(after(2)) == set(range(2, 11)), "one is left of three, the oldest"
    why = "for a later run: one run deletes at most 3, and has deleted 2 of other sources or in other stores"
    assert reasons(after(2), 2) == (why,)
    assert kept(after(3)) == kept(after(7)) == set(range(1, 11))
    assert kept(after(1000, None)) == {9, 10}


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        Policy(keep_within=timedelta(0)),
        Policy(keep_last=-1),
        Policy(keep_last=1, most=-1),
        Policy(keep_last=1, keep_proven=0),
        Policy(keep_last=1, keep_within=timedelta(days=-1)),
    ],
)
def test_f11_a_policy_that_keeps_nothing_is_refused(policy: Policy) -> None:
    with pytest.raises(ConfigError) as caught:
        decide(daily(3), policy, NOW)
    assert caught.value.hint


def test_nothing_to_decide() -> None:
    assert decide([], Policy(keep_last=1), NOW) == []
    assert pauses([], NOW) == ()


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("12h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
        ("4w", timedelta(days=28)),
        ("6m", timedelta(days=180)),
        ("2y", timedelta(days=730)),
    ],
)
def test_spans(text: str, span: timedelta) -> None:
    assert parse_span(text) == span


@pytest.mark.parametrize("text", ["7", "", "d", "-7d", "7 days", "7D", "1.5d", "999999d", "7d\n7d", "٧d"])
def test_what_is_no_span_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_span(text)
    assert '"30d"' in caught.value.hint


def test_a_bare_number_is_answered_with_the_likely_meaning() -> None:
    with pytest.raises(ConfigError, match='did you mean "7d"'):
        parse_span("7")


def test_span_words() -> None:
    assert [span_words(parse_span(text)) for text in ("1d", "30d", "12h", "1h")] == [
        "1 day",
        "30 days",
        "12 hours",
        "1 hour",
    ]


def test_ten_thousand_backups_are_decided_at_once() -> None:
    history = [backup(n, (10_000 - n) / 24) for n in range(1, 10_001)]
    random.Random(1).shuffle(history)
    began = datetime.now(UTC)
    decide(history, Policy(keep_daily=7, keep_monthly=12), NOW)
    assert datetime.now(UTC) - began < timedelta(seconds=5)
