"""Large objects: many, large, sparse, empty, with owners, grants and comments; equal after a restore."""

from pathlib import Path

import pytest

from pgproof.errors import Refused
from pgproof.postgres.server import Address, connect
from tests.conftest import Servers, drop_database
from tests.kit import Kit, rows, run, value

# By md5(lo_get) and by size; owners and grants by name, as numbers are the server's own.
CONTENTS = """SELECT oid::int8, pg_catalog.md5(pg_catalog.lo_get(oid)), pg_catalog.length(pg_catalog.lo_get(oid))
    FROM pg_catalog.pg_largeobject_metadata ORDER BY 1"""
AROUND = """
    SELECT m.oid::int8, pg_catalog.pg_get_userbyid(m.lomowner), pg_catalog.obj_description(m.oid, 'pg_largeobject'),
        (SELECT pg_catalog.array_agg(a.privilege_type || a.is_grantable || pg_catalog.pg_get_userbyid(a.grantee)
            ORDER BY 1) FROM (SELECT privilege_type, is_grantable, grantee
            FROM pg_catalog.aclexplode(m.lomacl) ORDER BY 1, 2, 3) a)
    FROM pg_catalog.pg_largeobject_metadata m ORDER BY 1"""


@pytest.fixture(params=[15, 17])
def source(servers: Servers, request: pytest.FixtureRequest) -> Address:
    database = servers.database(request.param)
    with connect(database) as session:
        have = {one for (one,) in session.rows("SELECT rolname FROM pg_catalog.pg_roles")}
    for role in ('lo "owner"', "lo reader"):
        if role not in have:
            run(database, 'CREATE ROLE "{}"'.format(role.replace('"', '""')))
    run(
        database,
        # Contents that depend on the number: one taken for another shows.
        "SELECT lo_from_bytea(100000 + g, convert_to(repeat(g || ' ', g % 50), 'UTF8')) "
        "FROM generate_series(1, 3000) g",
        "SELECT lo_from_bytea(7, decode(repeat(md5('seven'), 3276800), 'hex'))",
        "SELECT lo_from_bytea(8, ''), lo_from_bytea(4294967295, 'the last number')",
        "SELECT lo_create(9)",
        "SELECT lo_put(9, 20000000, 'the end of a sparse one')",
        "SELECT lo_from_bytea(10, decode(repeat('5c5c00270a', 100000), 'hex'))",
        "SELECT lo_from_bytea(11, decode(repeat('00', 262144), 'hex'))",
        "SELECT lo_from_bytea(12, decode(repeat('ff', 262145), 'hex'))",
        'ALTER LARGE OBJECT 7 OWNER TO "lo ""owner"""',
        "COMMENT ON LARGE OBJECT 7 IS E'it''s \\\\ a\\nGRANT ALL ON comment;\\nALTER LARGE OBJECT x'",
        'GRANT SELECT ON LARGE OBJECT 7 TO "lo reader" WITH GRANT OPTION',
        "GRANT SELECT, UPDATE ON LARGE OBJECT 8 TO PUBLIC",
        "REVOKE ALL ON LARGE OBJECT 9 FROM postgres",
    )
    return database


@pytest.mark.slow
def test_they_come_back_equal(servers: Servers, source: Address, tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    made = kit.backup(source)
    assert made.evidence.large_objects.rows == 3007
    blocks = [block for block in made.main.blocks if block.kind == "large-objects"]
    assert len(blocks) > 5 and max(block.plain for block in blocks) < 40 << 20
    proof = kit.prove(made)
    assert proof.ok, proof.findings
    back = source.to(f"{source.database}_back")
    kit.restore(made, back)
    assert rows(back, CONTENTS) == rows(source, CONTENTS)
    assert rows(back, AROUND) == rows(source, AROUND)
    again = source.to(f"{source.database}_again")
    kit.restore(made, again, owners=False)
    assert rows(again, CONTENTS) == rows(source, CONTENTS)
    found = rows(again, AROUND)
    assert {owner for _, owner, _, _ in found} == {"postgres"} and not any(acl for *_, acl in found)
    assert [comment for *_, comment, _ in found] == [comment for *_, comment, _ in rows(source, AROUND)]
    for one in (back, again, source):
        drop_database(servers(int(made.server.major)).address, one.database)


def test_they_are_of_the_snapshot(servers: Servers, tmp_path: Path) -> None:
    """Objects that change or go while the backup runs are as they were."""
    database = servers.database(17)
    run(
        database,
        "SELECT lo_from_bytea(g, convert_to(repeat(g::text, 2000), 'UTF8')) FROM generate_series(30000, 30400) g",
        "CREATE TABLE t AS SELECT g FROM generate_series(1, 1000) g",
    )
    before = rows(database, CONTENTS)

    class Changing:
        def begin(self, what: str, total: int = 0) -> None:
            if what in ("rows", "large objects"):
                run(
                    database,
                    "SELECT lo_unlink(oid) FROM pg_largeobject_metadata WHERE oid::bigint % 3 = 0",
                    "SELECT lo_put(oid, 3, 'changed') FROM pg_largeobject_metadata WHERE oid::bigint % 3 = 1",
                    "SELECT lo_from_bytea(0, 'new')",
                )

        def advance(self, amount: int) -> None:
            pass

    kit = Kit(tmp_path)
    made = kit.backup(database, Changing())
    back = database.to(f"{database.database}_back")
    kit.restore(made, back)
    assert rows(back, CONTENTS) == before


def test_a_role_that_may_not_read_them_is_told_so(servers: Servers, tmp_path: Path) -> None:
    database = servers.database(17)
    run(database, "SELECT lo_from_bytea(0, 'mine'), lo_from_bytea(0, 'also mine')", "CREATE TABLE t (x integer)")
    if not value(database, "SELECT count(*) FROM pg_catalog.pg_roles WHERE rolname = 'lo_blind'"):
        run(database, "CREATE ROLE lo_blind LOGIN PASSWORD 'x'", "GRANT pg_read_all_data TO lo_blind")
    from dataclasses import replace

    from pgproof.secret import Secret

    blind = replace(
        database, conninfo=database.conninfo.replace("user=postgres", "user=lo_blind"), password=Secret("x")
    )
    kit = Kit(tmp_path)
    with pytest.raises(Refused, match="may not read 2 large objects"):
        kit.backup(blind)
    run(database, "SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
    assert kit.backup(blind).evidence.large_objects.rows == 0
