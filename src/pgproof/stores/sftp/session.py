"""What every part of the store asks of its server: a connection, where a name lies, what is there, folders."""

import contextlib
import stat as modes
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from pgproof.errors import NotFound, PgproofError, Refused, Unreachable
from pgproof.stores.names import checked, is_name
from pgproof.stores.sftp import packets
from pgproof.stores.sftp.connection import Connection, Lost, wait
from pgproof.stores.sftp.login import log_in
from pgproof.stores.sftp.packets import Answer, Attributes, Failed
from pgproof.stores.sftp.place import Place

_AT_ONCE = 16  # folders that are listed at a time
_ATTEMPTS = 10
_ROOM = 1 << 20  # bytes; with less of it a write that failed failed for want of room


class Session:
    """Connected when first needed, and again after a drop; one connection serves all threads."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.root = place.path.rstrip("/") or ("/" if place.path else ".")
        self._connection: Connection | None = None
        self._connecting = threading.Lock()

    def connection(self) -> Connection:
        """Raises ConfigError, Refused and Unreachable."""
        with self._connecting:
            if self._connection is None or self._connection.lost:
                self._connection = None
                channel = log_in(self.place)
                with self.translated(self.root):
                    self._connection = Connection(channel, self.place.timeout)
            return self._connection

    def close(self) -> None:
        with self._connecting:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    # -- names and paths ------------------------------------------------------------------------------

    def path(self, name: str) -> bytes:
        """Where `name` lies, as a request has it; "" is the root."""
        return packets.text(f"{self.root}/{name}".encode() if name else self.root.encode())

    def find(self, name: str) -> Attributes | None:
        """What lies at `name`. Raises Refused when a symbolic link is in the way of it."""
        *folders, found = self.look([*_above(checked(name)), name])
        for folder, there in zip(_above(name), folders, strict=True):
            if there is not None and modes.S_ISLNK(there.mode):
                raise Refused(
                    f"{folder} is a symbolic link in the store {self.place}", hint="a store holds ordinary files only"
                )
        return found

    def file(self, name: str) -> Attributes:
        """As find, for what must be an ordinary file. Raises NotFound too."""
        found = self.find(name)
        if found is not None and modes.S_ISLNK(found.mode):
            raise Refused(f"{name} is a symbolic link in the store", hint="a store holds ordinary files only")
        if found is None or not modes.S_ISREG(found.mode):
            raise NotFound(f"{name} is not in the store", hint="see `pgproof list`")
        return found

    def look(self, names: Sequence[str]) -> list[Attributes | None]:
        """What lies at each of `names`, links not followed; all are asked for before the first is waited for."""
        with self.translated(names[-1]):
            connection = self.connection()
            asked = [connection.ask(packets.LSTAT, self.path(name)) for name in names]
            return [_there(one) for one in asked]

    # -- folders --------------------------------------------------------------------------------------

    def make_folders(self, name: str) -> None:
        """Make the folders above `name`, and the root, 0700, as far as they are missing."""
        above = name.rpartition("/")[0]
        with self.translated(name, writing=True):
            self._make(self.connection(), f"{self.root}/{above}" if above else self.root)

    def _make(self, connection: Connection, folder: str) -> None:
        for left in range(_ATTEMPTS, -1, -1):
            try:
                self._make_one(connection, folder)
                return
            except Failed as failure:
                above = folder.rpartition("/")[0]
                if failure.code == packets.NO_SUCH_FILE and above:
                    self._make(connection, above)
                elif failure.code != packets.FAILURE or not left:
                    raise
                # Else it was there, and went away before we looked: whoever deletes its last object takes it away.

    def _make_one(self, connection: Connection, folder: str) -> None:
        path = packets.text(folder.encode())
        try:
            connection.call(packets.MKDIR, path, packets.mode(0o700))
        except Failed:
            there = _there(connection.ask(packets.STAT, path))
            if there is None:
                raise
            if not modes.S_ISDIR(there.mode):
                raise NotFound(f"{folder} is a file in the store {self.place}", hint="no folder can be there") from None
        else:
            # The server's umask may have taken away what we need ourselves; where modes cannot be set, none can.
            with contextlib.suppress(Failed):
                connection.call(packets.SETSTAT, path, packets.mode(0o700))

    def remove(self, name: str, *, file: str | None = None) -> bool:
        """Remove `name` (or `file` beside it) and the folders above that are empty then. False: it was not there."""
        connection = self.connection()
        gone = connection.ask(packets.REMOVE, self.path(file or name))
        empty = [connection.ask(packets.RMDIR, self.path(folder)) for folder in reversed(_above(name))]
        try:
            wait(gone)
        except Failed as failure:
            if failure.code != packets.NO_SUCH_FILE:
                raise
            return False
        finally:
            for one in empty:  # that one is not empty is no fault
                with contextlib.suppress(Failed):
                    wait(one)
        return True

    # -- listing --------------------------------------------------------------------------------------

    def walk(self, folder: str) -> Iterator[tuple[str, Attributes]]:
        """Every ordinary file with a good name below `folder`, unfinished ones too; links are not followed.

        Raises Unreachable when there is no root.
        """
        with self.translated(folder or self.root):
            if not self._has_root():
                raise Unreachable(
                    f"the store {self.place} is not there", hint="check its path; `pgproof init` makes a new one"
                )
            if any(there is None or not modes.S_ISDIR(there.mode) for there in self._folders(folder)):
                return
            waiting = [folder]
            while waiting:
                batch, waiting = waiting[:_AT_ONCE], waiting[_AT_ONCE:]
                for name, there in self._inside(batch):
                    if modes.S_ISDIR(there.mode):
                        waiting.append(name)
                    elif modes.S_ISREG(there.mode):
                        yield name, there
                    elif not modes.S_IFMT(there.mode):
                        raise Unreachable(
                            f"the server of {self.place} does not say which of its entries are files: {name}",
                            hint="such a server cannot hold a store",
                        )

    def _has_root(self) -> bool:
        there = _there(self.connection().ask(packets.STAT, self.path("")))
        return there is not None and modes.S_ISDIR(there.mode)

    def _folders(self, folder: str) -> list[Attributes | None]:
        return self.look([*_above(folder), folder]) if folder else []

    def _inside(self, folders: Sequence[str]) -> Iterator[tuple[str, Attributes]]:
        connection = self.connection()
        asked = [(folder, connection.ask(packets.OPENDIR, self.path(folder))) for folder in folders]
        reading = {folder: handle for folder, one in asked if (handle := _opened(one)) is not None}
        while reading:
            # Two at a time: most folders are one answer and the end.
            rounds = [(folder, connection.ask(packets.READDIR, reading[folder])) for folder in list(reading) * 2]
            for folder, one in rounds:
                names = _names(one)
                if names is None and folder in reading:
                    connection.ask(packets.CLOSE, reading.pop(folder))
                for leaf, there in names or ():
                    name = f"{folder}/{leaf}" if folder else leaf
                    if is_name(name):
                        yield name, there

    # -- errors ---------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def translated(self, name: str, *, writing: bool = False) -> Iterator[None]:
        """Lost and Failed as errors of ours. With `writing` the server is asked whether the store is full."""
        try:
            yield
        except Lost as lost:
            raise Unreachable(
                f"the connection to the store {self.place} is lost: {lost}", hint="try again; is the server up?"
            ) from lost
        except Failed as failure:
            if failure.code == packets.NO_SUCH_FILE:
                raise NotFound(f"{name} is not in the store", hint="see `pgproof list`") from failure
            said = f"{name}: {failure.text}"
            if writing and self._is_full():
                raise Unreachable(
                    f"the store is full: {said}", hint="make room; `pgproof prune` shows what may go"
                ) from failure
            hint = "look at the server's disk and quota" if writing else "look at the server's disk and permissions"
            raise Unreachable(f"the store {self.place} does not do its work: {said}", hint=hint) from failure

    def _is_full(self) -> bool:
        """By statvfs@openssh.com: to a server that has no room every write fails with the same words."""
        try:
            connection = self.connection()
            if packets.STATVFS not in connection.extensions:
                return False
            answer = connection.call(packets.EXTENDED, packets.text(packets.STATVFS), self.path(""))
            _, size, _, _, available, files, _, free_files, *_ = answer.numbers()
        except (Lost, Failed, PgproofError, ValueError):
            return False
        return available * size < _ROOM or (files > 0 and free_files == 0)


def _above(name: str) -> list[str]:
    """The folders in which `name` lies, the outermost first."""
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _there(asked: "Future[Answer]") -> Attributes | None:
    try:
        return wait(asked).attributes()
    except Failed as failure:
        if failure.code != packets.NO_SUCH_FILE:
            raise
        return None


def _opened(asked: "Future[Answer]") -> bytes | None:
    """The handle of a folder, as a request has it; None when it went away meanwhile."""
    try:
        return packets.text(wait(asked).handle())
    except Failed as failure:
        if failure.code != packets.NO_SUCH_FILE:
            raise
        return None


def _names(asked: "Future[Answer]") -> list[tuple[str, Attributes]] | None:
    """None at the end of the folder, which a second request beyond it may be told as a handle that is not known."""
    try:
        return wait(asked).names()
    except Failed as failure:
        if failure.code != packets.EOF:
            raise
        return None
