"""The service: what is due runs once, in order, and nothing is half made when it is stopped. The clock runs fast."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pgproof.cli.attending import Attendant
from pgproof.config import load
from pgproof.daemon import Ended, plans
from pgproof.monitor.journal import Journal
from pgproof.postgres.server import Address, connect
from pgproof.run import Outcome, Run
from tests.channels import Web, free_port, web
from tests.conftest import Program, Servers, drop_database
from tests.kit import run, value
from tests.waiting import until

SCRIPT = Path(__file__).with_name("fast_service.py")
OFTEN = '[schedule]\nbackup = "*/5 * * * *"\nprove = "none"\nprune = "none"\ntimezone = "UTC"\n'
FACTOR = 60  # so that a minute of the schedule is a second


@dataclass
class Serving:
    """A service under way, and what it has logged."""

    program: Program
    child: "subprocess.Popen[str]"
    log: Path

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def said(self, words: str) -> int:
        return sum(words in line["text"] for line in self.lines)

    def wait_for(self, words: str, times: int = 1, seconds: float = 60) -> None:
        def there() -> bool:
            assert self.child.poll() is None, self.log.read_text()
            return self.said(words) >= times

        until(there, self.log.read_text, seconds)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.child.send_signal(number)
        return self.child.wait(timeout=60)


@contextmanager
def serving(program: Program, factor: float = FACTOR, begin: str = "") -> Iterator[Serving]:
    log = program.folder / f"service-{time.monotonic_ns()}.log"
    argv = [sys.executable, str(SCRIPT), "pgproof.toml", "notebook.json", str(factor), *([begin] if begin else [])]
    env = program.environment | {"PYTHONPATH": str(SCRIPT.parent.parent)}
    with log.open("w") as out:
        child = subprocess.Popen(argv, cwd=program.folder, env=env, stderr=out, text=True)
    try:
        yield Serving(program, child, log)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


@pytest.fixture
def source(servers: Servers) -> Iterator[Address]:
    made = servers.database(17)
    run(made, "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 2000) g")
    yield made
    drop_database(servers(17).address, made.database)


def listed(program: Program) -> list[Any]:
    return program.ok("list", "--json").json


@pytest.mark.slow
def test_each_slot_is_run_and_a_stop_is_clean(source: Address, program: Program) -> None:
    program.configure(OFTEN, db=source)
    with serving(program) as service:
        service.wait_for("backup of db is done", 2)
        assert service.stop() == 0
        assert service.lines[0]["text"].startswith("the service has begun")
        assert service.said("next backup of db at") == 1
        assert service.lines[-1]["text"] == "the service has ended"
    assert len(listed(program)) == service.said("backup of db is done")
    assert service.said("backup of db begins: due at") >= 2


@pytest.mark.slow
def test_a_source_that_is_down_is_told_and_tried_again(source: Address, program: Program) -> None:
    program.configure(OFTEN, db=Address(source.conninfo.replace("port=5432", "port=1"), source.password))
    with serving(program) as service:
        service.wait_for("backup of db FAILED (exit 6)")
        program.configure(OFTEN, db=source)
        service.child.send_signal(signal.SIGHUP)
        service.wait_for("the configuration was read again")
        service.wait_for("backup of db is done")
        assert service.stop() == 0


@pytest.mark.slow
def test_a_configuration_that_cannot_be_is_not_taken(source: Address, program: Program) -> None:
    program.configure(OFTEN, db=source)
    with serving(program) as service:
        service.wait_for("the service has begun")
        good = (program.folder / "pgproof.toml").read_text()
        (program.folder / "pgproof.toml").write_text(good + "[schedul]\n")
        service.child.send_signal(signal.SIGHUP)
        service.wait_for("the configuration is not taken, the one before stays: schedul is not a setting")
        (program.folder / "pgproof.toml").write_text(good + '[alerts]\nurls = ["env:NOT_SET"]\n')
        service.child.send_signal(signal.SIGHUP)
        service.wait_for("the configuration is not taken, the one before stays: alerts.urls")
        (program.folder / "pgproof.toml").write_text(good)
        service.wait_for("backup of db is done")
        assert service.stop(signal.SIGINT) == 0


@pytest.mark.slow
def test_a_task_that_is_stopped_as_it_starts_was_interrupted_and_has_not_failed(
    source: Address, program: Program
) -> None:
    program.configure(OFTEN, db=source)
    with serving(program) as service:
        service.wait_for("backup of db begins")
        assert service.stop() == 0
        assert service.said("backup of db was interrupted (exit 130)") == 1, service.log.read_text()
    assert listed(program) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_slot_of_a_backup_that_was_cut_off_is_made_good(source: Address, program: Program, number: int) -> None:
    """A daily one: who restarts the service in the middle of it does not wait a day for the next."""
    program.configure(OFTEN.replace("*/5 * * * *", "0 2 * * *"), db=source)
    with serving(program, begin="2026-11-26T01:59:00+00:00") as service:
        service.wait_for("backup of db begins")
        service.stop(number)
    with serving(program, begin="2026-11-26T02:01:00+00:00") as service:
        service.wait_for("backup of db is done")
        service.stop()
        assert service.said("due at 2026-11-26 02:00 UTC")
    assert len(listed(program)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_is_under_way_takes_back_what_is_half_made(source: Address, program: Program, number: int) -> None:
    """With SIGKILL the task dies with the service; the next one runs as if nothing had been."""
    run(
        source, "CREATE TABLE big AS SELECT g AS id, repeat(md5(g::text), 20) AS text FROM generate_series(1, 300000) g"
    )
    program.configure(OFTEN, db=source)
    with serving(program) as service:
        service.wait_for("backup of db begins")
        until(lambda: list(program.store.glob("db/*/.pgproof-tmp-*")))
        service.stop(number)
        if number == signal.SIGTERM:
            assert service.said("backup of db was interrupted (exit 130)") == 1, service.log.read_text()
    question = "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ 'pgproof|pg_dump' AND datname = %s"
    with_database = question.replace("%s", f"'{source.database}'") + " AND pid <> pg_backend_pid()"
    until(lambda: value(source, with_database) == 0)  # a server whose disk is busy hears of it when that answers
    assert listed(program) == []
    if number == signal.SIGTERM:
        assert not [path for path in program.store.rglob("*") if path.is_file() and path.name != ".pgproof-store"]
    with serving(program) as service:
        service.wait_for("backup of db is done")
        service.stop()
    assert listed(program)


@pytest.mark.slow
def test_one_run_stands_for_all_that_were_missed(source: Address, program: Program) -> None:
    program.configure(OFTEN, db=source)
    with serving(program) as service:
        service.wait_for("backup of db is done")
        service.stop()
    before = len(listed(program))
    book = program.folder / "notebook.json"
    memory = json.loads(json.loads(book.read_text())["backup db"])
    assert memory["running"] is None
    long_ago = {**memory, "since": "2026-01-01T00:00:00Z", "handled": "2026-11-01T00:00:00Z", "held": None}
    book.write_text(json.dumps({"backup db": json.dumps(long_ago)}))
    with serving(program, factor=600) as service:  # held back for up to ten minutes: a second here
        service.wait_for("slots have passed since")
        service.wait_for("backup of db is done")
        service.stop()
    assert len(listed(program)) == before + service.said("backup of db is done")


@pytest.mark.slow
def test_b26_a_journal_that_was_lost_is_made_anew_from_the_store(source: Address, program: Program) -> None:
    program.configure(OFTEN, db=source)
    made = program.ok("backup", "--json").json["id"]
    (program.folder / "state" / "journal.sqlite").unlink()
    with serving(program) as service:
        service.wait_for("1 runs were not in the journal")
        service.stop()
    runs = Journal(program.folder / "state" / "journal.sqlite").runs("db", "backup")
    assert made in {one.backup for one in runs}


def test_the_command_refuses_what_cannot_be(program: Program) -> None:
    nothing = "".join(f'{task} = "none"\n' for task in ("backup", "copy", "prove", "prune"))
    program.configure(f"[schedule]\n{nothing}", db=Address("host=/nowhere dbname=db"))
    ran = program.run("run")
    assert ran.code == 2 and "nothing is scheduled" in ran.err
    assert program.run("run", "--log", "xml").code == 2


@pytest.mark.slow
def test_what_fails_is_told_once_and_what_is_well_again_too(source: Address, program: Program) -> None:
    """The whole watch: an alert when a backup fails, none for each time it fails again, one when it is over;
    pings of start, fail and success; the figures and the health by HTTP.
    """
    down = Address(source.conninfo.replace("port=5432", "port=1"), source.password)
    with web() as alerts, web() as pings:
        program.env |= {
            "ALERT_URL": f"json://127.0.0.1:{alerts.port}/",
            "PING_URL": f"http://127.0.0.1:{pings.port}/me",
        }
        port = free_port()
        program.env["FAST_METRICS"] = f"127.0.0.1:{port}"
        watch = OFTEN + '[alerts]\nurls = ["env:ALERT_URL"]\nping = "env:PING_URL"\n'
        program.configure(watch, db=down)
        with serving(program) as service:
            service.wait_for("backup of db FAILED (exit 6)", 2)
            service.wait_for("accepted an alert")
            until(lambda: any("cannot connect" in text for text in bodies(alerts)))
            assert got(port, "/health")[0] == 503
            program.configure(watch, db=source)
            service.child.send_signal(signal.SIGHUP)
            service.wait_for("backup of db is done")
            until(lambda: len(bodies(alerts)) >= 2)
            until(lambda: b"pgproof_last_success_timestamp_seconds" in got(port, "/metrics")[1])
            service.stop()
        told = [text for text in bodies(alerts) if "the last backup" in text]
        assert len(told) == 2, bodies(alerts)
        assert told[0] != told[1]
    assert {"/me/start", "/me/fail", "/me"} <= set(pings.paths)
    assert pings.paths.index("/me/fail") < pings.paths.index("/me")


@pytest.mark.slow
def test_b18_slots_that_a_slow_backup_misses_are_told_once_and_over_when_one_came_in_time(
    source: Address, program: Program
) -> None:
    """A table that somebody has locked makes the backup wait, for two slots and more."""
    with web() as alerts:
        program.env["ALERT_URL"] = f"json://127.0.0.1:{alerts.port}/"
        program.configure(OFTEN + '[alerts]\nurls = ["env:ALERT_URL"]\n', db=source)
        with serving(program) as service, connect(source) as session:
            service.wait_for("backup of db is done")
            session.run("BEGIN; LOCK TABLE public.t")
            service.wait_for("backup of db is left out", 3)
            until(lambda: any("slots of backup in a row were left out" in text for text in bodies(alerts)))
            session.run("COMMIT")
            until(lambda: any("RECOVERED" in text and "[run-skipped]" in text for text in bodies(alerts)))
            service.stop()
        told = [text for text in bodies(alerts) if "were left out" in text and "RECOVERED" not in text]
        assert len(told) == 1, told


@pytest.mark.slow
def test_a_task_that_never_ran_is_missing_by_what_the_service_saw_first(source: Address, program: Program) -> None:
    """A service that was there for a moment and then no more: that this was long ago is written into its journal."""
    program.configure('[schedule]\nbackup = "0 2 * * *"\nprove = "0 4 * * sun"\n', db=source)
    program.ok("backup", "--quiet")
    with serving(program) as service:
        until(lambda: "since prove db" in journal(program).memories())
        service.stop()
    assert missing(program) == []
    for task, days in (("prove", 1), ("prove", 20), ("prune", 20)):
        key, long_ago = f"since {task} db", datetime.now(UTC) - timedelta(days=days)
        sight = json.loads(journal(program).memories()[key])
        journal(program).remember(key, json.dumps({**sight, "first": long_ago.isoformat()}))
        assert len(missing(program)) == {("prove", 1): 0, ("prove", 20): 1, ("prune", 20): 2}[task, days]
    assert all("never began" in text for text in missing(program))
    program.ok("prune", "--apply")
    assert [text for text in missing(program) if "prune" in text] == []


def journal(program: Program) -> Journal:
    return Journal(program.folder / "state" / "journal.sqlite")


def missing(program: Program) -> list[str]:
    found = program.run("status", "--json").json["findings"]
    return [one["text"] for one in found if one["code"] == "run-missing"]


def bodies(of: Web) -> list[str]:
    return [data.decode() for _, data in of.accepted]


def test_a_service_that_has_not_looked_is_not_called_well() -> None:
    """Nor one whose looks come to no end: what was found long ago says nothing of today."""
    attendant = Attendant(lambda _, __: None)
    assert [(one.code, one.level) for one in attendant.health()] == [("not-looked", "critical")]
    attendant._seen = datetime.now(UTC) - timedelta(hours=1)  # noqa: SLF001 - as after a look that was the last one
    assert [one.code for one in attendant.health()] == ["not-looked"]
    attendant._seen = datetime.now(UTC)  # noqa: SLF001
    assert attendant.health() == ()


def test_one_source_that_fails_is_not_hidden_by_another_that_shares_its_ping(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pings come in their order; whoever made the last backup of another source, and of whichever kind."""
    at, nowhere = datetime.now(UTC), Address("host=/nowhere dbname=db")
    monkeypatch.chdir(program.folder)
    with web() as pings:
        monkeypatch.setenv("PING_URL", f"http://127.0.0.1:{pings.port}/me")
        program.configure(f'{OFTEN}[alerts]\nping = "env:PING_URL"\n', db=nowhere, shop=nowhere)
        config = load(program.folder / "pgproof.toml")
        journal = Journal(program.folder / "journal.sqlite")
        attendant = Attendant(lambda _, __: None, journal=journal)
        attendant._config = attendant.checked(config)  # noqa: SLF001 - as a tick leaves it
        of = {one.source: one for one in plans(config) if one.task == "backup"}

        def ran(number: int, name: str, outcome: Outcome) -> None:
            journal.finish(Run(f"{number:016x}", "backup", name, at + timedelta(seconds=number), at, outcome))

        def ended(name: str, code: int) -> None:
            attendant.before(of[name])
            attendant.after(Ended(of[name], at, at, code))
            attendant._pings.wait(30)  # noqa: SLF001

        ran(1, "shop", "failed")
        ended("db", 0)
        ended("shop", 130)
        ran(2, "shop", "done")  # by hand, say
        ended("db", 0)
        ran(3, "db", "failed")
        ended("db", 6)
        ran(4, "db", "interrupted")
        ended("shop", 0)
        ran(5, "db", "done")
        ended("shop", 0)
        attendant._wanted = False  # noqa: SLF001 - nothing to be looked at
        attendant.finish()
    told = [path for path in pings.paths if path != "/me/start"]
    assert told == ["/me/fail", "/me", "/me/fail", "/me/fail", "/me"]
    assert b"and still: backup of db: failed" in pings.got[-3][1], pings.got


