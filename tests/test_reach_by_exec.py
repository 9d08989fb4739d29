"""A server in a container that no network leads to, reached by `docker exec`: on a real engine."""

import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Literal

import psycopg
import pytest

from pgproof import docker as room
from pgproof.config.settings import Docker, SourceSettings
from pgproof.docker import Engine, relay
from pgproof.errors import Unreachable
from pgproof.job import address_of
from pgproof.postgres.rows import rows_for, strides
from pgproof.postgres.server import Address, connect
from tests import engine
from tests.conftest import Program, missing
from tests.engine import docker, eventually

TARGET_ROWS = 110_000  # of 961 bytes: 105 MB


@contextlib.contextmanager
def contained(*words: str) -> Iterator[str]:
    """A server in a container of its own; its name. By the network it can be had by nobody, unless `words` say so."""
    name = f"exec-db-{secrets.token_hex(4)}"
    docker("run", "--detach", "--name", name, *(words or ("--network", "none")), "--env", "POSTGRES_USER=keycloak",
           "--env", "POSTGRES_DB=keycloak", "--env", f"POSTGRES_PASSWORD={engine.PASSWORD}", engine.IMAGE)  # fmt: skip
    try:
        ready = ("exec", name, "psql", "-U", "keycloak", "-Atc", "SHOW listen_addresses")
        eventually(lambda: docker(*ready, check=False) == "*")  # not the server that the entry point sets up with
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


@pytest.fixture(scope="module")
def here() -> Iterator[None]:
    """What runs in the tests' own process has the tests' engine."""
    before = os.environ.get("DOCKER_HOST")
    os.environ["DOCKER_HOST"] = engine.address()
    yield
    os.environ.pop("DOCKER_HOST")
    os.environ.update({"DOCKER_HOST": before} if before else {})


