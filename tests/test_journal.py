"""The journal: every run is told of, whatever becomes of it, and losing the journal loses no backup."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgproof.daemon import remembered
from pgproof.errors import Unreachable, UsageError
from pgproof.monitor import audit, sights
from pgproof.monitor.journal import Journal, _BrokenError, _transaction
from pgproof.postgres.server import Address
from pgproof.repository import Repository
from pgproof.run import Run
from pgproof.stores.directory import DirectoryStore
from pgproof.stream import process
from tests.conftest import Program, Servers, disk
from tests.kit import holding, run
from tests.test_cli import wait_for_lock

NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from pgproof.monitor.journal import Journal, _BrokenError, _transaction
from pgproof.run import Run
from dataclasses import replace
journal = Journal(Path(sys.argv[1]))
for number in range(20):
    one = Run(f"{sys.argv[2]}{number:015x}", "backup", sys.argv[2], datetime.now(UTC))
    journal.begin(one)
    journal.cut_off()
    journal.remember(f"{sys.argv[2]} {number}", "{}")
    journal.finish(replace(one, ended=datetime.now(UTC), outcome="done", exit_code=0))
"""


def some(number: int = 0, **words: object) -> Run:
    return replace(Run(f"{number:016x}", "backup", "db", NOW + timedelta(hours=number)), **words)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "state" / "journal.sqlite", lambda: NOW)


# -- rows ---------------------------------------------------------------------------------------------


def test_a_run_is_there_from_its_begin_to_its_end(journal: Journal) -> None:
    began = some(asked="backup db", store="local")
    assert journal.runs() == journal.running() == [] and not journal.path.exists()
    journal.begin(began)
    assert journal.runs() == journal.running() == [began]
    ended = replace(
        began, ended=NOW + timedelta(minutes=3), outcome="failed", exit_code=6, text="no", hint="do", rows=7
    )
    journal.finish(ended)
    assert journal.runs() == [ended] and journal.running() == []
    assert journal.path.stat().st_mode & 0o777 == 0o600 and journal.path.parent.stat().st_mode & 0o777 == 0o700
    assert not list((journal.path.parent / "running").iterdir())


def test_the_newest_come_first_of_a_source_and_a_task(journal: Journal) -> None:
    tasks = ["backup", "prove", "verify"]
    made = [some(number, source=f"db{number % 2}", task=tasks[number % 3]) for number in range(12)]
    made[3] = replace(made[3], began=made[3].began + timedelta(microseconds=1))
    for one in random.Random(1).sample(made, 12):
        journal.begin(one)
    assert journal.runs() == made[::-1]
    assert journal.runs("db1") == made[::-2] and journal.runs("db1", limit=2) == [made[11], made[9]]
    assert journal.runs("db0", "prove") == [made[10], made[4]]
    assert journal.runs("elsewhere") == []


def test_an_end_without_its_begin_is_kept(journal: Journal) -> None:
    journal.finish(some(outcome="refused", exit_code=4))
    assert [one.outcome for one in journal.runs()] == ["refused"]


def test_rows_older_than_400_days_go_but_not_at_some_starts_under_a_wrong_clock(journal: Journal) -> None:
    for number, days in enumerate((403, 402, 399)):
        journal.finish(some(number, began=NOW - timedelta(days=days), outcome="cut off"))
    for number in range(3, 24):
        journal.finish(some(number, began=NOW - timedelta(days=1), outcome="done"))
    for number in range(24, 27):
        journal.begin(some(number, began=NOW + timedelta(days=3650)))
    assert len(journal.runs()) == 27 - 2, "none but what is old by the time of those that came before"
    before = journal.counts()
    assert before == {("backup", "db", "cut off"): 3, ("backup", "db", "done"): 21}
    journal.begin(some(30, began=NOW + timedelta(days=2)))
    assert journal.counts() == before, "what has gone is counted still"


def test_memories_are_what_was_remembered_last(journal: Journal) -> None:
    assert journal.memories() == {}
    journal.remember("backup db", '{"last":1}')
    journal.remember("prove db", "{}")
    journal.remember("backup db", '{"last":2}')
    assert Journal(journal.path).memories() == {"backup db": '{"last":2}', "prove db": "{}"}


