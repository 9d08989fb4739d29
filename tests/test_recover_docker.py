"""recover with services in containers: named in the plan, stopped before the switch, started after it."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engine
from tests.conftest import Program
from tests.engine import Stack, docker


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with engine.stack() as made:
        made.run("CREATE TABLE users AS SELECT g AS id FROM generate_series(1, 2000) g")
        yield made


@pytest.fixture
def program(tmp_path: Path, stack: Stack) -> Program:
    made = Program(tmp_path, {"STACK_PASSWORD": engine.PASSWORD, "DOCKER_HOST": engine.address()})
    source = stack.source.replace('kinds = ["volume"]', 'kinds = ["logical"]')
    (tmp_path / "pgproof.toml").write_text(f'{source}[stores.local]\nurl = "{made.store}"\n')
    return made


def started(name: str) -> str:
    return str(json.loads(docker("container", "inspect", name))[0]["State"]["StartedAt"])


@pytest.mark.slow
def test_containers_are_stopped_for_the_switch_and_run_after_it(program: Program, stack: Stack) -> None:
    program.ok("backup", "--quiet")
    program.ok("prove", "--quiet")
    stack.run("DELETE FROM users")
    before = started(stack.service), started(stack.database)
    plan = program.ok("recover", "--dry-run", "--json").json
    assert any(f"docker stop {stack.service}" in step for step in plan["steps"]), plan["steps"]
    assert started(stack.service) == before[0], "a dry run stops nothing"
    done = program.ok("recover", "--yes", plan["hash"], "--json").json
    assert [step["name"] for step in done["steps"]] == [
        "restore", f"stop {stack.service}", "switch", f"start {stack.service}", f"look at {stack.service}",
    ]  # fmt: skip
    assert stack.value("SELECT count(*) FROM users") == 2000
    assert started(stack.service) > before[0] and started(stack.database) == before[1]
    assert stack.states()[stack.service][1] == "running"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tag", "code", "word"), [("26.0.0", 4, "is older than 26.4.7"), ("26.5.0", 0, "migrates the database")]
)
def test_the_keycloak_that_will_start_is_compared_with_the_one_that_was_backed_up(
    program: Program, stack: Stack, tag: str, code: int, word: str
) -> None:
    """Keycloak itself only warns when it is older than its database."""
    image = f"test-{stack.tag}/keycloak:{tag}"
    docker("tag", engine.IMAGE, image)
    docker("rm", "--force", stack.service)
    docker("run", "--detach", "--init", "--name", stack.service, "--entrypoint", "sleep", image, "infinity")
    stack.run("CREATE TABLE IF NOT EXISTS migration_model (version text, update_time int)")
    stack.run("TRUNCATE migration_model; INSERT INTO migration_model VALUES ('26.4.7', 1)")
    file = program.folder / "pgproof.toml"
    file.write_text(file.read_text().replace("[stores.local]", 'checks = ["keycloak"]\n[stores.local]'))
    program.ok("backup", "--quiet")
    assert program.ok("show", "latest", "--json").json["application"] == {
        "keycloak.image": image,
        "keycloak.version": "26.4.7",
    }
    ran = program.run("recover", "--backup", "latest", "--dry-run")
    assert ran.code == code and word in ran.out + ran.err, ran
    docker("rmi", image, check=False)


@pytest.mark.slow
def test_a_server_that_is_gone_is_made_again_and_filled(program: Program) -> None:
    """Its container and its volume are gone; one question brings back both, with the role's password as it was."""
    with engine.stack() as stack:
        stack.run("CREATE TABLE users AS SELECT g AS id FROM generate_series(1, 2000) g")
        source = stack.source.replace('kinds = ["volume"]', 'kinds = ["logical"]')
        (program.folder / "pgproof.toml").write_text(f'{source}[stores.local]\nurl = "{program.store}"\n')
        program.ok("backup", "--quiet")
        program.ok("prove", "--quiet")
        docker("rm", "--force", stack.database)
        docker("volume", "rm", stack.volume)
        shown = program.ok("recover", "--dry-run")
        assert "a new cluster is made there" in shown.out and stack.volume in shown.out
        assert stack.volume not in docker("volume", "ls", "--quiet").split(), "a dry run makes nothing"
        plan = program.ok("recover", "--dry-run", "--json").json
        assert plan["fresh"]
        refused = program.run("recover", "--quiet")
        assert refused.code == 4 and plan["hash"] in refused.err
        done = program.ok("recover", "--yes", plan["hash"], "--json").json
        assert not done["existed"] and any("make the container" in one for one in done["notes"])
        assert stack.value("SELECT count(*) FROM users") == 2000
        assert stack.value("SELECT count(*) FROM pg_database WHERE datname LIKE 'keycloak_before%'") == 0
        assert stack.states()[stack.service][1] == "running"
        assert program.run("recover", "--dry-run").code == 4, "it is another server now: that is said"


