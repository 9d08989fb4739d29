"""The program in a process that is forked and not started anew: a third of a second of imports is paid once.

`Forked` starts one Python that has imported pgproof (`python -m tests.forked`), which then forks for each run. The
child gets the caller's words, folder, environment and standard streams, and is in all that a test can see the program
itself: a process of its own, with its own signals, limits and exit status. What the start of Python does is tested by
runs of `python -m pgproof`.
"""

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import typer.main

import pgproof
from pgproof.cli.app import app
from pgproof.postgres import tools
from tests.moments import Moment, watch_for

_STREAMS = ((0, "r", "strict", -1), (1, "w", "strict", -1), (2, "w", "backslashreplace", 1))
_MOST = 1 << 20  # bytes of a request: words and environment
_OF_THE_START = ("LANG", "LC_ALL", "LC_CTYPE")  # what Python reads once, when it starts; and all of PYTHON*


@dataclass
class Running:
    """A run that has begun; `pid` is the program's. Leaving it kills what still runs."""

    words: Sequence[str]
    pid: int
    connection: socket.socket
    moment: socket.socket
    out: io.BufferedRandom
    err: io.BufferedRandom
    ended: bool = False

    def reaches(self, timeout: float = 60) -> str | None:
        """Wait until it stands at its moment; what is told of it, None when it ended before."""
        self.moment.settimeout(timeout)
        told = self.moment.recv(256).decode()
        return told.strip() if told else None

    def reached(self, timeout: float = 60) -> str:
        """As `reaches`; raises AssertionError when it ended before."""
        told = self.reaches(timeout)
        assert told is not None, f"pgproof {' '.join(self.words)} did not come to its moment: {self.wait(timeout)}"
        return told

    def go(self) -> None:
        """Let it go on from its moment."""
        with contextlib.suppress(OSError):
            self.moment.send(b".")

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        """How it ended, and what it wrote. Raises subprocess.TimeoutExpired, having killed it."""
        self.connection.settimeout(timeout)
        try:
            status = int(self.connection.recv(64))
        except TimeoutError:
            os.kill(self.pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(["pgproof", *self.words], timeout) from None
        finally:
            self.ended = True
            texts = [_text(self.out), _text(self.err)]
            self.connection.close()
            self.moment.close()
        return subprocess.CompletedProcess(["pgproof", *self.words], status, *texts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.ended:
            self.signal(signal.SIGKILL)
            self.wait()


def _text(file: io.BufferedRandom) -> str:
    with file:
        file.seek(0)
        return file.read().decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")


class Forked:
    """The process that has everything imported, and these variables besides; several threads may use it."""

    def __init__(self, **env: str) -> None:
        self._name = f"\0pgproof-forked-{os.getpid()}-{time.monotonic_ns()}"
        argv = [sys.executable, "-m", "tests.forked"]
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(self._name)
            listener.listen(64)
            self._server = subprocess.Popen(
                [*argv, str(listener.fileno())],
                cwd=Path(__file__).resolve().parent.parent,
                env=os.environ | env,
                pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE,  # it ends when this does
            )

    def start(self, words: Sequence[str], cwd: Path, env: Mapping[str, str], moment: Moment | None = None) -> Running:
        """Begin a run of `pgproof WORDS`, which stands still at `moment`."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.connect(self._name)
        request = {"words": list(words), "cwd": str(cwd), "env": dict(env), "moment": moment and asdict(moment)}
        ours, theirs = socket.socketpair()
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - Running closes them
        with open(os.devnull, "rb") as nothing, theirs:
            streams = [nothing.fileno(), out.fileno(), err.fileno(), theirs.fileno()]
            socket.send_fds(connection, [json.dumps(request).encode()], streams)
            pid = int(connection.recv(64))
        return Running(words, pid, connection, ours, out, err)

    def close(self) -> None:
        assert self._server.stdin
        self._server.stdin.close()
        self._server.wait(30)


@cache
def shared(**env: str) -> Forked:
    """The one of this process (and these variables), ended with it."""
    made = Forked(**env)
    atexit.register(made.close)
    return made


def fits(env: Mapping[str, str]) -> bool:
    """Whether a run with this environment begins like any other; one that does not needs a Python of its own."""
    of_python = {key for key in (*env, *os.environ) if key.startswith("PYTHON")}
    return all(env.get(key) == os.environ.get(key) for key in (*_OF_THE_START, *of_python))


# -- the process that forks --------------------------------------------------------------------------


def serve(listener: socket.socket) -> dict[str, Any] | None:
    """Fork for every request. Returns the request in a child, None at the end."""
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is sys.stdin:
                    return None
                if key.fileobj is not listener:
                    selector.unregister(key.fileobj)
                    _ended(key.fd, *key.data)
                elif request := _forked(listener, selector):
                    return request


def _forked(listener: socket.socket, selector: selectors.BaseSelector) -> dict[str, Any] | None:
    connection, _ = listener.accept()
    sent, (*streams, test), _, _ = socket.recv_fds(connection, _MOST, 4)
    pid = os.fork()
    if pid == 0:
        connection.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        return {**json.loads(sent), "test": test}
    for stream in (*streams, test):
        os.close(stream)
    connection.send(str(pid).encode())
    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, connection))
    return None


def _ended(pidfd: int, pid: int, connection: socket.socket) -> None:
    _, status = os.waitpid(pid, 0)
    os.close(pidfd)
    with contextlib.suppress(OSError), connection:
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())


def become(request: dict[str, Any]) -> None:
    """Run the program with what was asked for, as if this process had been started so."""
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.chdir(request["cwd"])
    tempfile.tempdir = None
    sys.argv[1:] = request["words"]
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding="utf-8", errors=errors, closefd=False, buffering=lines)  # noqa: SIM115
        for number, mode, errors, lines in _STREAMS
    )
    test = socket.socket(fileno=request["test"])
    test.set_inheritable(False)
    if request["moment"]:
        watch_for(Moment(**request["moment"]), test)
    from pgproof.cli.main import main

    main()


if __name__ == "__main__":
    for module in pkgutil.walk_packages(pgproof.__path__, "pgproof."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)  # here, once, and not in every run
    importlib.import_module("typer._adapters")  # what typer imports late, with all of pydantic
    typer.main.get_command = cache(typer.main.get_command)  # it reads the options off all commands, for 60 ms
    typer.main.get_command(app)
    tools.found()  # asks each PostgreSQL here for its version
    tools._all.cache_clear()  # noqa: SLF001 - the PATH of a run may lead to others
    gc.freeze()
    with socket.socket(fileno=int(sys.argv.pop(1))) as given:
        asked = serve(given)
    if asked:
        become(asked)
