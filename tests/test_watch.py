"""Progress fits into one line of the terminal, however narrow that is and however long the words are."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

SCRIPT = """
import sys, time
from pgproof.cli.watch import watching
with watching(quiet=False) as progress:
    progress.begin(sys.argv[1], 730_000_000)
    for _ in range(8):
        progress.advance(33_300_000)
        time.sleep(0.1)
"""
_SHOWN = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]")


def shown(columns: int, words: str) -> list[str]:
    """The lines that a terminal of this width is sent, without colours."""
    mine, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
    with subprocess.Popen([sys.executable, "-c", SCRIPT, words], stderr=its, env=env) as child:
        os.close(its)
        sent = b""
        while True:
            try:
                sent += os.read(mine, 65536)
            except OSError:  # Linux's word for the end of a terminal
                break
        assert child.wait() == 0
    os.close(mine)
    return _SHOWN.sub(b"", sent).decode().replace("\r", "\n").splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("words", ["rows", "removing the online sessions that the backup would bring back"])
@pytest.mark.parametrize("columns", [60, 80, 132])
def test_progress_is_one_line_with_all_its_figures(columns: int, words: str) -> None:
    lines = [line for line in shown(columns, words) if line.strip()]
    assert lines and all(len(line) <= columns for line in lines)
    assert all(re.search(r"\d/730\.0 MB +(\?|[\d.]+ MB/s) +(--|\d\d):(--|\d\d)", line) for line in lines), lines
    assert all(line.startswith(words[:19]) for line in lines)
