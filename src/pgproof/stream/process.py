"""Child processes: each in its own group, with a deadline and a watchdog, its end believed only by its status.

This is the one module that starts programs. A child dies with pgproof, even when pgproof is killed
(prctl PR_SET_PDEATHSIG, by way of util-linux's `setpriv` where that is there).
"""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Self

from pgproof.errors import ProgramFailed, Unreachable
from pgproof.stream import interruption

TAIL_BYTES = 4096
GRACE_SECONDS = 5.0

# What a child may know of our surroundings. Connection settings (PG*) are given explicitly, never inherited.
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TERM", "SSL_CERT_FILE", "CREDENTIALS_DIRECTORY")
_PREPARING = ("setpriv", "unshare")


@dataclass(frozen=True, slots=True)
class Program:
    """What to start: argv (never a shell's line), extra environment, file descriptors to hand over.

    `deadline` is the longest it may live, `idle` the longest it may do so without moving a byte,
    both in seconds.
    """

    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    pass_fds: Sequence[int] = ()
    deadline: float = 24 * 3600.0
    idle: float = 3600.0
    cwd: str | None = None

    @property
    def name(self) -> str:
        """Of the program itself, not of those that only prepare its process (`setpriv OPTIONS -- NAME`)."""
        argv = list(self.argv)
        while Path(argv[0]).name in _PREPARING and "--" in argv:
            argv = argv[argv.index("--") + 1 :]
        return Path(argv[0]).name


