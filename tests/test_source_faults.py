"""Sources that are not well, on servers of their own: a pooler in between, no connection left, a damaged page, and
what a session or a function has that a restore has not (FAULTS A4, A8, A9, A15, A37, A46, A48).
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from pgproof.actions.backup import backup
from pgproof.errors import Damaged, PgproofError
from pgproof.manifest import Codec
from pgproof.postgres import tools
from pgproof.postgres.scratch import Scratch, scratch
from pgproof.postgres.server import Address, connect
from pgproof.secret import Secret
from pgproof.sources.dump import Dump
from pgproof.sources.source import Captured
from pgproof.stream.part import Parts, PartWriter
from pgproof.stream.progress import Progress, Silent
from tests.conftest import Program, Servers, drop_database, missing
from tests.kit import Kit, digests, run

POOLER = """
[databases]
{database} = host={host} port=5432 dbname={database} user=postgres password={password}
[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
{more}
"""


@pytest.fixture
def database(servers: Servers) -> Iterator[Address]:
    made = servers.database(17)
    run(made, "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 2000) g")
    yield made
    drop_database(servers(17).address, made.database)


@pytest.fixture
def own() -> Iterator[Scratch]:
    """A server that nobody else uses."""
    with scratch(next(one for one in tools.found() if one.major == 17 and one.server)) as made:
        yield made


def secret(address: Address) -> str:
    assert address.password is not None
    return address.password.reveal()


@contextlib.contextmanager
def pooled(database: Address, more: str) -> Iterator[Address]:
    """pgbouncer before the server, which it reaches by the folder of its socket: as nobody, whose that is."""
    if not shutil.which("pgbouncer"):
        missing("pgbouncer")
    folder = Path(tempfile.mkdtemp(prefix="pgproof-pooler-"))
    try:
        config = folder / "pgbouncer.ini"
        config.write_text(
            POOLER.format(
                database=database.database, host=database.host, password=secret(database), folder=folder, more=more
            )
        )
        as_nobody = []
        if os.geteuid() == 0:
            for path in (folder, config):
                os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
            as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]
        with subprocess.Popen([*as_nobody, shutil.which("pgbouncer") or "", "-q", str(config)]) as child:
            until = time.monotonic() + 30
            while not (folder / ".s.PGSQL.6432").exists():
                assert child.poll() is None and time.monotonic() < until
                time.sleep(0.05)
            try:
                yield Address(f"host={folder} port=6432 user=postgres dbname={database.database}", database.password)
            finally:
                child.kill()
    finally:
        shutil.rmtree(folder)


@dataclass(frozen=True, slots=True)
class Switching(Dump):
    """Once the schema is read, new connections go to another server: a failover behind one name."""

    switch: Callable[[], None] = lambda: None

    def capture(self, part: Parts, progress: Progress) -> Captured:
        def switching(stem: str, codec: Codec) -> PartWriter:
            if stem == "schema.dump":
                self.switch()
            return part(stem, codec)

        return Dump.capture(self, switching, progress)


@pytest.mark.slow
def test_a4_another_server_between_two_steps_ends_the_backup(tmp_path: Path, own: Scratch) -> None:
    """Its roles would come with the rows of the first."""
    kit = Kit(tmp_path / "store")
    kit.folder.mkdir(0o700)
    link = Path(tempfile.mkdtemp(prefix="pgproof-link-")) / "server"
    with scratch(own.tools) as other:
        with connect(other.address) as session:
            session.run(f"ALTER ROLE postgres PASSWORD '{secret(own.address)}'")
        link.symlink_to(own.folder)

        def switch() -> None:
            link.unlink()
            link.symlink_to(other.folder)

        address = own.address.at(str(link), 5432)
        made = kit.backup(address)
        job = kit.job(address)
        with pytest.raises(Damaged, match="the server changed during the backup"):
            backup(replace(job, source=Switching("db", address, switch=switch)), datetime.now(UTC), Silent())
    shutil.rmtree(link.parent)
    assert [one.id for one in kit.repository.backups("db")[0]] == [made.id]


@pytest.mark.slow
def test_a8_timeouts_of_the_role_and_the_database_end_no_backup(program: Program, own: Scratch) -> None:
    """What a backup must outlast, and one session idles in; what was in force is in the manifest."""
    given = {"statement": 1, "lock": 1, "idle_in_transaction_session": 150, "idle_session": 150, "transaction": 150}
    run(own.address, "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 200000) g")
    run(own.address, "CREATE ROLE hasty LOGIN PASSWORD 'x' IN ROLE pg_read_all_data BYPASSRLS")
    for whose in ("ROLE hasty", "DATABASE postgres"):
        run(own.address, *(f"ALTER {whose} SET {name}_timeout = '{ms}ms'" for name, ms in given.items()))
    try:
        program.configure(db=own.address.as_user("hasty", Secret("x")))
        made = program.ok("backup", "--json").json
        assert made["settings"]["statement_timeout"] == "0", made["settings"]
    finally:
        with psycopg.connect(own.address.conninfo, password=secret(own.address), autocommit=True,
                             options="-c statement_timeout=0 -c transaction_timeout=0") as session:  # fmt: skip
            session.execute("ALTER DATABASE postgres RESET ALL")
    assert program.ok("prove", "--json").json["proven"]


@pytest.mark.parametrize("more", ["", "ignore_startup_parameters = options"])
def test_a9_a_pooler_in_between_is_refused_before_anything_is_read(
    program: Program, database: Address, more: str
) -> None:
    """Whether it refuses what it does not know, or passes over it."""
    with pooled(database, more) as through:
        with psycopg.connect(through.conninfo, password=secret(through), autocommit=True) as session:
            assert session.execute("SELECT count(*) FROM public.t").fetchone() == (2000,), "it does serve"
        program.configure(db=through)
        refused = program.run("backup")
        assert refused.code == 4 and "a connection pooler stands between" in refused.err, refused
        assert program.ok("list", "--json").json == []


@pytest.mark.slow
def test_a15_a_server_without_a_free_connection_is_one_sentence(program: Program, own: Scratch) -> None:
    program.configure(db=own.address)
    with contextlib.ExitStack() as stack:
        with pytest.raises(PgproofError):
            for _ in range(100):
                stack.enter_context(connect(own.address))
        ran = program.run("backup")
        assert ran.code == 6 and "the server has no connection left" in ran.err and "Traceback" not in ran.err, ran
    program.ok("backup", "--quiet")


@pytest.mark.slow
def test_a37_temporary_tables_of_others_are_left_out(program: Program, database: Address) -> None:
    with connect(database) as other:
        other.run("CREATE TEMP TABLE passing AS SELECT generate_series(1, 1000) AS id")
        program.configure(db=database)
        program.ok("backup", "--quiet")
    shown = program.ok("show", "latest", "--json").json
    assert [one["name"] for one in shown["evidence"]["tables"]] == ["t"]
    assert program.ok("prove", "--json").json["proven"]


@pytest.mark.slow
def test_a46_a_function_that_relies_on_the_search_path_is_named_and_leaves_no_half_of_a_target(
    program: Program, servers: Servers
) -> None:
    """From PostgreSQL 17 on no such index can be made."""
    database = servers.database(16)
    run(
        database,
        "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 2000) g",
        "CREATE FUNCTION public.inner_one(text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT lower($1) $$",
        "CREATE FUNCTION public.outer_one(text) RETURNS text IMMUTABLE LANGUAGE plpgsql"
        " AS $$ BEGIN RETURN inner_one($1); END $$",
        "SET search_path = public; CREATE INDEX relies ON t (outer_one(text))",
    )
    program.configure(db=database)
    program.ok("backup", "--quiet")
    drill = program.run("prove")
    assert drill.code == 3 and "inner_one" in drill.out + drill.err, drill
    target = f"{database.database}_restored"
    failed = program.run("restore", "latest", "--to", target)
    assert failed.code != 0 and "inner_one(text) does not exist" in failed.err, failed
    with connect(servers(16).address) as session:
        found = session.rows("SELECT FROM pg_database WHERE datname LIKE %s", [f"{target}%"])
    assert found == []
    drop_database(servers(16).address, database.database)


@pytest.mark.slow
def test_a48_a_damaged_page_is_named_and_what_there_is_stays(program: Program, own: Scratch) -> None:
    """Of a database copied by files, no page of which anybody has read yet."""
    whole = own.address.to("whole")
    with connect(own.address) as session:
        session.run("CREATE DATABASE whole")
    run(whole, "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 20000) g")
    program.configure(db=whole)
    program.ok("backup", "--quiet")
    good = digests(whole)
    with connect(own.address) as session:
        session.run("CHECKPOINT")
        session.run("CREATE DATABASE copied TEMPLATE whole STRATEGY file_copy")
        number = session.value("SELECT oid FROM pg_database WHERE datname = 'copied'")
    with connect(whole) as session:
        file = Path(str(session.value("SELECT pg_relation_filepath('public.t')"))).name
    with (own.folder / "data" / "base" / str(number) / file).open("r+b") as pages:
        pages.seek(8192 * 3)
        pages.write(b"\xff" * 8192)
    program.configure(db=own.address.to("copied"))
    failed = program.run("backup")
    assert failed.code == 1 and "invalid page in block 3 of relation" in failed.err, failed
    assert "Traceback" not in failed.err
    program.configure(db=whole)
    assert len(program.ok("list", "--json").json) == 1 and digests(whole) == good
    assert program.ok("prove", "--json").json["proven"]
