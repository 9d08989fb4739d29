"""Compression, both ways: a block becomes one gzip member or zstd frame, and comes back from it.

Both are ordinary formats (RFC 1952, RFC 8878): a concatenation of members or frames is a file that
`gunzip` or `zstd -d` reads from end to end.
"""

from typing import Protocol, cast

import zstandard
from isal import isal_zlib
from isal.igzip_lib import IsalError

from pgproof.errors import Damaged
from pgproof.manifest import Codec

GZIP_WBITS = 31  # a gzip header and trailer with CRC-32, window 32 KiB
LEVELS: dict[str, int] = {"gzip": 1, "zstd": 1}
SUFFIX: dict[str, str] = {"gzip": ".gz", "zstd": ".zst", "none": ""}


class Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def compressor(codec: Codec, level: int | None = None) -> Compressor:
    """A fresh compressor for one block. `level` None is the codec's fast one (docs/benchmarks.md)."""
    chosen = LEVELS.get(codec, 0) if level is None else level
    if codec == "gzip":
        made: Compressor = isal_zlib.compressobj(chosen, isal_zlib.DEFLATED, GZIP_WBITS)
        return made
    if codec == "zstd":
        return zstandard.ZstdCompressor(level=chosen, write_checksum=True).compressobj()
    return _Identity()


def decompress(codec: Codec, data: bytes, plain: int, what: str) -> bytes:
    """The `plain` bytes that one block holds. Raises Damaged; never yields more than `plain` bytes,
    whatever a forged block claims (`what` names the block for the message).
    """
    try:
        result = _decompress(codec, data, plain)
    except _ERRORS as error:
        raise Damaged(f"{what} does not decompress: {error}", hint=_HINT) from error
    if len(result) != plain:
        raise Damaged(f"{what} holds {len(result)} bytes where its manifest says {plain}", hint=_HINT)
    return result


def _decompress(codec: Codec, data: bytes, plain: int) -> bytes:
    if codec == "gzip":
        member = isal_zlib.decompressobj(GZIP_WBITS)
        text = bytes(member.decompress(data, plain + 1))
        if len(text) == plain and (not member.eof or member.unused_data):
            raise EOFError("it is not one whole gzip member")
        return text
    if codec == "zstd":
        claimed = zstandard.get_frame_parameters(data).content_size
        if claimed not in (plain, zstandard.CONTENTSIZE_UNKNOWN):
            raise EOFError(f"its frame claims {claimed} bytes")  # before anything of that size is allocated
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=plain + 1, allow_extra_data=False)
    return data


# isal's stub calls its error a value.
_ERRORS: tuple[type[Exception], ...] = (
    cast(type[Exception], IsalError),
    zstandard.ZstdError,
    EOFError,
    MemoryError,
    OverflowError,
)


class _Identity:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


_HINT = "restore from another copy of this backup, or from another backup"
