"""Findings that doctor, status and role --check make of real servers, stores and disks as they are just now."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgproof.postgres import tools
from pgproof.postgres.server import Address
from tests.buckets import ENVIRONMENT, Endpoint
from tests.conftest import Program, Servers, disk, drop_database
from tests.kit import run
from tests.sshd import shared


@pytest.fixture
def database(servers: Servers) -> Iterator[Address]:
    made = servers.database(17)
    run(made, "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 20000) g")
    yield made
    drop_database(servers(17).address, made.database)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path, 16, mode="1777") as folder:
        yield folder


def told(program: Program, *words: str) -> dict[str, str]:
    """Codes and levels."""
    found: Any = program.run(*words, "--json").json
    return {one["code"]: one["level"] for one in found["findings"]}


def test_a_store_that_can_be_deleted_from_is_fit_for_prune(program: Program, database: Address) -> None:
    program.configure(db=database)
    program.ok("backup", "--quiet")
    found = told(program, "doctor")
    assert found["deletion"] == "ok" and found["server"] == "ok" and found["rights"] == "ok"
    assert found["encryption"] == "info" and found["drill"] == "ok" and found["pg_dump"] == "ok"


def test_a_configuration_that_cannot_be_is_a_finding_of_doctor(program: Program, database: Address) -> None:
    program.configure(db=database)
    file = program.folder / "pgproof.toml"
    file.write_text(file.read_text().replace("[sources.db]\n", '[sources.db]\npassword = "env:NOT_THERE"\n', 1)
                    if "password" not in file.read_text() else
                    file.read_text().replace('password = "file:', 'password = "file:/nowhere'))  # fmt: skip
    assert told(program, "doctor")["configuration"] == "critical"


def test_an_index_that_was_not_finished_is_told(program: Program, database: Address) -> None:
    program.configure(db=database)
    assert "invalid-index" not in told(program, "doctor")
    with psycopg.connect(database.conninfo, password=_secret(database), autocommit=True) as session:
        session.execute("INSERT INTO public.t VALUES (1, 'twice')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            session.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON public.t (id)")
    assert told(program, "doctor")["invalid-index"] == "warning"


def test_room_for_few_backups_and_for_no_drill_is_told(program: Program, database: Address, small: Path) -> None:
    program.configure(db=database)
    program.store.symlink_to(small / "backups")
    (small / "backups").mkdir(mode=0o700)
    program.ok("backup", "--quiet")
    assert "space" not in told(program, "status")
    (size,) = (one["size"] for one in program.ok("list", "--json").json)
    (small / "ballast").write_bytes(bytes(shutil.disk_usage(small).free - 3 * size))
    assert told(program, "status")["space"] == "warning"
    program.env["TMPDIR"] = str(small)
    assert told(program, "doctor")["drill-space"] == "warning"


@pytest.mark.slow
def test_what_keeps_alerts_back_is_told_by_status(program: Program, database: Address) -> None:
    program.configure('[alerts]\nurls = ["file:channel"]\n', db=database)
    (program.folder / "channel").write_text("json://127.0.0.1:1/")
    (program.folder / "channel").chmod(0o600)
    program.ok("backup", "--quiet")
    assert told(program, "status")["alerts-untested"] == "info"
    outbox = program.folder / "state" / "alerts.json"
    for _ in range(3):
        assert program.run("alert", "--quiet").code == 7
        kept = json.loads(outbox.read_text())
        for queue in kept["queues"].values():
            queue["due"] = "2026-01-01T00:00:00Z"
        outbox.write_text(json.dumps(kept))
    assert told(program, "status")["alerts-not-sent"] == "warning"


def test_a_journal_that_was_damaged_is_told_until_it_is_removed(program: Program, database: Address) -> None:
    program.configure(db=database)
    program.ok("backup", "--quiet")
    journal = program.folder / "state" / "journal.sqlite"
    journal.write_bytes(b"not a database " * 500)
    assert told(program, "status")["journal-damaged"] == told(program, "status")["journal-damaged"] == "warning"
    (aside,) = journal.parent.glob("journal.sqlite.damaged-*")
    aside.unlink()
    assert "journal-damaged" not in told(program, "status")


@pytest.mark.slow
def test_a_drill_that_failed_is_told_until_one_succeeds(program: Program, database: Address) -> None:
    program.configure(db=database)
    program.ok("backup", "--quiet")
    program.env["TMPDIR"] = str(program.folder / "nowhere")
    assert program.run("prove", "--quiet").code not in (0, 4)
    del program.env["TMPDIR"]
    assert told(program, "status")["prove-failed"] == "critical"
    program.ok("prove", "--quiet")
    found = told(program, "status")
    assert "prove-failed" not in found and found["fine"] == "ok"


def test_a_role_for_physical_backups_is_missing_or_lacks_its_right(
    program: Program, database: Address, servers: Servers
) -> None:
    program.configure(db=database)
    check = ("role", "--check", "--replication", "--name", "finds_me")
    assert told(program, *check)["role-missing"] == "critical"
    run(database, "CREATE ROLE finds_me LOGIN")
    try:
        assert told(program, *check)["role-cannot-replicate"] == "critical"
    finally:
        run(servers(17).address, "DROP ROLE finds_me")


@pytest.mark.slow
def test_stores_that_share_a_bucket_or_a_server_are_told(
    program: Program, database: Address, moto_server: Endpoint, tmp_path: Path
) -> None:
    program.env |= ENVIRONMENT
    tables = [moto_server.table(name, f"{tmp_path.name}/{name}") for name in ("one", "two")]
    server = shared()
    for name in ("three", "four"):
        (tmp_path / name).mkdir(mode=0o700)
        tables.append(server.table(name, tmp_path / name))
    program.configure("".join(tables), db=database)
    program.ok("backup", "--quiet")
    found = told(program, "doctor")
    assert (found["same-bucket"], found["same-server"]) == ("warning", "warning")


def test_programs_without_the_last_security_fixes_are_told(program: Program, servers: Servers) -> None:
    """Debian's here are older than the floor; once they are not, others must be found for this test."""
    old = [one for one in tools.found() if one.major == 15]
    if not old or not old[0].below_floor:
        pytest.skip("PostgreSQL 15 here is at its last security round")
    made = servers.database(15)
    program.configure(db=made)
    assert told(program, "doctor")["security-floor"] == "warning"
    program.ok("backup", "--quiet")
    assert told(program, "status")["security-floor"] == "info"
    drop_database(servers(15).address, made.database)


def _secret(address: Address) -> str:
    assert address.password is not None
    return address.password.reveal()
