"""A directory as a store, on a local disk or a mounted one: durable, private, never on the wrong disk.

A write goes to a temporary name beside the target, then fsync, rename into place, fsync of the
directory: after that it survives a power cut (tests/faults/test_power_cut.py). A failed fsync is not
tried again on the same file: the run fails and the file is gone.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import stat as modes
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NoReturn, Self, cast

from pgproof.errors import AlreadyExists, NotFound, Refused, Unreachable
from pgproof.finding import Finding
from pgproof.stores.names import TEMPORARY, checked, is_left, is_name, is_object, temporary
from pgproof.stores.store import Entry, Store
from pgproof.stream.sink import Sink

_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC
_ATTEMPTS = 50
_ROOM = 0.1  # of a disk; below that there is little


class DirectoryStore(Store):
    """Objects are files below `root`; directories 0700, files 0600, whatever the umask."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self, name: str, *, replace: bool = False) -> Sink:
        return _FileSink(self, checked(name), replace=replace)

    def open(self, name: str, start: int = 0, length: int | None = None) -> BinaryIO:
        with _translated(name):
            stream = os.fdopen(self._open(name), "rb", buffering=1 << 18)
            stream.seek(start)
        return cast(BinaryIO, _Window(stream, name, length))

    def stat(self, name: str) -> Entry:
        with _translated(name):
            fd = self._open(name)
            try:
                return _entry(name, os.fstat(fd))
            finally:
                os.close(fd)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        folder = prefix.rpartition("/")[0]
        if folder and (not is_name(folder) or self._link_above(f"{folder}/_")):
            return  # no object's name begins so
        with _translated(prefix):
            found = sorted(self._walk(folder))
        for name, status in found:
            if name.startswith(prefix):
                yield _entry(name, status)

    def delete(self, name: str, *, for_good: bool = False) -> None:
        del for_good  # there are no older versions
        path = self._path(name)
        with contextlib.suppress(NotFound), _translated(name):
            path.unlink()
            _sync_directory(path.parent)
        self._remove_empty(path.parent)

    def sweep(self, before: datetime) -> Sequence[str]:
        swept = []
        for path, began in list(self.leftovers()):
            if is_left(path.name, began, before):
                with contextlib.suppress(FileNotFoundError), _translated(path.name):
                    path.unlink()
                self._remove_empty(path.parent)
                swept.append(path.relative_to(self.root).as_posix())
        return sorted(swept)

    def remarks(self) -> Sequence[Finding]:
        """How much room its disk has."""
        with _translated(str(self.root)):
            usage = shutil.disk_usage(self.root)
        free, text = usage.free / usage.total, f"{usage.free / 1e9:.1f} GB are free on its disk"
        if free > _ROOM:
            return [Finding("space", "ok", str(self.root), f"{text} ({free:.0%})")]
        return [Finding("space", "warning", str(self.root), f"{text} ({free:.0%})", "make room before it fills")]

    def leftovers(self) -> Iterator[tuple[Path, float]]:
        """Unfinished files of writers that were killed, with their age's beginning (st_mtime)."""
        for folder, _, files in os.walk(self.root):
            for name in files:
                if name.startswith(TEMPORARY):
                    path = Path(folder, name)
                    with contextlib.suppress(OSError):
                        yield path, path.lstat().st_mtime

    def _path(self, name: str) -> Path:
        """Where `name` is kept. Raises Refused when a symbolic link would lead out of the store."""
        path = self.root / checked(name)
        if link := self._link_above(name):
            raise Refused(f"{link} is a symbolic link in the store", hint="a store holds ordinary files only")
        return path

    def _link_above(self, name: str) -> Path | None:
        folders = list(Path(name).parents)[:-1]
        with _translated(name):
            return next((self.root / folder for folder in folders if (self.root / folder).is_symlink()), None)

    def _open(self, name: str) -> int:
        # O_NONBLOCK: a pipe that somebody put there would otherwise hold us for ever.
        fd = os.open(self._path(name), os.O_RDONLY | os.O_NONBLOCK | _FLAGS)
        if not modes.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise NotFound(f"{name} is not a file in {self.root}", hint="a store holds ordinary files only")
        return fd

    def _walk(self, folder: str) -> Iterator[tuple[str, os.stat_result]]:
        base = self.root / folder if folder else self.root
        if not self.root.is_dir():
            raise Unreachable(
                f"the store {self.root} is not there",
                hint="is it mounted, and the path right? a backup makes a new one",
            )
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(base) as entries:
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    yield from self._walk(name)
                elif _is_object(entry):
                    # What was deleted just now is left out; it must not end the listing of the others.
                    with contextlib.suppress(FileNotFoundError):
                        yield name, entry.stat(follow_symlinks=False)

    def _remove_empty(self, folder: Path) -> None:
        while folder != self.root and self.root in folder.parents:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent


