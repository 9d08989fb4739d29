"""The SFTP store against servers and networks that fail, fill up and know less (FAULTS C3, C19, C21, C25, C29, C30)."""

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgproof.errors import AlreadyExists, NotFound, PgproofError, Refused, Unreachable
from pgproof.secret import Secret
from pgproof.stores.names import MARKER
from pgproof.stores.sftp import Place, SftpStore
from pgproof.stream import process
from tests.conftest import disk, missing
from tests.objects import get, names, put
from tests.proxy import Fault, Proxy
from tests.sftp_stub import PASSWORD, USER, Stub
from tests.sshd import Sshd, available, shared

pytestmark = pytest.mark.skipif(not available() and not os.environ.get("CI"), reason="no sshd (openssh-server) here")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
BLOCK = os.urandom(1 << 20)
SFTP_SERVER = "/usr/lib/openssh/sftp-server"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


@pytest.fixture
def opened() -> Iterator[Callable[[Place], SftpStore]]:
    """Stores that are closed at the end."""
    made: list[SftpStore] = []

    def make(place: Place) -> SftpStore:
        made.append(SftpStore(place))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(root: Path, opened) -> SftpStore:
    return opened(shared().place(root))


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy(shared().port) as running:
        yield running


@pytest.fixture
def far(root: Path, proxy: Proxy, opened) -> SftpStore:
    """The same store, by way of the proxy."""
    return opened(through(proxy, root))


def through(proxy: Proxy, root: Path, **more) -> Place:
    return replace(shared().place(root), port=proxy.port, host_key=shared().host_key_fingerprint, **more)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    """One that a test may stop."""
    (tmp_path / "sshd").mkdir()
    with Sshd(tmp_path / "sshd") as running:
        yield running


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path, 4) as folder:
        yield folder


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# -- the store's folder and its modes ----------------------------------------------------------------


@pytest.mark.parametrize("umask", ["0000", "0022", "0777"])
def test_modes_are_private_whatever_the_servers_umask(tmp_path: Path, opened, umask: str) -> None:
    (tmp_path / "sshd").mkdir()
    with Sshd(tmp_path / "sshd", subsystem=f"internal-sftp -u {umask}") as server:
        store = opened(server.place(tmp_path / "new" / "store"))
        sink = store.create("kc/one/part")
        sink.write(b"x")
        assert names(store) == []  # by its answer the server has done what it was asked before
        assert [mode(path) for path in (tmp_path / "new/store/kc/one").iterdir()] == [0o600]
        sink.commit()
        put(store, "kc/lock.json", b"y", replace=True)
        put(store, "kc/lock.json", b"z", replace=True)
        store.close()
    for path in [tmp_path / "new", *(tmp_path / "new").rglob("*")]:
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path


def test_a_relative_path_is_below_the_folder_that_a_log_in_leads_to(tmp_path: Path, opened) -> None:
    (tmp_path / "sshd").mkdir()
    with Sshd(tmp_path / "sshd", subsystem=f"internal-sftp -d {tmp_path}") as server:
        for path in ("backups/of/keycloak", "backups/of/keycloak/", ""):
            store = opened(server.place(path))
            put(store, "kc/x")
            assert (tmp_path / path / "kc/x").read_bytes() == b"x"
            assert names(store, "kc") == ["kc/x"]
            store.delete("kc/x")
            assert not (tmp_path / path / "kc").exists()
            store.close()


def test_a_root_that_is_not_there(tmp_path: Path, opened) -> None:
    store = opened(shared().place(tmp_path / "absent" / "store"))
    for prefix in ("", "kc/", "kc/x"):
        with pytest.raises(Unreachable) as caught:
            names(store, prefix)
        assert "is not there" in caught.value.message
    for ask in (store.stat, store.open):
        with pytest.raises(NotFound):
            ask("kc/x")
    store.delete("kc/x")
    assert not (tmp_path / "absent").exists()
    put(store, "kc/x")
    assert names(store) == ["kc/x"]


def test_the_marker_is_kept_and_read_and_never_listed(store: SftpStore, root: Path) -> None:
    put(store, MARKER, b"this is it")
    assert get(store, MARKER) == b"this is it"
    assert store.stat(MARKER).size == 10
    assert names(store) == names(store, ".pg") == []
    with pytest.raises(AlreadyExists):
        put(store, MARKER, b"another")
    assert files(root) == [MARKER]