def test_text_that_is_not_utf8_and_numbers_beyond_64_bits_damage_nothing(journal: Journal) -> None:
    journal.begin(some(text="\udcff", size=1 << 70))
    assert journal.runs()[0].text == "\\udcff" and not journal.findings


def test_several_processes_write_at_once(journal: Journal) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(journal.path), name], stderr=subprocess.PIPE)
        for name in "abcd"
    ]
    assert [one.communicate(timeout=120)[1] for one in started] == [b""] * 4
    assert len(journal.runs()) == 80 and {one.outcome for one in journal.runs()} == {"done"}
    assert len(journal.memories()) == 80


# -- cut off ------------------------------------------------------------------------------------------


def test_a_run_under_way_is_not_cut_off_and_one_of_a_dead_process_is(journal: Journal) -> None:
    journal.begin(some(1))
    code = WRITER.replace("journal.cut_off()", "import os; os.kill(os.getpid(), 9)")
    subprocess.run([sys.executable, "-c", code, str(journal.path), "a"], check=False)
    assert [one.source for one in journal.running()] == ["db", "a"]
    found = journal.cut_off(process.is_gone_by)
    assert [(one.source, one.outcome, one.ended) for one in found] == [("a", "cut off", None)]
    assert journal.running() == [some(1)] and journal.cut_off() == []
    assert [one.name for one in (journal.path.parent / "running").iterdir()] == [some(1).id]


def test_a_run_of_another_boot_is_cut_off(journal: Journal) -> None:
    """What an unclean boot leaves: the row and the file, and nobody who holds its lock; the tag is of another boot."""
    journal.begin(some(1))
    with sqlite3.connect(journal.path) as db:
        db.execute("UPDATE runs SET process = '0123456789abcdef.4711.99'")
    db.close()
    for held in journal._held.values():
        os.close(held)
    assert [one.outcome for one in Journal(journal.path).cut_off(process.is_gone_by)] == ["cut off"]


def test_where_no_lock_tells_the_process_is_asked_for(journal: Journal) -> None:
    journal.begin(some(1))
    shutil.rmtree(journal.path.parent / "running")
    tags: list[str] = []

    def still_there(tag: str) -> bool:
        tags.append(tag)
        return False

    assert Journal(journal.path).cut_off(still_there) == []
    assert tags == [process.identity().tag]
    assert [one.outcome for one in Journal(journal.path).cut_off(lambda _: True)] == ["cut off"]


# -- files that cannot be used ------------------------------------------------------------------------


def test_b27_a_journal_of_a_newer_pgproof_is_refused_and_left_alone(journal: Journal) -> None:
    journal.begin(some())
    with sqlite3.connect(journal.path) as db:
        db.execute("PRAGMA user_version = 2")
    db.close()
    before = journal.path.read_bytes()
    for ask in (journal.runs, journal.memories, lambda: journal.begin(some(1)), lambda: journal.remember("a", "b")):
        with pytest.raises(UsageError, match="written by a newer pgproof"):
            ask()
    assert journal.path.read_bytes() == before and not journal.findings


def test_b26_a_damaged_journal_is_moved_aside_and_a_new_one_begun(journal: Journal) -> None:
    for number in range(2):
        journal.path.parent.mkdir(exist_ok=True)
        journal.path.write_bytes(b"not a database " * 500)
        journal.begin(some(number))
        assert journal.runs() == [some(number)]
    kept = sorted(one.name for one in journal.path.parent.glob("*damaged*"))
    assert kept == ["journal.sqlite.damaged-20261123T020000Z", "journal.sqlite.damaged-20261123T020000Z-1"]
    assert [one.code for one in journal.findings] == ["journal-damaged"] * 2
    assert kept[0] in journal.findings[0].text and journal.path.stat().st_mode & 0o777 == 0o600


def test_who_sees_the_damage_late_does_not_move_the_new_journal(journal: Journal) -> None:
    journal.path.parent.mkdir()
    journal.path.write_bytes(b"not a database " * 500)
    with pytest.raises(_BrokenError) as seen:
        _transaction(journal.path, lambda _: None, "BEGIN")
    journal.begin(some())
    Journal(journal.path)._move_aside(seen.value)
    assert journal.runs() == [some()] and len(list(journal.path.parent.glob("*damaged*"))) == 1
    journal.path.unlink()  # as in the moment between another's move and its new one
    Journal(journal.path)._move_aside(seen.value)
    assert len(list(journal.path.parent.glob("*damaged*"))) == 1


