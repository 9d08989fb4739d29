"""Drills of databases in a container of the source's own image."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgproof.docker import Engine
from tests import engine
from tests.conftest import Program
from tests.engine import Stack, docker, eventually

SLEEPING = "FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with engine.stack() as made:
        made.run("CREATE TABLE users AS SELECT g AS id, md5(g::text) AS word FROM generate_series(1, 2000) g")
        made.run("CREATE ROLE reader; GRANT SELECT ON users TO reader; CREATE EXTENSION pg_trgm SCHEMA public")
        yield made


@pytest.fixture
def program(tmp_path: Path, stack: Stack) -> Program:
    return program_of(tmp_path, stack)


def program_of(folder: Path, stack: Stack) -> Program:
    made = Program(folder, {"STACK_PASSWORD": engine.PASSWORD, "DOCKER_HOST": engine.address()})
    source = stack.source.replace('kinds = ["volume"]', 'kinds = ["logical"]')
    (folder / "pgproof.toml").write_text(f'{source}[stores.local]\nurl = "{made.store}"\n')
    return made


def drills() -> list[str]:
    return docker("ps", "--all", "--quiet", "--filter", "label=pgproof.drill").split()


@pytest.mark.slow
def test_a_database_is_drilled_in_its_own_image(program: Program, stack: Stack) -> None:
    made = program.ok("backup", "--json").json
    image = docker("inspect", "--format", "{{.Image}}", stack.database)
    recipe = made["image"].pop("container")
    assert made["image"] == {"name": engine.IMAGE, "id": image, "digests": []}
    assert recipe["name"] == stack.database and engine.PASSWORD not in str(recipe)
    proof = program.ok("prove", "--json").json
    assert proof["proven"] and proof["tables"] == [{"name": "public.users", "rows": 2000, "same": True}]
    (record,) = program.ok("show", "latest", "--json").json["records"]
    assert record["scope"] == f"contents, in the source's own image {image[:19]}" and record["findings"] == []
    eventually(lambda: drills() == [])


@pytest.mark.slow
def test_a_recovery_is_rehearsed_in_its_own_image(program: Program, stack: Stack) -> None:
    program.ok("backup", "--quiet")
    program.ok("prove", "--quiet")
    before = stack.states()
    done = program.ok("recover", "keycloak", "--drill", "--json").json
    assert done["in_time"] and not [one for one in done["notes"] if "not drilled" in one], done
    assert stack.states() == before
    eventually(lambda: drills() == [])
    program.env["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
    assert "note: not drilled in the source's own image" in program.ok("recover", "keycloak", "--drill").out


@pytest.mark.slow
def test_without_the_engine_the_drill_runs_here_and_says_so(program: Program) -> None:
    program.ok("backup", "--quiet")
    program.env["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
    proof = program.ok("prove", "--json").json
    assert proof["proven"]
    assert any("not drilled in the source's own image" in one for one in proof["findings"]), proof["findings"]


@pytest.mark.slow
def test_a_backup_goes_on_where_no_engine_answers(program: Program) -> None:
    program.env["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
    assert program.ok("backup", "--json").json["image"] is None


@pytest.mark.slow
def test_what_a_killed_drill_left_is_swept_by_the_next(program: Program, stack: Stack) -> None:
    """Labels say whose a container is; a process that is no more has no use for it."""
    program.ok("backup", "--quiet")
    dead = "0.999999.1"
    owner = _tag_of_a_dead_process(dead)
    name = f"left-{stack.tag}"
    words = ("--label", f"pgproof.drill={owner}", "--entrypoint", "sleep", engine.IMAGE, "infinity")
    docker("run", "--detach", "--init", "--name", name, *words)
    docker("volume", "create", "--label", f"pgproof.drill={owner}", f"left_{stack.tag}")
    program.ok("prove", "--quiet")
    eventually(lambda: drills() == [])
    assert f"left_{stack.tag}" not in docker("volume", "ls", "--quiet").split()


def asleep() -> list[str]:
    """Drills that wait in a check: the engine is everybody's, and others drill in it too."""
    words = ("psql", "-U", "keycloak", "-d", "postgres", "-Atc", f"SELECT count(*) {SLEEPING}")
    return [name for name in drills() if docker("exec", name, *words, check=False) == "1"]


