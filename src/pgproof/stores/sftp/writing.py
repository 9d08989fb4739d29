"""A new object on its way to the server: pipelined, forced to disk, its size compared, then renamed into place."""

import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from pgproof.errors import AlreadyExists, PgproofError, Unreachable
from pgproof.stores.names import checked, temporary
from pgproof.stores.sftp import packets
from pgproof.stores.sftp.connection import Lost, wait
from pgproof.stores.sftp.packets import Answer, Failed
from pgproof.stores.sftp.session import Session
from pgproof.stream.sink import Sink

_UNDER_WAY = 4 << 20  # bytes sent and not yet acknowledged
_ATTEMPTS = 50
# A server may need long to bring much data to its disk and is silent meanwhile: so many times the timeout.
_PATIENCE = 20.0
# What a server says that offers an extension and is forbidden it, or does not have it after all.
_WITHOUT = (packets.OP_UNSUPPORTED, packets.PERMISSION_DENIED)


class SftpSink(Sink):
    def __init__(self, session: Session, name: str, *, replace: bool) -> None:
        self._session, self._name, self._replace = session, checked(name), replace
        self._temporary = "/".join([*name.split("/")[:-1], temporary()])
        self._buffer = bytearray()
        self._sent = 0
        self._answers: deque[tuple[int, Future[Answer]]] = deque()
        self._over = False
        session.find(name)  # a symbolic link in the way is refused
        self._connection = session.connection()
        try:
            with session.translated(name, writing=True):
                self._handle = self._begin()
                # The server's umask may have taken away what we need ourselves; where modes cannot be set, none can.
                self._connection.ask(packets.FSETSTAT, self._handle, packets.mode(0o600))
        except BaseException:
            self._clear_away()  # it may be there, and only the answer lost
            raise

    def _begin(self) -> bytes:
        for _ in range(_ATTEMPTS):
            try:
                return self._open()
            except Failed as failure:
                # Whoever deletes the last object of a folder just now takes the folder away with it.
                if failure.code != packets.NO_SUCH_FILE:
                    raise
                self._session.make_folders(self._name)
        return self._open()

    def _open(self) -> bytes:
        how = packets.number(packets.NEW) + packets.mode(0o600)
        answer = self._connection.call(packets.OPEN, self._session.path(self._temporary), how)
        return packets.text(answer.handle())

    def write(self, data: bytes) -> None:
        self._buffer += data
        most = self._connection.most_written
        if len(self._buffer) < most:
            return
        whole = len(self._buffer) // most * most
        with self._session.translated(self._name, writing=True):
            for at in range(0, whole, most):
                self._push(self._buffer[at : at + most])
        del self._buffer[:whole]

    def _push(self, piece: bytearray) -> None:
        where = packets.large(self._sent)
        asked = self._connection.ask(packets.WRITE, self._handle, where, packets.text(piece))
        self._sent += len(piece)
        self._answers.append((len(piece), asked))
        self._settle(_UNDER_WAY)

    def _settle(self, most: int) -> None:
        """Take in answers until at most `most` bytes are under way. One that is no raises."""
        under_way = sum(size for size, _ in self._answers)
        while self._answers and (under_way > most or self._answers[0][1].done()):
            size, asked = self._answers.popleft()
            wait(asked)
            under_way -= size

    def commit(self) -> None:
        with self._session.translated(self._name, writing=True):
            if self._buffer:
                self._push(self._buffer)
            self._finish()
            if self._replace:
                self._surely(self._put)
            else:
                self._surely(self._put_new)
        self._over = True

    def _finish(self) -> None:
        """All of it on the server's disk, as far as it can be told, and the file closed."""
        ask = self._connection.ask
        synced = None
        if packets.FSYNC in self._connection.extensions:
            synced = ask(packets.EXTENDED, packets.text(packets.FSYNC), self._handle, patience=_PATIENCE)
        status = ask(packets.FSTAT, self._handle, patience=_PATIENCE)
        closed = ask(packets.CLOSE, self._handle, patience=_PATIENCE)
        self._settle(0)
        try:
            if synced is not None:
                wait(synced)
        except Failed as failure:
            if failure.code not in _WITHOUT:
                raise
        size = wait(status).attributes().size
        wait(closed)
        if size != self._sent:
            raise Unreachable(
                f"the store has {size} bytes of {self._name}, and {self._sent} were sent",
                hint="look at the server's disk",
            )

    def _put_new(self) -> None:
        """A plain rename fails in OpenSSH when the name is taken (it is link and unlink). Others may overwrite:
        for them we look first, which leaves a moment between.
        """
        if self._session.look([self._name])[0] is not None:
            raise self._taken()
        try:
            self._rename(packets.RENAME)
        except Failed as failure:
            if failure.code != packets.NO_SUCH_FILE and self._session.look([self._name])[0] is not None:
                raise self._taken() from failure
            raise

    def _put(self) -> None:
        """Where no rename replaces, the old one is removed first, and for a moment there is neither."""
        if packets.POSIX_RENAME in self._connection.extensions:
            try:
                self._rename(packets.EXTENDED, packets.text(packets.POSIX_RENAME))
                return
            except Failed as failure:
                if failure.code not in _WITHOUT:
                    raise
        with contextlib.suppress(Failed):
            self._connection.call(packets.REMOVE, self._session.path(self._name))
        self._rename(packets.RENAME)

    def _rename(self, kind: int, *before: bytes) -> None:
        paths = (self._session.path(self._temporary), self._session.path(self._name))
        self._connection.call(kind, *before, *paths)

    def _surely(self, put: Callable[[], None]) -> None:
        """`put`, and when the connection is lost with the answer, find out whether it was done.

        Removing the temporary file tells: gone means renamed, and removed means that nobody can rename it any more.
        """
        try:
            put()
        except (Lost, Unreachable):
            if not self._connection.lost or self._session.remove(self._name, file=self._temporary):
                raise
            if self._session.look([self._name])[0] is None:
                raise

    def _taken(self) -> AlreadyExists:
        return AlreadyExists(f"{self._name} is in the store already", hint="nothing stored is overwritten")

    def abort(self) -> None:
        if self._over:
            return
        self._over = True
        self._buffer = bytearray()
        with contextlib.suppress(Lost):
            self._connection.ask(packets.CLOSE, self._handle)  # closed already: the server says no, and no harm
        self._clear_away()

    def _clear_away(self) -> None:
        """Remove the temporary file, by a new connection if need be. Never raises."""
        with contextlib.suppress(PgproofError, Lost, Failed):
            self._session.remove(self._name, file=self._temporary)
