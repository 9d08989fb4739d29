"""A machine without PostgreSQL's programs, or with ones that are too old: those of the server's container are used."""

import os
import shlex
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pgproof.errors import ProgramFailed, Refused, Unreachable
from pgproof.postgres import tools
from pgproof.postgres.server import Address, connect
from pgproof.postgres.tools import Tools
from pgproof.secret import Secret
from tests import engine
from tests.conftest import Program, load_zoo, missing
from tests.engine import docker, eventually
from tests.test_reach_by_exec import by_exec, contained, here, programs

__all__ = ["here"]
OLDER = (Tools(Path("/nowhere"), 13, 23, server=False), Tools(Path("/nowhere"), 14, 20, server=True))


@pytest.fixture(scope="module")
def database(here: None) -> Iterator[str]:
    words = ("--network", "none", "--env", "POSTGRES_INITDB_ARGS=--encoding=UTF8 --locale=C")
    with contained(*words) as name:
        address = by_exec(name)
        load_zoo(SimpleNamespace(address=address, tools=SimpleNamespace(major=15)), address)
        yield name


@dataclass
class Bare(Program):
    """The program where no folder of this machine has PostgreSQL's programs: empty ones lie over them."""

    def argv(self, *words: str) -> list[str]:
        over = "; ".join(f"mount -t tmpfs none {shlex.quote(str(one.folder))}" for one in tools.found())
        return ["unshare", "--mount", "sh", "-ec", f"{over}; exec {shlex.join(super().argv(*words))}"]


@pytest.fixture
def bare(tmp_path: Path, database: str) -> Bare:
    if os.geteuid() != 0:
        missing("the right to mount")
    tmp_path.chmod(0o700)
    made = Bare(tmp_path, {"DOCKER_HOST": engine.address(), "TMPDIR": "/tmp"})
    (tmp_path / "pgproof.toml").write_text(
        f'[sources.zoo]\nurl = "postgresql://keycloak@{database}/keycloak"\npassword = "env:SECRET"\n'
        f'docker = {{ container = "{database}" }}\n[stores.local]\nurl = "{made.store}"\n'
    )
    made.env["SECRET"] = engine.PASSWORD
    return made


@pytest.mark.slow
def test_a_machine_without_postgresql_backs_up_proves_and_restores(bare: Bare, database: str) -> None:
    """Everything that a database can hold, by the programs of its container alone."""
    told = {one["code"]: one for one in bare.run("doctor", "--json").json["findings"]}
    assert f"in the container {database}: those of this machine are older" in told["pg_dump"]["text"]
    assert told["drill"]["level"] == "ok" and "a container of the image" in told["drill"]["text"]
    made = bare.ok("backup", "--json").json
    (made,) = made if isinstance(made, list) else [made]
    assert made["tools"]["container"] == database and made["tools"]["pg_dump"].startswith("15.")
    proof = bare.ok("prove", "--json").json
    assert proof["proven"] and not proof["findings"], "in a container of its own image, by the programs in that"
    bare.ok("restore", "latest", "--to", "again")
    question = "SELECT count(*) FROM pg_catalog.pg_class WHERE relnamespace >= 16384 OR relnamespace = 2200"
    with connect(by_exec(database)) as session, connect(by_exec(database), "again") as again:
        assert session.value(question) == again.value(question) > 50
    eventually(lambda: programs(database) == ["postgres"])
    assert docker("exec", database, "sh", "-c", "ls -A /dev/shm /tmp | grep -c pgproof", check=False) == "0"


@pytest.mark.slow
def test_a_server_that_asks_for_the_password_at_its_own_socket_is_given_it(here: None) -> None:
    """In the environment, which is in no list of processes."""
    with contained() as name:
        hba = "/var/lib/postgresql/data/pg_hba.conf"
        docker("exec", name, "sed", "-i", r"s/^local\b.*/local all all scram-sha-256/", hba)
        docker("kill", "--signal", "HUP", name)
        address, inside = by_exec(name), tools.of_container(name)
        assert inside
        eventually(lambda: refused(address, "asks for a password"), 10)
        with connect(replace(address, password=Secret(engine.PASSWORD))) as session:
            wire = session.wire()
        assert b"PostgreSQL database dump" in inside.run("pg_dump", ["--schema-only"], wire)
        with pytest.raises(ProgramFailed, match="password"):
            inside.run("pg_dump", ["--schema-only", "--no-password"], replace(wire, password=""))
        with inside._inside("pg_dump", [], wire) as (program, _):
            assert engine.PASSWORD not in " ".join(program.argv) and engine.PASSWORD in (program.env or {}).values()


def refused(address: Address, why: str) -> bool:
    try:
        connect(address).close()
    except Unreachable as error:
        return why in error.message
    return False


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "restart"])
def test_g1_a_container_that_ends_meanwhile_fails_the_backup(here: None, how: str) -> None:
    """What it had written by then is no dump, and the exit status says so."""
    with contained() as name:
        inside = tools.of_container(name)
        assert inside
        end = threading.Timer(1, docker, (how, name))
        end.start()
        with pytest.raises(ProgramFailed, match="status 137"):
            inside.run("sh", ["-c", "echo half a dump; sleep 60"])
        end.join()


@pytest.mark.slow
def test_the_programs_of_this_machine_come_first_and_older_ones_never(database: str, here: None) -> None:
    newer = Tools(Path("/somewhere"), 17, 1, server=False)
    assert tools.for_dump(15, (*OLDER, newer), database) is newer
    assert tools.for_dump(15, OLDER, database).place == f"the container {database}"
    for container, major in ((database, 16), ("nowhere-to-be-found", 15), ("", 15)):
        with pytest.raises(Refused, match="this machine has 13.23, 14.20"):
            tools.for_dump(major, OLDER, container)


@pytest.mark.parametrize("sizes", [(0, 5), (1 << 20, 3 << 20)])
def test_files_come_whole_into_the_container_and_leave_nothing(
    database: str, here: None, sizes: tuple[int, ...]
) -> None:
    inside, files = tools.of_container(database), [os.urandom(size) for size in sizes]
    assert inside
    assert inside.run("cat", files) == b"".join(files)
    assert docker("exec", database, "sh", "-c", "ls -A /dev/shm /tmp | grep -c pgproof", check=False) == "0"


def test_a_container_without_room_for_them_is_refused(database: str, here: None) -> None:
    """Its /dev/shm has 64 MB."""
    inside = tools.of_container(database)
    assert inside
    with pytest.raises(ProgramFailed, match="there is no room for 83886080 bytes in the container"):
        inside.run("cat", [bytes(80 << 20)])
