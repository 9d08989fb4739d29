"""The command line as its users meet it: people, scripts and monitoring (docs/design.md, section 5)."""

import errno
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgproof import __version__
from pgproof.postgres.server import Address
from tests.conftest import Program, Servers
from tests.kit import holding, rows, run

COMMANDS = [
    "init",
    "doctor",
    "role",
    "backup",
    "list",
    "show",
    "verify",
    "prove",
    "copy",
    "keep",
    "restore",
    "recover",
    "review",
    "kit",
    "prune",
    "status",
    "cost",
    "metrics",
    "alert",
    "demo",
    "schedule",
    "run",
    "role",
    "audit",
]
LISTED = {"id", "source", "kind", "began", "ended", "size", "state", "stores", "states", "kept"}
FINDING = {"code", "level", "source", "text", "hint"}


@pytest.fixture(scope="module")
def backed(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A program with one source and one backup that is not proven."""
    program = Program(tmp_path_factory.mktemp("cli"))
    address = servers.database(15)
    run(address, "CREATE TABLE orders (id int)", "INSERT INTO orders SELECT generate_series(1, 200)")
    program.configure(db=address)
    program.ok("backup", "--quiet")
    return program


@pytest.fixture(scope="module")
def proven(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Program:
    program = Program(tmp_path_factory.mktemp("proven"))
    address = servers.database(15)
    run(address, "CREATE TABLE orders (id int)", "INSERT INTO orders SELECT generate_series(1, 200)")
    program.configure(db=address)
    program.ok("backup", "--quiet")
    program.ok("prove", "--quiet")
    return program


def on_a_terminal(program: Program, *words: str, **env: str) -> str:
    """What the program writes where standard output is a terminal."""
    mine, its = pty.openpty()
    started = subprocess.Popen(
        program.argv(*words),
        cwd=program.folder,
        env=program.environment | {"TERM": "xterm"} | env,
        stdout=its,
        stderr=subprocess.DEVNULL,
    )
    os.close(its)
    with os.fdopen(mine, "rb", buffering=0) as terminal:
        said = b"".join(until_hung_up(terminal.fileno()))
    assert started.wait(60) is not None
    return said.decode()


def until_hung_up(fd: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(fd, 65536)
        except OSError as error:
            assert error.errno == errno.EIO
            return
        if not data:
            return
        yield data


def test_help_and_version(program: Program) -> None:
    overview = program.ok("--help").out
    assert program.ok().out == overview
    assert re.findall(r"^  ([a-z]+)  ", overview, re.MULTILINE) and all(f"\n  {name} " in overview for name in COMMANDS)
    listed = set(re.findall(r"^  ([a-z]+) ", overview.partition("Commands:")[2], re.MULTILINE))
    assert listed == set(COMMANDS)
    assert program.ok("--version").out == f"pgproof {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_the_common_options(program: Program, command: str) -> None:
    said = program.ok(command, "--help")
    assert said.out.startswith("Usage: ")
    assert not said.err
    assert said.out == program.ok(command, "-h").out
    lacking = {
        "demo": ["--config", "--json", "--quiet"],
        "metrics": ["--json", "--quiet"],
        "run": ["--json", "--quiet"],
    }
    assert [word for word in ("--config", "--json", "--quiet") if word not in said.out] == lacking.get(command, [])


def test_the_design_lists_the_commands_that_there_are() -> None:
    design = (Path(__file__).parent.parent / "docs" / "design.md").read_text()
    assert set(re.findall(r"^pgproof ([a-z]+) ", design, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("list", "--wrong"),
        ("show",),
        ("show", "one", "two"),
        ("keep",),
        ("list", "nosuch"),
        ("backup", "nosuch"),
        ("prune", "nosuch"),
        ("show", "nosuch"),
        ("status", "--wrong"),
        ("verify", "--store", "nosuch"),
        ("cost", "--provider", "nosuch"),
        ("backup", "--config", "nowhere.toml"),
        ("restore", "latest", "--jobs", "none"),
        ("restore", "latest", "--jobs", "0"),
        ("demo", "--users", "1"),
    ],
)
def test_wrong_words_end_with_2_and_a_sentence(backed: Program, words: tuple[str, ...]) -> None:
    ran = backed.run(*words)
    assert ran.code == 2, ran.err
    assert ran.out == ""
    first, second = ran.err.splitlines()
    assert first.startswith("pgproof: ")
    assert second.startswith("  hint: ")
    if words[0] != "demo":
        told = backed.run(*words, "--json")
        assert told.code == 2
        assert told.json.keys() == {"error", "hint", "exit_code"}
        assert (f"pgproof: {told.json['error']}", told.json["exit_code"]) == (first, 2)


def test_what_is_not_there_ends_with_2(backed: Program) -> None:
    for words in (("show", "db/19990101T000000Z-logical"), ("keep", "db/1999"), ("restore", "nosuch")):
        ran = backed.run(*words, "--json")
        assert ran.code == 2, ran.err
        assert ran.json["exit_code"] == 2
        assert "pgproof list" in ran.json["hint"]


def test_list_and_show_in_json(backed: Program) -> None:
    (row,) = backed.ok("list", "--json").json
    assert row.keys() == LISTED
    assert (row["state"], row["stores"], row["kept"]) == ("stored", ["local"], False)
    shown = backed.ok("show", "latest", "--json").json
    assert {"id", "state", "kept", "records", "parts", "evidence", "server", "database", "format"} <= shown.keys()
    assert shown["id"] == row["id"]
    assert shown["records"] == []
    assert backed.ok("list", "db", "--json").json == [row]
    assert backed.ok("show", "db", "--json").json == shown


def test_keep_and_prune_in_json(backed: Program) -> None:
    (row,) = backed.ok("list", "--json").json
    assert backed.ok("keep", "latest", "--json").json == {"id": row["id"], "kept": True}
    assert backed.ok("list", "--json").json[0]["kept"] is True
    assert backed.ok("keep", "latest", "--release", "--json").json == {"id": row["id"], "kept": False}
    for words in (("prune",), ("prune", "--apply"), ("prune", "db")):
        (pruned,) = backed.ok(*words, "--json").json
        assert pruned.keys() == {"store", "source", "verdicts", "paused", "orphans", "deleted", "withheld"}
        assert pruned["source"] == "db"
        (verdict,) = pruned["verdicts"]
        assert (verdict["id"], verdict["keep"]) == (row["id"], True)
        assert verdict["reasons"]
    assert backed.ok("list", "--json").json == [row]


def test_doctor_in_json(backed: Program) -> None:
    told = backed.ok("doctor", "--json").json
    assert told.keys() == {"level", "findings"}
    assert all(finding.keys() == FINDING for finding in told["findings"])
    assert {"server", "rights", "pg_dump", "drill"} <= {finding["code"] for finding in told["findings"]}


def test_doctor_ends_with_1_on_a_critical_finding(make_program, servers: Servers) -> None:
    program = make_program("doctor")
    program.configure(db=servers(15).address.to("no such database"))
    ran = program.run("doctor", "--json")
    assert ran.code == 1
    assert ran.json["level"] == "critical"


def fresh(program: Program, like: Program) -> Program:
    """The same source, without the failed runs that other tests left in the journal."""
    text = like.folder.joinpath("pgproof.toml").read_text()
    program.folder.joinpath("pgproof.toml").write_text(text.replace(str(like.store), str(program.store)))
    program.ok("backup")
    return program


@pytest.mark.slow
def test_status_follows_the_monitoring_convention(make_program, backed: Program, proven: Program) -> None:
    backed = fresh(make_program("never"), backed)
    fine = proven.run("status", "--json")
    assert (fine.code, fine.json["level"]) == (0, "ok"), fine.out
    assert proven.run("status").code == 0
    never = backed.run("status", "--json")
    assert (never.code, never.json["level"]) == (1, "warning"), never.out
    assert all(finding.keys() == FINDING for finding in never.json["findings"] + fine.json["findings"])
    assert proven.run("status", "--quiet").out == ""
    empty = make_program("empty")
    empty.folder.joinpath("pgproof.toml").write_text(
        proven.folder.joinpath("pgproof.toml").read_text().replace(str(proven.store), str(empty.store))
    )
    empty.store.mkdir()
    unknown = make_program("unknown").run("status", "--json")
    assert (unknown.code, unknown.json["level"]) == (3, "unknown")
    assert unknown.json["findings"][0].keys() == FINDING
    assert make_program("nothing").run("status").out.startswith("UNKNOWN: there is no configuration")


@pytest.mark.slow
def test_a_fault_of_our_own_is_no_warning_to_whoever_monitors(make_program, proven: Program) -> None:
    """Exit 1 would be read as one. A name that no file system takes stands for what nobody thought of."""
    broken = make_program("broken")
    shutil.copy(proven.folder / "pgproof.toml", broken.folder)
    broken.env["PGPROOF_STATE"] = f"/{'x' * 300}"
    said = broken.run("status", "--json")
    assert (said.code, said.json["level"]) == (3, "unknown") and "Traceback" not in said.err, said


@pytest.mark.slow
def test_verify_all_reads_every_backup_of_that_source_and_of_no_other(make_program, servers: Servers) -> None:
    """Found by the soak: the service's verification read the latest alone, and damage to an older one stayed unseen."""
    program = make_program("all")
    program.configure(db=servers.database(17), db2=servers.database(17))
    for _ in range(2):
        program.ok("backup", "--quiet")
    older, newer = sorted(one["id"] for one in program.ok("list", "db", "--json").json)
    assert [one["id"] for one in program.ok("verify", "db", "--all", "--json").json] == [older, newer]
    assert program.ok("verify", "db", "--json").json["id"] == newer
    assert program.run("verify", "nosuch", "--all").code == 2


def test_status_is_critical_when_a_backup_is_damaged(make_program, servers: Servers) -> None:
    program = make_program("damaged")
    address = servers.database(15)
    program.configure(db=address)
    made = program.ok("backup", "--json").json
    part = program.store / made["id"] / "db.sql.gz"
    data = bytearray(part.read_bytes())
    data[100] ^= 1
    part.write_bytes(data)
    assert program.run("verify", "--quiet").code == 3
    ran = program.run("status", "--json")
    assert (ran.code, ran.json["level"]) == (2, "critical")


@pytest.mark.slow
def test_every_document_stands_alone_on_standard_output(proven: Program) -> None:
    for words in (
        ("verify",),
        ("verify", "latest"),
        ("prove", "latest"),
        ("status",),
        ("restore", "latest", "--dry-run"),
    ):
        ran = proven.ok(*words, "--json")
        json.loads(ran.out)
        assert ran.err == "", words
    verified = proven.ok("verify", "latest", "--json").json
    assert {"id", "ok", "scope", "parts", "findings"} <= verified.keys()
    proof = proven.ok("prove", "--json").json
    assert {"id", "proven", "server_version", "tables", "checks", "findings", "seconds"} <= proof.keys()
    assert proof["tables"][0].keys() == {"name", "rows", "same"}


@pytest.mark.slow
def test_quiet_is_quiet(proven: Program) -> None:
    for words in (("verify",), ("prove",), ("keep", "latest"), ("keep", "latest", "--release"), ("prune",)):
        ran = proven.ok(*words, "--quiet")
        assert (ran.out, ran.err) == ("", ""), words


@pytest.mark.slow
def test_colour_is_for_terminals_that_want_it(proven: Program) -> None:
    assert "\033" not in proven.ok("list").out
    assert "\033[32mproven\033[0m" in on_a_terminal(proven, "list")
    assert "\033" not in on_a_terminal(proven, "list", NO_COLOR="1")
    assert "\033" not in on_a_terminal(proven, "list", TERM="dumb")
    assert "\033" not in on_a_terminal(proven, "status", NO_COLOR="1")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [("list",), ("show", "latest"), ("list", "--json"), ("--help",), ("status",), ("prune",)]
)
def test_a_reader_that_has_gone_is_no_fault(proven: Program, words: tuple[str, ...]) -> None:
    said = subprocess.run(
        ["bash", "-o", "pipefail", "-c", '"$@" | head -1', "bash", *proven.argv(*words)],
        cwd=proven.folder,
        env=proven.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.count("\n") == 1
    reading, writing = os.pipe()
    os.close(reading)  # it has gone before the first byte, for certain
    with os.fdopen(writing, "wb") as gone:
        ran = subprocess.run(
            proven.argv(*words),
            cwd=proven.folder,
            env=proven.environment,
            stdout=gone,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.slow
def test_a_reader_that_has_gone_does_not_end_the_work(make_program, servers: Servers) -> None:
    program = make_program("several")
    program.configure(one=servers.database(15), two=servers.database(15))
    program.env["PYTHONUNBUFFERED"] = "1"  # each line meets the broken pipe at once, as in containers
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        subprocess.run(
            program.argv("backup"), cwd=program.folder, env=program.environment, stdout=gone, stderr=gone, check=True
        )
    assert {row["source"] for row in program.ok("list", "--json").json} == {"one", "two"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_with_a_sentence(make_program, servers: Servers, number: signal.Signals) -> None:
    program = make_program(f"interrupted{number}")
    address = servers.database(15)
    run(address, "CREATE TABLE held (id int)")
    program.configure(db=address)
    with holding(address, "LOCK TABLE public.held"):
        started = subprocess.Popen(
            program.argv("backup", "--json"),
            cwd=program.folder,
            env=program.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for_lock(address)
        started.send_signal(number)
        out, err = started.communicate(timeout=60)
    assert started.returncode == 130
    assert err.startswith("pgproof: interrupted")
    assert json.loads(out)["exit_code"] == 130
    assert program.ok("list", "--json").json == []


def wait_for_lock(address: Address) -> None:
    deadline = time.monotonic() + 30
    while not rows(address, "SELECT FROM pg_catalog.pg_locks WHERE NOT granted"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_word_that_is_nearly_right_is_answered_with_what_was_meant(proven: Program) -> None:
    for word, meant in (("dbb", "db"), ("lastest", "latest")):
        said = proven.run("show", word)
        assert said.code == 2 and f"did you mean {meant}?" in said.err, said
    kind = proven.run("backup", "--kind", "volumes")
    assert kind.code == 2 and "Invalid value for '--kind': 'volumes' is not one of" in kind.err, kind


@pytest.mark.slow
def test_a_kind_is_named_with_its_source_as_for_recover(proven: Program) -> None:
    known = proven.run("backup", "db:volume")
    assert known.code == 2 and "db" in known.err and "docker" in known.err, known
    assert "no source is called 'db:volumes'" in proven.run("backup", "db:volumes").err
    assert "no source is called 'db:volume'" in proven.run("prune", "db:volume").err, "a policy is for all kinds"
