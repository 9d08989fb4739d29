"""A stored object on its way back: read ahead within bounds, and taken up again after a drop."""

import contextlib
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Self

from pgproof.errors import PgproofError, Unreachable
from pgproof.stores.sftp import packets
from pgproof.stores.sftp.connection import Connection, Lost, wait
from pgproof.stores.sftp.packets import Answer, Attributes, Failed
from pgproof.stores.sftp.session import Session

_FIRST, _MOST = 1 << 19, 16 << 20  # bytes asked for ahead: at the beginning, and at most
_PAUSES = (0.0, 1.0, 3.0)  # seconds before each attempt to take it up again


@dataclass(slots=True)
class _Asked:
    at: int
    size: int
    answer: "Future[Answer]"


class Reader:
    """The bytes from `start`, `length` of them or all; read(n) gives n unless the end is near."""

    def __init__(self, session: Session, name: str, start: int, length: int | None) -> None:
        """Raises NotFound, Refused, Unreachable."""
        self._session, self._name = session, name
        session.file(name)
        with session.translated(name):
            self._connection = session.connection()
            self._handle, self._status = self._open(self._connection)
        size = self._status.size
        self._next = self._at = start  # what is asked for next, and what is given out next
        self._end = size if length is None else min(size, start + length)
        self._ahead = _FIRST
        self._asked: deque[_Asked] = deque()
        self._pieces: deque[memoryview] = deque()
        self._pauses = iter(_PAUSES)
        self._closed = False

    def _open(self, connection: Connection) -> tuple[bytes, Attributes]:
        opening = packets.number(packets.FOR_READING) + packets.number(0)
        handle = packets.text(connection.call(packets.OPEN, self._session.path(self._name), opening).handle())
        return handle, connection.call(packets.FSTAT, handle).attributes()

    def read(self, size: int | None = -1) -> bytes:
        wanted = self._end - self._at if size is None or size < 0 else min(size, self._end - self._at)
        gathered: list[memoryview] = []
        while wanted > 0:
            piece = self._piece()
            if not piece:
                break
            if len(piece) > wanted:
                self._pieces.appendleft(piece[wanted:])
                piece = piece[:wanted]
            gathered.append(piece)
            wanted -= len(piece)
            self._at += len(piece)
        return b"".join(gathered)

    def _piece(self) -> memoryview:
        """What comes next, of whatever length; empty at the end."""
        if self._pieces:
            return self._pieces.popleft()
        with self._session.translated(self._name):
            while True:
                try:
                    return self._arrived()
                except Lost as lost:
                    self._take_up(lost)

    def _arrived(self) -> memoryview:
        self._ask_ahead()
        if not self._asked:
            return memoryview(b"")
        first = self._asked[0]
        try:
            data = memoryview(wait(first.answer).data())
        except Failed as failure:
            if failure.code != packets.EOF:
                raise
            self._end = first.at  # somebody cut it off behind us
            return memoryview(b"")
        self._asked.popleft()
        if len(data) < first.size:
            at, rest = first.at + len(data), first.size - len(data)
            self._asked.appendleft(_Asked(at, rest, self._ask(at, rest)))
        self._ahead = min(_MOST, 2 * self._ahead)
        return data

    def _ask_ahead(self) -> None:
        """As much as is wanted, more and more of it: whoever reads a few bytes moves few."""
        under_way = sum(one.size for one in self._asked)
        while self._next < self._end and under_way < self._ahead:
            size = min(self._connection.most_read, self._end - self._next)
            self._asked.append(_Asked(self._next, size, self._ask(self._next, size)))
            self._next += size
            under_way += size

    def _ask(self, at: int, size: int) -> "Future[Answer]":
        return self._connection.ask(packets.READ, self._handle, packets.large(at), packets.number(size))

    def _take_up(self, lost: Lost) -> None:
        """Connect again and go on where we were, if the object is still the same. Raises Unreachable, or Lost
        when it has been tried often enough.
        """
        for pause in self._pauses:
            time.sleep(pause)
            try:
                connection = self._session.connection()
                handle, status = self._open(connection)
            except (Lost, Unreachable):
                continue
            except Failed as failure:
                raise self._changed() from failure
            if (status.size, status.modified) != (self._status.size, self._status.modified):
                raise self._changed()
            self._connection, self._handle = connection, handle
            self._asked.clear()
            self._next, self._ahead = self._at, _FIRST
            return
        raise lost

    def _changed(self) -> Unreachable:
        return Unreachable(
            f"the connection was lost while {self._name} was read, and it is not the same any more",
            hint="try again",
        )

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._end = self._at
        self._asked.clear()
        self._pieces.clear()
        with contextlib.suppress(Lost, PgproofError):
            self._connection.ask(packets.CLOSE, self._handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
