"""Encryption of whole parts, both ways: OpenPGP by the user's own gpg, or age.

What is asked for and not possible raises before the first byte. A decryption's output is not to be
trusted by itself (gpg writes plain text before it reports a damaged tail): callers check the stored
bytes' hash first, or each block's hash after.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from pgproof.errors import ConfigError, PgproofError
from pgproof.stream.encrypt.age import AgeSink, age_reader
from pgproof.stream.encrypt.gpg import GpgSink, fingerprints, gpg_reader, has_secret_key
from pgproof.stream.encrypt.key import SUFFIX, Key
from pgproof.stream.sink import Sink

__all__ = ["SUFFIX", "Key", "can_decrypt", "check", "decrypting", "encrypting", "fingerprints"]


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
    """Whether this machine holds what opens the parts: with recipients it often does not, and should not."""
    if key.method == "age":
        return key.identity is not None
    return key.method == "none" or key.passphrase is not None or has_secret_key(key)


def encrypting(key: Key, onward: Sink) -> Sink:
    """A sink that passes on what it is given, encrypted. Raises ConfigError."""
    if key.method == "none":
        return onward
    if key.method == "age":
        return AgeSink(key, onward)
    return GpgSink(key, onward)


@contextmanager
def decrypting(key: Key, stored: BinaryIO, what: str) -> Iterator[BinaryIO]:
    """The plain stream of a stored part. Raises Damaged with `what` when it does not open."""
    if key.method == "none":
        yield stored
        return
    opener = age_reader if key.method == "age" else gpg_reader
    with opener(key, stored, what) as stream:
        yield stream


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
