"""One part on its way into a store: encrypted, measured, and remembered for the manifest."""

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from pgproof.manifest import Codec, Part
from pgproof.stream import compress
from pgproof.stream.blocks import BlockWriter, Finished
from pgproof.stream.encrypt import Key, encrypting
from pgproof.stream.sink import Meter, Sink


class PartWriter:
    """Takes plain bytes or finished blocks; `with` commits the part or leaves nothing of it."""

    def __init__(self, name: str, codec: Codec, key: Key, stored: Sink, done: Callable[[Part], None]) -> None:
        self._name, self._codec, self._key, self._done = name, codec, key, done
        self._meter = Meter(stored)
        try:
            self._sink = encrypting(key, self._meter)
        except BaseException:
            stored.abort()
            raise
        self._writer = BlockWriter(self._sink)

    def write(self, data: bytes) -> None:
        self._sink.write(data)

    def append(self, block: Finished) -> None:
        self._writer.append(block)

    @property
    def stored(self) -> int:
        """Bytes that have left for the store so far."""
        return self._meter.size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sink.__exit__(kind, error, trace)
        if kind is None:
            self._done(self._part())

    def _part(self) -> Part:
        return Part(
            self._name,
            self._meter.size,
            self._meter.sha256,
            self._codec,
            self._key.method,
            tuple(self._writer.blocks),
        )


class Parts(Protocol):
    """What a source captures itself into: makes the part `stem` plus the endings of codec and encryption."""

    def __call__(self, stem: str, codec: Codec) -> PartWriter: ...


def part_name(stem: str, codec: Codec, key: Key) -> str:
    return stem + compress.SUFFIX[codec] + key.suffix
