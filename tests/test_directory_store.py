"""The directory store against file systems that fill, fail and lie (FAULTS B5-B7, C22, C29, C30)."""

import json
import os
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgproof.errors import AlreadyExists, NotFound, PgproofError, Refused, Unreachable
from pgproof.stores import marker
from pgproof.stores.directory import DirectoryStore, check_mounted
from pgproof.stores.names import MARKER
from pgproof.stream import process
from tests.conftest import disk, missing
from tests.objects import put

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path, 1) as folder:
        yield folder


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777])
def test_modes_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    root = tmp_path / "new" / "store"
    before = os.umask(umask)
    try:
        marker.make(DirectoryStore(root))
        store = DirectoryStore(root)
        sink = store.create("kc/one/part")
        sink.write(b"x")
        unfinished = list((root / "kc/one").iterdir())
        assert [mode(path) for path in unfinished] == [0o600]
        sink.commit()
        put(store, "kc/lock.json", b"y", replace=True)
        put(store, "kc/lock.json", b"z", replace=True)
    finally:
        os.umask(before)
    for path in [tmp_path / "new", *(tmp_path / "new").rglob("*")]:
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path


# -- what others put there ------------------------------------------------------------------------


def test_a_link_at_the_target_is_neither_followed_nor_overwritten(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret")
    for name, to in (("link", outside), ("dangling", tmp_path / "absent")):
        (root / name).symlink_to(to)
        store = DirectoryStore(root)
        with pytest.raises(AlreadyExists):
            put(store, name)
        for ask in (store.open, store.stat):
            with pytest.raises(Refused):
                ask(name)
        assert list(store.list()) == []
        put(store, name, b"ours", replace=True)
        assert not (root / name).is_symlink()
        store.delete(name)
    assert outside.read_text() == "secret"
    assert not (tmp_path / "absent").exists()
    (root / "link").symlink_to(outside)
    store.delete("link")
    assert outside.read_text() == "secret"


def test_a_link_in_place_of_a_folder_never_leads_outside(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "x").write_text("secret")
    (outside / "x").write_text("secret")
    (root / "kc").symlink_to(outside)
    (root / "real").mkdir()
    (root / "real" / "kc").symlink_to(outside)
    store = DirectoryStore(root)
    for name in ("kc/x", "kc/deep/x", "kc/new", "kc/deep/new", "real/kc/x", "real/kc/new/er"):
        for ask in (
            lambda name=name: put(store, name),
            lambda name=name: put(store, name, replace=True),
            lambda name=name: store.open(name),
            lambda name=name: store.stat(name),
            lambda name=name: store.delete(name),
        ):
            with pytest.raises(Refused):
                ask()
    for prefix in ("", "kc", "kc/", "kc/deep/", "real/", "real/kc/"):
        assert list(store.list(prefix)) == []
    assert files(outside) == ["deep/x", "x"]


def test_the_root_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    put(DirectoryStore(tmp_path / "alias"), "kc/x")
    assert files(root) == ["kc/x"]


def test_foreign_files_are_ignored_and_never_deleted(root: Path) -> None:
    foreign = ["README with spaces.txt", "kc/.pgproof-tmp-0123456789abcdef", "kc/übung", "kc/one/part.~1~ copy"]
    for name in foreign:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("theirs")
    os.mkfifo(root / "kc/pipe")
    (root / "empty").mkdir()
    store = DirectoryStore(root)
    put(store, "kc/one/part")
    assert [entry.name for entry in store.list()] == ["kc/one/part"]
    store.delete("kc/one/part")
    assert list(store.list()) == []
    assert files(root) == sorted([*foreign, "kc/pipe"])
    assert (root / "empty").is_dir()
    assert [path.name for path, _ in store.leftovers()] == [".pgproof-tmp-0123456789abcdef"]


def test_a_pipe_in_place_of_an_object_holds_nobody(root: Path) -> None:
    os.mkfifo(root / "x")
    store, failures = DirectoryStore(root), []

    def ask() -> None:
        for question in (store.open, store.stat):
            try:
                question("x")
            except NotFound as error:
                failures.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(5)
    assert len(failures) == 2


def test_a_folder_in_place_of_an_object(root: Path) -> None:
    store = DirectoryStore(root)
    put(store, "kc/x")
    for replace in (False, True):
        with pytest.raises(PgproofError):
            put(store, "kc", replace=replace)
    with pytest.raises(PgproofError):
        put(store, "kc/x/below")
    assert files(root) == ["kc/x"]


# -- marker and mount (C22) -----------------------------------------------------------------------


def check(root: Path, expected: str | None, *, mount: bool = False) -> None:
    """As the program does before it uses a directory."""
    check_mounted(root, mount=mount)
    marker.compare(marker.read(DirectoryStore(root), str(root)), expected, str(root))


def test_the_marker_says_which_store_it_is(tmp_path: Path) -> None:
    root = tmp_path / "store"
    assert marker.read(DirectoryStore(root), str(root)) is None
    store = marker.make(DirectoryStore(root))
    assert marker.read(DirectoryStore(root), str(root)) == store
    assert list(DirectoryStore(root).list()) == []
    check(root, store)
    check(root, None)
    with pytest.raises(AlreadyExists):
        marker.make(DirectoryStore(root))
    assert marker.read(DirectoryStore(root), str(root)) == store
    assert marker.make(DirectoryStore(tmp_path / "other")) != store


def test_another_store_or_none_is_refused(tmp_path: Path) -> None:
    mine, other = marker.make(DirectoryStore(tmp_path / "mine")), marker.make(DirectoryStore(tmp_path / "other"))
    with pytest.raises(Refused) as caught:
        check(tmp_path / "other", mine)
    assert "another store" in caught.value.message
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "absent", tmp_path / "absent" / "deeper" / "still"):
        with pytest.raises(Refused) as caught:
            check(path, other)
        assert "no marker" in caught.value.message
        assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"x"', b"7", b"{}", b"\xff\xfe", b'{"stor'])
def test_a_marker_that_cannot_be_read_is_not_taken_for_none(root: Path, content: bytes) -> None:
    (root / MARKER).write_bytes(content)
    with pytest.raises(Unreachable):
        check(root, None)


def test_a_path_that_is_no_mount_is_refused_when_one_is_configured() -> None:
    same_disk = [path for path in ("/opt", "/srv", "/mnt") if os.path.isdir(path) and not os.path.ismount(path)]
    for path in [*same_disk, "/absent/much/deeper"]:
        with pytest.raises(Refused):
            check(Path(path), None, mount=True)


@needs_root
def test_an_unmounted_disk_is_refused_and_a_mounted_one_is_not(small_disk: Path) -> None:
    store = marker.make(DirectoryStore(small_disk))
    check(small_disk, store, mount=True)
    check(small_disk / "below", None, mount=True)
    subprocess.run(["umount", str(small_disk)], check=True)
    try:
        with pytest.raises(Refused):
            check(small_disk, store, mount=True)
        with pytest.raises(Refused):
            check(small_disk, store)
        assert list(small_disk.iterdir()) == []
    finally:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(small_disk)], check=True)