@pytest.mark.slow
def test_of_many_that_see_the_damage_one_moves_it(journal: Journal) -> None:
    journal.path.parent.mkdir()
    for _ in range(5):
        journal.path.write_bytes(b"not a database " * 500)
        argv = [sys.executable, "-c", WRITER, str(journal.path)]
        started = [subprocess.Popen([*argv, name], stderr=subprocess.PIPE) for name in "abc"]
        assert [one.communicate(timeout=120)[1] for one in started] == [b""] * 3
        assert len(journal.runs()) == 60
    assert len(list(journal.path.parent.glob("*damaged*"))) == 5


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    journal = Journal(tmp_path_factory.mktemp("written") / "journal.sqlite")
    for number in range(40):
        journal.begin(some(number, text="a sentence " * 20))
        journal.remember(f"backup db{number}", '{"last":"2026-11-23T02:00:00Z"}')
        if number % 4:
            journal.finish(some(number, ended=NOW + timedelta(days=3), outcome="done", exit_code=0))
    return journal.path.read_bytes()


def flipped(written: bytes, places: Iterator[int], folder: Path) -> tuple[int, int]:
    """Use a journal with each byte changed in turn; how often it was moved aside, and how often refused."""
    moved = refused = 0
    for place in places:
        bad = bytearray(written)
        bad[place] ^= random.Random(place).randrange(1, 256)
        journal = Journal(folder / "journal.sqlite")
        journal.path.write_bytes(bad)
        try:
            assert isinstance(journal.runs(), list) and isinstance(journal.memories(), dict)
            journal.cut_off(lambda _: True)
            journal.remember("a", "b")
            journal.begin(some(99))
            journal.finish(some(99, outcome="done"))
            assert journal.runs(limit=1)[0].outcome == "done" or not journal.findings
        except (UsageError, Unreachable):
            refused += 1
        moved += bool(journal.findings)
        for one in folder.glob("journal.sqlite*"):
            one.unlink()
    return moved, refused


def test_b26_a_changed_byte_never_ends_in_anything_but_what_is_promised(written: bytes, tmp_path: Path) -> None:
    header = set(range(0, 100, 3)) | set(range(100, 1000, 97))
    moved, refused = flipped(written, iter(sorted(header | set(range(0, len(written), 1009)))), tmp_path)
    assert moved and refused


@pytest.mark.slow
def test_b26_many_changed_bytes(written: bytes, tmp_path: Path) -> None:
    moved, refused = flipped(written, iter([*range(1200), *range(1200, len(written), 53)]), tmp_path)
    assert moved > 30 and refused


def test_a_cut_journal_never_ends_in_anything_but_what_is_promised(written: bytes, tmp_path: Path) -> None:
    for length in range(0, len(written), 2011):
        journal = Journal(tmp_path / "journal.sqlite")
        journal.path.write_bytes(written[:length])
        journal.begin(some(99))
        assert journal.runs(limit=1) == [some(99)]
        for one in tmp_path.glob("journal.sqlite*"):
            one.unlink()


def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unreachable, match="cannot be made"):
        Journal(tmp_path / "file" / "state" / "journal.sqlite").begin(some())
    (tmp_path / "state" / "journal.sqlite").mkdir(parents=True)
    with pytest.raises(Unreachable, match="cannot be used"):
        Journal(tmp_path / "state" / "journal.sqlite").begin(some())


def test_a_full_disk_is_a_sentence_and_the_journal_stays(tmp_path: Path) -> None:
    with disk(tmp_path, 1) as folder:
        journal = Journal(folder / "journal.sqlite")
        journal.begin(some())
        (folder / "filler").write_bytes(bytes((1 << 20) - sum(one.stat().st_blocks * 512 for one in folder.iterdir())))
        with pytest.raises(Unreachable, match="full"):
            for number in range(1, 100):
                journal.begin(some(number, text="x" * 2000))
        (folder / "filler").unlink()
        journal.finish(some(outcome="done"))
        assert journal.runs()[-1].outcome == "done" and not journal.findings


