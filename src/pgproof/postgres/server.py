"""Sessions with a server: how to reach it, and what it is.

psycopg asks the questions here; rows in bulk go through postgres.rows (docs/decisions/0002).
"""

import contextlib
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import conninfo

from pgproof.errors import QueryFailed, Refused
from pgproof.manifest import Server
from pgproof.postgres.refusals import bad_conninfo, translated, unreachable
from pgproof.postgres.sql import conninfo_value
from pgproof.secret import Secret

_REPORT = "please report it with the server's version and encoding"
MINIMUM = 130000
CONNECT_SECONDS = 15
Parameters = Sequence[object] | Mapping[str, object]
_GATHER = 1 << 18  # bytes of rows that are handed on together
_TLS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl")

# What shapes COPY text, and what could cut a long read short. Recorded in the manifest.
SETTINGS: dict[str, str] = {
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "xmloption": "content",
    "standard_conforming_strings": "on",
    "search_path": "",
    "row_security": "off",
    "synchronize_seqscans": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}
_REPORT = "please report it with the server's version and encoding"
_NEWER_SETTINGS = ((140000, "idle_session_timeout", "0"), (170000, "transaction_timeout", "0"))


def newer_settings(version_num: int) -> dict[str, str]:
    """What could end a session that waits while others work, on a server of this version."""
    return {key: value for since, key, value in _NEWER_SETTINGS if version_num >= since}


@dataclass(frozen=True, slots=True)
class Address:
    """How to reach a database: a libpq connection string or URL, the password apart from it. `place` says where that
    is, if the host is but a socket of ours; `container` is the one its server runs in, where that is known.
    """

    conninfo: str
    password: Secret | None = None
    place: str = ""
    container: str = ""

    def to(self, database: str) -> "Address":
        """The same server, another database. The name is opaque: never parsed as a connection string."""
        return self._with(dbname=database)

    def as_user(self, role: str, password: Secret | None = None) -> "Address":
        """The same database, another role."""
        return replace(self._with(user=role), password=password)

    def at(self, host: str, port: int, place: str = "") -> "Address":
        """The same database, by another way."""
        return replace(self._with(host=host, port=str(port), hostaddr=""), place=place)

    def _with(self, **words: str) -> "Address":
        try:
            return replace(self, conninfo=conninfo.make_conninfo(self.conninfo, **words))
        except psycopg.Error as error:
            raise bad_conninfo(error) from error

    @property
    def database(self) -> str:
        try:
            parts = conninfo.conninfo_to_dict(self.conninfo)
        except psycopg.Error as error:
            raise bad_conninfo(error) from error
        return str(parts.get("dbname") or parts.get("user") or os.environ.get("PGDATABASE") or "postgres")

    @property
    def host(self) -> str:
        """The host as it is written, which may be a socket's folder; '' for libpq's default. Raises ConfigError."""
        return self._word("host")

    @property
    def port(self) -> str:
        """The port as it is written; '' for libpq's default. Raises ConfigError."""
        return self._word("port")

    @property
    def user(self) -> str:
        """The role as it is written; '' for libpq's default. Raises ConfigError."""
        return self._word("user")

    def _word(self, key: str) -> str:
        try:
            return str(conninfo.conninfo_to_dict(self.conninfo).get(key) or "")
        except psycopg.Error as error:
            raise bad_conninfo(error) from None  # its words may be a part of the password

    def describe(self) -> str:
        """Host, port and database, without user or secret."""
        try:
            parts = conninfo.conninfo_to_dict(self.conninfo)
        except psycopg.Error as error:
            raise bad_conninfo(error) from error
        return f"{self.database} on {self.place or _place(parts)}"

    @property
    def server(self) -> str:
        """Host and port, or the place in words."""
        if self.place:
            return self.place
        try:
            return _place(conninfo.conninfo_to_dict(self.conninfo))
        except psycopg.Error as error:
            raise bad_conninfo(error) from error


def _place(parts: Mapping[str, Any]) -> str:
    return f"{parts.get('host') or parts.get('hostaddr') or 'local socket'}:{parts.get('port') or 5432}"


@dataclass(frozen=True, slots=True)
class Wire:
    """Where a session was in fact connected: what another driver or program needs to follow it there."""

    host: str
    port: int
    user: str
    database: str
    password: str
    tls: dict[str, str]
    client_encoding: str
    version_num: int

    def __repr__(self) -> str:
        return f"Wire({self.host}:{self.port}/{self.database})"


