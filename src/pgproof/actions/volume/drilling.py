"""The drill of a volume backup: unpacked into a throw-away volume, started in a container of the very image, without
a network; every page and every row read, indexes compared with their tables, the source's questions asked.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from pgproof.actions.asking import Answers, ask
from pgproof.actions.contained import SOCKETS, Contained, contained, labels, sweep, wait
from pgproof.actions.volume.filling import filled
from pgproof.actions.volume.unpacking import cluster_of, image_of
from pgproof.checks import Check
from pgproof.cluster import Cluster
from pgproof.docker import Container, Engine
from pgproof.errors import Damaged, NotFound, NotProven, PgproofError
from pgproof.evidence import Difference
from pgproof.manifest import Manifest, Record, TableProof
from pgproof.postgres import catalog, server
from pgproof.postgres.server import Address, connect
from pgproof.sources.replay import digest_tables
from pgproof.stream.progress import Progress
from pgproof.stream.reading import Reading


@dataclass(frozen=True, slots=True)
class Conditions:
    """How to drill: the engine, connections at a time, the questions to ask of `database`. With `install` the extension
    that compares indexes is made where it is missing: not in files that will be used.
    """

    engine: Engine
    jobs: int = 2
    checks: tuple[Check, ...] = ()
    database: str = ""
    install: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """What a server started on the files said: without differences it is what was backed up."""

    version: str
    tables: tuple[TableProof, ...]
    differences: tuple[Difference, ...]
    remarks: tuple[str, ...]
    checks: dict[str, bool]
    counters: dict[str, tuple[int, int, int]] = field(default_factory=dict)  # of the database of the conditions


def drill(reading: Reading, conditions: Conditions, now: datetime, progress: Progress) -> Record:
    """Run the drill; the record says whether the backup is proven. Raises NotProven when it cannot run at all."""
    began = time.monotonic()
    manifest, cluster, image = reading.manifest, cluster_of(reading.manifest), image_of(reading.manifest)
    sweep(conditions.engine)
    progress.begin("authenticating", manifest.size)
    try:
        reading.check_all(progress)
        with _volume(reading, conditions.engine, progress) as name:
            with serving(conditions.engine, manifest, name) as running:
                found = examine(conditions, cluster, running, progress)
    except NotProven:
        raise
    except Damaged as error:
        found = Found("", (), (Difference("the stored bytes", error.message),), (), {})
    return Record(
        manifest.id, "drill", now, not found.differences, round(time.monotonic() - began, 3),
        tuple(f"{one.what}: {one.text}" for one in found.differences) + found.remarks, found.version, found.tables,
        found.checks, f"files, started in {image.id[:19]}; {cluster.consistency}",
    )  # fmt: skip


def serving(engine: Engine, manifest: Manifest, volume: str) -> contextlib.AbstractContextManager[Contained]:
    """A throw-away container of the backup's own image on the files in `volume`. Raises NotProven."""
    cluster = cluster_of(manifest)
    mount = f"type=volume,source={volume},target={cluster.target}"
    env = {"PGDATA": f"{cluster.target}/{cluster.folder}".rstrip("/")}
    return contained(engine, image_of(manifest), manifest.server.superuser, (mount,), env)


@contextlib.contextmanager
def _volume(reading: Reading, engine: Engine, progress: Progress) -> Iterator[str]:
    """A throw-away one with the backup's files."""
    name = f"pgproof_drill_{os.urandom(6).hex()}"
    filled(reading, engine, name, progress, labels())
    try:
        yield name
    finally:
        with contextlib.suppress(NotFound):
            engine.remove_volume(name)


def examine(conditions: Conditions, cluster: Cluster, running: Contained, progress: Progress) -> Found:
    """Read every page and row of a server that was just started, and ask it. Raises NotProven."""
    address = running.address
    progress.begin("starting the server in its own image")
    failed = wait(conditions.engine, running)
    if failed:
        return Found("", (), (Difference("the server", failed),), (), {})
    with connect(address) as session:
        identity = server.identity(session)
        names = [str(name) for (name,) in session.rows(_DATABASES)]
    tables: list[TableProof] = []
    differences: list[Difference] = []
    for name in names:
        try:
            tables += _tables(address.to(name), name, conditions.jobs, progress)
        except PgproofError as error:
            differences.append(Difference(f"database {name}", f"cannot be read whole: {error.message}"))
    differences += _lost(cluster, names)
    progress.begin("comparing indexes with their tables")
    damaged, remarks = _amcheck(conditions, running.container, identity.superuser)
    answers = _asked(conditions, address, names, progress)
    differences += [*damaged, *answers.failed]
    return Found(identity.version, tuple(tables), tuple(differences), (*remarks, *answers.warned), answers.true)


def _asked(conditions: Conditions, address: Address, names: list[str], progress: Progress) -> Answers:
    if not conditions.checks:
        return Answers()
    if conditions.database not in names:
        lost = Difference("the checks", f"there is no database {conditions.database!r} to ask them of")
        return Answers(failed=[lost])
    progress.begin("asking the checks")
    return ask(address.to(conditions.database), conditions.checks)


_DATABASES = "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn ORDER BY datname"


def _tables(address: Address, name: str, jobs: int, progress: Progress) -> list[TableProof]:
    """Read every row of every table; with page checksums the server checks each page as it reads it."""
    with connect(address) as session:
        heaps = catalog.tables(session)
    found = digest_tables(address, [heap.table for heap in heaps], jobs, progress)
    return [TableProof(f"{name}.{label}", one.rows, one.hex(), same=True) for label, one in sorted(found.items())]


def _lost(cluster: Cluster, names: list[str]) -> list[Difference]:
    missing = sorted(set(cluster.databases) - set(names))
    return [Difference(f"database {one}", "was there and is not in the copy") for one in missing]


def _amcheck(conditions: Conditions, container: Container, superuser: str) -> tuple[list[Difference], tuple[str, ...]]:
    """pg_amcheck of the image itself, on all databases (PostgreSQL docs, pg_amcheck; since 14)."""
    install = ("--install-missing",) if conditions.install else ()
    words = ("pg_amcheck", "--all", *install, "--no-password", "-h", SOCKETS, "-U", superuser)
    try:
        conditions.engine.exec(container.id, words)
    except PgproofError as error:
        said = error.message
        if any(word in said for word in ("not found", "no such file", "is not available", "could not open extension")):
            return [], ("indexes were not compared: the image has no pg_amcheck or no amcheck extension",)
        if not conditions.install and "no relations to check" in said:
            return [], ("indexes were not compared: no database has the amcheck extension; the drill compares them",)
        return [Difference("pg_amcheck", said)], ()
    return [], ()
