"""The traps that Docker sets for backups: data that lies elsewhere than it seems, volumes empty or shared."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from pgproof.config import Docker
from pgproof.docker import Container, Engine
from pgproof.docker import servers as told
from pgproof.errors import NotFound, PgproofError
from pgproof.finding import Finding
from pgproof.postgres import server
from pgproof.postgres.server import Address, connect
from pgproof.sources.volume import left_stopped
from pgproof.sources.volume.place import find, is_readable


def examine(
    engine: Engine, source: str, docker: Docker, stopped: Path, address: Address | None = None
) -> Iterator[Finding]:
    """What may be wrong with a source's container, volume and services. Nothing is started, stopped or made.

    `stopped` is the folder with the records of what is stopped for a backup, `address` where the source's URL leads.
    """
    yield from _left(engine, source, docker, stopped)
    if address is not None and address.place:
        text = f"no network leads to {address.place}, or none is wanted: its server is reached by `docker exec`"
        yield Finding("container-exec", "ok", source, text)
    try:
        container = engine.container(docker.container)
    except NotFound as error:
        yield Finding("container", "critical", source, error.message, error.hint)
        return
    except PgproofError as error:
        yield Finding("engine", "critical", source, error.message, error.hint)
        return
    questions: tuple[Callable[..., Iterator[Finding]], ...] = (_state, _volume, _services)
    for question in questions:
        try:
            yield from question(engine, source, docker, container)
        except PgproofError as error:
            yield Finding(question.__name__.strip("_"), "critical", source, error.message, error.hint)
    if address is not None and container.running:
        yield from _same_server(engine, source, docker, container, address)


def data_trap(container: Container, volume: str) -> Finding | None:
    """Why what the server writes does not lie in `volume`, or not where it is found again; None when all is well.
    With "" any volume will do.
    """
    data, mount = told.data_folder(container), told.data_mount(container)
    near = next((one for one in container.mounts if one.volume and not told.is_anonymous(one.volume)), None)
    if mount is None or (volume and mount.volume != volume):
        wanted = f"the volume {volume}" if volume else "a volume"
        text = f"the data directory {data} of {container.name} does not lie in {wanted}: it would be backed up empty"
        return Finding("data-outside-volume", "critical", "", text, _mount_hint(data, mount is None))
    if told.is_anonymous(mount.volume):
        aside = f", and not in {near.volume}, which is mounted at {near.destination}" if near else ""
        text = f"the data of {container.name} lies in a volume without a name{aside}: a new container starts empty"
        return Finding("data-outside-volume", "critical", "", text, _mount_hint(data, bare=False))
    return None


def _mount_hint(data: str, bare: bool) -> str:
    lost = "it goes with the container: back it up logically first, then " if bare else ""
    eighteen = PurePosixPath(data).parts[-1] == "docker"  # /var/lib/postgresql/18/docker
    where = "/var/lib/postgresql (images of PostgreSQL 18 keep it below there)" if eighteen else data
    return f"{lost}mount the named volume at {where}"


def _left(engine: Engine, source: str, docker: Docker, stopped: Path) -> Iterator[Finding]:
    for one in left_stopped(stopped, docker.volume):
        hint = f"any pgproof command tries again; see: docker logs {one.name}"
        try:
            state = engine.container(one.id).state
        except PgproofError as error:
            state = error.message
        if state != one.state:
            text = f"{one.name} was stopped for a backup, and has not been started again ({state})"
            yield Finding("left-stopped", "critical", source, text, hint)


def _state(_engine: Engine, source: str, docker: Docker, container: Container) -> Iterator[Finding]:
    if container.running and container.health != "unhealthy":
        yield Finding("container", "ok", source, f"{docker.container} runs, of {container.image}")
        return
    state = container.health if container.running else f"{container.state} (exit code {container.exit_code})"
    hint = f"see: docker logs {container.name}"
    yield Finding("container", "warning", source, f"{docker.container} is {state}", hint)


def _same_server(
    engine: Engine, source: str, docker: Docker, container: Container, address: Address
) -> Iterator[Finding]:
    """A URL that leads to another server would have logical backups of one database and volumes of another."""
    try:
        with connect(address) as session:
            reached = server.identity(session).system_identifier
    except PgproofError:
        if docker.reach != "exec" and (place := told.reach(container, os.environ.get("DOCKER_HOST", ""))) is not None:
            text = f"the server in {container.name} is reached at {place[0]}:{place[1]}"
            yield Finding(
                "container-address", "info", source, text, "does the URL lead there, with the right password?"
            )
        return
    try:
        inside = find(engine, docker.container, docker.volume).control().system_identifier
    except PgproofError:
        return  # what stands against it has been said
    if reached and reached != inside:
        text = f"the URL leads to another server ({reached}) than the one in {container.name} ({inside})"
        yield Finding("wrong-server", "critical", source, text, "mend the URL or docker.container")


def _volume(engine: Engine, source: str, docker: Docker, container: Container) -> Iterator[Finding]:
    if docker.volume:
        try:
            engine.volume(docker.volume)
        except NotFound as error:
            hint = f"{error.hint}. Nothing was made: `docker run -v` would make an empty one"
            yield Finding("volume-missing", "critical", source, error.message, hint)
            return
    if (trap := data_trap(container, docker.volume)) is not None:
        yield Finding(trap.code, trap.level, source, trap.text, trap.hint)
        return
    mount = told.data_mount(container)
    assert mount is not None  # data_trap() would have said so
    if not mount.volume:
        text = f"the data of {container.name} lies in the folder {mount.source}, not in a volume"
        yield Finding("volume", "info", source, text, "it can be backed up logically")
        return
    bad = [*_filled(engine, source, mount.volume, mount.destination, container), *_shared(engine, source, container)]
    yield from bad or (
        Finding("volume", "ok", source, f"the data lies in the volume {mount.volume} at {mount.destination}"),
    )


def _filled(engine: Engine, source: str, volume: str, target: str, container: Container) -> Iterator[Finding]:
    inside = PurePosixPath(told.data_folder(container)).relative_to(target)
    root = Path(engine.volume(volume).mountpoint)
    if not is_readable(root):
        text = f"the volume {volume} cannot be read at {root} from here: its backups go by docker cp, in one pass"
        hint = "as root on the engine's own machine the stop is shorter, and it can be restored in place and recovered"
        yield Finding("volume-unreadable", "info", source, text, hint)
        return
    try:
        names = {one.name for one in (root / inside).iterdir()}
    except FileNotFoundError:
        names = set()
    except OSError as error:
        yield Finding("volume-unreadable", "info", source, f"{root / inside} cannot be read: {error.strerror}", "")
        return
    if "PG_VERSION" not in names:
        what = "is empty" if not names else "holds no data directory"
        where = "" if str(inside) == "." else f", folder {inside},"
        hint = f"see where the server keeps its data: docker exec {container.name} psql -c 'SHOW data_directory'"
        yield Finding("volume-empty", "critical", source, f"the volume {volume}{where} {what}", hint)


def _shared(engine: Engine, source: str, container: Container) -> Iterator[Finding]:
    mine = told.data_mount(container)
    for other in engine.using(mine.volume if mine else ""):
        its = told.data_mount(other)
        if other.id == container.id or not told.may_be_server(other) or its is None or mine is None:
            continue
        if its.volume != mine.volume or _place(other, its.destination) != _place(container, mine.destination):
            continue
        if not other.running:
            text = f"{other.name}, which is {other.state}, has the same data directory as {container.name}"
            yield Finding("volume-shared", "warning", source, text, f"docker rm {other.name}, if it is the old one")
        elif engine.serves(other):
            text = f"two servers run on the volume {mine.volume}: {container.name} and {other.name}"
            yield Finding("volume-shared", "critical", source, text, "stop one now: two servers destroy the data")


def _place(one: Container, target: str) -> PurePosixPath:
    return PurePosixPath(told.data_folder(one)).relative_to(target)


def _services(engine: Engine, source: str, docker: Docker, container: Container) -> Iterator[Finding]:
    every = engine.containers()
    for name in docker.services:
        if name not in {one.name for one in every} | {one.id for one in every}:
            hint = f"there are: {', '.join(one.name for one in every)}"
            yield Finding("service-missing", "critical", source, f"there is no container {name!r}", hint)
    more = [one.name for one in told.dependants(container, every) if one.name not in docker.services and one.running]
    if more:
        text = f"{', '.join(more)} uses the database and is not among its services"
        hint = "a volume backup stops the server under it: name it in docker.services"
        yield Finding("service-unlisted", "info", source, text, hint)
