"""`pgproof doctor` on a real engine: the traps that Docker sets for backups are found, and nothing is touched."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pgproof.actions import traps
from pgproof.actions.doctor import examine as examine_server
from pgproof.config import Docker
from pgproof.docker import Engine
from pgproof.finding import Finding
from pgproof.job import Job
from pgproof.postgres.server import Address, connect
from pgproof.repository import Repository
from pgproof.retention import Policy
from pgproof.sources.dump import Dump
from pgproof.sources.volume.stopping import Kept, _write
from pgproof.stores.directory import DirectoryStore
from pgproof.stream.encrypt import Key
from tests import engine
from tests.conftest import Program, Servers
from tests.engine import Stack, docker
from tests.throwaway import Made, throwaway, wait_for_server


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with engine.stack() as made:
        yield made


@pytest.fixture(autouse=True)
def _engine_here(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "servers" not in request.fixturenames:
        monkeypatch.setenv("DOCKER_HOST", engine.address())


@pytest.fixture
def made() -> Iterator[Made]:
    with throwaway() as new:
        yield new


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., dict[str, Finding]]:
    """The findings by code; twice the same code would be a surprise."""

    def examined(container: str, volume: str = "", *services: str, at: Address | None = None) -> dict[str, Finding]:
        found = list(traps.examine(Engine(), "db", Docker(container, volume, services), tmp_path / "stopped", at))
        assert len({one.code for one in found}) == len(found), found
        return {one.code: one for one in found}

    return examined


Look = Callable[..., dict[str, Finding]]


@pytest.mark.slow
def test_a_sound_server_has_no_trap(stack: Stack, look: Look) -> None:
    Engine().wait_ready(stack.database, 60)  # its health is looked at once a second
    found = look(stack.database, stack.volume, stack.service, at=stack.address)
    assert {code: one.level for code, one in found.items()} == {"container": "ok", "volume": "ok"}


@pytest.mark.slow
def test_doctor_tells_of_the_container(stack: Stack, tmp_path: Path) -> None:
    program = Program(tmp_path, {"STACK_PASSWORD": engine.PASSWORD, "DOCKER_HOST": engine.address()})
    lost = stack.source.replace(f'"{stack.volume}"', f'"{stack.volume}_lost"')
    (tmp_path / "pgproof.toml").write_text(f'{lost}[stores.local]\nurl = "{program.store}"\n')
    ran = program.run("doctor", "--json")
    findings = {one["code"]: one for one in ran.json["findings"]}
    assert ran.code == 1 and findings["volume-missing"]["level"] == "critical"
    assert stack.volume in findings["volume-missing"]["hint"], "the nearest name is told"


def test_g3_a_container_that_is_not_there_is_told_with_the_nearest_name(stack: Stack, look: Look) -> None:
    found = look(f"{stack.database}x", stack.volume)
    assert list(found) == ["container"] and found["container"].level == "critical"
    assert stack.database in found["container"].hint


def test_g4_a_volume_that_is_missing_is_told_and_never_made(stack: Stack, look: Look) -> None:
    assert look(stack.database, f"gone_{stack.tag}")["volume-missing"].level == "critical"
    assert f"gone_{stack.tag}" not in docker("volume", "ls", "--quiet").split()


def test_another_volume_than_the_one_with_the_data_is_told(stack: Stack, made: Made, look: Look) -> None:
    docker("volume", "create", f"spare_{made.tag}")
    trap = look(stack.database, f"spare_{made.tag}")["data-outside-volume"]
    assert trap.level == "critical" and f"spare_{made.tag}" in trap.text


@pytest.mark.slow
def test_data_of_postgresql_18_outside_the_named_volume_is_told(made: Made, look: Look) -> None:
    """Mounted where images up to 17 keep their data: the volume stays empty, and its backup would be empty."""
    name = made.run("eighteen", "--volume", f"named_{made.tag}:/var/lib/postgresql/data",
                    "--volume", "/var/lib/postgresql", "--env", "PGDATA=/var/lib/postgresql/18/docker")  # fmt: skip
    for volume in (f"named_{made.tag}", ""):
        trap = look(name, volume)["data-outside-volume"]
        assert trap.level == "critical" and "mount the named volume at /var/lib/postgresql " in trap.hint
        assert f"named_{made.tag}" in trap.text
    bare = made.run("bare", "--env", "PGDATA=/srv/data")
    assert "goes with the container" in look(bare)["data-outside-volume"].hint


def test_an_empty_volume_is_told(made: Made, look: Look) -> None:
    name = made.run("empty", "--volume", f"empty_{made.tag}:/var/lib/postgresql/data", how=("create",))
    found = look(name, f"empty_{made.tag}")
    assert found["volume-empty"].level == "critical" and "is empty" in found["volume-empty"].text
    assert found["container"].level == "warning" and "created" in found["container"].text


@pytest.mark.slow
def test_g9_a_volume_of_two_servers_is_told(made: Made, look: Look) -> None:
    mount = ("--volume", f"both_{made.tag}:/var/lib/postgresql/data")
    first = made.run("first", *mount)
    second = made.run("second", *mount, how=("create",))
    wait_for_server(first)
    assert look(first, f"both_{made.tag}")["volume-shared"].level == "warning"
    docker("start", second)
    wait_for_server(second)
    shared = look(first, f"both_{made.tag}")["volume-shared"]
    assert shared.level == "critical" and second in shared.text


@pytest.mark.slow
def test_g6_a_container_that_a_dead_run_left_stopped_is_told(made: Made, look: Look, tmp_path: Path) -> None:
    name = made.run("left", "--volume", f"left_{made.tag}:/var/lib/postgresql/data")
    wait_for_server(name)
    running = Engine().container(name)
    (tmp_path / "stopped").mkdir()
    _write(tmp_path / "stopped" / "left.json", [Kept(running.id, name, "running", running.started_at, 300)])
    assert "left-stopped" not in look(name), "what runs is not left"
    docker("stop", name)
    found = look(name)
    assert found["left-stopped"].level == "critical" and name in found["left-stopped"].text
    assert Engine().container(name).state == "exited", "doctor only looks"


def test_services_that_are_not_there_and_such_as_are_not_named_are_told(stack: Stack, look: Look) -> None:
    found = look(stack.database, stack.volume, "nobody")
    assert found["service-missing"].level == "critical" and "'nobody'" in found["service-missing"].text
    assert found["service-unlisted"].level == "info" and stack.service in found["service-unlisted"].text


@pytest.mark.slow
def test_a_url_that_leads_to_another_server_is_told(stack: Stack, made: Made, look: Look) -> None:
    """Else the logical backups would be of one database and the volume's of another."""
    other = made.run("other", "--volume", f"other_{made.tag}:/var/lib/postgresql/data")
    wait_for_server(other)
    found = look(other, f"other_{made.tag}", at=stack.address)
    assert found["wrong-server"].level == "critical" and other in found["wrong-server"].text
    nowhere = look(stack.database, stack.volume, stack.service, at=stack.address.at("127.0.0.1", 1))
    assert f"127.0.0.1:{stack.port}" in nowhere["container-address"].text


