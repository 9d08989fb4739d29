"""Volumes that are no folders of the engine's own, mounts inside a data directory, a service of two volumes."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import engine
from tests.conftest import Program
from tests.engine import Stack, docker


@contextmanager
def on(options: tuple[str, ...]) -> Iterator[Stack]:
    """A server whose volume is made with these options."""
    with engine.stack() as made:
        docker("rm", "--force", made.database, made.service)
        docker("volume", "rm", made.volume)
        docker("volume", "create", *(word for one in options for word in ("--opt", one)), made.volume)
        made.start_database()
        docker("run", "--detach", "--init", "--name", made.service, "--entrypoint", "sleep", engine.IMAGE, "infinity")
        made.wait()
        made.run("CREATE TABLE users AS SELECT g AS id FROM generate_series(1, 1000) g")
        yield made


@pytest.fixture
def place(tmp_path: Path) -> Callable[[Stack], Program]:
    def make(stack: Stack) -> Program:
        program = Program(tmp_path, {"STACK_PASSWORD": engine.PASSWORD, "DOCKER_HOST": engine.address()})
        (tmp_path / "pgproof.toml").write_text(f'{stack.source}[stores.local]\nurl = "{program.store}"\n')
        return program

    return make


def is_proven_and_comes_back(program: Program, stack: Stack) -> None:
    before = stack.states()
    made = program.ok("backup", "--json").json
    assert made["kind"] == "volume" and stack.states() == before
    stack.wait()
    program.ok("prove", "--quiet")
    restored = f"restored_{stack.tag}"
    program.ok("restore", "keycloak:volume", "--to", f"volume:{restored}", "--quiet")
    with engine.on_volume(restored, f"restored-{stack.tag}") as other:
        assert other.value("SELECT count(*) FROM users") == 1000


@pytest.mark.slow
def test_a_bound_folder_is_read_where_it_lies(place: Callable[[Stack], Program], tmp_path: Path) -> None:
    """The engine mounts it only while a container uses it: what it calls the mount point is empty during the stop."""
    device = tmp_path / "device"
    device.mkdir()
    with on(("type=none", "o=bind", f"device={device}")) as stack:
        program = place(stack)
        found = {one["code"] for one in program.run("doctor", "--json").json["findings"]}
        assert "volume-unreadable" not in found and "volume-empty" not in found, found
        is_proven_and_comes_back(program, stack)
        stack.run("DELETE FROM users")
        docker("stop", stack.service, stack.database)
        words = ("restore", "keycloak:volume", "--to", f"volume:{stack.volume}", "--replace", "--quiet")
        refused = program.run(*words)
        assert refused.code == 4 and "another mount of it" in refused.err, "the engine's own folder is a mount"
        assert (device / "PG_VERSION").exists() and not list(device.glob(".pgproof*"))
        assert not [one for one in docker("volume", "ls", "--quiet").split() if one.startswith(f"{stack.volume}_")]
        docker("start", stack.database)
        stack.wait()
        assert stack.value("SELECT count(*) FROM users") == 0


@pytest.mark.slow
def test_a_volume_that_is_mounted_only_while_it_is_used_goes_by_docker_cp(
    place: Callable[[Stack], Program], tmp_path: Path
) -> None:
    """As NFS is; here an overlay, which needs no other machine."""
    folders = [tmp_path / one for one in ("lower", "upper", "work")]
    for one in folders:
        one.mkdir()
    names = ("lowerdir", "upperdir", "workdir")
    layers = ",".join(f"{name}={one}" for name, one in zip(names, folders, strict=True))
    with on(("type=overlay", "device=overlay", f"o={layers}")) as stack:
        program = place(stack)
        is_proven_and_comes_back(program, stack)
        shown = program.ok("show", "latest", "--json").json
        assert any("read by docker cp" in one and "only while it is used" in one for one in shown["notes"]), shown


@pytest.mark.slow
def test_what_would_end_with_the_stop_is_refused_before_it(place: Callable[[Stack], Program]) -> None:
    with on(("type=tmpfs", "device=tmpfs")) as stack:
        before = stack.states()
        refused = place(stack).run("backup")
        assert refused.code == 4 and "is of type tmpfs" in refused.err, refused
        assert stack.states() == before and stack.value("SELECT count(*) FROM users") == 1000


@pytest.mark.slow
def test_a_mount_inside_the_data_directory_is_refused_before_the_stop(
    place: Callable[[Stack], Program], tmp_path: Path
) -> None:
    inside = "/var/lib/postgresql/data/spaces"
    with engine.stack() as stack:
        docker("rm", "--force", stack.database)
        stack.start_database("--volume", f"{tmp_path / 'spaces'}:{inside}")
        stack.wait()
        before = stack.states()
        refused = place(stack).run("backup")
        assert refused.code == 4 and f"{inside} is mounted inside the volume {stack.volume}" in refused.err, refused
        assert stack.states() == before


@pytest.mark.slow
def test_two_volumes_that_share_a_service_are_stopped_one_after_the_other(
    place: Callable[[Stack], Program],
) -> None:
    with engine.stack() as one, engine.stack() as two:
        program = place(one)
        mine = (program.folder / "pgproof.toml").read_text()
        other = two.source.replace("[sources.keycloak]", "[sources.other]").replace(two.service, one.service)
        (program.folder / "pgproof.toml").write_text(other + mine)
        began = docker("info", "--format", "{{.SystemTime}}")
        argv = [sys.executable, "-m", "pgproof", "backup", "--quiet"]
        runs = [
            subprocess.Popen([*argv, name], cwd=program.folder, env=program.environment)
            for name in ("keycloak", "other")
        ]
        assert [run.wait(300) for run in runs] == [0, 0]
        ended = docker("info", "--format", "{{.SystemTime}}")
        told = docker(
            "events", "--since", began, "--until", ended, "--filter", "type=container", "--format", "{{json .}}"
        )
        names = {one.service: "service", one.database: "one", two.database: "two"}
        events = [json.loads(line) for line in told.splitlines()]
        seen = [
            (each["Action"], names[who])
            for each in events
            if each["Action"] in ("start", "die") and (who := each["Actor"]["Attributes"]["name"]) in names
        ]
        assert len(seen) == 8
        for turn in (seen[:4], seen[4:]):
            server = turn[1][1]
            assert turn == [("die", "service"), ("die", server), ("start", server), ("start", "service")], seen
        assert {seen[1][1], seen[5][1]} == {"one", "two"}
