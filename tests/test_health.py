"""Health says what is wrong, of what weight, and what to do; and nothing when nothing is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproof.finding import Finding, Level, level
from pgproof.manifest import State
from pgproof.monitor.health import Elsewhere, Facts, Room, examine, moved
from pgproof.monitor.health.stores import full_in
from pgproof.retention import Candidate, Policy
from pgproof.run import Outcome, Run
from pgproof.schedule import Memory, Plan, parse_cron

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def backup(sequence: int, hours: float, state: State = "intact", size: int = 1000) -> Candidate:
    return Candidate(f"keycloak/{sequence}", sequence, NOW - hours * HOUR, state, False, size, 100)


def facts(
    *backups: Candidate,
    last_proof: datetime | None = NOW - DAY,
    orphans: int = 0,
    other: tuple[Finding, ...] = (),
    max_age: timedelta | None = 30 * HOUR,
    max_proof_age: timedelta | None = timedelta(days=37.5),
) -> Facts:
    return Facts("keycloak", backups, last_proof, orphans, other, max_age, max_proof_age)


def said(of: Facts, now: datetime = NOW) -> list[tuple[str, Level]]:
    return [(finding.code, finding.level) for finding in examine(of, now)]


def test_all_is_well() -> None:
    found = examine(facts(backup(1, 34, "proven"), backup(2, 10)), NOW)
    assert [(finding.code, finding.level) for finding in found] == [("fine", "ok")]
    assert found[0].text == "keycloak: the last proven backup is 34 hours old"
    assert level(found) == "ok"


def test_no_backup() -> None:
    assert said(facts(last_proof=None)) == [("no-backup", "critical")]


def test_damaged_backups_are_no_backup() -> None:
    assert said(facts(backup(1, 2, "damaged"))) == [("no-backup", "critical"), ("backup-damaged", "critical")]


def test_c7_two_backups_of_one_number_are_told() -> None:
    one, other = backup(2, 10, "proven"), replace(backup(2, 9), id="keycloak/put-back")
    found = examine(facts(backup(1, 34), one, other, backup(3, 2)), NOW)
    assert [(finding.code, finding.level) for finding in found] == [("number-twice", "warning")]
    assert one.id in found[0].text and other.id in found[0].text


def test_nothing_proven_yet_is_a_warning_until_a_drill_is_overdue() -> None:
    young = [backup(1, 24 * 37), backup(2, 2)]
    assert said(facts(*young, last_proof=None)) == [("no-proven-backup", "warning")]
    old = [backup(1, 24 * 38), backup(2, 2)]
    assert said(facts(*old, last_proof=None)) == [("no-proven-backup", "critical")]


def test_nothing_proven_on_demand_is_never_green_and_never_critical() -> None:
    on_demand = facts(backup(1, 24 * 50), last_proof=None, max_age=None, max_proof_age=None)
    assert said(on_demand) == [("no-proven-backup", "warning")]


@pytest.mark.parametrize(("hours", "codes"), [(30, ["fine"]), (30.1, ["backup-too-old"])])
def test_backup_too_old(hours: float, codes: list[str]) -> None:
    assert [code for code, _ in said(facts(backup(1, hours, "proven")))] == codes


def test_a_damaged_backup_does_not_count_as_the_newest() -> None:
    found = said(facts(backup(1, 40, "proven"), backup(2, 1, "damaged")))
    assert found == [("backup-too-old", "critical"), ("backup-damaged", "critical")]


def test_an_old_damaged_backup_is_a_warning() -> None:
    assert said(facts(backup(1, 40, "damaged"), backup(2, 1, "proven"))) == [("backup-damaged", "warning")]


@pytest.mark.parametrize(("days", "codes"), [(37.5, ["fine"]), (38, ["proof-too-old"])])
def test_h9_proof_too_old(days: float, codes: list[str]) -> None:
    of = facts(backup(1, 1, "proven"), last_proof=NOW - timedelta(days=days))
    assert [code for code, _ in said(of)] == codes
    if codes == ["proof-too-old"]:
        assert examine(of, NOW)[0].level == "critical"


def test_on_demand_nothing_is_late() -> None:
    of = facts(backup(1, 24 * 50, "proven"), last_proof=NOW - 500 * DAY, max_age=None, max_proof_age=None)
    assert said(of) == [("fine", "ok")]


def test_suspicious() -> None:
    history = [backup(number, 100 - 24 * number, "proven") for number in (1, 2, 3)]
    assert said(facts(*history, backup(4, 1, size=10))) == [("backup-suspicious", "warning")]


def test_b15_a_backup_from_the_future() -> None:
    assert said(facts(backup(1, 1, "proven"), backup(2, -30))) == [("clock-jumped", "warning")]


def test_a_clock_that_went_ahead_is_told_although_silence_would_look_the_same() -> None:
    found = said(facts(backup(1, 1, "proven")), NOW + 3650 * DAY)
    critical = [("backup-too-old", "critical"), ("proof-too-old", "critical")]
    assert found == [*critical, ("review-due", "warning"), ("clock-jumped", "info")]


def test_orphans_are_information() -> None:
    found = examine(facts(backup(1, 1, "proven"), orphans=2), NOW)
    assert [(finding.code, finding.level) for finding in found] == [("orphans", "info"), ("fine", "ok")]
    assert "2 files belong to no backup" in found[0].text
    assert level(found) == "ok"


def test_findings_made_elsewhere_count_and_the_gravest_comes_first() -> None:
    other = Finding("store-unreachable", "critical", "keycloak", "the store does not answer", "mount it")
    of = facts(backup(1, 30, "damaged"), backup(2, 1, "proven"), other=(other,), orphans=1)
    found = examine(of, NOW)
    assert [finding.level for finding in found] == ["critical", "warning", "info"]
    assert found[0] is other
    assert level(found) == "critical"


def test_level() -> None:
    assert level([]) == "ok"
    assert level([Finding("x", "warning", "s", "t"), Finding("x", "info", "s", "t")]) == "warning"


STATES: tuple[State, ...] = ("stored", "intact", "proven", "damaged")


@given(
    st.lists(st.tuples(st.sampled_from(STATES), st.integers(-5000, 5000), st.integers(0, 9000)), max_size=8),
    st.none() | st.integers(0, 5000),
)
def test_green_only_with_a_proven_backup_and_every_complaint_has_a_hint(
    drawn: list[tuple[State, int, int]], proof_hours: int | None
) -> None:
    backups = [backup(place, hours, state, size) for place, (state, hours, size) in enumerate(drawn)]
    of = facts(*backups, last_proof=None if proof_hours is None else NOW - proof_hours * HOUR)
    found = examine(of, NOW)
    assert found
    assert all(finding.hint for finding in found if finding.level != "ok")
    assert all(finding.text.startswith("keycloak: ") for finding in found)
    if level(found) == "ok":
        assert any(one.state == "proven" for one in backups)


# -- runs, copies, room ------------------------------------------------------------------------------


def a_run(task: str, hours: float, outcome: Outcome = "done", minutes: float = 1, text: str = "") -> Run:
    began = NOW - hours * HOUR
    return Run("0" * 16, task, "keycloak", began, began + timedelta(minutes=minutes), outcome, text=text)


FINE = (backup(1, 34, "proven"), backup(2, 10))


def with_more(**more: object) -> Facts:
    return replace(facts(*FINE), **more)


def test_only_the_last_run_of_a_task_counts() -> None:
    failed = a_run("backup", 2, "failed", text="the server does not answer")
    assert said(with_more(runs=(a_run("backup", 1), failed))) == [("fine", "ok")]
    (finding,) = examine(with_more(runs=(failed, a_run("backup", 26))), NOW)
    assert (finding.code, finding.level) == ("backup-failed", "critical")
    assert "failed: the server does not answer" in finding.text
    assert said(with_more(runs=(a_run("copy", 2, "failed"),))) == [("copy-failed", "warning")]
    assert said(with_more(runs=(a_run("prove", 2, "cut off"),))) == [("prove-failed", "critical")]


@pytest.mark.parametrize("outcome", ["running", "busy", "interrupted"])
def test_what_says_nothing_does_not_hide_a_failure(outcome: Outcome) -> None:
    runs = (a_run("backup", 1, outcome), a_run("backup", 2, "failed"))
    assert said(with_more(runs=runs)) == [("backup-failed", "critical")]
    assert said(with_more(runs=runs[:1])) == [("fine", "ok")]


def test_a_restore_that_failed_is_no_state_of_the_backups() -> None:
    assert said(with_more(runs=(a_run("restore", 1, "failed"),))) == [("fine", "ok")]


def test_a_backup_that_took_far_longer_than_usual() -> None:
    before = [a_run("backup", 24.0 * day, minutes=10) for day in range(2, 8)]
    assert said(with_more(runs=(a_run("backup", 1, minutes=29), *before))) == [("fine", "ok")]
    assert said(with_more(runs=(a_run("backup", 1, minutes=31), *before))) == [("backup-slow", "warning")]
    assert said(with_more(runs=(a_run("backup", 1, minutes=31), *before[:2]))) == [("fine", "ok")]
    short = [a_run("backup", 24.0 * day, minutes=0.1) for day in range(2, 8)]
    assert said(with_more(runs=(a_run("backup", 1, minutes=1), *short))) == [("fine", "ok")]


def test_a_store_that_lacks_a_copy_after_a_day() -> None:
    def elsewhere(*ids: str) -> Facts:
        return with_more(elsewhere=(Elsewhere("offsite", frozenset(ids)),))

    assert said(elsewhere("keycloak/1", "keycloak/2")) == [("fine", "ok")]
    assert said(elsewhere("keycloak/1")) == [("fine", "ok")], "the newest is ten hours old"
    assert said(elsewhere("keycloak/2")) == [("fine", "ok")], "a newer one stands for it"
    (finding,) = examine(elsewhere(), NOW)
    assert (finding.code, finding.level) == ("copy-missing", "critical")
    assert "offsite has no copy of keycloak/1" in finding.text


def test_other_stores_that_are_down_or_damaged() -> None:
    down = Elsewhere("offsite", error="no answer")
    assert said(with_more(elsewhere=(down,))) == [("store-unreachable", "warning")]
    damaged = Elsewhere("offsite", frozenset({"keycloak/2"}), damaged=("keycloak/1",))
    assert said(with_more(elsewhere=(damaged,))) == [("copy-damaged", "warning")]


@pytest.mark.parametrize(("free", "level"), [(7000, "ok"), (6999, "warning"), (1000, "warning"), (999, "critical")])
def test_room_for_more_backups(free: int, level: str) -> None:
    assert [grade for _, grade in said(with_more(free=free))] == [level]


# -- runs, rooms, keys ----------------------------------------------------------------------------


def plan(task: str, cron: str = "0 2 * * *") -> Plan:
    return Plan(task, "keycloak", parse_cron(cron), UTC)


def ran(task: str, began: datetime, outcome: Outcome = "done") -> Run:
    return Run(f"{task}{began}", task, "keycloak", began, ended=began + timedelta(minutes=1), outcome=outcome)


SOUND = facts(backup(1, 34, "proven"), backup(2, 10))


def test_a_backup_whose_end_could_not_be_written_down_is_there_all_the_same() -> None:
    cut = ran("backup", NOW - HOUR, "cut off")
    assert said(replace(SOUND, runs=(cut,))) == [("backup-failed", "critical")]
    assert said(replace(facts(backup(1, 34, "proven"), backup(2, 0.9)), runs=(cut,))) == [("fine", "ok")]
    torn = facts(backup(1, 34, "proven"), backup(2, 0.9, "damaged"))
    assert ("backup-failed", "critical") in said(replace(torn, runs=(cut,)))


def test_a_wrong_word_at_a_terminal_is_no_failed_backup() -> None:
    wrong = replace(ran("backup", NOW - HOUR, "failed"), source="", exit_code=2)
    assert said(replace(SOUND, runs=(wrong,))) == [("fine", "ok")]
    assert ("backup-failed", "critical") in said(replace(SOUND, runs=(replace(wrong, exit_code=1),)))
    assert ("backup-failed", "critical") in said(replace(SOUND, runs=(replace(wrong, source="keycloak"),)))


@pytest.mark.parametrize(("days", "missing"), [(0.3, False), (1.9, True)])
def test_a_task_that_is_scheduled_and_does_not_begin_is_missing(days: float, missing: bool) -> None:
    of = replace(SOUND, plans=(plan("copy"), plan("verify")), runs=(ran("copy", NOW - days * DAY),))
    assert (("run-missing", "warning") in said(of)) is missing


@pytest.mark.parametrize(("hours", "missing"), [(19.9, False), (20.1, True), (24 * 40, True)])
def test_a_task_that_never_ran_is_missing_after_its_first_interval_and_not_in_it(hours: float, missing: bool) -> None:
    """Scheduled for two o'clock since two at night: the first slot is a day later, and a quarter of a day is grace."""
    at_two = NOW.replace(hour=2)
    of = replace(SOUND, plans=(plan("verify"),), since={"verify": at_two})
    found = examine(of, at_two + timedelta(hours=10 + hours))
    told = [one.text for one in found if one.code == "run-missing"]
    assert bool(told) is missing
    assert not told or "verify is scheduled since 2026-11-23 02:00 UTC, and never began" in told[0]


