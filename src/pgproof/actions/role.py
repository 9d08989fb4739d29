"""Role: which account the sources of one server need, and what that server is."""

from collections.abc import Sequence
from dataclasses import dataclass

from pgproof.config import SourceSettings
from pgproof.errors import PgproofError, UsageError
from pgproof.job import address_of
from pgproof.postgres import privileges
from pgproof.postgres.server import Address, connect

ASSUMED = 180000  # a version whose SQL is that of all that are newer than 13, but for a line on large objects


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the SQL depends on. `known` tells whether the server itself said its version."""

    server: str
    databases: tuple[str, ...]
    version_num: int
    known: bool
    limit: int

    @property
    def major(self) -> int:
        return self.version_num // 10000


def example(version_num: int | None) -> Wanted:
    """What to print where nothing is configured."""
    return Wanted("", ("keycloak",), version_num or ASSUMED, known=False, limit=privileges.connections(2))


def wanted(sources: Sequence[SourceSettings], version_num: int | None) -> Wanted:
    """For one server with all of these sources; it is asked what it is, unless `version_num` says so.

    A server that does not let us in is no error: the account may be the one that is yet to be made.
    Raises UsageError for sources on several servers, ConfigError.
    """
    addresses = [Address(one.conninfo().reveal()) for one in sources]
    servers = sorted({one.server for one in addresses})
    if len(servers) > 1:
        hint = f"name one: {', '.join(one.name for one in sources)}"
        raise UsageError(f"the sources are on {len(servers)} servers, and each needs its own role", hint=hint)
    found = version_num or next(filter(None, map(_version, sources)), None)
    databases = tuple(dict.fromkeys(one.database for one in addresses))
    limit = sum(privileges.connections(one.jobs) for one in sources)
    return Wanted(servers[0], databases, found or ASSUMED, known=found is not None, limit=limit)


def one_of_each_server(sources: Sequence[SourceSettings]) -> list[SourceSettings]:
    """The first source on each server. Raises ConfigError."""
    return list({Address(one.conninfo().reveal()).server: one for one in reversed(sources)}.values())[::-1]


def _version(source: SourceSettings) -> int | None:
    try:
        with connect(address_of(source)) as session:
            return session.version_num
    except PgproofError:
        return None
