"""An object on its way into S3: parts that grow, a few on their way at a time, nothing visible before the commit."""

import base64
import contextlib
import hashlib
import queue
import secrets
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any
from urllib.parse import quote, urlencode

from botocore.exceptions import ClientError

from pgproof.errors import AlreadyExists, NotFound, PgproofError, Refused, Unreachable
from pgproof.stores.s3.client import Client, code, translated, unsupported
from pgproof.stores.s3.place import Place
from pgproof.stream.sink import Sink

FIRST_PART = 8 << 20  # bytes; S3 takes no part below 5 MiB but the last
_DOUBLINGS = 10  # within the parts that a provider allows: 8 MiB up to 4 GiB, below S3's limit of 5 GiB
_ON_THE_WAY = 48 << 20  # bytes of parts being sent at a time
_MOST_WORKERS = 3
_IN_MEMORY = 16 << 20  # a larger part waits in an unnamed temporary file
_TOKEN = "pgproof-write"  # noqa: S105 - the name of the metadata by which a writer knows its own object
_ABORT_SECONDS = 5.0
_MAYBE_DONE = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409", "NoSuchUpload")


def part_size(number: int, most_parts: int) -> int:
    """Bytes of part `number` (from 1): small at first, doubling, so that any object fits into the parts allowed.

    With 10,000 parts there is room for 8 TB, more than S3's 5 TiB; with 1,000 for 858 GB.
    """
    step = max(1, most_parts // _DOUBLINGS)
    doublings: int = min((number - 1) // step, _DOUBLINGS - 1)
    return FIRST_PART << doublings


@dataclass(frozen=True, slots=True)
class Manner:
    """How one object is to be kept: what every request that makes it says."""

    place: Place
    name: str
    replace: bool
    until: datetime | None  # the moment up to which object lock holds it

    def words(self, token: str) -> dict[str, Any]:
        place = self.place
        said: dict[str, Any] = {"Bucket": place.bucket, "Key": place.key(self.name), "Metadata": {_TOKEN: token}}
        # Small files are read at every listing: a colder class would make that dear, an archive impossible.
        if place.storage_class and not self.name.endswith(".json") and "/" in self.name:
            said["StorageClass"] = place.storage_class
        if place.encryption:
            said["ServerSideEncryption"] = place.encryption
        if place.kms_key:
            said["SSEKMSKeyId"] = place.kms_key
        if place.tags:
            said["Tagging"] = urlencode(place.tags, quote_via=quote)
        if self.until is not None:
            said |= {"ObjectLockMode": place.lock.upper(), "ObjectLockRetainUntilDate": self.until}
        return said


class Upload(Sink):
    """Small objects in one request; larger ones in parts, which threads send while the next is filled."""

    def __init__(self, client: Client, manner: Manner) -> None:
        self._client, self._manner = client, manner
        self._token = secrets.token_hex(8)
        self._id = ""
        self._size = self._sent = 0
        self._filling = _Filling(part_size(1, manner.place.most_parts))
        self._crew: _Crew | None = None
        self._hashed = bool(manner.place.lock)  # with object lock S3 demands Content-MD5 beside the signed SHA-256

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._filling.take(rest) :]
            if self._filling.full:
                self._ship()
        self._size += len(data)

    def commit(self) -> None:
        manner = self._manner
        if not manner.replace:
            self._refuse_taken()
        if not self._id:
            self._put()
        else:
            self._complete()
        self._check()

    def abort(self) -> None:
        crew, self._crew = self._crew, None
        if crew:
            crew.stop()
        self._filling.close()
        if self._id:
            # Dangling parts cost money; but nobody who pressed Ctrl-C is to wait for a dead network.
            thread = threading.Thread(target=self._abort_upload, args=(self._id,), daemon=True)
            self._id = ""
            thread.start()
            thread.join(_ABORT_SECONDS)

    def _abort_upload(self, upload: str) -> None:
        with contextlib.suppress(PgproofError, RuntimeError), self._translated():
            self._client.abort_multipart_upload(**self._place(), UploadId=upload)

    def _translated(self) -> "contextlib.AbstractContextManager[None]":
        return translated(self._manner.name, self._manner.place)

    def _place(self) -> dict[str, str]:
        place = self._manner.place
        return {"Bucket": place.bucket, "Key": place.key(self._manner.name)}

    def _refuse_taken(self) -> None:
        """Also asked, not only demanded with the request: there are providers that pass over If-None-Match."""
        if self._kept() is not None:
            name = self._manner.name
            raise AlreadyExists(f"{name} is in the store already", hint="nothing stored is overwritten")

    def _kept(self) -> int | None:
        """How many bytes the store has under our name, if any. Who may not read is told by a listing."""
        with contextlib.suppress(NotFound):
            try:
                with self._translated():
                    return int(self._client.head_object(**self._place())["ContentLength"])
            except Refused:
                return self._listed()
        return None

    def _listed(self) -> int | None:
        place = self._place()
        with self._translated():
            # What sorts first of all that begins with a name is the name itself.
            found = self._client.list_objects_v2(Bucket=place["Bucket"], Prefix=place["Key"], MaxKeys=1)
        return next((int(one["Size"]) for one in found.get("Contents", ()) if one["Key"] == place["Key"]), None)

    def _ship(self) -> None:
        """Hand the part that is full to whoever is free; wait while nobody is."""
        place = self._manner.place
        if not self._id:
            with self._translated():
                made = self._client.create_multipart_upload(**self._manner.words(self._token))
            self._id = made["UploadId"]
        number = self._sent + 1
        if number > place.most_parts:
            raise Unreachable(
                f"{self._manner.name} is larger than {place.most_parts} parts can hold",
                hint="raise most_parts if the provider allows more, or back up in smaller databases",
            )
        if self._crew is None or self._crew.workers != _workers(self._filling.size):
            self._new_crew(_workers(self._filling.size))
        assert self._crew is not None
        self._crew.send(number, self._filling.body())
        self._sent = number
        self._filling = _Filling(part_size(number + 1, place.most_parts))

    def _new_crew(self, workers: int) -> None:
        done = self._crew.finish() if self._crew else {}
        self._crew = _Crew(self._send_part, workers, done)

    def _send_part(self, number: int, body: "bytes | IO[bytes]") -> str:
        words: dict[str, Any] = {**self._place(), "UploadId": self._id, "PartNumber": number}
        with self._translated():
            return str(self._sent_with(self._client.upload_part, body, **words)["ETag"])

    def _put(self) -> None:
        body = self._filling.body()
        with self._committing():
            self._exclusively(self._put_body, body=body, **self._manner.words(self._token))

    def _put_body(self, *, body: "bytes | IO[bytes]", **words: Any) -> None:
        self._sent_with(self._client.put_object, body, **words)

    def _sent_with(self, request: Any, body: "bytes | IO[bytes]", **words: Any) -> Any:
        """What the server answers to `body`. Whether a bucket locks all by itself is learnt from its refusal."""
        if not self._hashed:
            try:
                return request(Body=body, **words)
            except ClientError as error:
                if code(error) != "InvalidRequest" or "Content-MD5" not in str(error):
                    raise
                self._hashed = True
        return request(Body=body, ContentMD5=_md5(body), **words)

    def _complete(self) -> None:
        if self._filling.fill:
            self._ship()
        assert self._crew is not None
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in sorted(self._crew.finish().items())]
        whole = {"UploadId": self._id, "MultipartUpload": {"Parts": parts}}
        with self._committing():
            self._exclusively(self._client.complete_multipart_upload, **self._place(), **whole)
        self._id = ""

    def _exclusively(self, request: Any, **words: Any) -> None:
        """Make the object only if there is none of its name, by the provider's own rule where it has one."""
        if self._manner.replace:
            request(**words)
            return
        try:
            request(**words, IfNoneMatch="*")
        except ClientError as error:
            if not unsupported(error):
                raise
            request(**words)

    @contextlib.contextmanager
    def _committing(self) -> Iterator[None]:
        """A retry whose first try did succeed finds the object, or no upload: it is ours if it has our token."""
        with self._translated():
            try:
                yield
            except ClientError as error:
                if code(error) not in _MAYBE_DONE or not self._is_ours():
                    raise

    def _is_ours(self) -> bool:
        try:
            with self._translated():
                found = self._client.head_object(**self._place())
        except (NotFound, Refused):
            return False
        return {key.lower(): value for key, value in found.get("Metadata", {}).items()}.get(_TOKEN) == self._token

    def _check(self) -> None:
        """What is there now must have the bytes that were sent: a server may say yes to fewer."""
        kept = self._kept()
        if kept is None:
            hint = "the provider took it and does not have it: look there before the next run"
            raise Unreachable(f"{self._manner.name} is not in the store after it was written", hint=hint)
        if kept != self._size:
            with contextlib.suppress(PgproofError), self._translated():
                self._client.delete_object(**self._place())
            raise Unreachable(
                f"{self._manner.name}: {self._size} bytes were sent, the store kept {kept}",
                hint="something between here and there changes what passes: a proxy, or the provider",
            )


