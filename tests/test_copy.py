"""Copies in another store: complete, read back, resumed, repaired; damage does not spread."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pgproof.actions.copy import Copying, Outcome, copy
from pgproof.actions.verify import verify
from pgproof.errors import Unreachable
from pgproof.manifest import Manifest, seal
from pgproof.postgres.server import Address
from pgproof.repository import Repository
from pgproof.stores import marker
from pgproof.stores.directory import DirectoryStore
from pgproof.stream.encrypt import Key
from pgproof.stream.progress import Silent
from pgproof.stream.sink import Sink
from tests.conftest import Program, Servers, drop_database
from tests.kit import SOURCE, Kit, digests, run


class BreakingStore(DirectoryStore):
    """A store that goes away after so many objects."""

    def __init__(self, root: Path, objects: int) -> None:
        super().__init__(root)
        self.left = objects

    def create(self, name: str, *, replace: bool = False) -> Sink:
        if not name.endswith("lock.json"):
            self.left -= 1
            if self.left < 0:
                raise Unreachable("the store has gone")
        return super().create(name, replace=replace)


@dataclass(frozen=True)
class Two:
    kit: Kit
    made: list[Manifest]
    place: Path

    @property
    def other(self) -> Repository:
        return Repository(DirectoryStore(self.place))

    def copy(self, other: Repository | None = None) -> list[Outcome]:
        return copy(Copying(self.kit.repository, other or self.other, lambda: datetime.now(UTC), Silent()), SOURCE)

    def whole(self) -> None:
        """The other store has the same bytes as the first."""
        for manifest in self.made:
            assert verify(self.other, manifest.id, Key(), datetime.now(UTC), Silent()).ok
            for part in ("manifest.json", *(part.name for part in manifest.parts)):
                one, two = self.kit.folder / manifest.id / part, self.place / manifest.id / part
                assert one.read_bytes() == two.read_bytes()


@pytest.fixture
def two(servers: Servers, tmp_path: Path) -> Iterator[Two]:
    database = servers.database(17)
    run(database, "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 20000) g")
    kit = Kit(tmp_path / "first")
    kit.folder.mkdir()
    made = [kit.backup(database), kit.backup(database)]
    marker.make(DirectoryStore(tmp_path / "other"))
    yield Two(kit, made, tmp_path / "other")
    drop_database(servers(17).address, database.database)


def whats(outcomes: list[Outcome]) -> list[str]:
    return [one.what for one in outcomes]


def test_what_is_missing_is_copied_once(two: Two) -> None:
    assert whats(two.copy()) == ["copied", "copied"]
    two.whole()
    assert whats(two.copy()) == ["there", "there"]


@pytest.mark.slow
def test_a_drill_counts_for_the_same_bytes_elsewhere(two: Two) -> None:
    record = two.kit.prove(two.made[0])
    two.kit.repository.add_record(record)
    two.kit.repository.keep(two.made[0].id)
    two.copy()
    assert [(one.state, one.pinned) for one in two.other.backups()[0]] == [("proven", True), ("stored", False)]
    two.copy()
    assert len(two.other.records(two.made[0].id)) == 2


@pytest.mark.parametrize("objects", range(9))
def test_a_copy_that_was_broken_off_goes_on(two: Two, objects: int) -> None:
    with pytest.raises(Unreachable):
        two.copy(Repository(BreakingStore(two.place, objects)))
    for one in two.other.backups()[0]:
        assert verify(two.other, one.id, Key(), datetime.now(UTC), Silent()).ok, "listed means whole"
    assert set(whats(two.copy())) <= {"copied", "there"}
    two.whole()


def test_a_damaged_copy_is_repaired(two: Two) -> None:
    two.copy()
    main = two.place / two.made[0].id / two.made[0].main.name
    data = bytearray(main.read_bytes())
    data[len(data) // 2] ^= 1
    main.write_bytes(data)
    (two.place / two.made[1].id / "schema.dump").unlink()
    verdict = verify(two.other, two.made[0].id, Key(), datetime.now(UTC), Silent())
    assert not verdict.ok
    outcomes = two.copy()
    assert whats(outcomes) == ["repaired", "repaired"]
    assert [one.text for one in outcomes] == [two.made[0].main.name, "schema.dump"]
    assert {one.state for one in two.other.backups()[0]} <= {"stored", "intact"}
    two.whole()


def test_a_damaged_manifest_is_repaired(two: Two) -> None:
    two.copy()
    manifest = two.place / two.made[1].id / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-40])
    assert [(one.what, one.text) for one in two.copy()] == [("there", ""), ("repaired", "the manifest")]
    two.whole()


@pytest.mark.parametrize("known", [False, True])
def test_damage_does_not_spread(two: Two, known: bool) -> None:
    main = two.kit.folder / two.made[0].id / two.made[0].main.name
    data = bytearray(main.read_bytes())
    data[len(data) // 2] ^= 1
    main.write_bytes(data)
    if known:
        verify(two.kit.repository, two.made[0].id, Key(), datetime.now(UTC), Silent())
    outcomes = two.copy()
    assert whats(outcomes) == ["failed", "copied"]
    assert "is damaged in the first store" in outcomes[0].text
    assert [one.id for one in two.other.backups()[0]] == [two.made[1].id]
    assert not (two.place / two.made[0].id / two.made[0].main.name).exists()


def test_another_backup_of_that_name_is_not_touched(two: Two) -> None:
    two.copy()
    manifest = two.place / two.made[0].id / "manifest.json"
    manifest.write_bytes(seal(replace(two.made[0], notes=("of another store",))))
    before = manifest.read_bytes()
    outcomes = two.copy()
    assert whats(outcomes) == ["failed", "there"]
    assert "another backup of the name" in outcomes[0].text
    assert manifest.read_bytes() == before


OFFSITE = '[stores.offsite]\nurl = "offsite"\n'


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.slow
def test_a_store_that_is_down_is_told_and_caught_up_with(servers: Servers, program: Program) -> None:
    database = servers.database(17)
    run(database, "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 5000) g")
    program.configure(OFFSITE, db=database)
    first = program.ok("backup")
    assert "copied to offsite" in first.out
    place = program.folder / "offsite"
    place.rename(program.folder / "unplugged")
    for _ in range(2):
        ran = program.run("backup", "--json")
        assert ran.code == 7, ran
        assert ran.json["stores"] == ["local"]
        assert "db is not copied to offsite" in ran.err and "hint:" in ran.err
    assert program.run("copy").code == 4
    listed = program.ok("list", "--json")
    assert [one["stores"] for one in listed.json] == [["local"]] * 3 and "offsite cannot be asked" in listed.err
    (program.folder / "unplugged").rename(place)
    assert program.ok("copy").out.count("copied to offsite") == 2
    assert "offsite has all 3 backups of db." in program.ok("copy").out
    assert [one["stores"] for one in program.ok("list", "--json").json] == [["local", "offsite"]] * 3
    drop_database(servers(17).address, database.database)


@pytest.mark.slow
def test_everything_works_from_the_other_store(servers: Servers, program: Program) -> None:
    database = servers.database(17)
    run(database, "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 5000) g")
    program.configure(OFFSITE, db=database)
    made = program.ok("backup", "--json").json
    assert made["stores"] == ["local", "offsite"]
    assert program.ok("verify", "latest", "--store", "offsite", "--json").json["ok"]
    assert program.ok("prove", "latest", "--store", "offsite", "--json").json["proven"]
    main = next(one["name"] for one in made["parts"] if one["name"].startswith("db.sql"))
    flip(program.store / made["id"] / main)
    assert program.run("restore", "latest", "--to", "copied").code == 3
    program.ok("restore", "latest", "--to", "copied", "--store", "offsite")
    assert digests(database.to("copied")) == digests(database)
    assert program.run("verify", "latest").code == 3
    assert "ALSO IN" in program.ok("list").out and "proven" in program.ok("show", "latest").out
    ran = program.run("copy")
    assert ran.code == 7 and "is damaged in the first store" in ran.err
    for called in ("copied", database.database):
        drop_database(servers(17).address, called)


def test_refusals(program: Program) -> None:
    source = Address("host=/nonexistent dbname=db")
    program.configure(db=source)
    alone = program.run("copy")
    assert alone.code == 2 and "one store only" in alone.err
    program.configure(OFFSITE, db=source)
    backwards = program.run("copy", "--store", "local")
    assert backwards.code == 2 and "the first store" in backwards.err
    unknown = program.run("copy", "--store", "ofsite")
    assert unknown.code == 2 and "offsite" in unknown.err
