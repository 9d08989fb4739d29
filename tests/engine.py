"""A real container engine: a stack as Compose would make it, on names of its own, taken down whatever happens."""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pgproof.postgres.server import Address, connect
from pgproof.secret import Secret
from tests.conftest import missing
from tests.waiting import until

IMAGE = "pgproof-test/postgres:15"
PASSWORD = "stack-secret"


def address() -> str:
    """Where the engine of `tools/engine` answers; the test is left out, or fails in CI, where there is none."""
    if not (found := os.environ.get("PGPROOF_TEST_DOCKER", "")):
        missing("a container engine: run the tests by `tools/engine run`, as make does")
    return found


def docker(*words: str, check: bool = True, seconds: float = 180) -> str:
    """What `docker` prints, as a person at the terminal would use it."""
    env = {**os.environ, "DOCKER_HOST": address(), "DOCKER_BUILDKIT": "0"}
    done = subprocess.run(["docker", *words], env=env, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0 or not check, f"docker {words}: {done.stderr}"
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Stack:
    """A database in a named volume, and a service that depends on it, in one Compose project."""

    tag: str
    port: int
    image: str = IMAGE

    @property
    def volume(self) -> str:
        return f"exp_postgres_keycloak_{self.tag}"

    @property
    def database(self) -> str:
        return f"keycloak-db-{self.tag}"

    @property
    def service(self) -> str:
        return f"keycloak-{self.tag}"

    @property
    def address(self) -> Address:
        return Address(f"postgresql://keycloak@127.0.0.1:{self.port}/keycloak", Secret(PASSWORD))

    @property
    def source(self) -> str:
        """The lines of a configuration for it."""
        return (
            f'[sources.keycloak]\nurl = "postgresql://keycloak@127.0.0.1:{self.port}/keycloak"\n'
            f'password = "env:STACK_PASSWORD"\nkinds = ["volume"]\n'
            f'docker = {{ container = "{self.database}", volume = "{self.volume}", services = ["{self.service}"] }}\n'
        )

    def up(self) -> None:
        """Start what is not there; returns when the server takes connections."""
        compose = ("--label", f"com.docker.compose.project={self.tag}", "--label")
        docker("volume", "create", self.volume)
        self.start_database(*compose, "com.docker.compose.service=db")
        depends = ("--label", "com.docker.compose.depends_on=db:service_healthy:false")
        docker("run", "--detach", "--init", "--name", self.service, "--restart", "unless-stopped",
               *compose, "com.docker.compose.service=keycloak", *depends,
               "--entrypoint", "sleep", self.image, "infinity")  # fmt: skip
        self.wait()

    def start_database(self, *words: str) -> None:
        docker(
            "run", "--detach", "--name", self.database, "--restart", "unless-stopped",
            "--volume", f"{self.volume}:/var/lib/postgresql/data", "--publish", f"127.0.0.1:{self.port}:5432",
            "--env", "POSTGRES_USER=keycloak", "--env", "POSTGRES_DB=keycloak",
            "--env", f"POSTGRES_PASSWORD={PASSWORD}",
            "--health-cmd", "pg_isready -h 127.0.0.1 -U keycloak", "--health-interval", "1s", *words, self.image,
        )  # fmt: skip

    def wait(self, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                connect(self.address).close()
            except Exception:
                assert time.monotonic() < deadline, docker("ps", "--all")
                time.sleep(0.1)
            else:
                return

    def run(self, sql: str) -> None:
        with connect(self.address) as session:
            session.run(f"SET search_path = public; {sql}")

    def value(self, sql: str) -> object:
        with connect(self.address) as session:
            session.run("SET search_path = public")
            return session.value(sql)

    def states(self) -> dict[str, tuple[str, str, str]]:
        """Of each of its containers: id, state, restart policy."""
        told = json.loads(docker("container", "inspect", self.database, self.service))
        return {
            one["Name"].lstrip("/"): (one["Id"], one["State"]["Status"], one["HostConfig"]["RestartPolicy"]["Name"])
            for one in told
        }

    def down(self) -> None:
        docker("rm", "--force", "--volumes", self.database, self.service, check=False)
        names = [name for name in docker("volume", "ls", "--quiet").split() if self.tag in name]
        if names:
            docker("volume", "rm", *names, check=False)


def eventually(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """The engine is everybody's: what another test has there just now goes within its time, what is left stays."""
    until(holds, lambda: docker("ps", "--all") + docker("volume", "ls"), seconds)


@contextlib.contextmanager
def stack(image: str = IMAGE) -> Iterator[Stack]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        made = Stack(secrets.token_hex(4), free.getsockname()[1], image)
    try:
        made.up()
        yield made
    finally:
        made.down()


@contextlib.contextmanager
def on_volume(volume: str, name: str) -> Iterator[Stack]:
    """A server of its own on a restored volume; only its `run` and `value` are of use."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        made = Stack(name, free.getsockname()[1])
    docker("run", "--detach", "--name", name, "--volume", f"{volume}:/var/lib/postgresql/data",
           "--publish", f"127.0.0.1:{made.port}:5432", IMAGE)  # fmt: skip
    try:
        made.wait()
        yield made
    finally:
        docker("rm", "--force", name)


def mountpoint(volume: str) -> Path:
    return Path(json.loads(docker("volume", "inspect", volume))[0]["Mountpoint"])