def test_a_schedule_that_has_changed_counts_from_the_change() -> None:
    of = replace(SOUND, plans=(plan("copy", "0 * * * *"),), runs=(ran("copy", NOW - 10 * DAY),))
    assert ("run-missing", "warning") in said(of)
    assert said(replace(of, since={"copy": NOW - HOUR / 2})) == [("fine", "ok")]


def test_a_task_that_is_still_going_on_is_not_missing() -> None:
    of = replace(SOUND, plans=(plan("copy"),), runs=(ran("copy", NOW - 2 * DAY),))
    assert ("run-missing", "warning") in said(of)
    assert said(replace(of, runs=(ran("copy", NOW - 2 * DAY, "running"),))) == [("fine", "ok")]


def test_b18_slots_that_were_skipped_are_told_until_a_run_had_none() -> None:
    def skipped(now: int, before: int = 0) -> list[tuple[str, Level]]:
        memory = Memory(NOW - DAY, skips=now, before=before)
        return said(replace(SOUND, plans=(plan("backup", "*/5 * * * *"),), memories={"backup": memory}))

    assert skipped(1) == [("fine", "ok")], "one may happen"
    assert skipped(2) == [("run-skipped", "warning")]
    assert skipped(0, before=2) == [("run-skipped", "warning")], "the run that came at last does not end it yet"
    assert skipped(0) == [("fine", "ok")]
    memories = {"copy": Memory(NOW - DAY, skips=7)}
    (found,) = examine(replace(SOUND, plans=(plan("copy"),), memories=memories), NOW)
    assert "7 slots of copy in a row were left out" in found.text
    assert said(replace(SOUND, plans=(plan("backup"),), memories=memories)) == [("fine", "ok")], "of another task"


