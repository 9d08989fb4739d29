"""Health says what is wrong, of what weight, and what to do; and nothing when nothing is."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproof.finding import Finding, Level, level
from pgproof.manifest import State
from pgproof.monitor.health import Facts, examine
from pgproof.retention import Candidate

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
    assert found == [("backup-too-old", "critical"), ("proof-too-old", "critical"), ("clock-jumped", "info")]


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
