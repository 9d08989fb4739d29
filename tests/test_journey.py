"""The main job from end to end, as a user does it: back up, verify, prove, restore, on every version we have."""

import re
import subprocess
from collections.abc import Callable

import pytest

from pgproof.postgres import catalog
from pgproof.postgres.server import Address, connect
from pgproof.sources.replay import digest_tables
from pgproof.stream.progress import Silent
from tests.conftest import Program, Servers, drop_database, load_zoo


def digests(database: Address) -> dict[str, object]:
    with connect(database) as session:
        tables = [heap.table for heap in catalog.tables(session)]
    return dict(digest_tables(database, tables, 2, Silent()))


@pytest.mark.slow
@pytest.mark.parametrize("major", [15, 16, 17, 18])
def test_zoo_is_proven_and_restored(
    servers: Servers, program: Program, backup_address: Callable[[int, Address], Address], major: int
) -> None:
    """By the role of `pgproof role`, which reads all but what only a superuser may."""
    zoo = servers.database(major)
    load_zoo(servers(major), zoo)
    program.configure(zoo=backup_address(major, zoo))
    notes, before, after = there_and_back(servers, program, major, zoo)
    assert "subscriptions are left out (2): only a superuser may read them" in notes
    assert "SUBSCRIPTION" in before
    assert "SUBSCRIPTION" not in after
    assert lines(after) == lines(without_what_only_a_superuser_reads(before))


@pytest.mark.slow
def test_a_superuser_brings_back_subscriptions_and_user_mappings_too(servers: Servers, program: Program) -> None:
    zoo = servers.database(17)
    load_zoo(servers(17), zoo)
    program.configure(zoo=zoo)
    _, before, after = there_and_back(servers, program, 17, zoo)
    assert lines(after) == lines(before)


def there_and_back(servers: Servers, program: Program, major: int, zoo: Address) -> tuple[list[str], str, str]:
    """Back up, prove, restore, compare rows. The backup's notes, and what pg_dump says before and after."""
    made = program.ok("backup", "--json").json
    assert made["state"] == "stored"
    assert program.ok("verify", "--json").json[0]["ok"]
    proof = program.ok("prove", "--json").json
    assert proof["proven"], proof["findings"]
    assert all(table["same"] for table in proof["tables"])
    back = servers(major).address.to(f"{zoo.database}_back")
    program.ok("restore", "latest", "--to", back.conninfo, "--password", superuser_password(program, back))
    assert digests(back) == digests(zoo)
    after = dump(servers, major, back)
    drop_database(servers(major).address, back.database)
    return made["notes"], dump(servers, major, zoo), after


def superuser_password(program: Program, address: Address) -> str:
    """In a file, as a reference to it: the role that backs up cannot restore."""
    assert address.password is not None
    file = program.folder / "superuser.password"
    file.touch(0o600)
    file.write_text(address.password.reveal())
    return f"file:{file}"


def dump(servers: Servers, major: int, database: Address) -> str:
    assert database.password is not None
    return subprocess.run(
        [servers(major).tools.program("pg_dump"), "--dbname", database.conninfo],
        env={"PGPASSWORD": database.password.reveal()},
        capture_output=True,
        check=True,
    ).stdout.decode()


def without_what_only_a_superuser_reads(said: str) -> str:
    kept = re.sub(r"(CREATE USER MAPPING FOR [^\n]*) OPTIONS \(\n.*?\n\);", r"\1;", said, flags=re.DOTALL)
    pieces = kept.split("\n--\n-- Name: ")
    return "\n--\n-- Name: ".join(one for one in pieces if "SUBSCRIPTION" not in one)


def lines(said: str) -> list[str]:
    """The lines that are not random; a policy's roles stand in the order of their numbers, which creation decides."""
    return sorted(line for line in said.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")) and line)
