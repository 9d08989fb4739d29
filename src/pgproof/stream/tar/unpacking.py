"""An archive back into a folder: nothing leaves it, no link is followed, what a later member says again wins."""

import contextlib
import os
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from pgproof.errors import Damaged, PgproofError, Refused
from pgproof.stream.tar.building import ATTRIBUTE, SPARSE

_STRIDE = 1 << 20
_HOLE = 1 << 16  # zeros from this length on become a hole again, where the file had some
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Unpacked:
    """What was made; `notes` say what could not be kept."""

    files: int = 0
    bytes: int = 0
    notes: list[str] = field(default_factory=list)


def unpack(stream: BinaryIO, root: Path, *, but: Collection[str] = frozenset()) -> Unpacked:
    """Unpack the tar archive `stream` into the folder `root`, all but the names in `but`. Owners are given where
    we are root. All is on disk when it returns (syncfs).

    Raises Damaged for what is no archive of ours, Refused for a member that would lie outside, PgproofError when
    the disk is full or may not be written.
    """
    made, folders = Unpacked(), dict[str, tarfile.TarInfo]()
    top = os.open(root, _FOLDER)
    try:
        for info, content in _members(stream):
            if info.name in but:
                continue
            if info.isdir():
                folders[info.name] = info
            if not _is_root(info.name):
                with _reported(info.name), _parent(top, info.name) as (parent, name):
                    _make(parent, name, info, content, top, made)
        for path in sorted(folders, reverse=True):  # last: their times, and modes that may forbid writing
            with _reported(path), _parent(top, path) as (parent, name):
                _finish(parent, name, folders[path], made)
        os.sync()
    finally:
        os.close(top)
    return made


def _members(stream: BinaryIO) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_STRIDE, errorlevel=2) as archive:
            for info in archive:
                yield info, archive.extractfile(info) if info.isreg() else None
    except tarfile.TarError as error:
        raise _broken(error) from error


def _broken(error: tarfile.TarError) -> Damaged:
    return Damaged(f"the archive cannot be read: {error}", hint="restore from another copy of this backup")


def _is_root(name: str) -> bool:
    return not PurePosixPath(name).parts


@contextlib.contextmanager
def _reported(name: str) -> Iterator[None]:
    try:
        yield
    except tarfile.TarError as error:
        raise _broken(error) from error
    except OSError as error:
        text = f"{name!r} cannot be made: {error.strerror or error}"
        raise PgproofError(
            text, hint="look at the room on that disk and the rights there; nothing else was touched"
        ) from error


@contextlib.contextmanager
def _parent(top: int, path: str) -> Iterator[tuple[int, str]]:
    """The folder that is to hold `path`, opened step by step from `top` on, no link followed; and the last name."""
    parts = PurePosixPath(path).parts or (".",)
    if path.startswith("/") or ".." in parts:
        raise Refused(f"the archive has a member {path!r}, which would lie outside", hint="it was not made by pgproof")
    at = os.dup(top)
    try:
        for step in parts[:-1]:
            below = os.open(step, _FOLDER, dir_fd=at)
            os.close(at)
            at = below
        yield at, parts[-1]
    finally:
        os.close(at)


def _make(parent: int, name: str, info: tarfile.TarInfo, content: IO[bytes] | None, top: int, made: Unpacked) -> None:
    if info.isdir():
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=parent)
    if info.issym():
        os.symlink(info.linkname, name, dir_fd=parent)
    elif info.islnk():
        with _parent(top, info.linkname) as (other, target):
            os.link(target, name, src_dir_fd=other, dst_dir_fd=parent, follow_symlinks=False)
        return
    elif content is not None:
        _write(parent, name, info, content)
        made.bytes += info.size
    else:
        raise Refused(
            f"the archive has a member {info.name!r} of a kind that pgproof does not write", hint="see `tar tvf`"
        )
    made.files += 1
    _finish(parent, name, info, made)


def _write(parent: int, name: str, info: tarfile.TarInfo, content: IO[bytes]) -> None:
    file = os.open(name, _NEW, 0o600, dir_fd=parent)
    holes = SPARSE in info.pax_headers
    try:
        place = 0
        while data := content.read(_HOLE if holes else _STRIDE):
            if not holes or data.count(0) != len(data):
                _write_all(file, data, place)
            place += len(data)
        os.ftruncate(file, place)
        if place != info.size:
            raise Damaged(f"the archive ends within {info.name!r}", hint="restore from another copy of this backup")
    finally:
        os.close(file)


def _write_all(file: int, data: bytes, place: int) -> None:
    rest = memoryview(data)
    while rest:
        done = os.pwrite(file, rest, place)
        rest, place = rest[done:], place + done


def _finish(parent: int, name: str, info: tarfile.TarInfo, made: Unpacked) -> None:
    """Owner first, as a change of owner takes bits off the mode; then mode, attributes and times."""
    if os.geteuid() == 0:
        os.chown(name, info.uid, info.gid, dir_fd=parent, follow_symlinks=False)
    if not info.issym():
        os.chmod(name, info.mode & 0o7777, dir_fd=parent)
    for key, value in info.pax_headers.items():
        if key.startswith(ATTRIBUTE):
            _attribute(f"/proc/self/fd/{parent}/{name}", key.removeprefix(ATTRIBUTE), value, made)
    os.utime(name, ns=(int(info.mtime) * 10**9,) * 2, dir_fd=parent, follow_symlinks=False)


def _attribute(path: str, name: str, value: str, made: Unpacked) -> None:
    try:
        os.setxattr(path, name, value.encode("utf-8", "surrogateescape"), follow_symlinks=False)
    except OSError as error:
        note = f"the attribute {name} could not be kept: {error.strerror}"
        if note not in made.notes:
            made.notes.append(note)
