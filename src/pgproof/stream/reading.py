"""Parts on their way back: stored bytes checked against their hash, opened, cut into authenticated blocks."""

import hashlib
import io
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from pgproof.errors import ConfigError, Damaged, NotFound
from pgproof.manifest import Block, Manifest, Part
from pgproof.stream.blocks import authenticate, plain_text, read_blocks
from pgproof.stream.encrypt import Key, decrypting
from pgproof.stream.progress import Progress, Silent

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

_STRIDE = 1 << 20

Open = Callable[[Part, int, int | None], BinaryIO]


class Reading:
    """The parts of one backup. `opened` gives stored bytes: of a part, from a place, so many or all."""

    def __init__(self, manifest: Manifest, opened: Open, key: Key) -> None:
        self.manifest = manifest
        self._open = opened
        self._key = key

    def _stored(self, part: Part, start: int, length: int | None) -> BinaryIO:
        try:
            return self._open(part, start, length)
        except NotFound as error:
            raise Damaged(f"{self._named(part)} is missing", hint=_HINT) from error

    def _named(self, part: Part) -> str:
        return f"{self.manifest.id}/{part.name}"

    def key_for(self, part: Part) -> Key:
        """Raises ConfigError when a key of another method is configured, or none."""
        if part.encryption not in ("none", self._key.method):
            raise ConfigError(
                f"{self._named(part)} is encrypted with {part.encryption}, and [encryption] has no such key",
                hint=f'give the key it was made with: [encryption] with method = "{part.encryption}"',
            )
        return Key() if part.encryption == "none" else self._key

    def check_stored(self, part: Part, progress: Progress | None = None) -> None:
        """Read every stored byte of a part; no key is needed. Raises Damaged."""
        watcher = progress or Silent()
        digest, size = hashlib.sha256(), 0
        with self._stored(part, 0, None) as stream:
            while data := stream.read(_STRIDE):
                digest.update(data)
                size += len(data)
                watcher.advance(len(data))
        self._check(part, size, digest)

    def _check(self, part: Part, size: int, digest: "hashlib._Hash") -> None:
        name = self._named(part)
        if size != part.size:
            raise Damaged(f"{name} has {size} bytes, {part.size} were stored", hint=_HINT)
        if digest.hexdigest() != part.sha256:
            raise Damaged(f"{name} is not what was stored: its SHA-256 differs", hint=_HINT)

    def check_all(self, progress: Progress | None = None) -> None:
        """Every part, before anything is done with one."""
        for part in self.manifest.parts:
            self.check_stored(part, progress)

    def content(self, part: Part) -> bytes:
        """A small part, opened and decompressed, in memory; what is used is what was checked.
        Raises Damaged, and ConfigError when the key does not fit.
        """
        if part.blocks:
            self.check_stored(part)
            with self.blaming_the_key(part):
                pairs = self.blocks(part)
                return b"".join(plain_text(block, data, part.codec, self._named(part)) for block, data in pairs)
        with self._stored(part, 0, None) as stream:
            data = b"".join(iter(lambda: stream.read(_STRIDE), b""))
        self._check(part, len(data), hashlib.sha256(data))
        with (
            self.blaming_the_key(part),
            decrypting(self.key_for(part), io.BytesIO(data), self._named(part)) as plain,
        ):
            return plain.read()

    @contextmanager
    def blaming_the_key(self, part: Part) -> Iterator[None]:
        """For a part whose stored bytes were checked: when it does not open all the same, it is the key.
        Raises ConfigError.
        """
        try:
            yield
        except Damaged as error:
            if part.encryption == "none":
                raise
            raise ConfigError(
                f"{self._named(part)} is whole and does not open: {error.message}",
                hint="check [encryption]: backups made with an older key need that key",
            ) from error

    def open_up(self, part: Part, progress: Progress) -> None:
        """Decrypt and decompress all of a part, in bounded memory, and keep nothing. Raises Damaged."""
        if part.blocks:
            for block, data in self.blocks(part):
                plain_text(block, data, part.codec, self._named(part))
                progress.advance(block.size)
            return
        with self._stored(part, 0, None) as stored, decrypting(self.key_for(part), stored, self._named(part)) as stream:
            while data := stream.read(_STRIDE):
                progress.advance(len(data))

    @contextmanager
    def plain(self, part: Part, progress: Progress) -> Iterator[BinaryIO]:
        """All of a part, opened and decompressed, as a stream; each block is authenticated before it is given."""
        pairs = self.blocks(part)
        pieces = (plain_text(block, data, part.codec, self._named(part)) for block, data in pairs)
        try:
            yield cast(BinaryIO, io.BufferedReader(_Plain(pieces, progress), 1 << 20))
        finally:
            pairs.close()

    def blocks(
        self, part: Part, wanted: Callable[[Block], bool] = lambda _: True
    ) -> Generator[tuple[Block, bytes], None, None]:
        """The wanted blocks, still compressed, each authenticated. An encrypted part is read through;
        of another only the bytes of wanted blocks are read.
        """
        if part.encryption != "none" or all(map(wanted, part.blocks)):
            with (
                self._stored(part, 0, None) as stored,
                decrypting(self.key_for(part), stored, self._named(part)) as stream,
            ):
                yield from (pair for pair in read_blocks(stream, part.blocks, self._named(part)) if wanted(pair[0]))
            return
        for block in filter(wanted, part.blocks):
            with self._stored(part, block.offset, block.size) as stream:
                yield block, authenticate(block, stream.read(block.size), self._named(part))


class _Plain(io.RawIOBase):
    """The plain bytes of blocks, one after the other."""

    def __init__(self, pieces: Iterator[bytes], progress: Progress) -> None:
        self._pieces, self._progress = pieces, progress
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer") -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
            self._progress.advance(len(piece))
        view = memoryview(buffer)
        size = min(len(view), len(self._left))
        view[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


_HINT = "restore from another copy of this backup, or from another backup"
