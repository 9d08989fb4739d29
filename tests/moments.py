"""Moments of a run, chosen by what happens in it: the run stops there, tells the test, and goes on when it is let.

    with Forked.start(("backup",), folder, env, Moment("commit:manifest.json")) as run:
        run.reached()                    # it stands before the manifest's commit, in this run as in every other
        os.kill(run.pid, signal.SIGKILL)

Events, by name:
    phase:WHAT         a step begins, by the name that progress tells (phase:rows, phase:indexes and keys)
    advance            a block was read or written
    create:NAME        a store is about to make an object, by the last part of its name
    commit:NAME        it is written, and about to be committed
    committed:NAME     it is there
    delete:NAME        a store is about to delete it
    program:NAME       a program has been started for its work (not for its version), and stands before its first
                       instruction; `detail` is its pid

Nothing in the program knows of this. `watch_for` runs in the child alone, once it is forked, and puts an observer
and a wrapped store where the command line and `pgproof.job` look for their own.
"""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Moment:
    """The `number`-th event of this name, counted from 1."""

    event: str
    number: int = 1

    def __str__(self) -> str:
        return f"{self.event} ({self.number})" if self.number > 1 else self.event


Happened = Callable[..., None]


def watch_for(moment: Moment, test: socket.socket) -> None:
    """Stop at the moment and tell the test, which lets go by a byte, or by its end."""
    seen, lock = 0, threading.Lock()

    def happened(event: str, detail: object = "") -> None:
        nonlocal seen
        with lock:
            seen += event == moment.event
            here = event == moment.event and seen == moment.number
        if here:
            test.sendall(f"{detail}\n".encode())
            test.recv(1)

    _watch_progress(happened)
    _watch_stores(happened)
    _watch_programs(happened, moment.event)


def _watch_progress(happened: Happened) -> None:
    from pgproof.cli import watch
    from pgproof.stream.progress import Silent

    class Observer(Silent):
        def begin(self, what: str, total: int = 0) -> None:
            happened(f"phase:{what}")

        def advance(self, amount: int) -> None:
            happened("advance")

    vars(watch)["Silent"] = Observer


def _watch_stores(happened: Happened) -> None:
    from pgproof import job
    from pgproof.stores.directory import DirectoryStore

    class Watched(DirectoryStore):
        def create(self, name: str, **how: Any) -> Any:
            last = name.rpartition("/")[2]
            happened(f"create:{last}")
            sink = super().create(name, **how)
            commit = sink.commit

            def told() -> None:
                happened(f"commit:{last}")
                commit()
                happened(f"committed:{last}")

            sink.commit = told  # type: ignore[method-assign]
            return sink

        def delete(self, name: str, **how: Any) -> None:
            happened(f"delete:{name.rpartition('/')[2]}")
            super().delete(name, **how)

    vars(job)["DirectoryStore"] = Watched


def _watch_programs(happened: Happened, wanted: str) -> None:
    from pgproof.stream import process

    start = process._popen

    def popen(program: process.Program, *streams: Any) -> Any:
        if "--version" in program.argv or wanted != f"program:{program.name}":
            return start(program, *streams)
        stopped = ["sh", "-c", 'kill -STOP $$; exec "$@"', "sh", *program.argv]
        child = start(process.Program(stopped, program.env, program.pass_fds, cwd=program.cwd), *streams)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        happened(wanted, child.pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGCONT)
        return child

    process._popen = popen  # type: ignore[assignment]
