"""Encryption of whole parts, both ways: OpenPGP by the user's own gpg, or age.

What is asked for and not possible raises before the first byte. A decryption's output is not to be
trusted by itself (gpg writes plain text before it reports a damaged tail): callers check the stored
bytes' hash first, and each block's hash after.
"""

import contextlib
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Protocol, cast

from pgproof.errors import ConfigError, Damaged, PgproofError, ProgramFailed
from pgproof.manifest import Encryption
from pgproof.secret import Secret
from pgproof.stream import process
from pgproof.stream.sink import Sink

SUFFIX: dict[str, str] = {"gpg": ".gpg", "age": ".age", "none": ""}
# The most that OpenPGP can say (RFC 9580, 3.7.1.3). Unless told, gpg asks its agent, and each new agent measures
# the machine for a second first; and a slow machine would then get a weaker key.
_S2K = ("--s2k-count", "65011712")
_GPG = ("--batch", "--no-tty", "--quiet", "--yes", "--pinentry-mode", "loopback")

# With a passphrase gpg needs no home, no keyring and no agent, and gets none: an agent outlives a pgproof that
# is killed, and a home would be left behind.
_ALONE = (
    *("--homedir", "/nonexistent", "--no-options", "--no-keyring", "--no-random-seed-file"),
    *("--trust-model", "always", "--no-autostart", "--no-symkey-cache"),
)


@dataclass(frozen=True, slots=True)
class Key:
    """How parts are encrypted and opened again. `recipients` are gpg user ids or age public keys;
    `identity` is the text of an age identity file, needed only to decrypt.
    """

    method: Encryption = "none"
    passphrase: Secret | None = None
    recipients: tuple[str, ...] = ()
    identity: Secret | None = None

    @property
    def suffix(self) -> str:
        return SUFFIX[self.method]


def check(key: Key) -> None:
    """Encrypt a few bytes and, where the key allows, decrypt them. Raises ConfigError with what is missing."""
    if key.method == "none":
        return
    gathered = _Gather()
    try:
        with encrypting(key, gathered) as sink:
            sink.write(b"pgproof")
        if can_decrypt(key):
            with decrypting(key, io.BytesIO(gathered.data), "the trial of the key") as stream:
                assert stream.read() == b"pgproof"
    except PgproofError as error:
        raise ConfigError(
            f"encryption with {key.method} is asked for and does not work: {error.message}",
            hint="nothing was backed up; mend [encryption] or install the program, then run `pgproof doctor`",
        ) from error


def can_decrypt(key: Key) -> bool:
    """Whether this machine holds what opens the parts; recipients of gpg may have their secret key here."""
    if key.method == "age":
        return key.identity is not None
    return key.method == "none" or key.passphrase is not None


def encrypting(key: Key, onward: Sink) -> Sink:
    """A sink that passes on what it is given, encrypted. Raises ConfigError."""
    if key.method == "none":
        return onward
    if key.method == "age":
        return _AgeSink(key, onward)
    return _GpgSink(key, onward)


@contextmanager
def decrypting(key: Key, stored: BinaryIO, what: str) -> Iterator[BinaryIO]:
    """The plain stream of a stored part. Raises Damaged with `what` when it does not open."""
    if key.method == "none":
        yield stored
        return
    opener = _age_reader if key.method == "age" else _gpg_reader
    with opener(key, stored, what) as stream:
        yield stream


# -- gpg ------------------------------------------------------------------------------------------


class _GpgSink(Sink):
    def __init__(self, key: Key, onward: Sink) -> None:
        self._onward = onward
        self._stack = contextlib.ExitStack()
        self._error: BaseException | None = None
        try:
            argv, fds, env = self._command(key)
            self._child = self._stack.enter_context(process.filtering(process.Program(argv, env=env, pass_fds=fds)))
        except BaseException:
            self._stack.close()
            raise
        self._pump = threading.Thread(target=self._carry, daemon=True)
        self._pump.start()

    def _command(self, key: Key) -> tuple[list[str], tuple[int, ...], dict[str, str]]:
        gpg = _program()
        if key.recipients:
            to = [word for name in key.recipients for word in ("--recipient", name)]
            home = os.environ.get("GNUPGHOME")
            # A key that is not here is never fetched from anywhere: with trust "always" it could be anybody's.
            options = ["--no-auto-key-locate", "--trust-model", "always", "--compress-algo", "none", "--encrypt"]
            return [gpg, *_GPG, *options, *to], (), {"GNUPGHOME": home} if home else {}
        fd = self._stack.enter_context(_passphrase_pipe(key))
        options = ["--cipher-algo", "AES256", "--compress-algo", "none", *_S2K]
        return [gpg, *_GPG, *_ALONE, *options, "--passphrase-fd", str(fd), "--symmetric"], (fd,), {}

    def _carry(self) -> None:
        try:
            for chunk in self._child.chunks():
                self._onward.write(chunk)
        except BaseException as error:  # noqa: BLE001 - carried to the thread that writes
            self._error = error
            self._child.stop()

    def write(self, data: bytes) -> None:
        if self._error:
            raise self._error
        try:
            self._child.write(data)
        except ProgramFailed:
            self._pump.join()
            raise self._error or ProgramFailed("gpg stopped before the end") from None

    def commit(self) -> None:
        self._child.end_input()
        self._pump.join()
        if self._error:
            raise self._error
        self._stack.close()
        self._onward.commit()

    def abort(self) -> None:
        self._child.stop()
        self._pump.join()
        self._stack.close()
        self._onward.abort()