def test_a_run_that_comes_long_after_its_slot_is_late_and_one_by_hand_is_not() -> None:
    at_two = NOW.replace(hour=2)
    late = replace(SOUND, plans=(plan("copy"),), runs=(ran("copy", at_two + 5 * HOUR), ran("copy", at_two - DAY)))
    assert ("run-late", "info") in said(late)
    by_hand = replace(late, runs=(ran("copy", at_two + 5 * HOUR), ran("copy", at_two), ran("copy", at_two - DAY)))
    assert said(by_hand) == [("fine", "ok")]


def test_retention_that_is_not_carried_out() -> None:
    old = [backup(number, 24 * (60 - number), "proven") for number in range(1, 60)]
    policy, pruning = Policy(keep_within=10 * DAY), (plan("prune", "30 5 * * *"),)
    of = replace(facts(*old), policy=policy, plans=pruning)
    assert ("retention-not-carried-out", "warning") in said(of)
    assert said(replace(of, runs=(ran("prune", NOW - 6 * HOUR),))) == [("fine", "ok")]
    assert ("retention-not-carried-out", "warning") in said(replace(of, runs=(ran("prune", NOW - 3 * DAY),)))
    assert said(replace(of, plans=())) == [("fine", "ok")], "who prunes by hand knows"


def test_tables_that_lost_their_rows_are_named() -> None:
    usual = {"public.users": 50_000, "public.events": 900_000, "public.small": 20}
    of = replace(SOUND, rows=({**usual, "public.users": 12}, usual, usual, usual))
    (found,) = [one for one in examine(of, NOW) if one.code == "tables-moved"]
    assert found.level == "warning" and "public.users 50,000 -> 12" in found.text and "events" not in found.text
    gone = replace(SOUND, rows=({"public.users": 50_000, "public.small": 20}, usual, usual))
    assert "public.events 900,000 -> gone" in examine(gone, NOW)[0].text
    for quiet in ((usual,), (usual, usual), ({**usual, "public.small": 1}, usual, usual), ()):
        assert said(replace(SOUND, rows=quiet)) == [("fine", "ok")]