def test_an_engine_that_does_not_answer_is_told(look: Look, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    found = look("db", "data")
    assert list(found) == ["engine"] and found["engine"].level == "critical"


def test_a_collation_of_another_version_is_told(servers: Servers, tmp_path: Path) -> None:
    """As after a change of image: the version that the database noted is not the library's."""
    address = servers.database(15, options="LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C'")
    with connect(address) as session:
        session.run('CREATE TABLE public.t (word text COLLATE pg_catalog."de-x-icu")')
    assert "collation-mismatch" not in {one.code for one in examined(address, tmp_path)}
    with connect(address) as session:
        session.run("UPDATE pg_catalog.pg_database SET datcollversion = '1.1' WHERE datname = current_database()")
        session.run("UPDATE pg_catalog.pg_collation SET collversion = '1.1' WHERE collname IN ('de-x-icu', 'fr-x-icu')")
    told = [one for one in examined(address, tmp_path) if one.code == "collation-mismatch"]
    assert [one.level for one in told] == ["warning"] * 2
    assert f'REINDEX DATABASE "{address.database}"' in told[0].hint
    assert "de-x-icu" in told[1].text and "fr-x-icu" not in told[1].text


def examined(address, folder: Path) -> list[Finding]:
    (folder / "store").mkdir(exist_ok=True)
    work = Job("db", address, Dump("db", address), Repository(DirectoryStore(folder / "store")), Key(), Policy())
    return list(examine_server(work))
