"""The databases beside one: what a server tells of the others that it has, and where it listens."""

from pgproof.errors import PgproofError
from pgproof.postgres.server import Address, Session, connect, identity

MAINTENANCE = "postgres"
# Every server has this one, mostly empty; it is told only with tables of its own in it.
_FILLED = r"""
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_depend d
          WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
"""
_DATABASES = "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1"
_LISTENING = "SELECT pg_catalog.host(pg_catalog.inet_server_addr()), pg_catalog.inet_server_port()"


def databases(session: Session, address: Address) -> tuple[str, ...]:
    """Those that take connections and are no templates; `postgres` only where it has tables that no extension made,
    and can be looked into. Raises QueryFailed, Unreachable.
    """
    names = [str(one) for (one,) in session.rows(_DATABASES)]
    return tuple(one for one in names if one != MAINTENANCE or _filled(address))


def _filled(address: Address) -> bool:
    try:
        with connect(address, MAINTENANCE) as session:
            return bool(session.value(_FILLED))
    except PgproofError:
        return False


def places(session: Session, address: Address) -> tuple[str, ...]:
    """As what the server is known: `host:port` as it is written, as it was reached, and as the server sees itself
    (inside a container that is the container's own address). Raises QueryFailed, Unreachable.
    """
    wire = session.wire()
    own, port = session.row(_LISTENING)
    reached = [address.place] if address.place else [f"{address.host}:{wire.port}", f"{wire.host}:{wire.port}"]
    found = [*reached, *([f"{own}:{port}"] if own else [])]
    return tuple(dict.fromkeys(found))


def server(session: Session, reached: tuple[str, ...]) -> str:
    """What tells a server from others: its system identifier, or where it was reached. Raises PgproofError."""
    return identity(session).system_identifier or " ".join(reached)