def without_timeouts(version_num: int) -> str:
    """PGOPTIONS for programs on a server of this version. pg_dump lifts most timeouts of a role or database by itself,
    but not that of an idle session; pg_dumpall lifts none.
    """
    names = [key for key in SETTINGS if key.endswith("_timeout")]
    return " ".join(f"-c {key}=0" for key in (*names, *newer_settings(version_num)))


class Session:
    """A connection that answers questions. Its client encoding is the server's own, so that no byte is
    converted; SQL_ASCII is read as LATIN1, which maps every byte to one character and back.
    """

    def __init__(self, connection: "psycopg.Connection[tuple[Any, ...]]", password: Secret | None) -> None:
        self._connection = connection
        self._password = password
        info = connection.info
        encoding = info.parameter_status("server_encoding") or "UTF8"
        self.encoding = encoding
        self.client_encoding = "LATIN1" if encoding == "SQL_ASCII" else encoding
        self.version_num = info.server_version
        wanted = {"client_encoding": self.client_encoding} | newer_settings(self.version_num)
        connection.execute("; ".join(f"SET {key} = '{value}'" for key, value in wanted.items()).encode())
        self.codec = info.encoding

    def rows(self, sql: str, parameters: Parameters | None = None) -> list[tuple[Any, ...]]:
        """The answer to a question. Raises QueryFailed, Unreachable."""
        with translated():
            return self._connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Parameters | None = None) -> tuple[Any, ...]:
        return self.rows(sql, parameters)[0]

    def value(self, sql: str, parameters: Parameters | None = None) -> Any:
        return self.row(sql, parameters)[0]

    def run(self, sql: str, parameters: Parameters | None = None) -> None:
        """A statement, or without parameters several. Raises QueryFailed, Unreachable."""
        with translated():
            self._connection.execute(sql, parameters)

    def restore_encoding(self) -> None:
        """After statements of others, which may have set the client encoding to another than this session's."""
        self.run(f"SET client_encoding = '{self.client_encoding}'")

    def run_bytes(self, sql: bytes) -> None:
        """Statements in the session's own encoding, as they are stored."""
        with translated():
            self._connection.execute(sql)

    def copy_out(self, query: str, take: Callable[[bytes], None]) -> int:
        """As Rows.copy_out, but in this session's own transaction, under its locks."""
        return copy_out(self._connection, query, take)

    def pin(self) -> dict[str, str]:
        """Set what shapes COPY text; returns what was set, for the manifest."""
        wanted = SETTINGS | newer_settings(self.version_num)
        self.run("; ".join(f"SET {key} = '{value}'" for key, value in wanted.items()))
        return wanted | {"client_encoding": self.encoding}

    def wire(self) -> Wire:
        info = self._connection.info
        local = info.host.startswith("/")
        tls = {str(key): value for key, value in info.get_parameters().items() if key in _TLS}
        if not local and not self._connection.pgconn.ssl_in_use:
            tls = {"sslmode": "disable"}
        # A certificate is checked against the name, so only without one may the resolved address be used.
        host = info.hostaddr if info.hostaddr and not local and "sslrootcert" not in tls else info.host
        return Wire(
            host, info.port, info.user, info.dbname, info.password or "", tls, self.client_encoding, self.version_num
        )

    @property
    def backend(self) -> int:
        return self._connection.info.backend_pid

    def close(self) -> None:
        with contextlib.suppress(psycopg.Error):
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(address: Address, database: str | None = None) -> Session:
    """A session with autocommit. Raises Unreachable, ConfigError; a refused password is not tried twice."""
    target = address.to(database) if database is not None else address
    extra: dict[str, Any] = {"password": address.password.reveal()} if address.password else {}
    try:
        with given_up():
            connection = psycopg.connect(
                target.conninfo,
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                application_name="pgproof",
                fallback_application_name="pgproof",
                options="-c search_path= -c statement_timeout=0 -c lock_timeout=0",
                **extra,
            )
    except psycopg.ProgrammingError as error:
        raise bad_conninfo(error) from error
    except psycopg.Error as error:
        raise unreachable(target.describe(), str(error)) from error
    connection.prepare_threshold = None
    try:
        return Session(connection, address.password)
    except LookupError as error:
        connection.close()
        raise Refused(f"the database's encoding is not one that can be read: {error}", hint=_REPORT) from error
    except psycopg.Error as error:
        connection.close()
        raise unreachable(target.describe(), str(error)) from error
    except BaseException:
        connection.close()
        raise


