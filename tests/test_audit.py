"""The audit log: what was done to it afterwards is found, and it goes on after whatever cut it short."""

import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgproof.errors import Unreachable
from pgproof.monitor import audit
from pgproof.monitor.audit import Entry, Head
from pgproof.monitor.journal import Journal

NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
LINES = 7
WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from pgproof.monitor.audit import Entry, append
for number in range(int(sys.argv[2])):
    entry = Entry(datetime.now(UTC), "me", "", "here", "backup", "db", "backup db " + "x" * 6000, "done", 0, "1", "")
    print(append(Path(sys.argv[1]), entry), flush=True)
"""


def entry(number: int = 0) -> Entry:
    return Entry(
        NOW, "root", "anna", "db1", "restore", "db", f"restore db --to copy{number}", "done", 0, f"{number:016x}"
    )


def codes(path: Path, *heads: Head) -> list[str]:
    return [one.code for one in audit.check(path, heads)]


@pytest.fixture(scope="module")
def log() -> Iterator[tuple[list[bytes], Head]]:
    """The lines of a log, and its head."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audit.jsonl"
        for number in range(LINES):
            head = audit.append(path, entry(number))
        yield path.read_bytes().splitlines(keepends=True), Head(head.number, head.sha256, "db/20261123T020000Z-logical")


def found_in(data: bytes, *heads: Head) -> list[str]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return codes(Path(file.name), *heads)


def test_a_line_tells_who_did_what_when_and_how_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "new" / "audit.jsonl"
    first = audit.append(path, entry(1))
    second = audit.append(path, entry(2))
    words = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    assert words[0] == {
        "number": 1,
        "previous": "0" * 64,
        "when": "2026-11-23T02:00:00Z",
        "user": "root",
        "sudo_user": "anna",
        "host": "db1",
        "task": "restore",
        "source": "db",
        "asked": "restore db --to copy1",
        "outcome": "done",
        "exit_code": 0,
        "run": "0000000000000001",
        "text": "",
    }
    assert words[1]["previous"] == first.sha256 and audit.head(path) == second
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    assert [line.entry for line in audit.lines(path)] == [entry(1), entry(2)]
    assert [line.number for line in audit.lines(path, 1)] == [2]


def test_what_is_as_it_was_written_passes(log: tuple[list[bytes], Head], tmp_path: Path) -> None:
    lines, head = log
    assert found_in(b"".join(lines), head) == []
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(lines))
    audit.append(path, entry(99))
    assert codes(path, head) == []


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_byte_is_found(log: tuple[list[bytes], Head], data: st.DataObject) -> None:
    whole = bytearray(b"".join(log[0]))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[at]))
    assert found_in(bytes(whole), log[1])


@given(st.sets(st.integers(0, LINES - 1), min_size=1))
def test_lines_that_were_taken_out_are_found(log: tuple[list[bytes], Head], gone: set[int]) -> None:
    left = [line for number, line in enumerate(log[0]) if number not in gone]
    assert "audit-tampered" in found_in(b"".join(left), log[1])


@given(st.permutations(range(LINES)).filter(lambda order: order != list(range(LINES))))
def test_lines_that_were_moved_are_found(log: tuple[list[bytes], Head], order: list[int]) -> None:
    assert "audit-tampered" in found_in(b"".join(log[0][number] for number in order), log[1])


@given(st.integers(0, LINES), st.data())
def test_a_line_that_was_put_in_is_found(log: tuple[list[bytes], Head], at: int, data: st.DataObject) -> None:
    copies = st.sampled_from(log[0])
    made = st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"") + b"\n")
    new = data.draw(copies | made)
    assert "audit-tampered" in found_in(b"".join([*log[0][:at], new, *log[0][at:]]), log[1])


@given(st.data())
def test_an_end_that_was_cut_off_is_found(log: tuple[list[bytes], Head], data: st.DataObject) -> None:
    whole = b"".join(log[0])
    left = data.draw(st.integers(0, len(whole) - 2))
    assert "audit-tampered" in found_in(whole[:left], log[1])