# -- the program --------------------------------------------------------------------------------------


def books(program: Program) -> tuple[Journal, list[audit.Line]]:
    state = program.folder / "state"
    return Journal(state / "journal.sqlite"), audit.lines(state / "audit.jsonl")


def told(program: Program) -> list[tuple[str, str, str, int | None]]:
    """Task, source, outcome and exit code of every run, the oldest first; journal and audit log must agree."""
    journal, lines = books(program)
    runs = journal.runs()[::-1]
    by_run = {line.entry.run: line.entry for line in lines}
    for one in runs:
        said = by_run[one.id]
        assert (said.task, said.source, said.outcome) == (one.task, one.source, one.outcome)
        assert (said.exit_code, said.asked) == (one.exit_code, one.asked)
    assert len(runs) == len(lines)
    return [(one.task, one.source, one.outcome, one.exit_code) for one in runs]


@pytest.fixture
def shop(servers: Servers, program: Program) -> Address:
    address = servers.database(15)
    run(address, "CREATE TABLE orders (id int)", "INSERT INTO orders SELECT generate_series(1, 200)")
    program.configure(db=address)
    return address


@pytest.mark.slow
def test_every_task_leaves_its_run_and_its_line(program: Program, shop: Address, servers: Servers) -> None:
    program.ok("backup", "db", "--json")
    program.ok("verify", "db", "--json")
    program.ok("prove", "latest", "--quiet")
    program.ok("keep", "latest")
    program.ok("prune", "--json")
    program.ok("prune", "--apply")
    program.ok("restore", "db", "--dry-run")
    program.ok("restore", "db", "--to", "copy it", "--table", "orders")
    for quiet in (["list"], ["show", "latest"], ["status"], ["doctor"], ["audit"]):
        program.run(*quiet, "--json")
    done = [(task, "db", "done", 0) for task in ("backup", "verify", "prove", "keep", "prune", "restore")]
    assert told(program) == done
    journal, lines = books(program)
    runs = journal.runs()[::-1]
    assert {(one.backup, one.size > 0, one.rows) for one in runs if one.task != "prune"} == {
        (runs[0].backup, True, 200)
    }
    assert {one.store for one in runs} == {"local"} and all(one.ended and one.ended >= one.began for one in runs)
    assert runs[-1].asked == "restore db --to 'copy it' --table orders" and runs[-1].text == "into copy it"
    assert lines[0].entry.user == "root" and lines[0].entry.host == os.uname().nodename
    shown = program.ok("audit", "--json", "--last", "2").json
    assert [(one["number"], one["task"]) for one in shown] == [(5, "prune"), (6, "restore")]
    assert "restore db --to 'copy it'" in program.ok("audit").out


def test_failures_are_told(program: Program, shop: Address, servers: Servers) -> None:
    dead = shop.to("no_such_database")
    program.configure(db=shop, gone=dead)
    assert program.run("backup").code == 6
    assert program.run("restore", "db/20260101T000000Z-logical").code == 2
    assert program.run("backup", "nosuch").code == 2
    assert told(program) == [
        ("backup", "db", "done", 0),
        ("backup", "gone", "failed", 6),
        ("restore", "db", "failed", 2),
        ("backup", "nosuch", "failed", 2),
    ]
    journal, lines = books(program)
    assert "no_such_database" in journal.runs()[2].text and journal.runs()[2].hint
    assert lines[1].entry.text == journal.runs()[2].text
    (program.store / "pgproof-store.json").unlink(missing_ok=True)
    shutil.rmtree(program.store)
    assert program.run("backup", "db", "--json").code == 4  # the store that was seen here has gone
    assert told(program)[-1] == ("backup", "db", "refused", 4)
    (program.folder / "pgproof.toml").write_text("nonsense")
    assert program.run("backup").code == 2
    assert told(program)[-1] == ("backup", "", "failed", 2)


