"""FAULTS E6 for recover: kill -9 at every record it writes; old or new is whole after it, and one command ends it."""

import json
import os
import signal
import subprocess
from dataclasses import dataclass

import pytest

from pgproof.postgres.server import Address, connect
from pgproof.postgres.sql import name as quoted
from pgproof.sources.replay import Digests
from tests.conftest import Program, Servers
from tests.kit import digests, run
from tests.test_recover import named_like, planned, prepared, service
from tests.waiting import until


@dataclass(frozen=True)
class Killing:
    """A source in its old state, and what the two states are."""

    program: Program
    database: Address
    good: Digests
    old: Digests

    @property
    def record(self) -> dict[str, object] | None:
        path = self.program.folder / "state" / "recover" / "db.json"
        return dict(json.loads(path.read_text())) if path.exists() else None

    @property
    def is_open(self) -> bool:
        return (self.record or {}).get("state") in ("running", "undoing")

    def die(self, call: str, number: int, *words: str) -> bool:
        """Whether the run was killed as it entered its `number`-th `call`."""
        inject = f"inject={call}:signal=SIGKILL:when={number}"
        argv = ["strace", "-f", "-b", "execve", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
        done = subprocess.run(
            [*argv, *self.program.argv(*words)], cwd=self.program.folder, env=self.program.environment,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), done.stderr
        return done.returncode != 0

    def wrongs(self, where: str) -> list[str]:
        found = digests(self.database)
        wrong = [] if found in (self.good, self.old) else [f"{where}: {self.database.database} is neither old nor new"]
        if not self.is_open and service(self.program) != "runs":
            wrong.append(f"{where}: services are left stopped, and no record says so")
        return wrong

    def ended(self, where: str, verb: str) -> list[str]:
        """What is wrong after the one command that ends it."""
        if not self.is_open:
            return []
        told = self.program.run("list")
        ran = self.program.run("recover", verb, "--quiet")
        wrong = [] if "under way or was cut off" in told.err else [f"{where}: `list` does not tell of it"]
        if ran.code:
            wrong.append(f"{where}: {verb} ended with {ran.code}: {ran.err}")
        if service(self.program) != "runs" or self.is_open:
            wrong.append(f"{where}: after {verb} services are {service(self.program)}, record: {self.record}")
        expected = self.good if verb == "--continue" else self.old
        if digests(self.database) != expected:
            wrong.append(f"{where}: after {verb} it is the wrong one of the two")
        if len(named_like(self.database, "_recovering_")) or len(named_like(self.database, "_restoring_")):
            wrong.append(f"{where}: after {verb} something is left")
        return wrong

    def reset(self) -> None:
        for ending in ("_before_", "_undone_", "_recovering_", "_restoring_"):
            for one in named_like(self.database, ending):
                with connect(self.database, "postgres") as session:
                    session.run(f"DROP DATABASE {quoted(one)} WITH (FORCE)")
        run(self.database, "DELETE FROM orders")
        (self.program.folder / "state" / "recover" / "db.json").unlink(missing_ok=True)


@pytest.fixture
def killing(servers: Servers, program: Program) -> Killing:
    database = prepared(servers, program)
    good = digests(database)
    run(database, "DELETE FROM orders")
    return Killing(program, database, good, digests(database))


@pytest.mark.slow
@pytest.mark.parametrize("call", ["rename", "fsync"])
@pytest.mark.sweep(every=5)
def test_e6_killed_at_every_record_old_or_new_is_whole_and_one_command_ends_it(
    killing: Killing, call: str, sweep: int
) -> None:
    wrongs, points, opened = [], 0, 0
    for number in range(1, 120, sweep):
        if not killing.die(call, number, "recover", "--yes", planned(killing.program), "--quiet"):
            break
        where, points = f"{call} {number}", points + 1
        opened += killing.is_open
        wrongs += killing.wrongs(where)
        wrongs += killing.ended(where, "--continue" if number % 2 else "--back")
        killing.reset()
    assert wrongs == [], "\n".join(wrongs)
    assert points * sweep >= 14
    assert opened >= 12 // sweep


@pytest.mark.slow
@pytest.mark.sweep(every=3)
def test_e6_an_undo_that_is_killed_at_every_record_is_ended_by_one_command(killing: Killing, sweep: int) -> None:
    wrongs, points = [], 0
    for number in range(1, 60, sweep):
        killing.program.ok("recover", "--yes", planned(killing.program), "--quiet")
        died = killing.die("rename", number, "recover", "--undo", "--quiet", "--yes", str(killing.record["plan"]))  # type: ignore[index]
        if died:
            points += 1
            wrongs += killing.wrongs(f"undo {number}")
            if killing.is_open:
                ran = killing.program.run("recover", "--continue", "--quiet")
                wrongs += [] if ran.code == 0 else [f"undo {number}: {ran.err}"]
                wrongs += [] if digests(killing.database) == killing.old else [f"undo {number}: not the old one"]
                wrongs += [] if service(killing.program) == "runs" else [f"undo {number}: services are stopped"]
        killing.reset()
        if not died:
            break
    assert wrongs == [], "\n".join(wrongs)
    assert points * sweep >= 8


@pytest.mark.slow
def test_e6_a_database_that_was_closed_for_the_switch_is_opened_again_by_going_back(killing: Killing) -> None:
    """Between closing it and the renames nobody can connect: the one moment in which neither serves."""
    program, database = killing.program, killing.database
    config = program.folder / "pgproof.toml"
    config.write_text(config.read_text().replace('stop = "', f"{waits_once(program)}\n#"))
    digits = planned(program)
    started = subprocess.Popen(
        program.argv("recover", "--yes", digits, "--quiet"), cwd=program.folder, env=program.environment
    )
    until((program.folder / "been").exists)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    with connect(database, "postgres") as session:
        session.run(f"ALTER DATABASE {quoted(database.database)} WITH ALLOW_CONNECTIONS false")
    program.ok("recover", "--back", "--quiet")
    assert digests(database) == killing.old
    assert named_like(database, "_") == []


@pytest.mark.slow
def test_e6_a_going_back_that_is_interrupted_is_not_taken_for_a_switch(killing: Killing) -> None:
    """The new database is gone then, as after a switch: only the record tells the one from the other."""
    program = killing.program
    config = program.folder / "pgproof.toml"
    plain = config.read_text()
    config.write_text(plain.replace('stop = "', f"{waits_once(program)}\n#"))
    started = subprocess.Popen(
        program.argv("recover", "--yes", planned(program), "--quiet"), cwd=program.folder, env=program.environment
    )
    until((program.folder / "been").exists)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    config.write_text(plain.replace('within = "2s"', 'within = "60s"\nhealth = "SELECT false"'))
    back = subprocess.Popen(
        program.argv("recover", "--back", "--quiet"), cwd=program.folder, env=program.environment,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    _until(killing, "look at the services")
    back.send_signal(signal.SIGINT)
    _, said = back.communicate(timeout=60)
    assert back.returncode == 130 and "a going back was cut off" in said, said
    config.write_text(plain)
    assert "Given up" in program.ok("recover", "--continue").out
    assert digests(killing.database) == killing.old and service(program) == "runs"
    assert named_like(killing.database, "_") == []


@pytest.mark.slow
def test_a_recovery_that_comes_to_nothing_leaves_the_way_back_of_the_one_before(killing: Killing) -> None:
    program = killing.program
    program.ok("recover", "--yes", planned(program), "--quiet")
    first = str(killing.record["plan"])  # type: ignore[index]
    config = program.folder / "pgproof.toml"
    plain = config.read_text()
    config.write_text(plain.replace("[sources.db]", '[sources.db]\nchecks = ["SELECT false"]'))
    assert program.run("recover", "--yes", planned(program)).code == 4
    config.write_text(plain)
    program.ok("recover", "--undo", "--yes", first)
    assert digests(killing.database) == killing.old


def waits_once(program: Program) -> str:
    """A command that stops the services, and the first time does not come to an end."""
    been = program.folder / "been"
    return f"""stop = 'sh -c "[ -e {been} ] || {{ touch {been}; exec sleep 300; }}"'"""


def _until(killing: Killing, step: str) -> None:
    until(lambda: step in json.dumps(killing.record))
