"""Targets of a restore that are not as they should be."""

import contextlib
from collections.abc import Callable

import pytest

from pgproof.postgres.server import Address, connect
from tests import kit
from tests.bad_input.conftest import MAJOR, Scene, fill, refused
from tests.conftest import Program, Servers


@pytest.mark.slow
def test_a_database_that_has_tables(servers: Servers, scene: Scene, databases: Callable[..., Address]) -> None:
    target = servers.database(MAJOR)
    kit.run(target, "CREATE TABLE mine (id int)", "INSERT INTO mine VALUES (7)")
    for words in ([], ["--table", "small"], ["--dry-run"], ["--disconnect"]):
        refused(scene.program.run("restore", "latest", "--to", target.database, *words), 4, "1 table", "--replace")
    assert kit.value(target, "SELECT id FROM public.mine") == 7
    done = scene.program.ok("restore", "latest", "--to", target.database, "--replace", "--json").json
    aside = databases(done["aside"], fresh=False)
    assert kit.rows(aside, "SELECT * FROM public.mine") == [(7,)]
    assert kit.digests(target) == kit.digests(scene.source)
    scene.check()


@pytest.mark.slow
def test_the_source_itself_is_never_overwritten(scene: Scene, databases: Callable[..., Address]) -> None:
    name = scene.source.database
    refused(scene.program.run("restore", "latest", "--to", name), 4, "--replace")
    scene.check()
    done = scene.program.ok("restore", "latest", "--to", name, "--replace", "--json").json
    aside = databases(done["aside"], fresh=False)
    assert kit.digests(aside) == kit.digests(scene.source)
    scene.check()


@pytest.mark.slow
def test_clients_that_are_connected(servers: Servers, scene: Scene, databases: Callable[..., Address]) -> None:
    target = servers.database(MAJOR)
    with connect(target) as client:
        client.run("SET application_name = 'the shop'")
        ran = refused(scene.program.run("restore", "latest", "--to", target.database), 4, "the shop", "--disconnect")
        assert f"process {client.backend} " in ran.err
        assert client.value("SELECT 1") == 1
        done = scene.program.ok("restore", "latest", "--to", target.database, "--disconnect", "--json").json
    databases(done["aside"], fresh=False)
    assert kit.digests(target) == kit.digests(scene.source)
    scene.check()


@pytest.mark.slow
def test_a_backup_of_a_newer_server(servers: Servers, scene: Scene, make_program: Callable[[str], Program]) -> None:
    newer = make_program("newer")
    source = servers.database(18)
    fill(source)
    newer.configure(db=source)
    newer.ok("backup")
    old = servers(MAJOR).address.to("bad_never")
    words = ["--to", old.conninfo, "--password", f"file:{scene.program.folder}/db.password"]
    refused(newer.run("restore", "latest", *words), 4, "PostgreSQL 18", "15")
    assert not kit.rows(servers(MAJOR).address, "SELECT FROM pg_database WHERE datname = 'bad_never'")
    scene.check()


@pytest.mark.slow
def test_roles_that_the_target_lacks(servers: Servers, scene: Scene, databases: Callable[..., Address]) -> None:
    server = servers(MAJOR).address
    kit.run(
        scene.source,
        "CREATE ROLE \"bad owner\" LOGIN PASSWORD 'its password'",
        "CREATE ROLE bad_reader",
        'GRANT bad_reader TO "bad owner"',
        'ALTER TABLE small OWNER TO "bad owner"',
        "GRANT SELECT ON small TO bad_reader",
    )
    gone = [
        'REASSIGN OWNED BY "bad owner" TO CURRENT_USER',
        'DROP OWNED BY "bad owner", bad_reader',
    ]
    scene.program.ok("backup")
    kit.run(scene.source, *gone, 'DROP ROLE "bad owner", bad_reader')
    ran = refused(scene.program.run("restore", "latest", "--to", "bad_roles"), 4, "bad owner", "bad_reader")
    assert "--create-roles" in ran.err and "--no-owner" in ran.err
    without = databases("bad_roles_without")
    scene.program.ok("restore", "latest", "--to", without.database, "--no-owner")
    assert kit.digests(without) == kit.digests(scene.source)
    assert not kit.rows(server, "SELECT FROM pg_roles WHERE rolname LIKE 'bad%'")
    made = databases("bad_roles_made")
    try:
        scene.program.ok("restore", "latest", "--to", made.database, "--create-roles")
        owner = "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'small'"
        assert kit.value(made, owner) == '"bad owner"'
        assert kit.value(made, "SELECT has_table_privilege('bad_reader', 'public.small', 'SELECT')")
        assert kit.value(server, "SELECT pg_has_role('bad owner', 'bad_reader', 'MEMBER')")
    finally:
        with contextlib.suppress(Exception):
            kit.run(made, *gone)
        kit.run(server, 'DROP ROLE IF EXISTS "bad owner", bad_reader')
    scene.check(backups=2)


@pytest.mark.parametrize(
    "words",
    [
        ["--table", "smal"],
        ["--table", "public.nothing"],
        ["--schema", "nowhere"],
        ["--table", ""],
        ["--table", "a.b.c"],
    ],
)
def test_a_table_that_is_not_in_the_backup(scene: Scene, words: list[str]) -> None:
    refused(scene.program.run("restore", "latest", "--to", "bad_never", *words), 2)
    assert not kit.rows(scene.source, "SELECT FROM pg_database WHERE datname = 'bad_never'")
    scene.check()


@pytest.mark.parametrize("name", ["nothing", "db/20200101T000000Z-logical", "latest:physical", "", "../..", "db/../x"])
def test_a_backup_that_is_not_there(scene: Scene, name: str) -> None:
    for words in (["restore", name], ["show", name], ["prove", name], ["keep", name], ["verify", name]):
        ran = scene.program.run(*words)
        if words[0] == "verify" and ran.code == 0:
            assert "no backups" in ran.out, (words, ran)
            continue
        assert ran.code in (1, 2), (words, ran)
        refused(ran, ran.code)
    scene.check()
