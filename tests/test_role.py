"""`pgproof role`: its SQL, run as printed, makes a role that backs up and no more; its check finds any other."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from pgproof.errors import QueryFailed, UsageError
from pgproof.postgres import privileges, rights
from pgproof.postgres.server import Address, connect
from pgproof.postgres.sql import name as quoted
from pgproof.secret import Secret
from tests.conftest import Program, Servers, drop_role, missing
from tests.kit import rows, run, value

PASSWORD = "only for reading"
FILL = (
    "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, said text)",
    "INSERT INTO orders (said) SELECT 'order ' || n FROM generate_series(1, 500) AS n",
    "CREATE SCHEMA hidden",
    "CREATE TABLE hidden.rows (id int)",
    "INSERT INTO hidden.rows VALUES (1), (2)",
    "ALTER TABLE hidden.rows ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY one ON hidden.rows USING (id = 1)",
    "SELECT lo_from_bytea(0, 'one'), lo_from_bytea(0, 'two')",
)
SLOW = pytest.mark.slow
MAJORS = pytest.mark.parametrize("major", [pytest.param(15, marks=SLOW), 17, pytest.param(18, marks=SLOW)])


@dataclass(frozen=True)
class Place:
    """A database, as its owner, who is the server's superuser, and as the role that was printed."""

    owner: Address
    role: Address
    printed: str

    @property
    def name(self) -> str:
        return str(value(self.role, "SELECT current_user"))

    def codes(self) -> set[str]:
        with connect(self.role) as session:
            return {one.code for one in rights.examine(session, "db", 2)}


