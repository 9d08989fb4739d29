"""A source captures itself into parts; what it captured is all that a manifest needs to know of it."""

from dataclasses import dataclass, field
from typing import Protocol

from pgproof.cluster import Cluster, Image
from pgproof.manifest import Database, Evidence, Kind, Server
from pgproof.stream.part import Parts
from pgproof.stream.progress import Progress


@dataclass(frozen=True, slots=True)
class Captured:
    """What was read, beside the bytes that went into the parts."""

    server: Server
    database: Database
    tools: dict[str, str]
    settings: dict[str, str]
    evidence: Evidence
    notes: tuple[str, ...] = ()
    cluster: Cluster | None = None
    image: Image | None = None
    application: dict[str, str] = field(default_factory=dict)


class Source(Protocol):
    """What can be protected."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Kind: ...

    def identify(self) -> Server:
        """Which server it is, asked before anything is read. Raises Unreachable, Refused."""
        ...

    def capture(self, part: Parts, progress: Progress) -> Captured:
        """Read everything in one snapshot. Raises PgproofError; the source is left as it was, always."""
        ...