@given(st.integers(0, LINES - 1))
def test_a_chain_that_was_written_anew_is_found_by_the_head(log: tuple[list[bytes], Head], changed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audit.jsonl"
        for number in range(LINES + 2):
            audit.append(path, entry(99 if number == changed else number))
        assert codes(path) == []
        assert codes(path, log[1]) == ["audit-tampered"]


def test_a_number_that_is_left_out_is_found_also_where_the_chain_fits(tmp_path: Path) -> None:
    first = audit._line(1, audit.GENESIS, entry(1))
    third = audit._line(3, audit._sha(first), entry(3))
    assert found_in(first + b"\n" + third + b"\n") == ["audit-tampered"]


def test_a_log_that_is_gone_is_found_by_the_head(log: tuple[list[bytes], Head], tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    assert codes(path) == codes(path, Head(0, audit.GENESIS, "x")) == []
    assert codes(path, log[1]) == ["audit-tampered"]


@given(st.data())
def test_behind_a_line_that_was_cut_short_the_chain_goes_on(log: tuple[list[bytes], Head], data: st.DataObject) -> None:
    whole = b"".join(log[0])
    cuts = data.draw(st.lists(st.integers(1, len(log[0][-1]) - 1), min_size=1, max_size=3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audit.jsonl"
        path.write_bytes(whole)
        for cut in cuts:
            audit.append(path, entry(50))
            path.write_bytes(path.read_bytes()[:-cut])
            assert codes(path)[-1] == "audit-unfinished"
        head = audit.append(path, entry(51))
        # where nothing but the line's end was lost, the line itself is whole, and only the note tells
        assert codes(path, log[1], head) == ["audit-unfinished"] * sum(cut > 1 for cut in cuts)
        note, last = audit.lines(path, 2)
        assert note.entry.task == "note" and "was left unfinished" in note.entry.text
        assert last.entry == entry(51) and (last.number, last.previous) == (head.number, audit._sha(_raw(path)[-2]))
        assert "audit-tampered" in found_in(path.read_bytes().replace(b"copy3", b"copy4"), head)


def _raw(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1]


def test_zeros_of_a_power_cut_are_an_unfinished_line(log: tuple[list[bytes], Head], tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(log[0]) + bytes(300))
    assert audit.head(path).sha256 == log[1].sha256
    audit.append(path, entry(8))
    assert codes(path, log[1]) == ["audit-unfinished"]


def test_of_many_processes_that_append_each_has_its_place_in_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    argv = [sys.executable, "-c", WRITER, str(path), "25"]
    started = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    said = [one.communicate(timeout=120)[0].split() for one in started]
    assert all(one.returncode == 0 for one in started)
    heads = [head for word in itertools.chain(*said) if (head := audit.parse_head(word, "told"))]
    assert len({head.number for head in heads}) == len(_raw(path)) == 200
    assert codes(path, *heads) == []


@pytest.mark.slow
def test_writers_that_are_killed_leave_an_unfinished_line_at_most(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    told: list[Head] = []
    for number in range(12):
        argv = [sys.executable, "-c", WRITER, str(path), "100000"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as started:
            assert started.stdout
            told += [audit.parse_head(started.stdout.readline().strip(), "told") or Head(0, "")]
            time.sleep(random.Random(number).random() / 50)
            started.send_signal(signal.SIGKILL)
    told.append(audit.append(path, entry(1)))
    assert set(codes(path, *told)) <= {"audit-unfinished"} and len(told) == 13


def test_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(Unreachable, match="cannot be used"):
        audit.append(blocked / "audit.jsonl", entry())
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(Unreachable, match="Is a directory"):
        audit.append(tmp_path / "folder.jsonl", entry())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_log_that_another_user_may_not_read_is_no_empty_one(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    audit.append(tmp_path / "audit.jsonl", entry())
    asked = (audit.head, audit.lines, lambda path: audit.check(path, []), lambda path: audit.append(path, entry()))
    os.seteuid(65534)
    try:
        for ask in (*asked, lambda path: Journal(path).runs(), lambda path: Journal(path).remember("a", "b")):
            with pytest.raises(Unreachable, match="Permission denied"):
                ask(tmp_path / "audit.jsonl")
    finally:
        os.seteuid(0)


def test_a_disk_that_is_full_leaves_the_log_as_it_was(tmp_path: Path, log: tuple[list[bytes], Head]) -> None:
    """The kernel refuses to let the file grow: RLIMIT_FSIZE, as a quota does."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(log[0]))
    code = f"import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); {WRITER.strip().splitlines()[0]}\n"
    size = path.stat().st_size + 100
    code += f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n{WRITER}"
    done = subprocess.run([sys.executable, "-c", code, str(path), "1"], capture_output=True, text=True, check=False)
    assert "Unreachable" in done.stderr and "File too large" in done.stderr
    assert codes(path, log[1]) == [] and path.read_bytes() == b"".join(log[0])
