"""Two runs on one store in S3: of both at most one goes on, also where the server passes over conditions."""

import threading
from datetime import UTC, datetime

import pytest

from pgproof.errors import Busy
from pgproof.repository.lease import Lease
from pgproof.stores.s3.store import S3Store
from tests.buckets import Endpoint


class _Run:
    """A lease that is taken as soon as both are ready, and held until both have tried."""

    def __init__(self, store: S3Store, both: threading.Barrier, source: str) -> None:
        self._lease = Lease(store, lambda: datetime.now(UTC), source, "backup")
        self._both = both
        self.took = self.holds = False
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._go)
        self.thread.start()

    def _go(self) -> None:
        try:
            self._both.wait(30)
            try:
                self._lease.__enter__()
                self.took = True
            except Busy:
                pass
            self._both.wait(30)
            if self.took:
                self._check()
            self._both.wait(30)
        except BaseException as error:
            self.error = error
        finally:
            if self.took:
                self._lease.__exit__(None, None, None)

    def _check(self) -> None:
        try:
            self._lease.check()
            self.holds = True
        except Busy:
            pass


@pytest.mark.slow
@pytest.mark.parametrize("server", ["rclone", "moto"])
def test_of_two_runs_at_the_same_moment_never_both_hold_the_lock(
    request: pytest.FixtureRequest, server: str, prefix: str
) -> None:
    endpoint: Endpoint = request.getfixturevalue(f"{server}_server")
    stores = [endpoint.store(prefix), endpoint.store(prefix)]
    held = 0
    for number in range(30):
        both = threading.Barrier(2)
        runs = [_Run(store, both, f"kc{number}") for store in stores]
        for run in runs:
            run.thread.join(60)
            assert run.error is None
        assert sum(run.holds for run in runs) <= 1
        held += sum(run.holds for run in runs)
        assert [*stores[0].list(f"kc{number}/")] == [], "given back by whoever had it"
    assert held >= 20, "almost always one of both goes on"
    for store in stores:
        store.close()
