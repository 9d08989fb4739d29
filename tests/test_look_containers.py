"""`pgproof init` on a real engine: servers in containers are found, and what it writes works."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pgproof.docker import Container, Mount, servers
from tests import engine
from tests.conftest import Program
from tests.engine import IMAGE, PASSWORD, Stack, docker
from tests.throwaway import throwaway, wait_for_server

KEYCLOAK = (
    "CREATE TABLE migration_model (id int); CREATE TABLE user_entity (id int); CREATE TABLE keycloak_role (id int)"
)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with engine.stack() as made:
        made.run(KEYCLOAK)
        yield made


@pytest.fixture
def program(tmp_path: Path) -> Program:
    tmp_path.chmod(0o700)
    return Program(tmp_path, {"DOCKER_HOST": engine.address()})


def written(program: Program, container: str) -> tuple[str, dict[str, Any]]:
    """The source that `init` has written for a container: its name and its settings."""
    every = tomllib.loads((program.folder / "pgproof.toml").read_text())["sources"]
    (found,) = [(name, one) for name, one in every.items() if one.get("docker", {}).get("container") == container]
    return found


@pytest.mark.slow
def test_init_finds_a_server_in_a_container_and_what_it_writes_works(program: Program, stack: Stack) -> None:
    """Found with its volume, its database and who uses it; after the one command that it names, a backup succeeds."""
    said = program.ok("init", "--store", "backups").out
    name, source = written(program, stack.database)
    assert source["url"] == f"postgresql://keycloak@127.0.0.1:{stack.port}/keycloak"
    assert source["docker"] == {"container": stack.database, "volume": stack.volume, "services": [stack.service]}
    assert source["checks"] == ["keycloak"]
    assert stack.service in said and stack.volume in said
    every = tomllib.loads((program.folder / "pgproof.toml").read_text())["sources"].values()
    assert stack.service not in {one.get("docker", {}).get("container") for one in every}, "it only sleeps"

    (command,) = re.findall(rf"\(umask 077; .*{stack.database}\.password\)", said)
    subprocess.run(["sh", "-c", command], cwd=program.folder, env=program.environment, check=True)
    assert (program.folder / f"{stack.database}.password").stat().st_mode & 0o077 == 0
    assert program.ok("doctor", name).code == 0
    assert program.ok("backup", name, "--json").json["kind"] == "logical"


@pytest.mark.slow
def test_init_tells_no_secret_of_a_container(program: Program, stack: Stack) -> None:
    ran = program.ok("init")
    assert PASSWORD not in ran.out + ran.err + (program.folder / "pgproof.toml").read_text()


@pytest.mark.slow
def test_a_secret_that_lies_in_a_file_of_this_machine_is_referred_to(program: Program) -> None:
    secret = program.folder / "secret"
    secret.touch(0o600)
    secret.write_text(f"{PASSWORD}\n")
    with throwaway() as made:
        name = made.run(
            "own", "--mount", f"type=bind,source={secret},destination=/run/secrets/db,readonly",
            "--env", "POSTGRES_PASSWORD_FILE=/run/secrets/db", "--env", "POSTGRES_DB=shop",
        )  # fmt: skip
        wait_for_server(name)
        said = program.ok("init", "--store", "backups").out
        source, settings = written(program, name)
        assert settings["password"] == f"file:{secret}"
        assert settings["url"] == f"postgresql://postgres@{name}/shop", "not published: by its name"
        assert "a volume without a name" in said
        assert "volume" not in settings["docker"], "a name that the engine made up is not written down"
        assert program.ok("backup", source).code == 0
        address = docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", name)
        docker("stop", name)
        docker("run", "--detach", "--name", other := f"other-{made.tag}", "--entrypoint", "sleep", IMAGE, "60")
        made.containers.append(other)
        docker("start", name)
        wait_for_server(name)
        assert address != docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", name)
        assert program.ok("backup", source).code == 0, "at its new address"


def test_a_server_that_does_not_run_is_told_and_left_alone(program: Program) -> None:
    with throwaway() as made:
        name = made.run("idle", how=("create",))
        assert f"{name} may be a PostgreSQL server and does not run" in program.ok("init").out
        assert docker("inspect", "--format", "{{.State.Status}}", name) == "created"


def test_without_an_engine_init_goes_on_as_before(tmp_path: Path) -> None:
    for number, (env, told) in enumerate(
        (
            ({"PGPROOF_DOCKER": "/nowhere/docker"}, ""),
            ({"DOCKER_HOST": f"unix://{tmp_path}/no.sock"}, "Containers were not looked at"),
        )
    ):
        (tmp_path / str(number)).mkdir(mode=0o700)
        ran = Program(tmp_path / str(number), env).ok("init")
        assert told in ran.out and ("Containers" in ran.out) == bool(told)
        assert (tmp_path / str(number) / "pgproof.toml").exists()


# -- what is decided from what the engine tells -------------------------------------------------------------


def one(name: str, *, env: dict[str, str] | None = None, **more: Any) -> Container:
    return Container(name, name, "x", "sha256:0", "running", env=env or {}, **more)


DB = one("db-1", addresses={"net": "10.0.0.2"}, labels={"com.docker.compose.project": "p",
         "com.docker.compose.service": "db"})  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "uses"),
    [
        ("KC_DB_URL", "jdbc:postgresql://db:5432/keycloak", True),
        ("KC_DB_URL", "jdbc:postgresql://db-1/keycloak?ssl=false", True),
        ("DATABASE_URL", "postgres://u:p@10.0.0.2/x", True),
        ("PGHOST", "db", True),
        ("DSN", "host=db user=x", True),
        ("SERVERS", "cache:6379,db:5432", True),
        ("KC_DB", "db", False),
        ("KC_DB_URL", "jdbc:postgresql://db-10/keycloak", False),
        ("KC_DB_URL", "jdbc:postgresql://other-db:5432/keycloak", False),
        ("KC_DB_URL", "jdbc:postgresql://db.example.com/keycloak", False),
    ],
)
def test_who_names_the_server_as_a_host_uses_it(key: str, value: str, uses: bool) -> None:
    near = one("app", env={key: value}, addresses={"net": "10.0.0.3"})
    far = one("far", env={key: value}, addresses={"elsewhere": "10.9.0.3"})
    assert servers.dependants(DB, [DB, near, far]) == ((near,) if uses else ())


def test_who_depends_on_it_in_another_project_does_not_use_it() -> None:
    labels = {"com.docker.compose.depends_on": "db:service_healthy:false"}
    ours = one("ours", labels={"com.docker.compose.project": "p", **labels})
    theirs = one("theirs", labels={"com.docker.compose.project": "q", **labels})
    assert servers.dependants(DB, [theirs, ours]) == (ours,)


@pytest.mark.parametrize(
    ("ports", "engine_at", "expected"),
    [
        ({"5432/tcp": ("0.0.0.0", 5433)}, "", ("127.0.0.1", 5433)),
        ({"5432/tcp": ("0.0.0.0", 5433)}, "ssh://me@far.example.com", ("far.example.com", 5433)),
        ({"5432/tcp": ("::", 5433)}, "unix:///run/docker.sock", ("127.0.0.1", 5433)),
        ({"5432/tcp": ("192.0.2.1", 5433)}, "tcp://far:2376", ("192.0.2.1", 5433)),
        ({"8080/tcp": ("0.0.0.0", 80)}, "", ("10.0.0.2", 5432)),
    ],
)
def test_how_a_server_is_reached(ports: dict[str, Any], engine_at: str, expected: tuple[str, int]) -> None:
    assert servers.reach(one("db", ports=ports, addresses={"net": "10.0.0.2"}), engine_at) == expected


def test_the_data_lies_in_the_innermost_mount() -> None:
    mounts = (Mount("outer", "/o", "/var/lib/postgresql", True), Mount("inner", "/i", "/var/lib/postgresql/data", True))
    assert servers.data_mount(one("db", mounts=mounts)) == mounts[1]
    eighteen = one("db", mounts=mounts, env={"PGDATA": "/var/lib/postgresql/18/docker"})
    assert servers.data_mount(eighteen) == mounts[0]
    assert servers.data_mount(one("db", mounts=(Mount("x", "/x", "/var/lib/postgresql/dat", True),))) is None
