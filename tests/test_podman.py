"""The same by podman. Collected only with PGPROOF_TEST_PODMAN set: it needs podman and runc, which CI does not install.

PGPROOF_TEST_PODMAN=1 tools/engine run .venv/bin/pytest tests/test_podman.py
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import engine
from tests.conftest import Program

WRAPPER = """#!/bin/sh
export CONTAINERS_CONF={place}/containers.conf
exec podman --root {place}/root --runroot {place}/run --storage-driver vfs --cgroup-manager cgroupfs --runtime runc "$@"
"""
LIMITS = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
CONFIG = """
[sources.keycloak]
url = "postgresql://keycloak@db/keycloak"
kinds = ["volume", "logical"]
docker = {{ container = "db", volume = "data", reach = "exec" }}
[stores.local]
url = "{store}"
"""


@pytest.fixture
def podman() -> Iterator[Callable[..., str]]:
    """podman with a storage of its own, which has the tests' image."""
    place = Path(tempfile.mkdtemp(prefix="pgproof-podman-", dir="/var/tmp"))
    (place / "containers.conf").write_text(LIMITS)
    program = place / "podman"
    program.write_text(WRAPPER.format(place=place))
    program.chmod(0o755)

    def run(*words: str) -> str:
        return subprocess.run([program, *words], check=True, capture_output=True, text=True).stdout.strip()

    saved = place / "image.tar"
    engine.docker("save", "--output", str(saved), engine.IMAGE)
    run("load", "--input", str(saved))
    run.program = str(program)  # type: ignore[attr-defined]
    yield run
    run("rm", "--all", "--force", "--time", "0")
    shutil.rmtree(place)


def asked(podman: Callable[..., str], sql: str) -> str:
    return podman("exec", "db", "psql", "-U", "keycloak", "-qAtc", sql)


def until_it_serves(podman: Callable[..., str]) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            if asked(podman, "SHOW listen_addresses") == "*":
                return
        except subprocess.CalledProcessError:
            assert time.monotonic() < until
        time.sleep(0.2)


def test_backups_drills_and_the_worst_day_by_podman(podman: Callable[..., str], program: Program) -> None:
    """Without a network: everything goes by exec. A container that is gone is made again on a volume that is gone."""
    program.env |= {"PGPROOF_DOCKER": podman.program}  # type: ignore[attr-defined]
    (program.folder / "pgproof.toml").write_text(CONFIG.format(store=program.store))
    podman("run", "--detach", "--name", "db", "--network", "none", "--volume", "data:/var/lib/postgresql/data",
           "--env", "POSTGRES_USER=keycloak", "--env", "POSTGRES_DB=keycloak", "--env", "POSTGRES_PASSWORD=x",
           engine.IMAGE)  # fmt: skip
    until_it_serves(podman)
    asked(podman, "CREATE TABLE users AS SELECT generate_series(1, 1000) AS id")
    made = program.ok("backup", "--json").json
    assert {one["kind"] for one in made} == {"volume", "logical"}
    for one in made:
        program.ok("prove", one["id"], "--quiet")
    until_it_serves(podman)
    podman("rm", "--force", "--time", "0", "db")
    podman("volume", "rm", "data")
    plan = program.ok("recover", "keycloak:volume", "--dry-run", "--json").json
    program.ok("recover", "keycloak:volume", "--yes", plan["hash"])
    until_it_serves(podman)
    assert asked(podman, "SELECT count(*) FROM users") == "1000"
