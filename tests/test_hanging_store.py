"""FAULTS C23: a disk whose server does not answer. It is a real mount (sshfs), which is stopped.

Stopped is sshfs itself, so the kernel waits as it does for a dead NFS server: for ever, deaf to Ctrl-C, and
only SIGKILL or the end of the process lets go. Its sftp-server is started here, without a network.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pgproof.errors import NotFound, Unreachable
from pgproof.postgres.server import Address, connect
from pgproof.stores import deadline
from pgproof.stores.deadline import Deadline, within
from pgproof.stores.directory import DirectoryStore
from pgproof.stores.store import Store
from tests import kit
from tests.conftest import Program, Servers, missing
from tests.objects import put
from tests.waiting import until

# A shell starts what goes to the background with SIGINT ignored, and children would inherit that.
with contextlib.suppress(ValueError):
    signal.signal(signal.SIGINT, signal.default_int_handler)

SERVER = Path("/usr/lib/openssh/sftp-server")
UNCACHED = "passive,dir_cache=no,attr_timeout=0,entry_timeout=0,negative_timeout=0"
MAJOR = 15
SLACK = 1.5  # s, for a busy machine


@dataclass
class Disk:
    """A mounted disk, and the process that answers for it."""

    root: Path
    answering: "subprocess.Popen[bytes]"

    def hang(self) -> None:
        time.sleep(0.2)  # what is closed is told to the file system a moment later
        self.answering.send_signal(signal.SIGSTOP)
        # Every thread of it: one that runs on would take a request, and one that was taken the kernel waits for
        # though the process be killed.
        while not all(b") T" in one.read_bytes() for one in Path(f"/proc/{self.answering.pid}/task").glob("*/stat")):
            time.sleep(0.01)

    def go(self) -> None:
        self.answering.send_signal(signal.SIGCONT)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mounted where the fixture `program` has its store."""
    if not SERVER.exists() or not shutil.which("sshfs"):
        missing("sshfs with sftp-server")
    far, root = tmp_path / "far", tmp_path / "backups"
    far.mkdir(mode=0o700)
    root.mkdir(mode=0o700)
    (to_server, asks), (to_disk, answers) = os.pipe(), os.pipe()
    server = subprocess.Popen([SERVER], stdin=to_server, stdout=answers)
    mounting = ["sshfs", "-f", "-o", UNCACHED, f":{far}", str(root)]
    answering = subprocess.Popen(mounting, stdin=to_disk, stdout=asks, stderr=subprocess.DEVNULL)
    for fd in (to_server, asks, to_disk, answers):
        os.close(fd)
    try:
        if not mounted(root, answering):
            missing("the right to mount by FUSE")
        yield Disk(root, answering)
    finally:
        answering.send_signal(signal.SIGCONT)
        subprocess.run(["fusermount3", "-u", "-z", str(root)], check=False, capture_output=True)
        answering.kill()  # whoever still hangs there now fails
        server.kill()
        answering.wait(10)
        server.wait(10)


def mounted(root: Path, answering: "subprocess.Popen[bytes]") -> bool:
    until = time.monotonic() + 10
    while answering.poll() is None and time.monotonic() < until:
        if os.path.ismount(root):
            return True
        time.sleep(0.05)
    return False


@contextlib.contextmanager
def taking(least: float, most: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert least <= took <= most, f"it took {took:.2f} s"


def workers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "store"}


# -- the store --------------------------------------------------------------------------------------


def writing(store: Store) -> Callable[[], object]:
    sink = store.create("kc/b")
    return lambda: sink.write(b"x" * 300_000)


def committing(store: Store) -> Callable[[], object]:
    sink = store.create("kc/b")
    sink.write(b"x")
    return sink.commit


def reading(store: Store) -> Callable[[], object]:
    stream = store.open("kc/large")
    assert stream.read(10) == b"y" * 10
    return lambda: stream.read(8 << 20)


CALLS: dict[str, Callable[[Store], Callable[[], object]]] = {
    "create": lambda store: lambda: store.create("kc/b"),
    "create in place of another": lambda store: lambda: store.create("kc/a", replace=True),
    "write": writing,
    "commit": committing,
    "open": lambda store: lambda: store.open("kc/a"),
    "read": reading,
    "stat": lambda store: lambda: store.stat("kc/a"),
    "list": lambda store: lambda: list(store.list("kc/")),
    "delete": lambda store: lambda: store.delete("kc/a"),
    "sweep": lambda store: lambda: store.sweep(datetime.now(UTC)),
}