def _workers(size: int) -> int:
    return max(1, min(_MOST_WORKERS, _ON_THE_WAY // size))


def _md5(body: "bytes | IO[bytes]") -> str:
    """As the header Content-MD5 has it (RFC 1864); a file is read from its begin and left there."""
    if isinstance(body, bytes):
        found = hashlib.md5(body, usedforsecurity=False)
    else:
        found = hashlib.file_digest(body, lambda: hashlib.md5(usedforsecurity=False))  # type: ignore[arg-type]
        body.seek(0)
    return base64.b64encode(found.digest()).decode()


class _Filling:
    """The part that is being filled: in memory, a large one in an unnamed file."""

    def __init__(self, size: int) -> None:
        self.size, self.fill = size, 0
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None

    @property
    def full(self) -> bool:
        return self.fill == self.size

    def take(self, data: memoryview) -> int:
        """Take as much of `data` as there is room for; returns how much that was."""
        piece = data[: self.size - self.fill]
        if self.size <= _IN_MEMORY:
            self._pieces.append(bytes(piece))
        else:
            self._keep(piece)
        self.fill += len(piece)
        return len(piece)

    def _keep(self, piece: memoryview) -> None:
        try:
            # Unbuffered, so that a full disk shows here and not where the part is sent.
            self._file = self._file or tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by whoever sends it
            while piece:
                piece = piece[self._file.write(piece) :]
        except OSError as error:
            text = f"a part of {self.size >> 20} MiB cannot wait in {tempfile.gettempdir()}: {error.strerror}"
            raise Unreachable(text, hint="let TMPDIR name a folder with room for three such parts") from error

    def close(self) -> None:
        self._pieces.clear()
        if self._file is not None:
            self._file.close()

    def body(self) -> "bytes | IO[bytes]":
        """All of it, once: whoever sends it has it from then on."""
        if self._file is None:
            whole = b"".join(self._pieces)
            self._pieces.clear()  # it may wait long until somebody is free to send it
            return whole
        self._file.seek(0)
        return self._file


class _Crew:
    """Threads that send parts. They are daemons: a dead network must not keep the program from ending."""

    def __init__(self, send: Any, workers: int, done: dict[int, str]) -> None:
        self.workers = workers
        self._send, self._done = send, done
        self._failure: BaseException | None = None
        self._stopped = False
        self._waiting: queue.Queue[tuple[int, bytes | IO[bytes]] | None] = queue.Queue(1)
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def send(self, number: int, body: "bytes | IO[bytes]") -> None:
        """Raises what went wrong with an earlier part."""
        self._put((number, body))

    def finish(self) -> dict[int, str]:
        """Wait for all parts; their tags by number. Raises the first failure."""
        for _ in self._threads:
            self._put(None)
        for thread in self._threads:
            while thread.is_alive():
                thread.join(0.2)
        self._raise()
        return self._done

    def stop(self) -> None:
        """Begin no further part."""
        self._stopped = True
        with contextlib.suppress(queue.Empty):
            while True:
                if (item := self._waiting.get_nowait()) is not None:
                    _let_go(item[1])

    def _put(self, item: "tuple[int, bytes | IO[bytes]] | None") -> None:
        while True:
            self._raise()
            try:
                self._waiting.put(item, timeout=0.2)
            except queue.Full:
                continue
            return

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while not self._stopped and self._failure is None:
            try:
                item = self._waiting.get(timeout=0.2)
            except queue.Empty:
                continue
            if item is None:
                return
            number, body = item
            try:
                self._done[number] = self._send(number, body)
            except BaseException as error:  # noqa: BLE001 - raised where the parts are waited for
                self._failure = self._failure or error
            finally:
                _let_go(body)


def _let_go(body: "bytes | IO[bytes]") -> None:
    if not isinstance(body, bytes):
        body.close()
