"""Health of what is beside the sources: databases and servers that nobody backs up."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pgproof.finding import Finding

NAMED = 5
# What a restore or a recovery of ours makes or has put aside: each has its own end.
_OURS = re.compile(r"_(before|recovering|restored|undone)_\d{8}[Tt]\d{6}[Zz]$|_restoring_")
# What providers keep for themselves in every server of theirs, and let nobody read.
_PROVIDERS = frozenset({"rdsadmin", "azure_maintenance", "azure_sys", "cloudsqladmin", "alloydbadmin"})


@dataclass(frozen=True, slots=True)
class Kept:
    """What a source backs up, as it is configured, and what its server told when it was last asked.

    `database` is "" where it is not known; `whole` says that the server's files are backed up too, with all of its
    databases. `server` is "" where it was never asked; `places` are the addresses it has, as `host:port`.
    """

    source: str
    database: str = ""
    whole: bool = False
    container: str = ""
    ignore: tuple[str, ...] = ()
    server: str = ""
    databases: tuple[str, ...] = ()
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A container in which a PostgreSQL server runs; `places` are the addresses it has, as `host:port`."""

    name: str
    places: tuple[str, ...] = ()


def unprotected(kept: Sequence[Kept], containers: Iterable[Neighbour] = ()) -> list[Finding]:
    """Databases on the sources' servers, and containers, that belong to no source and that none says to ignore."""
    return [*_databases(kept), *_containers(kept, containers)]


def _databases(kept: Sequence[Kept]) -> Iterable[Finding]:
    """A source whose server was never asked may be on any of them: what is named as its database is taken there."""
    unknown = {one.database for one in kept if not one.server}
    for server in dict.fromkeys(one.server for one in kept if one.server):
        alike = [one for one in kept if one.server == server]
        taken = unknown | {one.database for one in alike} | {name for one in alike for name in one.ignore}
        there = dict.fromkeys(name for one in alike for name in one.databases)
        left = [name for name in there if name not in taken | _PROVIDERS and not _OURS.search(name)]
        if left and not any(one.whole for one in alike):
            yield _told(alike[0].source, "databases on its server are in no backup", "databases", left)


def _containers(kept: Sequence[Kept], containers: Iterable[Neighbour]) -> Iterable[Finding]:
    """Only once it is known where every source leads: else a container may be one of them."""
    if not kept or any(not one.server and not one.container for one in kept):
        return
    names = {one.container for one in kept} | {name for one in kept for name in one.ignore}
    places = {place for one in kept for place in one.places}
    left = [one.name for one in containers if one.name not in names and one.places and not places & set(one.places)]
    if left:
        yield _told(kept[0].source, "PostgreSQL runs in containers that are in no backup", "containers", left)


def _told(source: str, text: str, kind: str, left: Sequence[str]) -> Finding:
    more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
    code = "unprotected-database" if kind == "databases" else "unprotected-container"
    hint = (
        f"give each a [sources.NAME] of its own (`pgproof init --config new.toml` writes them),"
        f' or add to [sources.{source}]: ignore = ["{left[0]}"]'
    )
    return Finding(code, "warning", source, f"{source}: {text}: {', '.join(left[:NAMED])}{more}", hint)
