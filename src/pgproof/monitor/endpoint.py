"""The service's window for monitoring: GET /metrics and GET /health, by HTTP, and nothing else.

It is asyncio in a thread of its own, so that a client which dawdles costs a socket and no thread. A request has
SECONDS to come and be answered, and LARGEST bytes; of more than MOST at once, the one that has waited longest goes.
Each connection has one answer.
"""

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Self

from pgproof.errors import ConfigError
from pgproof.finding import GRAVITY, Finding
from pgproof.monitor.metrics import CONTENT_TYPE

HOST, PORT = "127.0.0.1", 9847
SECONDS = 5.0
LARGEST = 8192
MOST = 64

_REQUEST = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.[0-9]")
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error"}
_REASONS |= {408: "Request Timeout", 431: "Request Header Fields Too Large", 503: "Service Unavailable"}
_TEXT = "text/plain; charset=utf-8"

Answer = tuple[int, str, bytes]


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of "host:port", "[::1]:port", ":port" or "host"; what is left out is 127.0.0.1 and 9847.

    Raises ConfigError.
    """
    match = re.fullmatch(r"(?:\[(?P<six>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s:\[\]/]*))(?::(?P<port>[0-9]{1,5}))?", text)
    port = int(match["port"] or PORT) if match else 0
    if not match or port > 65535:
        hint = "write host:port, such as 127.0.0.1:9847; an address of IPv6 in brackets, [::1]:9847"
        raise ConfigError(f"{text!r} is no address to listen on", hint=hint)
    return match["six"] or match["host"] or HOST, port


def serve(
    address: str,
    picture: Callable[[], bytes],
    findings: Callable[[], Iterable[Finding]],
    *,
    seconds: float = SECONDS,
) -> "Server":
    """Listen on `address` until close(). `picture` gives the exposition and `findings` what /health is judged by; both
    are called for every request, by one thread that is not the caller's: let them answer from memory.

    Raises ConfigError where the address cannot be listened on.
    """
    host, port = parse_address(address)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=MOST)
    except OSError as error:
        hint = "is the service running already? Else name another address, as HOST:PORT: 127.0.0.1:9847"
        raise ConfigError(f"cannot listen on {address}: {error.strerror or error}", hint=hint) from error
    return Server(listening, picture, findings, seconds)


class Server:
    """A thread that answers; `port` is the one it listens on (of port 0, the one that was free)."""

    def __init__(
        self,
        listening: socket.socket,
        picture: Callable[[], bytes],
        findings: Callable[[], Iterable[Finding]],
        seconds: float,
    ) -> None:
        self.port: int = listening.getsockname()[1]
        self._picture, self._findings, self._seconds = picture, findings, seconds
        self._open: dict[asyncio.Task[None], None] = {}  # in the order in which they came
        self._asked: SimpleQueue[tuple[Callable[[], Answer], Future[Answer]] | None] = SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(listening,), name="endpoint", daemon=True)
        threading.Thread(target=self._work, name="metrics", daemon=True).start()
        self._thread.start()

    def close(self) -> None:
        """Stop listening, and let go of whoever is connected. A second call does nothing."""
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(self._seconds)
        self._asked.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, listening: socket.socket) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._listen(listening))

    async def _listen(self, listening: socket.socket) -> None:
        server = await asyncio.start_server(self._connected, sock=listening, limit=LARGEST)
        await self._ended.wait()
        server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        if len(self._open) >= MOST:
            oldest = next(iter(self._open))
            del self._open[oldest]  # now, as many may come before it learns of it
            oldest.cancel()
        self._open[task] = None
        try:
            async with asyncio.timeout(self._seconds):
                await self._answer(reader, writer)
        except (TimeoutError, OSError, asyncio.CancelledError):
            writer.transport.abort()  # whoever dawdled, went, or had to make room
        finally:
            self._open.pop(task, None)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            writer.write(_response((431, _TEXT, b"the request is too large\n")))
        except asyncio.IncompleteReadError:
            return
        else:
            match = _REQUEST.fullmatch(head.partition(b"\r\n")[0])
            answer = await self._found(match[1], match[2]) if match else (400, _TEXT, b"this is no request\n")
            writer.write(_response(answer, head_only=bool(match and match[1] == b"HEAD")))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def _found(self, method: bytes, path: bytes) -> Answer:
        ask = {b"/metrics": self._metrics, b"/health": self._health}.get(path.partition(b"?")[0])
        if ask is None:
            return 404, _TEXT, b"there are /metrics and /health\n"
        if method not in (b"GET", b"HEAD"):
            return 405, _TEXT, b"only GET is answered\n"
        try:
            future: Future[Answer] = Future()
            self._asked.put((ask, future))
            return await asyncio.wrap_future(future)
        except Exception as error:  # noqa: BLE001 - one picture that fails must not end the answers
            return 500, _TEXT, f"a fault in pgproof itself: {type(error).__name__}\n".encode()

    def _work(self) -> None:
        """No executor: the end of the interpreter would wait for its threads, also for a picture that hangs."""
        for ask, future in iter(self._asked.get, None):
            if future.set_running_or_notify_cancel():  # nobody waits any more for one that was cancelled
                try:
                    future.set_result(ask())
                except Exception as error:  # noqa: BLE001 - raised where it is waited for
                    future.set_exception(error)

    def _metrics(self) -> Answer:
        return 200, CONTENT_TYPE, self._picture()

    def _health(self) -> Answer:
        gravest = max(self._findings(), key=lambda one: GRAVITY[one.level], default=None)
        if gravest is None or GRAVITY[gravest.level] <= GRAVITY["info"]:
            return 200, _TEXT, b"ok\n"
        text = f"{gravest.level}: {gravest.text}\n".encode("utf-8", "replace")
        return 503 if gravest.level == "critical" else 200, _TEXT, text


def _response(answer: Answer, *, head_only: bool = False) -> bytes:
    code, kind, body = answer
    lines = (
        f"HTTP/1.1 {code} {_REASONS[code]}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode("ascii") + (b"" if head_only else body)