@pytest.mark.slow
@pytest.mark.parametrize("gone", [False, True])
def test_a_server_that_is_down_comes_back_first_with_its_data(program: Program, gone: bool) -> None:
    """Stopped, or only its container removed: what is in the volume is looked at before it is agreed to replace it."""
    with engine.stack() as stack:
        stack.run("CREATE TABLE users AS SELECT g AS id FROM generate_series(1, 2000) g")
        source = stack.source.replace('kinds = ["volume"]', 'kinds = ["logical"]')
        (program.folder / "pgproof.toml").write_text(f'{source}[stores.local]\nurl = "{program.store}"\n')
        program.ok("backup", "--quiet")
        program.ok("prove", "--quiet")
        stack.run("DELETE FROM users")
        docker("rm" if gone else "stop", *(["--force"] if gone else []), stack.database)
        first = program.ok("recover", "--dry-run", "--json").json
        assert not first["fresh"] and ("make the container" if gone else "start the container") in first["steps"][0]
        second = program.run("recover", "--yes", first["hash"])
        assert second.code == 4 and "there is no terminal to ask at" in second.err, second
        assert stack.value("SELECT count(*) FROM users") == 0, "it runs, and nothing of it was replaced"
        plan = program.ok("recover", "--dry-run", "--json").json
        program.ok("recover", "--yes", plan["hash"])
        assert stack.value("SELECT count(*) FROM users") == 2000
        assert stack.value("SELECT count(*) FROM pg_database WHERE datname LIKE 'keycloak_before%'") == 1


@pytest.mark.slow
def test_a_server_that_runs_and_refuses_is_not_made_again(program: Program, stack: Stack) -> None:
    program.ok("backup", "--quiet")
    program.ok("prove", "--quiet")
    program.env["STACK_PASSWORD"] = "wrong"
    ran = program.run("recover", "--dry-run")
    assert ran.code == 6 and "refuses the password" in ran.err, ran


@pytest.mark.slow
def test_e4_too_little_room_is_refused_before_anything_is_touched(program: Program) -> None:
    """The server's disk is a small one of its own: what was backed up would fit once, and not beside itself."""
    with engine.stack() as stack:
        docker("rm", "--force", stack.database)
        docker("volume", "rm", stack.volume)
        docker("volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=320m", stack.volume)
        stack.start_database()
        stack.wait()
        stack.run("CREATE TABLE big AS SELECT g AS id, repeat(md5(g::text), 20) AS t FROM generate_series(1, 130000) g")
        source = stack.source.replace('kinds = ["volume"]', 'kinds = ["logical"]')
        (program.folder / "pgproof.toml").write_text(f'{source}[stores.local]\nurl = "{program.store}"\n')
        program.ok("backup", "--quiet")
        before = stack.states()
        ran = program.run("recover", "--backup", "latest", "--dry-run")
        assert ran.code == 4 and "MB free, and" in ran.err and "nothing was touched" in ran.err, ran
        assert stack.states() == before
        stack.run("TRUNCATE big; CHECKPOINT")
        assert "MB are free" in program.ok("recover", "--backup", "latest", "--dry-run").out


@pytest.mark.slow
def test_a_container_that_cannot_be_made_whole_leaves_nothing_in_the_way_of_the_next_try(program: Program) -> None:
    """Somebody has taken its port meanwhile; it was in a second network too."""
    with engine.stack() as stack:
        stack.run("CREATE TABLE users AS SELECT g AS id FROM generate_series(1, 2000) g")
        second = f"second-{stack.tag}"
        docker("network", "create", second)
        docker("network", "connect", "--alias", "also-db", second, stack.database)
        source = stack.source.replace('kinds = ["volume"]', 'kinds = ["logical"]')
        (program.folder / "pgproof.toml").write_text(f'{source}[stores.local]\nurl = "{program.store}"\n')
        program.ok("backup", "--quiet")
        program.ok("prove", "--quiet")
        docker("rm", "--force", stack.database)
        plan = program.ok("recover", "--dry-run", "--json").json
        with socket.create_server(("127.0.0.1", stack.port)):
            failed = program.run("recover", "--yes", plan["hash"])
            # The listener takes connections: it is no PostgreSQL, and so no server that answers.
        assert failed.code == 1 and "docker start failed" in failed.err, failed
        assert stack.database not in docker("ps", "--all", "--format", "{{.Names}}").split()
        program.run("recover", "--yes", plan["hash"])
        stack.wait()
        told = json.loads(docker("container", "inspect", stack.database))[0]["NetworkSettings"]["Networks"]
        assert "also-db" in told[second]["Aliases"] and len(told) == 2
        docker("rm", "--force", stack.database)
        docker("network", "rm", second)
