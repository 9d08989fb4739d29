"""The worst day, on real servers: recovered, undone, refused where it must be."""

import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pgproof.postgres.server import Address, connect
from tests.buckets import ENVIRONMENT, Endpoint
from tests.conftest import Program, Servers, drop_database
from tests.kit import digests, run, value
from tests.proxy import Fault, Proxy
from tests.waiting import next_second, until

TABLES = (
    "CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL)",
    "CREATE TABLE orders (id int PRIMARY KEY, of int REFERENCES users (id))",
    "INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 500) n",
    "INSERT INTO orders SELECT n, n FROM generate_series(1, 300) n",
)
SERVICE = """
import pathlib, sys
state, log = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[1] + ".log")
state.write_text(sys.argv[2])
with log.open("a") as lines:
    lines.write(sys.argv[2] + "\\n")
"""


def prepared(servers: Servers, program: Program, more: str = "", *statements: str) -> Address:
    """A source with rows, a proven backup, and a service that writes down whether it runs."""
    database = servers.database(17, f"recover_{os.getpid()}_{time.monotonic_ns() % 10**9}")
    run(database, *TABLES, *statements)
    script = program.folder / "service.py"
    script.write_text(SERVICE)
    command = f"{sys.executable} {script} {program.folder / 'service'}"
    (program.folder / "service").write_text("runs")
    lines = f'[sources.db.recover]\nstop = "{command} stopped"\nstart = "{command} runs"\nwithin = "2s"\n'
    program.configure(lines + more, db=database)
    program.ok("backup", "--quiet")
    program.ok("prove", "--quiet")
    return database


def service(program: Program) -> str:
    return (program.folder / "service").read_text()


def planned(program: Program, *more: str) -> str:
    return str(program.ok("recover", "--dry-run", "--json", *more).json["hash"])


def recovered(program: Program, *more: str) -> dict[str, object]:
    said = program.ok("recover", "--yes", planned(program, *more), "--json", "--quiet", *more)
    return dict(json.loads(said.out))


