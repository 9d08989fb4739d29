"""Volumes of an engine: restored beside, tried out in a throw-away container, switched by renames of their files."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pgproof.actions import restore, volume
from pgproof.actions.asking import Answers, ask, counters
from pgproof.actions.contained import sweep
from pgproof.actions.recover.ground import Counters, Outcome
from pgproof.actions.recover.journal import Recovery
from pgproof.checks import Check
from pgproof.cluster import CONTROL_FILE, Image, control
from pgproof.docker import Engine
from pgproof.errors import Damaged, NotFound, PgproofError, Refused
from pgproof.manifest import Manifest
from pgproof.postgres.server import Address
from pgproof.stream.progress import Progress
from pgproof.stream.reading import Reading


@dataclass(frozen=True, slots=True)
class Volumes:
    """`state` is the folder for the record of a change of content, `target` tells the address of the database that is
    asked the checks, once its server runs; `jobs` connections read at a time.
    """

    engine: Engine
    state: Path
    target: Callable[[], Address]
    jobs: int = 2
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        return f"the engine of {self.engine.machine()}"

    def resume(self, name: str) -> None:
        """Carry on with a change of the volume's content that was cut off. Raises PgproofError."""
        if name:
            volume.finish(self.engine, self.state, name)

    def is_of(self, recovery: Recovery) -> bool:
        return recovery.server == self.where

    def names(self, recovery: Recovery) -> frozenset[str]:
        there = frozenset(one.name for one in self.engine.volumes())
        return there if recovery.did("restore") else there - {recovery.new}

    def mark(self, name: str) -> str:
        """Files come and go in one volume, and its engine is here: nobody else recovers it."""
        del name
        return ""

    def restore(
        self, source: Reading, recovery: Recovery, wish: restore.Wish, now: datetime, progress: Progress
    ) -> Outcome:
        del now  # nothing of it gets a name by the time
        sweep(self.engine)
        self.drop(recovery.new)
        self._image(volume.image_of(source.manifest), progress)
        progress.begin("authenticating", source.manifest.size)
        source.check_all(progress)
        made = volume.filled(source, self.engine, recovery.new, progress, self.labels)
        with self._dropped_on_failure(recovery.new):
            how = volume.Conditions(self.engine, self.jobs, wish.checks, self.target().database, install=False)
            found = volume.try_out(source.manifest, recovery.new, how, wish.after, progress)
            if found.differences:
                wrong = "; ".join(f"{one.what}: {one.text}" for one in found.differences)
                raise Refused(
                    f"the server on the restored files is not what it should be: {wrong}",
                    hint="nothing was touched; recover from another backup (--backup)",
                )
        rows = sum(one.rows for one in found.tables)
        return Outcome(len(found.tables), rows, 0, found.checks, (*made.notes, *found.remarks), found.counters)

    def ask(self, name: str, checks: tuple[Check, ...]) -> Answers:  # noqa: ARG002 - a server runs on the live one alone
        return ask(self.target(), checks)

    def counters(self, name: str) -> Counters:  # noqa: ARG002 - as above
        return counters(self.target())

    def swap(self, live: str, coming: str, aside: str) -> None:
        volume.exchange(self.engine, self.state, live, coming, aside if has_files(self.engine, live) else "")

    def open_again(self, live: str) -> None:
        """A change of content that was cut off is carried on with: no server may start on half of its files."""
        self.resume(live)

    def drop(self, name: str) -> None:
        sweep(self.engine)  # a trial that was killed has its container on it
        with contextlib.suppress(NotFound):
            self.engine.remove_volume(name)

    def _image(self, image: Image, progress: Progress) -> None:
        if self.engine.has_image(image.id):
            return
        if not image.digests:
            raise Refused(
                f"the image {image.name} ({image.id[:19]}) is not here, and no registry has it",
                hint="build it again, or bring it with docker save and docker load; or recover a logical backup",
            )
        progress.begin(f"pulling {image.digests[0]}")
        self.engine.pull(image.digests[0])

    @contextlib.contextmanager
    def _dropped_on_failure(self, name: str) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with contextlib.suppress(PgproofError):
                self.drop(name)
            raise


def has_files(engine: Engine, name: str) -> bool:
    """Whether a volume is there and has anything in it. Raises Refused where that cannot be seen."""
    try:
        root = Path(engine.volume(name).mountpoint)
        return any(root.iterdir())
    except NotFound:
        return False
    except OSError as error:
        raise Refused(
            f"the volume {name} cannot be read: {error.strerror}", hint="run it as root on the engine's own machine"
        ) from error


@dataclass(frozen=True, slots=True)
class Site:
    """What is in the place of a volume before it is recovered. `identifier` is the system's, "" where none can be
    told; `free` are bytes, None where there is no volume yet; `container` is "" where the server's own is gone.
    """

    name: str
    existed: bool
    size: int
    free: int | None
    identifier: str
    container: str
    image_id: str


def look(engine: Engine, manifest: Manifest, name: str, container: str, services: tuple[str, ...]) -> Site:
    """Raises Refused where the volume is used by somebody who would not be stopped."""
    try:
        server = engine.container(container)
    except NotFound:
        server = None
    if server is not None and name not in {one.volume for one in server.mounts}:
        raise Refused(
            f"the container {container} does not use the volume {name}", hint="set docker.volume of the source right"
        )
    others = [one.name for one in engine.using(name) if one.running and one.name not in (container, *services)]
    if others:
        raise Refused(
            f"the volume {name} is used by {', '.join(others)} too, which would not be stopped",
            hint="stop it, or name it in docker.services of the source",
        )
    existed = has_files(engine, name)
    root = Path(engine.volume(name).mountpoint) if existed else None
    folder = volume.cluster_of(manifest).folder
    made_of = (container, server.image_id) if server else ("", "")
    if root is None:
        return Site(name, existed, 0, None, "", *made_of)
    return Site(name, existed, _size(root), shutil.disk_usage(root).free, _identifier(root / folder), *made_of)


def _identifier(data: Path) -> str:
    try:
        return control((data / CONTROL_FILE).read_bytes()).system_identifier
    except (OSError, Damaged):
        return ""


def _size(root: Path) -> int:
    total = 0
    for folder, _, files in os.walk(root):
        for one in files:
            with contextlib.suppress(OSError):
                total += os.lstat(Path(folder) / one).st_size
    return total
