"""What is asked of, done to and said of a Keycloak database: versions, sessions, the facts that a backup keeps."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from pgproof.actions.backup import backup
from pgproof.checks import keycloak, resolve
from pgproof.demo import load_keycloak
from pgproof.errors import Refused, UsageError
from pgproof.manifest import FORMAT, Manifest
from pgproof.postgres.server import Address, connect
from pgproof.sources.dump import Dump
from pgproof.stream.progress import Silent
from tests.conftest import Program, Servers
from tests.kit import Kit, rows, run, value


@pytest.fixture(scope="module")
def demo(servers: Servers) -> Iterator[Address]:
    """A Keycloak-shaped database with sessions of both kinds and a member of a cluster."""
    address = servers.database(17, "keycloak_shaped")
    load_keycloak(address, 50)
    run(address, "INSERT INTO jgroups_ping VALUES ('uuid://1', 'kc-1', 'ISPN', '127.0.0.1:7800', true)")
    yield address
    with_members = rows(address, "SELECT name FROM public.jgroups_ping")
    assert with_members == [("kc-1",)]  # a backup and its restores leave the source alone


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


def configure(program: Program, database: Address, *lines: str) -> None:
    program.configure(keycloak=database)
    file = program.folder / "pgproof.toml"
    file.write_text(file.read_text().replace("[stores.local]", "\n".join([*lines, "[stores.local]"])))


PRESET = 'checks = ["keycloak"]'


@pytest.mark.parametrize(
    ("backup", "keycloak_version"), [("26.4.7", "26.4.7"), ("26.4.7", "26.4"), ("26.4.7", "26"), ("26.4", "26.4.7")]
)
def test_the_same_version_as_far_as_it_is_known_is_nothing_to_speak_of(backup: str, keycloak_version: str) -> None:
    assert keycloak.migration(backup, keycloak_version) == ""


@pytest.mark.parametrize(
    ("backup", "older"), [("26.4.7", "26.4.6"), ("26.4.7", "26.3"), ("26.10.0", "26.9.9"), ("26.0.1", "25.0.6")]
)
def test_an_older_keycloak_over_a_newer_database_is_refused(backup: str, older: str) -> None:
    with pytest.raises(Refused, match=f"Keycloak {older} is older than {backup}") as refused:
        keycloak.migration(backup, older)
    assert f"start Keycloak {backup} or newer" in refused.value.hint


@pytest.mark.parametrize("newer", ["26.4.8", "26.10.0", "26.5", "27"])
def test_of_a_newer_one_it_is_said_that_it_migrates_and_that_there_is_no_way_back(newer: str) -> None:
    said = keycloak.migration("26.4.7", newer)
    assert f"Keycloak {newer} migrates the database from 26.4.7" in said
    assert "leads only another restore" in said


@pytest.mark.parametrize(
    ("backup", "after"), [("", "26.4.7"), ("26.4.7", ""), ("26.4.7", "nightly"), ("999.0.0-x", "?")]
)
def test_what_cannot_be_compared_is_said_and_not_taken_for_well(backup: str, after: str) -> None:
    assert "cannot be told" in keycloak.migration(backup, after)


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("quay.io/keycloak/keycloak:26.4.7", "26.4.7"),
        ("quay.io/keycloak/keycloak:26.4.7-1@sha256:0123", "26.4.7"),
        ("registry.example.org:5000/auth/keycloak:26.4", "26.4"),
        ("registry.example.org:5000/auth/keycloak", ""),
        ("keycloak:latest", ""),
        ("keycloak@sha256:26", ""),
        ("keycloak:1.2.3.4", ""),
    ],
)
def test_the_version_is_what_the_tag_of_an_image_begins_with(image: str, version: str) -> None:
    assert keycloak.version_of(image) == version


def test_the_image_is_the_one_that_is_called_so() -> None:
    ours, other = "quay.io/keycloak/keycloak:26.4.7", "docker.io/keycloak-themes/nginx:1"
    assert keycloak.image_among([other, ours, ours, "postgres:17"]) == ours
    assert keycloak.image_among([ours, "mine/keycloak-extended:3"]) == ""
    assert keycloak.image_among(["postgres:17"]) == ""


SESSIONS = """SELECT 'user', offline_flag, count(*) FROM public.offline_user_session GROUP BY 2
    UNION ALL SELECT 'client', offline_flag, count(*) FROM public.offline_client_session GROUP BY 2 ORDER BY 1, 2"""


@pytest.mark.slow
@pytest.mark.parametrize("sessions", keycloak.SESSIONS)
def test_after_a_restore_only_the_chosen_sessions_are_there_and_no_member_of_a_cluster(
    program: Program, servers: Servers, demo: Address, sessions: str
) -> None:
    before = rows(demo, SESSIONS)
    assert {flag for _, flag, _ in before} == {"0", "1"}
    configure(program, demo, PRESET)
    program.ok("backup")
    called = f"restored_{sessions.replace('-', '_')}"
    ran = program.ok("restore", "latest", "--to", called, "--sessions", sessions)
    kept = {"keep": before, "drop-online": [one for one in before if one[1] == "1"], "drop-all": []}[sessions]
    restored = demo.to(called)
    assert rows(restored, SESSIONS) == kept
    assert value(restored, "SELECT count(*) FROM public.jgroups_ping") == 0
    assert value(restored, "SELECT count(*) FROM public.user_entity") == value(
        demo, "SELECT count(*) FROM public.user_entity"
    )
    estimate = "SELECT reltuples::bigint FROM pg_class WHERE oid = 'public.offline_user_session'::regclass"
    assert value(restored, estimate) == sum(int(str(count)) for table, _, count in kept if table == "user")
    for line in keycloak.closing(keycloak.choice(sessions), {keycloak.VERSION: newest(demo)}):
        assert line in ran.out


def newest(database: Address) -> str:
    return str(value(database, keycloak.FACTS[0][1]))


@pytest.mark.slow
def test_a_restore_says_what_it_will_do_and_what_to_know_and_by_default_keeps_the_sessions(
    program: Program, servers: Servers, demo: Address
) -> None:
    configure(program, demo, PRESET)
    program.ok("backup")
    planned = program.ok("restore", "latest", "--to", "restored_plan", "--dry-run").out
    assert "  - empty jgroups_ping, the members of a cluster that is gone" in planned
    assert "  - ask 26 checks" in planned
    assert "sessions" not in planned
    said = program.ok("restore", "latest", "--to", "restored_plan").out
    assert "a logout after it is undone; --sessions drop-online or drop-all would end them" in said
    assert "the realms' keys came along" in said
    assert "passwords are the old ones, the bootstrap administrator's too" in said
    assert f"start Keycloak {newest(demo)} on it or newer" in said
    assert "must log in as the role that restored" not in said
    without = program.ok("restore", "latest", "--to", "restored_no_owner", "--no-owner").out
    assert "Keycloak must log in as the role that restored" in without


def test_the_image_is_named_where_it_is_known() -> None:
    known = {keycloak.VERSION: "26.4.7", keycloak.IMAGE: "quay.io/keycloak/keycloak:26.4.7"}
    said = "\n".join(keycloak.closing("drop-all", known))
    assert "start Keycloak 26.4.7 (its image was quay.io/keycloak/keycloak:26.4.7) on it or newer" in said
    assert "start Keycloak" not in "\n".join(keycloak.closing("keep", {}))


@pytest.mark.slow
def test_the_configuration_may_choose_the_sessions_and_the_command_line_overrules_it(
    program: Program, servers: Servers, demo: Address
) -> None:
    configure(program, demo, PRESET, 'sessions = "drop-all"')
    program.ok("backup")
    assert program.ok("show", "latest", "--json").json["config"]["sources.keycloak.sessions"] == "drop-all"
    program.ok("restore", "latest", "--to", "restored_chosen")
    assert rows(demo.to("restored_chosen"), SESSIONS) == []
    program.ok("restore", "latest", "--to", "restored_overruled", "--sessions", "keep")
    assert rows(demo.to("restored_overruled"), SESSIONS) == rows(demo, SESSIONS)


def test_sessions_are_refused_where_they_say_nothing(program: Program, demo: Address) -> None:
    configure(program, demo)
    program.ok("backup")
    no_preset = program.run("restore", "latest", "--to", "restored_refused", "--sessions", "keep")
    assert no_preset.code == 2 and 'is the line checks = ["keycloak"] missing' in no_preset.err
    configure(program, demo, PRESET)
    for words, said in (
        (["--sessions", "drop"], "'drop' is no choice for sessions"),
        (["--sessions", "drop-all", "--table", "realm"], "--sessions is for a whole database"),
    ):
        ran = program.run("restore", "latest", "--to", "restored_refused", *words)
        assert ran.code == 2 and said in ran.err
    configure(program, demo, 'sessions = "keep"')
    ran = program.run("list")
    assert ran.code == 2 and "sources.keycloak.sessions is for a source that is a Keycloak" in ran.err
    assert not rows(demo, "SELECT FROM pg_database WHERE datname = 'restored_refused'")


def test_a_table_alone_is_restored_without_any_of_it(program: Program, servers: Servers, demo: Address) -> None:
    configure(program, demo, PRESET)
    program.ok("backup")
    out = program.ok("restore", "latest", "--to", "restored_alone", "--table", "realm").out
    assert "Keycloak" not in out
    assert "check" not in out.replace("check the stored bytes", "")


@pytest.mark.slow
def test_a_check_that_is_false_is_said_and_stops_no_restore(program: Program, servers: Servers) -> None:
    database = servers.database(17, "keycloak_without_master")
    load_keycloak(database, 20)
    run(database, "UPDATE realm SET enabled = false WHERE name = 'master'")
    run(database, "UPDATE client SET client_id = 'other' WHERE client_id = 'broker'")
    configure(program, database, PRESET)
    program.ok("backup")
    ran = program.ok("restore", "latest", "--to", "restored_without_master")
    assert "check K01: the master realm exists and is enabled: the answer is false" in ran.out
    assert "check K04: every realm has its five built-in clients: the answer is false" in ran.out
    told = program.ok("restore", "latest", "--to", "restored_without_master_2", "--json").json
    assert told["checks"]["K01"] is False
    assert sum(told["checks"].values()) == 24


def test_the_backup_keeps_the_version_that_ran_last_and_the_image_where_it_is_given(kit: Kit, demo: Address) -> None:
    job = replace(
        kit.job(demo),
        source=Dump("db", demo, facts=keycloak.FACTS),
        application=lambda: {keycloak.IMAGE: "quay.io/keycloak/keycloak:26.4.7"},
    )
    made = backup(job, datetime.now(UTC), Silent())
    assert made.application == {
        "keycloak.image": "quay.io/keycloak/keycloak:26.4.7",
        "keycloak.version": newest(demo),
    }
    assert kit.repository.manifest(made.id).application == made.application


def test_a_database_without_keycloaks_tables_is_backed_up_all_the_same(program: Program, servers: Servers) -> None:
    database = servers.database(17)
    run(database, "CREATE TABLE rows (n int)", "INSERT INTO rows VALUES (1), (2)")
    configure(program, database, PRESET)
    said = program.ok("backup").out
    assert "note: keycloak.version could not be read: " in said and "migration_model" in said
    told = program.ok("show", "latest", "--json").json
    assert told["application"] == {}
    assert [one["rows"] for one in told["evidence"]["tables"]] == [2]
    run(database, "CREATE TABLE migration_model (version text, update_time bigint)")
    assert "keycloak.version could not be read: there is no row" in program.ok("backup").out


def test_a_manifest_of_before_there_was_an_application_is_read(kit: Kit, demo: Address) -> None:
    made = kit.backup(demo)
    old = {name: value for name, value in msgspec.to_builtins(made).items() if name != "application"}
    assert old["format"] == FORMAT and "application" not in old
    assert msgspec.json.decode(msgspec.json.encode(old), type=Manifest) == made


def test_the_preset_asks_what_a_whole_database_answers_with_true(demo: Address) -> None:
    asked = resolve(["keycloak"])
    assert len(asked) == 26
    assert [one.name for one in asked if value(demo, one.sql) is not True] == []


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("K25", "UPDATE public.offline_user_session SET created_on = extract(epoch FROM now()) + 400"),
        ("K28", "CREATE ROLE other; ALTER TABLE public.databasechangelog OWNER TO other"),
    ],
)
def test_these_questions_too_can_be_false(demo: Address, name: str, damage: str) -> None:
    (asked,) = [one for one in resolve(["keycloak"]) if one.name == name]
    with connect(demo) as session:
        session.run("BEGIN")
        assert session.value(asked.sql) is True
        session.run(damage)
        assert session.value(asked.sql) is False
        session.run("ROLLBACK")


def test_a_choice_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="'all' is no choice"):
        keycloak.choice("all")
