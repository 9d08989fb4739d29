"""Look around for servers to protect, for `pgproof init`: a given URL, the environment, local sockets."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from pgproof import config
from pgproof.config.references import parse_reference
from pgproof.errors import PgproofError, UsageError
from pgproof.manifest import check_source_name
from pgproof.postgres.server import Address, connect

_SOCKETS = ("/var/run/postgresql", "/run/postgresql", "/tmp")  # noqa: S108 - where PostgreSQL listens by default


@dataclass(frozen=True, slots=True)
class Found:
    """Sources for the configuration (name and URL), and what to tell about the search."""

    sources: tuple[tuple[str, str], ...]
    lines: tuple[str, ...]
    password: str | None
    keycloaks: tuple[str, ...] = ()

    def template(self, store: str) -> str:
        """The configuration to write."""
        return config.template(self.sources, store=store, password=self.password, keycloaks=self.keycloaks)


def look_around(url: str | None, password: str | None, env: Mapping[str, str]) -> Found:
    """One source for each database of the first server that answers. Raises ConfigError, Unreachable for
    a URL that was given and does not work.
    """
    reference = parse_reference(password, "--password", Path.cwd()) if password else None
    secret = reference.resolve() if reference else None
    if url:
        config.check_url(url, "--url")
        return _found(Address(url, secret), url, password, (f"Found the server at {Address(url).describe()}.",))
    for place in (env.get("PGHOST"), *_SOCKETS):
        if not place or (place.startswith("/") and not Path(place, f".s.PGSQL.{env.get('PGPORT', '5432')}").exists()):
            continue
        candidate = f"postgresql:///postgres?host={place}"
        try:
            return _found(Address(candidate, secret), candidate, password, (f"Found a server at {place}.",))
        except PgproofError:
            continue
    return Found((), ("No server was found here; the configuration has an example to fill in.",), password)


_DATABASES = "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1"


def _found(address: Address, url: str, password: str | None, lines: tuple[str, ...]) -> Found:
    with connect(address) as session:
        names = [one for (one,) in session.rows(_DATABASES)]
        current = session.value("SELECT current_database()")
    wanted = [one for one in names if one != "postgres"] or [current]
    sources = tuple((_source_name(one), _with_database(url, one)) for one in wanted)
    keycloaks = tuple(_source_name(one) for one in wanted if _is_keycloak(address.to(one)))
    told = [f"Databases to protect: {', '.join(wanted)}."]
    told += [f"{one} is a Keycloak: its own questions will be asked of every restored copy." for one in keycloaks]
    return Found(sources, (*lines, *told), password, keycloaks)


def _is_keycloak(address: Address) -> bool:
    """Whether the database has the tables by which Keycloak knows itself."""
    try:
        with connect(address) as session:
            return bool(
                session.value("""
                SELECT count(*) = 3 FROM pg_catalog.pg_class
                WHERE relkind = 'r' AND relname IN ('migration_model', 'user_entity', 'keycloak_role')""")
            )
    except PgproofError:
        return False


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