@pytest.fixture(scope="module")
def database(here: None) -> Iterator[str]:
    with contained() as name:
        yield name


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder in which sockets have names that are short enough."""
    with tempfile.TemporaryDirectory(prefix="px", dir="/tmp") as folder:
        yield Path(folder)


def by_exec(container: str, host: str = "") -> Address:
    folder = relay.relay(Engine(), container, relay.Inside(host))
    return Address(f"host={folder} port=5432 user=keycloak dbname=keycloak", place=f"the container {container}")


def programs(container: str) -> list[str]:
    return sorted(set(Engine().processes(container)))


@pytest.mark.slow
def test_a_server_that_no_network_leads_to_is_backed_up_proven_restored_and_recovered(
    database: str, program: Program, short: Path
) -> None:
    """Nothing is configured for it, not even a password, and nothing is left of it."""
    configure(program, short, database)
    with connect(by_exec(database)) as session:
        session.run("CREATE TABLE public.users AS SELECT g AS id, md5(g::text) t FROM generate_series(1, 50000) g")
    found = program.run("doctor", "--json").json["findings"]
    (said,) = (one for one in found if one["code"] == "container-exec")
    assert database in said["text"]
    assert {one["code"] for one in found if one["level"] == "critical"} == {"data-outside-volume"}, "by the test itself"
    program.ok("backup", "--quiet")
    proof = program.ok("prove", "--json").json
    assert proof["proven"] and {one["name"]: one["rows"] for one in proof["tables"]}["public.users"] == 50000
    assert f"the container {database}" in program.ok("restore", "latest", "--to", "again").out
    with connect(by_exec(database), "again") as session:
        assert session.value("SELECT count(*) FROM public.users") == 50000
    with connect(by_exec(database)) as session:
        session.run("DELETE FROM public.users")
    plan = program.ok("recover", "--dry-run", "--json").json
    done = program.ok("recover", "--yes", plan["hash"], "--json").json
    with connect(by_exec(database)) as session:
        assert session.value("SELECT count(*) FROM public.users") == 50000
    program.ok("recover", "--undo", "--yes", str(done["plan"]))
    with connect(by_exec(database)) as session:
        assert session.value("SELECT count(*) FROM public.users") == 0
    eventually(lambda: programs(database) == ["postgres"])
    assert not list(short.glob("pgproof-exec-*")), "the sockets' folders go with their process"


def configure(program: Program, short: Path, database: str, reach: str = "network") -> None:
    program.env |= {"DOCKER_HOST": engine.address(), "TMPDIR": str(short)}
    (program.folder / "pgproof.toml").write_text(
        f'[sources.keycloak]\nurl = "postgresql://keycloak@{database}/keycloak"\njobs = 3\n'
        f'docker = {{ container = "{database}", reach = "{reach}" }}\n[stores.local]\nurl = "{program.store}"\n'
    )


@pytest.mark.slow
@pytest.mark.parametrize("reach", ["network", "exec"])
def test_one_that_is_down_is_started_first_by_recover(here: None, program: Program, short: Path, reach: str) -> None:
    with contained() as name:
        configure(program, short, name, reach)
        with connect(by_exec(name)) as session:
            session.run("CREATE TABLE public.users AS SELECT g AS id FROM generate_series(1, 2000) g")
        program.ok("backup", "--quiet")
        program.ok("prove", "--quiet")
        docker("stop", "--time", "10", name)
        assert program.run("backup").code == 6
        first = program.ok("recover", "--dry-run", "--json").json
        assert "start the container" in first["steps"][0]
        second = program.run("recover", "--yes", first["hash"])
        assert second.code == 4 and "there is no terminal to ask at" in second.err, second
        plan = program.ok("recover", "--dry-run", "--json").json
        program.ok("recover", "--yes", plan["hash"])
        with connect(by_exec(name)) as session:
            assert session.value("SELECT count(*) FROM public.users") == 2000
            assert session.value("SELECT count(*) FROM pg_database WHERE datname LIKE 'keycloak_before%'") == 1


@pytest.mark.slow
def test_of_fifty_connections_at_once_none_is_lost(database: str) -> None:
    address, together = by_exec(database), threading.Barrier(50)

    def ask(number: int) -> int:
        together.wait()
        with connect(address) as session:
            return int(session.value(f"SELECT {number}"))

    with ThreadPoolExecutor(50) as crew:
        for _ in range(2):
            assert list(crew.map(ask, range(50))) == list(range(50))
    eventually(lambda: programs(database) == ["postgres"])


@pytest.mark.slow
def test_a_hundred_megabytes_come_and_go_byte_for_byte(database: str) -> None:
    lines = (hashlib.sha256(b"%d" % number).hexdigest() * 15 + "\n" for number in range(TARGET_ROWS))
    data = "".join(lines).encode()
    with connect(by_exec(database)) as session:
        session.run("CREATE TABLE public.large (t text)")
        wire = session.wire()
    rows, found, size = rows_for(wire), hashlib.sha256(), 0

    def take(chunk: bytes) -> None:
        nonlocal size
        found.update(chunk)
        size += len(chunk)

    with contextlib.closing(rows):
        rows.open()
        assert rows.copy_in("public", "large", ["t"], strides(data)) == TARGET_ROWS
        assert rows.copy_out("SELECT * FROM public.large", take) == TARGET_ROWS
    assert size == len(data) > 100 << 20 and found.digest() == hashlib.sha256(data).digest()


@pytest.mark.slow
def test_a_query_is_cancelled_from_here(database: str) -> None:
    with psycopg.connect(by_exec(database).conninfo) as connection:
        threading.Timer(1, lambda: connection.cancel_safe(timeout=10)).start()
        began = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_catalog.pg_sleep(60)")
        assert time.monotonic() - began < 20


READS_FOR_EVER = """
import sys
from pgproof.docker import Engine, relay
from pgproof.postgres.server import Address, connect
folder = relay.relay(Engine(), sys.argv[1], relay.Inside())
with connect(Address(f"host={folder} user=keycloak dbname=keycloak")) as session:
    session.copy_out("SELECT repeat('x', 1000), generate_series(1, 1000000000)", lambda _: print("row", flush=True))
