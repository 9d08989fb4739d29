"""An object on its way out of S3: what breaks in the middle is taken up again where it broke, of the same object."""

import time
from typing import Any, Self

from botocore.exceptions import ClientError

from pgproof.errors import AlreadyExists, NotFound, Unreachable
from pgproof.stores.s3.client import NETWORK, Client, code, translated
from pgproof.stores.s3.place import Place

_TRIES = 5
_PAUSE_SECONDS = 0.2
_PIECE = 1 << 18  # bytes of one call at most: what a call has read is lost when it breaks


class Download:
    """The bytes of an object from `start`, `length` of them or all. Raises NotFound as it is made."""

    def __init__(self, client: Client, place: Place, name: str, start: int, length: int | None) -> None:
        self._client, self._place, self._name = client, place, name
        self._at, self._tag = start, ""
        self._body: Any = None
        self._left = self._begin(length)

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes; b'' at the end only. Raises Unreachable."""
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        pieces: list[bytes] = []
        while wanted:
            piece = self._some(wanted)
            pieces.append(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        if self._body is not None:
            self._body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, length: int | None) -> int:
        """Ask for the first time; returns how many bytes there are to come."""
        with translated(self._name, self._place):
            if length == 0:
                self._client.head_object(**self._object())
                return 0
            end = "" if length is None else self._at + length - 1
            try:
                return self._ask(f"bytes={self._at}-{end}" if self._at or length is not None else "")
            except ClientError as error:
                if code(error) in ("InvalidRange", "416"):  # it begins after the end
                    return 0
                raise

    def _ask(self, wanted: str) -> int:
        words: dict[str, Any] = self._object() | ({"Range": wanted} if wanted else {})
        if self._tag:
            words["IfMatch"] = self._tag
        found = self._client.get_object(**words)
        self._body = found["Body"]
        try:
            self._examine(found, wanted)
        except BaseException:
            self._body.close()
            raise
        self._tag = found.get("ETag", "")
        return int(found["ContentLength"])

    def _examine(self, found: dict[str, Any], wanted: str) -> None:
        """There are servers that pass over conditions, and such as pass over ranges."""
        if self._tag and found.get("ETag") != self._tag:
            raise self._changed()
        if wanted and not found.get("ContentRange", "").startswith(f"bytes {self._at}-"):
            hint = "use a provider, or a proxy, that knows the header Range"
            raise Unreachable(f"{self._place.text} sends all of an object where a part was asked for", hint=hint)

    def _changed(self) -> Unreachable:
        return Unreachable(f"{self._name} was replaced while it was read", hint="run it again")

    def _object(self) -> dict[str, Any]:
        return {"Bucket": self._place.bucket, "Key": self._place.key(self._name)}

    def _some(self, wanted: int) -> bytes:
        """At least one byte; asks anew where a connection broke or ended too soon."""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE_SECONDS * 2 ** (attempt - 1))
                self._again()
            try:
                data: bytes = self._body.read(min(wanted, _PIECE))
            except NETWORK:
                data = b""
            if data:
                self._at += len(data)
                self._left -= len(data)
                return data
        hint = "the network or the store is unsteady; run it again"
        raise Unreachable(f"{self._name}: the store stops before the end, {self._left} bytes too soon", hint=hint)

    def _again(self) -> None:
        self._body.close()
        try:
            with translated(self._name, self._place):
                self._ask(f"bytes={self._at}-{self._at + self._left - 1}")
        except NotFound as error:
            raise Unreachable(f"{self._name} was deleted while it was read", hint="run it again") from error
        except AlreadyExists as error:  # the condition that it be the same one is not met
            raise self._changed() from error
