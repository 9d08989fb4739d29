"""Compression, blocks, digests and the manifest's seal: what goes in comes out, and any damage is found."""

import contextlib
import gzip
import hashlib
import io
import subprocess
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pgproof.errors import Damaged, UsageError
from pgproof.evidence import Count, Digest
from pgproof.manifest import (
    FORMAT,
    VOLUME_FORMAT,
    Block,
    Codec,
    Database,
    Evidence,
    Manifest,
    Part,
    Record,
    Sequence,
    Server,
    Share,
    Table,
    TableProof,
    seal,
    seal_hash,
    unseal,
)
from pgproof.stream.blocks import BlockWriter, Building, plain_text, read_blocks
from pgproof.stream.compress import compressor, decompress
from pgproof.stream.digest import digest_lines
from pgproof.stream.sink import Meter, Sink

CODECS: list[Codec] = ["gzip", "zstd", "none"]
PACKED: list[Codec] = ["gzip", "zstd"]
texts = st.lists(
    st.binary(max_size=300)
    | st.builds(lambda piece, times: piece * times, st.binary(max_size=20), st.integers(0, 40_000)),
    max_size=6,
)


class Kept(Sink):
    def __init__(self) -> None:
        self.data = b""
        self.committed = False

    def write(self, data: bytes) -> None:
        self.data += data

    def commit(self) -> None:
        self.committed = True

    def abort(self) -> None:
        self.data = b""


def part_of(codec: Codec, blocks: list[list[bytes]]) -> tuple[bytes, tuple[Block, ...]]:
    kept = Kept()
    writer = BlockWriter(kept)
    for pieces in blocks:
        building = Building(codec)
        for piece in pieces:
            building.write(piece)
        writer.append(building.finish("data"))
    return kept.data, tuple(writer.blocks)


def plain_of(codec: Codec, stored: bytes) -> bytes:
    """As the stock tools read it: the whole, from end to end."""
    if codec == "gzip":
        return gzip.decompress(stored)
    if codec == "zstd":
        return zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True).read() if stored else b""
    return stored


# -- blocks ---------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(codec=st.sampled_from(CODECS), blocks=st.lists(texts, max_size=5))
def test_blocks_one_after_another_are_an_ordinary_file(codec: Codec, blocks: list[list[bytes]]) -> None:
    stored, described = part_of(codec, blocks)
    assert plain_of(codec, stored) == b"".join(map(b"".join, blocks))
    read = list(read_blocks(io.BytesIO(stored), described, "p"))
    assert [plain_text(block, data, codec, "p") for block, data in read] == [b"".join(pieces) for pieces in blocks]
    assert b"".join(data for _, data in read) == stored


@pytest.mark.parametrize(("codec", "argv"), [("gzip", ["gunzip", "-c"]), ("gzip", ["gzip", "-t"])])
def test_the_stock_programs_agree(codec: Codec, argv: list[str]) -> None:
    blocks = [[b"BEGIN;\n"], [b"row\t%d\n" % number for number in range(200_000)], [], [b"COMMIT;\n"]]
    stored, _ = part_of(codec, blocks)
    done = subprocess.run(argv, input=stored, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout in (b"", b"".join(map(b"".join, blocks)))
    assert subprocess.run(argv, input=stored[:-3], capture_output=True, check=False).returncode != 0


@settings(deadline=None, max_examples=150)
@given(codec=st.sampled_from(CODECS), data=st.data())
def test_a_flipped_bit_is_found(codec: Codec, data: st.DataObject) -> None:
    stored, blocks = part_of(codec, [[b"abc" * 50], [b"second"], [b"x"]])
    place = data.draw(st.integers(0, len(stored) - 1))
    flipped = bytearray(stored)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Damaged):
        list(read_blocks(io.BytesIO(bytes(flipped)), blocks, "p"))


