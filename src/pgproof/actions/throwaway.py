"""The server of a drill: in a container of the source's own image where that can be had, else one of this machine."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from pgproof.actions.contained import contained, sweep, wait
from pgproof.cluster import Image
from pgproof.docker import Engine
from pgproof.errors import NotProven, PgproofError
from pgproof.manifest import Manifest
from pgproof.postgres import server, tools
from pgproof.postgres.scratch import Scratch, scratch
from pgproof.postgres.server import connect
from pgproof.stream.progress import Progress


@dataclass(frozen=True, slots=True)
class ThrowAway:
    """The throw-away server, and what has to be said of it."""

    scratch: Scratch
    version: str
    scope: str
    remarks: tuple[str, ...] = ()


@contextmanager
def throw_away(
    manifest: Manifest,
    engine: Engine | None,
    progress: Progress,
    installed: Iterable[tools.Tools] | None = None,
    below: str | None = None,
) -> Iterator[ThrowAway]:
    """With the source's extensions and collations where its image is known to `engine`; else by the PostgreSQL of this
    machine, of those `installed`, in a folder `below`. Raises NotProven, Refused.
    """
    with ExitStack() as stack:
        made, remarks = None, tuple[str, ...]()
        if manifest.image is not None and engine is not None:
            try:
                made = stack.enter_context(_in_its_image(manifest, manifest.image, engine, progress, installed))
            except PgproofError as error:
                remarks = (f"not drilled in the source's own image {manifest.image.name}: {error.message}",)
        try:
            made = made or stack.enter_context(_on_this_machine(manifest, progress, installed, below, remarks))
        except PgproofError as error:
            error.message = "; ".join((error.message, *remarks))
            raise
        yield made


@contextmanager
def _in_its_image(
    manifest: Manifest, image: Image, engine: Engine, progress: Progress, installed: Iterable[tools.Tools] | None
) -> Iterator[ThrowAway]:
    sweep(engine)
    progress.begin(f"starting a container of {image.name}")
    superuser = manifest.server.superuser
    env = {"POSTGRES_USER": superuser, "POSTGRES_HOST_AUTH_METHOD": "trust"}
    with contained(engine, image, superuser, env=env) as running:
        if failed := wait(engine, running):
            raise NotProven(f"its server {failed}", hint="see whether the image starts without settings of its own")
        name = running.container.name
        chosen = tools.for_dump(manifest.server.major, installed, name)
        with connect(running.address) as session:
            version = server.identity(session).version
        scope = f"contents, in the source's own image {image.id[:19]}"
        address = replace(running.address, container=name)
        yield ThrowAway(Scratch(address, chosen, running.folder, isolated=True), version, scope)


@contextmanager
def _on_this_machine(
    manifest: Manifest, progress: Progress, installed: Iterable[tools.Tools] | None, below: str | None,
    remarks: tuple[str, ...],
) -> Iterator[ThrowAway]:  # fmt: skip
    chosen = tools.for_drill(manifest.server.major, installed)
    progress.begin(f"starting PostgreSQL {chosen.version}")
    with scratch(chosen, superuser=manifest.server.superuser, below=below) as made:
        scope = "contents" if made.isolated else "contents; the network could not be cut off"
        yield ThrowAway(made, chosen.version, scope, remarks)