def named_like(database: Address, ending: str) -> list[str]:
    with connect(database, "postgres") as session:
        found = session.rows("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"{database.database}{ending}%"])
    return [one for (one,) in found]


@pytest.mark.slow
def test_rows_deleted_by_mistake_come_back_and_the_old_database_can_be_put_back(
    servers: Servers, program: Program
) -> None:
    database = prepared(servers, program)
    good = digests(database)
    run(database, "DELETE FROM orders", "DELETE FROM users", "INSERT INTO users VALUES (9999, 'after')")
    wrong = digests(database)
    done = recovered(program)
    assert digests(database) == good
    assert done["compared"] == 2
    assert service(program) == "runs"
    assert (program.folder / "service.log").read_text().split() == ["stopped", "runs"]
    assert digests(database.to(str(done["aside"]))) == wrong
    run(database, "INSERT INTO users VALUES (7777, 'meanwhile')", "UPDATE orders SET of = 1 WHERE id < 3")
    counted = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'orders'"
    until(lambda: value(database, counted) == 2)  # the server's counters are shown late
    said = program.ok("recover", "--undo", "--yes", str(done["plan"]))
    assert "public.users: 1 rows inserted, 0 updated, 0 deleted" in said.out
    assert "public.orders: 0 rows inserted, 2 updated, 0 deleted" in said.out
    assert digests(database) == wrong
    assert value(database.to(named_like(database, "_undone_")[0]), "SELECT count(*) FROM public.users") == 501
    assert service(program) == "runs"
    assert program.run("recover", "--undo", "--yes", str(done["plan"])).code == 4


@pytest.mark.slow
def test_a_dropped_database_comes_back(servers: Servers, program: Program) -> None:
    database = prepared(servers, program)
    good = digests(database)
    drop_database(servers(17).address, database.database)
    done = recovered(program)
    assert digests(database) == good
    assert done["existed"] is False
    assert named_like(database, "_before_") == []
    assert program.run("recover", "--undo", "--yes", str(done["plan"])).code == 4


@pytest.mark.slow
def test_the_plan_says_what_is_lost_and_changes_nothing(servers: Servers, program: Program) -> None:
    database = prepared(servers, program)
    before = digests(database)
    said = program.ok("recover", "--dry-run").out
    assert re.search(r"data lost  what was written since 20\d\d-", said)
    assert "`pgproof recover db --undo` puts it back" in said
    assert re.search(r"time       about [\d.]+ s, as measured", said)
    assert planned(program) == planned(program) == said.split("Plan ")[1].split()[0]
    assert digests(database) == before
    assert named_like(database, "_") == []
    assert not (program.folder / "state" / "recover").exists()


@pytest.mark.slow
def test_without_a_terminal_or_with_another_hash_nothing_is_done(servers: Servers, program: Program) -> None:
    database = prepared(servers, program)
    mute = program.run("recover", "--quiet")
    assert mute.code == 4
    assert planned(program) in mute.err
    assert program.run("recover", "--yes", "000000000000").code == 4
    assert named_like(database, "_") == []
    assert not (program.folder / "service.log").exists()


@pytest.mark.slow
@pytest.mark.parametrize("right", [True, False])
def test_at_a_terminal_the_databases_name_is_typed(servers: Servers, program: Program, right: bool) -> None:
    database = prepared(servers, program)
    mine, its = pty.openpty()
    started = subprocess.Popen(
        program.argv("recover"), cwd=program.folder, env=program.environment, stdin=its,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(its)
    os.write(mine, f"{database.database if right else 'yes'}\n".encode())
    _, err = started.communicate(timeout=120)
    os.close(mine)
    assert "(server " in err and database.database in err
    assert started.returncode == (0 if right else 4), err
    assert bool(named_like(database, "_before_")) is right


@pytest.mark.slow
def test_e3_the_wrong_host_is_refused_unless_it_is_meant(servers: Servers, program: Program) -> None:
    database = prepared(servers, program)
    other = servers.database(18, database.database)
    (program.folder / "db.password").unlink(missing_ok=True)
    stop = (program.folder / "pgproof.toml").read_text().split("[sources.db.recover]")[1].split("[stores")[0]
    program.configure("[sources.db.recover]" + stop, db=other)
    refused = program.run("recover", "--dry-run")
    assert refused.code == 4
    assert "the wrong host" in refused.err
    assert program.run("recover", "--dry-run", "--new-server").code == 0


@pytest.mark.slow
def test_e9_a_damaged_newest_backup_falls_back_to_the_one_before(servers: Servers, program: Program) -> None:
    database = prepared(servers, program)
    good = digests(database)
    run(database, "INSERT INTO users VALUES (1000, 'later')")
    next_second()
    newest = program.ok("backup", "--json", "--quiet").json["id"]
    program.ok("prove", "--quiet")
    part = program.store / newest / "db.sql.gz"
    part.chmod(0o600)
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    said = program.ok("recover", "--dry-run", "--json").json
    assert said["backup"] != newest
    assert any(newest in one and "cannot be used" in one for one in said["reasons"])
    recovered(program)
    assert digests(database) == good


@pytest.mark.slow
def test_a_service_that_is_not_well_is_said_with_exit_7_and_can_be_undone(servers: Servers, program: Program) -> None:
    database = prepared(servers, program)
    wrong = digests(database)
    config = program.folder / "pgproof.toml"
    config.write_text(config.read_text().replace('within = "2s"', 'within = "1s"\nhealth = "SELECT false"'))
    ran = program.run("recover", "--yes", planned(program))
    assert ran.code == 7
    assert "the answer to its health question is false" in ran.err
    assert "--undo" in ran.err
    config.write_text(config.read_text().replace("SELECT false", "SELECT true"))
    plan = json.loads((program.folder / "state/recover/db.json").read_text())["plan"]
    program.ok("recover", "--undo", "--yes", plan)
    assert digests(database) == wrong


@pytest.mark.slow
def test_a_service_that_cannot_be_stopped_leaves_the_old_state_running(servers: Servers, program: Program) -> None:
    database = prepared(servers, program)
    before = digests(database)
    config = program.folder / "pgproof.toml"
    whole = config.read_text()
    config.write_text(re.sub(r"(?m)^stop = .*$", 'stop = ["false"]', whole))
    ran = program.run("recover", "--yes", planned(program))
    assert ran.code == 1
    assert "--continue" in ran.err
    assert service(program) == "runs"
    assert digests(database) == before
    told = program.run("list")
    assert "a recovery of db is under way or was cut off" in told.err
    next_second()  # of whose plan the names are others
    assert program.run("recover", "--yes", planned(program)).code == 4
    config.write_text(whole)
    program.ok("recover", "--back")
    assert named_like(database, "_") == []
    assert "under way" not in program.run("list").err


@pytest.mark.slow
def test_sessions_are_put_out_and_cannot_come_back_in_between(servers: Servers, program: Program) -> None:
    database = prepared(servers, program)
    run(database, "DELETE FROM orders")
    with connect(database) as session:
        assert session.value("SELECT 1") == 1
        recovered(program)
    assert value(database, "SELECT count(*) FROM public.orders") == 300
    assert value(database, "SELECT datallowconn FROM pg_database WHERE datname = current_database()") is True


@pytest.mark.slow
def test_two_at_once_exclude_each_other_also_from_two_machines(servers: Servers, program: Program) -> None:
    database = prepared(servers, program)
    config = program.folder / "pgproof.toml"
    begun, refused = program.folder / "begun", program.folder / "refused"
    stop = f"""stop = 'sh -c "touch {begun}; until [ -e {refused} ]; do sleep 0.05; done"'"""
    config.write_text(re.sub(r"(?m)^stop = .*$", stop, config.read_text()))
    digits = planned(program)
    first = subprocess.Popen(
        program.argv("recover", "--yes", digits, "--quiet"), cwd=program.folder, env=program.environment
    )
    until(begun.exists)
    here = program.run("recover", "--yes", digits)
    elsewhere = replace(program, env={"PGPROOF_STATE": str(program.folder / "another")}).run("recover", "--yes", digits)
    refused.touch()
    assert first.wait(120) == 0
    assert here.code == 5
    assert "on this machine" in here.err
    assert elsewhere.code == 5
    assert "from this machine or another" in elsewhere.err
    assert len(named_like(database, "_before_")) == 1


@pytest.mark.slow
def test_forgetting_drops_the_old_one_but_not_while_the_new_one_fails_its_checks(
    servers: Servers, program: Program
) -> None:
    database = prepared(servers, program)
    config = program.folder / "pgproof.toml"
    done = recovered(program)
    config.write_text(config.read_text().replace("[sources.db]", '[sources.db]\nchecks = ["SELECT false"]'))
    refused = program.run("recover", "--forget", "--yes", str(done["plan"]))
    assert refused.code == 4
    assert "may be the only good state" in refused.err
    config.write_text(config.read_text().replace("SELECT false", "SELECT true"))
    program.ok("recover", "--forget", "--yes", str(done["plan"]))
    assert named_like(database, "_") == []


@pytest.mark.slow
def test_a_restored_database_that_fails_its_checks_is_not_switched(servers: Servers, program: Program) -> None:
    database = prepared(servers, program)
    before = digests(database)
    config = program.folder / "pgproof.toml"
    config.write_text(
        config.read_text().replace("[sources.db]", '[sources.db]\nchecks = ["SELECT count(*) = 1 FROM users"]')
    )
    ran = program.run("recover", "--yes", planned(program))
    assert ran.code == 4
    assert "fails its checks" in ran.err
    assert digests(database) == before
    assert named_like(database, "_") == []
    assert not (program.folder / "service.log").exists()


@pytest.mark.slow
def test_the_incident_report_is_kept_in_the_store_and_is_no_backup(servers: Servers, program: Program) -> None:
    prepared(servers, program)
    listed = program.ok("list", "--json").json
    recovered(program)
    [markdown] = list(program.store.glob("db/incidents/*.md"))
    [html] = list(program.store.glob("db/incidents/*.html"))
    text = markdown.read_text()
    for head in ("Data lost", "Timeline", "Against the targets", "What remains to do"):
        assert f"## {head}" in text
        assert f"<h2>{head}</h2>" in html.read_text()
    assert "drill of " in text
    assert text.count("- [ ]") == 6
    password = program.folder / "db.password"
    assert not password.exists() or password.read_text() not in text
    assert program.ok("list", "--json").json == listed
    program.ok("verify", "--quiet")
    program.ok("prune", "--apply", "--quiet")
    assert markdown.exists()
    assert list(Path(program.folder / "state/recover/db/incidents").glob("*.md"))


@pytest.mark.slow
def test_a_drill_does_all_of_it_and_touches_nothing_but_copies(servers: Servers, program: Program) -> None:
    database = prepared(servers, program)
    before = digests(database)
    done = program.ok("recover", "--drill", "--json").json
    assert done["in_time"] is True
    assert 0 < done["seconds"] < 120
    assert digests(database) == before
    assert named_like(database, "_") == []
    assert not (program.folder / "service.log").exists()
    assert not (program.folder / "state/recover/db.json").exists()
    assert "recovery-too-slow" not in program.run("status", "--json").out


@pytest.mark.slow
def test_a_drill_that_takes_longer_than_the_target_is_a_finding(servers: Servers, program: Program) -> None:
    prepared(servers, program)
    config = program.folder / "pgproof.toml"
    config.write_text(config.read_text().replace('within = "2s"', 'within = "2s"\ntarget = "1s"'))
    assert program.ok("recover", "--drill", "--json").json["in_time"] is False
    found = program.run("status", "--json").json["findings"]
    assert [one["level"] for one in found if one["code"] == "recovery-too-slow"] == ["warning"]


@pytest.mark.slow
def test_the_kit_has_addresses_and_commands_and_no_secret(servers: Servers, program: Program) -> None:
    secret = program.folder / "passphrase"
    secret.touch(0o600)
    secret.write_text("canary-of-the-passphrase")
    more = f'[encryption]\nmethod = "gpg"\npassphrase = "file:{secret}"\n'
    prepared(servers, program, more)
    said = program.ok("kit").out
    assert str(program.store) in said
    assert f"file:{secret}" in said
    assert "pgproof recover db --dry-run" in said
    assert "gpg --decrypt db.sql.gz.gpg | gunzip -c | psql -X" in said
    assert "canary" not in said
    assert (program.folder / "db.password").read_text() not in said


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ('stop = "systemctl stop keycloak"', "start is missing"),
        ('stop = ""\nstart = "x"', "stop is empty"),
        ('stop = "it\'s"\nstart = "x"', "quotation mark"),
        ('stop = "x"\nstart = "y"\nwithin = "5 minutes"', "within is no span of time"),
        ('stopp = "x"', "stopp is not a setting"),
    ],
)
def test_a_configuration_of_services_that_cannot_be_is_refused(program: Program, lines: str, word: str) -> None:
    program.configure(f"[sources.db.recover]\n{lines}\n", db=Address("postgresql://nobody@127.0.0.1:1/db"))
    ran = program.run("recover", "--dry-run")
    assert ran.code == 2
    assert f"sources.db.recover.{word}" in ran.err or word in ran.err


