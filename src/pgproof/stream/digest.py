"""The digest of rows: XXH3-128 of each COPY text line, summed modulo 2**128 (docs/format.md, "Digests")."""

import xxhash

from pgproof.evidence import DIGEST_MODULUS, Digest


def digest_lines(text: bytes) -> Digest:
    """The digest of whole COPY text lines, each ended by a newline, which is not hashed."""
    if not text:
        return Digest()
    lines = text.split(b"\n")
    lines.pop()
    return Digest(len(lines), sum(map(xxhash.xxh3_128_intdigest, lines)) % DIGEST_MODULUS)