@contextmanager
def _gpg_reader(key: Key, stored: BinaryIO, what: str) -> Iterator[BinaryIO]:
    with contextlib.ExitStack() as stack:
        fds: tuple[int, ...] = ()
        argv, env = [_program(), *_GPG], {}
        if key.passphrase is not None:
            fd = stack.enter_context(_passphrase_pipe(key))
            fds = (fd,)
            argv += [*_ALONE, "--passphrase-fd", str(fd)]
        elif home := os.environ.get("GNUPGHOME"):
            env["GNUPGHOME"] = home
        child = stack.enter_context(
            process.filtering(process.Program([*argv, "--no-symkey-cache", "--decrypt"], env=env, pass_fds=fds))
        )
        source = _Source(stored)
        feeder = threading.Thread(target=_feed, args=(child, source), daemon=True)
        feeder.start()
        try:
            yield cast(BinaryIO, io.BufferedReader(_ChildOutput(child, source, what), 1 << 18))
        finally:
            child.stop()
            feeder.join(5)


class _ChildOutput(io.RawIOBase):
    """A child's output as a raw stream, whose end is its exit status' to give."""

    def __init__(self, child: process.Child, source: "_Source", what: str) -> None:
        self._child, self._source, self._what = child, source, what

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        try:
            with _translated(self._what):
                data = self._child.read(len(view))
        except Damaged:
            self._source.raise_failure()
            raise
        if not data:
            self._source.raise_failure()
        view[: len(data)] = data
        return len(data)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except ProgramFailed as error:
        wrong_key = "decryption failed" in error.message.lower() or "bad session key" in error.message.lower()
        if wrong_key:
            raise Damaged(
                f"{what} does not open with this passphrase or key",
                hint="check [encryption]; `pgproof verify` tells whether the stored bytes are whole",
            ) from error
        raise Damaged(f"{what} does not decrypt: {error.message}", hint="run `pgproof verify`") from error


class _Source:
    """Stored bytes read in another thread: that the store failed is remembered, so as not to be taken for damage."""

    def __init__(self, stored: BinaryIO) -> None:
        self._stored = stored
        self._failure: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stored.read(size)
        except BaseException as error:
            self._failure = error
            raise

    def raise_failure(self) -> None:
        if self._failure:
            raise self._failure


def _feed(child: process.Child, source: _Source) -> None:
    try:
        while data := source.read(1 << 18):
            child.write(data)
    except BaseException:  # noqa: BLE001, S110 - the source keeps its failure, the child tells its own
        pass
    finally:
        child.end_input()


def _program() -> str:
    found = process.find("gpg")
    if not found:
        raise ConfigError("gpg is not on this machine", hint="install it: apt-get install gnupg")
    return found


@contextmanager
def _passphrase_pipe(key: Key) -> Iterator[int]:
    """A readable file descriptor that holds the passphrase; never argv, never the environment."""
    if key.passphrase is None or not key.passphrase.reveal():
        raise ConfigError("no passphrase is configured", hint="set encryption.passphrase or encryption.recipients")
    phrase = key.passphrase.reveal_bytes()
    if b"\n" in phrase or b"\0" in phrase or len(phrase) > 4096:
        raise ConfigError(
            "the passphrase has a newline or a NUL inside, or is longer than 4096 bytes", hint="gpg takes one line"
        )
    reader, writer = os.pipe()
    try:
        os.write(writer, phrase + b"\n")
        os.close(writer)
        yield reader
    finally:
        os.close(reader)


# -- age ------------------------------------------------------------------------------------------


class _Age(Protocol):
    """The two functions of pyrage that stream."""

    def encrypt_io(self, reader: BinaryIO, writer: object, recipients: list[object]) -> None: ...
    def decrypt_io(self, reader: BinaryIO, writer: object, identities: list[object]) -> None: ...


class _AgeSink(Sink):
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
def _age_reader(key: Key, stored: BinaryIO, what: str) -> Iterator[BinaryIO]:
    if key.identity is None:
        raise ConfigError(f"{what} is encrypted with age and no identity is configured", hint="set encryption.identity")
    age = _age()
    identities = [_age_identity(line) for line in key.identity.reveal().splitlines() if line.startswith("AGE-")]
    if not identities:
        raise ConfigError("encryption.identity holds no age identity", hint="give the file that age-keygen wrote")
    source = _Source(stored)
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
        self, stream: BinaryIO, thread: threading.Thread, failure: list[BaseException], source: _Source, what: str
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


class _Gather(Sink):
    """Keeps what it is given, for the trial of a key."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def commit(self) -> None:
        """Nothing to make last."""

    def abort(self) -> None:
        self.data = b""
