"""FAULTS C8: a store whose listing lags behind. What was just written is not in it, what was just deleted is still.

Objects are read and written by name at once; only `list` answers as of an earlier moment.
"""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pgproof.actions.copy import Copying, Outcome, copy
from pgproof.actions.doctor import examine_store
from pgproof.actions.prune import Pruned, prune
from pgproof.actions.verify import verify
from pgproof.config import S3Settings, StoreSettings
from pgproof.config.references import Reference
from pgproof.errors import PgproofError
from pgproof.job import Job, open_repository
from pgproof.manifest import FORMAT, Database, Evidence, Manifest, Record, Server, seal, unseal
from pgproof.postgres.server import Address
from pgproof.repository import MANIFEST, Memory, Repository
from pgproof.retention import Policy
from pgproof.sources.dump import Dump
from pgproof.stores.store import Entry
from pgproof.stream.encrypt import Key
from pgproof.stream.progress import Silent
from tests.buckets import ENVIRONMENT, Endpoint
from tests.conformance.memory_store import MemoryStore
from tests.conftest import Program, Servers
from tests.kit import run
from tests.s3_faults import Answer, S3Faults

NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
DAY = timedelta(days=1)


class LaggingStore(MemoryStore):
    """From `stand_still` on a listing says what it said then; with `of` only of names that end so."""

    def __init__(self) -> None:
        super().__init__(lambda: self.now)
        self.now = NOW
        self._seen: dict[str, Entry] | None = None
        self._of = ""

    def stand_still(self, of: str = "") -> None:
        self._seen, self._of = {one.name: one for one in super().list()}, of

    def catch_up(self) -> None:
        self._seen = None

    def list(self, prefix: str = "") -> Iterator[Entry]:
        if self._seen is None:
            return super().list(prefix)
        late = [one for name, one in self._seen.items() if name.endswith(self._of)]
        true = [one for one in super().list() if not one.name.endswith(self._of)]
        return iter(sorted((one for one in [*late, *true] if one.name.startswith(prefix)), key=lambda one: one.name))


@dataclass
class Notes(Memory):
    """What a machine remembers, in memory."""

    known: dict[str, str] = field(default_factory=dict)

    def newest(self, source: str) -> str | None:
        return self.known.get(source)

    def note(self, source: str, backup: str) -> None:
        self.known[source] = backup


@dataclass
class Shelf:
    """A store that lags, and the verbs on it by a machine that remembers."""

    store: LaggingStore = field(default_factory=LaggingStore)
    memory: Notes = field(default_factory=Notes)

    @property
    def repository(self) -> Repository:
        return Repository(self.store, lambda: self.store.now, self.memory)

    def elsewhere(self) -> Repository:
        """The same store, from a machine that remembers nothing of it."""
        return Repository(self.store, lambda: self.store.now)

    def back_up(self, repository: Repository | None = None) -> Manifest:
        self.store.now += timedelta(minutes=1)
        made, now = repository or self.repository, self.store.now
        with made.lock("kc", "backup") as lease, made.draft("kc", "logical", now, Key()) as draft:
            with draft.part("kc.sql", "none") as part:
                part.write(b"x" * 1000)
            return draft.publish(
                Manifest(
                    FORMAT, "0.1.0", "kc", "logical", draft.stamp, 0, None, now, now, Server("17.0", 170000, "7"),
                    Database("kc", "UTF8"), {}, {}, (), Evidence(),
                ),
                lease,
            )  # fmt: skip

    def verified(self, *made: Manifest) -> list[tuple[bool, tuple[str, ...]]]:
        found = [verify(self.repository, one.id, Key(), self.store.now, Silent()) for one in made]
        return [(one.ok, one.findings) for one in found]

    def prune(self, policy: Policy, *, apply: bool = True) -> Pruned:
        address = Address("dbname=x")
        job = Job("kc", address, Dump("kc", address), self.repository, Key(), policy)
        return prune(job, self.store.now, apply=apply)

    def states(self) -> dict[str, str]:
        whole, broken = self.repository.backups()
        assert broken == []
        return {one.id: one.state for one in whole}

    def is_whole(self, made: Manifest) -> bool:
        held = [*(f"{made.id}/{part.name}" for part in made.parts), f"{made.id}/{MANIFEST}"]
        return {entry.name for entry in MemoryStore.list(self.store)} >= set(held)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def brought(first: Shelf, other: Shelf) -> list[Outcome]:
    return copy(Copying(first.repository, other.repository, lambda: first.store.now, Silent()), "kc")


LAST_ONE = Policy(keep_last=1, keep_proven=1)


# -- numbers -------------------------------------------------------------------------------------------


def test_c8_a_number_is_not_given_twice_while_the_listing_lags(shelf: Shelf) -> None:
    shelf.store.stand_still()
    made = [shelf.back_up() for _ in range(3)]
    assert [one.sequence for one in made] == [1, 2, 3]
    assert [one.previous for one in made[1:]] == [shelf.repository.seal_hash(one.id) for one in made[:2]]
    shelf.store.catch_up()
    assert shelf.verified(*made) == [(True, ())] * 3


