"""FAULTS, test 2: every call to the store fails once, for n = 1, 2, 3 ... until a run passes.

The rule: an error of ours is raised, or the result is true; nothing good is lost; and the same run without a fault
then succeeds, in the same process. A call fails before it does anything, or after it was done and only its answer
was lost, or for good from then on; a stream may also end too soon or give a wrong bit, without a word.
"""

import itertools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgproof.actions import prove as proving
from pgproof.actions import restore as restoring
from pgproof.actions.backup import backup
from pgproof.actions.prune import prune
from pgproof.actions.verify import reading, verify
from pgproof.errors import PgproofError
from pgproof.job import Job
from pgproof.manifest import Codec, Kind, Manifest, Part, Server
from pgproof.postgres.server import Address, connect
from pgproof.postgres.sql import name as quoted
from pgproof.repository import GRACE, Repository
from pgproof.retention import Policy
from pgproof.secret import Secret
from pgproof.sources.dump import Dump
from pgproof.sources.replay import Choice, Manner
from pgproof.sources.source import Captured, Source
from pgproof.stores.directory import DirectoryStore
from pgproof.stream.blocks import text_blocks
from pgproof.stream.encrypt import Key
from pgproof.stream.part import Parts
from pgproof.stream.progress import Progress, Silent
from tests.conftest import Servers
from tests.faults.conftest import MAJOR, fill
from tests.faults.failing_store import FailingStore, Mode
from tests.faults.invariants import databases, row_counts, whole

NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
GPG = Key("gpg", Secret("correct horse"))
DONE: tuple[Mode, ...] = ("before", "after", "gone")
SAID: tuple[Mode, ...] = ("before", "after", "gone", "short", "flipped")


@dataclass(frozen=True)
class Replayer:
    """A source without a server: it gives again what was captured from a real one."""

    parts: tuple[tuple[Part, bytes], ...]
    captured: Captured
    name: str = "db"
    kind: Kind = "logical"

    def identify(self) -> Server:
        return self.captured.server

    def capture(self, part: Parts, progress: Progress) -> Captured:
        for stored, plain in self.parts:
            stem = stored.name.removesuffix(".gz")
            codec: Codec = stored.codec
            with part(stem, codec) as out:
                if stored.blocks:
                    for block in text_blocks([plain], codec, "before"):
                        out.append(block)
                else:
                    out.write(plain)
        return self.captured


@pytest.fixture(scope="module")
def source(servers: Servers) -> Address:
    database = servers.database(MAJOR, "store_calls")
    fill(database, 3000)
    return database


@pytest.fixture(scope="module")
def replayer(source: Address, tmp_path_factory: pytest.TempPathFactory) -> Replayer:
    root = tmp_path_factory.mktemp("captured")
    made = backup(job(Repository(DirectoryStore(root)), Dump("db", source)), NOW, Silent())
    read = reading(Repository(DirectoryStore(root)), made, Key())
    captured = Captured(made.server, made.database, made.tools, made.settings, made.evidence)
    return Replayer(tuple((part, read.content(part)) for part in made.parts), captured)


def job(repository: Repository, source: Source, key: Key | None = None, policy: Policy | None = None) -> Job:
    return Job("db", Address("dbname=x"), source, repository, key or Key(), policy or Policy())


def repository(root: Path, number: int = 0, mode: Mode = "before", now: datetime = LATER) -> Repository:
    return Repository(FailingStore(DirectoryStore(root), number, mode), lambda: now)


def store_of(repository: Repository) -> FailingStore:
    assert isinstance(repository.store, FailingStore)
    return repository.store


def faults(pristine: Path, work: Path, stride: int) -> Iterator[tuple[int, Path]]:
    """For n = 1, 1 + stride, ...: n, and a fresh copy of the store. Whoever asks ends it."""
    for number in itertools.count(1, stride):
        assert number < 1000, "it never passes"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(pristine, work)
        yield number, work


def listed(root: Path) -> set[str]:
    return {f"{one.parent.parent.name}/{one.parent.name}" for one in root.glob("*/*/manifest.json")}


def unwhole(root: Path) -> list[str]:
    return [text for one in sorted(listed(root)) for text in whole(root, one)]


def left(root: Path) -> list[str]:
    return [str(path) for path in [*root.rglob(".pgproof-tmp-*"), *root.rglob("lock.json")]]


