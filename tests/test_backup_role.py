"""The role of docs/backup-role.md, made by that page's own statements: it backs up everything and can write nothing."""

import gzip
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from pgproof.errors import QueryFailed
from pgproof.postgres.server import Address, connect
from pgproof.secret import Secret
from tests.conftest import Program, Servers
from tests.kit import rows, run

PAGE = (Path(__file__).parent.parent / "docs" / "backup-role.md").read_text()
PASSWORD = "only for reading"
WITHOUT_PASSWORDS = "globals.sql holds roles without their passwords: the backup role may not read them"
FILL = (
    "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, said text)",
    "INSERT INTO orders (said) SELECT 'order ' || n FROM generate_series(1, 500) AS n",
    "CREATE SCHEMA hidden",
    "CREATE TABLE hidden.rows (id int)",
    "INSERT INTO hidden.rows VALUES (1), (2)",
    "ALTER TABLE hidden.rows ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY one ON hidden.rows USING (id = 1)",
    "CREATE MATERIALIZED VIEW seen AS SELECT count(*) FROM orders",
)
MAJORS = pytest.mark.parametrize("major", [15, 17])


@dataclass(frozen=True)
class Place:
    """A database, as its owner and as the role of the page."""

    owner: Address
    backup: Address


def statements() -> list[str]:
    """The page's statements that make the role, without those for large objects."""
    first = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[0]
    return [line for line in first.splitlines() if line]


