"""A database's own: encoding, locale, settings, grants, comment, owner, roles, tablespaces. All come back, or are
asked for before anything is done.
"""

import os
import tempfile
from pathlib import Path

import pytest

from pgproof.errors import Refused
from pgproof.postgres.server import Address, connect
from pgproof.postgres.sql import name as quoted
from tests.conftest import Program, Servers, drop_database
from tests.kit import Kit, digests, rows, run, value

PROPERTIES = """
    SELECT d.datconnlimit, pg_catalog.shobj_description(d.oid, 'pg_database'), pg_catalog.pg_get_userbyid(d.datdba),
        pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
        (SELECT pg_catalog.array_agg(g::text ORDER BY g::text) FROM pg_catalog.aclexplode(d.datacl) g),
        (SELECT pg_catalog.array_agg(c ORDER BY c) FROM pg_catalog.pg_db_role_setting s,
         LATERAL (SELECT s.setrole::regrole || ' ' || unnest(s.setconfig) AS c) c WHERE s.setdatabase = d.oid)
    FROM pg_catalog.pg_database d WHERE d.datname = current_database()"""


def make_roles(database: Address, *roles: str) -> None:
    with connect(database) as session:
        have = {one for (one,) in session.rows("SELECT rolname FROM pg_catalog.pg_roles")}
        for role in roles:
            if role not in have:
                session.run(f"CREATE ROLE {quoted(role)}")


def drop_roles(database: Address, *roles: str) -> None:
    with connect(database) as session:
        for role in roles:
            session.run(f"DROP ROLE IF EXISTS {quoted(role)}")


@pytest.mark.slow
@pytest.mark.parametrize("major", [15, 18])
def test_all_that_belongs_to_a_database_comes_back(servers: Servers, tmp_path: Path, major: int) -> None:
    database = servers.database(major, "props")
    make_roles(database, 'the "boss"', "reporting", "app")
    here = 'DATABASE "props"'
    run(
        database,
        "CREATE TABLE t AS SELECT 1 AS x",
        f'ALTER {here} OWNER TO "the ""boss"""',
        f"ALTER {here} CONNECTION LIMIT 42",
        f"COMMENT ON {here} IS 'it''s \\ a\ncomment'",
        f'ALTER {here} SET search_path = app, "Odd, schema", "$user", public',
        f"ALTER {here} SET work_mem = '7MB'",
        f"ALTER {here} SET datestyle = 'ISO, DMY'",
        f"ALTER {here} SET app.custom = 'it''s \\ \"x\"'",
        f"ALTER ROLE app IN {here} SET search_path = ''",
        f"ALTER ROLE app IN {here} SET statement_timeout = '5s'",
        f"GRANT CONNECT ON {here} TO reporting WITH GRANT OPTION",
        f"REVOKE ALL ON {here} FROM PUBLIC",
        f"GRANT TEMPORARY ON {here} TO app",
    )
    before = rows(database, PROPERTIES)
    kit, back = Kit(tmp_path), database.to("props_back")
    made = kit.backup(database)
    assert kit.prove(made).ok
    drop_database(servers(major).address, "props_back")
    kit.restore(made, back)
    assert rows(back, PROPERTIES) == before
    drop_database(servers(major).address, "props_back")
    kit.restore(made, back, owners=False)
    after = rows(back, PROPERTIES)[0]
    assert after[:2] == before[0][:2] and after[2] == "postgres" and after[6] is None
    assert value(back, "SELECT current_setting('work_mem')") == "7MB"
    assert value(back, "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'DateStyle'") == "ISO, DMY"
    for one in ("props", "props_back"):
        drop_database(servers(major).address, one)


