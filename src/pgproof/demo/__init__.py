"""The demonstration: a Keycloak-shaped database on an embedded PostgreSQL, backed up, proven, lost, brought back.

It runs the program `pgproof` itself, as a user would, in a temporary folder, and touches nothing else.
"""

import os
import secrets
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from pgproof.errors import NotProven, Refused
from pgproof.postgres import catalog, privileges, tools
from pgproof.postgres.scratch import scratch
from pgproof.postgres.server import Address, connect
from pgproof.postgres.sql import literal
from pgproof.sources.replay import Digests, digest_tables
from pgproof.stream import process
from pgproof.stream.progress import Silent


def load_keycloak(address: Address, users: int) -> None:
    """Fill an empty database with Keycloak's tables and so many users; the same rows every time."""
    folder = resources.files(__name__)
    with connect(address) as session:
        session.run("SET search_path = public")
        for name in ("schema.sql", "data.sql", "indexes.sql"):
            session.run(folder.joinpath(name).read_text(encoding="utf-8").replace(":users", str(users)))
        session.run("ANALYZE")


@dataclass(slots=True)
class _Stage:
    """Where the demonstration plays, and how long each act took."""

    folder: Path
    address: Address
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def database(self) -> Address:
        return self.address.to("keycloak")

    def act(self, title: str) -> None:
        print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n{title}", flush=True)

    def pgproof(self, *words: str, config: str = "pgproof.toml", expect: int = 0) -> None:
        """Run the program in its own process, show the command and what it says. Raises when it ends otherwise."""
        print(f"  $ pgproof {shlex.join(words)}", flush=True)
        argv = [sys.executable, "-m", "pgproof", *words, "--config", config]
        env = {"PGPROOF_STATE": str(self.folder / "state"), "PYTHONPATH": os.pathsep.join(sys.path)}
        began = time.monotonic()
        with process.reading(process.Program(argv, env=env, cwd=str(self.folder))) as child:
            for line in child.lines():
                print(f"    {line.decode()}", end="", flush=True)
            child.finish(accept=(expect,))
        self.seconds[words[0]] = time.monotonic() - began

    def digests(self) -> Digests:
        with connect(self.database) as session:
            tables = [heap.table for heap in catalog.tables(session)]
        return digest_tables(self.database, tables, 2, Silent())


def demonstrate(*, users: int, keep: bool) -> int:
    """Play it through; returns the exit code. Raises PgproofError when something is not as it must be."""
    began = time.monotonic()
    servers = [one for one in tools.found() if one.server]
    if not servers:
        raise Refused("no PostgreSQL server is here to play with", hint="pip install 'pgproof[embedded]'")
    with _folder(keep) as folder, scratch(servers[0]) as server:
        stage = _Stage(folder, server.address)
        _set_up(stage, users, servers[0].version)
        before = _protect(stage)
        _lose_and_restore(stage, before)
        _flip_a_byte(stage)
        _sum_up(stage, sum(one.rows for one in before.values()), time.monotonic() - began)
    return 0


def _set_up(stage: _Stage, users: int, version: str) -> None:
    stage.act(f"1. A Keycloak database with {users:,} users, on an embedded PostgreSQL {version}")
    began = time.monotonic()
    with connect(stage.address) as session:
        session.run("CREATE DATABASE keycloak")
    load_keycloak(stage.database, users)
    with connect(stage.database) as session:
        tables = catalog.tables(session)
        size = session.value("SELECT pg_catalog.pg_size_pretty(pg_catalog.pg_database_size('keycloak'))")
    print(f"  {len(tables)} tables, {size}, made in {time.monotonic() - began:.1f} s")


def _keep(stage: _Stage, name: str, password: str) -> str:
    """A password in a file of its own, as a configuration refers to it."""
    path = stage.folder / name
    path.touch(0o600)
    path.write_text(password)
    return f"file:{path}"


def _make_role(stage: _Stage) -> str:
    """The role that backs up, by what `pgproof role` prints; returns where its password is."""
    password = secrets.token_hex(24)
    with connect(stage.database) as session:
        for one in privileges.statements("backup", ["keycloak"], session.version_num):
            session.run(one.sql)
        session.run(f"ALTER ROLE backup PASSWORD {literal(password)}")
    print("  Made the role backup, which reads and can do nothing else: `pgproof role` prints its SQL.")
    return _keep(stage, "backup.password", password)


def _protect(stage: _Stage) -> Digests:
    stage.act("2. Set up, back up, and ask what that is worth")
    role = stage.database.as_user("backup")
    stage.pgproof("init", "--url", role.conninfo, "--password", _make_role(stage), "--store", "backups")
    stage.pgproof("doctor")
    stage.pgproof("backup")
    stage.pgproof("verify")
    stage.act("3. Prove it: restore into a throw-away server, compare every table, ask Keycloak's own questions")
    stage.pgproof("prove")
    stage.pgproof("list")
    return stage.digests()


def _lose_and_restore(stage: _Stage, before: Digests) -> None:
    stage.act("4. The worst day: DROP DATABASE keycloak")
    with connect(stage.address) as session:
        session.run("DROP DATABASE keycloak WITH (FORCE)")
    print("  The database is gone.")
    assert stage.address.password is not None
    secret = _keep(stage, "superuser.password", stage.address.password.reveal())
    stage.pgproof("restore", "latest", "--to", stage.database.conninfo, "--password", secret)
    after = stage.digests()
    if after != before:
        different = [name for name in before if before[name] != after.get(name)]
        raise NotProven(
            f"after the restore these tables differ: {', '.join(different)}",
            hint="this is a fault in pgproof: please report it",
        )
    total = sum(digest.rows for digest in after.values())
    print(f"  Compared with before the disaster: {len(after)} tables, {total:,} rows, every one the same.")


def _flip_a_byte(stage: _Stage) -> None:
    stage.act("5. One byte of a copy goes bad, as disks do")
    copy = stage.folder / "copy"
    shutil.copytree(stage.folder / "backups", copy)
    victim = max(copy.rglob("keycloak.sql.gz"), key=lambda path: path.stat().st_size)
    place = secrets.randbelow(victim.stat().st_size)
    with victim.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))
    print(f"  Flipped the lowest bit of byte {place:,} of {victim.stat().st_size:,} in {victim.name}.")
    text = (stage.folder / "pgproof.toml").read_text()
    (stage.folder / "copy.toml").write_text(text.replace('url = "backups"', 'url = "copy"'))
    stage.pgproof("verify", config="copy.toml", expect=3)


def _sum_up(stage: _Stage, rows: int, seconds: float) -> None:
    took = stage.seconds
    line = "─" * 64
    print(f"""
{line}
  {rows:,} rows went out in {took["backup"]:.1f} s and came back in {took["restore"]:.1f} s, every one compared.
  The drill that proved it took {took["prove"]:.1f} s, on a server that is gone again.
  One flipped bit did not get past `verify`.

  What lies in the store is ordinary SQL. Without pgproof it is:
      gunzip -c keycloak.sql.gz | psql -X -d DATABASE

  Your own database:  pgproof init && pgproof doctor && pgproof backup && pgproof prove
{line}
  All of this in {seconds:.0f} s.""")


@contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="pgproof-demo-"))
    try:
        yield folder
    finally:
        if keep:
            print(f"  Kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
