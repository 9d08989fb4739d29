"""Capture a volume: what the server says of itself, a first pass, the stop, what has changed since, the start."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pgproof.cluster import Cluster, Consistency, Control, Files, Image, Stop
from pgproof.docker import Container, Engine, is_own
from pgproof.errors import NotFound, PgproofError, Refused
from pgproof.manifest import Codec, Database, Evidence, Kind, Server
from pgproof.postgres import catalog, server
from pgproof.postgres.server import Address
from pgproof.sources.source import Captured
from pgproof.sources.volume.archive import Archive, changed
from pgproof.sources.volume.distant import copied
from pgproof.sources.volume.place import Place, find
from pgproof.sources.volume.stopping import Pause, degraded, pausing
from pgproof.stream import tar
from pgproof.stream.part import Parts
from pgproof.stream.progress import Progress

PART = "volume.tar"
LARGE = 512 << 20  # bytes of files; from here on a first pass while the server runs makes the stop shorter
Passes = Literal[0, 1, 2]


@dataclass(frozen=True, slots=True)
class Volume:
    """The volume of the server in `container`; `services` are containers that use the server and are stopped before.

    `passes`: 1, 2, or 0 for what suits the size. `state` is the folder for the record of what is stopped.
    `longest_stop`: once containers have been stopped for so long, they are started and nothing is kept.
    """

    name: str
    address: Address
    engine: Engine
    container: str
    volume: str
    services: tuple[str, ...]
    state: Path
    codec: Codec = "gzip"
    jobs: int = 2
    passes: Passes = 0
    longest_stop: timedelta | None = None
    kind: Kind = field(default="volume", init=False)

    def identify(self) -> Server:
        """Which cluster lies in the volume. Raises Refused, Unreachable."""
        place = find(self.engine, self.container, self.volume)
        return _server(place, place.control())

    def capture(self, part: Parts, progress: Progress) -> Captured:
        """Read the volume into `volume.tar`. Raises PgproofError; the containers run again in either case."""
        progress.begin("preparing")
        place = find(self.engine, self.container, self.volume)
        said = _Said.of(self.address)
        services = [self.engine.container(name) for name in self.services]
        others = {one.id: one for one in (*place.using, *services) if one.id != place.container.id and not is_own(one)}
        _refuse_removal((place.container, *others.values()))
        _refuse_another(place, said)
        image = self.engine.image_of(place.container.id)  # who removes the container later takes it along
        if place.distant:
            return self._capture_distant(place, said, others, services, part, progress, image)
        with part(PART, self.codec) as out, Archive(place.root, out, self.codec, self.jobs, progress) as archive:
            run = _Run(self, place, archive, progress)
            first = run.first_pass()
            names = [one.name for one in (*services, *place.using) if one.id in others]
            record = self.state / f"{place.volume}.json"
            with pausing(self.engine, place.container, tuple(others.values()), names, record) as pause:
                pause.stop()
                files, control, consistency = run.last_pass(first, pause)
            archive.finish(files.removed)
        return self._captured(place, said, files, control, consistency, pause, image)

    def _capture_distant(
        self, place: Place, said: "_Said", others: dict[str, Container], services: Sequence[Container], part: Parts,
        progress: Progress, image: Image,
    ) -> Captured:  # fmt: skip
        """One pass, by `docker cp` of the stopped container."""
        names = [one.name for one in (*services, *place.using) if one.id in others]
        record = self.state / f"{place.volume}.json"
        with part(PART, self.codec) as out, copied(out, self.codec, self.jobs, progress) as archive:
            with pausing(self.engine, place.container, tuple(others.values()), names, record) as pause:
                pause.stop()
                control = place.control()
                consistency = consistent(place, control, pause)
                progress.begin("reading by docker cp")
                check = bound(pause, self.longest_stop)
                entries = archive.take(self.engine, place.container.id, place.target, check)
                check()
                still_stopped(self.engine, place, control)
                pause.put_back()
            archive.finish()
        note = f"read by docker cp: the volume's folder {place.root} cannot be read from here"
        said = replace(said, notes=(*said.notes, note))
        return self._captured(place, said, _files(entries, 0, ()), control, consistency, pause, image)

    def _captured(
        self, place: Place, said: "_Said", files: Files, control: Control, consistency: Consistency, pause: Pause,
        image: Image,
    ) -> Captured:  # fmt: skip
        late = pause.wait_ready() if pause.kept and not pause.left else ""
        notes = list(said.notes)
        notes += [f"after the start: {late}"] if late else []
        notes += [degraded(pause.left).message] if pause.left else []
        if consistency == "crash":
            how = pause.unclean or f"{place.container.name} had not been shut down"
            notes.append(f"crash-consistent: {how}, so a restore begins with the server's own recovery")
        stop = None
        if pause.kept and pause.began and pause.ended:
            names = tuple(one.name for one in pause.kept)
            stop = Stop(pause.began, pause.ended, pause.ready, names, pause.seconds)
        cluster = Cluster(
            place.volume, place.target, place.folder, control, consistency, files, stop, said.checksums,
            said.databases, said.collations,
        )  # fmt: skip
        identity = said.server or _server(place, control)
        return Captured(identity, said.database, {}, {}, Evidence(), tuple(notes), cluster, image)


@dataclass(slots=True)
class _First:
    """What the first pass read, and when it began."""

    entries: dict[str, tar.Entry]
    marks: list[tar.Mark]
    began_ns: int


@dataclass(frozen=True, slots=True)
class _Run:
    source: Volume
    place: Place
    archive: Archive
    progress: Progress

    def first_pass(self) -> _First | None:
        """Read everything while the server runs, where that pays."""
        began = time.time_ns()
        entries = list(tar.walk(self.place.root))
        size = sum(one.size for one in entries)
        running = self.place.container.state == "running"
        if not running or self.source.passes == 1 or (self.source.passes == 0 and size < LARGE):
            return None
        self.progress.begin("reading while it runs", size)
        marks: list[tar.Mark] = []
        self.archive.add(entries, marks)
        return _First({one.name: one for one in entries}, marks, began)

    def last_pass(self, first: _First | None, pause: Pause) -> tuple[Files, Control, Consistency]:
        """Read what is not read yet, of a server that stands still; the containers run again before this returns."""
        check = bound(pause, self.source.longest_stop)
        check()
        control = self.place.control()
        consistency = consistent(self.place, control, pause)
        entries = list(tar.walk(self.place.root))
        if first is None:
            anew, removed = entries, tuple[str, ...]()
        else:
            anew = list(changed(self.place.root, first.entries, entries, first.marks, first.began_ns))
            removed = tuple(sorted(set(first.entries) - {one.name for one in entries}))
        self.progress.begin("reading", sum(one.size for one in anew))
        self.archive.add(anew, hold=True, bound=check)
        check()
        still_stopped(self.source.engine, self.place, control)
        pause.put_back()
        return _files(entries, len(anew) if first else 0, removed), control, consistency


def bound(pause: Pause, longest: timedelta | None) -> Callable[[], None]:
    """What is to be asked again and again while containers are stopped; it raises Refused once that takes too long."""

    def check() -> None:
        if longest is not None and pause.lasts > longest.total_seconds():
            raise Refused(
                f"containers were stopped for longer than {longest.total_seconds():.0f} s, so they were started again",
                hint="two passes read most before the stop: docker.passes = 2; or raise docker.longest_stop",
            )

    return check


def consistent(place: Place, control: Control, pause: Pause) -> Consistency:
    """Raises Refused for a server that says it ended well, of which the files say otherwise."""
    if control.clean:
        return "clean"
    if not pause.unclean and place.container.id in {one.id for one in pause.kept}:
        raise Refused(
            f"{place.container.name} ended well and its control file says {control.state!r}; nothing was kept",
            hint="does the container run another server than the one in this volume?",
        )
    return "crash"


def still_stopped(engine: Engine, place: Place, before: Control) -> None:
    """Whoever started the server meanwhile (the engine's own restart, a person) has spoilt what was read. Raises
    Refused.
    """
    name = place.container.name
    try:
        now = engine.container(place.container.id)
    except NotFound as error:
        hint = "leave it alone during a backup; what runs now is left as it is"
        raise Refused(f"{name} was removed or made anew while its files were read", hint=hint) from error
    alive = place.has("postmaster.pid") and before.clean
    if now.state == "running" or place.control() != before or alive:
        raise Refused(
            f"{name} was started while its files were read, so they are not of one moment",
            hint="see who did: a restart of the engine, or somebody; then run it again",
        )


def _refuse_removal(containers: Sequence[Container]) -> None:
    """Raises Refused before anything is stopped."""
    for one in containers:
        if one.auto_remove:
            raise Refused(
                f"{one.name} was started with --rm: to stop it would remove it, and its volumes without a name",
                hint="start it without --rm, or back the database up logically",
            )


def _refuse_another(place: Place, said: "_Said") -> None:
    """The files must be those of the server that runs, and of the one that the URL leads to. Raises Refused."""
    control = place.control()
    if place.container.state == "running" and control.clean:
        raise Refused(
            f"{place.container.name} runs, and the files in {place.volume} say that their server is shut down",
            hint="does it keep its data elsewhere? docker exec it with: psql -c 'SHOW data_directory'",
        )
    if said.server and said.server.system_identifier not in ("", control.system_identifier):
        raise Refused(
            f"the URL leads to another server than the files in {place.volume} are of",
            hint="see url and docker of the source: both must mean one server",
        )


def _files(entries: Sequence[tar.Entry], again: int, removed: tuple[str, ...]) -> Files:
    kinds = [one.kind for one in entries]
    links = kinds.count("symlink") + kinds.count("hardlink")
    total = sum(one.size for one in entries)
    return Files(kinds.count("file"), kinds.count("folder"), links, total, again, removed)


def _server(place: Place, control: Control) -> Server:
    """As far as the files tell, and the container: the official images make their superuser from POSTGRES_USER."""
    superuser = place.container.env.get("POSTGRES_USER") or "postgres"
    return Server(str(place.major), place.major * 10000, control.system_identifier, superuser)


_DATABASES = """
SELECT datname, coalesce(pg_catalog.to_jsonb(d)->>'datcollversion', '')
FROM pg_catalog.pg_database d WHERE datallowconn AND NOT datistemplate ORDER BY datname
"""


@dataclass(frozen=True, slots=True)
class _Said:
    """What the server says of itself before it is stopped; a server that cannot be asked is no hindrance."""

    server: Server | None
    database: Database
    checksums: bool | None
    databases: tuple[str, ...]
    collations: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, address: Address) -> "_Said":
        try:
            with server.connect(address) as session:
                rows = session.rows(_DATABASES)
                on = session.value("SELECT pg_catalog.current_setting('data_checksums') = 'on'")
                names = tuple(str(name) for name, _ in rows)
                versions = tuple((str(name), str(version)) for name, version in rows if version)
                return cls(server.identity(session), catalog.database(session), bool(on), names, versions, ())
        except PgproofError as error:
            note = f"the server was not asked about itself: {error.message}"
            return cls(None, Database("", ""), None, (), (), (note,))
