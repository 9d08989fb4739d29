"""A drill that passes when it should not is worth less than none. Here each thing that a drill compares is made
to differ on purpose, in a backup that is otherwise whole and authentic; each time it must fail and name it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pgproof.checks import Check
from pgproof.errors import NotProven
from pgproof.evidence import Count
from pgproof.manifest import Block, Manifest, Part, Record, Share, Table, seal, unseal
from pgproof.postgres.server import Address
from pgproof.sources.units import END, header
from pgproof.stream.blocks import Building
from pgproof.stream.compress import decompress
from tests.conftest import Servers
from tests.kit import Kit, run

FILL = (
    "CREATE TABLE people (id serial PRIMARY KEY, name text)",
    "INSERT INTO people (name) SELECT 'person ' || g FROM generate_series(1, 1000) g",
    "CREATE TABLE places (id integer PRIMARY KEY, name text)",
    "INSERT INTO places SELECT g, 'place ' || g FROM generate_series(1, 500) g",
    "CREATE TABLE none (x integer)",
    "CREATE INDEX people_by_name ON people (name)",
    "SELECT lo_from_bytea(11, 'eleven'), lo_from_bytea(12, '')",
)


@pytest.fixture(scope="module")
def source(servers: Servers) -> Address:
    database = servers.database(17)
    run(database, *FILL)
    return database


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


@pytest.fixture
def made(source: Address, kit: Kit) -> Manifest:
    return kit.backup(source, jobs=1)


def publish(kit: Kit, manifest: Manifest) -> Manifest:
    """Put another manifest in place of the stored one: sealed, authentic, and wrong."""
    path = kit.folder / manifest.id / "manifest.json"
    path.write_bytes(seal(manifest))
    return unseal(path.read_bytes(), Manifest, "manifest")


def with_part(kit: Kit, manifest: Manifest, part: Part, content: bytes, blocks: tuple[Block, ...] = ()) -> Manifest:
    """Other bytes for a part, with the hash and size that they have."""
    (kit.folder / manifest.id / part.name).write_bytes(content)
    new = replace(part, size=len(content), sha256=hashlib.sha256(content).hexdigest(), blocks=blocks or part.blocks)
    return publish(kit, replace(manifest, parts=tuple(new if one is part else one for one in manifest.parts)))


def rewritten(
    kit: Kit, manifest: Manifest, edit: Callable[[Block, bytes], tuple[bytes, tuple[Share, ...]] | None]
) -> Manifest:
    """The main part with edited blocks: `edit` gives another text and its shares, or None to drop the block."""
    part = manifest.main
    data = (kit.folder / manifest.id / part.name).read_bytes()
    content, blocks = b"", []
    for block in part.blocks:
        text = decompress(part.codec, data[block.offset : block.offset + block.size], block.plain, "test")
        edited = edit(block, text)
        if edited is None:
            continue
        building = Building(part.codec)
        building.write(edited[0])
        done = building.finish(block.kind)
        blocks.append(Block(len(content), len(done.data), done.plain, done.sha256, block.kind, edited[1]))
        content += done.data
    return with_part(kit, manifest, part, content, tuple(blocks))


def findings(kit: Kit, manifest: Manifest, **conditions: object) -> tuple[str, ...]:
    """What the drill found; it must have failed."""
    proof = kit.prove(manifest, **conditions)
    assert not proof.ok, "the drill passed"
    return proof.findings


def with_table(manifest: Manifest, name: str, edit: Callable[[Table], Table]) -> Manifest:
    tables = tuple(edit(one) if one.name == name else one for one in manifest.evidence.tables)
    return replace(manifest, evidence=replace(manifest.evidence, tables=tables))


@pytest.mark.slow
def test_an_honest_backup_passes(kit: Kit, made: Manifest) -> None:
    proof = kit.prove(made)
    assert proof.ok and proof.findings == ()
    assert {table.name: table.rows for table in proof.tables} == {
        "public.people": 1000,
        "public.places": 500,
        "public.none": 0,
        "large objects": 1,
    }


def test_evidence_of_more_rows(kit: Kit, made: Manifest) -> None:
    other = publish(kit, with_table(made, "people", lambda table: replace(table, rows=1001)))
    assert findings(kit, other) == ("public.people: the snapshot gave 1001 rows, the stored blocks hold 1000",)


@pytest.mark.slow
def test_rows_that_are_missing(kit: Kit, made: Manifest) -> None:
    def edit(block: Block, text: bytes) -> tuple[bytes, tuple[Share, ...]]:
        assert block.kind != "data" or b"person 500\n" in text
        fewer = text.replace(b"500\tperson 500\n", b"")
        shares = tuple(
            replace(share, rows=share.rows - 1, bytes=share.bytes - 15)
            if made.evidence.tables[share.table].name == "people"
            else share
            for share in block.shares
        )
        return fewer, shares

    assert findings(kit, rewritten(kit, made, edit)) == (
        "public.people: the snapshot gave 1000 rows, the stored blocks hold 999",
    )


@pytest.mark.slow
def test_no_rows_at_all(kit: Kit, made: Manifest) -> None:
    other = rewritten(kit, made, lambda block, text: None if block.kind == "data" else (text, block.shares))
    assert set(findings(kit, other)) == {
        "public.people: the snapshot gave 1000 rows, the stored blocks hold 0",
        "public.places: the snapshot gave 500 rows, the stored blocks hold 0",
    }


@pytest.mark.slow
def test_a_row_that_is_stored_twice(kit: Kit, made: Manifest) -> None:
    twice = rewritten(kit, made, lambda block, text: (text, block.shares))
    data = next(block for block in twice.main.blocks if block.kind == "data")
    whole = (kit.folder / made.id / made.main.name).read_bytes()
    again = replace(data, offset=len(whole))
    other = with_part(
        kit, twice, twice.main, whole + whole[data.offset : data.offset + data.size], (*twice.main.blocks, again)
    )
    said = " ".join(findings(kit, other))
    assert "is duplicated" in said


def test_a_block_that_is_not_what_its_manifest_says(kit: Kit, made: Manifest) -> None:
    """An SQL statement smuggled in, under the right hash."""

    def smuggle(block: Block, text: bytes) -> tuple[bytes, tuple[Share, ...]]:
        return (text + b"DROP TABLE places;\n" if block.kind == "data" else text), block.shares

    assert "holds more than its manifest says" in " ".join(findings(kit, rewritten(kit, made, smuggle)))
    assert END == b"\\.\n\n"


def test_a_block_with_rows_of_another_table(kit: Kit, made: Manifest) -> None:
    def swapped(block: Block, text: bytes) -> tuple[bytes, tuple[Share, ...]]:
        tables = made.evidence.tables
        people = next(header(one).encode() for one in tables if one.name == "people")
        places = next(header(one).encode() for one in tables if one.name == "places")
        return (text.replace(people, places) if block.kind == "data" else text), block.shares

    assert "does not hold the rows of public.people" in " ".join(findings(kit, rewritten(kit, made, swapped)))


def test_a_sequence_that_stands_elsewhere(kit: Kit, made: Manifest, source: Address) -> None:
    """The values are set from the manifest; what the server then has is compared with it. So the test
    lets the restored one differ: a default that takes a number while the schema is restored.
    """
    del source
    stood = made.evidence.sequences
    assert [(one.name, one.last_value) for one in stood] == [("people_id_seq", 1000)]
    gone = replace(stood[0], name="no_such_seq")
    other = publish(kit, replace(made, evidence=replace(made.evidence, sequences=(gone,))))
    assert "no_such_seq" in " ".join(findings(kit, other))


@pytest.mark.slow
def test_a_table_that_is_not_in_the_schema(kit: Kit, made: Manifest, servers: Servers, tmp_path: Path) -> None:
    """schema.dump of another database, whole and authentic."""
    stranger = servers.database(17)
    run(stranger, "CREATE TABLE people (id serial PRIMARY KEY, name text)")
    elsewhere = Kit(tmp_path / "elsewhere")
    theirs = elsewhere.backup(stranger)
    schema = (elsewhere.folder / theirs.id / "schema.dump").read_bytes()
    other = with_part(kit, made, made.part("schema.dump"), schema)
    assert "places" in " ".join(findings(kit, other))


@pytest.mark.slow
def test_a_schema_with_less_than_the_text(kit: Kit, made: Manifest, servers: Servers, tmp_path: Path) -> None:
    """A column of another type takes the same rows and gives other text back."""
    stranger = servers.database(17)
    run(stranger, *(one.replace("places (id integer", "places (id numeric(10,2)") for one in FILL))
    elsewhere = Kit(tmp_path / "elsewhere")
    theirs = elsewhere.backup(stranger)
    schema = (elsewhere.folder / theirs.id / "schema.dump").read_bytes()
    said = findings(kit, with_part(kit, made, made.part("schema.dump"), schema))
    assert said == ("public.places: 500 rows in both, but their contents differ",)


@pytest.mark.slow
def test_large_objects_that_are_missing(kit: Kit, made: Manifest) -> None:
    other = rewritten(kit, made, lambda block, text: None if block.kind == "large-objects" else (text, block.shares))
    said = findings(kit, other)
    assert any(one.startswith("large objects: 2 with") and "0 with 0 are restored" in one for one in said), said


@pytest.mark.slow
def test_large_objects_without_contents(kit: Kit, made: Manifest) -> None:
    """They are all there, and empty: so the stored text has no line of contents."""

    def edit(block: Block, text: bytes) -> tuple[bytes, tuple[Share, ...]] | None:
        return None if b"lo_put" in text else (text, block.shares)

    said = findings(kit, rewritten(kit, made, edit))
    assert any(one.startswith("large objects") for one in said), said
    assert made.evidence.large_objects == Count(2, made.evidence.large_objects.bytes)


@pytest.mark.slow
def test_a_check_that_is_false_or_fails(kit: Kit, made: Manifest) -> None:
    asked = (
        Check("enough", "there are people", "SELECT count(*) > 100 FROM people"),
        Check("rich", "there are millions", "SELECT count(*) > 1000000 FROM people"),
        Check("broken", "nonsense", "SELECT nonsense FROM people"),
        Check("empty", "no row", "SELECT true WHERE false"),
        Check("text", "a word is no answer", "SELECT 'true'"),
        Check("warn", "only a warning", "SELECT false", warning=True),
        Check("write", "a question does not write", "DELETE FROM people RETURNING true"),
    )
    proof = kit.prove(made, checks=asked)
    assert not proof.ok
    assert proof.checks == {one.name: one.name == "enough" for one in asked}
    failed = {one.split(":")[0] for one in proof.findings}
    assert failed == {f"check {one.name}" for one in asked if one.name != "enough"}
    assert kit.prove(made, checks=asked[:1]).ok
    assert kit.prove(made, checks=(asked[0], asked[5])).ok


@pytest.mark.slow
def test_a_flipped_bit_never_reaches_the_server(kit: Kit, made: Manifest) -> None:
    for part in made.parts:
        path = kit.folder / made.id / part.name
        whole = path.read_bytes()
        path.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
        assert "is not what was stored" in findings(kit, made)[0]
        path.write_bytes(whole)
    assert kit.prove(made).ok


def test_extensions_that_the_drill_server_lacks(kit: Kit, made: Manifest) -> None:
    other = publish(
        kit, replace(made, database=replace(made.database, extensions={"plpgsql": "1.0", "postgis": "3.4"}))
    )
    with pytest.raises(NotProven, match="lacks the extensions postgis"):
        kit.prove(other)


def test_a_locale_that_this_machine_lacks(kit: Kit, made: Manifest) -> None:
    foreign = replace(made.database, collate="xx_XX.utf8", ctype="xx_XX.utf8")
    with pytest.raises(NotProven) as caught:
        kit.prove(publish(kit, replace(made, database=foreign)))
    assert "xx_XX.utf8" in caught.value.hint


@pytest.mark.slow
def test_records_of_failed_drills_make_a_backup_damaged(kit: Kit, made: Manifest) -> None:
    other = publish(kit, with_table(made, "people", lambda table: replace(table, rows=1001)))
    proof = kit.prove(other)
    kit.repository.add_record(proof)
    assert isinstance(proof, Record)
    assert kit.repository.find(other.id).state == "damaged"