def test_deleting_the_last_object_takes_empty_folders_away_and_no_others(store: SftpStore, root: Path) -> None:
    put(store, "kc/one/deep/x")
    put(store, "kc/y")
    store.delete("kc/one/deep/x")
    assert sorted(path.name for path in root.rglob("*")) == ["kc", "y"]
    store.delete("kc/y")
    assert list(root.iterdir()) == []
    assert root.is_dir()


# -- what others put there (C29, C30) ----------------------------------------------------------------


def test_c30_a_link_at_the_target_is_neither_followed_nor_overwritten(
    store: SftpStore, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret")
    for name, to in (("link", outside), ("dangling", tmp_path / "absent")):
        (root / name).symlink_to(to)
        with pytest.raises(AlreadyExists):
            put(store, name)
        for ask in (store.open, store.stat):
            with pytest.raises(Refused):
                ask(name)
        assert names(store) == []
        put(store, name, b"ours", replace=True)
        assert not (root / name).is_symlink()
        store.delete(name)
    assert outside.read_text() == "secret"
    assert not (tmp_path / "absent").exists()
    (root / "link").symlink_to(outside)
    store.delete("link")
    assert outside.read_text() == "secret"


def test_c30_a_link_in_place_of_a_folder_never_leads_outside(store: SftpStore, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "x").write_text("secret")
    (outside / "x").write_text("secret")
    (root / "kc").symlink_to(outside)
    (root / "real").mkdir()
    (root / "real" / "kc").symlink_to(outside)
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
        assert names(store, prefix) == []
    assert files(outside) == ["deep/x", "x"]


def test_the_root_itself_may_be_a_link(root: Path, tmp_path: Path, opened) -> None:
    (tmp_path / "alias").symlink_to(root)
    put(opened(shared().place(tmp_path / "alias")), "kc/x")
    assert files(root) == ["kc/x"]


def test_c29_foreign_files_are_ignored_and_never_deleted(store: SftpStore, root: Path) -> None:
    foreign = ["README with spaces.txt", "kc/.pgproof-tmp-0123456789abcdef", "kc/übung", "kc/one/part.~1~ copy", "ü/x"]
    for name in foreign:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("theirs")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe")).write_text("theirs")
    os.mkfifo(root / "kc/pipe")
    (root / "empty").mkdir()
    put(store, "kc/one/part")
    assert names(store) == ["kc/one/part"]
    store.delete("kc/one/part")
    assert names(store) == []
    assert files(root) == sorted([*foreign, "kc/pipe", "\udcff\udcfe"])
    assert (root / "empty").is_dir()


def test_a_pipe_or_a_folder_in_place_of_an_object_holds_nobody(store: SftpStore, root: Path) -> None:
    os.mkfifo(root / "x")
    put(store, "kc/y")
    for name in ("x", "kc"):
        for ask in (store.open, store.stat):
            with pytest.raises(NotFound):
                ask(name)
        for overwrite in (False, True):
            if name == "kc":
                with pytest.raises(PgproofError):
                    put(store, name, replace=overwrite)
    with pytest.raises(PgproofError):
        put(store, "kc/y/below")
    assert files(root) == ["kc/y", "x"]


def test_what_a_killed_writer_left_is_swept(store: SftpStore, root: Path) -> None:
    """At once where it is certain that the writer is gone; of another host only when it is old."""
    server = shared()
    script = (
        "import os, sys; from pathlib import Path; from pgproof.stores.sftp import Place, SftpStore\n"
        "p = SftpStore(Place('127.0.0.1', int(sys.argv[1]), '', sys.argv[2], Path(sys.argv[3]), "
        "known_hosts=Path(sys.argv[4])))\n"
        "sink = p.create('kc/x'); sink.write(b'x' * 3_000_000); os.kill(os.getpid(), 9)\n"
    )
    argv = [str(server.port), str(root), str(server.identity), str(server.known_hosts)]
    assert subprocess.run([sys.executable, "-c", script, *argv], check=False).returncode == -9
    (left,) = files(root)
    assert ".pgproof-tmp-" in left
    assert names(store) == []
    put(store, "kc/y")
    strange, old = root / "kc" / ".pgproof-tmp-feedfeedfeedfeed.7.7-00", root / "kc" / ".pgproof-tmp-0011"
    strange.touch()
    old.touch()
    os.utime(old, (1e9, 1e9))
    sink = store.create("kc/z")
    before = datetime.now(UTC) - timedelta(days=1)
    assert list(store.sweep(before)) == sorted(["kc/.pgproof-tmp-0011", left])
    assert strange.exists()
    sink.commit()
    assert names(store) == ["kc/y", "kc/z"]
    assert process.identity().tag not in " ".join(files(root))


# -- full, read-only, forbidden (C21, C25) -----------------------------------------------------------


@needs_root
def test_c21_a_full_disk_fails_loudly_and_leaves_nothing(small_disk: Path, opened) -> None:
    store = opened(shared().place(small_disk))
    put(store, "kc/good", b"g" * 1000)
    with pytest.raises(Unreachable) as caught:
        with store.create("kc/big") as sink:
            for _ in range(64):
                sink.write(BLOCK)
    assert "the store is full" in caught.value.message
    assert names(store) == ["kc/good"]
    assert files(small_disk) == ["kc/good"]
    store.delete("kc/good")  # a full disk must not keep anyone from making room
    put(store, "kc/after")
    with pytest.raises(Unreachable) as caught:  # noticed at the commit: all of it was on its way
        with store.create("kc/big") as sink:
            sink.write(BLOCK * 4)
    assert "the store is full" in caught.value.message
    assert files(small_disk) == ["kc/after"]


@needs_root
def test_c21_a_disk_without_inodes(small_disk: Path, opened) -> None:
    store = opened(shared().place(small_disk))
    put(store, "kc/good")
    subprocess.run(["mount", "-o", "remount,nr_inodes=6", str(small_disk)], check=True)
    with pytest.raises(Unreachable) as caught:
        for number in range(9):
            put(store, f"kc/new/{number}")
    assert "the store is full" in caught.value.message


@needs_root
def test_c25_a_disk_that_has_become_read_only(small_disk: Path, opened) -> None:
    store = opened(shared().place(small_disk))
    put(store, "kc/good", BLOCK)
    sink = store.create("kc/begun")
    sink.write(BLOCK)
    sink.abort()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for ask in (lambda: put(store, "kc/ro"), lambda: put(store, "new/ro"), lambda: store.delete("kc/good")):
        with pytest.raises(Unreachable) as caught:
            ask()
        assert "does not do its work" in caught.value.message
        assert "full" not in caught.value.message
    assert get(store, "kc/good") == BLOCK


@pytest.mark.parametrize("how", ["-R", "-p realpath,lstat,stat,opendir,readdir,close"])
def test_what_the_server_forbids_is_not_taken_for_anything_else(root: Path, tmp_path: Path, opened, how: str) -> None:
    (root / "x").write_text("1")
    (tmp_path / "sshd").mkdir()
    with Sshd(tmp_path / "sshd", subsystem=f"internal-sftp {how}") as server:
        store = opened(server.place(root))
        assert names(store) == ["x"]
        for ask in (lambda: put(store, "y"), lambda: put(store, "x", replace=True), lambda: store.delete("x")):
            with pytest.raises(Unreachable) as caught:
                ask()
            assert "ermission denied" in caught.value.message
        store.close()
    assert files(root) == ["x"]


# -- servers that know less (C19) --------------------------------------------------------------------

LESS = {
    "posix-rename": "-P posix-rename",
    "fsync": "-P fsync",
    "limits": "-P limits",
    "statvfs": "-P statvfs",
    "chmod": "-P setstat,fsetstat",
    "all": "-P posix-rename,fsync,limits,statvfs,setstat,fsetstat,hardlink",
}


def usual_life(store: SftpStore, root: Path) -> None:
    """Everything a store is for, once."""
    put(store, "kc/one/part", BLOCK * 3 + b"end")
    assert get(store, "kc/one/part") == BLOCK * 3 + b"end"
    with store.open("kc/one/part", 1 << 20, 5) as stream:
        assert stream.read() == BLOCK[:5]
    for content in (b"1", b"22"):
        put(store, "kc/lock", content, replace=True)
        assert get(store, "kc/lock") == content
    with pytest.raises(AlreadyExists):
        put(store, "kc/lock", b"3")
    first, second = store.create("kc/two"), store.create("kc/two")
    second.commit()
    with pytest.raises(AlreadyExists), first:
        pass
    assert names(store) == files(root) == ["kc/lock", "kc/one/part", "kc/two"]
    for name in names(store):
        store.delete(name)
    assert list(root.rglob("*")) == []


@pytest.mark.parametrize("less", sorted(LESS))
def test_c19_a_server_that_refuses_extensions(root: Path, tmp_path: Path, opened, less: str) -> None:
    (tmp_path / "sshd").mkdir()
    with Sshd(tmp_path / "sshd", subsystem=f"internal-sftp {LESS[less]}") as server:
        store = opened(server.place(root))
        usual_life(store, root)
        store.close()


def test_c19_a_server_that_has_no_extensions_and_overwrites_by_rename(root: Path, tmp_path: Path, opened) -> None:
    with Stub(tmp_path) as stub:
        place = Place("127.0.0.1", stub.port, USER, str(root), known_hosts=stub.known_hosts, password=Secret(PASSWORD))
        store = opened(place)
        usual_life(store, root)
        assert store._session.connection().extensions.keys() <= {b"check-file"}
        store.close()


def test_c5_a_server_that_keeps_less_than_it_says(root: Path, tmp_path: Path, opened) -> None:
    with Stub(tmp_path, forgetful=True) as stub:
        place = Place("127.0.0.1", stub.port, USER, str(root), known_hosts=stub.known_hosts, password=Secret(PASSWORD))
        store = opened(place)
        with pytest.raises(Unreachable) as caught:
            put(store, "kc/x", BLOCK)
        assert "the store has 32768 bytes of kc/x, and 1048576 were sent" in caught.value.message
        assert files(root) == []
        store.close()


# -- system calls that fail on the server, injected by strace ---------------------------------------------


@pytest.fixture
def traced(tmp_path: Path, root: Path, opened) -> Iterator[Callable[[str, str], SftpStore]]:
    """A store whose server's system calls are traced into tmp_path/trace, or fail."""
    if not shutil.which("strace") or not Path(SFTP_SERVER).exists():
        missing("strace, or OpenSSH's sftp-server")
    running = contextlib.ExitStack()

    def start(calls: str, inject: str = "") -> SftpStore:
        (tmp_path / "sshd").mkdir()
        how = f"-e inject={calls}:{inject}" if inject else ""
        strace = f"/usr/bin/strace -f -y -o {tmp_path}/trace -e trace={calls} {how} {SFTP_SERVER}"
        return opened(running.enter_context(Sshd(tmp_path / "sshd", subsystem=strace)).place(root))

    yield start
    running.close()


def test_c19_a_file_system_without_links_stays_exclusive(traced, root: Path, tmp_path: Path) -> None:
    store = traced("link,linkat", "error=EPERM")
    usual_life(store, root)
    assert "INJECTED" in (tmp_path / "trace").read_text()


def test_an_object_is_on_the_disk_before_it_has_its_name(traced, tmp_path: Path) -> None:
    store = traced("fsync,link,linkat,rename,renameat,renameat2")
    put(store, "kc/x", BLOCK)
    put(store, "kc/x", BLOCK, replace=True)
    calls = [
        line.split(None, 1)[1].split("(")[0] for line in (tmp_path / "trace").read_text().splitlines() if "(" in line
    ]
    assert [call[:4] for call in calls] == ["fsyn", "link", "fsyn", "rena"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("calls", "inject"),
    [
        ("fsync", "error=EIO"),
        ("fsync", "error=EDQUOT"),
        ("link,linkat", "error=EIO"),
        ("unlink,unlinkat", "error=EIO:when=1"),  # after the link: OpenSSH takes it back
        ("openat", "error=EMFILE:when=30+"),
    ],
)
def test_a_system_call_that_fails_ends_the_commit(traced, root: Path, tmp_path: Path, calls: str, inject: str) -> None:
    store = traced(calls, inject)
    with pytest.raises(Unreachable) as caught:
        for number in range(40):
            put(store, f"kc/{number}", BLOCK * 8)
            assert files(root) == [f"kc/{number}"]
            if calls == "unlink,unlinkat":
                break
            store.delete(f"kc/{number}")
    assert "full" not in caught.value.message
    assert "INJECTED" in (tmp_path / "trace").read_text()
    assert files(root) == []


# -- connections that end (C3, C19) ------------------------------------------------------------------


def test_c19_a_server_that_is_stopped_in_mid_write(server: Sshd, root: Path, opened) -> None:
    store = opened(server.place(root, timeout=5.0))
    put(store, "kc/before")
    with pytest.raises(Unreachable):
        with store.create("kc/x") as sink:
            sink.write(BLOCK)
            server.stop()
            for _ in range(100):
                sink.write(BLOCK)
    for ask in (lambda: names(store), lambda: put(store, "kc/y"), lambda: get(store, "kc/before")):
        with pytest.raises(Unreachable) as caught:
            ask()
        assert caught.value.exit_code == 6
    server.start()
    assert names(store) == ["kc/before"]
    put(store, "kc/x", b"again")
    assert get(store, "kc/x") == b"again"


def test_c19_a_server_that_is_stopped_before_commit(server: Sshd, root: Path, opened) -> None:
    store = opened(server.place(root, timeout=5.0))
    sink = store.create("kc/x")
    sink.write(BLOCK)
    server.stop()
    with pytest.raises(Unreachable), sink:
        pass
    sink.abort()
    server.start()
    assert names(store) == []


@pytest.mark.slow
def test_c19_a_server_that_is_stopped_in_mid_read(server: Sshd, root: Path, opened) -> None:
    store = opened(server.place(root, timeout=5.0))
    with open(root / "big", "wb") as file:
        os.truncate(file.fileno(), 200 << 20)
    with store.open("big") as stream:
        assert stream.read(10) == b"\0" * 10
        server.stop()
        with pytest.raises(Unreachable):
            while stream.read(1 << 20):
                pass


@pytest.mark.slow
def test_c19_a_server_that_comes_back_in_time_is_read_on(server: Sshd, root: Path, opened) -> None:
    store = opened(server.place(root))
    put(store, "big", BLOCK * 30)
    with store.open("big") as stream:
        begun = stream.read(100_000)
        server.stop()
        threading.Timer(0.5, server.start).start()
        assert begun + stream.read() == BLOCK * 30


@pytest.mark.slow
def test_c19_a_reader_goes_on_after_a_drop(far: SftpStore, proxy: Proxy, root: Path) -> None:
    (root / "big").write_bytes(BLOCK * 40)
    for after in (0, 1, 100_000, 20 << 20):
        with far.open("big", 5, 38 << 20) as stream:
            begun = stream.read(10)
            proxy.plan(Fault("close" if after == 1 else "reset", after))
            assert begun + stream.read() == (BLOCK * 40)[5 : 5 + (38 << 20)]


@pytest.mark.slow
def test_c19_a_reader_goes_on_after_three_drops_and_not_after_four(far: SftpStore, proxy: Proxy, root: Path) -> None:
    (root / "big").write_bytes(BLOCK * 40)
    for times in (3, 4):
        names(far)
        connections = proxy.connections
        with far.open("big", 5) as stream:
            begun = stream.read(10)
            proxy.plan(Fault("reset", 5 << 20, times=times))
            if times < 4:
                assert begun + stream.read() == (BLOCK * 40)[5:]
                assert proxy.connections == connections + times
            else:
                with pytest.raises(Unreachable):
                    stream.read()
        proxy.plan(None)


def test_c19_a_reader_does_not_go_on_in_an_object_that_is_another_now(
    far: SftpStore, store: SftpStore, proxy: Proxy, root: Path
) -> None:
    for change in (
        lambda: os.utime(root / "big", (1e9, 1e9)),
        lambda: os.truncate(root / "big", 39 << 20),
        lambda: store.delete("big"),
    ):
        (root / "big").write_bytes(BLOCK * 40)
        with far.open("big") as stream:
            stream.read(10)
            change()
            proxy.plan(Fault("reset", 5 << 20))
            with pytest.raises(Unreachable) as caught:
                stream.read()
            assert "not the same any more" in caught.value.message
            proxy.plan(None)


def test_an_idle_connection_that_went_away_is_made_anew(far: SftpStore, proxy: Proxy) -> None:
    put(far, "x", b"1")
    for _ in range(3):
        proxy.reset_all()
        time.sleep(0.3)
        assert get(far, "x") == b"1"
    assert proxy.connections == 4


@pytest.mark.slow
@pytest.mark.parametrize("way", ["up", "down"])
def test_c3_a_network_that_falls_silent_is_noticed(root: Path, proxy: Proxy, opened, way) -> None:
    far = opened(through(proxy, root, timeout=1.5))
    put(far, "before", BLOCK)
    began = time.monotonic()
    proxy.plan(Fault("stall", 5 if way == "down" else 3 << 20, way))
    with pytest.raises(Unreachable) as caught:
        with far.create("x") as sink:
            for _ in range(100):
                sink.write(BLOCK)
    assert "said nothing for" in caught.value.message
    assert time.monotonic() - began < 10
    assert names(far) == ["before"]
    assert files(root) == ["before"]
    proxy.plan(Fault("stall", 100_000))
    assert get(far, "before") == BLOCK  # taken up again
    proxy.plan(Fault("stall", 0, times=99))
    with pytest.raises(Unreachable):
        names(far)


@pytest.mark.slow
def test_a_slow_network_is_no_dead_one(root: Path, proxy: Proxy, opened) -> None:
    far = opened(through(proxy, root, timeout=1.0))
    put(far, "y")
    proxy.delay = 0.01
    put(far, "x", BLOCK * 2)
    assert get(far, "x") == BLOCK * 2


def test_a_drop_ends_what_is_under_way_and_nothing_else(far: SftpStore, proxy: Proxy) -> None:
    put(far, "x", b"1")
    sinks = [far.create(f"kc/{number}") for number in range(4)]
    proxy.reset_all()
    for sink in sinks:
        with pytest.raises(Unreachable):
            with sink:
                sink.write(BLOCK)
    assert names(far) == ["x"]


def life(store: SftpStore, *, overwrite: bool) -> None:
    with store.create("kc/x", replace=overwrite) as sink:
        sink.write(BLOCK[:300_000])


@pytest.mark.slow
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("way", ["up", "down"])
def test_c19_a_drop_at_any_moment_of_a_write(root: Path, proxy: Proxy, opened, store, way, overwrite: bool) -> None:
    """Whole or not there, told as it is, and nothing left: also when the answer to the rename is what was lost."""
    far = opened(through(proxy, root))
    names(far)
    before = proxy.passed[way]
    life(far, overwrite=overwrite)
    length = proxy.passed[way] - before
    lost = survived = 0
    # All along, and closely at the end, where the answer to the rename comes.
    for after in (*range(0, length, max(1, length // 60)), *range(max(0, length - 400), length, 10)):
        store.delete("kc/x")
        if overwrite:
            put(store, "kc/x", b"old")
        names(far)
        proxy.plan(Fault("reset", after, way))
        try:
            life(far, overwrite=overwrite)
            done = True
            survived += proxy.fault is None
        except Unreachable:
            done = False
            lost += 1
        proxy.plan(None)
        listed = [(entry.name, entry.size) for entry in store.list()]
        old = [("kc/x", 3)] if overwrite else []
        assert listed == ([("kc/x", 300_000)] if done else old), after
        assert files(root) == [name for name, _ in listed], after
        if done:
            assert get(store, "kc/x") == BLOCK[:300_000]
    assert lost > 5
    assert survived or way == "up", "that the answer to the rename was lost is among the moments"


# -- how much moves, and how many at once -----------------------------------------------------------


def test_a_range_moves_no_more_than_it_is(far: SftpStore, proxy: Proxy, root: Path) -> None:
    with open(root / "big", "wb") as file:
        os.truncate(file.fileno(), 200 << 20)
        os.pwrite(file.fileno(), BLOCK, 100 << 20)
    names(far)
    before = proxy.passed["down"]
    with far.open("big", 100 << 20, 1 << 20) as stream:
        assert stream.read() == BLOCK
    assert (1 << 20) < proxy.passed["down"] - before < 1_500_000
    before = proxy.passed["down"]
    with far.open("big", 100 << 20) as stream:  # no length: whoever stops early has not moved much either
        assert stream.read(10) == BLOCK[:10]
    time.sleep(0.3)
    assert proxy.passed["down"] - before < 1_500_000


def test_what_is_read_ahead_is_bounded(far: SftpStore, proxy: Proxy, root: Path) -> None:
    with open(root / "big", "wb") as file:
        os.truncate(file.fileno(), 200 << 20)
    names(far)
    with far.open("big") as stream:
        for _ in range(40):
            stream.read(1 << 20)
        for _ in range(50):
            before = proxy.passed["down"]
            time.sleep(0.1)
            if before == proxy.passed["down"]:
                break
        assert proxy.passed["down"] < (40 << 20) + (20 << 20)
        put(far, "while", b"one reader waits")  # and its unread bytes hold up nobody
        assert get(far, "while") == b"one reader waits"


def test_readers_and_writers_in_many_threads(store: SftpStore) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            content = bytes([number]) * 3_000_000
            for turn in range(5):
                put(store, f"t{number}/{turn}", content)
                assert get(store, f"t{number}/{turn}") == content
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(names(store)) == 30


def test_a_store_used_again_after_close(store: SftpStore) -> None:
    put(store, "x", b"1")
    store.close()
    assert get(store, "x") == b"1"


def test_a_folder_of_many_and_many_folders(store: SftpStore, root: Path) -> None:
    expected = [f"many/{number:04}" for number in range(450)] + [f"f{number:03}/x" for number in range(70)]
    for name in expected:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    assert names(store) == sorted(expected)
    assert len(names(store, "many/01")) == 100
