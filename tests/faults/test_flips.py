"""FAULTS, test 4 (C6, C7, D5, D6, D7): every wrong bit is found, and a restore refuses before the target is touched.

Damage is done to the stored files of one small backup, plain and encrypted: bits flipped, files cut, exchanged,
missing, put back elsewhere. After each, `verify` must say that the backup is damaged, and of a sample of them
`restore` must refuse with the list of databases unchanged. With PGPROOF_EVIDENCE=FOLDER the long run writes its
table there, beside what `pg_restore --list` makes of the same damage.
"""

import itertools
import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgproof.actions import restore as restoring
from pgproof.actions.backup import backup
from pgproof.actions.verify import reading, verify
from pgproof.errors import Damaged, PgproofError
from pgproof.job import Job
from pgproof.manifest import Manifest, seal
from pgproof.postgres import tools
from pgproof.postgres.server import Address, connect, for_programs
from pgproof.repository import Repository
from pgproof.retention import Policy
from pgproof.secret import Secret
from pgproof.sources.dump import Dump
from pgproof.sources.replay import Choice, Manner
from pgproof.stores.directory import DirectoryStore
from pgproof.stream.encrypt import Key
from pgproof.stream.progress import Silent
from tests.conftest import Servers, missing
from tests.faults.conftest import MAJOR, fill
from tests.faults.invariants import databases
from tests.sweeps import SEED

NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
GPG = Key("gpg", Secret("correct horse"))