def labelled(label: str) -> str:
    """The statements of the page's block whose first line is this comment."""
    found = re.search(rf"^```sql\n-- {label}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


@contextmanager
def placed(servers: Servers, major: int) -> Iterator[Place]:
    owner = servers.database(major)
    run(owner, *FILL)
    run(owner, *statements(), f"ALTER ROLE backup PASSWORD '{PASSWORD}'")
    try:
        yield Place(owner, Address(make_conninfo(owner.conninfo, user="backup"), Secret(PASSWORD)))
    finally:
        run(
            servers(major).address.to(owner.database),
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'backup'",
            "DROP OWNED BY backup",
            "DROP ROLE backup",
        )


@pytest.fixture
def place(servers: Servers) -> Iterator[Callable[[int], Place]]:
    with ExitStack() as stack:
        yield lambda major: stack.enter_context(placed(servers, major))


@pytest.mark.slow
@MAJORS
def test_the_role_backs_up_and_the_backup_is_proven(
    place: Callable[[int], Place], program: Program, major: int
) -> None:
    here = place(major)
    with connect(here.backup) as session:
        assert session.row("SELECT current_user, current_setting('default_transaction_read_only')") == ("backup", "on")
    program.configure(db=here.backup)
    doctor = program.ok("doctor", "--json").json
    assert "rights" in {one["code"] for one in doctor["findings"]}
    assert not [one for one in doctor["findings"] if one["code"].startswith("role-")]
    made = program.ok("backup", "--json").json
    assert WITHOUT_PASSWORDS not in made["notes"]
    counts = {f"{table['schema']}.{table['name']}": table["rows"] for table in made["evidence"]["tables"]}
    assert counts == {"public.orders": 500, "hidden.rows": 2}
    assert program.ok("verify", "--json").json[0]["ok"]
    proof = program.ok("prove", "--json").json
    assert proof["proven"], proof["findings"]
    # pg_read_all_data reads pg_authid too: the page says so, and to encrypt.
    assert b"PASSWORD 'SCRAM-SHA-256$" in gzip.decompress((program.store / made["id"] / "globals.sql.gz").read_bytes())


@MAJORS
def test_the_role_can_write_nothing(place: Callable[[int], Place], major: int) -> None:
    here = place(major)
    wishes = ["INSERT INTO public.orders (said) VALUES ('x')", "DELETE FROM hidden.rows", "TRUNCATE public.orders"]
    wishes += ["CREATE SCHEMA own", "DROP TABLE public.orders", "CREATE ROLE other", "CREATE DATABASE other"]
    for wish in wishes:
        for read_only in ("on", "off"):  # no right hangs on the setting
            with connect(here.backup) as session, pytest.raises(QueryFailed) as refused:
                session.run(f"SET default_transaction_read_only = {read_only}")
                session.run(wish)
            assert refused.value.sqlstate in ({"25006", "42501"} if read_only == "on" else {"42501"}), wish
    assert rows(here.owner, "SELECT count(*) FROM public.orders") == [(500,)]


@MAJORS
def test_without_bypassrls_hidden_rows_are_refused(place: Callable[[int], Place], program: Program, major: int) -> None:
    here = place(major)
    run(here.owner, "ALTER ROLE backup NOBYPASSRLS")
    program.configure(db=here.backup)
    ran = program.run("backup")
    assert ran.code == 4
    assert "row-level security hides rows from role backup in hidden.rows" in ran.err
    assert "ALTER ROLE backup BYPASSRLS" in ran.err


@pytest.mark.slow
@MAJORS
def test_large_objects_are_refused_until_they_are_granted(
    place: Callable[[int], Place], program: Program, major: int
) -> None:
    here = place(major)
    run(here.owner, "SELECT lo_from_bytea(0, 'one'), lo_from_bytea(0, 'two')")
    program.configure(db=here.backup)
    ran = program.run("backup")
    assert ran.code == 4
    assert "role backup may not read 2 large objects" in ran.err
    assert re.sub(r"\d+", "12", "role backup may not read 2 large objects") in PAGE
    run(here.owner, labelled("large objects"))
    assert program.ok("backup", "--json").json["evidence"]["large_objects"]["rows"] == 2
    assert program.ok("prove", "--json").json["proven"]


@MAJORS
def test_what_only_a_superuser_may_read_is_noted(place: Callable[[int], Place], program: Program, major: int) -> None:
    here = place(major)
    run(
        here.owner,
        "CREATE SUBSCRIPTION sub CONNECTION 'host=nowhere.invalid password=x' PUBLICATION p WITH (connect = false)",
        "CREATE FOREIGN DATA WRAPPER other",
        "CREATE SERVER elsewhere FOREIGN DATA WRAPPER other",
        "CREATE USER MAPPING FOR postgres SERVER elsewhere OPTIONS (password 'x')",
    )
    try:
        program.configure(db=here.backup)
        made = program.ok("backup", "--json").json
        assert "subscriptions are left out (1): only a superuser may read them" in made["notes"]
        assert any(note.startswith("user mappings (1) are without options") for note in made["notes"])
        assert all(note in PAGE for note in made["notes"] if not note.startswith("pg_dump"))
        program.configure(db=here.owner)
        assert not [
            note for note in program.ok("backup", "--json").json["notes"] if "left out" in note or "user map" in note
        ]
    finally:
        run(here.owner, "ALTER SUBSCRIPTION sub SET (slot_name = NONE)", "DROP SUBSCRIPTION sub")


@pytest.mark.slow
@MAJORS
def test_single_grants_are_enough_and_leave_passwords_out(
    place: Callable[[int], Place], program: Program, major: int
) -> None:
    here = place(major)
    run(here.owner, "REVOKE pg_read_all_data FROM backup")
    program.configure(db=here.backup)
    refused = program.run("backup")
    assert refused.code == 4
    assert "role backup may not read hidden.rows, orders, orders_id_seq" in refused.err.replace("public.", "")
    grants = labelled("single grants").replace("keycloak", "postgres")
    run(here.owner, grants, grants.replace("SCHEMA public", "SCHEMA hidden"))
    run(here.owner, "CREATE TABLE public.later (id serial)")
    made = program.ok("backup", "--json").json
    assert len(made["evidence"]["tables"]) == 3
    assert WITHOUT_PASSWORDS in made["notes"]
    assert WITHOUT_PASSWORDS in program.ok("show", "latest").out
    assert WITHOUT_PASSWORDS in PAGE
    globals_sql = gzip.decompress((program.store / made["id"] / "globals.sql.gz").read_bytes())
    assert b"ROLE backup" in globals_sql
    assert b"PASSWORD" not in globals_sql
    assert program.ok("prove", "--json").json["proven"]
