"""Throw-away servers in containers: of a given image, without a network, reached by a socket in a private folder."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pgproof.cluster import Image
from pgproof.docker import Container, Engine
from pgproof.errors import NotFound, NotProven, PgproofError, Refused, Unreachable
from pgproof.postgres.server import Address, connect
from pgproof.stream import process

OWNER = "pgproof.drill"  # the label that says whose it is
SOCKETS = "/pgproof"  # in the container: the folder of the server's socket and of its own hba file
_USUAL = "/var/run/postgresql"  # where the entry point of the official images looks for the server it sets up with
_FINAL = "localhost"  # what the server listens on once the entry point has set it up; there is no network
_START_SECONDS = 600.0  # recovery of a crash-consistent copy may be long
_LONGEST = 107  # bytes of a socket's name: unix(7), sun_path
_MEMORY, _PIDS = "2g", 256
_SIGKILL = 128 + 9
_NOTICED_SECONDS = 5.0  # until the engine knows of a container that ended
_SHORT = (
    f"is memory short here? it may have {_MEMORY} and {_PIDS} processes; `journalctl -k` tells whom the kernel ended"
)
_SETTINGS = {
    "listen_addresses": _FINAL,
    "unix_socket_directories": f"{_USUAL},{SOCKETS}",
    "unix_socket_permissions": "0777",
    "hba_file": f"{SOCKETS}/pg_hba.conf",
    "archive_mode": "off",  # nothing of a drill may reach the archive of production
    "primary_conninfo": "",
    "max_logical_replication_workers": "0",
    "cron.launch_active_jobs": "off",
    "shared_buffers": "64MB",
}
_WHO = "was the cluster made with another superuser? let pgproof reach the server when it backs the volume up"


@dataclass(frozen=True, slots=True)
class Contained:
    """A server in a container. `folder` is where its socket is on this machine."""

    container: Container
    address: Address
    folder: Path


@contextlib.contextmanager
def contained(
    engine: Engine, image: Image, superuser: str, mounts: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Iterator[Contained]:
    """Start one, and remove it with all its data at the end; it may not take connections yet. Raises NotProven when
    no container of the image can be started.
    """
    settings = [word for key, value in _SETTINGS.items() for word in ("-c", f"{key}={value}")]
    with _sockets() as sockets:
        try:
            made = engine.run(
                image.id,
                name=f"pgproof_drill_{os.urandom(6).hex()}_server",
                labels=labels(),
                mounts=(*mounts, f"type=bind,source={sockets},target={SOCKETS}"),
                env=env,
                memory=_MEMORY,
                pids=_PIDS,
                command=("postgres", *settings),
            )
        except PgproofError as error:
            raise NotProven(
                f"no container of the image {image.name} can be started: {error.message}",
                hint=f"the drill needs the very image: docker pull {(*image.digests, image.name)[0]}",
            ) from error
        try:
            yield Contained(made, Address(f"host={sockets} port=5432 user={superuser} dbname=postgres"), sockets)
        except Unreachable as error:
            if killed := _killed(engine, made):
                raise NotProven(f"the throw-away server of the drill was lost: {killed}", hint=_SHORT) from error
            raise
        finally:
            engine.remove(made.id)


def _killed(engine: Engine, made: Container) -> str:
    """What ended the server, or one of its processes; "" where it runs, and something else is out of reach."""
    deadline = time.monotonic() + _NOTICED_SECONDS
    while time.monotonic() < deadline:
        try:
            now = engine.container(made.id)
        except NotFound:
            return "its container is gone"
        except PgproofError:
            return ""  # the engine cannot be asked: what went wrong first is what is to be said
        if not now.running:
            how = "was killed" if now.exit_code == _SIGKILL else f"ended with exit code {now.exit_code}"
            return f"its container {how}"
        lines = engine.logs(made.id, 50).splitlines()
        if said := next((line.strip() for line in reversed(lines) if "was terminated by signal" in line), ""):
            return said
        time.sleep(0.2)
    return ""


def wait(engine: Engine, server: Contained) -> str:
    """Until it takes connections; else what it says. Raises NotProven when it will not have us."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with connect(server.address) as session:
                if session.value("SHOW listen_addresses") == _FINAL:
                    return ""
        except PgproofError as error:
            if isinstance(error, Refused) or "does not exist" in error.message:
                raise NotProven(f"the drill cannot log in: {error.message}", hint=_WHO) from error
        if engine.container(server.container.id).state != "running" or time.monotonic() > deadline:
            return f"does not start: {engine.logs(server.container.id, 5)}"
        time.sleep(0.2)


def labels() -> dict[str, str]:
    """By which what we make is known as ours, and by whom it was made."""
    return {OWNER: process.identity().tag}


def sweep(engine: Engine) -> int:
    """Remove what drills that were killed on this machine left behind; returns how many things."""
    count = 0
    for one in engine.containers():
        if _abandoned(one.labels):
            engine.remove(one.id)
            count += 1
    for volume in engine.volumes():
        if _abandoned(volume.labels):
            with contextlib.suppress(PgproofError):
                engine.remove_volume(volume.name)
                count += 1
    return count


def _abandoned(labels: Mapping[str, str]) -> bool:
    return OWNER in labels and process.is_gone_by(labels[OWNER])


@contextlib.contextmanager
def _sockets() -> Iterator[Path]:
    """A folder for the socket: nobody but us can enter the one above it, the server may write in the one inside."""
    above = Path(tempfile.mkdtemp(prefix="pgproof-drill-"))
    try:
        inside = above / "socket"
        if len(os.fsencode(inside / ".s.PGSQL.5432")) > _LONGEST:
            raise NotProven(f"the folder {inside} has too long a name for a socket", hint="set TMPDIR to a shorter one")
        inside.mkdir()
        inside.chmod(0o777)
        (inside / "pg_hba.conf").write_text("local all all trust\n")
        (inside / "pg_hba.conf").chmod(0o644)
        yield inside
    finally:
        shutil.rmtree(above, ignore_errors=True)
