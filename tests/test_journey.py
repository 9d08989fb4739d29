"""The main job from end to end, as a user does it: back up, verify, prove, restore, on every version we have."""

import subprocess

import pytest

from pgproof.postgres import catalog
from pgproof.postgres.server import Address, connect
from pgproof.sources.replay import digest_tables
from pgproof.stream.progress import Silent
from tests.conftest import Program, Servers, load_zoo


def digests(database: Address) -> dict[str, object]:
    with connect(database) as session:
        tables = [heap.table for heap in catalog.tables(session)]
    return dict(digest_tables(database, tables, 2, Silent()))


@pytest.mark.parametrize("major", [15, 16, 17, 18])
def test_zoo_is_proven_and_restored(servers: Servers, program: Program, major: int) -> None:
    zoo = servers.database(major)
    load_zoo(servers(major), zoo)
    program.configure(zoo=zoo)
    made = program.ok("backup", "--json").json
    assert made["state"] == "stored"
    assert program.ok("verify", "--json").json[0]["ok"]
    proof = program.ok("prove", "--json").json
    assert proof["proven"], proof["findings"]
    assert all(table["same"] for table in proof["tables"])
    program.ok("restore", "latest", "--to", f"{zoo.database}_back")
    back = servers(major).address.to(f"{zoo.database}_back")
    assert digests(back) == digests(zoo)
    assert dump(servers, major, back) == dump(servers, major, zoo)


def dump(servers: Servers, major: int, database: Address) -> list[str]:
    """Stock pg_dump's text, without the lines that are random."""
    assert database.password is not None
    said = subprocess.run(
        [servers(major).tools.program("pg_dump"), "--dbname", database.conninfo],
        env={"PGPASSWORD": database.password.reveal()},
        capture_output=True,
        check=True,
    ).stdout.decode()
    # A policy's roles stand in the order of their numbers, which creation order decides.
    return sorted(line for line in said.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))