def test_tables_that_grew_are_named_with_the_three_furthest_moves_each_way() -> None:
    usual = {f"public.t{number}": 1000 for number in range(1, 10)}
    grown = {**usual, "public.t1": 90_000, "public.t2": 70_000, "public.t3": 60_000, "public.t4": 50_000}
    (found,) = [one for one in examine(replace(SOUND, rows=(grown, usual, usual)), NOW) if one.code == "tables-moved"]
    names = "public.t1 1,000 -> 90,000, public.t2 1,000 -> 70,000, public.t3 1,000 -> 60,000 and 1 more"
    assert (found.level, found.text) == ("info", f"keycloak: tables grew: {names}")
    both = {**grown, "public.t9": 3}
    (found,) = [one for one in examine(replace(SOUND, rows=(both, usual, usual)), NOW) if one.code == "tables-moved"]
    assert found.level == "warning"
    assert found.text == f"keycloak: tables lost rows: public.t9 1,000 -> 3; tables grew: {names}"


def test_a_table_that_is_emptied_every_other_day_is_as_usual() -> None:
    full, empty = {"public.queue": 5_000}, {"public.queue": 0}
    assert moved((empty, full, empty, full, empty, full, empty, full)) == []


def test_a_disk_that_fills_is_told_with_its_date() -> None:
    """Ten daily backups of 1,000 bytes: until thirty days are full, each day takes 1,000."""
    ten = [backup(number, 24 * (10 - number) + 1, "proven") for number in range(1, 11)]
    of = replace(facts(*ten), policy=Policy(keep_within=30 * DAY), plans=(plan("prune"), plan("backup")))
    of = replace(of, runs=(ran("prune", NOW - HOUR), ran("backup", NOW - HOUR)))
    assert full_in(replace(of, free=10_000), NOW) == pytest.approx(10 * DAY, abs=HOUR)
    assert said(replace(of, free=10_000)) == [("disk-full-soon", "warning")]
    assert ("disk-full-soon", "critical") in said(replace(of, free=6_500))
    assert full_in(replace(of, free=25_000), NOW) is None, "then as much goes as comes"
    assert said(replace(of, free=25_000)) == [("fine", "ok")]


