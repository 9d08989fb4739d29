"""What every store must do, whatever it is made of. A new store joins by one more line in STORES."""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgproof.errors import AlreadyExists, NotFound, PgproofError
from pgproof.stores.deadline import Deadline
from pgproof.stores.directory import DirectoryStore
from pgproof.stores.sftp import SftpStore
from pgproof.stores.store import Store
from tests import sshd
from tests.conformance.memory_store import MemoryStore
from tests.objects import get, names, put

Make = Callable[[pytest.FixtureRequest, Path], Store]


def _prefix(folder: Path) -> str:
    """A place of its own in a bucket that all tests share."""
    return f"{folder.parent.name}/{folder.name}"


STORES: dict[str, Make] = {
    "deadline": lambda _, folder: Deadline(DirectoryStore(folder / "store"), 60, str(folder / "store")),
    "directory": lambda _, folder: DirectoryStore(folder / "store"),
    "memory": lambda _, __: MemoryStore(),
    "s3-moto": lambda request, folder: request.getfixturevalue("moto_server").store(_prefix(folder)),
    "s3-rclone": lambda request, folder: request.getfixturevalue("rclone_server").store(_prefix(folder)),
    "sftp": lambda _, folder: SftpStore(sshd.shared().place(folder / "store")),
}
# rclone passes over If-None-Match: of writers at the same moment the last one wins there, and a lease that is read
# back is what keeps two runs apart (tests/s3/test_lease.py).
UNCONDITIONAL = "s3-rclone"


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "store").mkdir()
    made = STORES[request.param](request, tmp_path)
    yield made
    made.close()


def test_an_object_appears_at_commit_and_not_before(store: Store) -> None:
    sink = store.create("kc/one/part")
    sink.write(b"abc")
    assert names(store) == []
    with pytest.raises(NotFound):
        store.stat("kc/one/part")
    with pytest.raises(NotFound):
        store.open("kc/one/part")
    sink.commit()
    assert names(store) == ["kc/one/part"]
    assert get(store, "kc/one/part") == b"abc"


def test_an_empty_object_is_an_object(store: Store) -> None:
    put(store, "empty", b"")
    assert get(store, "empty") == b""
    assert store.stat("empty").size == 0
    assert names(store) == ["empty"]


def test_abort_leaves_nothing_and_may_be_called_twice(store: Store) -> None:
    sink = store.create("kc/x")
    sink.write(b"abc")
    sink.abort()
    sink.abort()
    assert names(store) == []
    put(store, "kc/x", b"later")
    assert get(store, "kc/x") == b"later"


def test_abort_of_the_very_first_object_leaves_the_store_usable(store: Store) -> None:
    store.create("first").abort()
    assert names(store) == []
    put(store, "first", b"1")
    assert names(store) == ["first"]


