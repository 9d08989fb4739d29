"""One snapshot, whatever happens meanwhile: transfers, TRUNCATE, ALTER, DROP, REINDEX, tables that come and go.

Either the backup holds the database as it was at one moment, or it fails and says why. It never waits for
ever, and never keeps others waiting longer than it runs.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgproof.errors import Busy, PgproofError
from pgproof.manifest import Manifest
from pgproof.postgres.server import Address, connect
from tests.conftest import Servers
from tests.kit import Kit, digests, holding, rows, run, traces, value
from tests.waiting import until


def waiting(database: Address) -> int:
    """How many sessions wait for a lock in this database."""
    asked = """SELECT count(*) FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)
        WHERE NOT l.granted AND a.datname = %s"""
    with connect(database, "postgres") as session:
        return int(session.value(asked, [database.database]))


class When:
    """A progress that does something, once, when the backup comes to a point; and waits until it is done, or waits
    for a lock in `database`.

    It holds up the writer, not the workers: they go on until the queue of finished blocks is full.
    """

    def __init__(self, database: Address, point: str, act: Callable[[], None], *, after: int = 0) -> None:
        self.database, self.point, self.act, self.after = database, point, act, after
        self.failed: list[BaseException] = []
        self.thread: threading.Thread | None = None
        self._now = ""
        self._seen = 0

    def begin(self, what: str, total: int = 0) -> None:
        self._now = what
        if what == self.point and not self.after:
            self._go()

    def advance(self, amount: int) -> None:
        self._seen += 1
        if self._now == self.point and self._seen == self.after:
            self._go()

    def _go(self) -> None:
        if self.thread:
            return
        self.thread = thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        until(lambda: not thread.is_alive() or waiting(self.database) > 0)

    def _run(self) -> None:
        try:
            self.act()
        except BaseException as error:
            self.failed.append(error)

    def done(self) -> None:
        assert self.thread, f"the backup never came to {self.point!r}"
        self.thread.join(30)
        assert not self.thread.is_alive(), "what was done meanwhile still waits after the backup's end"
        assert not self.failed, self.failed


def in_time(work: Callable[[], Manifest], seconds: float = 60) -> Manifest:
    """The result of `work`, which must come in time: a backup that hangs is the worst of failures."""
    result: list[Manifest] = []
    failed: list[BaseException] = []

    def go() -> None:
        try:
            result.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"the backup hangs after {seconds} s"
    if failed:
        raise failed[0]
    return result[0]


def fill(database: Address, tables: int = 4, count: int = 60_000) -> None:
    """Tables t0 and so on, of about 45 MB each at 60,000 rows, so that they are read in ranges."""
    for number in range(tables):
        run(
            database,
            f"CREATE TABLE t{number} AS SELECT g AS id, repeat(md5(g::text), 20) AS filler "
            f"FROM generate_series(1, {count}) g",
            f"CREATE INDEX t{number}_id ON t{number} (id)",
        )


@contextmanager
def transfers(database: Address, accounts: int) -> Iterator[list[int]]:
    """Two clients that move money between accounts in both tables, and note each transfer in a ledger."""
    stop, counts = threading.Event(), [0, 0]

    def client(number: int) -> None:
        with connect(database) as session:
            session.run("SET search_path = public")
            while not stop.is_set():
                a, b = counts[number] * 7919 % accounts + 1, counts[number] * 104729 % accounts + 1
                session.run(
                    f"BEGIN; UPDATE checking SET balance = balance - 5 WHERE id = {a};"
                    f"UPDATE savings SET balance = balance + 5 WHERE id = {b};"
                    f"INSERT INTO ledger (amount) VALUES (5); COMMIT"
                )
                counts[number] += 1

    threads = [threading.Thread(target=client, args=(number,), daemon=True) for number in (0, 1)]
    for thread in threads:
        thread.start()
    yield counts
    stop.set()
    for thread in threads:
        thread.join(20)


@pytest.mark.slow
@pytest.mark.parametrize("major", [15, 18])
def test_the_sum_of_a_bank_is_constant(servers: Servers, tmp_path: Path, major: int) -> None:
    database = servers.database(major)
    accounts = 100_000
    filler = "repeat(md5(g::text), 12) AS filler"
    run(
        database,
        f"CREATE TABLE checking AS SELECT g AS id, 1000 AS balance, {filler} FROM generate_series(1, {accounts}) g",
        f"CREATE TABLE savings AS SELECT g AS id, 1000 AS balance, {filler} FROM generate_series(1, {accounts}) g",
        "CREATE TABLE ledger (id bigserial PRIMARY KEY, amount integer)",
        "ALTER TABLE checking ADD PRIMARY KEY (id)",
        "ALTER TABLE savings ADD PRIMARY KEY (id)",
    )
    kit = Kit(tmp_path)
    with transfers(database, accounts) as counts:
        until(lambda: sum(counts) > 20)
        before = sum(counts)
        load = When(database, "rows", lambda: until(lambda: sum(counts) > before + 20))
        made = in_time(lambda: kit.backup(database, load))
        after = sum(counts)
        load.done()
    back = servers(major).address.to(f"{database.database}_back")
    kit.restore(made, back)
    checking, savings, moved, noted = rows(
        back,
        "SELECT (SELECT sum(balance) FROM public.checking), (SELECT sum(balance) FROM public.savings), "
        "(SELECT sum(amount) FROM public.ledger), (SELECT count(*) FROM public.ledger)",
    )[0]
    assert checking + savings == 2 * accounts * 1000  # type: ignore[operator]
    assert savings - accounts * 1000 == moved == 5 * noted  # type: ignore[operator]
    assert before <= noted <= after  # type: ignore[operator]
    assert kit.prove(made).ok
    last = value(back, "SELECT last_value FROM public.ledger_id_seq")
    assert last >= value(back, "SELECT max(id) FROM public.ledger")  # type: ignore[operator]


DDL = ["TRUNCATE t3", "ALTER TABLE t3 ADD COLUMN more text DEFAULT 'x'", "DROP TABLE t3", "VACUUM FULL t3"]


@pytest.mark.slow
@pytest.mark.parametrize("statement", DDL)
def test_who_waits_for_a_table_does_not_stop_the_backup(servers: Servers, tmp_path: Path, statement: str) -> None:
    """A TRUNCATE waits for the snapshot's end; whoever asks for the table next waits behind it. A worker that
    did would wait for ever, and with it everybody who wants the table.
    """
    database = servers.database(17)
    fill(database)
    before = digests(database)
    kit = Kit(tmp_path)
    meanwhile = When(database, "rows", lambda: run(database, statement))
    made = in_time(lambda: kit.backup(database, meanwhile))
    meanwhile.done()
    proof = kit.prove(made)
    assert proof.ok, proof.findings
    assert {table.name: table.rows for table in proof.tables} == {name: one.rows for name, one in before.items()}
    back = servers(17).address.to("ddl_back")
    kit.restore(made, back)
    assert digests(back) == before
    with connect(servers(17).address) as session:
        assert traces(session, database.database) == []
        session.run("DROP DATABASE ddl_back")


@pytest.mark.slow
def test_who_waits_before_the_schema_is_read_goes_first(servers: Servers, tmp_path: Path) -> None:
    """Between the locks and pg_dump: the backup lets it pass and begins anew, with what is then there."""
    database = servers.database(17)
    fill(database, 2, 1000)
    kit = Kit(tmp_path)

    with holding(database, "LOCK TABLE t1 IN ROW EXCLUSIVE MODE") as other:
        # The TRUNCATE waits for `other`, the backup's LOCK TABLE behind it; then `other` ends.
        truncate = threading.Thread(target=run, args=(database, "TRUNCATE t1"), daemon=True)
        truncate.start()
        until(lambda: waiting(database) == 1)

        def end() -> None:
            until(lambda: waiting(database) == 2)
            other.run("COMMIT")

        ending = threading.Thread(target=end, daemon=True)
        ending.start()
        made = in_time(lambda: kit.backup(database))
        ending.join(20)
    truncate.join(20)
    assert kit.prove(made).ok
    assert {table.name: table.rows for table in made.evidence.tables} == {"t0": 1000, "t1": 0}


@pytest.mark.slow
def test_a_storm_of_truncates_is_outlived(servers: Servers, tmp_path: Path) -> None:
    database = servers.database(17)
    fill(database, 3, 20_000)
    run(database, "CREATE TABLE staging (x integer)")
    stop = threading.Event()

    def storm() -> None:
        with connect(database) as session:
            while not stop.is_set():
                session.run("TRUNCATE public.staging; INSERT INTO public.staging SELECT generate_series(1, 10)")
                time.sleep(0.3)

    thread = threading.Thread(target=storm, daemon=True)
    thread.start()
    try:
        made = in_time(lambda: Kit(tmp_path).backup(database))
    finally:
        stop.set()
        thread.join(20)
    counts = {table.name: table.rows for table in made.evidence.tables}
    assert counts == {"t0": 20_000, "t1": 20_000, "t2": 20_000, "staging": 10}
    assert Kit(tmp_path).prove(made).ok


@pytest.mark.slow
def test_reindex_meanwhile_does_not_stop_the_backup(servers: Servers, tmp_path: Path) -> None:
    database = servers.database(17)
    fill(database)
    kit, meanwhile = Kit(tmp_path), When(database, "rows", lambda: run(database, "REINDEX TABLE t0"), after=1)
    made = in_time(lambda: kit.backup(database, meanwhile))
    meanwhile.done()
    assert made.evidence.rows == 240_000


@pytest.mark.slow
def test_a_new_table_is_in_no_part_of_the_backup(servers: Servers, tmp_path: Path) -> None:
    database = servers.database(16)
    fill(database, 2)
    before = digests(database)
    kit = Kit(tmp_path)
    statements = ("CREATE TABLE late AS SELECT 1 AS x", "INSERT INTO t0 VALUES (-1)")
    meanwhile = When(database, "rows", lambda: run(database, *statements))
    made = in_time(lambda: kit.backup(database, meanwhile))
    meanwhile.done()
    proof = kit.prove(made)
    assert proof.ok, proof.findings
    assert {table.name: table.rows for table in proof.tables} == {name: one.rows for name, one in before.items()}


@pytest.mark.slow
def test_tables_that_come_and_go_all_the_time(servers: Servers, tmp_path: Path) -> None:
    """Tables are dropped between the listing and the lock: the backup begins anew, a few times at most."""
    database = servers.database(17)
    fill(database, 1, 5000)
    stop = threading.Event()

    def churn() -> None:
        with connect(database) as session:
            number = 0
            while not stop.is_set():
                number += 1
                session.run(f"CREATE TABLE public.passing_{number} AS SELECT generate_series(1, 100) AS x")
                time.sleep(0.2)
                session.run(f"DROP TABLE public.passing_{number}")
                time.sleep(0.3)

    thread = threading.Thread(target=churn, daemon=True)
    thread.start()
    kit = Kit(tmp_path)
    made = []
    try:
        for _ in range(4):
            try:
                made.append(in_time(lambda: kit.backup(database)))
            except PgproofError as error:  # a clean failure is allowed; a wrong backup is not
                assert isinstance(error, Busy), error
    finally:
        stop.set()
        thread.join(20)
    assert made, "no backup of four came about"
    for one in made:
        proof = kit.prove(one)
        assert proof.ok, proof.findings
    assert len(kit.repository.backups()[0]) == len(made)


@pytest.mark.slow
def test_a_lock_that_is_held_is_named(servers: Servers, tmp_path: Path) -> None:
    database = servers.database(17)
    run(database, "CREATE TABLE held (x integer)")
    kit = Kit(tmp_path)
    with holding(database, "LOCK TABLE held IN ACCESS EXCLUSIVE MODE") as other:
        with pytest.raises(Busy) as caught:
            in_time(lambda: kit.backup(database, lock_seconds=1), 20)
        assert f"process {other.backend}" in caught.value.message and "public.held" in caught.value.message
    assert kit.repository.backups() == ([], [])
    with connect(servers(17).address) as session:
        assert traces(session, database.database) == []
    assert kit.prove(kit.backup(database)).ok
