"""A server in a container that no network leads to: its connections go by `docker exec`, over a private socket here.

Each connection to the socket starts a program in the container (relay.sh), of which standard input and output are
the connection. It ends with the connection; and when pgproof is killed, as its input then ends.
"""

import atexit
import contextlib
import functools
import os
import shutil
import socket
import tempfile
import threading
import time
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path, PurePosixPath

from pgproof.docker.engine import Engine
from pgproof.errors import PgproofError, ProgramFailed, Refused
from pgproof.stream import process
from pgproof.stream.process import Child

SAYS = "by docker exec: "  # before our own words in a refusal that libpq hands on
PORT = 5432
_SOCKETS = "/var/run/postgresql"  # of Debian's packages and of the official images
_PREFIX = "pgproof-exec-"
_LONGEST = 107  # bytes of a socket's name: unix(7), sun_path
_WAITING = 4096  # connections not taken yet; where that is full, libpq does not wait but gives up
_STRIDE = 1 << 17
_LAST_WORDS_SECONDS = 3.0
_LACKING = "no program that relays"
_HINT = "is its server up? `docker logs` tells; with another socket or port, say so in the URL"
_HINT_LACKING = "install perl or socat in its image, or publish the server's port"


@dataclass(frozen=True, slots=True)
class Inside:
    """Where the server is, as its container sees it: a host, a folder with its socket, or "" for what there is."""

    host: str = ""
    port: int = PORT

    @property
    def words(self) -> tuple[str, str, str]:
        """The first three of relay.sh."""
        folder = self.host if self.host.startswith("/") else _SOCKETS if not self.host else ""
        network = "127.0.0.1" if not self.host else self.host if not folder else ""
        return str(PurePosixPath(folder, f".s.PGSQL.{self.port}")) if folder else "", network, str(self.port)


@functools.cache
def relay(engine: Engine, container: str, inside: Inside) -> str:
    """The folder of a socket, of port 5432, that leads to a server in the container, for as long as this process
    lives. It is nobody else's. Nothing is asked yet: who connects is told what stands against it. Raises Refused.
    """
    return _Relay(engine, container, inside, _folder()).open()


def leads_there(place: tuple[str, int], seconds: float = 3.0) -> bool:
    """Whether the network does: also where nobody listens, as while a server starts."""
    try:
        socket.create_connection(place, seconds).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Relay:
    engine: Engine
    container: str
    inside: Inside
    folder: Path
    under_way: set[threading.Thread] = field(default_factory=set)

    def open(self) -> str:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.folder / f".s.PGSQL.{PORT}"))
        listener.listen(_WAITING)
        atexit.register(self._close, listener)
        threading.Thread(target=self._take, args=(listener,), daemon=True).start()
        return str(self.folder)

    def _close(self, listener: socket.socket) -> None:
        """What was closed just now gets its last words across, so that the server does not miss them."""
        listener.close()
        until = time.monotonic() + _LAST_WORDS_SECONDS
        for thread in list(self.under_way):
            thread.join(max(0.0, until - time.monotonic()))
        shutil.rmtree(self.folder, ignore_errors=True)

    def _take(self, listener: socket.socket) -> None:
        while listener.fileno() >= 0:
            try:
                client, _ = listener.accept()
            except OSError:  # no descriptor is left just now, or we are closing
                time.sleep(0.1)
                continue
            # The kernel ends a child with the thread that started it: so each has a thread that stays.
            thread = threading.Thread(target=self._carry, args=(client,), daemon=True)
            self.under_way.add(thread)
            thread.start()

    def _carry(self, client: socket.socket) -> None:
        """One connection: what it says goes in, what the server answers comes out, until the server has ended."""
        heard = False
        with client, contextlib.suppress(OSError):
            try:
                found = self.engine.container(self.container).id  # it may have been made anew, or be gone
                with self.engine.conversation(found, _argv(self.inside)) as child:
                    threading.Thread(target=_inward, args=(client, child), daemon=True).start()
                    while data := child.read(_STRIDE):
                        heard = True
                        client.sendall(data)
            except PgproofError as error:
                if not heard:
                    client.sendall(_refusal(error))
            finally:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)  # whoever reads from it comes out
                self.under_way.discard(threading.current_thread())


def _inward(client: socket.socket, child: Child) -> None:
    with contextlib.suppress(PgproofError, OSError, ValueError):
        while data := client.recv(_STRIDE):
            child.write(data)
    child.end_input()


def _argv(inside: Inside) -> tuple[str, ...]:
    shell, perl = (resources.files(__package__).joinpath(name).read_text() for name in ("relay.sh", "relay.pl"))
    return "sh", "-c", shell, "pgproof-relay", *inside.words, perl


def _refusal(error: PgproofError) -> bytes:
    """An ErrorResponse of the server's protocol (PostgreSQL docs 55.7): libpq hands it on with its hint."""
    own = isinstance(error, ProgramFailed)
    hint = (_HINT_LACKING if _LACKING in error.message else _HINT) if own else error.hint
    words = {"S": "FATAL", "V": "FATAL", "C": "08006", "M": f"{SAYS}{error.message}", "H": hint}
    body = b"".join(f"{key}{' '.join(text.split())}\0".encode() for key, text in words.items() if text) + b"\0"
    return b"E" + (len(body) + 4).to_bytes(4, "big") + body


def _folder() -> Path:
    """A new one that only we may enter, named after this process, where the name is not too long. Raises Refused."""
    for place in _places():
        _sweep(place)
        with contextlib.suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{process.identity().tag}.", dir=place))
            if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) <= _LONGEST:
                return folder
            folder.rmdir()
    raise Refused(
        f"no folder for a socket can be made in {' or '.join(map(str, _places()))}",
        hint="set TMPDIR to one that can be written, and has a short name",
    )


def _places() -> tuple[Path, ...]:
    return Path(tempfile.gettempdir()), Path("/tmp")  # noqa: S108 - what is made there is nobody else's


def _sweep(place: Path) -> None:
    """Remove the folders of processes that were killed."""
    for one in place.glob(f"{_PREFIX}*"):
        if process.is_gone_by(one.name.removeprefix(_PREFIX).rpartition(".")[0]):
            shutil.rmtree(one, ignore_errors=True)
