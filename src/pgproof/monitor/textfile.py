"""A file that another program reads at any moment, such as node_exporter's textfile collector: never half of one."""

import contextlib
import os
import secrets
from pathlib import Path

from pgproof.errors import PgproofError, UsageError

_HINT = "name a file in the folder that node_exporter has as --collector.textfile.directory"


def check(path: Path) -> Path:
    """The path, if the collector would read it: it takes names that end in .prom only. Raises UsageError."""
    if path.suffix != ".prom":
        raise UsageError(f"{path} does not end in .prom, and node_exporter would not read it", hint=_HINT)
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is not a folder", hint=_HINT)
    return path


def write(path: Path, content: bytes) -> None:
    """Put `content` in the place of what is there, at once and readable for all (0644). Raises PgproofError."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(6)}")  # no .prom at its end: the collector passes it over
    try:
        _write_new(new, content)
        new.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink()
        raise PgproofError(f"cannot write {path}: {error.strerror}", hint="make room there, or let us write") from error
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _write_new(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())