@pytest.mark.parametrize("call", CALLS)
def test_c23_a_call_that_hangs_ends_in_time_and_the_store_is_given_up(disk: Disk, call: str) -> None:
    seconds = 0.1 if call == "commit" else 1.0  # a commit is given ten times as long
    store = Deadline(DirectoryStore(disk.root), seconds, "the store at home")
    put(store, "kc/a")
    put(store, "kc/large", b"y" * (8 << 20))
    ask = CALLS[call](store)
    disk.hang()
    with taking(0.9, 1 + SLACK), pytest.raises(Unreachable) as caught:
        ask()
    assert caught.value.message == "the store at home has not answered for 1 s"
    assert "umount -f" in caught.value.hint
    threads = workers()
    for other in [ask, *(CALLS[name](store) for name in ("create", "open", "stat", "list", "delete", "sweep"))]:
        with taking(0, 0.2), pytest.raises(Unreachable):
            other()
    store.close()
    assert workers() <= threads
    disk.go()
    again = Deadline(DirectoryStore(disk.root), 10, "the store at home")
    with contextlib.suppress(NotFound):  # "delete" may have been done late
        assert again.stat("kc/a").size == 1
    put(again, "kc/c")


def test_c23_an_object_that_comes_to_be_after_all_is_taken_back(disk: Disk) -> None:
    store = Deadline(DirectoryStore(disk.root), 0.3, "s")
    disk.hang()
    with pytest.raises(Unreachable):
        put(store, "kc/a")
    disk.go()
    until(lambda: not store._patience.hangs)
    until(lambda: not list(DirectoryStore(disk.root).leftovers()))
    assert list(DirectoryStore(disk.root).list()) == []


def test_c23_abort_waits_no_longer_than_the_deadline_and_raises_nothing(disk: Disk) -> None:
    store = Deadline(DirectoryStore(disk.root), 1.0, "s")
    sink, stream = store.create("kc/b"), store.create("kc/c")
    disk.hang()
    with taking(0.9, 1 + SLACK):
        sink.abort()
    with taking(0, 0.2):
        sink.abort()
        stream.abort()
    disk.go()
    until(lambda: not list(DirectoryStore(disk.root).leftovers()))


def test_c23_what_is_written_when_it_hangs_is_taken_back_once_it_answers(disk: Disk) -> None:
    store = Deadline(DirectoryStore(disk.root), 0.5, "s")
    with pytest.raises(Unreachable):
        with store.create("kc/b") as sink:
            sink.write(b"x")
            disk.hang()
            sink.write(b"x" * 300_000)
    disk.go()
    until(lambda: not list(DirectoryStore(disk.root).leftovers()))
    assert list(DirectoryStore(disk.root).list()) == []


@pytest.mark.slow
def test_c23_all_who_wait_give_up_with_the_first(disk: Disk) -> None:
    store = Deadline(DirectoryStore(disk.root), 2.0, "s")
    ended: list[float] = []

    def wait() -> None:
        with pytest.raises(Unreachable):
            store.stat("kc/a")
        ended.append(time.monotonic())

    threads = [threading.Thread(target=wait) for _ in range(4)]
    disk.hang()
    began = time.monotonic()
    for thread in threads:
        thread.start()
        time.sleep(0.6)
    for thread in threads:
        thread.join()
    assert 1.9 < max(ended) - began < 2 + SLACK / 2, "the last one too, which came when the first had waited for long"


@pytest.mark.slow
def test_a_store_that_is_slow_and_answers_is_not_given_up(disk: Disk) -> None:
    """The deadline is each call's own."""
    store = Deadline(DirectoryStore(disk.root), 2.0, "s")
    with taking(2.4, 20):
        with store.create("kc/a") as sink:
            for _ in range(4):
                disk.hang()
                threading.Timer(0.6, disk.go).start()
                sink.write(b"x" * 100_000)
    assert store.stat("kc/a").size == 400_000