@pytest.mark.slow
def test_roles_that_the_target_lacks_are_asked_for_first(servers: Servers, tmp_path: Path) -> None:
    source, target = servers(17), servers(18).address.to("from_elsewhere")
    roles = ('own"er"', "reader two", "granted", "settled", "member", "a_group", "other_group")
    database = servers.database(17)
    make_roles(database, *roles)
    for statement in (
        "ALTER ROLE member LOGIN PASSWORD 'secret' VALID UNTIL '2030-01-01' CONNECTION LIMIT 3",
        "ALTER ROLE member SET work_mem = '9MB'",
        "COMMENT ON ROLE member IS 'a member''s comment'",
        "GRANT a_group TO member WITH ADMIN OPTION",
        "GRANT other_group TO member",
        'GRANT "reader two" TO member',
        "CREATE TABLE t (x integer)",
        'ALTER TABLE t OWNER TO "own""er"""',
        'GRANT SELECT ON t TO "reader two", a_group',
        "CREATE POLICY p ON t TO member USING (true)",
        f"GRANT CONNECT ON DATABASE {quoted(database.database)} TO granted",
        f"ALTER ROLE settled IN DATABASE {quoted(database.database)} SET work_mem = '5MB'",
    ):
        run(database, statement)
    kit = Kit(tmp_path)
    made = kit.backup(database)
    assert kit.prove(made).ok
    drop_database(servers(18).address, target.database)
    drop_roles(servers(18).address, *roles)
    with pytest.raises(Refused) as caught:
        kit.restore(made, target)
    named = {role for role in roles if role in caught.value.message}
    assert named == set(roles) - {"other_group"}
    assert not value(target.to("postgres"), "SELECT count(*) FROM pg_catalog.pg_database WHERE datname ~ 'elsewhere'")

    with pytest.raises(Refused, match="lacks the roles member$"):
        kit.restore(made, target, owners=False)
    kit.restore(made, target, owners=False, create_roles=True)
    assert value(target, "SELECT tableowner FROM pg_catalog.pg_tables WHERE tablename = 't'") == "postgres"
    assert value(target, "SELECT count(*) FROM pg_catalog.pg_roles WHERE rolname = 'settled'") == 0
    drop_database(servers(18).address, target.database)
    drop_roles(servers(18).address, "member")

    done = kit.restore(made, target, create_roles=True)
    assert done.notes == ("member is no member of other_group: the target has no such role",)
    assert value(target, "SELECT tableowner FROM pg_catalog.pg_tables WHERE tablename = 't'") == 'own"er"'
    attributes = "SELECT rolcanlogin, rolpassword, rolconnlimit, rolvaliduntil::text FROM pg_catalog.pg_authid"
    assert rows(target, f"{attributes} WHERE rolname = 'member'") == rows(
        source.address, f"{attributes} WHERE rolname = 'member'"
    )
    members = """SELECT roleid::regrole::text, admin_option FROM pg_catalog.pg_auth_members
        WHERE member = 'member'::regrole ORDER BY 1"""
    assert rows(target, members) == [('"reader two"', False), ("a_group", True)]
    comment = "SELECT pg_catalog.shobj_description('member'::regrole, 'pg_authid')"
    assert value(target, comment) == "a member's comment"
    drop_database(servers(18).address, target.database)
    drop_roles(servers(18).address, *roles)
    drop_database(servers(17).address, database.database)
    drop_roles(servers(17).address, *roles)


def test_new_roles_go_again_when_the_restore_fails(servers: Servers, tmp_path: Path) -> None:
    database, target = servers.database(17), servers(18).address.to("fails")
    make_roles(database, "short_lived")
    run(database, "CREATE TABLE t (x integer)", "ALTER TABLE t OWNER TO short_lived")
    kit = Kit(tmp_path)
    made = kit.backup(database)
    part = tmp_path / made.id / made.part("globals.sql").name
    assert part.exists()
    drop_roles(target.to("postgres"), "short_lived")
    # A database of this name that comes between plan and switch makes the restore fail at its very end.
    run(servers(18).address, "CREATE DATABASE fails")
    run(target, "CREATE TABLE precious (x integer)")
    with pytest.raises(Refused):
        kit.restore(made, target, create_roles=True)
    have = value(servers(18).address, "SELECT count(*) FROM pg_catalog.pg_roles WHERE rolname = 'short_lived'")
    assert have == 0
    drop_database(servers(18).address, "fails")


@pytest.mark.slow
def test_tablespaces(servers: Servers, program: Program) -> None:
    server = servers(17)
    folder = tempfile.mkdtemp(prefix="space-", dir=server.folder)
    if os.geteuid() == 0:
        os.chown(folder, server.folder.stat().st_uid, -1)
    database = servers.database(17)
    run(
        database,
        f"CREATE TABLESPACE fast LOCATION '{folder}'",
        "CREATE TABLE t (x integer PRIMARY KEY USING INDEX TABLESPACE fast) TABLESPACE fast",
        "INSERT INTO t VALUES (1), (2)",
        "CREATE TABLE p (x integer) PARTITION BY LIST (x) TABLESPACE fast",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)",
    )
    program.configure(db=database)
    assert program.ok("backup", "--json").json["database"]["tablespaces"] == ["fast"]
    assert program.ok("prove", "--json").json["proven"]
    target = servers(18).address.to("spaces")
    password = program.folder / "db18.password"
    assert target.password
    password.touch(0o600)
    password.write_text(target.password.reveal())
    where = ("restore", "latest", "--to", target.conninfo, "--password", f"file:{password}")
    ran = program.run(*where)
    assert ran.code == 4 and "lacks the tablespaces fast" in ran.err and "--no-tablespaces" in ran.err
    program.ok(*where, "--no-tablespaces")
    assert digests(target) == digests(database)
    drop_database(servers(18).address, "spaces")
    program.ok("restore", "latest", "--to", f"{database.database}_back")
    back = database.to(f"{database.database}_back")
    where_is = "SELECT tablespace FROM pg_catalog.pg_tables WHERE tablename = 't'"
    assert value(back, where_is) == "fast"
    for one in (back, database):
        drop_database(server.address, one.database)
    run(server.address, "DROP TABLESPACE fast")


