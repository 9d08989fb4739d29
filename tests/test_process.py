"""Child processes: how they end is told, they end together, and their end is believed only by their status."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from pgproof.errors import PgproofError, ProgramFailed
from pgproof.stream import process
from pgproof.stream.process import Child, Program

QUICK = 20.0


def sh(script: str, **more) -> Program:
    return Program(["/bin/sh", "-c", script], **{"deadline": QUICK, **more})


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone(pid: int, seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(pid)


def written(path: Path, seconds: float = 30.0) -> str:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if path.exists() and path.read_text().endswith("\n"):
            return path.read_text()
        time.sleep(0.02)
    raise AssertionError(f"{path} was not written")


# -- how it ended ---------------------------------------------------------------------------------


def test_output_comes_whole_and_input_goes_in() -> None:
    data = os.urandom(3 << 20)
    assert process.run(Program(["/bin/cat"]), data) == data
    assert process.run(sh("echo out; echo err >&2")) == b"out\n"


def test_a_status_and_the_end_of_stderr_are_in_the_error() -> None:
    with pytest.raises(ProgramFailed) as caught:
        process.run(sh("for i in $(seq 9999); do echo line $i >&2; done; echo the reason >&2; exit 7"))
    assert "sh ended with status 7" in caught.value.message
    assert "the reason" in caught.value.message
    assert "line 1\n" not in caught.value.message
    assert len(caught.value.message) < process.TAIL_BYTES + 200


def test_accepted_statuses_are_no_error() -> None:
    assert process.run(sh("echo x; exit 3"), accept=(0, 3)) == b"x\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGPIPE])
def test_a_signal_is_told(number: signal.Signals) -> None:
    with pytest.raises(ProgramFailed) as caught:
        process.run(sh(f"echo before >&2; kill -{int(number)} $$"))
    assert f"killed by signal {int(number)}" in caught.value.message
    assert "before" in caught.value.message
    assert ("memory" in caught.value.message) == (number == signal.SIGKILL)


def test_the_end_of_output_is_not_believed_before_the_status() -> None:
    """A program that closes its output, looks finished, and then fails."""
    with process.reading(sh("echo all; exec 1>&-; sleep 0.3; exit 5")) as child:
        assert child.read() == b"all\n"
        with pytest.raises(ProgramFailed):
            child.read()
        with pytest.raises(ProgramFailed):
            child.read()  # asked again, the answer stays the same
    with pytest.raises(ProgramFailed):
        process.run(sh("echo all; exec 1>&-; sleep 0.3; kill -9 $$"))


def test_after_a_good_end_there_is_only_the_end() -> None:
    with process.reading(sh("echo all")) as child:
        assert b"".join(child.chunks()) == b"all\n"
        assert child.read() == b""
        assert child.read() == b""
        assert child.finish() == 0


def test_a_missing_program_is_a_sentence() -> None:
    for path in ("/absent/pg_dump", "pgproof-absent-program", "/etc/passwd"):
        with pytest.raises(PgproofError) as caught:
            process.run(Program([path, "x"]))
        assert os.path.basename(path) in caught.value.message
        assert "setpriv" not in caught.value.message
    assert process.find("pgproof-absent-program") is None


def test_a_huge_stderr_holds_nobody_up() -> None:
    began = time.monotonic()
    assert process.run(sh("head -c 20000000 /dev/zero | tr '\\0' x >&2; echo done")) == b"done\n"
    assert time.monotonic() - began < QUICK / 2


# -- input that is not wanted -----------------------------------------------------------------------


def test_input_that_is_not_read_does_not_spoil_a_good_end() -> None:
    for _ in range(5):
        assert process.run(sh("exec 0<&-; sleep 0.1; echo hi; sleep 0.1; echo ho"), os.urandom(1 << 20)) == b"hi\nho\n"
        assert process.run(sh("head -c 3"), b"abc" * 1_000_000) == b"abc"


def test_a_writer_learns_that_nobody_listens_and_why() -> None:
    for _ in range(10):
        with process.filtering(sh("echo 'no such key' >&2; exit 2")) as child:
            with pytest.raises(ProgramFailed) as caught:
                for _ in range(1000):
                    child.write(b"x" * 100_000)
            assert "no such key" in caught.value.message
            assert "status 2" in caught.value.message


def test_a_reader_in_another_thread_gets_all_that_came_before_a_failed_write() -> None:
    for _ in range(10):
        got: list[bytes] = []
        errors: list[BaseException] = []

        def pump(child: Child, got=got, errors=errors) -> None:
            try:
                got.extend(child.chunks(10))
            except BaseException as error:
                errors.append(error)  # noqa: B023

        with process.filtering(sh("exec 0<&-; echo one; sleep 0.05; echo two; exit 3")) as child:
            thread = threading.Thread(target=pump, args=(child,))
            thread.start()
            with pytest.raises(ProgramFailed):
                while True:
                    child.write(b"x" * 100_000)
            thread.join(10)
        assert b"".join(got) == b"one\ntwo\n"
        assert [type(error) for error in errors] == [ProgramFailed]


# -- they end together ------------------------------------------------------------------------------

FAMILY = "sleep 300 & echo $! > {pids}; echo $$ >> {pids}; echo started; wait"


def family(tmp_path: Path, script: str = FAMILY, **more) -> Program:
    return sh(script.format(pids=tmp_path / "pids"), **more)


def pids(tmp_path: Path) -> list[int]:
    return [int(word) for word in written(tmp_path / "pids").split()]


@pytest.mark.parametrize(
    ("limits", "word"), [({"deadline": 0.6}, "deadline"), ({"idle": 0.6}, "moved no byte")], ids=["deadline", "idle"]
)
def test_the_watchdog_ends_the_whole_group(tmp_path: Path, limits: dict[str, float], word: str) -> None:
    began = time.monotonic()
    with pytest.raises(ProgramFailed) as caught:
        process.run(family(tmp_path, **limits))
    assert time.monotonic() - began < 20
    assert word in caught.value.message
    assert all(map(gone, pids(tmp_path)))


def test_a_stopped_child_is_ended_too(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailed):
        process.run(sh("kill -STOP $$; echo never", idle=0.6))


def test_a_child_that_moves_is_not_idle() -> None:
    assert process.run(sh("for i in 1 2 3 4 5 6; do echo $i; sleep 0.3; done", idle=1.2)).count(b"\n") == 6


def test_leaving_on_an_error_ends_the_whole_group(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        with process.reading(family(tmp_path)) as child:
            assert child.read() == b"started\n"
            raise ZeroDivisionError
    assert all(map(gone, pids(tmp_path)))


def test_stop_ends_also_those_that_outlive_the_first(tmp_path: Path) -> None:
    """The leader obeys SIGTERM, a member of its group does not."""
    script = "(trap '' TERM; sleep 300 & echo $! > {pids}; wait) & sleep 0.3; echo $$ >> {pids}; echo started; wait"
    with process.reading(family(tmp_path, script)) as child:
        assert child.read() == b"started\n"
        child.stop(grace=1)
    assert all(map(gone, pids(tmp_path)))


def test_a_leader_that_fails_takes_its_group_along(tmp_path: Path) -> None:
    script = "sleep 300 >/dev/null 2>&1 & echo $! > {pids}; exit 4"
    with pytest.raises(ProgramFailed):
        process.run(family(tmp_path, script))
    assert all(map(gone, pids(tmp_path)))


def test_stop_kills_what_ignores_the_first_signal() -> None:
    with process.reading(sh("trap '' TERM; echo started; while :; do sleep 0.1; done")) as child:
        assert child.read() == b"started\n"
        began = time.monotonic()
        child.stop(grace=0.5)
        assert time.monotonic() - began < 20
        assert not child.running
        child.stop()


def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import sys, time
        sys.path[:0] = {sys.path!r}
        from pgproof.stream import process
        child = process.reading(process.Program(["/bin/sleep", "300"]))
        print(child.pid, flush=True)
        time.sleep(300)
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        time.sleep(0.3)
        assert alive(pid)
        parent.kill()
    assert gone(pid)


def test_a_signal_as_a_program_is_started_ends_it_too() -> None:
    """It sends us the signal itself, first of all: we may be anywhere between fork() and knowing its pid."""
    script = textwrap.dedent(f"""
        import os, signal, sys
        sys.path[:0] = {sys.path!r}
        from pgproof.cli import main
        from pgproof.stream import process
        program = process.Program(["/bin/sh", "-c", "kill -TERM $PPID; echo $$ >&2; exec sleep 300"])
        for _ in range(20):
            signal.signal(signal.SIGTERM, main._interrupt)
            try:
                process.run(program)
            except KeyboardInterrupt:
                print(os.popen(f"ps --ppid {{os.getpid()}} -o args= | grep -c '[s]leep 300'").read().strip())
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["0"] * 20, done


