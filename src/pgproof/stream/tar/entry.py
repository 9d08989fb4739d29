"""What lies in a folder: each file, folder and link with all that an archive must keep of it."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pgproof.errors import PgproofError

Kind = Literal["file", "folder", "symlink", "hardlink"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in the tree. `name` is relative to its root, with bytes that are no UTF-8 as lone surrogates
    (os.fsdecode); `link` is where a link leads: for a hard link the name of the entry it is one with.
    """

    name: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    link: str = ""
    sparse: bool = False
    attributes: tuple[tuple[str, bytes], ...] = ()


def walk(root: Path) -> Iterator[Entry]:
    """`root` itself, named ".", and everything below it, folders before what is in them, in the order of names;
    links are not followed.

    Sockets, pipes and devices are left out: a server makes its own. What vanishes meanwhile is left out too.
    Raises PgproofError for what may not be read.
    """
    seen: dict[tuple[int, int], str] = {}
    top = _entry(root, ".", seen)
    if top is not None:
        yield top
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        names = _names(root / folder)
        below = []
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118 - a Path would cost a third of the walk
            entry = _entry(root, path, seen)
            if entry is None:
                continue
            yield entry
            if entry.kind == "folder":
                below.append(path)
        waiting += reversed(below)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are wanted
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(str(folder), error) from error


def unreadable(path: str, error: OSError) -> PgproofError:
    """The error for a file that must be read and cannot."""
    hint = "pgproof must run as a user who may read the whole volume: root, or the container's user"
    return PgproofError(f"{path!r} cannot be read: {error.strerror}", hint=hint)


def _entry(root: Path, name: str, seen: dict[tuple[int, int], str]) -> Entry | None:
    path = root / name
    try:
        found = path.lstat()
        kind = _kind(found.st_mode)
        if kind is None:
            return None
        link, key = "", (found.st_dev, found.st_ino)
        if kind == "symlink":
            link = os.readlink(path)  # noqa: PTH115 - as a string
        elif kind == "file" and found.st_nlink > 1:
            link = seen.setdefault(key, name)
            kind, link = ("hardlink", link) if link != name else ("file", "")
        attributes = tuple((one, os.getxattr(path, one, follow_symlinks=False)) for one in _attributes(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(str(path), error) from error
    size = found.st_size if kind == "file" else 0
    return Entry(
        name, kind, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, size, found.st_mtime_ns,
        found.st_ctime_ns, found.st_ino, link, found.st_blocks * 512 < size, attributes,
    )  # fmt: skip


def _attributes(path: Path) -> list[str]:
    try:
        return sorted(os.listxattr(path, follow_symlinks=False))
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        return []  # a file system without extended attributes


def _kind(mode: int) -> Kind | None:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "symlink" if stat.S_ISLNK(mode) else None
