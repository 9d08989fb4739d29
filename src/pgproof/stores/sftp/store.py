"""The SFTP store: names, files and folders as in a directory's store, on an SSH server."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import BinaryIO, cast

from pgproof.stores.names import TEMPORARY, is_left, is_name, is_object
from pgproof.stores.sftp.packets import Attributes
from pgproof.stores.sftp.place import Place
from pgproof.stores.sftp.reading import Reader
from pgproof.stores.sftp.session import Session
from pgproof.stores.sftp.writing import SftpSink
from pgproof.stores.store import Entry, Store
from pgproof.stream.sink import Sink


class SftpStore(Store):
    """Objects are files below the place's path; folders 0700, files 0600, as far as the server lets us say so.

    It connects when first asked something. Every method raises ConfigError when the private key cannot be used, Refused
    when the server's key is not the right one or a symbolic link is in the way, Unreachable when the server does not
    answer or do. Times are the server's, in whole seconds.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._session = Session(place)

    def create(self, name: str, *, replace: bool = False) -> Sink:
        return SftpSink(self._session, name, replace=replace)

    def open(self, name: str, start: int = 0, length: int | None = None) -> BinaryIO:
        return cast(BinaryIO, Reader(self._session, name, start, length))

    def stat(self, name: str) -> Entry:
        return _entry(name, self._session.file(name))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        folder = prefix.rpartition("/")[0]
        if folder and not is_name(folder):
            return  # no object's name begins so
        for name, there in sorted(self._session.walk(folder), key=lambda one: one[0]):
            if name.startswith(prefix) and is_object(_leaf(name)):
                yield _entry(name, there)

    def delete(self, name: str, *, for_good: bool = False) -> None:
        del for_good  # there are no older versions
        self._session.find(name)
        with self._session.translated(name):
            self._session.remove(name)

    def sweep(self, before: datetime) -> Sequence[str]:
        swept = []
        for name, there in list(self._session.walk("")):
            if _leaf(name).startswith(TEMPORARY) and is_left(_leaf(name), there.modified, before):
                with self._session.translated(name):
                    self._session.remove(name)
                swept.append(name)
        return sorted(swept)

    def close(self) -> None:
        """Close the connection. Whatever is asked afterwards makes a new one."""
        self._session.close()


def _leaf(name: str) -> str:
    return name.rpartition("/")[2]


def _entry(name: str, there: Attributes) -> Entry:
    return Entry(name, there.size, datetime.fromtimestamp(there.modified, UTC))