# -- what it is given -------------------------------------------------------------------------------


def test_the_environment_holds_no_secret_and_no_connection_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGPASSWORD", "PGHOST", "PGSERVICE", "PGOPTIONS", "PGPASSFILE", "AWS_SECRET_ACCESS_KEY",
                 "PGPROOF_PASSPHRASE", "LD_PRELOAD_NOT", "LANG", "LC_MESSAGES"):  # fmt: skip
        monkeypatch.setenv(name, "canary-of-the-test")
    seen = process.run(Program(["/usr/bin/env"], env={"PGAPPNAME": "given"})).decode()
    assert "canary" not in seen
    assert "PGAPPNAME=given" in seen
    assert "LC_ALL=C\n" in seen
    assert {line.split("=")[0] for line in seen.splitlines()} <= {*process._KEPT, "LC_ALL", "PGAPPNAME"}


def test_no_descriptor_but_the_given_ones_is_handed_on() -> None:
    secret, writer = os.pipe()
    given, giver = os.pipe()
    try:
        os.set_inheritable(secret, True)
        seen = process.run(Program(["/bin/ls", "/proc/self/fd"], pass_fds=(given,))).decode().split()
        assert set(seen) <= {
            "0",
            "1",
            "2",
            str(given),
            *(str(fd) for fd in range(3, 10) if fd not in (secret, writer, giver)),
        }
        assert str(given) in seen
        assert str(secret) not in seen or secret == 3
    finally:
        for fd in (secret, writer, given, giver):
            os.close(fd)


