"""What a plan is made from: backups in the stores, the chosen one authenticated, the server asked; none is changed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from pgproof.actions import restore, volume
from pgproof.actions.recover import room, volumes
from pgproof.actions.recover.databases import Databases, databases, refuse_powerless
from pgproof.actions.recover.plan import Candidate, Facts, choose
from pgproof.actions.recover.services import Service
from pgproof.actions.verify import reading
from pgproof.cluster import Image, Recipe
from pgproof.config import SourceSettings
from pgproof.docker import binds
from pgproof.errors import Damaged, Frozen, NotFound, PgproofError, Refused, Unreachable
from pgproof.manifest import Kind, Manifest
from pgproof.postgres.server import Address, Session, identity
from pgproof.repository import Backup, Repository
from pgproof.run import Run
from pgproof.stream.encrypt import Key
from pgproof.stream.progress import Progress
from pgproof.stream.reading import Reading


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user wants: a backup, or the last before a moment; and whether another server is meant."""

    backup: str | None = None
    at: datetime | None = None
    new_server: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """The backup to recover from, its bytes authenticated where they will be read from."""

    reading: Reading
    candidate: Candidate
    store: str
    reasons: tuple[str, ...]


Thawing = Callable[[Repository, Manifest, Progress], None]  # comes back when all parts can be read


def find(
    places: Iterable[tuple[str, Repository]], source: str, kind: Kind, asked: Asked, key: Key, progress: Progress,
    thawing: Thawing | None = None,
) -> Found:  # fmt: skip
    """The first backup of the order whose stored bytes are what they were, in the first store that has them so.

    What lies in archives alone is asked back and waited for by `thawing`; without it, Frozen is raised.

    Raises Refused when there is none, Unreachable when no store answers.
    """
    live = dict(places)
    shelves, said = _shelves(live, source)
    candidates, broken = _candidates(shelves, kind)
    order, reasons = choose(candidates, broken, asked.backup, asked.at)
    said += list(reasons)
    for candidate in order:
        frozen = []
        for store in candidate.stores:
            try:
                return _authenticated(live[store], candidate, store, said, key, progress)
            except Frozen as error:
                frozen.append((store, error))
            except (Damaged, NotFound, Unreachable) as error:
                said.append(f"{candidate.backup.id} in {store} cannot be used: {error.message}")
        for store, why in frozen:  # no store has it at hand
            if thawing is None:
                raise why
            try:
                thawing(live[store], candidate.manifest, progress)
                return _authenticated(live[store], candidate, store, said, key, progress)
            except (Damaged, NotFound, Unreachable) as error:
                said.append(f"{candidate.backup.id} in {store} cannot be used: {error.message}")
    raise Refused(f"no backup can be used: {'; '.join(said)}", hint="`pgproof verify` looks at all of them")


def _authenticated(
    repository: Repository, candidate: Candidate, store: str, said: list[str], key: Key, progress: Progress
) -> Found:
    """Raises Damaged, NotFound, Unreachable, Frozen."""
    one = reading(repository, candidate.manifest, key)
    progress.begin(f"authenticating {candidate.backup.id} in {store}", candidate.manifest.size)
    one.check_all(progress)
    return Found(one, candidate, store, tuple(said))


def _shelves(live: dict[str, Repository], source: str) -> tuple[dict[str, tuple[list[Backup], list[str]]], list[str]]:
    shelves, said = {}, []
    for store, repository in live.items():
        try:
            whole, broken = repository.backups(source)
        except PgproofError as error:
            said.append(f"the store {store} was passed over: {error.message}")
            continue
        shelves[store] = (whole, [f"{one.id} in {store}: {one.error.message}" for one in broken])
    if not shelves:
        raise Unreachable(f"no store can be asked: {'; '.join(said)}", hint="`pgproof doctor` looks at each")
    return shelves, said


def _candidates(shelves: dict[str, tuple[list[Backup], list[str]]], kind: Kind) -> tuple[list[Candidate], list[str]]:
    """Each backup of the kind once; of two stores the better known state counts."""
    found: dict[str, Candidate] = {}
    for store, (whole, _) in shelves.items():
        for backup in (one for one in whole if one.manifest.kind == kind):
            before = found.get(backup.id)
            better = backup if before is None or backup.state == "proven" else before.backup
            found[backup.id] = Candidate(better, (*(before.stores if before else ()), store))
    return list(found.values()), [text for _, broken in shelves.values() for text in broken]