"""


@pytest.mark.slow
def test_when_it_is_killed_nothing_of_it_stays_in_the_container(database: str) -> None:
    """In the middle of rows, when the server is not waiting for anything it could say."""
    busy = "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE query LIKE 'COPY (SELECT repeat%'"
    argv = [sys.executable, "-c", READS_FOR_EVER, database]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline() == b"row\n"
        with connect(by_exec(database)) as session:
            assert session.value(busy) == 1
            child.send_signal(signal.SIGKILL)
            child.wait()
            eventually(lambda: session.value(busy) == 0, 20)
    eventually(lambda: programs(database) == ["postgres"], 20)


def source(container: str, url: str, reach: Literal["network", "exec"] = "network") -> SourceSettings:
    return SourceSettings("keycloak", url, docker=Docker(container, reach=reach))


@pytest.mark.slow
def test_a_network_that_leads_there_is_taken_unless_the_configuration_wants_exec(here: None) -> None:
    with contained("--publish", "127.0.0.1::5432") as name:
        port = docker("port", name, "5432").rpartition(":")[2]
        url = f"postgresql://keycloak@{name}/keycloak"
        assert address_of(source(name, url)).server == f"127.0.0.1:{port}"
        wanted = address_of(source(name, url, "exec"))
        assert wanted.server == f"the container {name}" and name in wanted.describe()
        with connect(wanted) as session:
            assert session.value("SELECT inet_client_addr() IS NULL"), "over the server's own socket"
        inside = address_of(source(name, "postgresql://keycloak@127.0.0.1:5432/keycloak", "exec"))
        with pytest.raises(Unreachable, match="asks for a password"):
            connect(inside)  # the URL says as the container sees it: over the network in it a password is asked for


@pytest.mark.slow
def test_a_name_that_the_network_has_for_another_machine_means_the_container_all_the_same(here: None) -> None:
    """As if somebody's host were called so: a number is a name that leads to itself, where nobody listens."""
    called = f"127.{secrets.randbelow(250) + 1}.{secrets.randbelow(250) + 1}.7"
    with contained("--publish", "127.0.0.1::5432") as name:
        docker("rename", name, called)
        try:
            port = docker("port", called, "5432").rpartition(":")[2]
            assert address_of(source(called, f"postgresql://keycloak@{called}/keycloak")).server == f"127.0.0.1:{port}"
            own = next(iter(Engine().container(called).addresses.values()))
        finally:
            docker("rename", called, name)
        docker("rename", name, own)
        try:
            assert address_of(source(own, f"postgresql://keycloak@{own}/keycloak")).server == f"{own}:5432"
        finally:
            docker("rename", own, name)


@pytest.mark.slow
def test_what_stands_against_it_is_said_with_what_to_do(here: None) -> None:
    with pytest.raises(Unreachable, match=r"by docker exec: there is no container 'nowhere-to-be-found'") as absent:
        connect(by_exec("nowhere-to-be-found"))
    assert "there are:" in absent.value.hint
    with contained() as name:
        with pytest.raises(Unreachable, match=r"nothing answers at /tmp/\.s\.PGSQL\.5432: No such file") as elsewhere:
            connect(by_exec(name, "/tmp"))
        assert "in the URL" in elsewhere.value.hint
        docker("exec", name, "mv", "/usr/bin/perl", "/usr/bin/other")
        with pytest.raises(Unreachable, match="neither perl nor socat nor busybox") as lacking:
            connect(by_exec(name))
        assert "install perl or socat in its image" in lacking.value.hint
        docker("stop", "--time", "5", name)
        with pytest.raises(Unreachable, match="is not running"):
            connect(by_exec(name))


@pytest.mark.parametrize("kind", ["socket", "network"])
@pytest.mark.parametrize("name", ["perl", "socat", "busybox"])
def test_each_program_that_relays_passes_everything_on_and_the_end_too(name: str, kind: str, tmp_path: Path) -> None:
    """A server that answers with what it was told, once it has been told the end."""
    if not (found := shutil.which(name)):
        missing(name)
    if (name, kind) == ("busybox", "socket"):
        return  # it goes by the network alone
    (tmp_path / name).symlink_to(found)
    listener = socket.socket(socket.AF_UNIX if kind == "socket" else socket.AF_INET)
    listener.bind(str(tmp_path / ".s.PGSQL.5432") if kind == "socket" else ("127.0.0.1", 0))
    listener.listen()
    place = ["", *map(str, listener.getsockname())] if kind == "network" else [listener.getsockname(), "", ""]
    told = os.urandom(3 << 20)

    def serve() -> None:
        with listener.accept()[0] as client, client.makefile("rb") as heard:
            client.sendall(b"first ")
            client.sendall(heard.read())

    with listener:
        threading.Thread(target=serve, daemon=True).start()
        shell, perl = (resources.files(room).joinpath(one).read_text() for one in ("relay.sh", "relay.pl"))
        argv = ["/bin/sh", "-c", shell, "relay", *place, perl]
        done = subprocess.run(
            argv, input=told, env={"PATH": str(tmp_path)}, capture_output=True, timeout=60, check=True
        )
    assert done.stdout == b"first " + told