def test_no_child_leaves_a_descriptor_or_a_thread_behind() -> None:
    process.run(sh("true"))
    fds, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(5):
        process.run(Program(["/bin/cat"]), b"x")
        with pytest.raises(ProgramFailed):
            process.run(sh("exit 1"))
    assert len(os.listdir("/proc/self/fd")) == fds
    assert threading.active_count() == threads


# -- identity ---------------------------------------------------------------------------------------


def test_this_process_is_not_gone_and_a_dead_one_is() -> None:
    me = process.identity()
    assert not process.is_gone(me)
    script = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from pgproof.stream import process; i = process.identity()\n"
        "print(i.boot, i.pid, i.started, flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout and other.stdin
        boot, pid, started = other.stdout.readline().rsplit(" ", 2)
        seen = process.Identity(me.host, boot, int(pid), started.strip())
        assert not process.is_gone(seen)
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert process.is_gone(seen), "one that is dead and not yet reaped does nothing any more"
    assert process.is_gone(seen)


def test_a_number_used_again_is_another_process_and_what_is_not_known_is_not_gone() -> None:
    me = process.identity()
    assert process.is_gone(process.Identity(me.host, me.boot, me.pid, "1"))
    assert not process.is_gone(process.Identity("elsewhere", "another boot", 999_999, "1"))
    assert not process.is_gone(process.Identity(me.host, "", 999_999, "1"))


class SlowPipe(io.RawIOBase):
    """A pipe whose number is asked for, and used a while later."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.entered = threading.Event()
        self.end, self.ours = os.pipe()

    def fileno(self) -> int:
        if self.closed:
            raise ValueError("closed")
        self.events.append("asked")
        self.entered.set()
        time.sleep(0.2)
        self.events.append("used")
        return self.ours

    def close(self) -> None:
        if not self.closed:
            self.events.append("closed")
            os.close(self.ours)
            os.close(self.end)
        super().close()


def test_a_pipe_is_not_closed_under_a_thread_that_writes() -> None:
    """Or its number is another file's by then, and that file is written to."""
    slow = SlowPipe()
    pipe = process._Pipe(slow)
    writer = threading.Thread(target=pipe.write, args=(memoryview(b"x"),))
    writer.start()
    slow.entered.wait()
    pipe.close()
    writer.join()
    assert slow.events == ["asked", "used", "closed"]
    with pytest.raises(ValueError, match="closed"):
        pipe.write(memoryview(b"x"))