@dataclass
class Stored:
    """A store in memory (/dev/shm) with two backups, of which the second is going to be damaged."""

    root: Path
    key: Key
    source: Address
    first: Manifest
    made: Manifest

    @property
    def repository(self) -> Repository:
        return Repository(DirectoryStore(self.root))

    @property
    def folder(self) -> Path:
        return self.root / self.made.id

    def files(self) -> list[Path]:
        """All that belongs to the backup: manifest, parts, and the record of an examination."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def found(self, key: Key | None = None, backup: str = "") -> bool:
        """Whether verify finds something, and the list shows it."""
        name = backup or self.made.id
        before = set((self.root / name).glob("proofs/*"))
        answer = verify(self.repository, name, self.key if key is None else key, NOW, Silent())
        for path in set((self.root / name).glob("proofs/*")) - before:
            path.unlink()
        assert answer.ok or answer.findings
        return not answer.ok

    def refused(self) -> bool:
        """Whether a restore of it refuses, having touched nothing."""
        before = databases(self.source)
        target, wish = self.source.to("flips_back"), restoring.Wish(Choice(), Manner())
        try:
            manifest = self.repository.find(self.made.id).manifest
            read = reading(self.repository, manifest, self.key)
            restoring.restore(read, target, wish, restoring.plan(read, target, wish, NOW), Silent())
        except PgproofError as error:
            assert isinstance(error, Damaged) and error.hint, error
            assert databases(self.source) == before, f"{error}: it was refused after the target was touched"
            return True
        return False


@pytest.fixture(scope="module")
def source(servers: Servers) -> Address:
    database = servers.database(MAJOR, "flips")
    fill(database, 300)
    return database


@contextmanager
def stored(source: Address, root: Path, key: Key) -> Iterator[Stored]:
    root.mkdir(parents=True)
    repository = Repository(DirectoryStore(root))
    job = Job("db", source, Dump("db", source), repository, key, Policy())
    made = [backup(job, NOW + timedelta(minutes=n), Silent()) for n in (0, 1)]
    verify(repository, made[1].id, key, NOW + timedelta(minutes=2), Silent())
    one = Stored(root, key, source, *made)
    assert not one.found()
    yield one
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    folder = Path(f"/dev/shm/pgproof-flips-{os.getpid()}")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def plain(source: Address, memory: Path) -> Iterator[Stored]:
    with stored(source, memory / "plain", Key()) as one:
        yield one


@pytest.fixture(scope="module")
def encrypted(source: Address, memory: Path) -> Iterator[Stored]:
    if not shutil.which("gpg"):
        missing("gpg")
    with stored(source, memory / "encrypted", GPG) as one:
        yield one


@contextmanager
def changed(path: Path, data: bytes | None) -> Iterator[None]:
    """The file with other bytes in it (None: gone), put right afterwards."""
    right = path.read_bytes()
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(right)


def flipped(data: bytes, bit: int) -> bytes:
    wrong = bytearray(data)
    wrong[bit // 8] ^= 1 << bit % 8
    return bytes(wrong)


def flips(one: Stored, count: int, key: Key | None = None, restore_every: int = 0) -> Counter[str]:
    """Flip `count` random bits, one at a time, of all files by their size; returns how many of which file."""
    chance = random.Random(SEED)
    content = {path: path.read_bytes() for path in one.files()}
    paths, sizes = list(content), [len(data) for data in content.values()]
    tried: Counter[str] = Counter()
    for number in range(count):
        # Half of them by size, half evenly over the files: small ones are to have their share.
        path = chance.choices(paths, sizes)[0] if number % 2 else chance.choice(paths)
        bit = chance.randrange(len(content[path]) * 8)
        with changed(path, flipped(content[path], bit)):
            assert one.found(key), f"bit {bit} of {path.name} (seed {SEED}, number {number}) was not found"
            if restore_every and number % restore_every == 0 and path.parent.name != "proofs":
                assert one.refused(), f"bit {bit} of {path.name}: it was restored"
        tried[path.name if path.parent.name != "proofs" else "proofs/"] += 1
    return tried


@pytest.mark.slow
@pytest.mark.sweep(300, full=10000)
def test_flips(plain: Stored, encrypted: Stored, sweep: int) -> None:
    report = {
        "plain": flips(plain, sweep * 60 // 100, restore_every=10),
        "encrypted, without the key": flips(encrypted, sweep * 38 // 100, Key(), restore_every=20),
        "encrypted, with the key": flips(encrypted, sweep * 2 // 100),
    }
    assert sum(one.total() for one in report.values()) == sweep
    if folder := os.environ.get("PGPROOF_EVIDENCE"):
        write_evidence(Path(folder), report, bare_tools(plain, 500))


@pytest.mark.slow
def test_every_bit_of_a_manifest(plain: Stored) -> None:
    manifest = plain.folder / "manifest.json"
    right = manifest.read_bytes()
    for bit in range(len(right) * 8):
        manifest.write_bytes(flipped(right, bit))
        answer = verify(plain.repository, plain.made.id, plain.key, NOW, Silent())
        assert not answer.ok, f"bit {bit} was not found"
    manifest.write_bytes(right)
    assert not plain.found()


def test_a_wrong_record_does_not_take_the_backup_away(plain: Stored) -> None:
    """What an examination wrote down is damaged: that is said, and the backup can be restored all the same."""
    (record,) = (plain.folder / "proofs").iterdir()
    with changed(record, flipped(record.read_bytes(), 1000)):
        sound, broken = plain.repository.backups("db")
        assert [one.state for one in sound if one.id == plain.made.id] == ["damaged"] and broken == []
        assert plain.repository.find(plain.made.id).manifest == plain.made
        assert plain.found()


def cuts(path: Path) -> list[int]:
    size = path.stat().st_size
    return sorted({*range(0, size, 512), size - 1, max(0, size - 8)})


@pytest.mark.parametrize("which", ["plain", "encrypted"])
def test_cut_at_every_512_bytes(which: str, request: pytest.FixtureRequest) -> None:
    one: Stored = request.getfixturevalue(which)
    for path in one.files():
        data = path.read_bytes()
        for number, at in enumerate(cuts(path)):
            with changed(path, data[:at]):
                assert one.found(Key()), f"{path.name} cut at {at}"
                if number % 20 == 0 and path.parent.name != "proofs":
                    assert one.refused(), f"{path.name} cut at {at}: it was restored"


def test_longer_or_empty_pages_or_gone(plain: Stored) -> None:
    for path in plain.files():
        if path.parent.name == "proofs":
            continue
        data = path.read_bytes()
        half = len(data) // 2
        wrongs = [data + b"\0", data + data, data[:half] + bytes(min(512, half)) + data[half + min(512, half) :]]
        for wrong in wrongs:
            with changed(path, wrong):
                assert plain.found() and plain.refused(), path.name
        if path.name != "manifest.json":
            with changed(path, None):
                assert plain.found() and plain.refused(), f"{path.name} is gone"


def test_blocks_exchanged(plain: Stored) -> None:
    """Blocks of a part in another order are a valid file for gunzip, and not what was stored."""
    main = plain.made.main
    path = plain.folder / main.name
    data = path.read_bytes()
    pieces = [data[block.offset : block.offset + block.size] for block in main.blocks]
    assert len(pieces) >= 3
    for a, b in itertools.combinations(range(len(pieces)), 2):
        if pieces[a] != pieces[b]:
            order = list(pieces)
            order[a], order[b] = order[b], order[a]
            with changed(path, b"".join(order)):
                assert plain.found() and plain.refused(), (a, b)
    with changed(path, data + pieces[1]):
        assert plain.found() and plain.refused()


@pytest.mark.slow
@pytest.mark.parametrize("which", ["plain", "encrypted"])
def test_parts_and_manifests_of_another_backup(which: str, request: pytest.FixtureRequest) -> None:
    one: Stored = request.getfixturevalue(which)
    for path in one.files():
        other = one.root / one.first.id / path.name
        if path.parent.name == "proofs" or other.read_bytes() == path.read_bytes():
            continue
        with changed(path, other.read_bytes()):
            assert one.found() and one.refused(), f"{path.name} of another backup"


def test_a_folder_put_back_under_another_stamp(plain: Stored) -> None:
    copy = plain.folder.with_name("20270101T000000Z-logical")
    shutil.copytree(plain.folder, copy)
    try:
        assert plain.found(backup=f"db/{copy.name}")
        _, broken = plain.repository.backups("db")
        assert [one.id for one in broken] == [f"db/{copy.name}"]
        with pytest.raises(Damaged):
            plain.repository.find(f"db/{copy.name}")
        # It calls itself the newest: whoever asks for the latest is told, and not given another in silence.
        with pytest.raises(Damaged):
            plain.repository.find("latest")
    finally:
        shutil.rmtree(copy)


def test_the_one_before_was_replaced(plain: Stored) -> None:
    """The chain: what the manifest was written after must be what lies there."""
    other = plain.root / plain.first.id / "manifest.json"
    with changed(other, seal(replace(plain.first, notes=("forged",)))):
        assert plain.found()


# -- what stock programs make of the same -----------------------------------------------------------


def bare_tools(one: Stored, count: int) -> list[tuple[str, int, int]]:
    """How many of `count` flips of an ordinary `pg_dump -Fc` two stock checks find."""
    chosen = tools.for_dump(MAJOR)
    archive = one.root / "stock.dump"
    with connect(one.source) as session, for_programs(session.wire()) as access:
        argv = [chosen.program("pg_dump"), "-Fc", f"--dbname={access.conninfo}", f"--file={archive}"]
        subprocess.run(argv, check=True, env=dict(access.env), pass_fds=access.fds)
    data, chance = archive.read_bytes(), random.Random(SEED)
    checks: dict[str, list[str]] = {
        "pg_restore --list": [chosen.program("pg_restore"), "--list", str(archive)],
        "pg_restore --file=/dev/null": [chosen.program("pg_restore"), "--file=/dev/null", str(archive)],
    }
    found: Counter[str] = Counter()
    for _ in range(count):
        archive.write_bytes(flipped(data, chance.randrange(len(data) * 8)))
        for name, argv in checks.items():
            found[name] += subprocess.run(argv, capture_output=True, check=False, timeout=60).returncode != 0
    archive.unlink()
    return [(name, found[name], count) for name in checks]


def write_evidence(folder: Path, report: dict[str, Counter[str]], stock: list[tuple[str, int, int]]) -> None:
    lines = [
        "# Bit flips",
        "",
        "One random bit of one stored file is flipped, and the backup examined; then the next. Every flip that",
        "`pgproof verify` was shown it found, and every restore that was tried of such a backup was refused before",
        "the target was touched. Below, what stock programs find of flips in a `pg_dump -Fc` of the same database.",
        "",
        f"Made by `PGPROOF_EVIDENCE=docs make sweep` (seed {SEED}).",
        "",
        "| backup | file | flips | found |",
        "|---|---|---:|---:|",
    ]
    for kind, tried in report.items():
        lines += [f"| {kind} | {name} | {number} | {number} |" for name, number in sorted(tried.items())]
    lines += [f"| `pg_dump -Fc` | `{name}` | {count} | {found} |" for name, found, count in stock]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bit-flips.md").write_text("\n".join(lines) + "\n")
