"""The files of a volume backup into a folder, and what must be true of them there."""

from pathlib import Path

from pgproof.cluster import CONTROL_FILE, REMOVED, Cluster, Image, control
from pgproof.errors import Damaged, PgproofError
from pgproof.manifest import Manifest
from pgproof.stream import tar
from pgproof.stream.progress import Progress
from pgproof.stream.reading import Reading


def cluster_of(manifest: Manifest) -> Cluster:
    """Raises Damaged for a manifest that says volume and has none."""
    if manifest.cluster is None:
        raise Damaged(f"{manifest.id} is no volume backup", hint="restore from another backup")
    if "," in manifest.cluster.target or not manifest.cluster.target.startswith("/"):
        raise Damaged(f"{manifest.id} names a place that no container has", hint="do not use it: who wrote that?")
    return manifest.cluster


def image_of(manifest: Manifest) -> Image:
    """The image that ran the server. Raises Damaged for a manifest without one."""
    if manifest.image is None:
        raise Damaged(f"{manifest.id} does not say of which image it is", hint="restore from another backup")
    return manifest.image


def unpack(reading: Reading, root: Path, progress: Progress) -> tar.Unpacked:
    """Fill the empty folder `root`. The stored bytes were checked before; each block is again. Raises Damaged,
    PgproofError.
    """
    manifest = reading.manifest
    files = cluster_of(manifest).files
    progress.begin("unpacking", files.bytes)
    with reading.blaming_the_key(manifest.main), reading.plain(manifest.main, progress) as stream:
        made = tar.unpack(stream, root, but=frozenset({*files.removed, REMOVED}))
    _check(manifest, root)
    return made


def check_control(manifest: Manifest, data: bytes) -> None:
    """Raises Damaged where it is another cluster's, or another moment's."""
    if control(data) != cluster_of(manifest).control:
        raise Damaged(
            f"{manifest.id}: the control file is not the one that was read", hint="restore from another backup"
        )


def check_count(manifest: Manifest, count: int) -> None:
    """Raises PgproofError where files are missing, or too many."""
    read = cluster_of(manifest).files.count
    if count != read:
        raise PgproofError(f"{count} files are there, {read} were read", hint="report this, please")


def _check(manifest: Manifest, root: Path) -> None:
    try:
        check_control(manifest, (root / cluster_of(manifest).folder / CONTROL_FILE).read_bytes())
    except OSError as error:
        raise Damaged(f"{manifest.id} has no control file in it", hint="restore from another backup") from error
    check_count(manifest, sum(1 for one in tar.walk(root) if one.kind == "file"))
