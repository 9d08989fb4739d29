"""Names in a store: which may be, which are ours and yet no objects, whose an unfinished one is."""

import re
import secrets
from datetime import datetime

from pgproof.errors import PgproofError
from pgproof.stream import process

MARKER = ".pgproof-store"
TEMPORARY = ".pgproof-tmp-"
_NAME = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")


def is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and not any(part in (".", "..") for part in name.split("/"))


def checked(name: str) -> str:
    """`name`, if it can be one. Raises PgproofError."""
    if not is_name(name):
        raise PgproofError(f"{name!r} cannot be a name in a store", hint="this is a fault in pgproof: please report it")
    return name


def is_object(leaf: str) -> bool:
    """Whether a file whose name ends with `leaf` may be an object: neither unfinished nor the marker."""
    return not leaf.startswith(TEMPORARY) and leaf != MARKER and _NAME.fullmatch(leaf) is not None


def temporary() -> str:
    """A file name for what is unfinished. It tells whose it is: what a killed writer left is swept as soon as
    that is certain.
    """
    return f"{TEMPORARY}{process.identity().tag}-{secrets.token_hex(8)}"


def is_left(leaf: str, began: float, before: datetime) -> bool:
    """Whether nobody will finish this one: its writer is gone for certain, or it is from before `before`.

    `began` is its time of modification, in seconds since 1970.
    """
    owner = leaf.removeprefix(TEMPORARY).rpartition("-")[0]
    return process.is_gone_by(owner) or began < before.timestamp()