class _FileSink(Sink):
    def __init__(self, store: DirectoryStore, name: str, *, replace: bool) -> None:
        self._store, self._name, self._replace = store, name, replace
        self._target = store._path(name)  # noqa: SLF001 - the sink is the store's other half
        self._temporary = self._target.with_name(temporary())
        self._fd = -1
        try:
            with _translated(name):
                self._fd = self._begin()
                os.fchmod(self._fd, 0o600)
        except BaseException:  # an interruption may come when the file is there and its number not yet known here
            self.abort()
            raise

    def _begin(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS
        for _ in range(_ATTEMPTS):
            # Whoever deletes the last object of a folder just now takes the folder away with it.
            with contextlib.suppress(FileNotFoundError):
                _make_directories(self._target.parent)
                return os.open(self._temporary, flags, 0o600)
        _make_directories(self._target.parent)
        return os.open(self._temporary, flags, 0o600)

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        with _translated(self._name):
            while rest:
                rest = rest[os.write(self._fd, rest) :]

    def commit(self) -> None:
        with _translated(self._name):
            os.fsync(self._fd)
            fd, self._fd = self._fd, -1  # close() gives the number back even when it fails
            os.close(fd)
            self._rename()
            try:
                _sync_directory(self._target.parent)
            except OSError:
                self._take_back()
                raise

    def _take_back(self) -> None:
        """What may not be durable must not be there either: this commit fails."""
        if not self._replace:
            with contextlib.suppress(OSError):
                self._target.unlink()

    def _rename(self) -> None:
        if self._replace:
            self._temporary.rename(self._target)
            return
        # link() fails when the name is taken, which rename() does not; some file systems have no links.
        try:
            os.link(self._temporary, self._target)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                raise
            self._rename_alone()
        else:
            try:
                self._temporary.unlink()
            except OSError:
                self._take_back()
                raise

    def _rename_alone(self) -> None:
        """rename() that refuses a taken name, on file systems without links: a lock on the folder keeps others out."""
        folder = os.open(self._target.parent, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
        try:
            with contextlib.suppress(OSError):
                fcntl.flock(folder, fcntl.LOCK_EX)
            if os.path.lexists(self._target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            self._temporary.rename(self._target)
        finally:
            os.close(folder)

    def abort(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):
                os.close(fd)
        with contextlib.suppress(OSError):
            self._temporary.unlink()
        self._store._remove_empty(self._target.parent)  # noqa: SLF001


class _Window:
    """The next `length` bytes of a file, or all that follow; a disk that fails is Unreachable, not an OSError."""

    def __init__(self, stream: BinaryIO, name: str, length: int | None) -> None:
        self._stream, self._name, self._left = stream, name, length

    def read(self, size: int | None = -1) -> bytes:
        wanted = -1 if size is None or size < 0 else size
        if self._left is not None:
            wanted = self._left if wanted < 0 else min(wanted, self._left)
        with _translated(self._name):
            data = self._stream.read(wanted)
        if self._left is not None:
            self._left -= len(data)
        return data

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_mounted(root: Path, *, mount: bool) -> None:
    """Refuse a path with nothing mounted, where something is to be: an unmounted disk must not fill the root.

    That it is the right disk is the marker's to say. Raises Refused.
    """
    if mount and not _on_mount(root):
        raise Refused(
            f"{root} is configured as a mount point and nothing is mounted there",
            hint="mount it, then try again",
        )


def _on_mount(root: Path) -> bool:
    folder = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    return os.path.ismount(root) or folder.stat().st_dev != Path("/").stat().st_dev


def _is_object(entry: "os.DirEntry[str]") -> bool:
    return entry.is_file(follow_symlinks=False) and is_object(entry.name)


def _entry(name: str, status: os.stat_result) -> Entry:
    return Entry(name, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _make_directories(folder: Path) -> None:
    """Make `folder` and its missing parents, 0700, each made durable in its parent."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):
            path.mkdir(0o700)
            path.chmod(0o700)
            _sync_directory(path.parent)


def _sync_directory(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _raise(error, name)


def _raise(error: OSError, name: str) -> NoReturn:
    said = f"{name}: {error.strerror or error}"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        raise NotFound(f"{name} is not in the store", hint="see `pgproof list`") from error
    if error.errno == errno.EEXIST:
        raise AlreadyExists(f"{name} is in the store already", hint="nothing stored is overwritten") from error
    if error.errno == errno.ELOOP:
        raise Refused(f"{name} is a symbolic link in the store", hint="a store holds ordinary files only") from error
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise Unreachable(f"the store is full: {said}", hint="make room; `pgproof prune` shows what may go") from error
    raise Unreachable(f"the store does not do its work: {said}", hint="look at the disk and its mount") from error
