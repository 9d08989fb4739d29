"""Rows in bulk, by the COPY protocol: through asyncpg, whose unframing is compiled, where the database is in UTF8.

Each connection has an event loop of its own and belongs to one thread: no caller sees asyncio. That thread is
never the main one, where Ctrl-C comes between any two steps: asyncio knows no remedy against it.
Chunks handed out hold whole rows, because asyncpg joins whole CopyData messages and the server
sends one row in each (PostgreSQL docs 55.2.6).

asyncpg writes every statement in UTF-8, whatever the client encoding, so names in another encoding cannot be
said through it: such databases are read and written through psycopg, at about two thirds of the speed.
"""

import _thread
import asyncio
import contextlib
import itertools
import os
import select
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from queue import SimpleQueue
from typing import Any, Protocol
from urllib.parse import urlencode

import asyncpg
import psycopg
from psycopg import pq

from pgproof.errors import PgproofError, QueryFailed, Refused, Unreachable
from pgproof.postgres.refusals import translated
from pgproof.postgres.server import CONNECT_SECONDS, SETTINGS, Wire, copy_out, newer_settings
from pgproof.postgres.sql import names, qualified

LAST_WORDS_SECONDS = 1.0


class Rows(Protocol):
    """A connection for COPY, both ways. Not shared between threads, but for terminate()."""

    def open(self) -> None:
        """Connect. Raises PgproofError; also when terminate() was called before or meanwhile."""

    def execute(self, sql: str) -> None: ...

    def copy_out(self, query: str, take: Callable[[bytes], None]) -> int:
        """COPY (query) TO STDOUT; `take` gets chunks of whole rows. Returns the server's own count."""
        ...

    def copy_in(self, schema: str, table: str, columns: Iterable[str], text: Iterable[bytes]) -> int:
        """COPY table (columns) FROM STDIN; returns the server's own count."""
        ...

    def terminate(self) -> None:
        """End what is under way at once, connecting included; may be called from another thread."""

    def close(self) -> None: ...


def rows_for(wire: Wire, *, settings: dict[str, str] | None = None) -> Rows:
    """A connection for rows, not yet open, with `settings` beside those that shape COPY text."""
    given = SETTINGS | newer_settings(wire.version_num) | (settings or {})
    return _Compiled(wire, given) if wire.client_encoding == "UTF8" else _Plain(wire, given)


