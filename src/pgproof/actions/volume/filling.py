"""A new volume with the files of a backup: unpacked where its folder is, or given to the engine by `docker cp`."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from pgproof.actions.contained import labels as throwaway
from pgproof.actions.volume.unpacking import check_control, check_count, cluster_of, image_of, unpack
from pgproof.cluster import CONTROL_FILE, REMOVED
from pgproof.docker import Container, Engine
from pgproof.errors import NotFound, PgproofError, Refused
from pgproof.manifest import Manifest
from pgproof.stream import tar
from pgproof.stream.progress import Progress
from pgproof.stream.reading import Reading

_SPARE = 64 << 20  # bytes that must stay free beside the files


def filled(
    reading: Reading, engine: Engine, name: str, progress: Progress, labels: Mapping[str, str] | None = None
) -> tar.Unpacked:
    """A new volume with the files of a backup in it, or none. Raises PgproofError."""
    made = engine.create_volume(name, {"pgproof.backup": reading.manifest.id, **(labels or {})})
    root = Path(made.mountpoint)
    try:
        if not is_here(root):
            return _given(reading, engine, name, progress)
        _refuse_small(root, cluster_of(reading.manifest).files.bytes)
        return unpack(reading, root, progress)
    except BaseException:
        with contextlib.suppress(PgproofError):
            engine.remove_volume(name)
        raise


def is_here(root: Path) -> bool:
    """Whether this process can write the volume as a folder: on the engine's own machine, and mostly as root."""
    return os.access(root, os.W_OK | os.X_OK)


def control_in(engine: Engine, manifest: Manifest, name: str) -> bytes:
    """The control file in a volume that no server uses. Raises OSError, NotFound, PgproofError."""
    path, root = f"{cluster_of(manifest).folder}/{CONTROL_FILE}".lstrip("/"), Path(engine.volume(name).mountpoint)
    if is_here(root):
        return (root / path).read_bytes()
    with _door(engine, manifest, name) as door, engine.reading(door.id, f"{_TARGET}/{path}") as child:
        return tar.only(child)


_ABOVE, _NAME = "/pgproof-door", "volume"
_TARGET = f"{_ABOVE}/{_NAME}"


@contextlib.contextmanager
def _door(engine: Engine, manifest: Manifest, name: str) -> Iterator[Container]:
    """A container that is never started, by which the volume is reached; where the image has the same path nothing
    of it gets into the volume, as there is no such path in any image.
    """
    mount = f"type=volume,source={name},target={_TARGET},volume-nocopy"
    called = f"pgproof_door_{os.urandom(6).hex()}"
    made = engine.create(image_of(manifest).id, name=called, labels=throwaway(), mount=mount)
    try:
        yield made
    finally:
        engine.remove(made.id)


def _given(reading: Reading, engine: Engine, name: str, progress: Progress) -> tar.Unpacked:
    """To the engine, wherever it is; what a second pass found to be gone is left out on the way."""
    manifest = reading.manifest
    files = cluster_of(manifest).files
    progress.begin("unpacking by docker cp", files.bytes)
    but = frozenset({*files.removed, REMOVED})
    with _door(engine, manifest, name) as door:
        with (
            reading.blaming_the_key(manifest.main),
            reading.plain(manifest.main, progress) as stream,
            engine.filling(door.id, _ABOVE) as child,
        ):
            count, size = tar.retold(stream, child, but, _NAME)
    try:
        check_control(manifest, control_in(engine, manifest, name))
    except NotFound as error:
        raise PgproofError("the engine has unpacked no control file", hint="report this, please") from error
    check_count(manifest, count)
    return tar.Unpacked(count, size, ["unpacked by docker cp: holes in files are filled, which takes more room"])


def _refuse_small(root: Path, size: int) -> None:
    free = shutil.disk_usage(root).free
    if free < size + _SPARE:
        text = f"{root} has {free >> 20} MB free, and the files need {size >> 20} MB"
        raise Refused(text, hint="make room there; nothing was touched")