def test_a_second_store_is_a_run_of_its_own(program: Program, shop: Address) -> None:
    program.configure(db=shop, more=f'[stores.other]\nurl = "{program.folder / "other"}"\n')
    program.ok("backup")
    (program.folder / "other").rename(program.folder / "away")
    assert program.run("backup").code == 7
    assert program.run("copy").code == 4
    assert sorted(told(program)) == sorted(
        [
            ("backup", "db", "done", 0),
            ("copy", "db", "done", 0),
            ("backup", "db", "degraded", 7),
            ("copy", "db", "refused", 4),
            ("copy", "db", "refused", 4),
        ]
    )
    assert {one.store for one in books(program)[0].runs(task="copy")} == {"other"}


def held_backup(program: Program, shop: Address, number: signal.Signals) -> int:
    with holding(shop, "LOCK TABLE public.orders"):
        argv = program.argv("backup", "--json")
        started = subprocess.Popen(argv, cwd=program.folder, env=program.environment, stdout=-3, stderr=-3)
        wait_for_lock(shop)
        assert [one.outcome for one in books(program)[0].running()] == ["running"]
        assert program.run("backup").code == 5
        started.send_signal(number)
        return started.wait(60)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_backup_is_told(program: Program, shop: Address, number: signal.Signals) -> None:
    assert held_backup(program, shop, number) == 130
    assert told(program) == [("backup", "db", "interrupted", 130), ("backup", "db", "busy", 5)]


@pytest.mark.slow
def test_a_killed_backup_is_cut_off_as_the_next_run_finds(program: Program, shop: Address) -> None:
    held_backup(program, shop, signal.SIGKILL)
    assert [one.outcome for one in books(program)[0].running()] == ["running"]
    program.ok("backup")
    assert told(program) == [
        ("backup", "db", "cut off", None),
        ("backup", "db", "busy", 5),
        ("backup", "db", "done", 0),
    ]
    line = next(one.entry for one in books(program)[1] if one.entry.outcome == "cut off")
    assert line.user == "" and "killed" in line.text and "noted by root" in line.text


@pytest.mark.slow
def test_b26_a_lost_journal_is_rebuilt_from_manifests_and_records(program: Program, shop: Address) -> None:
    for task in ("backup", "verify", "prove", "backup"):
        program.ok(task)
    part = next(program.store.rglob("db.sql.gz"))
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    assert program.run("verify").code == 3
    backups, _ = Repository(DirectoryStore(program.store)).backups()
    real, _ = books(program)
    assert real.rebuild(backups, "local") == 0
    before = real.runs()
    assert len(before) == 6
    shutil.rmtree(program.folder / "state")
    assert program.ok("list", "--json").json  # which needs nothing of it
    anew, _ = books(program)
    assert anew.rebuild(backups, "local") == 6 and anew.rebuild(backups, "local") == 0
    after = anew.runs()

    def essence(one: Run) -> tuple[object, ...]:
        return (one.task, one.source, one.outcome, one.exit_code, one.backup, one.store, one.size, one.rows, one.text)

    assert list(map(essence, after)) == list(map(essence, before))
    assert all(abs(a.began - b.began) < timedelta(seconds=5) for a, b in zip(after, before, strict=True))


@pytest.mark.slow
def test_a_state_that_cannot_be_written_is_told_once_and_ends_nothing(program: Program, shop: Address) -> None:
    (program.folder / "blocked").write_text("")
    program.env["PGPROOF_STATE"] = str(program.folder / "blocked" / "state")
    done = program.ok("backup", "--json")
    assert json.loads(done.out)["state"] == "stored"
    lines = done.err.splitlines()
    assert len(lines) == len(set(lines)) == 2 and "journal" in lines[0] and "audit log" in lines[1]
    program.env["PGPROOF_STATE"] = str(program.folder / "other")
    (program.folder / "other").mkdir()
    (program.folder / "other" / "journal.sqlite").write_bytes(b"not a database " * 100)
    done = program.ok("prove", "--json")
    assert "was damaged" in done.err and json.loads(done.out)["proven"]