TEXTS = {
    "LATIN1": "naïve Straße ÿ",
    "WIN1252": "€ „quotes“ Ÿ",
    "EUC_JP": "漢字 かな カナ ｶﾅ",
    "SQL_ASCII": "plain",
    "UTF8": "漢字 🦓 é",
    "KOI8R": "Привет",
}


@pytest.mark.slow
@pytest.mark.parametrize("encoding", list(TEXTS))
@pytest.mark.parametrize("major", [15, 17])
def test_encodings_byte_for_byte(servers: Servers, tmp_path: Path, encoding: str, major: int) -> None:
    database = servers.database(major, f"enc_{encoding.lower()}", f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")
    word = TEXTS[encoding].split()[0].replace("„", "")
    with connect(database) as session:
        session.run("SET search_path = public")
        session.run(f'CREATE TABLE "t {word}" (id serial, "c {word}" text, m text DEFAULT \'{word}\')')
        session.run(f'INSERT INTO "t {word}" ("c {word}") SELECT \'{TEXTS[encoding]}\' FROM generate_series(1, 1000)')
        session.run(f"COMMENT ON TABLE \"t {word}\" IS '{TEXTS[encoding]}'")
        session.run(f'CREATE VIEW "v {word}" AS SELECT "c {word}" FROM "t {word}"')
        session.run(f'CREATE SEQUENCE "s {word}" START 77')
        session.run("SELECT lo_from_bytea(4242, '\\x00ff')")
        session.run(f"COMMENT ON LARGE OBJECT 4242 IS '{word}'")
        if encoding == "SQL_ASCII":
            # Whatever bytes: no encoding at all, and a name that is valid in none.
            session.run_bytes(
                b'CREATE TABLE "odd \xe9\xff" (x text);'
                b"INSERT INTO \"odd \xe9\xff\" VALUES ('\xff\xfe\xe9'), ('\xc3\xa9')"
            )
    kit, back = Kit(tmp_path), database.to(f"{database.database}_back")
    made = kit.backup(database)
    proof = kit.prove(made)
    assert proof.ok, proof.findings
    drop_database(servers(major).address, back.database)
    kit.restore(made, back)
    assert digests(back) == digests(database)
    assert rows(back, PROPERTIES)[0][3] == encoding
    in_bytes = f'SELECT DISTINCT pg_catalog.convert_to("c {word}", \'{encoding}\') FROM public."t {word}"'
    assert rows(back, in_bytes) == rows(database, in_bytes)
    if encoding == "SQL_ASCII":
        with connect(back) as session:
            stored = session.rows('SELECT x::bytea FROM public."odd éÿ" ORDER BY 1')
            assert [bytes(one) for (one,) in stored] == [b"\xc3\xa9", b"\xff\xfe\xe9"]
    for one in (back, database):
        drop_database(servers(major).address, one.database)


ICU = [
    (15, "LOCALE_PROVIDER icu ICU_LOCALE 'de-AT' LC_COLLATE 'C' LC_CTYPE 'C'"),
    (17, "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LC_COLLATE 'C' LC_CTYPE 'C'"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("major", "options"), ICU)
def test_locale_providers(servers: Servers, tmp_path: Path, major: int, options: str) -> None:
    database = servers.database(major, "locales", options)
    run(database, "CREATE TABLE t AS SELECT * FROM (VALUES ('ä'), ('z'), ('Z'), ('a')) v (x)", "CREATE INDEX ON t (x)")
    kit, back = Kit(tmp_path), database.to("locales_back")
    made = kit.backup(database)
    assert kit.prove(made).ok
    drop_database(servers(major).address, "locales_back")
    kit.restore(made, back)
    same = """SELECT datlocprovider::text, datcollate, datctype, {}
        FROM pg_catalog.pg_database WHERE datname = current_database()"""
    column = "datlocale" if major >= 17 else "daticulocale"
    assert rows(back, same.format(column)) == rows(database, same.format(column))
    order = "SELECT pg_catalog.string_agg(x, '' ORDER BY x) FROM public.t"
    assert value(back, order) == value(database, order)


@pytest.mark.slow
def test_a_database_with_a_hostile_name(servers: Servers, tmp_path: Path) -> None:
    hostile = 'x\' "y" $(touch z) = \\ ; -- %s'
    database = servers.database(17, hostile)
    run(database, "CREATE TABLE t AS SELECT 1 AS x", f"ALTER DATABASE {quoted(hostile)} SET work_mem = '3MB'")
    kit, back = Kit(tmp_path), database.to(hostile + "2")
    made = kit.backup(database)
    assert kit.prove(made).ok
    kit.restore(made, back)
    assert digests(back) == digests(database)
    assert value(back, "SELECT current_setting('work_mem')") == "3MB"