def other(number: int, hours: float, source: str = "blog", kind: str = "logical", size: int = 1000) -> Candidate:
    return replace(backup(number, hours, "proven", size), id=f"{source}/{number}", kind=kind)


def test_all_that_is_written_to_a_store_fills_it() -> None:
    """Another source of the same size, and a volume of seven times that size each week: three times as fast."""
    ten = [backup(number, 24 * (10 - number) + 1, "proven") for number in range(1, 11)]
    blog = [other(number, 24 * (10 - number) + 1) for number in range(1, 11)]
    volume = [other(number, 168 * (3 - number) + 1, "keycloak", "volume", 7000) for number in range(1, 4)]
    of = replace(facts(*ten, *volume), others=tuple(blog))
    assert full_in(replace(of, free=30_000), NOW) == pytest.approx(10 * DAY, abs=HOUR)
    assert full_in(replace(facts(*ten), free=30_000), NOW) == pytest.approx(30 * DAY, abs=HOUR)


def test_what_nobody_makes_any_more_takes_no_further_room() -> None:
    """A volume that was backed up once, by hand, and one that was each week until a month ago."""
    ten = [backup(number, 24 * (10 - number) + 1, "proven") for number in range(1, 11)]
    given_up = [other(number, 24 * (60 - 7 * number), "blog", "volume", 7000) for number in range(1, 4)]
    of = replace(facts(*ten), others=(*given_up, other(1, 24 * 365, "shop", "volume", 100_000)), free=30_000)
    assert full_in(of, NOW) == pytest.approx(30 * DAY, abs=HOUR)
    assert "space" not in [code for code, _ in said(of)]


def test_a_run_that_came_to_no_store_is_followed_by_the_next_of_its_task() -> None:
    """Found by the soak: a verify that was refused as the store was away stood for ever."""
    refused, done = ran("verify", NOW - HOUR, "refused"), replace(ran("verify", NOW, "done"), store="local")
    assert said(replace(SOUND, runs=(refused,))) == [("verify-failed", "warning")]
    assert said(replace(SOUND, runs=(done, refused))) == [("fine", "ok")]
    other_store = replace(refused, store="offsite")
    assert said(replace(SOUND, runs=(done, other_store))) == [("verify-failed", "warning")]


