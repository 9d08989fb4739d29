"""The quarterly review: it counts what was done, says what is not, and is asked for in time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgproof.monitor.health import Facts, examine
from pgproof.retention import Candidate
from pgproof.run import Run
from tests.conftest import Program, Servers
from tests.kit import run

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def program(servers: Servers, tmp_path: Path) -> Program:
    database = servers.database(17)
    run(database, "CREATE TABLE users AS SELECT g AS id FROM generate_series(1, 500) g")
    made = Program(tmp_path)
    made.configure('[schedule]\nprove = "none"\n', keycloak=database)
    return made


@pytest.mark.slow
def test_a_review_tells_what_was_done_and_what_is_not(program: Program) -> None:
    program.ok("backup", "--quiet")
    program.ok("prove", "--quiet")
    program.run("backup", "nosuch")
    told = program.ok("review", "--json").json
    (practice,) = told["practices"]
    assert practice["backups"] == practice["proven"] == len(practice["drills"]) == 1
    assert practice["first_size"] == practice["last_size"] > 0
    done = {one["name"]: one["well"] for one in practice["tasks"]}
    assert done["backup"] == 1 and done["prune"] == 0 and "prove" not in done
    items = {one["text"]: one["done"] for one in told["checklist"]}
    assert items["backups are scheduled"] and items["every source was restored for trial"]
    assert (
        not items["restore tests are scheduled"]
        and not items["a copy lies elsewhere"]
        and not items["somebody is told"]
    )
    said = program.ok("review").out
    assert "[x] backups are scheduled: 0 2 * * *" in said and "[ ] a copy lies elsewhere" in said
    assert "none was held before" in said


def test_that_it_was_held_is_kept_in_journal_and_audit_log(program: Program) -> None:
    program.ok("backup", "--quiet")
    assert "Recorded" in program.ok("review", "--held", "--by", "Ann", "--note", "second store next month").out
    assert "the last one was held on" in program.ok("review").out
    (line,) = [one for one in program.ok("audit", "--json").json if one["task"] == "review"]
    assert line["outcome"] == "done" and line["text"] == "held by Ann; second store next month"


@pytest.mark.parametrize(
    ("first", "held", "level"),
    [
        (91, None, None),
        (93, None, "info"),
        (124, None, "warning"),
        (300, 91, None),
        (300, 93, "info"),
        (300, 130, "warning"),
    ],
)
def test_a_review_is_asked_for_in_time(first: int, held: int | None, level: str | None) -> None:
    backups = tuple(
        Candidate(f"keycloak/{days}", 1000 - days, NOW - days * DAY, "proven", False, 10, 1)
        for days in range(0, first + 1, 1)
    )
    runs = () if held is None else (Run("r", "review", "", NOW - held * DAY, outcome="done"),)
    found = [one.level for one in examine(Facts("keycloak", backups, NOW, runs=runs), NOW) if one.code == "review-due"]
    assert found == ([level] if level else [])
