"""Extensions: their types in tables and indexes, the rows of their configuration tables, and servers without them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pgproof.errors import NotProven, Refused
from pgproof.postgres import tools
from pgproof.postgres.server import Address
from tests.conftest import Servers, drop_database, missing
from tests.kit import Kit, digests, rows, run, value

USUAL = (
    "CREATE SCHEMA ext",
    "CREATE EXTENSION hstore SCHEMA ext",
    "CREATE EXTENSION pg_trgm SCHEMA ext",
    "CREATE EXTENSION citext",
    "COMMENT ON EXTENSION citext IS 'another comment'",
    "CREATE TABLE things (id serial PRIMARY KEY, tags ext.hstore, name citext UNIQUE, body text)",
    """INSERT INTO things (tags, name, body) SELECT ext.hstore('k' || g, 'it''s "v" ' || g), 'Name ' || g, md5(g::text)
       FROM generate_series(1, 2000) g""",
    "CREATE INDEX things_body ON things USING gin (body ext.gin_trgm_ops)",
    "CREATE INDEX things_tags ON things USING gin (tags)",
    "CREATE VIEW found AS SELECT id FROM things WHERE tags OPERATOR(ext.?) 'k7'",
)


@pytest.mark.slow
@pytest.mark.parametrize("major", [15, 17, 18])
def test_usual_extensions(servers: Servers, tmp_path: Path, major: int) -> None:
    database = servers.database(major)
    if not value(database, "SELECT count(*) FROM pg_catalog.pg_available_extensions WHERE name = 'hstore'"):
        missing(f"hstore for PostgreSQL {major}")
    run(database, *USUAL)
    kit = Kit(tmp_path)
    made = kit.backup(database)
    assert set(made.database.extensions) == {"plpgsql", "hstore", "pg_trgm", "citext"}
    proof = kit.prove(made)
    assert proof.ok, proof.findings
    back = database.to(f"{database.database}_back")
    kit.restore(made, back)
    assert digests(back) == digests(database)
    assert value(back, "SELECT id FROM public.found") == 7
    extensions = "SELECT extname, extversion, pg_catalog.obj_description(oid) FROM pg_catalog.pg_extension ORDER BY 1"
    assert rows(back, extensions) == rows(database, extensions)
    for one in (back, database):
        drop_database(servers(major).address, one.database)


@pytest.mark.slow
def test_a_server_that_lacks_them_is_named(servers: Servers, tmp_path: Path) -> None:
    database = servers.database(15)
    run(database, *USUAL)
    have = value(servers(16).address, "SELECT count(*) FROM pg_catalog.pg_available_extensions WHERE name = 'hstore'")
    if have:
        pytest.skip("the PostgreSQL 16 here has them all")
    kit = Kit(tmp_path)
    made = kit.backup(database)
    only = tuple(one for one in tools.found() if one.major == 16)
    with pytest.raises(NotProven, match="PostgreSQL 16.* lacks the extensions citext, hstore, pg_trgm") as caught:
        kit.prove(made, installed=only)
    assert "install" in caught.value.hint
    with pytest.raises(Refused, match=r"lacks the extensions citext 1\.\d, hstore 1\.\d, pg_trgm 1\.\d"):
        kit.restore(made, servers(16).address.to("lacking"))


CONTROL = "comment = 'a test of pgproof'\ndefault_version = '1.0'\nrelocatable = false\nschema = cfg\n"
SCRIPT = """
CREATE TABLE settings (name text PRIMARY KEY, value text, builtin boolean DEFAULT false);
INSERT INTO settings VALUES ('shipped', 'with the extension', true), ('also', 'shipped', true);
SELECT pg_catalog.pg_extension_config_dump('settings', 'WHERE NOT builtin');
CREATE TABLE jobs (id serial PRIMARY KEY, what text);
SELECT pg_catalog.pg_extension_config_dump('jobs', '');
SELECT pg_catalog.pg_extension_config_dump('jobs_id_seq', '');
CREATE TABLE inner_table (x integer);
INSERT INTO inner_table VALUES (1), (2);
CREATE FUNCTION twice(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1';
"""


@pytest.fixture
def configured(servers: Servers) -> Iterator[Address]:
    """A database with an extension of our own, whose files lie with those of the server while the test runs."""
    installed = servers(17).tools.folder.parent
    controls = list(installed.rglob("plpgsql.control"))
    folder = controls[0].parent if controls else missing("the extension folder of PostgreSQL 17")
    files = {"pgproof_test.control": CONTROL, "pgproof_test--1.0.sql": SCRIPT}
    try:
        for name, text in files.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o644)
        yield servers.database(17)
    finally:
        for name in files:
            (folder / name).unlink(missing_ok=True)


@pytest.mark.slow
def test_rows_of_configuration_tables(servers: Servers, configured: Address, tmp_path: Path) -> None:
    run(
        configured,
        "CREATE SCHEMA cfg",
        "CREATE EXTENSION pgproof_test",
        "INSERT INTO cfg.settings VALUES ('mine', 'my own', false), ('more', E'tab\\t', false)",
        "INSERT INTO cfg.jobs (what) SELECT 'job ' || g FROM generate_series(1, 30) g",
        "INSERT INTO cfg.inner_table VALUES (99)",
        "CREATE TABLE mine AS SELECT cfg.twice(g) AS x FROM generate_series(1, 10) g",
    )
    kit = Kit(tmp_path)
    made = kit.backup(configured)
    counts = {table.label: table.rows for table in made.evidence.tables}
    assert counts == {"cfg.settings": 2, "cfg.jobs": 30, "public.mine": 10}
    assert [(one.name, one.last_value) for one in made.evidence.sequences] == [("jobs_id_seq", 30)]
    proof = kit.prove(made)
    assert proof.ok, proof.findings
    back = configured.to(f"{configured.database}_back")
    kit.restore(made, back)
    everything = "SELECT * FROM cfg.settings ORDER BY 1"
    assert rows(back, everything) == rows(configured, everything)
    assert rows(back, "SELECT count(*), max(id) FROM cfg.jobs") == [(30, 30)]
    assert value(back, "SELECT pg_catalog.nextval('cfg.jobs_id_seq')") == 31
    # What an extension keeps to itself comes with it, as it was shipped: so stock pg_dump does it too.
    assert rows(back, "SELECT x FROM cfg.inner_table ORDER BY 1") == [(1,), (2,)]
    for one in (back, configured):
        drop_database(servers(17).address, one.database)