@contextmanager
def drilling(program: Program) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A drill that is held up by one of its checks, and its container."""
    file = program.folder / "pgproof.toml"
    slow = "SELECT pg_catalog.pg_sleep(600) IS NOT NULL"
    file.write_text(file.read_text().replace("[stores.local]", f'checks = ["{slow}"]\n[stores.local]'))
    program.ok("backup", "--quiet")
    with subprocess.Popen(
        program.argv("prove", "--json"), cwd=program.folder, env=program.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        try:
            eventually(lambda: asleep() != [])
            yield asleep()[0], child
        finally:
            child.terminate()
            child.communicate(timeout=60)
            eventually(lambda: asleep() == [])


@pytest.mark.slow
def test_g13_a_drill_has_its_bounds_and_no_network(program: Program) -> None:
    with drilling(program) as (name, _):
        told = json.loads(docker("inspect", name))[0]
    host = told["HostConfig"]
    assert (host["Memory"], host["PidsLimit"], host["NetworkMode"]) == (2 << 30, 256, "none")
    assert not host["Privileged"] and not host["PortBindings"] and host["RestartPolicy"]["Name"] in ("", "no")


@pytest.mark.slow
def test_g13_a_drill_whose_container_is_killed_is_not_proven_and_leaves_nothing(program: Program) -> None:
    """As the kernel does it when memory is short."""
    with drilling(program) as (name, child):
        docker("kill", name)
        out, err = child.communicate(timeout=120)
    assert child.returncode == 3, err
    assert err.startswith("pgproof: the throw-away server of the drill was lost: its container was killed\n"), err
    assert json.loads(out)["exit_code"] == 3
    assert program.ok("show", "latest", "--json").json["state"] == "stored"


@pytest.mark.slow
def test_g13_a_process_that_the_kernel_ends_is_told_from_a_server_that_is_away(program: Program) -> None:
    with drilling(program) as (name, child):
        pid = docker("exec", name, "psql", "-U", "keycloak", "-d", "postgres", "-Atc", f"SELECT pid {SLEEPING}")
        docker("exec", name, "sh", "-c", f"kill -9 {pid}")
        _, err = child.communicate(timeout=120)
    assert child.returncode == 3 and "was terminated by signal 9" in err, err


@pytest.mark.slow
def test_g10_an_image_that_is_gone_is_not_asked_of_a_registry(tmp_path: Path, stack: Stack) -> None:
    """The drill runs in another server and says so; of all words to the engine none pulls."""
    image = f"pgproof-test/gone:{stack.tag}"
    docker("commit", stack.database, image)
    with engine.stack(image) as other:
        program = program_of(tmp_path, other)
        program.ok("backup", "--quiet")
    docker("rmi", "--force", image)
    words, spy = tmp_path / "words", tmp_path / "bin" / "docker"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {words}\nexec {shutil.which("docker")} "$@"\n')
    spy.chmod(0o755)
    program.env["PATH"] = f"{spy.parent}:{os.environ['PATH']}"
    proof = program.ok("prove", "--json").json
    assert proof["proven"]
    assert any(f"not drilled in the source's own image {image}" in one for one in proof["findings"]), proof["findings"]
    said = words.read_text().splitlines()
    started = [line for line in said if line.startswith(("run ", "create "))]
    assert started and all("--pull never" in line for line in started), said
    assert not [line for line in said if "pull" in line and "--pull never" not in line], said


def _tag_of_a_dead_process(rest: str) -> str:
    from pgproof.stream import process

    place = process.identity().tag.partition(".")[0]
    return f"{place}.{rest.partition('.')[2]}"


@pytest.mark.slow
def test_what_goes_while_it_is_listed_is_not_there(
    tmp_path: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the list and the question about each another container's end may take one away."""
    monkeypatch.setenv("DOCKER_HOST", engine.address())
    program = tmp_path / "docker"
    gone = "f" * 64
    program.write_text(
        f'#!/bin/sh\ndocker "$@" || exit\ncase "$1 $2" in "volume ls" | "ps --all"*) echo {gone} ;; esac\n'
    )
    program.chmod(0o755)
    looking = Engine(str(program))
    assert stack.volume in [one.name for one in looking.volumes()]
    assert stack.database in [one.name for one in looking.containers()]