def test_an_exception_inside_with_aborts(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        with store.create("x") as sink:
            sink.write(b"abc")
            raise ZeroDivisionError
    assert names(store) == []


def test_an_abort_does_not_disturb_what_is_stored(store: Store) -> None:
    put(store, "kc/x", b"old")
    for replace in (False, True):
        sink = store.create("kc/x", replace=replace)
        sink.write(b"new")
        sink.abort()
    assert get(store, "kc/x") == b"old"
    assert names(store) == ["kc/x"]


def test_the_second_of_two_writers_loses(store: Store) -> None:
    first, second = store.create("x"), store.create("x")
    first.write(b"first")
    second.write(b"second")
    second.commit()
    with pytest.raises(AlreadyExists):
        with first:
            pass
    assert get(store, "x") == b"second"
    assert names(store) == ["x"]


def test_a_taken_name_is_refused_at_the_latest_at_commit(store: Store) -> None:
    put(store, "x", b"old")
    with pytest.raises(AlreadyExists):
        put(store, "x", b"new")
    assert get(store, "x") == b"old"


def test_of_many_writers_at_once_exactly_one_wins(store: Store, request: pytest.FixtureRequest) -> None:
    if UNCONDITIONAL in request.node.name:
        return
    for attempt in range(10):
        name, won, lost, barrier = f"race/{attempt}", [], [], threading.Barrier(8)

        def compete(number: int, name=name, won=won, lost=lost, barrier=barrier) -> None:
            sink = store.create(name)
            sink.write(b"%d" % number * 1000)
            barrier.wait()
            try:
                with sink:
                    pass
                won.append(number)
            except AlreadyExists:
                lost.append(number)

        threads = [threading.Thread(target=compete, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert len(lost) == 7
        assert get(store, name) == b"%d" % won[0] * 1000
    assert len(names(store)) == 10


def test_replace_replaces_whole(store: Store) -> None:
    put(store, "x", b"a long old content")
    put(store, "x", b"new", replace=True)
    assert get(store, "x") == b"new"
    assert names(store) == ["x"]
    put(store, "y", b"replace makes a new one too", replace=True)
    assert names(store) == ["x", "y"]


@pytest.mark.slow
def test_a_reader_sees_one_content_whole_while_it_is_replaced(request: pytest.FixtureRequest, store: Store) -> None:
    """rclone takes the old file away before the new one is there: for that moment it has none, which S3 never does."""
    gaps = UNCONDITIONAL in request.node.name
    contents = [bytes([letter]) * 100_000 for letter in b"abcd"]
    put(store, "x", contents[0])
    stop = threading.Event()

    def replace() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            put(store, "x", contents[turn % 4], replace=True)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        for _ in range(200):
            with contextlib.suppress(*((NotFound,) if gaps else ())):
                assert get(store, "x") in contents
                assert store.stat("x").size == 100_000
            assert names(store) == ["x"] or (gaps and names(store) in ([], ["x"]))
    finally:
        stop.set()
        thread.join()


@pytest.mark.slow
def test_a_listing_is_complete_while_others_come_and_go(store: Store) -> None:
    """A lock is taken and released beside the backups all the time; none of them may vanish from a list."""
    lasting = sorted([f"kc/{number:03}" for number in range(30)] + [f"kc/zz/{number}" for number in range(3)])
    for name in lasting:
        put(store, name, b"x")
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            for number in range(20):
                put(store, f"kc/lock{number}", b"x", replace=True)
            for number in range(20):
                store.delete(f"kc/lock{number}")

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(300):
            assert [name for name in names(store) if "lock" not in name] == lasting
    finally:
        stop.set()
        thread.join()


@pytest.mark.slow
def test_writers_and_deleters_in_one_folder_do_not_trip_over_one_another(store: Store) -> None:
    """The last delete in a folder may take the folder with it; a writer just then must not fail."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(100):
                put(store, f"kc/deep/{number}-{turn}", b"x")
                store.delete(f"kc/deep/{number}-{turn}")
                store.create(f"kc/deep/{number}-{turn}").abort()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert names(store) == []


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=3000),
    start=st.integers(0, 3500),
    length=st.none() | st.integers(0, 3500),
    stride=st.integers(1, 700),
)
def test_ranges(store: Store, data: bytes, start: int, length: int | None, stride: int) -> None:
    expected = data[start:] if length is None else data[start : start + length]
    put(store, "x", data, replace=True)
    with store.open("x", start, length) as stream:
        assert stream.read() == expected
        assert stream.read() == b""
    with store.open("x", start, length) as stream:
        pieces = []
        while piece := stream.read(stride):
            assert len(piece) <= stride
            pieces.append(piece)
        assert b"".join(pieces) == expected
        assert stream.read(1) == b""


def test_stat_tells_size_and_time(store: Store) -> None:
    before = datetime.now(UTC)
    put(store, "kc/x", b"12345")
    entry = store.stat("kc/x")
    assert (entry.name, entry.size) == ("kc/x", 5)
    assert entry.modified.utcoffset() == timedelta(0)
    assert abs(entry.modified - before) < timedelta(minutes=1)
    assert list(store.list()) == [entry]


@pytest.mark.parametrize("name", ["absent", "kc/absent", "kc", "kc/x/below"])
def test_what_is_not_there_is_not_found(store: Store, name: str) -> None:
    put(store, "kc/x", b"1")
    for ask in (store.stat, store.open):
        with pytest.raises(NotFound) as caught:
            ask(name)
        assert name in caught.value.message


def test_list_is_sorted_and_by_prefix(store: Store) -> None:
    everything = ["a-b/x", "a.b", "a/b", "a/b-c/d", "a/bb", "a/c", "ab", "b/a", "b/a.b/c", "b/ab"]
    for name in reversed(everything):
        put(store, name, name.encode())
    assert names(store) == sorted(everything)
    for name in everything:
        for cut in range(len(name) + 1):
            prefix = name[:cut]
            assert names(store, prefix) == sorted(one for one in everything if one.startswith(prefix)), prefix
    assert names(store, "zzz") == []
    assert names(store, "a/b/c/d") == []
    assert [entry.size for entry in store.list("a/")] == [3, 7, 4, 3]


@pytest.mark.slow
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wanted=st.sets(st.from_regex(r"[ab.-]{0,2}[ab](/[ab.-]{0,2}[ab]){0,2}", fullmatch=True), max_size=8),
    prefix=st.text("ab./-", max_size=4),
)
def test_list_against_a_model(store: Store, wanted: set[str], prefix: str) -> None:
    for entry in list(store.list()):
        store.delete(entry.name)
    kept = {name for name in wanted if not any(other.startswith(f"{name}/") for other in wanted)}
    for name in kept:
        put(store, name, b"x")
    assert names(store) == sorted(kept)
    with contextlib.suppress(PgproofError):  # a prefix that can begin no name may be refused
        assert names(store, prefix) == sorted(name for name in kept if name.startswith(prefix))


def test_unfinished_ones_are_never_listed(store: Store) -> None:
    put(store, "kc/a", b"1")
    sinks = [store.create(name) for name in ("kc/b", "kc/sub/c", "d")]
    for sink in sinks:
        sink.write(b"x" * 100_000)
    assert names(store) == ["kc/a"]
    assert names(store, "kc/") == ["kc/a"]
    for sink in sinks:
        sink.abort()
    assert names(store) == ["kc/a"]


def test_delete_is_idempotent(store: Store, request: pytest.FixtureRequest) -> None:
    put(store, "kc/deep/x", b"1")
    put(store, "kc/y", b"2")
    for _ in range(2):
        store.delete("kc/deep/x")
    store.delete("never/was")
    if UNCONDITIONAL not in request.node.name:  # rclone then deletes the object itself
        store.delete("kc/y/below-an-object")
    assert names(store) == ["kc/y"]
    with pytest.raises(NotFound):
        store.open("kc/deep/x")
    put(store, "kc/deep/x", b"again")
    assert get(store, "kc/deep/x") == b"again"


def test_a_reader_that_is_open_keeps_its_bytes(store: Store) -> None:
    put(store, "x", b"0123456789" * 100_000)
    with store.open("x") as stream:
        begun = stream.read(10)
        store.delete("x")
        assert begun + stream.read() == b"0123456789" * 100_000


@pytest.mark.parametrize(
    "name",
    ["", "/", "/etc/passwd", "..", "../x", "a/..", "a/../../x", "a/../b", ".", "./a", "a/.", "a//b", "a/", "a\n", "\na",
     "a\nb", "a\0", "a\0b", "a b", "a\\b", "ä", "a:b", "*", "~", "$x", "a\r"],
)  # fmt: skip
def test_names_that_are_refused(store: Store, name: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    for ask in (
        lambda: store.create(name),
        lambda: store.create(name, replace=True),
        lambda: store.open(name),
        lambda: store.stat(name),
        lambda: store.delete(name),
    ):
        with pytest.raises(PgproofError):
            ask()
    assert names(store) == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("prefix", ["../", "../x", "..", "/", "/etc/", "a/../../", "../../../etc/"])
def test_a_prefix_never_leads_out_of_the_store(store: Store, prefix: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("outside")
    put(store, "a/b", b"1")
    with contextlib.suppress(PgproofError):
        assert names(store, prefix) == []


def test_a_big_object_in_pieces(store: Store) -> None:
    pieces = [bytes([number]) * size for number, size in enumerate([1, 65_535, 1 << 20, 3, 5 << 20, 0, 4096, 1 << 18])]
    with store.create("big") as sink:
        for piece in pieces:
            sink.write(piece)
    assert store.stat("big").size == sum(map(len, pieces))
    digest = hashlib.sha256()
    with store.open("big") as stream:
        while data := stream.read(1 << 18):
            digest.update(data)
    assert digest.digest() == hashlib.sha256(b"".join(pieces)).digest()
    with store.open("big", 65_536, 1 << 20) as stream:
        assert stream.read() == pieces[2]


def test_close_may_be_called_twice(store: Store) -> None:
    put(store, "x", b"1")
    store.close()
    store.close()
