"""Which containers may be PostgreSQL servers, where they keep their data, how to reach them, and who uses them."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from pgproof.docker.nouns import Container, Mount
from pgproof.docker.own import is_own

PORT = "5432/tcp"
DATA = "/var/lib/postgresql/data"  # PGDATA of the official images up to PostgreSQL 17
_IMAGE = re.compile(r"postgres|postgis|pgsql|timescale|pgvector|spilo", re.IGNORECASE)
_VARIABLES = ("POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "POSTGRES_PASSWORD_FILE", "PGDATA", "PG_MAJOR")
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - what is published on all addresses is reached by the loopback
_HOST_KEY = re.compile(r"HOST|ADDR|SERVER|URL", re.IGNORECASE)


def may_be_server(one: Container) -> bool:
    """By image, variables and port; dumpers and clients may look so too: its processes tell."""
    image = one.image.partition("@")[0]
    return bool(_IMAGE.search(image)) or PORT in one.ports or any(name in one.env for name in _VARIABLES)


def data_folder(one: Container) -> str:
    """Where a server of the official images keeps its data, as the container sees it."""
    return one.env.get("PGDATA") or DATA


def data_mount(one: Container) -> Mount | None:
    """What the data directory lies in: the innermost mount; None for the container's own layer."""
    data = PurePosixPath(data_folder(one))
    around = [mount for mount in one.mounts if data.is_relative_to(mount.destination)]
    return max(around, key=lambda mount: len(PurePosixPath(mount.destination).parts), default=None)


def is_anonymous(volume: str) -> bool:
    """Whether the engine made up the name: such a volume is not found again by a container made anew."""
    return bool(_ANONYMOUS.fullmatch(volume))


def reach(one: Container, engine: str = "") -> tuple[str, int] | None:
    """Host and port: as published, else the container's address in its network; None when there is neither.

    `engine` is DOCKER_HOST: what is published on a remote engine is reached by that one's name.
    """
    if published := one.ports.get(PORT):
        host, port = published
        return (_engine_host(engine) if host in _EVERYWHERE else host), port
    return next(((address, 5432) for address in one.addresses.values()), None)


def _engine_host(engine: str) -> str:
    parts = urlsplit(engine)
    return parts.hostname or "127.0.0.1" if parts.scheme in ("tcp", "ssh", "http", "https") else "127.0.0.1"


def secret_file(one: Container) -> str:
    """The file of POSTGRES_PASSWORD_FILE as the engine's machine sees it; "" when there is none, or it is inside."""
    inside = one.env.get("POSTGRES_PASSWORD_FILE", "")
    for mount in one.mounts if inside else ():
        if not mount.volume and mount.source and PurePosixPath(inside).is_relative_to(mount.destination):
            return str(PurePosixPath(mount.source) / PurePosixPath(inside).relative_to(mount.destination))
    return ""


def dependants(server: Container, every: Iterable[Container]) -> tuple[Container, ...]:
    """Who uses the server: by Compose's depends_on in the same project, or in the same network with its name as a
    host in a variable; not the one that we run in, nor one that Compose ran once. In the order of their names.
    """
    others = [one for one in every if one.id != server.id and not one.oneoff and not is_own(one)]
    found = [one for one in others if _depends(one, server) or _names(one, server)]
    return tuple(sorted(found, key=lambda one: one.name))


def _depends(one: Container, server: Container) -> bool:
    return bool(server.service) and one.project == server.project and server.service in one.depends_on


def _names(one: Container, server: Container) -> bool:
    names = {server.name, server.service, *server.addresses.values()} - {""}
    return bool(one.addresses.keys() & server.addresses.keys()) and any(_is_named(one.env, name) for name in names)


def _is_named(env: Mapping[str, str], host: str) -> bool:
    """`jdbc:postgresql://HOST/x`, `user@HOST`, `HOST:5432`, and HOST alone where the variable is for one."""
    name = re.escape(host)
    inside = re.compile(rf"(//|@|\bhost=){name}(?![\w.-])|(?<![\w.-]){name}:\d")
    return any(inside.search(value) or (value == host and _HOST_KEY.search(key)) for key, value in env.items())
