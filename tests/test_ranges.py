"""Tables read in ranges of pages: every page once, whatever lies in them; and blocks that are cut by size."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproof.manifest import Manifest, Table
from pgproof.postgres.catalog import Heap, tables
from pgproof.postgres.server import Address, connect
from pgproof.sources.units import GROUP_BYTES, GROUP_TABLES, RANGE_BYTES, Unit, plan
from pgproof.sources.workers import Readers
from pgproof.stream.blocks import PLAIN_TARGET
from tests.conftest import Servers, drop_database
from tests.kit import Kit, digests, run, value

PAGE = 8192
heaps = st.builds(
    lambda number, pages, toast, ranges: Heap(
        number, Table("s", f"t{number}", ("c",)), pages, pages * PAGE + toast, ranges
    ),
    st.integers(1, 1 << 31),
    st.one_of(st.integers(0, 20_000), st.integers(0, 1 << 32)),
    st.one_of(st.just(0), st.integers(0, 1 << 20), st.integers(0, 1 << 44)),
    st.booleans(),
)


def pieces(units: list[Unit], index: int) -> list[tuple[int, float]]:
    found = [piece for unit in units for piece in unit.slices if piece.index == index]
    return sorted((one.first or 0, one.last if one.last is not None else float("inf")) for one in found)


@given(st.lists(heaps, max_size=12))
def test_every_page_is_read_exactly_once(given_heaps: list[Heap]) -> None:
    # The number of slices is bounded for the test's sake; that of a real table is, by its pages.
    given_heaps = [heap for heap in given_heaps if heap.size // RANGE_BYTES < 5000 or not heap.ranges]
    units = plan(given_heaps)
    for index, heap in enumerate(given_heaps):
        found = pieces(units, index)
        assert found[0][0] == 0
        assert found[-1][1] == float("inf"), "rows behind the size that was read would be lost"
        assert all(before[1] == after[0] for before, after in zip(found, found[1:], strict=False))
        assert all(first < last for first, last in found)
        if not heap.ranges:
            assert len(found) == 1
        assert [piece.table for unit in units for piece in unit.slices if piece.index == index] == [heap.table] * len(
            found
        )
    for unit in units:
        assert unit.slices
        assert len(unit.slices) == 1 or len(unit.slices) <= GROUP_TABLES
        small = [given_heaps[piece.index].size for piece in unit.slices]
        assert len(unit.slices) == 1 or sum(small[:-1]) < GROUP_BYTES


@given(st.integers(1, 1 << 32), st.integers(0, 1 << 42))
def test_ranges_are_neither_tiny_nor_huge(pages: int, toast: int) -> None:
    heap = Heap(1, Table("s", "t", ("c",)), pages, pages * PAGE + toast, ranges=True)
    if heap.size // RANGE_BYTES > 20_000:
        return
    found = pieces(plan([heap]), 0)
    inner = [last - first for first, last in found[:-1]]
    assert all(size >= min(64, pages) for size in inner)
    assert all(size * PAGE <= RANGE_BYTES for size in inner)


def test_queries_bound_ranges_by_ctid() -> None:
    heap = Heap(1, Table('s"x', "t", ("a", 'b"c'), condition="WHERE mine"), 10_000, 10_000 * PAGE, ranges=True)
    asked = [unit.slices[0].query() for unit in plan([heap])]
    assert asked[0] == (
        'SELECT "a", "b""c" FROM ONLY "s""x"."t" '
        f"WHERE ctid >= '(0,0)'::pg_catalog.tid AND ctid < '({RANGE_BYTES // PAGE},0)'::pg_catalog.tid AND (mine)"
    )
    last = 10_000 // (RANGE_BYTES // PAGE) * (RANGE_BYTES // PAGE)
    assert asked[-1].endswith(f"WHERE ctid >= '({last},0)'::pg_catalog.tid AND (mine)")


def back(servers: Servers, major: int, kit: Kit, source: Address, made: Manifest) -> None:
    """Restore, compare rows and digests, and drop."""
    target = source.to(f"{source.database}_back")
    kit.restore(made, target)
    assert digests(target) == digests(source)
    with connect(source) as session:
        counts = {heap.table.label: heap for heap in tables(session)}
    assert set(counts) == {table.label for table in made.evidence.tables}
    drop_database(servers(major).address, target.database)


def ranges(made: Manifest, name: str) -> int:
    """How many blocks hold rows of a table."""
    index = next(i for i, table in enumerate(made.evidence.tables) if table.name == name)
    return sum(any(share.table == index for share in block.shares) for block in made.main.blocks)


@pytest.mark.parametrize("major", [15, 17, 18])
def test_tid_range_scans_are_used(servers: Servers, major: int) -> None:
    """Under the workers' own settings; with any other plan each range would read the whole table."""
    source = servers.database(major)
    run(
        source,
        "CREATE TABLE big (id bigint PRIMARY KEY, kind integer, filler text)",
        "INSERT INTO big SELECT g, g % 5, repeat(md5(g::text), 12) FROM generate_series(1, 120000) g",
        "CREATE INDEX big_kind ON big (kind)",
        "ALTER TABLE big SET (parallel_workers = 8)",
        "ANALYZE big",
    )
    from pgproof.postgres.snapshot import exported

    with exported(source) as snapshot:
        units = plan(snapshot.heaps)
        settings = Readers(snapshot, snapshot.session.wire(), "gzip", 60).range_settings
        assert len(units) > 1
    with connect(source) as session:
        session.pin()
        session.run("; ".join(f"SET {key} = {setting}" for key, setting in settings.items()))
        for unit in units:
            for piece in unit.slices:
                said = "\n".join(line for (line,) in session.rows(f"EXPLAIN {piece.query()}"))
                assert re.match(r"Tid Range Scan on big", said), said


