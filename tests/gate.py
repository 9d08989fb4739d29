"""A gate before a PostgreSQL server: it lets connections through, and leaves a chosen one without an answer."""

import contextlib
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

from pgproof.postgres.server import Address, connect

_CHUNK = 1 << 16


class Gate:
    """A socket of its own before that of `server`; connections are numbered from 1 by when they come.

    Number `hold` gets as far as the server's request for a password, which it never sees: at the server a
    backend waits in its authentication, as long as both ends are open. `held` is set when it has come to that,
    and `left` is when the client closed it (time.monotonic()).
    """

    def __init__(self, server: Address) -> None:
        with connect(server, "postgres") as session:
            wire = session.wire()
        self._target = f"{wire.host}/.s.PGSQL.{wire.port}"
        self._folder = Path(tempfile.mkdtemp(prefix="gate-"))
        self._folder.chmod(0o711)
        self.address = Address(f"host={self._folder} port=5432 user={wire.user}", server.password).to(server.database)
        self.count = 0
        self.hold = 0
        self.held = threading.Event()
        self.left = 0.0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{self._folder}/.s.PGSQL.5432")
        self._listener.listen(64)
        self._open: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def expect(self, number: int) -> None:
        """Hold the connection that comes as the `number`-th from now on; 0 holds none."""
        self.count, self.hold, self.left = 0, number, 0.0
        self.held.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        shutil.rmtree(self._folder)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.count += 1
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._target)
                self._open += [client, server]
                work = self._keep_waiting if self.count == self.hold else self._carry_both
                threading.Thread(target=work, args=(client, server), daemon=True).start()

    def _keep_waiting(self, client: socket.socket, server: socket.socket) -> None:
        server.sendall(client.recv(_CHUNK))
        server.recv(_CHUNK)
        self.held.set()
        while client.recv(_CHUNK):
            pass
        self.left = time.monotonic()
        server.shutdown(socket.SHUT_RDWR)

    def _carry_both(self, client: socket.socket, server: socket.socket) -> None:
        threading.Thread(target=_carry, args=(server, client), daemon=True).start()
        _carry(client, server)


def _carry(source: socket.socket, to: socket.socket) -> None:
    """Until `source` ends, which `to` is then told."""
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            to.sendall(data)
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_RDWR)
