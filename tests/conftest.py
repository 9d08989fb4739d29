"""Real parts for tests: PostgreSQL servers of several versions, databases in them, and the program itself.

In CI (CI=true) a part that is missing fails the test; elsewhere it is skipped with the reason.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pgproof.postgres import privileges, tools
from pgproof.postgres.scratch import Scratch, scratch
from pgproof.postgres.server import Address, connect
from pgproof.postgres.sql import literal
from pgproof.postgres.sql import name as quoted
from pgproof.secret import Secret
from tests import forked
from tests.buckets import moto_server, rclone_server  # noqa: F401 - fixtures of all tests
from tests.moments import Moment

pytest_plugins = ["tests.sweeps"]

collect_ignore = [] if os.environ.get("PGPROOF_TEST_PODMAN") else ["test_podman.py"]
ZOO = Path(__file__).parent / "zoo"


def missing(what: str) -> Any:
    """Skip on a developer's machine, fail in CI: a real part that is not there proves nothing."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and in CI it must be there")
    pytest.skip(f"{what} is not on this machine")


@contextlib.contextmanager
def disk(parent: Path, megabytes: int, mode: str = "0700") -> Iterator[Path]:
    """A disk of its own, in memory, below `parent`."""
    folder = parent / "disk"
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode={mode}", "tmpfs", str(folder)]
    if subprocess.run(argv, check=False).returncode:
        missing("the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first (a Keycloak takes a minute or two), so that no worker waits for it at the end."""
    items.sort(key=lambda item: ("keycloak" not in item.nodeid or not _is_slow(item), not _is_slow(item)))


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


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


@pytest.fixture(scope="session", autouse=True)
def _state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What runs in the tests' own process keeps its state away from that of this machine."""
    os.environ["PGPROOF_STATE"] = str(tmp_path_factory.mktemp("state"))


# gpg takes a sixth of a second of processor time to make a key of a passphrase as pgproof asks it to, for each part.
_GPG = """#!/bin/sh
for word; do shift; [ "$word" = 65011712 ] && word=65536; set -- "$@" "$word"; done
exec {gpg} "$@"
"""


@pytest.fixture(scope="session", autouse=True)
def real_gpg(tmp_path_factory: pytest.TempPathFactory) -> str | None:
    """Where gpg is; what all tests but those of its keys find first is the same gpg, which makes its keys quickly."""
    if real := shutil.which("gpg"):
        folder = tmp_path_factory.mktemp("programs")
        (folder / "gpg").write_text(_GPG.format(gpg=real))
        (folder / "gpg").chmod(0o755)
        os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
    return real


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


@pytest.fixture
def backup_address(servers: Servers) -> Iterator[Callable[[int, Address], Address]]:
    """A database's address for a role of its own that only backs up, made by what `pgproof role` prints; it is
    dropped at the end. What is in the database already, large objects too, it may read.
    """
    with contextlib.ExitStack() as stack:
        yield lambda major, database: stack.enter_context(_backup_role(servers(major).address, database))


@contextlib.contextmanager
def _backup_role(admin: Address, database: Address) -> Iterator[Address]:
    role, password = f"backup_{database.database}"[:63], secrets.token_hex(16)
    with connect(admin) as session:
        found = privileges.statements(role, [database.database], session.version_num)
    for one in found:
        with connect(admin.to(one.database or admin.database)) as session:
            session.run(one.sql)
    with connect(admin) as session:
        session.run(f"ALTER ROLE {quoted(role)} PASSWORD '{password}'")
    yield database.as_user(role, Secret(password))
    drop_role(admin, role, database.database)


def drop_role(admin: Address, role: str, *databases: str) -> None:
    """End its sessions, take back what was granted to it, drop it."""
    with connect(admin) as session:
        session.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {literal(role)}")
    for database in (*databases, admin.database):
        with connect(admin.to(database)) as session:
            session.run(f"DROP OWNED BY {quoted(role)}")
    with connect(admin) as session:
        session.run(f"DROP ROLE {quoted(role)}")


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
        """Run it to its end, in a process forked from one that has it imported, where that makes no difference."""
        env = self.environment
        if forked.fits(env) and type(self).argv is Program.argv:
            done = forked.shared().start(words, self.folder, env).wait(timeout)
        else:
            done = subprocess.run(
                self.argv(*words),
                cwd=self.folder,
                env=env,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        return Ran(done.returncode, done.stdout, done.stderr)

    def until(self, moment: Moment, *words: str) -> forked.Running:
        """Begin a run that stands still at `moment`."""
        return forked.shared().start(words, self.folder, self.environment, moment)

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