@pytest.mark.slow
def test_updated_deleted_and_dead_rows(servers: Servers, tmp_path: Path) -> None:
    source = servers.database(17)
    run(
        source,
        "CREATE TABLE churned (id integer, n integer, filler text) WITH (autovacuum_enabled = false, fillfactor = 70)",
        "INSERT INTO churned SELECT g, 0, repeat(md5(g::text), 10) FROM generate_series(1, 200000) g",
        "DELETE FROM churned WHERE id % 5 = 0 OR id BETWEEN 40000 AND 90000",
        "UPDATE churned SET n = n + 1 WHERE id % 3 = 0",
        "UPDATE churned SET n = n + 1, filler = filler || 'x' WHERE id % 7 = 0",
        "DELETE FROM churned WHERE id > 150000",
        "CREATE TABLE emptied AS SELECT repeat(md5(g::text), 20) FROM generate_series(1, 70000) g",
        "DELETE FROM emptied",
        "CREATE TABLE gap AS SELECT g AS id, repeat(md5(g::text), 20) FROM generate_series(1, 70000) g",
        "DELETE FROM gap WHERE id < 69000",
        "BEGIN",
        "INSERT INTO churned SELECT g, 0, 'never was' FROM generate_series(1, 1000) g",
        "ROLLBACK",
        "VACUUM gap",
    )
    kit = Kit(tmp_path)
    made = kit.backup(source)
    assert ranges(made, "churned") > 1
    assert ranges(made, "emptied") == 0
    back(servers, 17, kit, source, made)


@pytest.mark.slow
def test_rows_of_megabytes(servers: Servers, tmp_path: Path) -> None:
    """Pages are few and TOAST is large: blocks are cut by size, at the end of a row."""
    source = servers.database(17)
    run(
        source,
        "CREATE TABLE files (id integer, body bytea)",
        "ALTER TABLE files ALTER COLUMN body SET STORAGE EXTERNAL",
        """INSERT INTO files SELECT g, decode(repeat(md5(g::text), (1 + g % 5) * 32768), 'hex')
           FROM generate_series(1, 40) g""",
        "CREATE TABLE notes (id integer, body text)",
        """INSERT INTO notes SELECT g, repeat(E'\\n\\t\\\\ ' || g, 300000 + g) FROM generate_series(1, 30) g""",
    )
    kit = Kit(tmp_path)
    made = kit.backup(source)
    assert ranges(made, "files") > 2
    largest = max(block.plain for block in made.main.blocks if block.kind == "data")
    assert largest < PLAIN_TARGET + (6 << 20)
    back(servers, 17, kit, source, made)
    assert kit.prove(made).ok


@pytest.mark.slow
def test_two_million_tiny_rows_and_odd_tables(servers: Servers, tmp_path: Path) -> None:
    source = servers.database(17)
    wide = ", ".join(f"c{number} integer" for number in range(1, 1601))
    values = ", ".join("NULL" if number % 100 else str(number) for number in range(1, 1601))
    run(
        source,
        "CREATE TABLE tiny AS SELECT g::integer AS x FROM generate_series(1, 2000000) g",
        "CREATE TABLE no_columns ()",
        "CREATE TABLE feeds (x integer)",
        "INSERT INTO no_columns SELECT FROM generate_series(1, 1300000)",
        "CREATE TABLE computed (a integer GENERATED ALWAYS AS (7) STORED, b text GENERATED ALWAYS AS ('x') STORED)",
        "DO $$BEGIN FOR i IN 1..50 LOOP INSERT INTO computed DEFAULT VALUES; END LOOP; END$$",
        f"CREATE TABLE wide ({wide})",
        f"INSERT INTO wide SELECT {values} FROM generate_series(1, 2000)",
        "CREATE TABLE nulls AS SELECT NULL::integer AS a, NULL::text AS b FROM generate_series(1, 100000)",
    )
    kit = Kit(tmp_path)
    made = kit.backup(source)
    counts = {table.name: table.rows for table in made.evidence.tables}
    wanted = {"tiny": 2_000_000, "no_columns": 1_300_000, "feeds": 0, "computed": 50, "wide": 2000, "nulls": 100_000}
    assert counts == wanted
    assert ranges(made, "tiny") > 1 and ranges(made, "no_columns") > 1
    target = source.to(f"{source.database}_back")
    kit.restore(made, target)
    assert digests(target) == digests(source)
    assert value(target, "SELECT count(*) FROM public.computed WHERE a = 7 AND b = 'x'") == 50
    proof = kit.prove(made)
    assert proof.ok and {table.name.partition(".")[2]: table.rows for table in proof.tables} == counts


@pytest.mark.slow
def test_a_table_that_grows_while_it_is_read(servers: Servers, tmp_path: Path) -> None:
    """Pages behind the size that was read belong to the last range, which is open; the snapshot keeps what
    came later out.
    """
    source = servers.database(17)
    run(
        source,
        "CREATE TABLE grows AS SELECT g AS id, repeat(md5(g::text), 20) FROM generate_series(1, 60000) g",
    )
    kit = Kit(tmp_path)

    class Growing:
        def begin(self, what: str, total: int = 0) -> None:
            if what == "rows":
                run(source, "INSERT INTO grows SELECT g, repeat('y', 600) FROM generate_series(1, 60000) g")

        def advance(self, amount: int) -> None:
            pass

    made = kit.backup(source, Growing())
    assert {table.name: table.rows for table in made.evidence.tables} == {"grows": 60_000}
    assert kit.prove(made).ok
