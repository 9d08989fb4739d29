"""[health]: every threshold is a setting, by default as it always was; nonsense is refused by its path."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgproof.config import Config, load, without_secrets
from pgproof.config.health import _FACTORS, _SHORT, _SPANS, _WHOLE
from pgproof.errors import ConfigError
from pgproof.monitor.health import Facts, Room, examine
from pgproof.monitor.surroundings import surroundings
from pgproof.retention import Candidate, Policy, decide, pauses
from pgproof.run import Run
from pgproof.schedule import Memory, Plan, parse_cron
from pgproof.thresholds import USUAL, Thresholds
from tests.conftest import Program, Servers, drop_database
from tests.kit import run

ROOT = Path(__file__).parent.parent
BASE = '[sources.db]\nurl = "postgresql://u@h/db"\n[stores.local]\nurl = "backups"\n'
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def read(folder: Path, text: str) -> Config:
    (folder / "pgproof.toml").write_text(BASE + text)
    return load(folder / "pgproof.toml")


def test_without_the_table_all_is_as_usual_and_every_threshold_can_be_set(tmp_path: Path) -> None:
    assert read(tmp_path, "").health == read(tmp_path, "[health]\n").health == USUAL == Thresholds()
    given = {
        **dict.fromkeys(_WHOLE, "4"), **dict.fromkeys(_FACTORS, "3.5"), **dict.fromkeys(_SPANS, '"40d"'),
        "smaller": "0.1", "look_back": "6", _SHORT: '"90s"',
    }  # fmt: skip
    assert set(given) == {field.name for field in fields(Thresholds)}, "none is forgotten"
    config = read(tmp_path, "[health]\n" + "".join(f"{key} = {text}\n" for key, text in given.items()))
    assert all(getattr(config.health, key) != getattr(USUAL, key) for key in given)
    assert (config.health.smaller, config.health.larger, config.health.look_back) == (0.1, 3.5, 6)
    assert (config.health.key_age, config.health.slower_by) == (40 * DAY, timedelta(seconds=90))
    shown = without_secrets(config)
    assert (shown["health.slower_by"], shown["health.key_age"], shown["health.room"]) == ("90s", "40d", "4")
    assert not [key for key in without_secrets(read(tmp_path, "")) if key.startswith("health")]


def test_every_threshold_has_its_line_in_the_documents() -> None:
    text = (ROOT / "docs" / "findings.md").read_text()
    for field in fields(Thresholds):
        assert f"\n| `{field.name}` |" in text, field.name


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("smaler = 0.5", "health.smaler is not a setting"),
        ("smaller = 1.5", "health.smaller is 1.5"),
        ("larger = 1", "health.larger is 1"),
        ("larger = nan", "health.larger is nan"),
        ("larger = inf", "health.larger is inf"),
        ('larger = "5"', "health.larger must be a number"),
        ("slower = true", "health.slower must be a number"),
        ("late = 0.5", "health.late is 0.5"),
        ("enough = 0", "health.enough is 0"),
        ("enough = 2.5", "health.enough must be a whole number"),
        ("enough = 11", "health.enough is more than health.look_back"),
        ("room = -1", "health.room is -1"),
        ('full_soon = "2d"', "health.full_very_soon is longer than health.full_soon"),
        ('key_age = "0d"', "health.key_age must be a span"),
        ('key_age = "none"', "health.key_age must be a span"),
        ("key_age = 90", "health.key_age must be a span"),
        ('key_age = "90"', "health.key_age: '90' is not a span"),
        ('slower_by = "0s"', "health.slower_by is no span of time"),
    ],
)
def test_what_is_nonsense_is_refused_by_its_path(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f"[health]\n{line}\n")
    assert message in caught.value.message and caught.value.hint and caught.value.exit_code == 2


# -- each of them is what its finding goes by ----------------------------------------------------------


def backup(number: int, hours: float, size: int = 1000, rows: int = 100) -> Candidate:
    return Candidate(f"db/{number}", number, NOW - hours * HOUR, "proven", False, size, rows)


def ran(task: str, hours: float, minutes: float = 1) -> Run:
    began = NOW - hours * HOUR
    return Run("0" * 16, task, "db", began, began + timedelta(minutes=minutes), "done")


def plan(task: str) -> Plan:
    return Plan(task, "db", parse_cron("0 2 * * *"), UTC)


WEEK = tuple(backup(number, 24 * (7 - number) + 1) for number in range(1, 8))
FACTS = Facts("db", WEEK, NOW - HOUR)
SMALL = replace(FACTS, backups=(*WEEK, backup(8, 0.5, size=400)))
GREW = replace(FACTS, backups=(*WEEK, backup(8, 0.5, size=6000)))
TABLES = replace(FACTS, rows=({"t": 400}, {"t": 1000}, {"t": 1000}, {"t": 1000}))
UNSTEADY = replace(FACTS, rows=({"t": 400}, {"t": 1000}, {"t": 1200}, {"t": 800}))
SLOW = replace(FACTS, runs=(ran("backup", 1, 8), *(ran("backup", 24.0 * day, 2) for day in range(1, 6))))
BRIEF = replace(FACTS, runs=(ran("backup", 1, 1.5), *(ran("backup", 24.0 * day, 0.1) for day in range(1, 6))))
SKIPPED = replace(FACTS, plans=(plan("verify"),), memories={"verify": Memory(NOW, skips=2)})
FULL = replace(FACTS, free=12_000)
KEYED = replace(FACTS, keyed=True, opened=NOW - 91 * DAY)
OLD = replace(FACTS, backups=tuple(replace(one, began=one.began - 100 * DAY) for one in WEEK))
LEFT = replace(FACTS, policy=Policy(keep_within=3 * DAY), plans=(plan("prune"),))


@pytest.mark.parametrize(
    ("facts", "code", "quiet"),
    [
        (SMALL, "backup-suspicious", Thresholds(smaller=0.3)),
        (GREW, "backup-suspicious", Thresholds(larger=7)),
        (replace(SMALL, backups=SMALL.backups[-3:]), "", USUAL),
        (replace(SMALL, backups=SMALL.backups[-4:]), "backup-suspicious", Thresholds(enough=4)),
        (TABLES, "tables-moved", Thresholds(smaller=0.3)),
        (TABLES, "tables-moved", Thresholds(fewest_rows=601)),
        (replace(UNSTEADY, limits=Thresholds(deviations=2)), "tables-moved", Thresholds(deviations=4)),
        (SLOW, "backup-slow", Thresholds(slower=5)),
        (SLOW, "backup-slow", Thresholds(enough=6)),
        (BRIEF, "backup-slow", Thresholds(slower_by=timedelta(minutes=2))),
        (SKIPPED, "run-skipped", Thresholds(skips=3)),
        (replace(FACTS, free=6_500), "space", Thresholds(room=6, full_soon=DAY, full_very_soon=DAY)),
        (FULL, "disk-full-soon", Thresholds(full_soon=10 * DAY)),
        (KEYED, "key-unproven", Thresholds(key_age=92 * DAY)),
        (OLD, "review-due", Thresholds(review=120 * DAY)),
        (LEFT, "retention-not-carried-out", Thresholds(undone=10 * DAY)),
        (replace(FACTS, drill=Room("/tmp", 1, 2)), "restore-would-not-fit", None),
    ],
)
def test_a_threshold_decides_whether_its_finding_is_told(facts: Facts, code: str, quiet: Thresholds | None) -> None:
    def codes(of: Facts) -> set[str]:
        return {one.code for one in examine(of, NOW) if one.level != "ok"}

    assert (code in codes(facts)) is bool(code), examine(facts, NOW)
    if quiet is not None:
        assert code not in codes(replace(facts, limits=quiet)), examine(replace(facts, limits=quiet), NOW)


def test_levels_go_by_thresholds_too() -> None:
    def level(of: Facts, code: str) -> str:
        return next(one.level for one in examine(of, NOW) if one.code == code)

    assert level(FULL, "disk-full-soon") == "warning"
    assert level(replace(FULL, limits=Thresholds(full_very_soon=20 * DAY)), "disk-full-soon") == "critical"
    assert level(OLD, "review-due") == "info"
    assert level(replace(OLD, limits=Thresholds(review_overdue=DAY)), "review-due") == "warning"


def test_look_back_says_how_far_the_usual_reaches() -> None:
    """Three small ones after many large ones: with a short memory small is usual."""
    line = [*(backup(number, 60 - number, 1000) for number in range(1, 8)), *(backup(number, 20 - number, 300)
            for number in range(8, 12))]  # fmt: skip
    assert pauses(line, NOW) and not pauses(line, NOW, Thresholds(look_back=3))


def test_deletion_pauses_by_the_same_thresholds() -> None:
    line = [backup(number, 24 * (40 - number)) for number in range(1, 40)] + [backup(40, 0.5, size=400)]
    assert all(one.keep for one in decide(line, Policy(keep_last=5), NOW))
    assert not all(one.keep for one in decide(line, Policy(keep_last=5), NOW, Thresholds(smaller=0.3)))
    assert "below 0.45 times the usual 1,000" in pauses(line, NOW, Thresholds(smaller=0.45))[0]


def test_ages_follow_the_table(tmp_path: Path) -> None:
    config = read(tmp_path, "[health]\nlate = 2\n")
    assert (config.max_age, read(tmp_path, "").max_age) == (48 * HOUR, 30 * HOUR)


def test_the_age_of_secrets_follows_the_table(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch(0o600)
    source = f'password = "file:{secret}"\n'

    def codes(more: str) -> list[str]:
        text = BASE.replace("[stores", f"{source}[stores") + more
        (tmp_path / "pgproof.toml").write_text(text)
        config = load(tmp_path / "pgproof.toml")
        return [one.code for one in surroundings(config, config.sources[0], 0, datetime.now(UTC) + 50 * HOUR)]

    assert codes("") == []
    assert codes('[health]\nsecret_age = "2d"\n') == ["secret-old"]


@pytest.mark.slow
def test_status_and_prune_go_by_the_configuration(servers: Servers, program: Program) -> None:
    """A database that shrinks to a third: `status` says so and deletion pauses, unless that is configured as usual."""
    source = servers.database(17)
    run(source, "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 3000) g")
    keep = '[retention]\nkeep_within = "none"\nkeep_last = 1\nkeep_proven = 1\n'

    def seen(more: str) -> tuple[set[str], int]:
        program.configure(keep + more, db=source)
        found = {one["code"] for one in program.run("status", "--json").json["findings"]}
        verdicts = program.ok("prune", "--json").json[0]["verdicts"]
        return found & {"backup-suspicious", "tables-moved"}, sum(not one["keep"] for one in verdicts)

    try:
        program.configure(db=source)
        for _ in range(4):
            program.ok("backup", "--quiet")
        run(source, "DELETE FROM t WHERE id > 1000")
        program.ok("backup", "--quiet")
        assert seen("") == ({"backup-suspicious", "tables-moved"}, 0)
        assert seen("[health]\nsmaller = 0.2\n") == (set(), 4)
        run(source, "INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1, 20000) g")
        program.configure(db=source)
        program.ok("backup", "--quiet")
        told = {one["code"]: one for one in program.run("status", "--json").json["findings"]}["tables-moved"]
        assert (told["level"], told["text"]) == ("info", "db: tables grew: public.t 3,000 -> 21,000")
        program.configure("[health]\nsmaller = 2\n", db=source)
        ran = program.run("status")
        assert (program.run("prune").code, "health.smaller is 2" in ran.out) == (2, True)
    finally:
        drop_database(servers(17).address, source.database)