# -- a full disk (B5) -----------------------------------------------------------------------------


@needs_root
def test_a_full_disk_fails_loudly_and_leaves_nothing(small_disk: Path) -> None:
    store = DirectoryStore(small_disk)
    put(store, "kc/good", b"g" * 1000)
    with pytest.raises(PgproofError) as caught:
        with store.create("kc/big") as sink:
            for _ in range(64):
                sink.write(b"x" * 65_536)
    assert "full" in caught.value.message
    assert [entry.name for entry in store.list()] == ["kc/good"]
    assert files(small_disk) == ["kc/good"]
    store.delete("kc/good")  # a full disk must not keep anyone from making room
    put(store, "kc/after")


@needs_root
def test_deleting_works_on_a_disk_filled_to_the_last_byte(small_disk: Path) -> None:
    store = DirectoryStore(small_disk)
    put(store, "kc/good", b"g" * 5000)
    with open(small_disk / "filler", "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError:
            pass
    for replace in (False, True):
        with pytest.raises(PgproofError):
            put(store, "kc/good" if replace else "kc/new", b"n" * 5000, replace=replace)
    with store.open("kc/good") as stream:
        assert stream.read() == b"g" * 5000
    store.delete("kc/good")
    assert files(small_disk) == ["filler"]


@needs_root
def test_a_disk_without_inodes_and_one_mounted_read_only(small_disk: Path) -> None:
    store = DirectoryStore(small_disk)
    put(store, "kc/good")
    subprocess.run(["mount", "-o", "remount,nr_inodes=6", str(small_disk)], check=True)
    with pytest.raises(PgproofError):
        for number in range(9):
            put(store, f"kc/new/{number}")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for ask in (lambda: put(store, "ro"), lambda: store.delete("kc/good")):
        with pytest.raises(PgproofError):
            ask()
    assert "kc/good" in [entry.name for entry in store.list()]


# -- system calls that fail (B6, B7), injected by strace ---------------------------------------------

CHILD = textwrap.dedent("""
    import os, sys
    from pathlib import Path
    from pgproof.errors import PgproofError
    from pgproof.stores.directory import DirectoryStore
    store = DirectoryStore(Path(sys.argv[1]))
    try:
        with store.create("kc/x", replace=sys.argv[2] == "replace") as sink:
            sink.write(b"x" * 100_000)
            sink.write(b"y" * 100_000)
    except PgproofError as error:
        print(type(error).__name__, error.message, file=sys.stderr)
        sys.exit(9)
""")


def injected(root: Path, tmp_path: Path, call: str, error: str, *, how: str = "new") -> tuple[int, str, list[str]]:
    """Run the child with `call` failing on the store's files alone; exit status, stderr, the trace."""
    trace = tmp_path / "trace"
    names = {"rename": "rename,renameat,renameat2", "link": "link,linkat"}.get(call, call)
    argv = [
        "strace",
        "-f",
        "-qq",
        "-y",
        "-o",
        str(trace),
        "-e",
        f"trace={names}",
        "-e",
        f"inject={names}:error={error}",
    ]
    python = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{CHILD}"]
    done = subprocess.run([*argv, *python, str(root), how], capture_output=True, text=True, timeout=60, check=False)
    lines = [line for line in trace.read_text().splitlines() if "INJECTED" in line]
    return done.returncode, done.stderr, lines


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EDQUOT"])
@pytest.mark.parametrize(
    ("call", "how"), [("fsync", "new"), ("fsync", "replace"), ("link", "new"), ("rename", "replace")]
)
def test_a_system_call_that_fails_ends_the_commit(root: Path, tmp_path: Path, call: str, error: str, how: str) -> None:
    put(DirectoryStore(root), "kc/old")
    if how == "replace":
        put(DirectoryStore(root), "kc/x", b"before")
    status, said, trace = injected(root, tmp_path, call, error, how=how)
    assert status == 9, said
    assert "Traceback" not in said
    assert files(root) == (["kc/old", "kc/x"] if how == "replace" else ["kc/old"])
    if how == "replace":
        assert (root / "kc/x").read_bytes() == b"before"
    if call == "fsync":
        assert len(trace) == 1, "a failed fsync is not tried again"


def test_a_link_that_is_not_supported_falls_back_to_rename(root: Path, tmp_path: Path) -> None:
    status, said, _ = injected(root, tmp_path, "link", "EPERM")
    assert status == 0, said
    assert (root / "kc/x").read_bytes() == b"x" * 100_000 + b"y" * 100_000
    status, said, _ = injected(root, tmp_path, "link", "EPERM")
    assert status == 9
    assert "AlreadyExists" in said
    assert files(root) == ["kc/x"]


STEPWISE = textwrap.dedent("""
    import errno, os, sys, threading
    from pathlib import Path
    from pgproof.errors import PgproofError
    from pgproof.stores.directory import DirectoryStore
    root, step = Path(sys.argv[1]), sys.argv[2]
    store = DirectoryStore(root)
    with store.create("kc/warm") as sink:
        sink.write(b"w")
    print("BEGIN", flush=True)   # the parent reads this and attaches strace
    sys.stdin.readline()
    try:
        if step == "read":
            with store.open("kc/warm") as stream:
                stream.read()
        else:
            with store.create("kc/x") as sink:
                sink.write(b"x" * 100_000)
    except PgproofError as error:
        sys.stderr.write(type(error).__name__ + " " + error.message)
        os._exit(9)
    os._exit(0)
""")


def attached(root: Path, tmp_path: Path, step: str, inject: str) -> tuple[int, str, str]:
    """As `injected`, but strace comes once Python has started, so that calls of its own start do not count."""
    trace = tmp_path / "trace"
    python = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{STEPWISE}", str(root), step]
    pipe = subprocess.PIPE
    with subprocess.Popen(python, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
        assert child.stdin and child.stdout and child.stderr
        assert child.stdout.readline() == "BEGIN\n"
        names = inject.split(":", maxsplit=1)[0]
        argv = [
            "strace",
            "-f",
            "-y",
            "-o",
            str(trace),
            "-e",
            f"trace={names}",
            "-e",
            f"inject={inject}",
            "-p",
            str(child.pid),
        ]
        with subprocess.Popen(argv, stderr=pipe, text=True) as tracer:
            assert tracer.stderr
            if "attached" not in tracer.stderr.readline():
                child.kill()
                missing("strace that can attach")
            child.stdin.write("go\n")
            child.stdin.close()
            status = child.wait(30)
            said = child.stderr.read()
            tracer.wait(10)
    return status, said, trace.read_text()


@pytest.mark.parametrize(
    ("step", "inject"),
    [
        ("write", "write:error=EIO:when=1"),
        ("write", "write:error=ENOSPC:when=1"),
        ("write", "close:error=EIO:when=2"),
        ("write", "close:error=ENOSPC:when=2"),
        ("write", "fsync:error=EIO:when=1"),
        ("write", "fsync:error=EIO:when=2"),
        ("write", "unlink,unlinkat:error=EIO:when=1"),
        ("read", "read:error=EIO:when=2"),
    ],
)
def test_one_call_that_fails(root: Path, tmp_path: Path, step: str, inject: str) -> None:
    """Which call of its kind is meant is seen in the trace: the test holds that it was one on the store."""
    status, said, trace = attached(root, tmp_path, step, inject)
    hits = [line for line in trace.splitlines() if "INJECTED" in line]
    assert len(hits) == 1, trace
    assert str(root) in hits[0], trace
    assert status == 9, said + trace
    listed = [entry.name for entry in DirectoryStore(root).list()]
    assert listed == ["kc/warm"], said + trace
    if "unlink" not in inject:
        assert list(DirectoryStore(root).leftovers()) == []
    if inject.startswith("fsync"):
        failed_on = hits[0].split("<")[1].split(">")[0]
        after = trace.split("INJECTED", 1)[1]
        assert failed_on not in after, "a failed fsync is not tried again on the same file"


def test_short_writes_are_finished(root: Path, tmp_path: Path) -> None:
    """A write that takes less than it was given (B8)."""
    status, said, trace = attached(root, tmp_path, "write", "write:retval=100:when=1")
    assert status == 0, said
    written = [line for line in trace.splitlines() if "write(" in line and str(root) in line]
    assert len(written) == 2, "the rest was written by a second call"


def test_a_store_survives_being_killed_in_a_write(root: Path) -> None:
    script = STEPWISE.replace('sink.write(b"x" * 100_000)', "sink.write(b'x' * 100_000); os.kill(os.getpid(), 9)")
    argv = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{script}", str(root), "write"]
    assert subprocess.run(argv, input=b"go\n", capture_output=True, check=False).returncode == -9
    store = DirectoryStore(root)
    assert [entry.name for entry in store.list()] == ["kc/warm"]
    assert len(list(store.leftovers())) == 1
    put(store, "kc/x")
    assert json.dumps([entry.name for entry in store.list()]) == '["kc/warm", "kc/x"]'


def test_what_a_dead_writer_left_is_swept(root: Path) -> None:
    """At once where it is certain that the writer is gone; of another host only when it is old."""
    store = DirectoryStore(root)
    put(store, "kc/x")
    dead = subprocess.Popen(["true"])
    tag = f"{process.identity().tag.partition('.')[0]}.{dead.pid}.12345"
    dead.wait()
    (root / "kc" / f".pgproof-tmp-{tag}-00").touch()
    strange, old = root / "kc" / ".pgproof-tmp-feedfeedfeedfeed.7.7-00", root / "kc" / ".pgproof-tmp-0011"
    strange.touch()
    old.touch()
    os.utime(old, (1e9, 1e9))
    sink = store.create("kc/y")
    before = datetime.now(UTC) - timedelta(days=1)
    assert list(store.sweep(before)) == ["kc/.pgproof-tmp-0011", f"kc/.pgproof-tmp-{tag}-00"]
    assert strange.exists()
    sink.commit()
    assert [entry.name for entry in store.list()] == ["kc/x", "kc/y"]
