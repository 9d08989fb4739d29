"""recover of a volume, on a real engine: rows that are gone, a container and a volume that are, and the ways back."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engine
from tests.conftest import Program
from tests.engine import Stack, docker, eventually

SUM = "SELECT md5(string_agg(id || text, ',' ORDER BY id)) FROM users"


@pytest.fixture
def stack() -> Iterator[Stack]:
    with engine.stack() as made:
        made.run("CREATE TABLE users AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 2000) g")
        yield made


@pytest.fixture
def program(tmp_path: Path, stack: Stack) -> Program:
    made = Program(tmp_path, {"STACK_PASSWORD": engine.PASSWORD, "DOCKER_HOST": engine.address()})
    (tmp_path / "pgproof.toml").write_text(f'{stack.source}[stores.local]\nurl = "{made.store}"\n')
    made.ok("backup", "--quiet")
    stack.wait()
    made.ok("prove", "--quiet")
    return made


def planned(program: Program, *more: str) -> str:
    return str(program.ok("recover", "keycloak:volume", "--dry-run", "--json", *more).json["hash"])


def recovered(program: Program, *more: str) -> dict[str, object]:
    said = program.ok("recover", "keycloak:volume", "--yes", planned(program, *more), "--json", "--quiet", *more)
    return dict(json.loads(said.out))


def volumes(stack: Stack) -> list[str]:
    return [one for one in docker("volume", "ls", "--quiet").split() if stack.tag in one]


@pytest.mark.slow
def test_rows_deleted_by_mistake_come_back_and_the_old_volume_can_be_put_back(program: Program, stack: Stack) -> None:
    good, states = stack.value(SUM), stack.states()
    stack.run("DELETE FROM users WHERE id > 5")
    wrong = stack.value(SUM)
    plan = program.ok("recover", "keycloak:volume", "--dry-run")
    assert stack.volume in plan.out and f"docker stop {stack.database}" in plan.out and stack.value(SUM) == wrong
    done = recovered(program)
    assert stack.value(SUM) == good and stack.states() == states
    assert [step["name"] for step in done["steps"]] == [  # type: ignore[attr-defined]
        "restore", f"stop {stack.service}", f"stop {stack.database}", "switch",
        f"start {stack.database}", f"look at {stack.database}", f"start {stack.service}", f"look at {stack.service}",
    ]  # fmt: skip
    assert volumes(stack) == sorted([stack.volume, str(done["aside"])])
    report = (program.store / "keycloak" / "incidents").glob("*.md")
    assert "read by a server of its own image" in next(report).read_text()
    stack.run("INSERT INTO users VALUES (9999, 'meanwhile')")
    stack.run("SELECT pg_sleep(1.5)")
    said = program.ok("recover", "keycloak:volume", "--undo", "--yes", str(done["plan"]))
    assert "public.users: 1 rows inserted, 0 updated, 0 deleted" in said.out
    stack.wait()
    assert stack.value(SUM) == wrong and stack.states() == states
    undone = next(one for one in volumes(stack) if "_undone_" in one)
    program.ok("recover", "keycloak:volume", "--forget", "--yes", str(done["plan"]))
    assert undone not in volumes(stack) and volumes(stack) == [stack.volume]


@pytest.mark.slow
def test_a_container_and_a_volume_that_are_gone_are_made_again(program: Program, stack: Stack) -> None:
    good = stack.value(SUM)
    before = json.loads(docker("container", "inspect", stack.database))[0]
    docker("rm", "--force", stack.database)
    docker("volume", "rm", stack.volume)
    plan = program.ok("recover", "keycloak:volume", "--dry-run")
    assert "is gone: it is made anew, as the backup has it; not known are the values of: POSTGRES_PASSWORD" in plan.out
    done = recovered(program)
    assert stack.value(SUM) == good and not done["existed"]
    after = json.loads(docker("container", "inspect", stack.database))[0]
    assert after["Image"] == before["Image"] and after["Mounts"][0]["Name"] == stack.volume
    for place, key in (
        ("HostConfig", "RestartPolicy"), ("HostConfig", "PortBindings"), ("Config", "Labels"),
        ("Config", "Healthcheck"), ("Config", "Cmd"), ("Config", "Entrypoint"), ("NetworkSettings", "Ports"),
    ):  # fmt: skip
        assert after[place][key] == before[place][key], key
    lost = {one for one in before["Config"]["Env"] if one not in after["Config"]["Env"]}
    assert lost == {f"POSTGRES_PASSWORD={engine.PASSWORD}"}
    assert engine.PASSWORD not in (program.store / "keycloak").glob("*/manifest.json").__next__().read_text()
    assert volumes(stack) == [stack.volume]


@pytest.mark.slow
def test_a_store_is_enough_to_bring_a_server_back(program: Program, stack: Stack, tmp_path: Path) -> None:
    """As on a new machine: no configuration, no state, no container, no volume."""
    good = stack.value(SUM)
    docker("rm", "--force", stack.database)
    docker("volume", "rm", stack.volume)
    (tmp_path / "new").mkdir(mode=0o700)
    machine = Program(tmp_path / "new", {"DOCKER_HOST": engine.address(), "PGPASSWORD": engine.PASSWORD})
    words = ("recover", "--from", str(program.store))
    machine.ok(*words, "--yes", machine.ok(*words, "--dry-run", "--json").json["hash"])
    assert stack.value(SUM) == good


@pytest.mark.slow
def test_a_recovery_is_rehearsed_beside_production(program: Program, stack: Stack) -> None:
    before = stack.states(), json.loads(docker("container", "inspect", stack.database))[0]["State"]["StartedAt"]
    done = program.ok("recover", "keycloak:volume", "--drill", "--json").json
    assert done["seconds"] > 0 and done["in_time"]
    assert before == (
        stack.states(),
        json.loads(docker("container", "inspect", stack.database))[0]["State"]["StartedAt"],
    )
    assert volumes(stack) == [stack.volume]
    eventually(lambda: "pgproof_drill" not in docker("volume", "ls", "--quiet"))


@pytest.mark.slow
def test_what_fails_its_checks_never_comes_in_place(program: Program, stack: Stack) -> None:
    file = program.folder / "pgproof.toml"
    file.write_text(
        file.read_text().replace("[stores.local]", 'checks = ["SELECT count(*) > 5000 FROM users"]\n[stores.local]')
    )
    before = stack.states()
    ran = program.run("recover", "keycloak:volume", "--yes", planned(program))
    assert ran.code == 4 and "nothing was touched" in ran.err, ran
    assert stack.states() == before and volumes(stack) == [stack.volume]


@pytest.mark.slow
def test_a_volume_that_others_use_is_refused_until_they_are_named(program: Program, stack: Stack) -> None:
    docker("rm", "--force", stack.service)
    docker("run", "--detach", "--init", "--name", stack.service, "--volume", f"{stack.volume}:/look:ro",
           "--entrypoint", "sleep", engine.IMAGE, "infinity")  # fmt: skip
    file = program.folder / "pgproof.toml"
    named = file.read_text()
    file.write_text(named.replace(f'services = ["{stack.service}"]', "services = []"))
    ran = program.run("recover", "keycloak:volume", "--dry-run")
    assert ran.code == 4 and f"is used by {stack.service} too" in ran.err, ran
    file.write_text(named)
    recovered(program)


@pytest.mark.slow
def test_another_cluster_in_the_volume_is_the_wrong_host(program: Program, stack: Stack) -> None:
    docker("rm", "--force", stack.database)
    docker("volume", "rm", stack.volume)
    docker("volume", "create", stack.volume)
    stack.start_database()
    stack.wait()
    ran = program.run("recover", "keycloak:volume", "--dry-run")
    assert ran.code == 4 and "the wrong host" in ran.err, ran
    recovered(program, "--new-server")
    assert stack.value("SELECT count(*) FROM users") == 2000


@pytest.mark.slow
@pytest.mark.sweep(every=13)
def test_e6_killed_at_every_record_of_a_volumes_recovery_old_or_new_is_whole(
    program: Program, stack: Stack, sweep: int
) -> None:
    """Its own records and those of the exchange of files are written by rename: every one is a point."""
    good = stack.value(SUM)
    points, wrongs = 0, list[str]()
    for number in range(1, 80, sweep):
        stack.run("DELETE FROM users WHERE id > 5")
        old = stack.value(SUM)
        died = _die(program, number, "recover", "keycloak:volume", "--yes", planned(program), "--quiet")
        points += died
        verb = "--continue" if number % 2 else "--back"
        file = program.folder / "state/recover/keycloak:volume.json"
        record = json.loads(file.read_text()) if file.exists() else {"state": "not begun"}
        if record["state"] in ("running", "undoing"):
            told = program.run("list")
            wrongs += [] if "under way or was cut off" in told.err else [f"{number}: `list` does not tell of it"]
            ran = program.run("recover", "keycloak:volume", verb, "--quiet")
            wrongs += [f"{number}: {verb}: {ran.err}"] if ran.code else []
            expected = good if verb == "--continue" else old
        else:
            expected = good if died is False or record["state"] == "finished" else old
        stack.wait()
        wrongs += (
            [] if stack.value(SUM) == expected else [f"{number}: {verb}: not what it should be ({record['state']})"]
        )
        running = [state for _, state, _ in stack.states().values()]
        wrongs += [] if running == ["running", "running"] else [f"{number}: {verb}: containers are {running}"]
        left = [one for one in volumes(stack) if "_recovering_" in one]
        wrongs += [f"{number}: {verb}: left {left}"] if left else []
        if not died:
            break
        _reset(program, stack, good)
    assert wrongs == [], "\n".join(wrongs)
    assert points * sweep >= 20


@pytest.mark.slow
@pytest.mark.sweep(every=15)
def test_ctrl_c_in_the_exchange_of_files_never_starts_a_server_on_half_of_them(
    program: Program, stack: Stack, sweep: int
) -> None:
    """It is carried on with before anything is started; what is said afterwards is where it stands."""
    good = stack.value(SUM)
    interrupted = 0
    for number in range(14, 60, sweep):
        stack.run("DELETE FROM users WHERE id > 5")
        old, words = stack.value(SUM), ("recover", "keycloak:volume", "--yes", planned(program), "--quiet")
        ran = _signalled(program, "SIGINT", number, *words)
        interrupted += ran.returncode == 130
        assert ran.returncode in (0, 130) and "Traceback" not in ran.stderr, ran
        file = program.folder / "state/recover/keycloak:volume.json"
        is_open = json.loads(file.read_text())["state"] == "running"
        if is_open:
            assert "services may be stopped" in ran.stderr
            program.ok("recover", "keycloak:volume", "--continue", "--quiet")
        stack.wait()
        assert stack.value(SUM) == good if is_open else stack.value(SUM) in (good, old)
        assert [state for _, state, _ in stack.states().values()] == ["running", "running"]
        assert not (engine.mountpoint(stack.volume) / ".pgproof-exchange").exists()
        _reset(program, stack, good)
    assert interrupted * sweep >= 27


def _die(program: Program, number: int, *words: str) -> bool:
    done = _signalled(program, "SIGKILL", number, *words)
    assert done.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), done.stderr
    return done.returncode != 0


def _signalled(program: Program, which: str, number: int, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run with a signal as it enters its `number`-th rename."""
    inject = f"inject=rename:signal={which}:when={number}"
    argv = ["strace", "-f", "-b", "execve", "-qq", "-o", "/dev/null", "-e", "trace=rename", "-e", inject]
    return subprocess.run(
        [*argv, *program.argv(*words)], cwd=program.folder, env=program.environment,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def _reset(program: Program, stack: Stack, good: object) -> None:
    if stack.value(SUM) != good:
        stack.run("TRUNCATE users; INSERT INTO users SELECT g, md5(g::text) FROM generate_series(1, 2000) g")
    for one in volumes(stack):
        if one != stack.volume:
            docker("volume", "rm", one)
    (program.folder / "state/recover/keycloak:volume.json").unlink(missing_ok=True)
