"""Putting files of ours where a scheduler looks for them; what others wrote there is never touched."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from pgproof.errors import Refused, UsageError
from pgproof.schedule.written import MARK, Written

_MODE = 0o644  # cron passes over a file that others may write, systemd complains of one that only some can read


def install(files: Sequence[Written], folder: Path) -> None:
    """Write them all, or none where one of these names is somebody else's. Raises Refused, UsageError."""
    for file in files:
        _check(folder / file.name)
    for file in files:
        _write(folder / file.name, file.text)


def remove(names: Iterable[str], folder: Path) -> list[str]:
    """Remove those of these names that are ours; returns them. Raises UsageError."""
    found = [name for name in names if _is_there(folder / name) and _is_ours(folder / name)]
    for name in found:
        try:
            (folder / name).unlink()
        except OSError as error:
            raise _cannot("remove", folder / name, error) from error
    return found


def _check(path: Path) -> None:
    if _is_there(path) and not _is_ours(path):
        raise Refused(
            f"{path} was not written by `pgproof schedule`, and is left as it is",
            hint="move it away if it may go, or write elsewhere: --into FOLDER",
        )


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


def _is_ours(path: Path) -> bool:
    """By its first line. A link is not ours: we write files."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.readline(len(MARK) + 2).rstrip(b"\n") == MARK.encode()
    except OSError as error:
        raise _cannot("read", path, error) from error


def _write(path: Path, text: str) -> None:
    """Whole or not at all; cron and systemd pass over a name that ends like the one it has meanwhile."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), _MODE)
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise _cannot("write", path, error) from error


def _cannot(verb: str, path: Path, error: OSError) -> UsageError:
    hint = "run it as root, or write elsewhere: --into FOLDER"
    return UsageError(f"cannot {verb} {path}: {error.strerror}", hint=hint)