class _Pipe:
    """Our end of a pipe that one thread uses while another may close it.

    Without the lock a descriptor could be closed, be given to another file, and then be written to.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, data: memoryview) -> int:
        """Raises BrokenPipeError when nobody reads, ValueError once it is closed."""
        with self._lock:
            return os.write(self._stream.fileno(), data)

    def read(self, size: int) -> bytes:
        with self._lock:
            return b"" if self._stream.closed else os.read(self._stream.fileno(), size)

    def close(self) -> None:
        """Whoever is inside comes out when the program has ended; one that cannot be ended keeps its pipe."""
        if self._lock.acquire(timeout=GRACE_SECONDS):
            try:
                with contextlib.suppress(OSError):
                    self._stream.close()
            finally:
                self._lock.release()


class Child:
    """A running program. Use as a context manager: leaving it on an error ends the whole group."""

    def __init__(
        self, program: Program, *, stdin: int | IO[bytes] | None = None, stdout: int | IO[bytes] | None = None
    ) -> None:
        self.program = program
        self._began = self._moved = time.monotonic()
        self._reason = ""
        self._tail = b""
        self._done = threading.Event()
        started = False
        try:
            with interruption.put_off():  # a program that is not known here could not be ended
                self._popen = _popen(program, stdin, stdout)
                self._input = _Pipe(self._popen.stdin) if self._popen.stdin else None
                self._output = _Pipe(self._popen.stdout) if self._popen.stdout else None
                self._threads = [
                    threading.Thread(target=self._keep_tail, daemon=True),
                    threading.Thread(target=self._watch, daemon=True),
                ]
                for thread in self._threads:
                    thread.start()
                started = True
        except KeyboardInterrupt:
            if started:
                self.stop(signal.SIGKILL)
            raise

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    @property
    def tail(self) -> str:
        """The end of what it wrote to stderr."""
        return self._tail.decode("utf-8", "replace").strip()

    def write(self, data: bytes) -> None:
        """Push `data` into its standard input. Raises ProgramFailed when it no longer listens."""
        assert self._input is not None
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._input.write(rest) :]
        except (BrokenPipeError, ValueError):
            # Its output is left open: another thread may be reading the last of it.
            status = self._popen.wait()
            self._threads[0].join(2)
            said = self._describe(status) if status or self._reason else ""
            raise ProgramFailed(said or f"{self.program.name} stopped reading before the end") from None
        self._moved = time.monotonic()

    def end_input(self) -> None:
        if self._input is not None:
            self._input.close()

    def read(self, size: int = 1 << 18) -> bytes:
        """Up to `size` bytes of its output; b'' only after it has ended well. Raises ProgramFailed."""
        data = self._read(size)
        if not data:
            self.finish()
        return data

    def _read(self, size: int) -> bytes:
        assert self._output is not None
        data = self._output.read(size)
        self._moved = time.monotonic()
        return data

    def chunks(self, size: int = 1 << 18) -> Iterator[bytes]:
        while data := self.read(size):
            yield data

    def lines(self) -> Iterator[bytes]:
        """Its output line by line; the caller then asks finish() how it ended."""
        rest = b""
        for chunk in _raw_chunks(self):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line + b"\n" for line in lines)
        if rest:
            yield rest + b"\n"

    def finish(self, *, accept: Sequence[int] = (0,)) -> int:
        """Wait for the end; raise ProgramFailed unless its exit status is among `accept`."""
        ended = self._popen.returncode is not None
        status = self._popen.wait()
        if self._reason or status not in accept:
            if not ended:
                self._signal(signal.SIGKILL)  # its number is not another's yet
            self._close()
            raise ProgramFailed(self._describe(status), hint=_hint(status))
        self._close()
        return status

    def stop(self, how: signal.Signals = signal.SIGTERM, grace: float = GRACE_SECONDS) -> None:
        """End it and its whole group: `how` first, SIGKILL after `grace` seconds. Never raises."""
        if self._popen.returncode is None:
            self._signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(grace)
            self._signal(signal.SIGKILL)  # also what outlived the first of the group
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(grace)
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.stop(signal.SIGKILL if kind is not None else signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, number)

    def _close(self) -> None:
        self._done.set()
        for pipe in (self._input, self._output):
            if pipe is not None:
                pipe.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(2)
        if self._popen.stderr is not None and not self._threads[0].is_alive():
            self._popen.stderr.close()

    def _keep_tail(self) -> None:
        assert self._popen.stderr is not None
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(self._popen.stderr.fileno(), 4096):
                self._tail = (self._tail + data)[-TAIL_BYTES:]
                self._moved = time.monotonic()

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            now = time.monotonic()
            if now - self._began > self.program.deadline:
                self._reason = f"was stopped: it had run for {self.program.deadline:.0f} s, its deadline"
            elif now - self._moved > self.program.idle:
                self._reason = f"was stopped: it moved no byte for {self.program.idle:.0f} s"
            else:
                continue
            self._signal(signal.SIGKILL)
            return

    def _describe(self, status: int) -> str:
        said = f": {_last_lines(self.tail)}" if self.tail else ""
        if self._reason:
            return f"{self.program.name} {self._reason}{said}"
        if status < 0:
            more = " (out of memory?)" if status == -signal.SIGKILL else ""
            return f"{self.program.name} was killed by signal {-status}{more}{said}"
        return f"{self.program.name} ended with status {status}{said}"


def run(program: Program, data: bytes = b"", *, accept: Sequence[int] = (0,)) -> bytes:
    """Start `program`, give it `data`, return its whole output. Raises ProgramFailed.

    For outputs that fit in memory; streams use Child.
    """
    with Child(program, stdin=subprocess.PIPE if data else None, stdout=subprocess.PIPE) as child:
        feeder = threading.Thread(target=_feed, args=(child, data), daemon=True)
        if data:
            feeder.start()
        output = b"".join(_raw_chunks(child))
        if data:
            feeder.join()
        child.finish(accept=accept)
        return output


def reading(program: Program) -> Child:
    """Start `program` to read its output."""
    return Child(program, stdout=subprocess.PIPE)


def filtering(program: Program) -> Child:
    """Start `program` to write into it and read out of it, from two threads."""
    return Child(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def background(program: Program, log: IO[bytes]) -> Child:
    """Start `program` with its output in `log`, to run until it is stopped."""
    return Child(program, stdout=log)


def find(name: str) -> str | None:
    """The absolute path of a program on PATH, or None."""
    found = shutil.which(name)
    return str(Path(found).absolute()) if found else None


def _raw_chunks(child: Child) -> Iterator[bytes]:
    while data := child._read(1 << 18):  # noqa: SLF001 - run() is Child's other half
        yield data


def _feed(child: Child, data: bytes) -> None:
    with contextlib.suppress(ProgramFailed, OSError, ValueError):
        child.write(data)
    child.end_input()


def _popen(
    program: Program, stdin: int | IO[bytes] | None, stdout: int | IO[bytes] | None
) -> "subprocess.Popen[bytes]":
    env = {name: os.environ[name] for name in _KEPT if name in os.environ}
    env |= {"LC_ALL": "C", **(program.env or {})}
    if not shutil.which(program.argv[0], path=env.get("PATH")):  # which setpriv could not tell from a failure
        raise Unreachable(
            f"cannot start {program.argv[0]}: there is no such program",
            hint="`pgproof doctor` shows which programs are found",
        )
    try:
        return subprocess.Popen(
            [*_die_with_parent(), *program.argv],
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.DEVNULL if stdout is None else stdout,
            stderr=subprocess.PIPE,
            env=env,
            pass_fds=program.pass_fds,
            cwd=program.cwd,
            process_group=0,
            bufsize=0,
        )
    except OSError as error:
        raise Unreachable(
            f"cannot start {program.name}: {error.strerror}",
            hint="`pgproof doctor` shows which programs are found",
        ) from error


def _die_with_parent() -> list[str]:
    setpriv = find("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _last_lines(text: str, count: int = 6) -> str:
    """The last words, or those from the first error on: what follows from it may be longer than they are."""
    lines = text.splitlines()
    begin = next((number for number, line in enumerate(lines) if "error:" in line.lower()), len(lines))
    begin = min(begin, max(0, len(lines) - count))
    return "\n".join(lines[begin : begin + count])


def _hint(status: int) -> str:
    if status == -signal.SIGKILL:
        return "look for the kernel's out-of-memory killer in `dmesg`"
    return "those are its own words; `pgproof doctor` checks the programs and the servers that they talk to"


@dataclass(frozen=True, slots=True)
class Identity:
    """Which process this is, on which host and since when, so that a dead one can be told for certain."""

    host: str
    boot: str
    pid: int
    started: str

    def describe(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def tag(self) -> str:
        """The same, short enough for a part of a file's name."""
        place = hashlib.sha256(f"{self.host} {self.boot}".encode()).hexdigest()[:16] if self.boot else "unknown"
        return f"{place}.{self.pid}.{self.started}"


def identity() -> Identity:
    """Our own. `boot` names the boot and the PID namespace: pids mean nothing outside of both."""
    return _identity(os.getpid())


@cache
def _identity(pid: int) -> Identity:
    return Identity(os.uname().nodename, _boot(), pid, _started(pid))


def is_gone(other: Identity) -> bool:
    """True only when it is certain: same boot, same PID namespace, and no such process."""
    return bool(other.boot) and other.boot == _boot() and _started(other.pid) != other.started


def is_gone_by(tag: str) -> bool:
    """is_gone() for a process of which only the tag is known."""
    place, _, rest = tag.partition(".")
    pid, _, started = rest.partition(".")
    here = identity()
    ours = bool(here.boot) and place == here.tag.partition(".")[0]
    return ours and pid.isdigit() and bool(started) and _started(int(pid)) != started


def _boot() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Field 22 of /proc/PID/stat (proc(5)): the start, in clock ticks since boot; '' for none, or a dead one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except OSError:
        return ""