def test_c8_what_is_remembered_and_was_deleted_gives_no_number(shelf: Shelf) -> None:
    first, second = shelf.back_up(), shelf.back_up()
    shelf.repository.forget(second.id)
    shelf.memory.known["kc"] = second.id
    assert shelf.back_up().previous == shelf.repository.seal_hash(first.id)
    shelf.memory.known["kc"] = "../what is none of ours"
    assert shelf.back_up().sequence == 3


def test_c8_two_machines_may_give_one_number_and_neither_backup_is_called_damaged_for_it(shelf: Shelf) -> None:
    first = shelf.back_up()
    shelf.store.stand_still()
    one, two = shelf.back_up(), shelf.back_up(shelf.elsewhere())
    shelf.store.catch_up()
    three = shelf.back_up()
    assert [made.sequence for made in (first, one, two, three)] == [1, 2, 2, 3]
    for verdict, twin in zip(shelf.verified(one, two), (two, one), strict=True):
        assert verdict[0] and [twin.id in text for text in verdict[1]] == [True]
    assert shelf.verified(first, three) == [(True, ())] * 2
    assert set(shelf.states().values()) == {"intact"}
    other = Shelf()
    assert [outcome.what for outcome in brought(shelf, other)] == ["copied"] * 4


@pytest.mark.slow
def test_c8_this_machine_remembers_what_it_made_in_which_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moto_server: Endpoint
) -> None:
    """By S3's own words: a bucket that lists nothing of what was written to it."""
    monkeypatch.setenv("PGPROOF_STATE", str(tmp_path / "state"))
    for name, word in ENVIRONMENT.items():
        monkeypatch.setenv(name, word)
    shelf, port = Shelf(), urlsplit(moto_server.url).port
    assert port
    with S3Faults(port) as faults:
        one, two = (place(f"lags-{name}-{secrets.token_hex(6)}", faults) for name in ("one", "two"))
        faults.plan(
            "ListObjects", Answer(200, body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
        )
        made = [shelf.back_up(open_repository(one, create=True)) for _ in range(3)]
        other = shelf.back_up(open_repository(two, create=True))
        faults.forget()
        assert [made.sequence for made in (*made, other)] == [1, 2, 3, 1]
        found = [verify(open_repository(one), each.id, Key(), shelf.store.now, Silent()) for each in made]
        assert [(each.ok, each.findings) for each in found] == [(True, ())] * 3
        for text in ("{", "[1]", '{"kc x": 1}', '"x"'):
            (tmp_path / "state" / "newest.json").write_text(text)
            shelf.back_up(open_repository(one))
        assert [made.manifest.sequence for made in open_repository(one).backups()[0]] == [*range(1, 8)]


def place(prefix: str, faults: S3Faults) -> StoreSettings:
    key, secret = (Reference("env", name, name) for name in ENVIRONMENT)
    endpoint = f"http://127.0.0.1:{faults.port}"
    where = S3Settings("bucket", prefix, endpoint, "us-east-1", path_style=True, access_key=key, secret_key=secret)
    return StoreSettings("far", where)


def test_c7_a_backup_that_was_put_back_beside_another_of_its_number_is_told_and_both_stay_good(
    program: Program, servers: Servers
) -> None:
    address = servers.database(17)
    run(address, "CREATE TABLE t (id int)")
    program.configure(db=address)
    for _ in range(2):
        program.ok("backup", "db")
    good, strange = (one.parent for one in sorted(program.store.glob("db/*/manifest.json")))
    path = strange / MANIFEST
    path.write_bytes(seal(replace(unseal(path.read_bytes(), Manifest, "it"), sequence=1, previous=None)))
    ran = program.run("verify")
    assert ran.code == 7 and ran.out.count("has the same sequence number") == 2 and "damaged" not in ran.out
    listed = {one["id"]: one["state"] for one in json.loads(program.ok("list", "--json").out)}
    assert listed == {f"db/{one.name}": "intact" for one in (good, strange)}
    assert "number-twice" in program.run("status", "--json").out


# -- looking -------------------------------------------------------------------------------------------


def test_c8_a_backup_that_is_named_is_found_before_it_is_listed(shelf: Shelf) -> None:
    shelf.store.stand_still()
    made = shelf.back_up()
    assert shelf.states() == {}, "the listing lags"
    assert shelf.repository.find(made.id).manifest == made
    assert shelf.verified(made) == [(True, ())]


def test_c8_what_was_deleted_and_is_listed_is_neither_a_backup_nor_a_damaged_one(shelf: Shelf) -> None:
    first, second = shelf.back_up(), shelf.back_up()
    shelf.store.stand_still()
    shelf.repository.forget(second.id)
    assert shelf.states() == {first.id: "stored"}
    assert shelf.repository.find("latest").id == first.id
    with pytest.raises(PgproofError, match="there is no backup"):
        shelf.repository.find(second.id)


def test_c8_a_record_that_was_deleted_and_is_listed_is_none(shelf: Shelf) -> None:
    made = shelf.back_up()
    record = Record(made.id, "verify", NOW, ok=False, seconds=1.0, findings=("x",))
    shelf.repository.add_record(record)
    shelf.store.stand_still()
    shelf.store.delete(f"{made.id}/proofs/20261123T020000Z.json")
    assert shelf.states() == {made.id: "stored"}
    assert shelf.repository.records(made.id) == ()
    assert shelf.verified(made) == [(True, ())]


def test_c8_doctor_says_that_a_listing_lags_and_not_that_bytes_are_wrong(shelf: Shelf) -> None:
    shelf.store.stand_still()
    found = {one.code: one.level for one in examine_store(shelf.repository, "far", offsite=True)}
    assert found["listing-lags"] == "warning" and "store" not in found
    shelf.store.catch_up()
    found = {one.code: one.level for one in examine_store(shelf.repository, "far", offsite=True)}
    assert found["store"] == "ok" and "listing-lags" not in found


# -- deleting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [MANIFEST, ""])
def test_c8_parts_of_a_backup_whose_manifest_is_not_listed_are_no_orphans(shelf: Shelf, late: str) -> None:
    """As of a copy whose parts were brought days ago, and which was finished just now."""
    with shelf.repository.draft("kc", "logical", shelf.store.now, Key()) as draft, draft.part("x", "none") as part:
        part.write(b"x")
    shelf.store.stand_still(late)
    made = shelf.back_up()
    shelf.store.now += 3 * DAY
    assert shelf.repository.orphans(shelf.store.now) == []
    assert shelf.prune(LAST_ONE).orphans == ()
    assert shelf.is_whole(made)


def test_c8_prune_deletes_what_it_would_delete_and_nothing_twice_or_wrongly(shelf: Shelf) -> None:
    made = [shelf.back_up() for _ in range(3)]
    shelf.store.stand_still()
    new = shelf.back_up()
    first = shelf.prune(LAST_ONE)
    assert [one.id for one in first.verdicts if one.keep] == [made[2].id]
    again = shelf.prune(LAST_ONE)
    assert [one.id for one in again.verdicts] == [made[2].id], "what is gone is not judged again"
    assert first.withheld == again.withheld == ()
    assert shelf.is_whole(new) and shelf.is_whole(made[2])
    shelf.store.catch_up()
    shelf.store.now += 2 * DAY
    assert [one.id for one in shelf.prune(LAST_ONE).verdicts if one.keep] == [new.id]
    assert {entry.name.rpartition("/")[0] for entry in shelf.store.list()} == {new.id}, "and nothing is left lying"


@pytest.mark.parametrize("apply", [False, True])
def test_c8_a_pin_that_is_not_listed_yet_holds(shelf: Shelf, apply: bool) -> None:
    old, _ = shelf.back_up(), shelf.back_up()
    shelf.store.stand_still()
    shelf.repository.keep(old.id)
    verdicts = {one.id: one.reasons for one in shelf.prune(LAST_ONE, apply=apply).verdicts if one.keep}
    assert verdicts[old.id] == ("pinned",) and shelf.is_whole(old)


# -- copying -------------------------------------------------------------------------------------------


def test_c8_a_copy_is_made_once_and_whole_whichever_listing_lags(shelf: Shelf) -> None:
    other = Shelf()
    other.store.stand_still()
    made = [shelf.back_up(), shelf.back_up()]
    assert [one.what for one in brought(shelf, other)] == ["copied"] * 2
    shelf.store.stand_still()
    late = shelf.back_up()
    shelf.repository.forget(made[0].id)
    assert [(one.backup, one.what) for one in brought(shelf, other)] == [(made[1].id, "there")]
    shelf.store.catch_up()
    assert [one.what for one in brought(shelf, other)] == ["there", "copied"]
    other.store.catch_up()
    assert list(other.states()) == [made[0].id, made[1].id, late.id]
    assert other.verified(*made, late) == [(True, ())] * 3


def test_c8_a_drill_is_brought_once(shelf: Shelf) -> None:
    other, made = Shelf(), shelf.back_up()
    shelf.repository.add_record(Record(made.id, "drill", shelf.store.now, ok=True, seconds=1.0))
    brought(shelf, other)
    other.repository.add_record(Record(made.id, "drill", shelf.store.now + DAY, ok=True, seconds=1.0))
    shelf.store.stand_still()
    other.store.stand_still()
    for _ in range(3):
        brought(shelf, other)
    for one in (shelf, other):
        one.store.catch_up()
        assert [record.kind for record in one.repository.records(made.id) if record.kind == "drill"] == ["drill"] * 2
        assert one.states() == {made.id: "proven"}