@pytest.mark.parametrize("codec", CODECS)
def test_truncation_at_every_byte_and_anything_appended_are_found(codec: Codec) -> None:
    stored, blocks = part_of(codec, [[b"abc" * 50], [b"second"], [b"x"]])
    for size in range(len(stored)):
        with pytest.raises(Damaged):
            list(read_blocks(io.BytesIO(stored[:size]), blocks, "p"))
    for more in (b"\0", b"\n", stored):
        with pytest.raises(Damaged):
            list(read_blocks(io.BytesIO(stored + more), blocks, "p"))
    with pytest.raises(Damaged):
        list(read_blocks(io.BytesIO(stored), (), "p"))


def test_blocks_that_leave_a_gap_overlap_or_change_places_are_found() -> None:
    stored, blocks = part_of("none", [[b"aaaa"], [b"bbbb"], [b"cccc"]])
    one, two, three = blocks
    for wrong in [
        (one, three), (two, three), (one, two), (two, one, three), (one, one, two, three),
        (replace(one, offset=1), two, three), (one, replace(two, offset=3), three), (one, replace(two, size=-4), three),
        (replace(one, size=8), three), (one, two, replace(three, sha256=two.sha256)), (one, two, replace(three, size=0)),  # noqa: E501
    ]:  # fmt: skip
        with pytest.raises(Damaged):
            list(read_blocks(io.BytesIO(stored), wrong, "p"))


def test_a_stream_that_gives_few_bytes_at_a_time_is_read_whole() -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(7, size) if size and size > 0 else 7)

    stored, blocks = part_of("gzip", [[b"abc" * 5000], [b"second"]])
    assert b"".join(data for _, data in read_blocks(Slow(stored), blocks, "p")) == stored


# -- decompression --------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", PACKED)
@pytest.mark.parametrize("promised", [0, 1, 1000, 1 << 20])
def test_a_bomb_yields_no_more_than_was_promised(codec: Codec, promised: int) -> None:
    made = compressor(codec)
    bomb = b"".join(made.compress(bytes(1 << 24)) for _ in range(8)) + made.flush()
    tracemalloc.start()
    try:
        with pytest.raises(Damaged):
            decompress(codec, bomb, promised, "bomb")
        assert tracemalloc.get_traced_memory()[1] < (4 << 20) + 4 * promised
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("codec", PACKED)
@pytest.mark.parametrize("promised", [1 << 40, (1 << 62) - 1, 1 << 70])
def test_a_promise_that_cannot_be_is_damage_and_no_crash(codec: Codec, promised: int) -> None:
    made = compressor(codec)
    with pytest.raises(Damaged):
        decompress(codec, made.compress(b"abc") + made.flush(), promised, "p")


@settings(deadline=None, max_examples=60)
@given(codec=st.sampled_from(CODECS), text=st.binary(max_size=5000), off=st.integers(-3, 3))
def test_a_length_that_is_not_the_promised_one_is_damage(codec: Codec, text: bytes, off: int) -> None:
    made = compressor(codec)
    packed = made.compress(text) + made.flush()
    if off == 0:
        assert decompress(codec, packed, len(text), "p") == text
    elif len(text) + off >= 0:
        with pytest.raises(Damaged):
            decompress(codec, packed, len(text) + off, "p")


@pytest.mark.parametrize("codec", PACKED)
def test_a_block_cut_short_or_flipped_never_gives_other_text(codec: Codec) -> None:
    text = b"".join(b"%d\trow\n" % number for number in range(300))
    made = compressor(codec)
    packed = made.compress(text) + made.flush()
    for size in range(len(packed)):
        with pytest.raises(Damaged):
            decompress(codec, packed[:size], len(text), "p")
    for place in range(len(packed)):
        flipped = packed[:place] + bytes([packed[place] ^ 0x10]) + packed[place + 1 :]
        with contextlib.suppress(Damaged):
            assert decompress(codec, flipped, len(text), "p") == text  # a flag or time in the header


@pytest.mark.parametrize("codec", PACKED)
@pytest.mark.parametrize("garbage", [b"", b"\0", b"not compressed", b"\x1f\x8b", b"(\xb5/\xfd", bytes(100)])
def test_what_is_not_compressed_is_damage(codec: Codec, garbage: bytes) -> None:
    with pytest.raises(Damaged):
        decompress(codec, garbage, 10, "p")