@pytest.mark.slow
def test_no_secret_is_in_journal_or_audit_log(program: Program, shop: Address) -> None:
    canaries = ["canary-env-77", "canary-file-78", "canary-url-79", "canary-exec-80", "canary-phrase-81"]
    secret = program.folder / "secret"
    secret.touch(0o600)
    secret.write_text("canary-file-78")
    program.env |= {"PW": "canary-env-77", "PHRASE": "canary-phrase-81", "URL": "postgresql://u:canary-url-79@[bad/x"}
    body = (program.folder / "pgproof.toml").read_text()
    sources = "".join(
        f'[sources.{name}]\nurl = "host=127.0.0.1 port=1 user=u"\npassword = "{reference}"\n'
        for name, reference in (("e", "env:PW"), ("f", f"file:{secret}"), ("x", "exec:echo canary-exec-80; exit 1"))
    )
    body += sources + '[sources.u]\nurl = "env:URL"\n[encryption]\nmethod = "gpg"\npassphrase = "env:PHRASE"\n'
    (program.folder / "pgproof.toml").write_text(body)
    for name in ("db", "e", "f", "u", "x"):
        program.run("backup", name)
    target = "postgresql://u:canary-url-79@127.0.0.1:1/db"
    program.run("restore", "db", "--to", target)
    program.run("restore", "db", "--to", "host=127.0.0.1 port=1 password=canary-url-79")
    program.run("restore", "db", "--to", "postgresql://u:canary-url-79@[bad/x")
    program.run("restore", "db", "--to", "postgresql://127.0.0.1:1/db", "--password", "exec:echo canary-exec-80")
    program.run("prove", "db")
    assert len(told(program)) == 10
    for path in (program.folder / "state").rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert not [one for one in canaries if one.encode() in data], path
    assert {one.asked for one in books(program)[0].runs(task="restore")} == {
        "restore db --to 'db on 127.0.0.1:1'",
        "restore db --to 'postgres on 127.0.0.1:1'",
        "restore db --to 'a connection string'",
    }


@pytest.mark.parametrize(
    "password",
    [
        "canary-91@canary-92",
        "canary-91@canary-92:canary-93",
        "canary-91/canary-92",
        "canary-91@canary-92/canary-93",
        "canary-91@canary-92?canary-93",
        "canary-91@canary-92@canary-93",
        "@canary-92",
        "canary-91@",
        "canary-91/@canary-92",
    ],
)
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_no_part_of_a_password_that_is_not_encoded_is_told(
    program: Program, shop: Address, password: str, more: tuple[str, ...]
) -> None:
    """libpq would take what is behind its first @ for a host, and tell everybody that there is no such host."""
    program.ok("backup", "db")
    ran = program.run("restore", "db", "--to", f"postgresql://u:{password}@127.0.0.1:1/db", *more)
    assert ran.code == 2 and "%40" in ran.err
    assert "canary" not in ran.out + ran.err
    for path in (program.folder / "state").rglob("*"):
        assert b"canary" not in (path.read_bytes() if path.is_file() else b""), path
    asked = [one.asked for one in books(program)[0].runs(task="restore")]
    assert asked == ([] if more else ["restore db --to 'a connection string'"])


@pytest.mark.parametrize("to", ["u:{}@h/db", "u:{}@x@h:1/db", ":{}/x@h", "postgresql:/u:{}@h/db", "u:{}@h/db?a=b"])
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_an_address_without_a_scheme_is_no_database_name(
    program: Program, shop: Address, to: str, more: tuple[str, ...]
) -> None:
    """It was taken for the name of a new database, and so its password was shown and kept."""
    program.ok("backup", "db")
    ran = program.run("restore", "db", "--to", to.format("canary-91"), *more)
    assert ran.code == 2 and "--to postgresql://" in ran.err
    assert "canary" not in ran.out + ran.err
    for path in (program.folder / "state").rglob("*"):
        assert b"canary" not in (path.read_bytes() if path.is_file() else b""), path
    asked = [one.asked for one in books(program)[0].runs(task="restore")]
    assert asked == ([] if more else ["restore db --to 'a connection string'"])


