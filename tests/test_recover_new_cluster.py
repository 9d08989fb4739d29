"""recover --new-cluster: the server is gone, it was in no container, and there is nothing but PostgreSQL's programs."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pgproof.postgres.server import Address, connect
from pgproof.secret import Secret
from tests.channels import free_port
from tests.conftest import Program, Servers, drop_database, missing
from tests.kit import digests, run
from tests.test_offsite_alone import FILLED

BIN = Path("/usr/lib/postgresql/15/bin")
PASSWORD = "a new one"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that whoever runs the server may enter; what runs in it ends with the test."""
    if not (BIN / "pg_ctl").exists():
        missing("PostgreSQL 15 of Debian")
    folder = Path(tempfile.mkdtemp(prefix="pgproof-new-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    for data in folder.glob("*/postmaster.pid"):
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(data.read_text().split()[0]), signal.SIGQUIT)
            while data.exists():
                time.sleep(0.05)
    shutil.rmtree(folder)


@pytest.fixture
def lost(servers: Servers, program: Program) -> Iterator[tuple[Program, Address]]:
    """A machine with a proven backup and no server; where the server is to be."""
    database = servers.database(15)
    run(database, *FILLED, "CREATE ROLE lost_owner NOLOGIN", "ALTER TABLE t OWNER TO lost_owner")
    program.configure(db=database)
    program.ok("backup", "--quiet")
    program.ok("prove", "--quiet")
    program.env["PGPASSWORD"] = PASSWORD
    port = free_port()
    yield program, Address(f"postgresql://postgres@127.0.0.1:{port}/{database.database}", Secret(PASSWORD))
    drop_database(servers(15).address, database.database)
    run(servers(15).address, "DROP ROLE lost_owner")


def words(program: Program, to: Address, folder: Path) -> tuple[str, ...]:
    return ("recover", "--from", str(program.store), "--to", to.conninfo, "--new-cluster", str(folder))


@pytest.mark.slow
def test_a_cluster_is_made_from_the_manifest_and_the_database_recovered_into_it(
    lost: tuple[Program, Address], servers: Servers, place: Path
) -> None:
    program, to = lost
    folder = place / "cluster"
    plan = program.ok(*words(program, to, folder), "--dry-run", "--json").json
    assert plan["fresh"] and not plan["done"] and not folder.exists()
    assert "make a new cluster of PostgreSQL 15" in plan["steps"][0] and "encoding UTF8" in plan["steps"][0]
    said = program.ok(*words(program, to, folder), "--yes", plan["hash"])
    assert "Recovered in" in said.out and f"-D {folder}" in said.out, said
    original = servers(15).address.to(to.database)
    assert digests(to) == digests(original)
    with connect(to) as session:
        assert session.value("SELECT tableowner FROM pg_tables WHERE tablename = 't'") == "lost_owner"
        assert session.value("SHOW data_checksums") == "on" and session.value("SHOW fsync") == "on"
    owner = "postgres" if os.geteuid() == 0 else None
    assert owner is None or folder.owner() == owner
    refused = program.run(*words(program, to, place / "second"))
    assert refused.code == 4 and "a server answers at" in refused.err and not (place / "second").exists()
    wrong = subprocess.run([BIN / "psql", to.conninfo, "-c", "SELECT 1"], env={"PGPASSWORD": "x"}, check=False)
    assert wrong.returncode != 0, "nobody gets in without the password"


@pytest.mark.slow
def test_what_cannot_hold_a_cluster_is_refused_and_left_as_it_was(lost: tuple[Program, Address], place: Path) -> None:
    program, to = lost
    full = place / "full"
    full.mkdir()
    (full / "mine").touch()
    for folder, words_of_it in (
        (full, "is not empty"),
        (full / "mine", "is not a folder"),
        (place / "a" / "b", "no folder"),
    ):
        refused = program.run(*words(program, to, folder), "--dry-run")
        assert refused.code == 4 and words_of_it in refused.err, refused
    elsewhere = replace(to, conninfo=to.conninfo.replace("127.0.0.1", "192.0.2.1"))
    refused = program.run(*words(program, elsewhere, place / "new"), "--dry-run")
    assert refused.code == 4 and "on this machine" in refused.err
    other = replace(to, conninfo=to.conninfo.replace("postgres@", "keycloak@"))
    refused = program.run(*words(program, other, place / "new"), "--dry-run")
    assert refused.code == 4 and "nobody but postgres can log in" in refused.err
    del program.env["PGPASSWORD"]
    refused = program.run(*words(program, to, place / "new"), "--dry-run")
    assert refused.code == 4 and "no password is known" in refused.err
    assert [one.name for one in place.iterdir()] == ["full"] and [one.name for one in full.iterdir()] == ["mine"]


@pytest.mark.slow
def test_a_cluster_that_does_not_start_leaves_nothing(
    lost: tuple[Program, Address], place: Path, make_program: Callable[[str], Program]
) -> None:
    """Its socket's folder is not there: PostgreSQL itself refuses to start."""
    program, to = lost
    folder = place / "cluster"
    nowhere = replace(to, conninfo=f"host={place}/nowhere port=5432 user=postgres dbname={to.database}")
    plan = program.ok(*words(program, nowhere, folder), "--dry-run", "--json").json
    failed = program.run(*words(program, nowhere, folder), "--yes", plan["hash"])
    assert failed.code == 4 and "does not start" in failed.err and "nowhere" in failed.err, failed
    assert not folder.exists()
