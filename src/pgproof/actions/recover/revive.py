"""A server again, where its container is stopped or gone: before a database can be recovered into it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pgproof.actions.recover.databases import databases
from pgproof.actions.recover.gather import Found, in_words
from pgproof.actions.recover.services import Server
from pgproof.actions.recover.volumes import has_files
from pgproof.actions.restore import maintenance
from pgproof.cluster import Image, Recipe
from pgproof.docker import Engine, servers
from pgproof.errors import NotFound, PgproofError, Refused, Unreachable
from pgproof.postgres.founding import Cluster
from pgproof.postgres.server import Address, connect
from pgproof.postgres.sql import name as quoted
from pgproof.stream.progress import Progress

_HASH_DIGITS = 12
_USER, _FILE = "POSTGRES_USER", "POSTGRES_PASSWORD_FILE"


@dataclass(frozen=True, slots=True)
class Revival:
    """What has to be done first. Of a container that is there `image` is None; `fresh` is one that will be empty, so
    that nothing can be lost in it. `cluster` is one to be made outside of containers.
    """

    name: str
    steps: tuple[str, ...]
    image: Image | None = None
    fresh: bool = False
    cluster: Cluster | None = None

    @property
    def thing(self) -> str:
        return "container" if self.cluster is None else "folder"

    @property
    def hash(self) -> str:
        words = repr(self.image.container) if self.image else ""
        return hashlib.sha256("\n".join((self.name, words, *self.steps)).encode()).hexdigest()[:_HASH_DIGITS]


def plan(engine: Engine, container: str, target: Address, find: Callable[[], Found], error: PgproofError) -> Revival:
    """What brings the server back that does not answer (`error`); `find` is asked for the backup only where the
    container is gone. Raises `error` where it runs all the same, Refused where it cannot be made.
    """
    try:
        there = engine.container(container)
    except NotFound:
        return _made_again(engine, container, target, find())
    if there.running:
        raise error
    return Revival(container, (f"start the container {container}, which is {there.state}",))


def carry_out(
    engine: Engine, one: Revival, target: Callable[[], Address], patience: float, progress: Progress
) -> tuple[str, bool]:
    """Do it, and wait until the server takes connections; what was done, in a sentence, and whether there is nothing in
    the server that could be lost. `target` is asked for the
    address only then: a new container has a new one. Raises PgproofError.
    """
    progress.begin(one.steps[0])
    recipe = one.image.container if one.image else None
    if one.image is not None and recipe is not None:
        secret = target().password if one.fresh and not _told(recipe, _FILE) else None
        env = {"POSTGRES_PASSWORD": secret.reveal()} if secret is not None else {}
        engine.make(one.image, recipe, env)
    server = Server(engine, one.name, None, lambda: target().to("postgres"))
    server.start()
    if wrong := server.ready(patience):
        raise Unreachable(f"{one.name} does not serve: {wrong}", hint=f"see: docker logs {one.name}")
    empty = one.fresh and _clear(target())
    return f"before it: {'; '.join(one.steps)}", empty


def _made_again(engine: Engine, container: str, target: Address, found: Found) -> Revival:
    image = found.candidate.manifest.image
    recipe = image.container if image else None
    if image is None or recipe is None:
        raise Refused(
            f"the container {container} is gone, and the backup does not say how it was made",
            hint=f"start a server of PostgreSQL {found.candidate.manifest.server.major}, then add --new-server",
        )
    place, fresh = _data(engine, recipe)
    if fresh:
        _refuse_stranger(recipe, target)
    lost = f", without the variables {', '.join(recipe.left_out)}" if recipe.left_out else ""
    steps = [f"make the container {container} again, as the backup has it{lost}, of {image.name}{in_words(recipe)}"]
    if fresh:
        steps.append(f"{place} is empty: a new cluster is made there")
        steps.append(f"then recover {target.database} from {found.candidate.backup.id} into it, with its roles")
    else:
        steps.append(f"with what is in {place}, which is looked at then")
    return Revival(container, tuple(steps), image, fresh)


def _refuse_stranger(recipe: Recipe, target: Address) -> None:
    """In a new cluster there is only the user that its image makes, with the password that is known of it."""
    superuser = _told(recipe, _USER) or "postgres"
    if target.user != superuser or (target.password is None and not _told(recipe, _FILE)):
        raise Refused(
            f"in a new cluster nobody but {superuser} can log in, and the source's URL is of {target.user or 'nobody'}",
            hint="start the server anew yourself, with a role of that name, then add --new-server",
        )


def _told(recipe: Recipe, variable: str) -> str:
    return next((one.partition("=")[2] for one in recipe.words if one.startswith(f"{variable}=")), "")


def _data(engine: Engine, recipe: Recipe) -> tuple[str, bool]:
    """Where the container keeps its cluster, in words, and whether there is surely none."""
    words = [one for one in recipe.words if one.startswith("type=")]
    mounts = [dict(word.partition("=")[::2] for word in one.split(",")) for one in words]
    data = PurePosixPath(_told(recipe, "PGDATA") or servers.DATA)
    around = [one for one in mounts if data.is_relative_to(one.get("target", "/nowhere"))]
    mount = max(around, key=lambda one: len(one["target"]), default=None)
    if mount is None:
        return "its own layer", True
    if mount["type"] == "volume":
        return f"the volume {mount['source']}", not has_files(engine, mount["source"])
    folder = Path(mount["source"])
    return f"the folder {folder}", folder.is_dir() and not any(folder.iterdir())


def _clear(target: Address) -> bool:
    """The empty database that the image makes has the name which the recovered one will get: it goes. Whether now there
    is none of that name.
    """
    with maintenance(target) as session:
        if target.database not in databases(session):
            return True
        with connect(target) as inside:
            if inside.value("SELECT count(*) FROM pg_catalog.pg_stat_user_tables"):
                return False
        session.run(f"DROP DATABASE {quoted(target.database)}")
    return True
