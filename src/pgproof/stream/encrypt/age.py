"""age by way of pyrage (an optional extra): recipients to encrypt, an identity to open."""

import contextlib
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol, cast

from pgproof.errors import ConfigError, Damaged
from pgproof.stream.encrypt.key import Key, StoredBytes
from pgproof.stream.sink import Sink


class _Age(Protocol):
    """The two functions of pyrage that stream."""

    def encrypt_io(self, reader: BinaryIO, writer: object, recipients: list[object]) -> None: ...
    def decrypt_io(self, reader: BinaryIO, writer: object, identities: list[object]) -> None: ...


class AgeSink(Sink):
    def __init__(self, key: Key, onward: Sink) -> None:
        age = _age()
        recipients = _age_recipients(key)
        self._onward = onward
        writer = _Writer(onward.write)
        self._flow = _Flow(lambda reader: age.encrypt_io(reader, writer, recipients), lambda: writer.failure)

    def write(self, data: bytes) -> None:
        self._flow.write(data)

    def commit(self) -> None:
        self._flow.finish()
        self._onward.commit()

    def abort(self) -> None:
        with contextlib.suppress(BaseException):
            self._flow.finish()
        self._onward.abort()


class _Flow:
    """A thread that runs `body` on the reading end of a pipe, while the caller writes into the other."""

    def __init__(self, body: Callable[[BinaryIO], None], cause: Callable[[], BaseException | None]) -> None:
        self._cause = cause  # the failure behind the body's own, which may have been wrapped on its way
        reader, writer = os.pipe()
        self._writer = os.fdopen(writer, "wb", buffering=0)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(body, os.fdopen(reader, "rb")), daemon=True)
        self._thread.start()

    def _run(self, body: Callable[[BinaryIO], None], reader: BinaryIO) -> None:
        with reader:
            try:
                body(reader)
            except BaseException as error:  # noqa: BLE001 - carried to the thread that writes
                self._error = self._cause() or error

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._writer.write(rest) or 0 :]
        except OSError:
            self.finish()
            raise

    def finish(self) -> None:
        self._writer.close()
        self._thread.join()
        if self._error:
            raise self._error


class _Writer:
    """What pyrage writes into: a function, dressed as a file."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self.failure: BaseException | None = None

    def write(self, data: bytes) -> int:
        try:
            self._write(bytes(data))
        except BaseException as error:
            self.failure = error
            raise
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


@contextmanager
def age_reader(key: Key, stored: BinaryIO, what: str) -> Iterator[BinaryIO]:
    if key.identity is None:
        raise ConfigError(f"{what} is encrypted with age and no identity is configured", hint="set encryption.identity")
    age = _age()
    identities = [_age_identity(line) for line in key.identity.reveal().splitlines() if line.startswith("AGE-")]
    if not identities:
        raise ConfigError("encryption.identity holds no age identity", hint="give the file that age-keygen wrote")
    source = StoredBytes(stored)
    reader, writer = os.pipe()
    failure: list[BaseException] = []

    def decrypt() -> None:
        try:
            with os.fdopen(writer, "wb") as out:
                age.decrypt_io(cast(BinaryIO, source), out, identities)
        except BaseException as error:  # noqa: BLE001 - carried to the reader, below
            failure.append(error)

    thread = threading.Thread(target=decrypt, daemon=True)
    thread.start()
    try:
        with os.fdopen(reader, "rb") as stream:
            yield cast(BinaryIO, _Checked(stream, thread, failure, source, what))
    finally:
        thread.join()


class _Checked(io.RawIOBase):
    """A stream whose end is believed only once the thread that fills it has ended well."""

    def __init__(
        self, stream: BinaryIO, thread: threading.Thread, failure: list[BaseException], source: StoredBytes, what: str
    ) -> None:
        self._stream, self._thread, self._failure = stream, thread, failure
        self._source, self._what = source, what

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        data = self._stream.read(-1 if size is None else size)
        if not data or size in (-1, None):
            self._thread.join()
            self._source.raise_failure()
            if self._failure:
                raise Damaged(
                    f"{self._what} does not decrypt: {self._failure[0]}",
                    hint="check encryption.identity; `pgproof verify` tells whether the stored bytes are whole",
                )
        return data


def _age() -> _Age:
    try:
        import pyrage  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise ConfigError("age needs the extra `age`", hint="install it: pip install 'pgproof[age]'") from None
    return cast(_Age, pyrage)


def _age_recipients(key: Key) -> list[object]:
    import pyrage  # noqa: PLC0415

    if not key.recipients:
        raise ConfigError("age needs encryption.recipients", hint="make a key pair with age-keygen")
    try:
        return [
            pyrage.ssh.Recipient.from_str(name) if name.startswith("ssh-") else pyrage.x25519.Recipient.from_str(name)
            for name in key.recipients
        ]
    except pyrage.RecipientError as error:
        raise ConfigError(f"encryption.recipients: {error}", hint="an age recipient begins with age1") from error


def _age_identity(line: str) -> object:
    import pyrage  # noqa: PLC0415

    try:
        return pyrage.x25519.Identity.from_str(line.strip())
    except pyrage.IdentityError as error:
        raise ConfigError(f"encryption.identity: {error}", hint="give the file that age-keygen wrote") from error
