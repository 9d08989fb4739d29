"""What a volume backup knows of the cluster whose files it holds: control data, image, files, and the stop."""

import struct
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pgproof.errors import Damaged

STATES = (
    "starting up", "shut down", "shut down in recovery", "shutting down", "in crash recovery",
    "in archive recovery", "in production",
)  # fmt: skip
_CLEAN = ("shut down", "shut down in recovery")
_HEAD = struct.Struct("=QIIi4xqQQI")  # pg_control.h: from system_identifier to ThisTimeLineID, the same in 13 to 18
CONTROL_FILE = "global/pg_control"
REMOVED = "pgproof-removed"  # a member that names, each ended by NUL, what a first pass holds and was gone later
Consistency = Literal["clean", "crash"]


@dataclass(frozen=True, slots=True)
class Control:
    """What the control file says (PostgreSQL source, src/include/catalog/pg_control.h); `checkpoint` is an LSN."""

    system_identifier: str
    version: int
    catalog: int
    state: str
    checkpoint: str
    timeline: int

    @property
    def clean(self) -> bool:
        """Whether the server was shut down, and needs no recovery."""
        return self.state in _CLEAN


def control(data: bytes) -> Control:
    """The content of `global/pg_control`, as this machine's byte order has it. Raises Damaged."""
    hint = "the folder is no data directory of PostgreSQL 13 to 18, or its control file is damaged"
    if len(data) < _HEAD.size:
        raise Damaged(f"the control file has {len(data)} bytes, which is too few", hint=hint)
    identifier, version, catalog, state, _, checkpoint, _, timeline = _HEAD.unpack_from(data)
    if not 1300 <= version < 2000 or not 0 <= state < len(STATES):
        raise Damaged(f"the control file says version {version} and state {state}: neither is known", hint=hint)
    lsn = f"{checkpoint >> 32:X}/{checkpoint & 0xFFFFFFFF:X}"
    return Control(str(identifier), version, catalog, STATES[state], lsn, timeline)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the server's container is made again. `words` are options of `docker run`, `networks` names with aliases;
    of the variables in `left_out` only the names are known: they may have held secrets.
    """

    name: str
    words: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    networks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """The container image that ran the server: the name it was started by, its id, and its digests in registries; and
    how the container itself was made.
    """

    name: str
    id: str
    digests: tuple[str, ...] = ()
    container: Recipe | None = None


@dataclass(frozen=True, slots=True)
class Files:
    """What the archive holds; `bytes` are of contents. `again` counts files that a second pass read anew, and
    `removed` names, relative to the volume, what the first pass holds and was gone at the stop.
    """

    count: int
    folders: int
    links: int
    bytes: int
    again: int = 0
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stop:
    """The time without a server: stopped from `began`; the server ran again at `ended`, and took connections at
    `ready` (None if that was not seen). `containers` are those that were stopped, in that order.
    """

    began: datetime
    ended: datetime
    ready: datetime | None
    containers: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Cluster:
    """A data directory, as it lay in its volume. `folder` is its place in the volume, "" for the volume's root;
    `target` the path at which the container had the volume.
    """

    volume: str
    target: str
    folder: str
    control: Control
    consistency: Consistency
    files: Files
    stop: Stop | None
    checksums: bool | None = None  # None: nobody could be asked
    databases: tuple[str, ...] = ()
    collations: tuple[tuple[str, str], ...] = ()  # database, collation version
