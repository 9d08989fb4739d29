"""OpenPGP by the user's own gpg: symmetric AES-256 or recipients; the passphrase by a file descriptor."""

import contextlib
import io
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, cast

from pgproof.errors import ConfigError, Damaged, ProgramFailed
from pgproof.stream import process
from pgproof.stream.encrypt.key import Key, StoredBytes
from pgproof.stream.sink import Sink

# The most that OpenPGP can say (RFC 9580, 3.7.1.3). Unless told, gpg asks its agent, and each new agent measures
# the machine for a second first; and a slow machine would then get a weaker key.
_S2K = ("--s2k-count", "65011712", "--s2k-digest-algo", "SHA512")
_GPG = ("--batch", "--no-tty", "--quiet", "--yes", "--pinentry-mode", "loopback")

# With a passphrase gpg needs no home, no keyring and no agent, and gets none: an agent outlives a pgproof that
# is killed, and a home would be left behind.
_ALONE = (
    *("--homedir", "/nonexistent", "--no-options", "--no-keyring", "--no-random-seed-file"),
    *("--trust-model", "always", "--no-autostart", "--no-symkey-cache"),
)


def has_secret_key(key: Key) -> bool:
    """Whether the secret half of a recipient is in the user's keyring here. Raises ConfigError."""
    home = os.environ.get("GNUPGHOME")
    argv = [_program(), *_GPG, "--list-secret-keys", *key.recipients]
    try:
        process.run(process.Program(argv, env={"GNUPGHOME": home} if home else {}, deadline=60))
    except ProgramFailed:
        return False
    return True


def fingerprints(recipients: Sequence[str]) -> dict[str, str]:
    """Of the public keys that are in the user's keyring here: 40 hexadecimal digits (GnuPG doc/DETAILS, "fpr")."""
    home, found = os.environ.get("GNUPGHOME"), dict[str, str]()
    for one in recipients:
        argv = [_program(), *_GPG, "--with-colons", "--list-keys", one]
        with contextlib.suppress(ProgramFailed):
            told = process.run(process.Program(argv, env={"GNUPGHOME": home} if home else {}, deadline=60)).decode()
            keys = [line.split(":")[9] for line in told.splitlines() if line.startswith("fpr:")]
            found |= {one: keys[0]} if keys else {}
    return found


class GpgSink(Sink):
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
def gpg_reader(key: Key, stored: BinaryIO, what: str) -> Iterator[BinaryIO]:
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
        source = StoredBytes(stored)
        feeder = threading.Thread(target=_feed, args=(child, source), daemon=True)
        feeder.start()
        try:
            yield cast(BinaryIO, io.BufferedReader(_ChildOutput(child, source, what), 1 << 18))
        finally:
            child.stop()
            feeder.join(5)


class _ChildOutput(io.RawIOBase):
    """A child's output as a raw stream, whose end is its exit status' to give."""

    def __init__(self, child: process.Child, source: "StoredBytes", what: str) -> None:
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


def _feed(child: process.Child, source: StoredBytes) -> None:
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