def facts(
    found: Found,
    session: Session,
    target: Address,
    settings: SourceSettings,
    made: restore.Plan,
    wish: restore.Wish,
    services: tuple[Service, ...],
    runs: tuple[Run, ...],
    *,
    new_server: bool,
) -> Facts:
    """What the server says. Raises Refused for the wrong host, and for a database that cannot be renamed."""
    manifest, database = found.candidate.manifest, target.database
    here = identity(session)
    _right_host(manifest, here.system_identifier, target.server, new_server=new_server)
    if here.standby:
        raise Refused(f"{target.server} is a standby: nothing can be restored there", hint="name the primary")
    if database in ("postgres", "template1"):
        raise Refused(
            f"the database {database} cannot be renamed while the server runs", hint="restore to another name"
        )
    container = settings.docker.container if settings.docker else ""
    free = room.free(session, container)
    room.refuse_small(free, manifest.database.size, target.server)
    existed = database in databases(session)
    said = refuse_powerless(session, database) if existed else ()
    size = "SELECT pg_catalog.pg_database_size(%s)"
    return Facts(
        source=settings.name,
        server=target.server,
        container=container,
        database=database,
        existed=existed,
        free=free,
        old_size=int(session.value(size, [database])) if existed else 0,
        system_identifier=here.system_identifier,
        chosen=found.candidate,
        store=found.store,
        reasons=found.reasons,
        restore_steps=(
            *made.making,
            "read every table back and compare its digest with what the backup holds",
            *asking(wish),
        ),
        missing_roles=made.missing_roles,
        collation=_collation(session, manifest),
        services=tuple((one.name, one.stopping) for one in services),
        runs=runs,
        said=said,
        mark=Databases(target, session).mark(database),
    )


def facts_of_volume(
    found: Found,
    ground: volumes.Volumes,
    settings: SourceSettings,
    wish: restore.Wish,
    services: tuple[Service, ...],
    runs: tuple[Run, ...],
    *,
    new_server: bool,
) -> Facts:
    """What the engine says. Raises Refused for the wrong host, and for a volume that others use."""
    manifest, docker = found.candidate.manifest, settings.docker
    cluster, image = volume.cluster_of(manifest), volume.image_of(manifest)
    container = docker.container if docker else ""
    name = (docker.volume if docker else "") or cluster.volume
    site = volumes.look(ground.engine, manifest, name, container, docker.services if docker else ())
    _right_host(manifest, site.identifier, f"the volume {name}", new_server=new_server)
    room.refuse_small(site.free, cluster.files.bytes, f"the disk of the volume {name}")
    return Facts(
        source=settings.name,
        server=ground.where,
        container=container,
        database=name,
        existed=site.existed,
        old_size=site.size,
        free=site.free,
        system_identifier=site.identifier,
        chosen=found.candidate,
        store=found.store,
        reasons=found.reasons,
        restore_steps=(
            f"unpack {cluster.files.count:,} files of {cluster.files.bytes / 1e6:,.0f} MB into a new volume",
            f"start a throw-away container of {image.name} on it, without a network",
            *(one.text for one in wish.after),
            "read every row, compare indexes with their tables where the image can",
            *asking(wish),
            "shut it down",
        ),
        missing_roles=(),
        collation="",
        services=tuple((one.name, one.stopping) for one in services),
        runs=runs,
        said=_of_container(site, image, container),
    )


def _of_container(site: volumes.Site, image: Image, container: str) -> tuple[str, ...]:
    """Raises Refused for a container that is gone and of which nothing is known."""
    if site.container:
        other = (
            f"the container {container} is of another image ({site.image_id[:19]}) than the backup ({image.id[:19]})"
        )
        return () if site.image_id == image.id else (f"{other}: tried out with the backup's, then run with that one",)
    recipe = image.container
    if recipe is None:
        raise Refused(
            f"the container {container} is gone, and the backup does not say how it was made",
            hint=f"make it yourself on a new volume, and: pgproof restore --to volume:NAME; its image is {image.name}",
        )
    lost = f"; not known are the values of: {', '.join(recipe.left_out)}" if recipe.left_out else ""
    return (f"the container {container} is gone: it is made anew, as the backup has it{lost}{in_words(recipe)}",)


def in_words(recipe: Recipe) -> str:
    """What of this machine a container made anew will have, for whoever agrees to it."""
    folders = binds(recipe)
    return f"; with these folders of this machine: {', '.join(folders)}" if folders else ""


def asking(wish: restore.Wish) -> tuple[str, ...]:
    """The checks, as a recovery takes them."""
    many = len(wish.checks)
    return (f"ask {many} checks: one that is not true, and is no warning, ends it here",) if many else ()


def _right_host(manifest: Manifest, here: str, where: str, *, new_server: bool) -> None:
    before = manifest.server.system_identifier
    if before and here and before != here and not new_server:
        raise Refused(
            f"the wrong host: {where} is server {here}, the backup is of server {before}",
            hint="if it is a new server in place of that one, add --new-server",
        )


def _collation(session: Session, manifest: Manifest) -> str:
    """The version that the server's own library gives the backup's collation, "" where it does not tell."""
    locale = manifest.database.locale or manifest.database.collate
    versions = session.rows(
        """SELECT pg_catalog.pg_collation_actual_version(oid) FROM pg_catalog.pg_collation
        WHERE collprovider = %s AND (colllocale = %s OR collcollate = %s) LIMIT 1"""
        if session.version_num >= 170000
        else """SELECT pg_catalog.pg_collation_actual_version(oid) FROM pg_catalog.pg_collation
        WHERE collprovider = %s AND (collcollate = %s OR collctype = %s) LIMIT 1""",
        [manifest.database.provider, locale, locale],
    )
    return str(versions[0][0] or "") if versions else ""