@pytest.fixture
def pristine(tmp_path: Path, replayer: Replayer) -> Path:
    """A store with one good backup."""
    root = tmp_path / "pristine"
    root.mkdir()
    backup(job(repository(root), replayer), NOW, Silent())
    return root


@pytest.mark.parametrize(
    "encrypted", [False, pytest.param(True, marks=[pytest.mark.slow, pytest.mark.sweep(every=12)])]
)
@pytest.mark.parametrize("mode", DONE)
@pytest.mark.sweep(every=4)
def test_backup(pristine: Path, tmp_path: Path, replayer: Replayer, mode: Mode, encrypted: bool, sweep: int) -> None:
    before = listed(pristine)
    key = GPG if encrypted else Key()
    for number, root in faults(pristine, tmp_path / "work", sweep):
        repo = repository(root, number, mode)
        made: Manifest | None = None
        try:
            made = backup(job(repo, replayer, key), LATER, Silent())
        except PgproofError as error:
            assert error.hint, f"{store_of(repo).hit}: an error without a hint: {error}"
        what = f"{number}: {store_of(repo).hit}"
        assert before <= listed(root), f"{what}: the good backup is gone"
        assert unwhole(root) == [], what
        if made:
            assert made.id in listed(root), f"{what}: it said that it was done"
        again = backup(job(repository(root), replayer, key), LATER + timedelta(minutes=1), Silent())
        assert again.id in listed(root) and unwhole(root) == [] and left(root) == [], f"{what}: {left(root)}"
        if not store_of(repo).hit:
            break
    assert number > 20


@pytest.mark.parametrize("mode", SAID)
@pytest.mark.sweep(every=4)
def test_verify_of_what_is_whole(pristine: Path, tmp_path: Path, mode: Mode, sweep: int) -> None:
    """No single failure of the store makes damage out of a good backup for longer than it lasts."""
    (good,) = listed(pristine)
    for number, root in faults(pristine, tmp_path / "work", sweep):
        repo = repository(root, number, mode)
        answer = None
        try:
            answer = verify(repo, good, Key(), LATER, Silent())
        except PgproofError as error:
            assert error.hint, error
        what = f"{number}: {store_of(repo).hit}"
        if answer and mode not in ("short", "flipped"):
            assert answer.ok, f"{what}: called damaged: {answer.findings}"
        if answer and answer.ok and answer.kept:
            assert "intact" in {one.state for one in repository(root).backups()[0]}, what
        again = verify(repository(root), good, Key(), LATER + timedelta(minutes=1), Silent())
        assert again.ok, f"{what}: {again.findings}"
        assert [one.state for one in repository(root).backups()[0]] == ["intact"], what
        if not store_of(repo).hit:
            break
    assert number > 10


@pytest.mark.parametrize("mode", SAID)
@pytest.mark.sweep(every=4)
def test_verify_of_what_is_damaged(pristine: Path, tmp_path: Path, mode: Mode, sweep: int) -> None:
    """No single failure of the store makes a good backup out of a damaged one."""
    (bad,) = listed(pristine)
    part = pristine / bad / "db.sql.gz"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    for number, root in faults(pristine, tmp_path / "work", sweep):
        repo = repository(root, number, mode)
        try:
            assert not verify(repo, bad, Key(), LATER, Silent()).ok, f"{number}: {store_of(repo).hit}"
        except PgproofError as error:
            assert error.hint, error
        if not store_of(repo).hit:
            break


