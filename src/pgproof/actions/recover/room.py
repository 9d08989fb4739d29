"""Room for what will be restored beside what is there, as far as anybody can tell."""

import contextlib
import shutil
from pathlib import Path

from pgproof.docker import Engine
from pgproof.errors import PgproofError, QueryFailed, Refused
from pgproof.postgres.server import Session

_SPARE = 64 << 20  # bytes that must stay free beside it
_HERE = """SELECT coalesce(address <<= '127.0.0.0/8' OR address = '::1', true)
    FROM pg_catalog.inet_server_addr() AS address"""


def free(session: Session, container: str) -> int | None:
    """Bytes that are free where the server keeps its data: asked in its container, or looked at where the server is
    on this machine; None where that cannot be told.
    """
    try:
        data = str(session.value("SELECT pg_catalog.current_setting('data_directory')"))
    except QueryFailed:  # it is a superuser's to know, or of pg_read_all_settings
        return None
    if container:
        with contextlib.suppress(PgproofError, ValueError, IndexError):
            told = Engine().exec(container, ("df", "-Pk", data), deadline=60).decode("utf-8", "replace")
            return int(told.splitlines()[1].split()[3]) << 10
        return None
    with contextlib.suppress(OSError):
        if session.value(_HERE) and Path(data, "postmaster.pid").exists():
            return shutil.disk_usage(data).free
    return None


def refuse_small(free_bytes: int | None, needed: int, where: str) -> None:
    """Raises Refused where it is known that it will not fit; `needed` is the size of what was backed up, in bytes."""
    if free_bytes is not None and free_bytes < needed + _SPARE:
        raise Refused(
            f"{where} has {free_bytes >> 20} MB free, and {needed >> 20} MB are to be restored beside what is there",
            hint="make room there, or recover into another server; nothing was touched",
        )
