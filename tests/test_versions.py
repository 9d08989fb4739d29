"""Backups of one PostgreSQL version drilled and restored in a newer one, as on a machine that has only that."""

from pathlib import Path
from typing import Any

import pytest

from pgproof.errors import Refused
from pgproof.postgres import tools
from pgproof.postgres.server import Address
from pgproof.postgres.tools import Tools
from tests.conftest import Servers, drop_database, load_zoo
from tests.kit import Kit, digests, run, value


def only(*majors: int) -> tuple[Tools, ...]:
    """The programs of a machine that has these versions and no others."""
    return tuple(one for one in tools.found() if one.major in majors)


def slow(*values: int) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


def zoo(servers: Servers, major: int) -> Address:
    database = servers.database(major)
    load_zoo(servers(major), database)
    return database


@pytest.mark.slow
@pytest.mark.parametrize(("old", "new"), [(15, 17), slow(16, 18), slow(17, 18), slow(15, 18)])
def test_the_zoo_is_proven_in_a_newer_server(servers: Servers, tmp_path: Path, old: int, new: int) -> None:
    servers(new)
    kit = Kit(tmp_path)
    made = kit.backup(zoo(servers, old))
    proof = kit.prove(made, installed=only(new))
    assert proof.ok, proof.findings
    assert proof.server_version.startswith(f"{new}.")
    assert len(proof.tables) >= len(made.evidence.tables)


@pytest.mark.slow
@pytest.mark.parametrize(("old", "new"), [(15, 17), slow(15, 18), slow(17, 18)])
def test_the_zoo_is_restored_into_a_newer_server(servers: Servers, tmp_path: Path, old: int, new: int) -> None:
    servers(new)
    kit, source = Kit(tmp_path), zoo(servers, old)
    made = kit.backup(source)
    target = servers(new).address.to(f"zoo_of_{old}")
    drop_database(servers(new).address, target.database)
    kit.restore(made, target, create_roles=True)
    assert digests(target) == digests(source)
    drop_database(servers(new).address, target.database)


@pytest.mark.slow
@pytest.mark.parametrize(("server", "programs"), [(15, 17), slow(16, 18)])
def test_only_newer_programs(servers: Servers, tmp_path: Path, server: int, programs: int) -> None:
    """They set transaction_timeout, which servers before 17 do not know, and pg_restore ends at it."""
    servers(programs)
    kit, source = Kit(tmp_path), zoo(servers, server)
    made = kit.backup(source)
    target = servers(server).address.to("by_newer_programs")
    drop_database(servers(server).address, target.database)
    kit.restore(made, target, installed=only(programs))
    assert digests(target) == digests(source)
    indexes = "SELECT count(*) FROM pg_catalog.pg_indexes"
    assert value(target, indexes) == value(source, indexes)
    constraints = "SELECT count(*) FROM pg_catalog.pg_constraint WHERE oid > 16383"
    assert value(target, constraints) == value(source, constraints)
    drop_database(servers(server).address, target.database)


def test_an_older_target_is_refused(servers: Servers, tmp_path: Path) -> None:
    source = servers.database(17)
    run(source, "CREATE TABLE t (x integer)")
    kit = Kit(tmp_path)
    made = kit.backup(source)
    with pytest.raises(Refused, match="the backup is of PostgreSQL 17, the target is 15"):
        kit.restore(made, servers(15).address.to("older"))


def test_a_machine_with_older_programs_only_is_told_what_to_install(servers: Servers, tmp_path: Path) -> None:
    source = servers.database(17)
    run(source, "CREATE TABLE t (x integer)")
    kit = Kit(tmp_path)
    made = kit.backup(source)
    with pytest.raises(Refused, match="17 or newer is needed, and this machine has 15") as caught:
        kit.prove(made, installed=only(15))
    assert "postgresql-17" in caught.value.hint
    with pytest.raises(Refused, match="17 or newer"):
        kit.restore(made, servers(17).address.to("never"), installed=only(15))
