"""Running a shell line, as a user would type it: how long it took, or how much memory its processes had."""

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SAMPLES_PER_SECOND = 20


class LineFailedError(Exception):
    """A measured command ended with another status than 0: there is nothing to compare then."""


@dataclass(frozen=True, slots=True)
class Shell:
    """Where lines run, and with which environment."""

    folder: Path
    env: Mapping[str, str]

    def run(self, line: str, watch: "Watch | None" = None) -> float:
        """Seconds of wall time from start to end. The one place where something is timed.

        Raises LineFailedError, also when any program of a pipe fails.
        """
        argv = ["bash", "-o", "pipefail", "-c", line]
        with tempfile.TemporaryFile() as said:
            began = time.perf_counter()
            with subprocess.Popen(
                argv, cwd=self.folder, env=dict(self.env), stdin=subprocess.DEVNULL, stdout=said, stderr=said
            ) as child:
                if watch:
                    watch.follow(child)
                status = child.wait()
                seconds = time.perf_counter() - began
            if status:
                said.seek(0)
                raise LineFailedError(
                    f"{line}\nended with status {status}:\n{said.read()[-3000:].decode(errors='replace')}"
                )
        return seconds

    def output(self, line: str) -> str:
        """What a line prints; not for timing. Raises LineFailedError."""
        argv = ["bash", "-o", "pipefail", "-c", line]
        done = subprocess.run(argv, cwd=self.folder, env=dict(self.env), capture_output=True, check=False)
        if done.returncode:
            raise LineFailedError(
                f"{line}\nended with status {done.returncode}:\n{done.stderr[-3000:].decode(errors='replace')}"
            )
        return done.stdout.decode(errors="replace")


class Watch:
    """The highest memory of a process tree, sampled: proportional set size (Pss), so that pages which
    processes share count once. PostgreSQL servers in the tree are also told apart."""

    def __init__(self) -> None:
        self.everything = 0
        self.without_server = 0
        self.samples = 0

    def follow(self, child: "subprocess.Popen[bytes]") -> None:
        """Sample until `child` has ended."""
        ended = threading.Event()
        sampler = threading.Thread(target=self._sample_until, args=(child.pid, ended))
        sampler.start()
        try:
            child.wait()
        finally:
            ended.set()
            sampler.join()

    def _sample_until(self, root: int, ended: threading.Event) -> None:
        while not ended.wait(1 / SAMPLES_PER_SECOND):
            self._sample(root)

    def _sample(self, root: int) -> None:
        server = others = 0
        for pid, name in _tree(root):
            if name == "postgres":
                server += _pss(pid)
            else:
                others += _pss(pid)
        self.samples += 1
        self.everything = max(self.everything, server + others)
        self.without_server = max(self.without_server, others)


def _tree(root: int) -> list[tuple[int, str]]:
    """`root` and all its descendants: pid and name of each."""
    names: dict[int, str] = {}
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (status := _status(int(entry))):
            names[int(entry)], parent = status
            children.setdefault(parent, []).append(int(entry))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        if pid in names:
            found.append((pid, names[pid]))
        waiting += children.get(pid, [])
    return found


def _status(pid: int) -> tuple[str, int] | None:
    """Name and parent, fields 2 and 4 of /proc/PID/stat (proc(5)); None when it has ended meanwhile."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    head, _, tail = text.rpartition(")")
    return head.partition("(")[2], int(tail.split()[1])


def _pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0  # it has ended meanwhile
    return next((int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:")), 0)