class _Plain:
    """Through psycopg, which speaks every encoding that the server does."""

    def __init__(self, wire: Wire, settings: dict[str, str]) -> None:
        self._wire, self._settings = wire, settings
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._woken, self._wake = os.pipe()

    def open(self) -> None:
        with translated():
            self._connection = psycopg.Connection(self._connected())
            self._connection.autocommit = True
        self.execute("; ".join(f"SET {key} = '{value}'" for key, value in self._settings.items()))

    def _connected(self) -> pq.abc.PGconn:
        """Libpq's own steps (PostgreSQL docs 34.1, PQconnectPoll), since psycopg.connect() cannot be ended from
        another thread; a connection that is not finished in time is closed at once, whatever ends the waiting.
        """
        until = time.monotonic() + CONNECT_SECONDS
        half = pq.PGconn.connect_start(self._conninfo().encode())
        try:
            while (status := half.connect_poll()) != pq.PollingStatus.OK:
                if status == pq.PollingStatus.FAILED:
                    raise psycopg.OperationalError(half.get_error_message())
                reading = [half.socket] if status == pq.PollingStatus.READING else []
                writing = [half.socket] if status == pq.PollingStatus.WRITING else []
                ready = select.select([*reading, self._woken], writing, [], max(0.0, until - time.monotonic()))
                if self._woken in ready[0] or not any(ready):
                    raise psycopg.OperationalError("the server did not answer in time")
        except BaseException:
            half.finish()
            raise
        half.nonblocking = 1  # as psycopg expects it
        return half

    def _conninfo(self) -> str:
        wire = self._wire
        return psycopg.conninfo.make_conninfo(
            host=wire.host,
            port=wire.port,
            user=wire.user,
            password=wire.password or None,
            dbname=wire.database,
            client_encoding=wire.client_encoding,
            application_name="pgproof",
            **wire.tls,
        )

    @property
    def _open(self) -> "psycopg.Connection[tuple[Any, ...]]":
        assert self._connection is not None, "open() comes first"
        return self._connection

    def execute(self, sql: str) -> None:
        with translated():
            self._open.execute(sql.encode(self._open.info.encoding))

    def copy_out(self, query: str, take: Callable[[bytes], None]) -> int:
        return copy_out(self._open, query, take)

    def copy_in(self, schema: str, table: str, columns: Iterable[str], text: Iterable[bytes]) -> int:
        wanted = names(columns)
        statement = f"COPY {qualified(schema, table)}{f' ({wanted})' if wanted else ''} FROM STDIN"
        with translated(), self._open.cursor() as cursor:
            with cursor.copy(statement.encode(self._open.info.encoding)) as copy:
                for piece in text:
                    copy.write(piece)
            return cursor.rowcount

    def terminate(self) -> None:
        os.write(self._wake, b"x")
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.cancel_safe(timeout=5)

    def close(self) -> None:
        if self._wake < 0:
            return
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
        os.close(self._wake)
        os.close(self._woken)
        self._wake = self._woken = -1


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that knows its connections, so that those which asyncpg is still making can be ended too."""

    def __init__(self) -> None:
        super().__init__()
        self.set_exception_handler(lambda *_: None)  # or it writes on stderr of what the caller is told anyway
        self._made: list[asyncio.Transport] = []

    async def create_connection(self, *given: Any, **named: Any) -> Any:
        return self._kept(await super().create_connection(*given, **named))

    async def create_unix_connection(self, *given: Any, **named: Any) -> Any:
        return self._kept(await super().create_unix_connection(*given, **named))

    def _kept(self, pair: Any) -> Any:
        self._made.append(pair[0])
        return pair

    def abort(self) -> None:
        """Close every connection at once."""
        for transport in self._made:
            transport.abort()


class _Compiled:
    """Through asyncpg."""

    def __init__(self, wire: Wire, settings: dict[str, str]) -> None:
        self._wire, self._settings = wire, settings
        self._loop, self._closing = _Loop(), threading.Lock()
        self._connection: Any = None
        self._lost = asyncio.Event()

    def open(self) -> None:
        self._connection = self._wait(self._connect())
        self._connection.add_termination_listener(lambda _: self._lost.set())

    async def _connect(self) -> Any:
        wire = self._wire
        given = {key: value for key, value in self._settings.items() if key != "standard_conforming_strings"}
        given |= {"client_encoding": wire.client_encoding, "application_name": "pgproof"}
        return await asyncpg.connect(
            f"postgresql://?{urlencode(wire.tls)}" if wire.tls else None,
            host=wire.host,
            port=wire.port,
            user=wire.user,
            password=wire.password or None,
            database=wire.database,
            timeout=CONNECT_SECONDS,
            server_settings=given,
        )

    def execute(self, sql: str) -> None:
        self._wait(self._connection.execute(sql))

    def copy_out(self, query: str, take: Callable[[bytes], None]) -> int:
        async def output(data: bytes) -> None:
            take(data)

        status: str = self._wait(self._connection.copy_from_query(query, output=output))
        return int(status.rpartition(" ")[2])

    def copy_in(self, schema: str, table: str, columns: Iterable[str], text: Iterable[bytes]) -> int:
        async def source() -> AsyncIterator[bytes]:
            for piece in text:
                yield piece

        copying = self._connection.copy_to_table(
            table, source=source(), columns=list(columns) or None, schema_name=schema
        )
        status: str = self._wait(self._unless_lost(copying))
        return int(status.rpartition(" ")[2])

    async def _unless_lost(self, work: Any) -> Any:
        """asyncpg, when the connection breaks while it waits for room to write, waits for ever."""
        task, lost = asyncio.ensure_future(work), asyncio.ensure_future(self._lost.wait())
        await asyncio.wait({task, lost}, return_when=asyncio.FIRST_COMPLETED)
        lost.cancel()
        if not task.done():
            await asyncio.wait({task}, timeout=LAST_WORDS_SECONDS)
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=LAST_WORDS_SECONDS)
            raise ConnectionResetError("the connection was closed in the middle of the rows")
        return await task

    def terminate(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            self._loop.call_soon_threadsafe(self._abort)

    def _abort(self) -> None:
        self._loop.abort()
        if self._connection is None:  # a socket that is not connected yet has no transport
            for task in asyncio.all_tasks(self._loop):
                task.cancel()

    def close(self) -> None:
        """In a thread of its own: in the main one Ctrl-C comes between any two steps, and asyncio has no remedy."""
        closed: SimpleQueue[None] = SimpleQueue()
        # Not threading.Thread: an interruption while it starts can come out of its locks as a RuntimeError.
        _thread.start_new_thread(self._close, (closed,))
        closed.get()

    def _close(self, closed: SimpleQueue[None]) -> None:
        try:
            with self._closing, contextlib.suppress(Exception):
                if not self._loop.is_closed():
                    with contextlib.suppress(Exception):
                        if self._connection is not None:
                            self._loop.run_until_complete(self._connection.close(timeout=2))
                    self._end()
        finally:
            closed.put(None)

    def _end(self) -> None:
        """Close the loop with nothing left in it: neither a socket that the server would wait at, nor a task,
        as what is left waiting speaks when it is deleted.
        """
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.abort()
        self._turn()  # what an interruption left in the loop may stop it once more
        if left:
            self._loop.run_until_complete(asyncio.wait(left, timeout=LAST_WORDS_SECONDS))
        self._turn()  # a transport closes its socket in the turn after its abort
        self._loop.close()

    def _turn(self) -> None:
        self._loop.call_soon(self._loop.stop)
        self._loop.run_forever()

    def _wait(self, work: Any) -> Any:
        try:
            return self._loop.run_until_complete(work)
        except asyncpg.PostgresError as error:
            raise _translated(error) from error
        except asyncio.CancelledError as error:
            raise Unreachable("the connection was ended from here", hint="run it again when you like") from error
        except (
            OSError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
            asyncio.IncompleteReadError,
        ) as error:
            raise Unreachable(
                f"the server went away: {error}", hint="look at its log; nothing was kept of this run"
            ) from error
        except LookupError as error:
            raise Refused(f"the database's encoding cannot be read: {error}", hint="please report it") from error


def strides(text: memoryview | bytes, size: int = 1 << 19) -> Iterable[bytes]:
    """`text` in pieces for copy_in, which need not end at rows."""
    view = memoryview(text)
    return (
        bytes(view[start : start + size])
        for start in itertools.takewhile(lambda at: at < len(view), itertools.count(0, size))
    )


def _translated(error: asyncpg.PostgresError) -> PgproofError:
    said, state = str(error).splitlines()[0], getattr(error, "sqlstate", "") or ""
    if state.startswith(("57P", "08")):
        return Unreachable(f"the server went away: {said}", hint="look at its log; nothing was kept of this run")
    if state in ("54000", "XX000") and "memory alloc" in said:
        return QueryFailed(
            said, hint="a row is larger than 1 GB as text; only a physical backup can hold it", sqlstate=state
        )
    if "conflict with recovery" in said:
        return QueryFailed(
            said,
            hint="set hot_standby_feedback or max_standby_streaming_delay on the standby",
            sqlstate=state,
        )
    context = getattr(error, "context", "") or ""
    where = f" ({context.splitlines()[0].split(':')[0]})" if context else ""
    return QueryFailed(f"{said}{where}", sqlstate=state)
