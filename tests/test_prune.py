"""Prune deletes by its lock alone: once that is another's, nothing more goes."""

from datetime import UTC, datetime, timedelta

import pytest

from pgproof.actions.prune import prune
from pgproof.errors import Busy
from pgproof.job import Job
from pgproof.manifest import FORMAT, Database, Evidence, Manifest, Server
from pgproof.postgres.server import Address
from pgproof.repository import MANIFEST, Repository
from pgproof.retention import Policy
from pgproof.sources.dump import Dump
from pgproof.stream.encrypt import Key
from tests.conformance.memory_store import MemoryStore

BEGIN = datetime(2026, 11, 1, 2, tzinfo=UTC)
NOW = BEGIN + timedelta(days=4)


class TakenOver(MemoryStore):
    """As the first backup goes, another machine takes the lock: we were asleep for longer than it lasts."""

    lost = False

    def delete(self, name: str, *, for_good: bool = False) -> None:
        super().delete(name, for_good=for_good)
        if name.endswith(MANIFEST) and not self.lost:
            self.lost = True
            super().delete("kc/lock.json")
            Repository(self, lambda: NOW).lock("kc", "backup")._write(replace=False)  # noqa: SLF001 - as one taken


def test_once_the_lock_is_lost_no_further_backup_goes() -> None:
    store = TakenOver(lambda: NOW)
    repository = Repository(store, lambda: NOW)
    for day in range(4):
        began = BEGIN + timedelta(days=day)
        with repository.lock("kc", "backup") as lease, repository.draft("kc", "logical", began, Key()) as draft:
            with draft.part("kc.sql", "none") as part:
                part.write(b"x")
            draft.publish(
                Manifest(
                    FORMAT, "0.1.0", "kc", "logical", draft.stamp, 0, None, began, began, Server("17.0", 170000, "7"),
                    Database("kc", "UTF8"), {}, {}, (), Evidence(),
                ),
                lease,
            )  # fmt: skip
    address = Address("dbname=x")
    job = Job("kc", address, Dump("kc", address), repository, Key(), Policy(keep_last=1, keep_proven=1))
    with pytest.raises(Busy, match="lock on kc was lost"):
        prune(job, NOW, apply=True)
    assert len(repository.backups()[0]) == 3
