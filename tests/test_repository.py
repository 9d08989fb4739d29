"""The repository: a backup exists if and only if its manifest does, whatever fails and in whatever order."""

import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest

from pgproof.errors import AlreadyExists, Busy, Damaged, PgproofError, Unreachable, UsageError
from pgproof.manifest import FORMAT, Database, Evidence, Manifest, Record, Server, seal, seal_hash, state
from pgproof.repository import GRACE, LEASE, MANIFEST, Draft, Holder, Lease, Repository
from pgproof.stores.directory import DirectoryStore
from pgproof.stores.store import Entry, Store
from pgproof.stream import process
from pgproof.stream.encrypt import Key
from pgproof.stream.sink import Sink
from tests.conformance.memory_store import MemoryStore

BEGIN = datetime(2026, 11, 23, 2, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        return self.now


class Failing:
    """A store whose chosen calls fail: `fails` is asked with the method and the name before each."""

    def __init__(self, inner: Store, fails: Callable[[str, str], bool]) -> None:
        self.inner, self.fails, self.calls = inner, fails, list[tuple[str, str]]()

    def _ask(self, method: str, name: str) -> None:
        self.calls.append((method, name))
        if self.fails(method, name):
            raise Unreachable(f"{method} {name}: injected")

    def create(self, name: str, *, replace: bool = False) -> Sink:
        self._ask("create", name)
        return _FailingSink(self, name, self.inner.create(name, replace=replace))

    def open(self, name: str, start: int = 0, length: int | None = None) -> BinaryIO:
        self._ask("open", name)
        return self.inner.open(name, start, length)

    def stat(self, name: str) -> Entry:
        self._ask("stat", name)
        return self.inner.stat(name)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        self._ask("list", prefix)
        return self.inner.list(prefix)

    def delete(self, name: str) -> None:
        self._ask("delete", name)
        self.inner.delete(name)

    def close(self) -> None:
        self.inner.close()


class _FailingSink(Sink):
    def __init__(self, store: Failing, name: str, inner: Sink) -> None:
        self._store, self._name, self._inner = store, name, inner

    def write(self, data: bytes) -> None:
        self._inner.write(data)

    def commit(self) -> None:
        self._store._ask("commit", self._name)
        self._inner.commit()
        self._store._ask("committed", self._name)  # the answer got lost: stored, and reported as failed

    def abort(self) -> None:
        self._inner.abort()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(clock)


@pytest.fixture
def repository(store: MemoryStore, clock: Clock) -> Repository:
    return Repository(store, clock)


def manifest_of(draft: Draft) -> Manifest:
    return Manifest(
        FORMAT, "0.1.0", draft.source, draft.kind, draft.stamp, 0, None, BEGIN, BEGIN, Server("17.0", 170000, "7"),
        Database("kc", "UTF8"), {}, {}, (), Evidence(),
    )  # fmt: skip


def write_parts(draft: Draft, stems: tuple[str, ...] = ("kc.sql", "schema.dump")) -> None:
    for stem in stems:
        with draft.part(stem, "none") as part:
            part.write(stem.encode() * 10)


def back_up(repository: Repository, source: str = "kc", began: datetime = BEGIN) -> Manifest:
    with repository.lock(source, "backup") as lease, repository.draft(source, "logical", began, Key()) as draft:
        write_parts(draft)
        return draft.publish(manifest_of(draft), lease)


def names(store: Store) -> list[str]:
    return [entry.name for entry in store.list()]


def ids(repository: Repository) -> list[str]:
    whole, broken = repository.backups()
    assert broken == []
    return [one.id for one in whole]


def listed_means_whole(repository: Repository) -> None:
    """I1: every part that a listed backup names is there with its size."""
    for one in repository.backups()[0]:
        for part in one.manifest.parts:
            assert repository.store.stat(f"{one.id}/{part.name}").size == part.size


def record(backup: str, minute: int, ok: bool = True, kind: str = "verify") -> Record:
    return Record(backup, kind, BEGIN + timedelta(minutes=minute), ok, 1.0)


# -- drafts ---------------------------------------------------------------------------------------


def test_a_published_backup_is_listed_with_its_parts(repository: Repository, store: MemoryStore) -> None:
    made = back_up(repository)
    assert made.id == "kc/20261123T020000Z-logical"
    assert ids(repository) == [made.id]
    assert repository.find(made.id).manifest == made
    assert [part.name for part in made.parts] == ["kc.sql", "schema.dump"]
    assert names(store) == [f"{made.id}/{name}" for name in ("kc.sql", MANIFEST, "schema.dump")]
    listed_means_whole(repository)


@pytest.mark.parametrize("how", [ZeroDivisionError, KeyboardInterrupt, Unreachable, None])
def test_a_draft_that_is_left_leaves_nothing(
    repository: Repository, store: MemoryStore, how: type[BaseException] | None
) -> None:
    try:
        with repository.draft("kc", "logical", BEGIN, Key()) as draft:
            write_parts(draft)
            if how:
                with draft.part("late", "none") as part:
                    part.write(b"x")
                    raise how("left")
    except BaseException as error:
        assert how and isinstance(error, how)
    assert names(store) == []
    assert ids(repository) == []


@pytest.mark.parametrize("how", [KeyboardInterrupt, Unreachable])
def test_a_part_that_the_store_took_as_we_were_interrupted_is_taken_back(
    clock: Clock, how: type[BaseException]
) -> None:
    inner = MemoryStore(clock)

    def fails(method: str, name: str) -> bool:
        if method == "committed" and name.endswith("/schema.dump"):
            raise how("left")
        return False

    with pytest.raises(how), Repository(Failing(inner, fails), clock).draft("kc", "logical", BEGIN, Key()) as draft:
        write_parts(draft)
    assert names(inner) == []


def test_a_part_of_somebody_else_under_the_same_name_stays(repository: Repository, store: MemoryStore) -> None:
    with pytest.raises(AlreadyExists), repository.draft("kc", "logical", BEGIN, Key()) as draft:
        with store.create(f"{draft.id}/schema.dump") as sink:
            sink.write(b"theirs")
        write_parts(draft)
    assert names(store) == [f"{draft.id}/schema.dump"]


@pytest.mark.parametrize("step", ["create", "commit", "committed"])
@pytest.mark.parametrize("cleaning", [True, False])
def test_a_manifest_that_fails_leaves_no_half_backup(clock: Clock, step: str, cleaning: bool) -> None:
    """Also when the store kept it and said otherwise; also when what is left cannot be deleted just then."""
    inner = MemoryStore(clock)
    broken = [True]

    def fails(method: str, name: str) -> bool:
        if not broken[0] or "/" not in name or name.endswith("lock.json"):
            return False
        return (method == step and name.endswith(MANIFEST)) or (method == "delete" and not cleaning)

    store = Failing(inner, fails)
    repository = Repository(store, clock)
    with pytest.raises(Unreachable):
        back_up(repository)
    listed_means_whole(repository)
    if cleaning:
        assert names(inner) == []
    broken[0] = False
    clock.now += timedelta(minutes=1)
    made = back_up(repository, began=clock.now)  # I7: the next run needs no clean-up
    assert made.id in ids(repository)
    listed_means_whole(repository)


def test_every_call_that_fails_leaves_listed_means_whole(clock: Clock) -> None:
    """One failure at every call of a backup and of its deletion, in turn."""
    for at in range(200):
        inner, count = MemoryStore(clock), [0]

        def fails(method: str, name: str, count=count, at=at) -> bool:
            count[0] += 1
            return count[0] == at + 1

        repository = Repository(inner, clock)
        kept = back_up(repository, began=BEGIN - timedelta(days=1))
        hurt = Repository(Failing(inner, fails), clock)
        failed = False
        try:
            made = back_up(hurt)
            hurt.forget(made.id)
        except Unreachable:
            failed = True
        listed_means_whole(repository)
        assert kept.id in ids(repository)
        clock.now += LEASE * 2
        back_up(repository, began=clock.now)
        listed_means_whole(repository)
        if not failed and count[0] <= at:
            return
    raise AssertionError("it never got through")


def test_two_backups_in_one_second_have_two_names(repository: Repository) -> None:
    assert back_up(repository).id != back_up(repository).id
    assert len(ids(repository)) == 2


def test_order_and_chain_come_from_the_sequence_not_from_the_clock(repository: Repository, store: MemoryStore) -> None:
    first = back_up(repository)
    second = back_up(repository, began=BEGIN - timedelta(days=300))
    other = back_up(repository, "other")
    third = back_up(repository, began=BEGIN + timedelta(days=3650))
    assert [first.sequence, second.sequence, third.sequence, other.sequence] == [1, 2, 3, 1]
    assert first.previous is None
    assert second.previous == repository.seal_hash(first.id)
    assert third.previous == repository.seal_hash(second.id)
    assert other.previous is None
    assert ids(repository) == [first.id, second.id, third.id, other.id]
    assert repository.find("latest", "kc").id == third.id
    assert seal_hash(seal(third)) == repository.seal_hash(third.id)


# -- orphans --------------------------------------------------------------------------------------


def test_what_a_killed_draft_left_is_an_orphan_after_the_grace_time_and_not_before(
    repository: Repository, store: MemoryStore, clock: Clock
) -> None:
    kept = back_up(repository, began=BEGIN - timedelta(days=9))
    write_parts(repository.draft("kc", "logical", BEGIN, Key()))  # never left: killed
    for name in ("kc/notes", "README", "kc/20261123-not-ours/x", "kc/lock.json"):
        with store.create(name) as sink:
            sink.write(b"theirs")
    assert repository.orphans(clock.now) == []
    assert repository.orphans(clock.now + GRACE) == []
    assert repository.orphans(clock.now - timedelta(days=9)) == []  # a clock that jumped back
    late = [entry.name for entry in repository.orphans(clock.now + GRACE + timedelta(seconds=1))]
    assert late == ["kc/20261123T020000Z-logical/kc.sql", "kc/20261123T020000Z-logical/schema.dump"]
    assert ids(repository) == [kept.id]


def test_a_folder_in_which_something_is_still_written_is_no_orphan(repository: Repository, clock: Clock) -> None:
    draft = repository.draft("kc", "logical", BEGIN, Key())
    write_parts(draft, ("kc.sql",))
    clock.now += GRACE * 2
    write_parts(draft, ("schema.dump",))
    assert repository.orphans(clock.now) == []


def test_a_killed_process_leaves_nothing_listed(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import os, sys
        sys.path[:0] = {sys.path!r}
        from datetime import UTC, datetime
        from pathlib import Path
        from pgproof.repository import Repository
        from pgproof.stores.directory import DirectoryStore
        from pgproof.stream.encrypt import Key
        repository = Repository(DirectoryStore(Path({str(tmp_path)!r})))
        repository.lock("kc", "backup").__enter__()
        draft = repository.draft("kc", "logical", datetime(2026, 11, 23, 2, tzinfo=UTC), Key())
        with draft.part("kc.sql", "none") as part:
            part.write(b"x")
        with draft.part("schema.dump", "none") as part:
            part.write(b"x")
            os.kill(os.getpid(), 9)
    """)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    repository = Repository(DirectoryStore(tmp_path))
    assert ids(repository) == []
    assert "kc/lock.json" in names(repository.store)
    later = datetime.now(UTC) + GRACE + timedelta(minutes=1)
    assert [entry.name.rpartition("/")[2] for entry in repository.orphans(later)] == ["kc.sql"]
    back_up(repository)  # the lock of a dead process on this host is broken at once


# -- what cannot be believed ------------------------------------------------------------------------


def test_the_manifest_of_another_backup_is_damage(repository: Repository, store: MemoryStore) -> None:
    first, second = back_up(repository), back_up(repository)
    with store.create(f"{first.id}/{MANIFEST}", replace=True) as sink:
        sink.write(seal(second))
    with pytest.raises(Damaged):
        repository.manifest(first.id)
    with pytest.raises(Damaged):
        repository.find(first.id)
    whole, broken = repository.backups()
    assert [one.id for one in whole] == [second.id]
    assert [one.id for one in broken] == [first.id]


def test_a_record_about_another_backup_is_damage(repository: Repository, store: MemoryStore) -> None:
    first, second = back_up(repository), back_up(repository)
    with store.create(f"{first.id}/proofs/20261123T030000Z.json") as sink:
        sink.write(seal(record(second.id, 1)))
    whole, broken = repository.backups()
    assert {one.id: one.state for one in whole} == {first.id: "damaged", second.id: "stored"}
    assert broken == [], "the backup itself is whole, and stays in reach"


def test_one_damaged_manifest_hides_no_other(repository: Repository, store: MemoryStore) -> None:
    made = [back_up(repository) for _ in range(3)]
    with store.create(f"{made[1].id}/{MANIFEST}", replace=True) as sink:
        sink.write(b"")
    whole, broken = repository.backups()
    assert [one.id for one in whole] == [made[0].id, made[2].id]
    assert [one.id for one in broken] == [made[1].id]
    assert back_up(repository).sequence > 4  # the damaged one could have had 4


def test_foreign_files_beside_the_records_are_ignored(repository: Repository, store: MemoryStore) -> None:
    made = back_up(repository)
    repository.add_record(record(made.id, 1))
    for name in ("proofs/.DS_Store", "proofs/README", "proofs/deep/x.json", "notes.txt"):
        with store.create(f"{made.id}/{name}") as sink:
            sink.write(b"theirs")
    assert repository.find(made.id).records == (record(made.id, 1),)
    assert repository.records(made.id) == (record(made.id, 1),)


# -- find -----------------------------------------------------------------------------------------


def test_find(repository: Repository) -> None:
    first = back_up(repository)
    second = back_up(repository, began=BEGIN + timedelta(days=1))
    other = back_up(repository, "other", BEGIN + timedelta(days=2))
    for name, expected in {
        first.id: first, "kc/20261123": first, "20261123T": first, "kc/20261124T020000Z": second, "kc": second,
        "kc:logical": second, "other": other, "20261125": other, "other/2": other,
    }.items():  # fmt: skip
        assert repository.find(name).id == expected.id, name
    assert repository.find("latest", "kc").id == second.id
    assert repository.find("latest:logical", "kc").id == second.id
    for name in ("kc/2026", "2026", "latest", "latest:logical"):
        with pytest.raises(UsageError) as caught:
            repository.find(name)
        assert caught.value.hint
    for name in ("kc/1999", "absent", "latest:volume", "kc:volume", "kc/20261123T020000Z-volume", "../kc", "k\n"):
        with pytest.raises(UsageError):
            repository.find(name)


@pytest.mark.parametrize("name", ["", "latest", "kc", "2", "/"])
def test_find_in_an_empty_store(repository: Repository, name: str) -> None:
    with pytest.raises(UsageError):
        repository.find(name)


@pytest.mark.parametrize("name", ["", " ", ":", ":logical"])
def test_an_empty_name_means_no_backup_even_when_there_is_one_only(repository: Repository, name: str) -> None:
    """`pgproof forget "$ID"` with ID unset must not take the one there is."""
    back_up(repository)
    with pytest.raises(UsageError):
        repository.find(name)


# -- forget, keep, state ----------------------------------------------------------------------------


def test_forget_deletes_the_manifest_first(clock: Clock) -> None:
    inner = MemoryStore(clock)
    made = back_up(Repository(inner, clock))
    Repository(inner, clock).add_record(record(made.id, 1))
    deleted: list[str] = []

    def second(method: str, name: str) -> bool:
        if method == "delete":
            deleted.append(name)
        return len(deleted) == 2

    with pytest.raises(Unreachable):
        Repository(Failing(inner, second), clock).forget(made.id)
    assert deleted[0] == f"{made.id}/{MANIFEST}"
    repository = Repository(inner, clock)
    assert repository.backups() == ([], [])
    late = [entry.name for entry in repository.orphans(clock.now + GRACE * 2)]
    assert late == names(inner)
    assert len(late) == 3


def test_forget_takes_all_of_one_and_nothing_of_another(repository: Repository, store: MemoryStore) -> None:
    first, second = back_up(repository), back_up(repository)
    repository.add_record(record(first.id, 1))
    repository.keep(first.id)
    repository.forget(first.id)
    assert ids(repository) == [second.id]
    assert all(name.startswith(second.id) for name in names(store))
    with pytest.raises(PgproofError):
        repository.forget(first.id)


def test_keep_and_release(repository: Repository) -> None:
    made = back_up(repository)
    assert not repository.find(made.id).pinned
    for _ in range(2):
        repository.keep(made.id)
        assert repository.find(made.id).pinned
    for _ in range(2):
        repository.keep(made.id, release=True)
        assert not repository.find(made.id).pinned


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ("", "stored"), ("v", "intact"), ("d", "proven"), ("dv", "proven"), ("vd", "proven"), ("D", "damaged"), ("V", "damaged"),  # noqa: E501
        ("dV", "damaged"), ("Vv", "intact"), ("dVv", "proven"), ("Dd", "proven"), ("vVd", "proven"), ("dDv", "damaged"),
    ],
)  # fmt: skip
def test_state_of_records(repository: Repository, history: str, expected: str) -> None:
    made = back_up(repository)
    kinds = {"v": ("verify", True), "d": ("drill", True), "V": ("verify", False), "D": ("drill", False)}
    for minute, letter in enumerate(history):
        kind, ok = kinds[letter]
        repository.add_record(record(made.id, minute, ok, kind))
    found = repository.find(made.id)
    assert found.state == expected
    assert state(tuple(reversed(found.records))) == expected
    assert [one.at.minute for one in found.records] == list(range(len(history)))


def test_records_of_one_second_are_all_kept(repository: Repository) -> None:
    made = back_up(repository)
    for _ in range(12):
        repository.add_record(record(made.id, 1))
    assert len(repository.find(made.id).records) == 12


# -- the lock -------------------------------------------------------------------------------------


def hold(repository: Repository, who: process.Identity, expires: datetime, token: str = "theirs") -> None:
    holder = Holder(token, "prune", who, expires)
    with repository.store.create("kc/lock.json", replace=True) as sink:
        sink.write(msgspec.json.encode(holder))


FOREIGN = process.Identity("elsewhere", "another boot", 77, "1")


def test_the_second_taker_is_told_who_holds_it(repository: Repository, store: MemoryStore) -> None:
    with repository.lock("kc", "backup"):
        with pytest.raises(Busy) as caught:
            with repository.lock("kc", "prune"):
                pass
        assert f"process {os.getpid()}" in caught.value.message
        assert os.uname().nodename in caught.value.message
        assert "backup" in caught.value.message
        with repository.lock("other", "backup"):
            pass
    assert names(store) == []
    with repository.lock("kc", "again"):
        pass


def test_of_many_takers_one_gets_it(repository: Repository) -> None:
    inside, most, busy = [0], [0], [0]
    barrier = threading.Barrier(8)

    def take() -> None:
        barrier.wait()
        try:
            with repository.lock("kc", "backup"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                threading.Event().wait(0.2)
                inside[0] -= 1
        except Busy:
            busy[0] += 1

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most[0], busy[0]) == (1, 7)


def test_a_dead_holder_on_this_host_is_broken_at_once(repository: Repository, clock: Clock) -> None:
    me = process.identity()
    hold(repository, replace(me, started="1"), clock.now + LEASE)
    back_up(repository)


def test_a_foreign_holder_is_believed_until_its_lease_ends(repository: Repository, clock: Clock) -> None:
    hold(repository, FOREIGN, clock.now + LEASE)
    for wait in (timedelta(0), LEASE - timedelta(seconds=1)):
        clock.now = BEGIN + wait
        with pytest.raises(Busy) as caught:
            back_up(repository)
        assert "process 77 on elsewhere" in caught.value.message
        assert "prune" in caught.value.message
    assert b"theirs" in repository.store.open("kc/lock.json").read()
    clock.now = BEGIN + LEASE + timedelta(seconds=1)
    back_up(repository)
    assert "kc/lock.json" not in names(repository.store)


def test_a_lost_lease_refuses_to_publish_and_is_not_released(
    repository: Repository, store: MemoryStore, clock: Clock
) -> None:
    with pytest.raises(Busy):
        with repository.lock("kc", "backup") as lease, repository.draft("kc", "logical", BEGIN, Key()) as draft:
            write_parts(draft)
            hold(repository, FOREIGN, clock.now + LEASE)  # we were stopped; they found our lease expired
            draft.publish(manifest_of(draft), lease)
    assert names(store) == ["kc/lock.json"]
    assert b"theirs" in store.open("kc/lock.json").read()


def test_a_lock_that_vanished_refuses_to_publish(repository: Repository, store: MemoryStore) -> None:
    with pytest.raises(Busy):
        with repository.lock("kc", "backup") as lease, repository.draft("kc", "logical", BEGIN, Key()) as draft:
            write_parts(draft)
            store.delete("kc/lock.json")
            draft.publish(manifest_of(draft), lease)
    assert names(store) == []


def test_another_backup_of_the_same_name_is_never_touched(
    repository: Repository, store: MemoryStore, clock: Clock
) -> None:
    """Two hosts with one lock lost, in one second: whoever comes second leaves the first one's backup whole."""
    with repository.lock("kc", "backup") as lease:
        with pytest.raises(AlreadyExists):
            with repository.draft("kc", "logical", BEGIN, Key()) as late:
                with repository.draft("kc", "logical", BEGIN, Key()) as first:
                    write_parts(first, ("kc.sql",))
                    made = first.publish(manifest_of(first), lease)
                write_parts(late, ("mine",))
                late.publish(manifest_of(late), lease)
    assert ids(repository) == [made.id]
    listed_means_whole(repository)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"token":7}', b"null"])
def test_a_lock_file_that_cannot_be_read_is_said_and_not_broken(
    repository: Repository, store: MemoryStore, content: bytes
) -> None:
    with store.create("kc/lock.json") as sink:
        sink.write(content)
    with pytest.raises(Busy) as caught:
        back_up(repository)
    assert "kc/lock.json" in caught.value.hint
    assert store.open("kc/lock.json").read() == content


def test_the_lock_says_what_a_person_wants_to_know(repository: Repository, store: MemoryStore, clock: Clock) -> None:
    with repository.lock("kc", "backup") as lease:
        said = json.loads(store.open("kc/lock.json").read())
        assert isinstance(lease, Lease)
        assert said["purpose"] == "backup"
        assert said["process"]["pid"] == os.getpid()
        assert datetime.fromisoformat(said["expires"]) == clock.now + LEASE
