"""Files that must survive, and locks that go with their owner."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pgproof import durable


def test_a_file_is_the_old_one_or_the_new_one_and_private(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    durable.write(path, b"old")
    durable.write(path, b"new" * 1000)
    assert path.read_bytes() == b"new" * 1000 and path.stat().st_mode & 0o777 == 0o600
    (tmp_path / "record.json.new").mkdir()  # the temporary file cannot be written: what is there stays
    with pytest.raises(OSError, match="directory"):
        durable.write(path, b"newest")
    assert path.read_bytes() == b"new" * 1000


def test_a_lock_is_had_by_one_and_goes_with_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "record.json"
    hold = (
        f"import time, pathlib; from pgproof import durable\nwith durable.alone(pathlib.Path({str(path)!r})) as mine:\n"
        "    print(mine, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "True\n"
        with durable.alone(path) as mine:
            assert not mine
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
    with durable.alone(path) as mine:
        assert mine
