"""A TCP proxy on loopback that counts what passes and goes wrong on demand: resets, closes, stalls, slows down."""

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import Literal, Self

Way = Literal["up", "down"]  # from the client to the server, and back
_CHUNK = 1 << 14
_LINGER_NONE = struct.pack("ii", 1, 0)  # socket(7), SO_LINGER: close() sends RST


@dataclass
class Fault:
    """After `after` further bytes of `way`, exactly, the connection on which they passed is

    reset:  both ends get RST
    close:  both ends get FIN: what was on its way is cut off
    stall:  nothing passes any more, either way, and it stays open

    `times` such faults happen, each counted from the one before it; then all is well again.
    """

    how: Literal["reset", "close", "stall"]
    after: int
    way: Way = "down"
    times: int = 1


class Proxy:
    """From a port of its own (`port`) to `target`. `passed` counts bytes by way, of all connections together.

    `delay` is in seconds, before each chunk of up to 16 KiB, each way. `refuse` makes new connections end at once.
    """

    def __init__(self, target: int, host: str = "127.0.0.1") -> None:
        self._target = (host, target)
        self.passed: dict[Way, int] = {"up": 0, "down": 0}
        self.connections = 0
        self.delay = 0.0
        self.refuse = False
        self.fault: Fault | None = None
        self._left = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._start(self._accept)

    def plan(self, fault: Fault | None) -> None:
        """From now on; None: all is well."""
        with self._lock:
            self.fault = fault
            self._left = fault.after if fault else 0

    def reset_all(self) -> None:
        """Every connection that is open now ends with RST at both ends."""
        with self._lock:
            ends = list(self._open)
        self._end(ends, "reset")

    def close(self) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset_all()
        for thread in self._threads:
            thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, work, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                if self.refuse:
                    raise OSError
                server = socket.create_connection(self._target, timeout=10)
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.settimeout(None)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            stalled = threading.Event()
            self._start(self._carry, client, server, "up", stalled)
            self._start(self._carry, server, client, "down", stalled)

    def _carry(self, source: socket.socket, to: socket.socket, way: Way, stalled: threading.Event) -> None:
        try:
            while data := source.recv(_CHUNK):
                if self.delay:
                    time.sleep(self.delay)
                if stalled.is_set():
                    continue
                allowed, how = self._allow(len(data), way)
                if stalled.is_set():
                    continue
                with self._lock:
                    self.passed[way] += allowed
                to.sendall(data[:allowed])
                if how == "stall":
                    stalled.set()
                elif how:
                    self._end([source, to], how)
                    return
        except OSError:
            pass
        self._end([source, to], "close")

    def _allow(self, size: int, way: Way) -> tuple[int, str]:
        """How many of these bytes may pass, and what happens then."""
        with self._lock:
            fault = self.fault
            if fault is None or fault.way != way:
                return size, ""
            if size < self._left:
                self._left -= size
                return size, ""
            allowed, self._left = self._left, fault.after
            fault.times -= 1
            if fault.times == 0:
                self.fault = None
            return allowed, fault.how

    def _end(self, ends: list[socket.socket], how: str) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                if how == "reset":
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
                end.shutdown(socket.SHUT_RDWR if how == "close" else socket.SHUT_RD)
            with contextlib.suppress(OSError):
                end.close()
            with self._lock:
                self._open.discard(end)