def test_room_is_counted_in_backups_of_every_source_and_kind() -> None:
    of = replace(facts(backup(1, 1, "proven")), free=9_999)
    assert said(of) == [("fine", "ok")]
    crowded = replace(of, others=(other(1, 1), other(1, 1, "blog", "volume", 3000)))
    (found,) = examine(crowded, NOW)
    assert (found.code, found.level) == ("space", "warning")
    assert found.text == "keycloak: the first store has room for 1 more backups like the newest of each source and kind"


def test_backups_made_by_hand_within_the_hour_say_nothing_of_days() -> None:
    """Found by the soak: three in a minute looked like thousands a day."""
    hasty = facts(*(backup(number, 1 - number / 60, "proven") for number in range(1, 6)))
    assert said(replace(hasty, free=10_000)) == [("fine", "ok")]


def test_a_disk_that_fills_by_growth_alone() -> None:
    """Thirty backups that grow by 10 bytes a day take 300 more each day once retention holds."""
    line = [backup(number, 24 * (30 - number), "proven", size=1000 + 10 * number) for number in range(1, 31)]
    of = replace(facts(*line), policy=Policy(keep_within=29 * DAY), plans=(plan("prune"),), free=3_000)
    assert full_in(of, NOW) == pytest.approx(10 * DAY, abs=HOUR)


@given(st.lists(st.integers(1, 10**12), min_size=3, max_size=20), st.integers(0, 10**15))
def test_when_a_disk_is_full_can_be_asked_of_anything(sizes: list[int], free: int) -> None:
    line = [backup(number, 24.0 * number, size=size) for number, size in enumerate(sizes)]
    left = full_in(replace(facts(*line), free=free, policy=Policy(keep_within=30 * DAY)), NOW)
    assert left is None or left >= timedelta(0)


def test_a_drill_that_would_not_fit() -> None:
    assert said(replace(SOUND, drill=Room("/tmp", 10, 20))) == [("restore-would-not-fit", "warning")]
    assert said(replace(SOUND, drill=Room("/tmp", 20, 20))) == [("fine", "ok")]


def test_a_key_that_nobody_has_tried_for_long() -> None:
    old = facts(backup(1, 24 * 100, "proven"), backup(2, 10), max_proof_age=None)
    finding = ("key-unproven", "warning")
    assert finding in said(replace(old, keyed=True, opened=NOW - 91 * DAY))
    assert finding in said(replace(old, keyed=True, opened=None))
    assert finding not in said(replace(old, keyed=True, opened=NOW - 89 * DAY)) + said(replace(old, keyed=False))


def test_a_kind_that_works_hides_no_other_that_fails() -> None:
    """Both are runs of one task; what came to no kind is of both."""
    nights = [
        one
        for age in range(1, 5)
        for one in (
            replace(a_run("backup", 24 * age, "failed"), asked="backup keycloak --kind logical"),
            replace(
                a_run("backup", 24 * age - 2), asked="backup keycloak --kind volume", backup=f"keycloak/{age}-volume"
            ),
        )
    ]
    volume = replace(backup(2, 12, "proven"), kind="volume")
    logical = replace(backup(1, 120, "proven"), kind="logical")
    day = timedelta(days=1)
    both = replace(facts(logical, volume), kinds=("logical", "volume"), max_age=day * 1.25, runs=tuple(nights[::-1]))
    newest_first = tuple(sorted(nights, key=lambda one: one.began, reverse=True))
    found = examine(replace(both, runs=newest_first), NOW)
    assert {one.code for one in found} == {"backup-failed", "backup-too-old"}, found
    assert "logical" in " ".join(one.text for one in found)
    lone = replace(both, kinds=("volume",), runs=newest_first)
    assert {one.code for one in examine(lone, NOW)} == {"fine"}
    missing = examine(replace(both, backups=(volume,), runs=()), NOW)
    assert [one.text for one in missing if one.code == "no-backup"] == [
        "keycloak: there is no backup of the kind logical"
    ]


def test_a_backup_may_be_older_by_as_long_as_one_takes() -> None:
    """It counts from its begin, and is there only from its end: else each that takes long would be late each time."""
    long = [a_run("backup", 24 * age, minutes=7 * 60) for age in range(1, 6)]
    late = replace(facts(backup(1, 34, "proven")), runs=tuple(long))
    assert [one.code for one in examine(late, NOW)] == ["fine"]
    assert [one.code for one in examine(replace(late, runs=()), NOW)] == ["backup-too-old"]
