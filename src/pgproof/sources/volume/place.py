"""Where a server's data directory lies: which container, which volume, which folder; and what stands against it."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pgproof.cluster import CONTROL_FILE, Control, control
from pgproof.docker import Container, Engine, servers
from pgproof.errors import NotFound, PgproofError, Refused
from pgproof.sources.volume import distant


@dataclass(frozen=True, slots=True)
class Place:
    """A data directory in a volume. `root` is the volume as this machine sees it, `target` as the container does,
    `folder` the data directory's place in it, "" for all of it. Where it is `distant`, `root` leads nowhere here.
    """

    container: Container
    using: tuple[Container, ...]
    volume: str
    root: Path
    target: str
    folder: str
    engine: Engine
    distant: bool = False

    @property
    def data(self) -> Path:
        return self.root / self.folder

    @property
    def inside(self) -> str:
        """The data directory as the container sees it."""
        return f"{self.target}/{self.folder}".rstrip("/")

    def content(self, name: str) -> bytes:
        """Of a file in the data directory. Raises OSError, NotFound, PgproofError."""
        if self.distant:
            return distant.content(self.engine, self.container.id, f"{self.inside}/{name}")
        return (self.data / name).read_bytes()

    def has(self, name: str) -> bool:
        if self.distant:
            return distant.is_there(self.engine, self.container.id, f"{self.inside}/{name}")
        return (self.data / name).exists()

    @property
    def major(self) -> int:
        """Raises Refused for a folder that is no data directory."""
        try:
            return int(self.content("PG_VERSION").decode().strip())
        except (OSError, ValueError, NotFound) as error:
            raise _no_cluster(self, error) from error

    def control(self) -> Control:
        """What the control file says now. Raises Refused, Damaged."""
        try:
            return control(self.content(CONTROL_FILE))
        except (OSError, NotFound) as error:
            raise _no_cluster(self, error) from error


def find(engine: Engine, name: str, volume: str) -> Place:
    """The data directory of the container `name`, which must lie in `volume` ("": in the volume it is in).

    Raises Refused for every trap that would make an empty or a wrong backup, NotFound, Unreachable.
    """
    container = engine.container(name)
    data, mount = servers.data_folder(container), servers.data_mount(container)
    if mount is None or not mount.volume or (volume and mount.volume != volume):
        raise _elsewhere(container, data, volume)
    found = engine.volume(mount.volume)
    if found.fleeting:
        raise Refused(
            f"the volume {found.name} is of type tmpfs: to stop {container.name} would end what is in it",
            hint="back the database up logically",
        )
    folder = str(PurePosixPath(data).relative_to(mount.destination))
    place = Place(
        container, engine.using(mount.volume), mount.volume, Path(found.mountpoint), mount.destination,
        "" if folder == "." else folder, engine, not is_readable(Path(found.mountpoint)),
    )  # fmt: skip
    _check(engine, place)
    return place


def _inside(path: str, folder: str) -> bool:
    return PurePosixPath(path).is_relative_to(folder)


def _check(engine: Engine, place: Place) -> None:
    place.control()
    servers = [one.name for one in place.using if one.id != place.container.id and engine.serves(one)]
    if servers:
        raise Refused(
            f"the volume {place.volume} is also used by the server {servers[0]}: two servers on one volume destroy it",
            hint="give each its own volume, and look at the data before anything else",
        )
    lack = "a volume backup would lack it: move it, or back the database up logically"
    for name, link in _links(place):
        if not _inside(posixpath.normpath(posixpath.join(place.inside, name, "..", link)), place.target):
            raise Refused(f"{name} lies at {link}, outside the volume {place.volume}", hint=lack)
    for one in place.container.mounts:
        if one.destination != place.target and _inside(one.destination, place.target):
            raise Refused(f"{one.destination} is mounted inside the volume {place.volume}", hint=lack)


def is_readable(root: Path) -> bool:
    """Whether this process can read the volume as a folder: only on the engine's own machine, and mostly as root."""
    try:
        list(root.iterdir())
    except OSError:
        return False
    return True


def _links(place: Place) -> Iterator[tuple[str, str]]:
    """What a server may keep elsewhere, by links: its tablespaces, and its WAL; each with where it leads."""
    if place.distant:
        for name, link in distant.links(place.engine, place.container.id, f"{place.inside}/pg_tblspc"):
            yield f"pg_tblspc/{name}", link
        if wal := distant.link(place.engine, place.container.id, f"{place.inside}/pg_wal"):
            yield "pg_wal", wal
        return
    for path in (place.data / "pg_wal", *(place.data / "pg_tblspc").glob("*")):
        if path.is_symlink():
            yield str(path.relative_to(place.data)), str(path.readlink())


def _no_cluster(place: Place, error: Exception) -> PgproofError:
    at = f"{place.volume}, folder {place.folder}" if place.folder else place.volume
    name = place.container.name
    return Refused(
        f"there is no PostgreSQL data directory in the volume {at} ({_why(error)})",
        hint=f"see where {name} keeps its data: docker exec {name} psql -c 'SHOW data_directory'",
    )


def _why(error: Exception) -> str:
    return error.strerror or "" if isinstance(error, OSError) else str(error)


def _elsewhere(container: Container, data: str, volume: str) -> PgproofError:
    volumes = ", ".join(f"{one.volume} at {one.destination}" for one in container.mounts if one.volume) or "no volume"
    hint = f"it has {volumes}. PostgreSQL 18's images keep data below /var/lib/postgresql: mount the volume there"
    where = f"the volume {volume}" if volume else "a volume"
    text = f"the data directory {data} of {container.name} does not lie in {where}"
    return Refused(text, hint=hint)