@pytest.mark.slow
def test_e9_a_backup_damaged_in_one_store_is_read_from_its_copy(servers: Servers, program: Program) -> None:
    database = prepared(servers, program, f'[stores.other]\nurl = "{program.folder / "copies"}"\n')
    good = digests(database)
    [part] = program.store.glob("db/*/db.sql.gz")
    part.chmod(0o600)
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    run(database, "DELETE FROM orders")
    said = program.ok("recover", "--dry-run", "--json").json
    assert said["store"] == "other"
    assert any("in local cannot be used" in one for one in said["reasons"])
    recovered(program)
    assert digests(database) == good


@pytest.mark.slow
def test_an_earlier_moment_takes_the_backup_before_it(servers: Servers, program: Program) -> None:
    database = prepared(servers, program)
    good = digests(database)
    first = program.ok("list", "--json").json[0]
    next_second()
    run(database, "DELETE FROM orders")
    program.ok("backup", "--quiet")
    program.ok("prove", "--quiet")
    moment = str(first["ended"])
    assert planned(program) != planned(program, "--at", moment)
    recovered(program, "--at", moment)
    assert digests(database) == good
    assert program.run("recover", "--dry-run", "--at", "2001-01-01").code == 4


@pytest.mark.slow
def test_an_unproven_backup_is_taken_only_when_it_is_named(servers: Servers, program: Program) -> None:
    database = prepared(servers, program)
    next_second()
    run(database, "DELETE FROM orders")
    newest = program.ok("backup", "--json", "--quiet").json["id"]
    said = program.ok("recover", "--dry-run", "--json").json
    assert said["backup"] != newest
    assert any(newest in one and "not proven" in one for one in said["reasons"])
    recovered(program, "--backup", newest)
    assert value(database, "SELECT count(*) FROM public.orders") == 0


