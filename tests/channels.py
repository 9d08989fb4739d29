"""Real channels on loopback for alerts and pings: an HTTP server and an SMTP server that keep what they are sent."""

import email
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Web:
    """What came: (path, body). `answers` are the statuses of the next requests, then 200; `pause` is in seconds."""

    port: int
    got: list[tuple[str, bytes]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    accepted: list[tuple[str, bytes]] = field(default_factory=list)
    location: str = ""
    pause: float = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.got]

    @property
    def messages(self) -> list[Any]:
        """The JSON of the alerts that were answered with 200."""
        return [json.loads(data) for _, data in self.accepted]


@contextmanager
def web(port: int = 0) -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.got.append((self.path, data))
            state.raw.append(bytes(self.headers) + data)
            time.sleep(state.pause)
            status = state.answers.pop(0) if state.answers else 200
            if status == 200:
                state.accepted.append((self.path, data))
            self.send_response(status)
            if state.location:
                self.send_header("Location", state.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None: ...  # whoever asked has gone away

    server = Server(("127.0.0.1", port), Handler)
    state = Web(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Mail:
    port: int
    raw: list[bytes] = field(default_factory=list)

    @property
    def messages(self) -> list[EmailMessage]:
        return [email.message_from_bytes(one, policy=default) for one in self.raw]

    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}/?from=pgproof@example.org&to=admin@example.org&format=text"


@contextmanager
def mail() -> Iterator[Mail]:
    from aiosmtpd.controller import Controller

    class Handler:
        async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
            state.raw.append(envelope.content)
            return "250 OK"

    state = Mail(free_port())
    controller = Controller(Handler(), hostname="127.0.0.1", port=state.port)
    controller.start()
    try:
        yield state
    finally:
        controller.stop()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen(16)
        yield int(one.getsockname()[1])