@pytest.mark.slow
def test_a_log_that_cannot_be_written_ends_no_backups(source: Address, program: Program) -> None:
    program.configure(OFTEN, db=source)
    argv = [sys.executable, str(SCRIPT), "pgproof.toml", "notebook.json", str(FACTOR)]
    env = program.environment | {"PYTHONPATH": str(SCRIPT.parent.parent)}
    with Path("/dev/full").open("w") as full:
        with subprocess.Popen(argv, cwd=program.folder, env=env, stderr=full) as child:
            try:
                until(lambda: program.run("list").code == 0 and len(listed(program)) > 0)
                assert child.poll() is None
                child.send_signal(signal.SIGTERM)
                assert child.wait(60) == 0
            finally:
                child.kill()


@pytest.mark.slow
def test_a_channel_that_can_be_read_no_more_silences_no_other(source: Address, program: Program) -> None:
    other = program.folder / "other-channel"
    other.touch(0o600)
    other.write_text("json://127.0.0.1:1/")
    down = Address(source.conninfo.replace("port=5432", "port=1"), source.password)
    with web() as alerts:
        program.env["ALERT_URL"] = f"json://127.0.0.1:{alerts.port}/"
        program.configure(f'{OFTEN}[alerts]\nurls = ["file:{other}", "env:ALERT_URL"]\n', db=down)
        with serving(program) as service:
            service.wait_for("the service has begun")
            other.unlink()
            until(lambda: any("[backup-failed]" in text for text in bodies(alerts)))
            until(lambda: any("[alerts-not-sent]" in text for text in bodies(alerts)))
            service.wait_for("a channel cannot be used")
            service.stop()


def got(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