def test_a_meter_counts_what_went_on() -> None:
    kept = Kept()
    with Meter(kept) as meter:
        meter.write(b"abc")
        meter.write(b"")
        meter.write(b"def")
    assert (meter.size, meter.sha256, kept.committed) == (6, hashlib.sha256(b"abcdef").hexdigest(), True)


# -- digests --------------------------------------------------------------------------------------

lines_of = st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"\\n")), max_size=30)


def text_of(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


@given(lines=lines_of, data=st.data())
def test_a_digest_is_of_the_lines_in_any_order_and_any_cut(lines: list[bytes], data: st.DataObject) -> None:
    whole = digest_lines(text_of(lines))
    assert whole.rows == len(lines)
    assert digest_lines(text_of(data.draw(st.permutations(lines)))) == whole
    cut = data.draw(st.integers(0, len(lines)))
    assert digest_lines(text_of(lines[:cut])) + digest_lines(text_of(lines[cut:])) == whole
    assert sum((digest_lines(line + b"\n") for line in lines), Digest()) == whole
    assert 0 <= whole.value < 1 << 128
    assert len(whole.hex()) == 32


@given(lines=lines_of.filter(bool), line=st.binary(max_size=5), data=st.data())
def test_a_digest_tells_a_changed_a_missing_and_a_doubled_row(
    lines: list[bytes], line: bytes, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(lines) - 1))
    whole = digest_lines(text_of(lines))
    assert digest_lines(text_of(lines[:place] + lines[place + 1 :])) != whole
    assert digest_lines(text_of([*lines, lines[place]])) != whole
    changed = line.replace(b"\n", b"")
    if changed != lines[place]:
        assert digest_lines(text_of([*lines[:place], changed, *lines[place + 1 :]])) != whole


# -- the seal -------------------------------------------------------------------------------------

names = st.text(st.characters(codec="utf-8"), max_size=20)
sizes = st.integers(0, 2**63 - 1)
moments = st.datetimes(datetime(1970, 1, 2), datetime(9999, 1, 1), timezones=st.just(UTC))
hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
shares = st.builds(Share, st.integers(0, 9), sizes, sizes)
blocks_of = st.builds(
    Block,
    sizes,
    sizes,
    sizes,
    hashes,
    st.sampled_from(["before", "data", "after"]),
    st.lists(shares, max_size=2).map(tuple),
)
parts = st.builds(
    Part, names, sizes, hashes, st.sampled_from(CODECS), st.sampled_from(["gpg", "age", "none"]),
    st.lists(blocks_of, max_size=2).map(tuple),
)  # fmt: skip
evidence = st.builds(
    Evidence,
    st.lists(
        st.builds(Table, names, names, st.lists(names, max_size=3).map(tuple), sizes, sizes, names), max_size=2
    ).map(tuple),
    st.lists(st.builds(Sequence, names, names, st.integers(-(2**63), 2**63 - 1), st.booleans()), max_size=2).map(tuple),
    st.builds(Count, sizes, sizes),
    st.lists(st.tuples(names, names), max_size=2).map(tuple),
)
manifests = st.builds(
    Manifest,
    format=st.just(FORMAT), pgproof=names, source=names, kind=st.just("logical"), stamp=names, sequence=sizes,
    previous=st.none() | hashes, began=moments, ended=moments,
    server=st.builds(Server, names, st.integers(90000, 200000), names, standby=st.booleans(), lsn=names),
    database=st.builds(
        Database, names, names, extensions=st.dictionaries(names, names, max_size=2), roles=st.lists(names, max_size=2).map(tuple),  # noqa: E501
        grants=st.none() | st.lists(st.tuples(names, names, st.booleans()), max_size=2).map(tuple),
    ),
    tools=st.dictionaries(names, names, max_size=2), settings=st.dictionaries(names, names, max_size=2),
    parts=st.lists(parts, max_size=2).map(tuple), evidence=evidence, notes=st.lists(names, max_size=2).map(tuple),
    config=st.dictionaries(names, names, max_size=2),
)  # fmt: skip
records = st.builds(
    Record, names, st.sampled_from(["verify", "drill"]), moments, st.booleans(),
    st.floats(0, 1e9, allow_nan=False), st.lists(names, max_size=2).map(tuple), names,
    st.lists(st.builds(TableProof, names, sizes, hashes, st.booleans()), max_size=2).map(tuple),
    st.dictionaries(names, st.booleans(), max_size=2), names,
)  # fmt: skip