@contextmanager
def given_up() -> Iterator[None]:
    """A connection that is interrupted while it is made is closed at once. psycopg closes it when the last frame
    that knows it is gone, and an interruption on its way out keeps them all: the server would wait for us a
    minute (its authentication_timeout), and let nobody drop the database meanwhile.
    """
    try:
        yield
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)
        raise


def identity(session: Session) -> Server:
    """What the server says of itself. Raises Refused for a server too old, or a pooler in between."""
    if session.version_num < MINIMUM:
        raise Refused(
            f"the server is PostgreSQL {session.version_num // 10000}; 13 is the oldest that is supported",
            hint="use the pg_dump of that version by hand, and plan the upgrade",
        )
    if session.value("SELECT pg_backend_pid()") != session.backend:
        raise Refused(
            "a connection pooler stands between pgproof and the server: snapshots cannot be shared through it",
            hint="connect to PostgreSQL's own port",
        )
    version, standby = session.row("SELECT current_setting('server_version'), pg_is_in_recovery()")
    lsn = "pg_last_wal_replay_lsn()" if standby else "pg_current_wal_lsn()"
    return Server(
        version=version,
        version_num=session.version_num,
        system_identifier=_system_identifier(session),
        superuser=session.value("SELECT rolname FROM pg_catalog.pg_roles WHERE oid = 10"),
        standby=standby,
        lsn=str(session.value(f"SELECT {lsn}::text")),
    )


def _system_identifier(session: Session) -> str:
    try:
        return str(session.value("SELECT system_identifier FROM pg_control_system()"))
    except QueryFailed:  # a managed service may not let us; '' is then said to be unknown
        return ""


@dataclass(frozen=True, slots=True)
class Access:
    """What a PostgreSQL program needs to connect: a connection string without secrets, its environment,
    and the descriptor of the pass file that the environment names.
    """

    conninfo: str
    env: dict[str, str]
    fds: tuple[int, ...]


@contextmanager
def for_programs(wire: Wire) -> Iterator[Access]:
    """Access for a program. The password is in a pass file (PostgreSQL docs 34.16) of mode 0600 that lies
    in memory: never in argv or the environment, and on no disk even if we are killed.
    """
    words = {"host": wire.host, "port": str(wire.port), "user": wire.user, "dbname": wire.database, **wire.tls}
    line = " ".join(f"{key}={conninfo_value(value)}" for key, value in words.items())
    fd = os.memfd_create("pgpass", os.MFD_CLOEXEC)
    try:
        os.fchmod(fd, 0o600)
        if wire.password:
            escaped = wire.password.replace("\\", "\\\\").replace(":", "\\:")
            os.write(fd, f"*:*:*:*:{escaped}\n".encode("utf-8", "surrogateescape"))
        env = {"PGPASSFILE": f"/proc/self/fd/{fd}", "PGAPPNAME": "pgproof", "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS)}
        env["PGOPTIONS"] = without_timeouts(wire.version_num)
        yield Access(line, env, (fd,))
    finally:
        os.close(fd)


def copy_out(connection: "psycopg.Connection[tuple[Any, ...]]", query: str, take: Callable[[bytes], None]) -> int:
    """COPY (query) TO STDOUT; `take` gets chunks of whole rows. Returns the server's own count."""
    with translated(), connection.cursor() as cursor:
        with cursor.copy(f"COPY ({query}) TO STDOUT".encode(connection.info.encoding)) as rows:
            gathered, size = [], 0
            for row in rows:
                gathered.append(bytes(row))
                size += len(row)
                if size >= _GATHER:
                    take(b"".join(gathered))
                    gathered, size = [], 0
            if gathered:
                take(b"".join(gathered))
        return cursor.rowcount


def end_sessions(session: Session, database: str) -> None:
    """Of all that are connected to a database. PostgreSQL 14 waits until each has ended; before it the rename that
    follows does, for five seconds (PostgreSQL docs 9.28.2, pg_terminate_backend). Raises QueryFailed.
    """
    words = "pid, 5000" if session.version_num >= 140000 else "pid"
    session.run(
        f"SELECT pg_catalog.pg_terminate_backend({words}) FROM pg_catalog.pg_stat_activity WHERE datname = %s"
        " AND backend_type IS DISTINCT FROM 'autovacuum worker'",  # not everybody may; a rename ends it itself
        [database],
    )
