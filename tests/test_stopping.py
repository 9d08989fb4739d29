"""What is put back after a stop and what is not; and what is refused before anything is stopped. On a real engine."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgproof.docker import Engine
from pgproof.errors import NotFound
from pgproof.sources.volume import put_back_all
from pgproof.sources.volume.stopping import pausing
from tests import engine
from tests.conftest import Program
from tests.engine import Stack, docker


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with engine.stack() as made:
        made.run("CREATE TABLE users AS SELECT g AS id FROM generate_series(1, 100) g")
        yield made


@pytest.fixture
def program(tmp_path: Path, stack: Stack) -> Program:
    made = Program(tmp_path, {"STACK_PASSWORD": engine.PASSWORD, "DOCKER_HOST": engine.address()})
    (tmp_path / "pgproof.toml").write_text(f'{stack.source}[stores.local]\nurl = "{made.store}"\n')
    return made


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_HOST", engine.address())
    (tmp_path / "stopped").mkdir()
    return tmp_path / "stopped"


def kept(stack: Stack, name: str, **more: object) -> dict[str, object]:
    """As a run that died has written it down."""
    return {"id": stack.states()[name][0], "name": name, "state": "running", "started_at": "", "seconds": None,
            "asked": True, **more}  # fmt: skip


def left(folder: Path) -> list[tuple[str, str]]:
    return [(one.name, one.why) for one in put_back_all(Engine, folder, sleep=lambda _: None)]


@pytest.mark.slow
def test_whom_nobody_asked_to_stop_is_left_as_he_is(stack: Stack, stopped: Path) -> None:
    """A person stopped him meanwhile: that is not for us to undo."""
    docker("stop", stack.service)
    (stopped / "v.json").write_text(json.dumps([kept(stack, stack.service, asked=False)]))
    assert left(stopped) == [] and stack.states()[stack.service][1] == "exited"
    assert not list(stopped.glob("*.json"))
    docker("start", stack.service)


@pytest.mark.slow
def test_who_is_back_is_no_longer_ours_to_start_while_another_is_not(stack: Stack, stopped: Path) -> None:
    gone = {**kept(stack, stack.service), "id": "0" * 64, "name": "nobody-of-this-name"}
    docker("stop", stack.service)
    (stopped / "v.json").write_text(json.dumps([gone, kept(stack, stack.service)]))
    assert left(stopped) == [("nobody-of-this-name", "it has been removed meanwhile, and nothing of its name is there")]
    assert stack.states()[stack.service][1] == "running"
    docker("stop", stack.service)
    assert left(stopped) == [], "who was removed is told once, and not for ever"
    assert stack.states()[stack.service][1] == "exited"
    docker("start", stack.service)


def test_one_that_is_paused_already_is_put_back(stack: Stack, stopped: Path) -> None:
    docker("pause", stack.service)
    (stopped / "v.json").write_text(json.dumps([kept(stack, stack.service, state="paused")]))
    assert left(stopped) == [] and stack.states()[stack.service][1] == "paused"
    docker("unpause", stack.service)


def test_a_record_that_cannot_be_read_is_kept_and_told(stack: Stack, stopped: Path) -> None:
    (stopped / "v.json").write_text('[{"id": "x", "of_a_newer_version": 1}]')
    ((name, why),) = left(stopped)
    assert name == "v" and "cannot be read" in why and (stopped / "v.json").exists()


def test_a_container_that_stopping_would_remove_is_refused(program: Program, stack: Stack) -> None:
    docker("rm", "--force", stack.service)
    sleeping = ("--init", "--name", stack.service, "--entrypoint", "sleep", engine.IMAGE, "infinity")
    docker("run", "--detach", "--rm", *sleeping)
    ran = program.run("backup")
    assert ran.code == 4 and f"{stack.service} was started with --rm" in ran.err, ran
    assert stack.states()[stack.service][1] == "running"
    docker("rm", "--force", stack.service)
    docker("run", "--detach", *sleeping)


@pytest.mark.slow
def test_a_url_of_another_server_is_refused_before_anything_is_stopped(program: Program, stack: Stack) -> None:
    with engine.stack() as other:
        file = program.folder / "pgproof.toml"
        file.write_text(file.read_text().replace(f":{stack.port}/", f":{other.port}/"))
        before = stack.states()
        ran = program.run("backup")
        assert ran.code == 4 and "leads to another server" in ran.err, ran
        assert stack.states() == before


def test_wal_that_lies_outside_the_volume_is_refused(program: Program, stack: Stack) -> None:
    """As POSTGRES_INITDB_WALDIR makes it: the archive would hold a link, and no WAL."""
    data = engine.mountpoint(stack.volume)
    docker("stop", stack.service, stack.database)
    shutil.move(data / "pg_wal", data.parent / "wal-elsewhere")
    (data / "pg_wal").symlink_to("/elsewhere/wal")
    try:
        ran = program.run("backup")
        assert ran.code == 4 and "pg_wal lies at /elsewhere/wal, outside the volume" in ran.err, ran
    finally:
        (data / "pg_wal").unlink()
        shutil.move(data.parent / "wal-elsewhere", data / "pg_wal")
        docker("start", stack.database, stack.service)
        stack.wait()


def test_what_a_run_that_died_meanwhile_left_stopped_is_not_taken_for_how_it_was(stack: Stack, stopped: Path) -> None:
    """It died while this one waited for its turn, or read its first pass: no command has put back what it had."""
    here = Engine()
    database, service = here.container(stack.database), here.container(stack.service)
    (stopped / "first.json").write_text(json.dumps([kept(stack, stack.service)]))
    docker("stop", stack.service)
    with pausing(here, database, (service,), (), stopped / "second.json") as second:
        assert {(one.name, one.state) for one in second.kept} == {
            (stack.service, "running"),
            (stack.database, "running"),
        }
    assert {one[1] for one in stack.states().values()} == {"running"} and not list(stopped.glob("*.json"))


def test_what_a_dead_run_left_waits_while_a_run_that_lives_has_its_turn(stack: Stack, stopped: Path) -> None:
    here = Engine()
    database, service = here.container(stack.database), here.container(stack.service)
    with pausing(here, database, (service,), (), stopped / "second.json") as second:
        second.stop()
        (stopped / "first.json").write_text(json.dumps([kept(stack, stack.service)]))
        assert left(stopped) == [] and stack.states()[stack.service][1] == "exited", "its database is down"
    assert left(stopped) == [] and not list(stopped.glob("*.json"))
    assert {one[1] for one in stack.states().values()} == {"running"}


def test_a_name_is_not_the_beginning_of_another_ones_id(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.address())
    id_ = stack.states()[stack.database][0]
    assert Engine().container(id_[:12]).name == stack.database
    with pytest.raises(NotFound):
        Engine().container(id_[:3])
