"""Restore a volume backup: into a new volume, or in place of what is there, which is kept in a volume beside it."""

import contextlib
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pgproof.actions.volume.exchange import exchange, finish, refuse_used
from pgproof.actions.volume.filling import filled, is_here
from pgproof.actions.volume.unpacking import cluster_of
from pgproof.docker import Engine, Volume
from pgproof.errors import NotFound, Refused, UsageError
from pgproof.manifest import stamp_of
from pgproof.stream.progress import Progress
from pgproof.stream.reading import Reading


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done, in words, before it is. `aside` is the volume that keeps the old content, "" for none."""

    backup: str
    volume: str
    aside: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restored:
    backup: str
    volume: str
    files: int
    bytes: int
    aside: str
    notes: tuple[str, ...]


def plan(reading: Reading, engine: Engine, volume: str, now: datetime, *, in_place: bool) -> Plan:
    """Look at everything that could stand against it. Raises Refused, UsageError."""
    manifest = reading.manifest
    cluster = cluster_of(manifest)
    _check_name(volume)
    steps = ["read every stored byte, and check it against its hash"]
    try:
        there = engine.volume(volume)
    except NotFound:
        steps += [
            f"make the volume {volume}",
            f"unpack {cluster.files.count:,} files of PostgreSQL {manifest.server.major}",
        ]
        return Plan(manifest.id, volume, "", tuple(steps))
    refuse_used(engine, volume)
    if not is_here(Path(there.mountpoint)):
        raise Refused(
            f"the volume {volume} is there, and its folder {there.mountpoint} cannot be used from here",
            hint="restore into a new volume, --to volume:NAME; or run it as root on the engine's own machine",
        )
    _refuse_major(there, cluster.folder, manifest.server.major)
    if any(Path(there.mountpoint).iterdir()) and not in_place:
        raise Refused(
            f"the volume {volume} is there and has files",
            hint="restore into a new one, --to volume:NAME; or say --replace: what it has is kept in another volume",
        )
    aside = f"{volume}_before_{stamp_of(now)}"
    steps += [f"unpack {cluster.files.count:,} files into a volume beside it", f"move what {volume} has to {aside}"]
    return Plan(manifest.id, volume, aside, (*steps, f"move the files into {volume}"))


def restore(reading: Reading, engine: Engine, wanted: Plan, state: Path, progress: Progress) -> Restored:
    """Carry the plan out; `state` is the folder for the record of a change of content. What was there before is
    there afterwards, or in `aside`. Raises PgproofError.
    """
    finish(engine, state, wanted.volume)
    progress.begin("authenticating", reading.manifest.size)
    reading.check_all(progress)
    fresh = wanted.volume if not wanted.aside else f"{wanted.volume}_restoring_{os.urandom(4).hex()}"
    made = filled(reading, engine, fresh, progress)
    if wanted.aside:
        try:
            exchange(engine, state, wanted.volume, fresh, wanted.aside)
        except Refused:
            engine.remove_volume(fresh)
            raise
    return Restored(reading.manifest.id, wanted.volume, made.files, made.bytes, wanted.aside, tuple(made.notes))


def _check_name(volume: str) -> None:
    if not volume or not all(letter.isalnum() or letter in "_.-" for letter in volume) or not volume[0].isalnum():
        raise UsageError(f"{volume!r} cannot be the name of a volume", hint="letters, digits, '_', '.' and '-'")


def _refuse_major(there: Volume, folder: str, major: int) -> None:
    """The files of another major version cannot take each other's place: its server would not start on them."""
    file = Path(there.mountpoint) / folder / "PG_VERSION"
    with contextlib.suppress(OSError, ValueError):
        if (found := int(file.read_text().strip())) != major:
            raise Refused(
                f"the volume {there.name} is of PostgreSQL {found}, the backup of PostgreSQL {major}",
                hint=f"restore into a new volume and run it with an image of PostgreSQL {major}",
            )
