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
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from queue import SimpleQueue
from typing import Any, Protocol
from urllib.parse import urlencode

import asyncpg
import psycopg

from pgproof.errors import PgproofError, QueryFailed, Refused, Unreachable
from pgproof.postgres.refusals import translated
from pgproof.postgres.server import CONNECT_SECONDS, SETTINGS, Wire, copy_out, given_up, newer_settings
from pgproof.postgres.sql import names, qualified

LAST_WORDS_SECONDS = 1.0


class Rows(Protocol):
    """A connection for COPY, both ways. Not shared between threads, but for terminate()."""

    def execute(self, sql: str) -> None: ...

    def copy_out(self, query: str, take: Callable[[bytes], None]) -> int:
        """COPY (query) TO STDOUT; `take` gets chunks of whole rows. Returns the server's own count."""
        ...

    def copy_in(self, schema: str, table: str, columns: Iterable[str], text: Iterable[bytes]) -> int:
        """COPY table (columns) FROM STDIN; returns the server's own count."""
        ...

    def terminate(self) -> None:
        """End what is under way at once; may be called from another thread."""

    def close(self) -> None: ...


def open_rows(wire: Wire, *, settings: dict[str, str] | None = None) -> Rows:
    """A connection for rows, with `settings` beside those that shape COPY text. Raises PgproofError."""
    given = SETTINGS | newer_settings(wire.version_num) | (settings or {})
    return _Compiled(wire, given) if wire.client_encoding == "UTF8" else _Plain(wire, given)


class _Plain:
    """Through psycopg, which speaks every encoding that the server does."""

    def __init__(self, wire: Wire, settings: dict[str, str]) -> None:
        with translated(), given_up():
            self._connection = psycopg.connect(
                host=wire.host,
                port=wire.port,
                user=wire.user,
                password=wire.password or None,
                dbname=wire.database,
                client_encoding=wire.client_encoding,
                application_name="pgproof",
                connect_timeout=CONNECT_SECONDS,
                autocommit=True,
                **wire.tls,  # type: ignore[arg-type]
            )
        self.execute("; ".join(f"SET {key} = '{value}'" for key, value in settings.items()))

    def execute(self, sql: str) -> None:
        with translated():
            self._connection.execute(sql.encode(self._connection.info.encoding))

    def copy_out(self, query: str, take: Callable[[bytes], None]) -> int:
        return copy_out(self._connection, query, take)

    def copy_in(self, schema: str, table: str, columns: Iterable[str], text: Iterable[bytes]) -> int:
        wanted = names(columns)
        statement = f"COPY {qualified(schema, table)}{f' ({wanted})' if wanted else ''} FROM STDIN"
        with translated(), self._connection.cursor() as cursor:
            with cursor.copy(statement.encode(self._connection.info.encoding)) as copy:
                for piece in text:
                    copy.write(piece)
            return cursor.rowcount

    def terminate(self) -> None:
        with contextlib.suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=5)

    def close(self) -> None:
        with contextlib.suppress(psycopg.Error):
            self._connection.close()


class _Compiled:
    """Through asyncpg."""

    def __init__(self, wire: Wire, settings: dict[str, str]) -> None:
        self._loop, self._closing = asyncio.new_event_loop(), threading.Lock()
        self._loop.set_exception_handler(lambda *_: None)  # or it writes on stderr of what _wait() tells anyway
        given = {key: value for key, value in settings.items() if key != "standard_conforming_strings"}
        given |= {"client_encoding": wire.client_encoding, "application_name": "pgproof"}
        dsn = f"postgresql://?{urlencode(wire.tls)}" if wire.tls else None
        try:
            self._connection: Any = self._wait(
                asyncpg.connect(
                    dsn,
                    host=wire.host,
                    port=wire.port,
                    user=wire.user,
                    password=wire.password or None,
                    database=wire.database,
                    timeout=CONNECT_SECONDS,
                    server_settings=given,
                )
            )
        except BaseException:
            self._end()
            raise
        self._lost = asyncio.Event()
        self._connection.add_termination_listener(lambda _: self._lost.set())

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
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._connection.terminate)

    def close(self) -> None:
        closed: SimpleQueue[None] = SimpleQueue()
        # Not threading.Thread: an interruption while it starts can come out of its locks as a RuntimeError.
        _thread.start_new_thread(self._close, (closed,))
        closed.get()

    def _close(self, closed: SimpleQueue[None]) -> None:
        try:
            with self._closing, contextlib.suppress(Exception):
                if not self._loop.is_closed():
                    with contextlib.suppress(Exception):
                        self._loop.run_until_complete(self._connection.close(timeout=2))
                    self._end()
        finally:
            closed.put(None)

    def _end(self) -> None:
        """Close the loop with nothing left in it: what is left waiting speaks when it is deleted."""
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        if left:
            self._loop.run_until_complete(asyncio.wait(left, timeout=LAST_WORDS_SECONDS))
        self._loop.close()

    def _wait(self, work: Any) -> Any:
        try:
            return self._loop.run_until_complete(work)
        except asyncpg.PostgresError as error:
            raise _translated(error) from error
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