def psql(admin: Address, text: str) -> None:
    """What an administrator does with the text: all of it, as it is."""
    program = shutil.which("psql")
    if not program:
        missing("psql")
    assert program and admin.password
    done = subprocess.run(
        [program, "-X", "-q", "-d", admin.conninfo],
        input=text,
        env={"PGPASSWORD": admin.password.reveal()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


@contextmanager
def placed(servers: Servers, program: Program, major: int, role: str, *words: str) -> Iterator[Place]:
    admin, owner = servers(major).address, servers.database(major)
    run(owner, *FILL)
    program.configure(db=owner)
    printed = program.ok("role", "--name", role, *words).out
    psql(admin, printed)
    run(owner, f"ALTER ROLE {quoted(role)} PASSWORD '{PASSWORD}'")
    address = owner.as_user(role, Secret(PASSWORD))
    program.configure(db=address)
    try:
        yield Place(owner, address, printed)
    finally:
        drop_role(admin, role, owner.database)


@pytest.fixture
def place(servers: Servers, program: Program) -> Iterator[Callable[..., Place]]:
    with ExitStack() as stack:
        yield lambda major, role="backup", *words: stack.enter_context(placed(servers, program, major, role, *words))


def proven(program: Program) -> list[str]:
    """Back up and prove by the program; what the backup's notes say."""
    made = program.ok("backup", "--json").json
    counts = {f"{table['schema']}.{table['name']}": table["rows"] for table in made["evidence"]["tables"]}
    assert counts["public.orders"] == 500
    assert counts["hidden.rows"] == 2
    assert made["evidence"]["large_objects"]["rows"] == 2
    proof = program.ok("prove", "--json").json
    assert proof["proven"], proof["findings"]
    return made["notes"]


@pytest.mark.slow
@MAJORS
def test_s10_the_printed_role_backs_up_and_its_check_is_clean(
    place: Callable[..., Place], program: Program, major: int
) -> None:
    here = place(major)
    assert f"PostgreSQL {major}:" in here.printed.splitlines()[0]
    assert rights.WITHOUT_PASSWORDS not in proven(program)
    told = program.ok("role", "--check", "--json").json
    assert told["level"] == "ok"
    assert [one["code"] for one in told["findings"]] == ["rights"]
    doctor = program.ok("doctor", "--json").json["findings"]
    assert [one for one in doctor if one["code"].startswith(("role-", "rights"))] == told["findings"]


@MAJORS
def test_s10_the_printed_role_can_write_create_read_files_and_execute_nothing(
    place: Callable[..., Place], major: int
) -> None:
    here = place(major)
    wishes = ["INSERT INTO public.orders (said) VALUES ('x')", "DELETE FROM hidden.rows", "TRUNCATE public.orders"]
    wishes += ["SELECT pg_catalog.setval('public.orders_id_seq', 1)", "DROP TABLE public.orders", "CREATE SCHEMA own"]
    wishes += ["CREATE TABLE public.own (id int)", "CREATE ROLE other", "CREATE DATABASE other"]
    wishes += ["SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata"]
    wishes += ["SELECT pg_catalog.lo_put(oid, 0, 'x') FROM pg_catalog.pg_largeobject_metadata"]
    wishes += ["COPY public.orders TO PROGRAM 'true'", "COPY public.orders (said) FROM PROGRAM 'echo x'"]
    wishes += ["COPY public.orders TO '/tmp/orders'", "SELECT pg_catalog.pg_read_file('PG_VERSION')"]
    wishes += ["SELECT pg_catalog.lo_import('/etc/passwd')", "ALTER ROLE postgres PASSWORD NULL", "SET ROLE postgres"]
    wishes += ["SELECT pg_catalog.pg_create_physical_replication_slot('x')"]
    for wish in wishes:
        with connect(here.role) as session, pytest.raises(QueryFailed) as refused:
            session.run("SET default_transaction_read_only = off")  # no right hangs on the setting
            session.run(wish)
        assert refused.value.sqlstate == "42501", (wish, refused.value.message)
    assert rows(here.owner, "SELECT count(*) FROM public.orders") == [(500,)]
    assert value(here.role, "SELECT current_setting('default_transaction_read_only')") == "on"


@pytest.mark.slow
@MAJORS
def test_the_text_for_postgresql_13_grants_what_pg_read_all_data_would(
    place: Callable[..., Place], program: Program, major: int
) -> None:
    here = place(major, "backup13", "--major", "13")
    assert "pg_read_all_data TO" not in here.printed
    run(here.owner, "CREATE SCHEMA later", "CREATE TABLE later.made (id serial)", "INSERT INTO later.made VALUES (1)")
    assert rights.WITHOUT_PASSWORDS in proven(program)
    assert here.codes() == {"rights", "role-no-passwords"}


@pytest.mark.slow
def test_on_postgresql_13_passwords_are_read_only_where_that_is_asked_for(
    place: Callable[..., Place], program: Program
) -> None:
    place(15, "backup13", "--major", "13", "--passwords")
    assert rights.WITHOUT_PASSWORDS not in proven(program)


@pytest.mark.parametrize("version_num", [130000, 140000, 150000, 160000])
def test_the_text_is_well_formed_for_versions_that_are_not_here(servers: Servers, version_num: int) -> None:
    database = servers.database(17)
    found = privileges.statements("backup_old", [database.database], version_num, passwords=True)
    psql(servers(17).address, privileges.as_psql("backup_old", found, [database.database]))
    drop_role(servers(17).address, "backup_old", database.database)
    assert ("GRANT pg_read_all_data" in " ".join(one.sql for one in found)) == (version_num >= 140000)


@MAJORS
def test_large_objects_that_come_later_are_read_from_postgresql_18_on(place: Callable[..., Place], major: int) -> None:
    here = place(major)
    run(here.owner, "SELECT lo_from_bytea(0, 'three')")
    assert ("role-large-objects" in here.codes()) == (major < 18)
    again = [one.sql for one in privileges.statements("backup", [here.owner.database], major * 10000) if one.database]
    run(here.owner, *again)
    assert here.codes() == {"rights"}


@pytest.mark.slow
@MAJORS
def test_default_privileges_of_several_roles_are_proven_in_whatever_order_these_were_made(
    servers: Servers, place: Callable[..., Place], program: Program, major: int
) -> None:
    """The server keeps them in the order of the roles' numbers, and a drill makes roles in that of their names."""
    here = place(major)
    run(here.owner, "CREATE ROLE zebra", "CREATE ROLE ape")
    run(here.owner, "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO zebra, ape")
    proven(program)
    drop_role(servers(major).address, "zebra", here.owner.database)
    drop_role(servers(major).address, "ape", here.owner.database)


TOO_MUCH = {
    "role-superuser": ("ALTER ROLE backup SUPERUSER", "ALTER ROLE backup NOSUPERUSER"),
    "role-createrole": ("ALTER ROLE backup CREATEROLE", "ALTER ROLE backup NOCREATEROLE"),
    "role-createdb": ("ALTER ROLE backup CREATEDB", "ALTER ROLE backup NOCREATEDB"),
    "role-replication": ("ALTER ROLE backup REPLICATION", "ALTER ROLE backup NOREPLICATION"),
    "role-owner": ("ALTER TABLE hidden.rows OWNER TO backup", "ALTER TABLE hidden.rows OWNER TO postgres"),
    "role-creates": ("GRANT CREATE ON SCHEMA public TO PUBLIC", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"),
    "role-unlimited": ("ALTER ROLE backup CONNECTION LIMIT -1", "ALTER ROLE backup CONNECTION LIMIT 6"),
    "role-not-read-only": (
        "ALTER ROLE backup RESET default_transaction_read_only",
        "ALTER ROLE backup SET default_transaction_read_only = on",
    ),
}
POWERFUL = ("pg_execute_server_program", "pg_read_server_files", "pg_write_server_files", "pg_signal_backend")
WRITES = (
    ("INSERT ON public.orders", "public.orders"),
    ("UPDATE (said) ON public.orders", "public.orders"),
    ("TRIGGER ON hidden.rows", "hidden.rows"),
    ("UPDATE ON SEQUENCE public.orders_id_seq", "public.orders_id_seq"),
)


@pytest.mark.slow
@MAJORS
def test_s10_each_right_too_many_is_found(place: Callable[..., Place], major: int) -> None:
    here = place(major)
    for code, (give, take) in TOO_MUCH.items():
        run(here.owner, give)
        assert here.codes() == {"rights", code}, code
        run(here.owner, take)
    for other in POWERFUL:
        run(here.owner, f"GRANT {other} TO backup")
        assert here.codes() == {"rights", "role-member"}, other
        run(here.owner, f"REVOKE {other} FROM backup")
    run(here.owner, "GRANT pg_write_all_data TO backup")
    assert here.codes() == {"rights", "role-member", "role-writes"}
    run(here.owner, "REVOKE pg_write_all_data FROM backup", "GRANT CREATE ON SCHEMA hidden TO backup")
    assert here.codes() == {"rights", "role-creates"}
    run(here.owner, "REVOKE CREATE ON SCHEMA hidden FROM backup")
    run(here.owner, f"GRANT CREATE ON DATABASE {quoted(here.owner.database)} TO backup")
    assert here.codes() == {"rights", "role-creates"}
    run(here.owner, f"REVOKE CREATE ON DATABASE {quoted(here.owner.database)} FROM backup")
    for right, what in WRITES:
        run(here.owner, f"GRANT {right} TO backup")
        with connect(here.role) as session:
            (found,) = [one for one in rights.examine(session, "db", 2) if one.code != "rights"]
        assert (found.code, found.text) == ("role-writes", f"role backup may write to {what}")
        run(here.owner, f"REVOKE {right} FROM backup")
    assert here.codes() == {"rights"}


def test_powers_by_way_of_another_role_are_found_though_not_inherited(place: Callable[..., Place]) -> None:
    here = place(17)
    run(here.owner, "CREATE ROLE between NOINHERIT", "CREATE ROLE chief CREATEDB", "ALTER TABLE orders OWNER TO chief")
    run(here.owner, "GRANT chief TO between", "GRANT between TO backup WITH INHERIT FALSE")
    assert here.codes() == {"rights", "role-member", "role-owner"}
    run(here.owner, "REVOKE between FROM backup", "ALTER TABLE orders OWNER TO postgres", "DROP ROLE between, chief")


def test_no_more_than_five_tables_are_named(place: Callable[..., Place]) -> None:
    here = place(17)
    run(
        here.owner,
        *[f"CREATE TABLE t{n} ()" for n in range(8)],
        "GRANT INSERT ON ALL TABLES IN SCHEMA public TO backup",
    )
    with connect(here.role) as session:
        (found,) = [one for one in rights.examine(session, "db", 2) if one.code == "role-writes"]
    assert found.text.endswith("may write to public.orders, public.t0, public.t1, public.t2, public.t3 and 4 more")


@MAJORS
def test_s10_each_right_too_few_is_found(place: Callable[..., Place], program: Program, major: int) -> None:
    here = place(major)
    run(here.owner, "ALTER ROLE backup NOBYPASSRLS")
    assert here.codes() == {"role-hidden-rows"}
    ran = program.run("role", "--check")
    assert ran.code == 1
    assert "row-level security hides rows from role backup in hidden.rows" in ran.out
    run(here.owner, "ALTER ROLE backup BYPASSRLS", "SELECT lo_from_bytea(0, 'of another owner')")
    if major < 18:
        assert here.codes() == {"role-large-objects"}
    run(here.owner, "REVOKE pg_read_all_data FROM backup")
    assert here.codes() >= {"role-cannot-read", "role-no-passwords"}
    ran = program.run("role", "--check")
    assert ran.code == 1
    assert "may not read hidden.rows, public.orders, public.orders_id_seq" in ran.out
    assert "GRANT pg_read_all_data TO backup;" in ran.out
    run(here.owner, "GRANT pg_read_all_data TO backup", "ALTER ROLE backup CONNECTION LIMIT 5")
    assert "role-connections" in here.codes()


@MAJORS
def test_a_role_that_does_not_inherit_is_told_how_to(place: Callable[..., Place], major: int) -> None:
    here = place(major)
    run(here.owner, "REVOKE pg_read_all_data FROM backup", "ALTER ROLE backup NOINHERIT")
    run(here.owner, "GRANT pg_read_all_data TO backup")
    with connect(here.role) as session:
        (found,) = [one for one in rights.examine(session, "db", 2) if one.code == "role-cannot-read"]
    run(here.owner, found.hint.removeprefix("as a superuser: "))
    assert here.codes() == {"rights"}


def test_what_a_backup_will_be_without_is_said(place: Callable[..., Place]) -> None:
    here = place(17)
    run(here.owner, "CREATE FOREIGN DATA WRAPPER other", "CREATE SERVER elsewhere FOREIGN DATA WRAPPER other")
    run(here.owner, "CREATE USER MAPPING FOR postgres SERVER elsewhere OPTIONS (password 'x')")
    assert here.codes() == {"rights", "role-left-out"}


def test_a_role_without_a_free_connection_is_told_of_its_limit(place: Callable[..., Place], program: Program) -> None:
    here = place(17)
    run(here.owner, "ALTER ROLE backup CONNECTION LIMIT 0")
    ran = program.run("backup")
    assert ran.code == 6
    assert "the role has all the connections that it may have" in ran.err
    assert "CONNECTION LIMIT" in ran.err


def test_odd_names_are_names_and_nothing_else(servers: Servers, program: Program) -> None:
    role, database = "we\"ird'; $$ $q0$ :x \\! id -- %I", 'user=x "odd"\' \\ :y $$'
    address = servers.database(17, database)
    run(address, *FILL)
    program.configure(db=address)
    for words in ((), ("--major", "13", "--passwords")):
        psql(servers(17).address, program.ok("role", "--name", role, *words).out)
        assert rows(address, "SELECT rolname FROM pg_roles WHERE rolname LIKE 'we%'") == [(role,)]
        granted = "SELECT count(*) FROM pg_largeobject_metadata WHERE lomacl::text LIKE '%we%'"
        assert value(address, granted) == 2
        drop_role(servers(17).address, role, database)


def test_what_a_database_defines_is_not_run_by_the_superuser_who_runs_the_text(place: Callable[..., Place]) -> None:
    here = place(17)
    trap = "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$"
    run(here.owner, f"CREATE FUNCTION public.trap(name, name) RETURNS bool {trap}")
    run(
        here.owner,
        *[
            f"CREATE OPERATOR public.{sign} (FUNCTION = public.trap, LEFTARG = name, RIGHTARG = name)"
            for sign in ("!~~", "<>", "=")
        ],
    )
    run(here.owner, f"CREATE FUNCTION public.current_database() RETURNS name {trap}")
    run(here.owner, f"ALTER DATABASE {quoted(here.owner.database)} SET search_path = public, pg_catalog")
    found = privileges.statements("backup2", [here.owner.database], 130000)
    psql(here.owner.to("postgres"), privileges.as_psql("backup2", found, [here.owner.database]))
    drop_role(here.owner.to("postgres"), "backup2", here.owner.database)


@pytest.mark.parametrize("name", ["", "two\nlines", "bell\x07", "x" * 64, "ü" * 32, "pg_backup", "public"])
def test_a_name_that_cannot_be_a_role_is_refused(program: Program, name: str) -> None:
    ran = program.run("role", "--name", name)
    assert ran.code == 2
    assert ran.out == ""


def test_a_database_whose_name_would_end_a_line_is_refused() -> None:
    with pytest.raises(UsageError):
        privileges.statements("backup", ["x\n\\! id"], 170000)


def test_without_a_configuration_an_example_is_printed(program: Program) -> None:
    ran = program.ok("role")
    assert "an example" in ran.out
    assert 'GRANT CONNECT ON DATABASE "keycloak" TO "backup";' in ran.out
    assert program.run("role", "--check").code == 2
    assert program.run("role", "nowhere").code == 2


def test_a_server_that_lets_nobody_in_is_taken_for_the_newest_and_the_text_says_so(
    servers: Servers, program: Program
) -> None:
    address = servers.database(15).as_user("nobody_yet", Secret("secret of nobody"))
    program.configure(db=address)
    (program.folder / "db.password").unlink()
    ran = program.ok("role", "db")
    assert "The server could not be asked which version it is" in ran.out
    assert "PostgreSQL 18" in ran.out
    assert "secret of nobody" not in ran.out
    told = program.ok("role", "--major", "13", "--json").json
    assert (told["version_num"], told["role"], told["databases"]) == (130000, "backup", [address.database])
    assert {frozenset(one) for one in told["statements"]} == {frozenset(("sql", "why", "database"))}
    assert program.run("role", "--check").code == 2  # its secret is not there
    program.configure(db=address)
    ran = program.run("role", "--check", "--json")
    assert (ran.code, [one["code"] for one in ran.json["findings"]]) == (1, ["unreachable"])


def test_sources_of_one_server_share_a_role_and_those_of_several_must_be_chosen_from(
    servers: Servers, program: Program
) -> None:
    one, two = servers.database(17), servers.database(17)
    program.configure(one=one, two=two)
    printed = program.ok("role").out
    assert printed.count("GRANT CONNECT ON DATABASE") == 2
    assert "CONNECTION LIMIT 12" in printed
    psql(servers(17).address, printed)
    drop_role(servers(17).address, "backup", one.database, two.database)
    program.configure(one=one, other=servers.database(15))
    ran = program.run("role")
    assert ran.code == 2
    assert "name one: one, other" in ran.err
    program.ok("role", "other")


@MAJORS
def test_s10_the_replication_role_has_replication_and_nothing_else(
    servers: Servers, program: Program, major: int
) -> None:
    admin, owner = servers(major).address, servers.database(major)
    run(owner, *FILL)
    program.configure(db=owner)
    ran = program.run("role", "--check", "--replication")
    assert ran.code == 1
    assert "there is no role backup_replication" in ran.out
    psql(admin, program.ok("role", "--replication").out)
    run(owner, f"ALTER ROLE backup_replication PASSWORD '{PASSWORD}'")
    mine = owner.as_user("backup_replication", Secret(PASSWORD))
    try:
        assert codes(program) == ["rights"]
        for wish in ("SELECT FROM public.orders", "CREATE TABLE public.own ()", "SELECT FROM pg_catalog.pg_authid"):
            with connect(mine) as session, pytest.raises(QueryFailed) as refused:
                session.run(wish)
            assert refused.value.sqlstate == "42501"
        for attribute in ("CREATEDB", "CREATEROLE", "BYPASSRLS"):
            run(owner, f"ALTER ROLE backup_replication {attribute}")
            assert codes(program) == ["rights", f"role-{attribute.lower()}"]
            run(owner, f"ALTER ROLE backup_replication NO{attribute}")
        run(owner, "GRANT pg_read_all_data TO backup_replication", "ALTER ROLE backup_replication CONNECTION LIMIT -1")
        assert codes(program) == ["rights", "role-member", "role-unlimited"]
        run(owner, "ALTER ROLE backup_replication NOREPLICATION SUPERUSER")
        assert codes(program) == ["role-superuser"]
        run(owner, "ALTER ROLE backup_replication NOSUPERUSER")
        assert program.run("role", "--check", "--replication").code == 1
    finally:
        drop_role(admin, "backup_replication", owner.database)


def codes(program: Program) -> list[str]:
    return [one["code"] for one in program.ok("role", "--check", "--replication", "--json").json["findings"]]


def test_check_takes_the_role_from_the_url_and_from_nowhere_else(program: Program) -> None:
    assert program.run("role", "--check", "--name", "other").code == 2