def small() -> Manifest:
    moment = datetime(2026, 11, 23, 2, tzinfo=UTC)
    return Manifest(
        FORMAT, "0.1.0", "kc", "logical", "20261123T020000Z", 1, None, moment, moment, Server("17.0", 170000, "7"),
        Database("kc", "UTF8"), {}, {}, (Part("kc.sql.gz", 3, "0" * 64),), Evidence(),
    )  # fmt: skip


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(manifest=manifests)
def test_a_sealed_manifest_comes_back_the_same(manifest: Manifest) -> None:
    sealed = seal(manifest)
    assert unseal(sealed, Manifest, "m") == manifest
    assert seal(unseal(sealed, Manifest, "m")) == sealed
    parsed = msgspec.json.decode(sealed)  # it is ordinary JSON, for whoever has no pgproof
    assert parsed["sha256"] == seal_hash(sealed)
    assert parsed["content"]["source"] == manifest.source


@settings(deadline=None, max_examples=100)
@given(record=records)
def test_a_sealed_record_comes_back_the_same(record: Record) -> None:
    assert unseal(seal(record), Record, "r") == record


def test_every_flipped_bit_of_a_sealed_manifest_is_found() -> None:
    sealed = seal(small())
    for place in range(len(sealed)):
        for bit in range(8):
            flipped = sealed[:place] + bytes([sealed[place] ^ (1 << bit)]) + sealed[place + 1 :]
            with pytest.raises(Damaged):
                unseal(flipped, Manifest, "m")


def test_every_truncation_and_anything_added_is_found() -> None:
    sealed = seal(small())
    for size in range(len(sealed)):
        with pytest.raises(Damaged):
            unseal(sealed[:size], Manifest, "m")
    for wrong in (sealed + b"\n", b" " + sealed, sealed + sealed, sealed[:-1] + b" ", sealed.replace(b"kc", b"kd")):
        with pytest.raises(Damaged):
            unseal(wrong, Manifest, "m")


def forged(content: bytes) -> bytes:
    """A file whose hash is right and whose content pgproof did not write."""
    return b'{"sha256":"' + hashlib.sha256(content).hexdigest().encode() + b'","content":' + content + b"}\n"


NEWER = max(FORMAT, VOLUME_FORMAT) + 1


def test_a_newer_format_is_refused_by_a_sentence() -> None:
    sealed = seal(replace(small(), format=NEWER))
    with pytest.raises(UsageError) as caught:
        unseal(sealed, Manifest, "the manifest of kc")
    assert f"format {NEWER}" in caught.value.message
    newer = forged(b'{"format":%d,"wholly":"different"}' % NEWER)
    with pytest.raises(UsageError):
        unseal(newer, Manifest, "m")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"7",
        b"{}",
        b'{"format":1}',
        b"\xff",
        b"[" * 100_000,
        b'{"format":1,"parts":7}',
        b"{}}",
    ],
)
def test_what_pgproof_did_not_write_is_damaged_and_no_crash(content: bytes) -> None:
    for kind in (Manifest, Record):
        with pytest.raises(Damaged):
            unseal(forged(content), kind, "m")


def test_a_record_is_no_manifest() -> None:
    record = Record("kc/20261123T020000Z-logical", "drill", datetime(2026, 11, 23, tzinfo=UTC), True, 1.0)
    with pytest.raises(Damaged):
        unseal(seal(record), Manifest, "m")
    with pytest.raises(Damaged):
        unseal(seal(small()), Record, "r")


def test_a_part_is_found_by_its_stem_whatever_its_endings() -> None:
    manifest = replace(small(), parts=(Part("kc.sql.gz.gpg", 1, ""), Part("schema.dump", 1, "")))
    assert manifest.part("kc.sql").name == "kc.sql.gz.gpg"
    assert manifest.main.name == "kc.sql.gz.gpg"
    with pytest.raises(Damaged):
        manifest.part("kc.sq")
