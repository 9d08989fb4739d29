"""A server that answers as S3 does when something is wrong with it, and hands everything else on to a real one."""

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


@dataclass
class Asked:
    """A request, and which of S3's operations it is."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def what(self) -> str:
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        if url.path.strip("/").count("/") == 0:
            words = {"uploads": "ListMultipartUploads", "versions": "ListObjectVersions", "object-lock": "GetLock"}
            return next((words[word] for word in query if word in words), "ListObjects")
        if "uploadId" in query:
            words = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}
        elif "uploads" in query:
            words = {"POST": "CreateMultipartUpload"}
        else:
            words = {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
            words["POST"] = "RestoreObject"
        return words.get(self.method, "other")


@dataclass
class Answer:
    """What is said instead of what the server behind would say."""

    status: int
    code: str = ""
    message: str = "a test's doing"
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        xml = f"<Error><Code>{self.code}</Code><Message>{self.message}</Message><RequestId>1</RequestId></Error>"
        return self.body or (f'<?xml version="1.0" encoding="UTF-8"?>\n{xml}'.encode() if self.code else b"")


LOST = "lost"  # it is done, and the answer never arrives
Doing = Answer | Callable[[Asked], Any] | str
Change = Callable[[Asked], bytes]


@dataclass
class _Plan:
    what: str
    doing: Any
    times: int
    skip: int


class S3Faults:
    """In front of the server at `target` (a port of loopback). `asked` has every request."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.asked: list[Asked] = []
        self._plans: list[_Plan] = []
        self._lock = threading.Lock()
        faults = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                faults._serve(self)

            do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def plan(self, what: str, doing: Doing, times: int = 1_000_000, skip: int = 0) -> None:
        """From now on `what` (an operation; "" is any) is answered so: an Answer, LOST, or what a function of the
        request gives, which may be an Answer, other bytes to be handed on as the request's body, or None.
        """
        with self._lock:
            self._plans.append(_Plan(what, doing, times, skip))

    def forget(self) -> None:
        """All is well from now on."""
        with self._lock:
            self._plans.clear()

    def count(self, what: str) -> int:
        return sum(one.what == what for one in self.asked)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _doing(self, asked: Asked) -> Any:
        with self._lock:
            self.asked.append(asked)
            for plan in self._plans:
                if plan.what not in ("", asked.what) or plan.times == 0:
                    continue
                if plan.skip:
                    plan.skip -= 1
                    continue
                plan.times -= 1
                return plan.doing(asked) if callable(plan.doing) else plan.doing
        return None

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        body = handler.rfile.read(int(headers.get("content-length", 0)))
        asked = Asked(handler.command, handler.path, headers, body)
        doing = self._doing(asked)
        if isinstance(doing, Answer):
            said = {"Content-Type": "application/xml", **doing.headers}
            return _say(handler, doing.status, said, b"" if asked.method == "HEAD" else doing.content)
        if isinstance(doing, bytes):
            asked.body = doing
        status, said, content = self._ask(asked)
        if doing == LOST:
            handler.close_connection = True
            return None
        return _say(handler, status, said, content)

    def _ask(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        onward = http.client.HTTPConnection("127.0.0.1", self._target, timeout=60)
        try:
            sent = asked.headers | {"content-length": str(len(asked.body))}
            sent.pop("expect", None)
            onward.request(asked.method, asked.path, asked.body, sent)
            answer = onward.getresponse()
            dropped = ("transfer-encoding", "connection", "server", "date")
            said = {name: value for name, value in answer.getheaders() if name.lower() not in dropped}
            return answer.status, said, answer.read()
        finally:
            onward.close()


def _say(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], content: bytes) -> None:
    handler.send_response(status)
    given = {name.lower(): value for name, value in headers.items()}
    if handler.command != "HEAD" or "content-length" not in given:
        given["content-length"] = str(len(content))
    for name, value in given.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)
