"""One SFTP connection for all threads: requests are sent at once, each answer finds its own; silence ends it."""

import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

from pgproof.stores.sftp.login import shut
from pgproof.stores.sftp.packets import EXTENDED, INIT, LIMITS, VERSION, Answer, Failed, extensions, number, text

if TYPE_CHECKING:
    from paramiko import Channel

_VERSION = 3
_PIECE = 32 << 10  # what every server takes in one request (draft-ietf-secsh-filexfer-02, section 3)
_MOST = 255 << 10  # and what is asked of one that allows more
_LONGEST = 1 << 20  # no answer to such requests is longer
_RECEIVE = 1 << 20


class Lost(Exception):
    """The connection is gone, or counts as gone: why."""


class Connection:
    """`ask` sends and returns at once, `wait` gives the answer. Both may be used by any thread.

    A thread of its own takes in what arrives, so that nobody's slowness holds up another's answers; how much
    that can be is bounded by what was asked for.
    """

    def __init__(self, channel: "Channel", timeout: float) -> None:
        """Raises Lost. `timeout` in seconds: so long nothing may move while an answer is due."""
        self._channel, self._timeout = channel, timeout
        self._channel.settimeout(min(1.0, timeout / 4))  # how often the clock is looked at
        self._sending, self._book = threading.Lock(), threading.Lock()
        self._due: dict[int, tuple[Future[Answer], float]] = {}
        self._count = 0
        self._lost: str | None = None
        self._moved = time.monotonic()
        self._version: Future[Answer] = Future()
        self._due[-1] = (self._version, timeout)
        self._thread = threading.Thread(target=self._take_in, name="pgproof-sftp", daemon=True)
        self._thread.start()
        try:
            self._send(number(5) + bytes([INIT]) + number(_VERSION))
            self.extensions = extensions(self._version.result().body)
            self.most_read, self.most_written = self._limits()
        except BaseException as error:
            self._lose(_words(error))
            raise

    @property
    def lost(self) -> bool:
        return self._lost is not None

    def ask(self, kind: int, *fields: bytes, patience: float = 1.0) -> "Future[Answer]":
        """Send a request. `patience` times the timeout is how long its answer may keep us waiting. Raises Lost."""
        answer: Future[Answer] = Future()
        with self._book:
            if self._lost is not None:
                raise Lost(self._lost)
            if not self._due:
                self._moved = time.monotonic()
            self._count += 1
            mine = self._count & 0xFFFFFFFF
            self._due[mine] = (answer, self._timeout * patience)
        body = b"".join((bytes([kind]), number(mine), *fields))
        self._send(number(len(body)) + body)
        return answer

    def call(self, kind: int, *fields: bytes, patience: float = 1.0) -> Answer:
        """Ask and wait. Raises Lost and Failed."""
        return wait(self.ask(kind, *fields, patience=patience))

    def close(self) -> None:
        self._lose("it was closed")
        if self._thread is not threading.current_thread():
            self._thread.join(5)

    def _limits(self) -> tuple[int, int]:
        if LIMITS not in self.extensions:
            return _PIECE, _PIECE
        try:
            _, read, written, *_ = self.call(EXTENDED, text(LIMITS)).numbers()
        except (Failed, ValueError):
            return _PIECE, _PIECE
        return min(_MOST, read or _MOST), min(_MOST, written or _MOST)

    def _send(self, packet: bytes) -> None:
        rest = memoryview(packet)
        try:
            with self._sending:
                while rest:
                    rest = rest[self._send_some(rest) :]
        except BaseException as error:
            # Half a packet may be out: nothing can follow it.
            self._lose(_words(error))
            if isinstance(error, Exception):
                raise Lost(self._lost or _words(error)) from error
            raise

    def _send_some(self, rest: memoryview) -> int:
        while True:
            if self._lost is not None:
                raise Lost(self._lost)
            try:
                sent = self._channel.send(bytes(rest[:_PIECE]))
            except TimeoutError:
                self._watch()
                continue
            if sent == 0:
                raise EOFError
            self._moved = time.monotonic()
            return sent

    def _take_in(self) -> None:
        reason = "the server closed it"
        try:
            buffer = bytearray()
            while True:
                try:
                    data = self._channel.recv(_RECEIVE)
                except TimeoutError:
                    self._watch()
                    continue
                if not data:
                    break
                self._moved = time.monotonic()
                buffer += data
                self._deliver(buffer)
        except Exception as error:  # noqa: BLE001 - whatever ends this thread ends the connection, and is told there
            reason = _words(error)
        finally:
            self._lose(reason)

    def _deliver(self, buffer: bytearray) -> None:
        """Hand out the whole packets at the beginning of `buffer`, and take them off it."""
        at = 0
        with memoryview(buffer) as view:
            while len(buffer) - at >= 9:
                size = int.from_bytes(view[at : at + 4], "big")
                if not 5 <= size <= _LONGEST:
                    raise Lost("the server's answer is not SFTP")
                if len(buffer) - at - 4 < size:
                    break
                kind, mine = view[at + 4], int.from_bytes(view[at + 5 : at + 9], "big")
                self._settle(-1 if kind == VERSION else mine, Answer(kind, bytes(view[at + 9 : at + 4 + size])))
                at += 4 + size
        del buffer[:at]

    def _settle(self, mine: int, answer: Answer) -> None:
        with self._book:
            due = self._due.pop(mine, None)
        if due is None:
            return
        failure = answer.failure()
        if failure is None:
            due[0].set_result(answer)
        else:
            due[0].set_exception(failure)

    def _watch(self) -> None:
        """Raises Lost when something is due and nothing has moved for too long."""
        with self._book:
            allowed = max((allowed for _, allowed in self._due.values()), default=None)
        silent = time.monotonic() - self._moved
        if allowed is not None and silent > allowed:
            raise Lost(f"the server said nothing for {silent:.0f} s")

    def _lose(self, reason: str) -> None:
        with self._book:
            self._lost = self._lost or reason
            due, self._due = list(self._due.values()), {}
        for answer, _ in due:
            answer.set_exception(Lost(self._lost))
        shut(self._channel.get_transport())


def wait(answer: "Future[Answer]") -> Answer:
    """What was asked. Raises Lost and Failed."""
    return answer.result()


def _words(error: BaseException) -> str:
    return str(error) or "the server closed it"
