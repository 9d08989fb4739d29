"""Look around for servers to protect, for `pgproof init`: a given URL, the environment, local sockets, containers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from pgproof import config
from pgproof.actions.look.containers import Server, servers
from pgproof.actions.look.questions import DATABASES, KEYCLOAK, wanted
from pgproof.config import Draft
from pgproof.config.references import parse_reference
from pgproof.docker import Engine
from pgproof.errors import PgproofError, UsageError
from pgproof.manifest import check_source_name
from pgproof.postgres.server import Address, connect

_SOCKETS = ("/var/run/postgresql", "/run/postgresql", "/tmp")  # noqa: S108 - where PostgreSQL listens by default


@dataclass(frozen=True, slots=True)
class Found:
    """Sources for the configuration, and what to tell about the search."""

    sources: tuple[Draft, ...]
    lines: tuple[str, ...]

    def template(self, store: str) -> str:
        """The configuration to write."""
        return config.template(self.sources, store=store)


def look_around(url: str | None, password: str | None, env: Mapping[str, str], engine: Engine | None = None) -> Found:
    """One source for each database of the server at `url`; else of the first that answers on this machine, and of
    those that run in containers. Raises ConfigError, Unreachable for a URL that was given and does not work.
    """
    reference = parse_reference(password, "--password", Path.cwd()) if password else None
    secret = reference.resolve() if reference else None
    if url:
        config.check_url(url, "--url")
        return _found(Address(url, secret), url, password, f"Found the server at {Address(url).describe()}.")
    found = [one for place in (env.get("PGHOST"), *_SOCKETS) if (one := _at(place, Address("", secret), password, env))]
    found = [*found[:1], _in_containers(engine or Engine(), password, env)]
    drafts = _told_apart([draft for one in found for draft in one.sources])
    lines = [line for one in found for line in one.lines]
    if not drafts:
        lines.append("No server was found here; the configuration has an example to fill in.")
    return Found(drafts, tuple(lines))


def _at(place: str | None, how: Address, password: str | None, env: Mapping[str, str]) -> Found | None:
    """A server at a host or in a folder of sockets, if one answers there."""
    if not place or (place.startswith("/") and not Path(place, f".s.PGSQL.{env.get('PGPORT', '5432')}").exists()):
        return None
    url = f"postgresql:///postgres?host={place}"
    try:
        return _found(replace(how, conninfo=url), url, password, f"Found a server at {place}.")
    except PgproofError:
        return None


def _found(address: Address, url: str, password: str | None, line: str) -> Found:
    with connect(address) as session:
        names = [str(one) for (one,) in session.rows(DATABASES)]
        current = str(session.value("SELECT current_database()"))
    chosen = wanted(names) or [current]
    keycloaks = [one for one in chosen if _is_keycloak(address.to(one))]
    drafts = [Draft(_source_name(one), _with_database(url, one), password, one in keycloaks) for one in chosen]
    return Found(tuple(drafts), (line, *_of_databases(chosen, keycloaks)))


def _of_databases(names: Sequence[str], keycloaks: Sequence[str]) -> list[str]:
    asked = [f"{one} is a Keycloak: its own questions will be asked of every restored copy." for one in keycloaks]
    return [f"Databases to protect: {', '.join(names)}.", *asked]


def _is_keycloak(address: Address) -> bool:
    """Whether the database has the tables by which Keycloak knows itself."""
    try:
        with connect(address) as session:
            return bool(session.value(KEYCLOAK))
    except PgproofError:
        return False


def _in_containers(engine: Engine, password: str | None, env: Mapping[str, str]) -> Found:
    """Those of a machine without an engine are none."""
    try:
        found, lines = servers(engine, env)
    except PgproofError as error:
        silent = "there is no program" in error.message
        return Found((), () if silent else (f"Containers were not looked at: {error.message}.",))
    drafts: list[Draft] = []
    told = list(lines)
    for one in found:
        drafts += _drafts(one, password)
        told += [*one.lines, *_of_databases(one.databases, one.keycloaks)]
    return Found(tuple(drafts), tuple(told))


def _drafts(server: Server, password: str | None) -> list[Draft]:
    docker = config.Docker(server.container, server.volume, server.services)
    return [
        Draft(
            _source_name(one), _with_database(server.url, one), password or server.password or None,
            one in server.keycloaks, docker, server.notes,
        )
        for one in server.databases
    ]  # fmt: skip


def _told_apart(drafts: Sequence[Draft]) -> tuple[Draft, ...]:
    """Names that two servers share get the container's before them, or a number behind."""
    made: dict[str, Draft] = {}
    for one in drafts:
        name = one.name
        if name in made and one.docker:
            name = _source_name(f"{one.docker.container}-{name}")
        tries = (name, *(f"{name[:50]}-{number}" for number in range(2, 1000)))
        free = next(candidate for candidate in tries if candidate not in made)
        made[free] = replace(one, name=free)
    return tuple(made.values())


def _source_name(database: str) -> str:
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in database.lower()).strip("-_")
    try:
        return check_source_name(plain)
    except UsageError:
        return f"db-{plain[:50]}" if plain else "database"


def _with_database(url: str, database: str) -> str:
    """The same server's URL or connection string, with another database in it."""
    if "://" not in url:
        return Address(url).to(database).conninfo
    return urlunsplit(urlsplit(url)._replace(path=f"/{quote(database, safe='')}"))
