"""The key: how parts are encrypted and opened again; and stored bytes on their way to whoever opens them."""

from dataclasses import dataclass
from typing import BinaryIO

from pgproof.manifest import Encryption
from pgproof.secret import Secret

SUFFIX: dict[str, str] = {"gpg": ".gpg", "age": ".age", "none": ""}


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


class StoredBytes:
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