@pytest.mark.parametrize("mode", DONE)
@pytest.mark.sweep(every=4)
def test_prune(tmp_path: Path, replayer: Replayer, mode: Mode, sweep: int) -> None:
    pristine = tmp_path / "pristine"
    pristine.mkdir()
    for days in (34, 28, 22, 2, 1):
        at = NOW - timedelta(days=days)
        made = backup(job(repository(pristine, now=at), replayer), at, Silent())
        verify(repository(pristine), made.id, Key(), at, Silent())
    policy = Policy(timedelta(days=7))
    clean = tmp_path / "clean"
    shutil.copytree(pristine, clean)
    kept = {
        one.id for one in prune(job(repository(clean), replayer, policy=policy), NOW, apply=True).verdicts if one.keep
    }
    assert listed(clean) == kept and len(kept) < 5
    for number, root in faults(pristine, tmp_path / "work", sweep):
        repo = repository(root, number, mode)
        done = None
        try:
            done = prune(job(repo, replayer, policy=policy), NOW, apply=True)
        except PgproofError as error:
            assert error.hint, error
        what = f"{number}: {store_of(repo).hit}"
        assert kept <= listed(root), f"{what}: {kept - listed(root)} should have been kept"
        assert unwhole(root) == [], what
        if done:
            assert {one.id for one in done.verdicts if one.keep} <= listed(root), what
        # What is half deleted is an orphan, and swept once the grace time is over.
        for path in root.rglob("*"):
            stale = (NOW - 2 * GRACE).timestamp()
            os.utime(path, (stale, stale))
        prune(job(repository(root), replayer, policy=policy), NOW, apply=True)
        assert listed(root) == kept, what
        assert {path.parent.parent.name for path in root.glob("*/*/*")} == {"db"}
        assert {f"db/{path.parent.name}" for path in root.glob("db/*/*.gz")} == kept, f"{what}: orphans stay"
        assert left(root) == [], what
        if not store_of(repo).hit:
            break
    assert number > 20


@pytest.mark.parametrize("mode", SAID)
@pytest.mark.sweep(every=4)
def test_looking(pristine: Path, tmp_path: Path, replayer: Replayer, mode: Mode, sweep: int) -> None:
    """`list` and `find` never say that there is nothing, or take an older backup for the newest, in silence."""
    newest = backup(job(repository(pristine), replayer), LATER, Silent())
    everything = listed(pristine)
    for number, root in faults(pristine, tmp_path / "work", sweep):
        repo = repository(root, number, mode)
        try:
            sound, broken = repo.backups("db")
            assert {one.id for one in sound} | {one.id for one in broken} == everything, store_of(repo).hit
            assert repo.find("latest").id == newest.id, store_of(repo).hit
        except PgproofError as error:
            assert error.hint, error
        if not store_of(repo).hit:
            break


@pytest.fixture
def captured(source: Address, tmp_path: Path) -> tuple[Path, Manifest]:
    root = tmp_path / "captured"
    root.mkdir()
    return root, backup(job(repository(root), Dump("db", source)), NOW, Silent())


def restore_from(repo: Repository, made: Manifest, target: Address) -> None:
    source = reading(repo, repo.manifest(made.id), Key())
    wish = restoring.Wish(Choice(), Manner())
    restoring.restore(source, target, wish, restoring.plan(source, target, wish, NOW), Silent())


@pytest.mark.parametrize("mode", ["before", pytest.param("short", marks=pytest.mark.slow), "flipped"])
@pytest.mark.sweep(every=4)
def test_restore(source: Address, captured: tuple[Path, Manifest], mode: Mode, sweep: int) -> None:
    root, made = captured
    target, before, counts = source.to("store_calls_back"), databases(source), row_counts(source)
    for number in itertools.count(1, sweep):
        repo = repository(root, number, mode)
        try:
            restore_from(repo, made, target)
        except PgproofError as error:
            assert error.hint, f"{store_of(repo).hit}: {error}"
            assert databases(source) == before, store_of(repo).hit
            continue
        assert not store_of(repo).spoiled, f"{number}: {store_of(repo).hit} gave wrong bytes, and nobody saw"
        assert databases(source) - before == {target.database}, store_of(repo).hit
        assert row_counts(target) == counts, store_of(repo).hit
        drop(source, target.database)
        if not store_of(repo).hit:
            break
    assert number > 10


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["before", "short", "flipped"])
@pytest.mark.sweep(every=4)
def test_prove(captured: tuple[Path, Manifest], mode: Mode, sweep: int) -> None:
    root, made = captured
    for number in itertools.count(1, sweep):
        repo = repository(root, number, mode)
        try:
            record = proving.prove(reading(repo, made, Key()), proving.Conditions(), NOW, Silent())
            assert record.ok or mode in ("short", "flipped"), f"{store_of(repo).hit}: {record.findings}"
            assert not (record.ok and store_of(repo).spoiled), f"{number}: {store_of(repo).hit}"
        except PgproofError as error:
            assert error.hint, f"{store_of(repo).hit}: {error}"
        if not store_of(repo).hit:
            assert record.ok
            break
    assert number > 10


def drop(server: Address, database: str) -> None:
    with connect(server) as session:
        session.run(f"DROP DATABASE IF EXISTS {quoted(database)} WITH (FORCE)")