@pytest.mark.slow
def test_e18_a_store_that_goes_in_the_middle_leaves_the_old_database(
    servers: Servers, program: Program, rclone_server: Endpoint, tmp_path: Path
) -> None:
    """While the rows flow, which is long after the plan was agreed to; and once it is back, it goes as planned."""
    filler = "CREATE TABLE filler AS SELECT n, md5(n::text) AS t FROM generate_series(1, 300000) n"
    database = prepared(servers, program, "", filler)
    good = digests(database)
    with Proxy(int(rclone_server.url.rpartition(":")[2])) as proxy:
        config = (program.folder / "pgproof.toml").read_text()
        program.env |= ENVIRONMENT
        lines = rclone_server.table("s3", f"gone/{tmp_path.name}", url=f"http://127.0.0.1:{proxy.port}")
        (program.folder / "pgproof.toml").write_text(config + lines)
        program.ok("copy", "--quiet")
        run(database, "DELETE FROM orders")
        digits, before = planned(program, "--store", "s3"), proxy.passed["down"]
        read = program.store.joinpath(*_newest(program)).stat().st_size
        threading.Thread(target=_cut, args=(proxy, before + int(2.1 * read)), daemon=True).start()
        ran = program.run("recover", "--store", "s3", "--yes", digits, "--quiet")
        assert ran.code == 6 and proxy.refuse, ran
        assert value(database, "SELECT count(*) FROM public.orders") == 0 and service(program) == "runs"
        assert named_like(database, "_") == []
        proxy.plan(None)
        proxy.refuse = False
        recovered(program, "--store", "s3")
    assert digests(database) == good


def _cut(proxy: Proxy, at: int) -> None:
    """Twice all of it has been read and compared with its hash; now it is read to be restored."""
    while proxy.passed["down"] < at:
        time.sleep(0.001)
    proxy.refuse = True
    proxy.plan(Fault("close", 0, times=10**6))


def _newest(program: Program) -> tuple[str, ...]:
    made = program.ok("show", "latest", "--json").json
    return (*made["id"].split("/"), made["parts"][-1]["name"])