@pytest.mark.parametrize("words", [("backup",), ("doctor",), ("status",), ("restore", "db")])
def test_no_part_of_a_password_in_the_url_of_a_source_is_told(
    program: Program, shop: Address, words: tuple[str, ...]
) -> None:
    program.ok("backup", "db")
    text = (program.folder / "pgproof.toml").read_text()
    program.env["THE_URL"] = "postgresql://u:canary-91@canary-92/canary-93@127.0.0.1:1/db"
    for url in ("env:THE_URL", program.env["THE_URL"], "u:canary-91@127.0.0.1/db", "postgresql://u:/canary-91@h/db"):
        lines = [f'url = "{url}"' if line.startswith("url = ") and "backups" not in line else line
                 for line in text.splitlines()]  # fmt: skip
        (program.folder / "pgproof.toml").write_text("\n".join(lines) + "\n")
        ran = program.run(*words)
        assert "canary" not in ran.out + ran.err
        if not url.startswith("env:") and words != ("status",):
            assert ran.code == 2, ran.err
    for path in (program.folder / "state").rglob("*"):
        assert b"canary" not in (path.read_bytes() if path.is_file() else b""), path


def test_an_encoded_at_sign_is_one_of_the_password(program: Program, shop: Address) -> None:
    program.ok("backup", "db")
    ran = program.run("restore", "db", "--to", "postgresql://u:canary%40%2Fend@127.0.0.1:1/db")
    assert ran.code == 6 and "127.0.0.1:1" in ran.err and "canary" not in ran.err


@pytest.mark.slow
def test_listing_waits_for_no_sqlite(program: Program, shop: Address) -> None:
    argv = [sys.executable, "-X", "importtime", "-m", "pgproof"]
    for words, wanted in ((["backup", "--json"], True), (["list", "--json"], False)):
        argv_ = [*argv, *words]
        done = subprocess.run(argv_, cwd=program.folder, env=program.environment, capture_output=True, check=True)
        assert (b"sqlite3" in done.stderr) is wanted


# -- audit --check ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_audit_check_finds_what_was_done_to_the_log(program: Program, shop: Address) -> None:
    for task in ("backup", "prove", "backup"):
        program.ok(task)
    log = program.folder / "state" / "audit.jsonl"
    whole = log.read_bytes()
    checked = program.ok("audit", "--check", "--json").json
    assert checked == {"level": "ok", "lines": 3, "findings": []}
    config = [json.loads(one.read_bytes())["content"]["config"] for one in program.store.rglob("manifest.json")]
    assert sorted(one["audit.head"][:2] for one in config) == ["0:", "2:"]
    lines = whole.splitlines(keepends=True)
    for bad in (
        whole.replace(b"prove", b"probe"),
        b"".join(lines[1:]),
        lines[0],
        b"",
        b"".join([lines[1], lines[0], lines[2]]),
    ):
        log.write_bytes(bad)
        ran = program.run("audit", "--check", "--json")
        assert ran.code == 3 and ran.json["level"] == "critical"
        assert program.run("audit", "--check").out.count("critical")
    log.unlink()
    assert program.run("audit", "--check").code == 3
    log.write_bytes(whole[:-5])
    ran = program.run("audit", "--check", "--json")
    assert ran.code == 0 and [one["code"] for one in ran.json["findings"]] == ["audit-unfinished"]


@pytest.mark.slow
def test_heads_of_another_machine_are_not_held_against_this_one(program: Program, shop: Address) -> None:
    program.ok("backup")
    program.ok("backup")
    program.env["PGPROOF_STATE"] = str(program.folder / "elsewhere")
    program.ok("backup")
    program.ok("audit", "--check")


def test_a_store_that_cannot_be_asked_leaves_the_check_incomplete(program: Program, shop: Address) -> None:
    program.ok("backup")
    program.store.rename(program.folder / "away")
    ran = program.run("audit", "--check", "--json")
    assert ran.code == 7 and [one["code"] for one in ran.json["findings"]] == ["store-unreachable"]


def test_since_when_a_task_is_scheduled_so_is_remembered_and_begins_anew_with_another_schedule(tmp_path: Path) -> None:
    journal, key = Journal(tmp_path / "journal.sqlite"), ("prove", "db")
    first, later = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC)

    def since(cron: str, now: datetime) -> datetime:
        return sights.since(journal, journal.memories(), {key: cron}, now)[key]

    assert since("0 4 * * sun", later) == later
    assert since("0 4 * * sun", first) == first, "a clock that was ahead is not believed"
    assert since("0 4 * * sun", later) == first
    assert since("0 4 1 * *", later) == later
    assert remembered(journal.memories()) == {}, "the service does not take it for a plan's memory"
