"""Real parts for tests: PostgreSQL servers of several versions, databases in them, and the program itself.

In CI (CI=true) a part that is missing fails the test; elsewhere it is skipped with the reason.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pgproof.postgres import tools
from pgproof.postgres.scratch import Scratch, scratch
from pgproof.postgres.server import Address, connect
from pgproof.postgres.sql import name as quoted

pytest_plugins = ["tests.sweeps"]

ZOO = Path(__file__).parent / "zoo"


def missing(what: str) -> Any:
    """Skip on a developer's machine, fail in CI: a real part that is not there proves nothing."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and in CI it must be there")
    pytest.skip(f"{what} is not on this machine")


@dataclass
class Servers:
    """Servers by major version, started when first asked for and kept for the whole session."""

    stack: contextlib.ExitStack
    running: dict[int, Scratch] = field(default_factory=dict)
    count: int = 0

    def __call__(self, major: int) -> Scratch:
        if major not in self.running:
            fitting = [one for one in tools.found() if one.server and one.major == major]
            if not fitting:
                missing(f"a PostgreSQL {major} server")
            self.running[major] = self.stack.enter_context(scratch(fitting[0]))
        return self.running[major]

    def database(self, major: int, called: str | None = None, options: str = "") -> Address:
        """A fresh, empty database; `options` go behind CREATE DATABASE."""
        self.count += 1
        wanted = called or f"test_{os.getpid()}_{self.count}"
        drop_database(self(major).address, wanted)
        with connect(self(major).address) as session:
            session.run(f"CREATE DATABASE {quoted(wanted)} TEMPLATE template0 {options}")
        return self(major).address.to(wanted)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with contextlib.ExitStack() as stack:
        yield Servers(stack)


def drop_database(server: Address, called: str) -> None:
    """Drop a database if it is there, after the subscriptions that would hold it."""
    with connect(server) as session:
        if not session.rows("SELECT FROM pg_catalog.pg_database WHERE datname = %s", [called]):
            return
        with connect(server.to(called)) as inside:
            for (subscription,) in inside.rows(
                "SELECT subname FROM pg_catalog.pg_subscription WHERE subdbid = "
                "(SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
            ):
                for words in ("DISABLE", "SET (slot_name = NONE)"):
                    inside.run(f"ALTER SUBSCRIPTION {quoted(subscription)} {words}")
                inside.run(f"DROP SUBSCRIPTION {quoted(subscription)}")
        session.run(f"DROP DATABASE {quoted(called)} WITH (FORCE)")


def load_zoo(server: Scratch, database: Address) -> None:
    """Fill a database with everything of tests/zoo that its server can hold."""
    with connect(server.address) as session:
        session.run("SET search_path = public")
        session.run((ZOO / "roles.sql").read_text())
    files = ["zoo.sql"] + [f"zoo{major}.sql" for major in (17, 18) if server.tools.major >= major]
    with connect(database) as session:
        for file in files:
            session.run("RESET search_path")
            session.run("SET search_path = public")
            session.run((ZOO / file).read_text())


@dataclass(frozen=True)
class Ran:
    """How a run of the program ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Program:
    """The program `pgproof` in a folder of its own, with a configuration, as a user runs it."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "POSTGRES"))}
        return kept | {"PGPROOF_STATE": str(self.folder / "state")} | self.env

    @property
    def store(self) -> Path:
        return self.folder / "backups"

    def configure(self, more: str = "", **sources: Address) -> None:
        """Write pgproof.toml with these sources and the store `backups`; `more` is added as it is."""
        lines = []
        for name, address in sources.items():
            lines += [f"[sources.{name}]", f"url = {json.dumps(address.conninfo, ensure_ascii=False)}"]
            if address.password:
                secret = self.folder / f"{name}.password"
                secret.touch(0o600)
                secret.write_text(address.password.reveal())
                lines.append(f'password = "file:{secret}"')
        lines += ["[stores.local]", f"url = {json.dumps(str(self.store))}"]
        (self.folder / "pgproof.toml").write_text("\n".join(lines) + "\n" + more)

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "pgproof", *words]

    def run(self, *words: str, timeout: float = 300) -> Ran:
        done = subprocess.run(
            self.argv(*words),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Begin a run that the caller ends."""
        return subprocess.Popen(
            self.argv(*words),
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def ok(self, *words: str) -> Ran:
        """Run and demand success."""
        ran = self.run(*words)
        assert ran.code == 0, f"pgproof {' '.join(words)} ended with {ran.code}\n{ran.out}\n{ran.err}"
        return ran


@pytest.fixture
def program(tmp_path: Path) -> Program:
    tmp_path.chmod(0o700)
    return Program(tmp_path)


@pytest.fixture
def make_program(tmp_path: Path) -> Callable[[str], Program]:
    """Several programs with folders of their own."""

    def make(called: str) -> Program:
        folder = tmp_path / called
        folder.mkdir(mode=0o700)
        return Program(folder)

    return make
