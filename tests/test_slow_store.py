"""C31: a store that is slower than the server holds it back; memory does not grow with what waits."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pgproof.actions.backup import backup
from pgproof.repository import Repository
from pgproof.stores.directory import DirectoryStore
from pgproof.stream.sink import Meter, Sink
from tests.conftest import Servers, drop_database
from tests.kit import Kit, run

ROWS = 480_000  # of about 800 bytes that hardly shrink: 384 MB, of which half is left
BOUND = 144 << 20  # bytes: workers, and a few blocks of 16 MiB that wait


class _Slow(Meter):
    def write(self, data: bytes) -> None:
        time.sleep(len(data) / 15e6)
        super().write(data)


class SlowStore(DirectoryStore):
    """Takes 15 MB a second."""

    def create(self, name: str, *, replace: bool = False) -> Sink:
        return _Slow(super().create(name, replace=replace))


def resident() -> int:
    """Bytes of this process in memory (VmRSS, proc(5))."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))


class Watching:
    """Progress that notes the most memory seen."""

    def __init__(self) -> None:
        self.most = 0

    def begin(self, what: str, total: int = 0) -> None:
        self.most = max(self.most, resident())

    def advance(self, amount: int) -> None:
        self.most = max(self.most, resident())


@pytest.mark.slow
def test_c31_a_slow_store_holds_the_server_back(servers: Servers, tmp_path: Path) -> None:
    source = servers.database(17)
    run(
        source,
        f"""CREATE TABLE t AS SELECT g AS id, (SELECT string_agg(md5(random()::text || g || i), '')
            FROM generate_series(1, 25) i) AS text FROM generate_series(1, {ROWS}) g""",
    )
    kit = Kit(tmp_path)
    kit.backup(source)  # libraries and buffers are there then
    before, watching = resident(), Watching()
    slow = replace(kit.job(source), repository=Repository(SlowStore(tmp_path / "slow")))
    made = backup(slow, datetime.now(UTC), watching)
    drop_database(servers(17).address, source.database)
    assert made.size > BOUND, "so much must have waited if nothing held it back"
    assert watching.most - before < BOUND
