"""Findings that need days to come about, provoked for real: a server, stores, and a clock that is moved (faketime)."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pgproof.postgres.server import Address, connect
from tests import forked
from tests.conftest import Program, Servers, disk, missing
from tests.kit import run

pytestmark = pytest.mark.slow

CONFIG = """
[stores.second]
url = "{second}"
[encryption]
method = "gpg"
passphrase = "env:PHRASE"
[schedule]
backup = "0 2 * * *"
copy = "0 3 * * *"
prove = "0 4 * * *"
verify = "none"
prune = "0 6 * * *"
timezone = "UTC"
[retention]
keep_within = "30d"
[health]
slower_by = "8s"
drill_room = {room}
"""


_OF_FAKETIME = ("LD_PRELOAD", "FAKETIME")
_MONOTONIC = {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}


class Moved:
    """A program whose clock is so many days ahead; what it waits for goes by the true one."""

    def __init__(self, program: Program, database: Address, second: Path) -> None:
        self.program, self.database, self.second = program, database, second
        program.env |= {"PHRASE": "of the findings", **_MONOTONIC}
        self.configure()

    def configure(self, room: float = 1.2) -> None:
        self.program.configure(CONFIG.format(second=self.second, room=room), db=self.database)

    def at(self, days: float, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
        env = {**self.program.environment, **env, **_ahead(days)}
        program = forked.shared(**_ahead(0), **_MONOTONIC, FAKETIME_NO_CACHE="1")  # it looks each time how far it is
        return program.start(words, self.program.folder, env).wait(300)

    def ok(self, days: float, *words: str) -> str:
        ran = self.at(days, *words)
        assert ran.returncode in (0, 7), ran
        return ran.stdout

    def found(self, days: float, **env: str) -> set[str]:
        """The codes that `status` tells then, but for what is fine."""
        ran = self.at(days, "status", "--json", **env)
        return {one["code"] for one in json.loads(ran.stdout)["findings"] if one["level"] != "ok"}


@cache
def _ahead(days: float) -> dict[str, str]:
    """What `faketime` sets for the program that it starts."""
    argv = ["faketime", "-f", f"+{round(days * 86400)}s", "env"]
    told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return {name: text for name, _, text in (line.partition("=") for line in told.splitlines()) if name in _OF_FAKETIME}


@pytest.fixture
def moved(servers: Servers, program: Program, tmp_path: Path) -> Moved:
    if not shutil.which("faketime"):
        missing("faketime")
    database = servers.database(17)
    run(database, "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 20000) g")
    return Moved(program, database, tmp_path / "second")


def test_what_was_not_done_is_told_once_its_time_is_over(moved: Moved) -> None:
    moved.ok(0, "backup")
    moved.program.ok("prove")
    assert moved.found(0.1) & {"backup-too-old", "proof-too-old", "key-unproven", "run-missing"} == set()
    assert {"backup-too-old", "run-missing"} <= moved.found(2)
    assert {"proof-too-old", "run-missing"} <= moved.found(40)
    assert "review-due" not in moved.found(90)
    assert {"key-unproven", "review-due"} <= moved.found(100)


def test_a_copy_that_is_missing_or_damaged_is_told(moved: Moved) -> None:
    moved.ok(0, "backup")
    moved.ok(0, "copy")
    (part,) = moved.second.glob("db/*/db.sql.gz.gpg")
    part.write_bytes(part.read_bytes()[:-1] + b"\0")
    assert moved.at(0, "verify", "--store", "second").returncode == 3
    assert "copy-damaged" in moved.found(0.1)
    moved.ok(0.2, "copy")
    assert moved.found(0.3) & {"copy-damaged", "copy-missing"} == set()
    shutil.rmtree(part.parent)
    assert "copy-missing" not in moved.found(0.9)
    assert "copy-missing" in moved.found(1.1)


def test_a_backup_that_takes_long_and_one_that_begins_late_are_told(moved: Moved) -> None:
    for day in range(5):
        moved.ok(day, "backup", "--quiet")
    assert "backup-slow" not in moved.found(4.1)
    with connect(moved.database) as session:
        session.run("BEGIN; LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE")
        threading.Timer(25, lambda: session.run("COMMIT")).start()
        moved.ok(5, "backup", "--quiet")
    assert "backup-slow" in moved.found(5.1)
    moved.ok(9.6, "backup", "--quiet")
    assert "run-late" in moved.found(9.7)


def test_what_retention_lets_go_and_nobody_deletes_is_told(moved: Moved) -> None:
    for day in range(0, 36, 5):
        moved.ok(day, "backup", "--quiet")
    assert "retention-not-carried-out" not in moved.found(30.5)
    assert "retention-not-carried-out" in moved.found(35.5)
    moved.ok(35.6, "prune", "--apply")
    assert "retention-not-carried-out" not in moved.found(35.7)


def test_a_clock_that_was_ahead_is_told(moved: Moved) -> None:
    moved.ok(0, "backup")
    moved.ok(400, "backup")
    assert "clock-jumped" in moved.found(1)


def test_what_was_done_under_a_clock_that_was_ahead_silences_nothing_for_years(moved: Moved) -> None:
    moved.ok(0, "backup")
    moved.ok(0, "copy")
    assert moved.found(0.1) & {"run-missing", "key-unproven"} == set()
    assert {"run-missing", "key-unproven"} <= moved.found(100)
    moved.ok(1000, "copy")
    moved.ok(1000, "verify")
    assert {"run-missing", "key-unproven"} <= moved.found(100)


def test_a_disk_that_will_be_full_and_one_too_small_for_a_drill_are_told(moved: Moved, small: Path) -> None:
    """The store is on a disk of 64 MB and grows by half a megabyte a day; that disk is too small for a drill too."""
    moved.program.store.symlink_to(small / "backups")
    (small / "backups").mkdir(mode=0o700)
    ballast = small / "ballast"
    ballast.write_bytes(os.urandom(40 << 20))
    for day in range(4):
        run(moved.database, "INSERT INTO t SELECT g, md5(g::text || random()) FROM generate_series(1, 15000) g")
        moved.ok(day, "backup", "--quiet")
    assert "disk-full-soon" in moved.found(3.1)
    ballast.unlink()
    moved.configure(room=100)
    assert "restore-would-not-fit" in moved.found(3.2, TMPDIR=str(small))


def test_tables_that_a_crash_empties_are_told(moved: Moved) -> None:
    run(moved.database, "CREATE UNLOGGED TABLE u (id int)")
    told: Any = moved.program.run("doctor", "--json").json
    assert "unlogged" in {one["code"] for one in told["findings"]}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path, 64, mode="1777") as folder:
        yield folder