def test_what_goes_past_the_store_has_the_same_deadline(disk: Disk) -> None:
    assert within(5, "s", lambda: shutil.disk_usage(disk.root).total) > 0
    with pytest.raises(ZeroDivisionError):
        within(5, "s", lambda: 1 // 0)
    disk.hang()
    with taking(0.9, 1 + SLACK), pytest.raises(Unreachable):
        within(1.0, "s", lambda: shutil.disk_usage(disk.root))
    with taking(0, 0.2), pytest.raises(Unreachable):
        within(1.0, "s", lambda: None)
    disk.go()
    until(lambda: not deadline._owing["s"].hangs)
    assert within(1.0, "s", lambda: "asked again") == "asked again"


def test_threads_are_used_again_and_end_with_the_store(tmp_path: Path) -> None:
    before = workers()
    store = Deadline(DirectoryStore(tmp_path), 10, "s")
    for number in range(20):
        put(store, f"kc/{number}")
        with store.open(f"kc/{number}") as stream:
            assert stream.read() == b"x"
        with pytest.raises(NotFound):
            store.open("kc/absent")
    until(lambda: len(workers() - before) == 1)
    del store
    until(lambda: not workers() - before)


def test_what_is_large_passes_whole(tmp_path: Path) -> None:
    """More than goes in one call."""
    store = Deadline(DirectoryStore(tmp_path), 10, "s")
    data = os.urandom(1 << 20) * 40 + b"end"
    put(store, "kc/a", data)
    for size in (-1, len(data), len(data) + 1, 1 << 30):
        with store.open("kc/a") as stream:
            assert stream.read(size) == data
            assert stream.read(size) == b""
    with store.open("kc/a", 1, 20 << 20) as stream:
        assert stream.read() == data[1 : 1 + (20 << 20)]


# -- a process --------------------------------------------------------------------------------------

SCRIPT = textwrap.dedent("""
    import sys
    from pathlib import Path
    from pgproof.errors import Unreachable
    from pgproof.stores.deadline import Deadline
    from pgproof.stores.directory import DirectoryStore
    store = Deadline(DirectoryStore(Path(sys.argv[1])), 1.0, "s")
    store.stat("kc/large")
    if sys.argv[2] == "open":
        sink = store.create("kc/b")
        sink.write(b"x")
        streams = [store.open("kc/large") for _ in range(2)]
        streams[0].read(10)
    print("BEGIN", flush=True)
    sys.stdin.readline()
    try:
        streams[0].read(8 << 20) if sys.argv[2] == "open" else store.stat("kc/large")
    except Unreachable as error:
        streams = sink = None
        print(error.message, flush=True)
        sys.exit(error.exit_code)
""")


@contextlib.contextmanager
def script(disk: Disk, files: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that asks the disk just after that hangs, and has said that there is no answer."""
    put(DirectoryStore(disk.root), "kc/large", b"y" * (8 << 20))
    argv = [sys.executable, "-c", SCRIPT, str(disk.root), files]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as child:
        assert child.stdin and child.stdout
        assert child.stdout.readline() == "BEGIN\n"
        disk.hang()
        with taking(0.9, 1 + SLACK):
            child.stdin.write("go\n")
            child.stdin.close()
            assert child.stdout.readline() == "s has not answered for 1 s\n"
        yield child


def test_c23_a_process_ends_though_a_thread_of_it_hangs(disk: Disk) -> None:
    with script(disk, "none") as child:
        with taking(0, 1):
            assert waited(child, disk, 5) == Unreachable.exit_code


def test_c23_a_process_with_files_open_ends_at_the_latest_with_the_umount_that_the_hint_names(disk: Disk) -> None:
    """The kernel closes its files, and lets nothing break that off: FUSE any, NFS those that were written to."""
    with script(disk, "open") as child:
        subprocess.run(["umount", "-f", str(disk.root)], check=False, capture_output=True)
        assert waited(child, disk, 5) == Unreachable.exit_code


def waited(child: "subprocess.Popen[str]", disk: Disk, seconds: float) -> int:
    """Its exit code; that it ends is demanded while the disk still hangs."""
    try:
        code = child.wait(seconds)
    except subprocess.TimeoutExpired:
        disk.go()
        child.kill()
        child.wait()
        pytest.fail(f"it had not ended after {seconds} s")
    assert session(child.pid) == [], "what it started has ended too"
    return code


def session(leader: int) -> list[str]:
    """The command lines of the processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if folder.joinpath("stat").read_text().rpartition(") ")[2].split()[3] == str(leader):
                found.append(folder.joinpath("cmdline").read_text().replace("\0", " "))
    return found


def start(program: Program, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        program.argv(*words), cwd=program.folder, env=program.environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def seconds_that_ends(disk: Disk, child: "subprocess.Popen[str]", number: signal.Signals) -> tuple[float, str]:
    """How long a command that hangs takes to answer a signal, and what it says."""
    time.sleep(2)
    assert child.poll() is None, child.communicate()
    began = time.monotonic()
    child.send_signal(number)
    code = waited(child, disk, 10)
    took = time.monotonic() - began
    out, err = child.communicate()
    assert code == 130, (code, out, err)
    return took, out + err


@pytest.fixture
def source(servers: Servers) -> Address:
    address = servers.database(MAJOR)
    kit.run(
        address,
        "CREATE TABLE public.t (id int PRIMARY KEY, text text)",
        "INSERT INTO public.t SELECT n, md5(n::text) FROM generate_series(1, 5000) n",
    )
    return address


@contextlib.contextmanager
def hanging_in_the_middle(disk: Disk, program: Program, source: Address) -> Iterator["subprocess.Popen[str]"]:
    """A backup that has its lock in the store already, and hangs as it writes its parts."""
    with kit.holding(source, "LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE"):
        child = start(program, "backup")
        with connect(source, "postgres") as session:
            waiting = "SELECT count(*) FROM pg_catalog.pg_locks WHERE NOT granted"
            while not session.value(waiting):
                assert child.poll() is None, child.communicate()
                time.sleep(0.05)
        disk.hang()
    try:
        yield child
    finally:
        disk.go()
        child.kill()
        child.communicate()


def check_after(disk: Disk, program: Program) -> None:
    """The disk answers again: nothing of the earlier run is listed, and the next one works and clears up."""
    disk.go()
    before = program.ok("list", "--json").json
    made = program.ok("backup", "--json").json["id"]
    assert [one["id"] for one in program.ok("list", "--json").json] == [*(one["id"] for one in before), made]
    assert program.run("verify", made).code == 0
    assert list(DirectoryStore(disk.root).leftovers()) == []
    assert not list(disk.root.rglob("lock.json"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_c23_a_signal_is_answered_while_the_store_hangs(
    disk: Disk, program: Program, source: Address, number: signal.Signals
) -> None:
    program.configure(db=source)
    program.ok("backup")
    disk.hang()
    took, said = seconds_that_ends(disk, start(program, "list"), number)
    assert took < 2, took
    assert "interrupted" in said and "Traceback" not in said
    check_after(disk, program)


@pytest.mark.slow
@pytest.mark.parametrize("encrypted", [False, True])
def test_c23_a_signal_is_answered_while_the_store_hangs_in_a_backup(
    disk: Disk, program: Program, source: Address, encrypted: bool
) -> None:
    """With gpg another thread writes, and the one that gets the signal waits for that."""
    (program.folder / "passphrase").touch(0o600)
    (program.folder / "passphrase").write_text("correct horse")
    more = '\n[encryption]\nmethod = "gpg"\npassphrase = "file:passphrase"\n' if encrypted else ""
    program.configure(more, db=source)
    program.ok("backup")
    with hanging_in_the_middle(disk, program, source) as child:
        took, said = seconds_that_ends(disk, child, signal.SIGINT)
    assert took < 3, took
    assert "interrupted" in said and "Traceback" not in said
    check_after(disk, program)


@pytest.mark.slow
def test_c23_commands_on_a_store_that_hangs_end_in_time_and_say_so(
    disk: Disk, program: Program, source: Address
) -> None:
    """All at once, as each waits for the whole minute; and a backup that was under way."""
    program.configure(db=source)
    program.ok("backup")
    codes = {"backup": 6, "list": 6, "verify": 6, "prove": 6, "prune": 6, "restore latest": 6, "status": 3, "doctor": 1}
    with hanging_in_the_middle(disk, program, source) as under_way:
        began = time.monotonic()
        children = [(start(program, *words.split()), code, words) for words, code in codes.items()]
        for child, code, words in [(under_way, 6, "backup"), *children]:
            assert waited(child, disk, 60 + 20 - (time.monotonic() - began)) == code, (words, child.communicate())
            out, err = child.communicate()
            assert "has not answered for 60 s" in out + err, words
            assert "umount -f" in out + err, words
            assert "Traceback" not in out + err, words
            if code == 6:
                lines = err.splitlines()
                assert lines[-2].startswith("pgproof: ") and lines[-1].startswith("  hint: "), words
    check_after(disk, program)
