"""The two kinds of recovery: of a database on its server, and of a volume on its engine."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from pgproof.actions import restore
from pgproof.actions.recover import founding, gather, revive, services
from pgproof.actions.recover.databases import Databases, alone_on
from pgproof.actions.recover.ground import Ground
from pgproof.actions.recover.plan import Facts
from pgproof.actions.recover.revive import Revival
from pgproof.actions.recover.services import Service
from pgproof.actions.recover.volumes import Volumes
from pgproof.actions.temporary import shortened
from pgproof.cli.present import recent_runs
from pgproof.cli.volumes import alone_with
from pgproof.cluster import Image
from pgproof.config import SourceSettings
from pgproof.docker import Engine, servers
from pgproof.errors import ConfigError, NotFound, Unreachable, UsageError
from pgproof.job import address_of, state_folder
from pgproof.manifest import Kind, stamp_of
from pgproof.postgres.refusals import is_silent
from pgproof.stream.progress import Progress


class Recovering(Protocol):
    """One kind of recovery of one source. All raise PgproofError."""

    @property
    def kind(self) -> Kind: ...

    def ground(self, *, alone: bool, live: str = "") -> AbstractContextManager[Ground]:
        """Where it happens; `alone`, with nobody else recovering there. `live` is what a recovery before was of."""
        ...

    def revival(self, find: Callable[[], gather.Found]) -> Revival | None:
        """What has to be done before there is anything to recover into; None where there is."""
        ...

    def revive(self, one: Revival, progress: Progress) -> tuple[str, bool]:
        """Do it; what was done, in a sentence, and whether nothing can be lost in the server."""
        ...

    def services(self, image: Image | None) -> tuple[Service, ...]:
        """Who is stopped and started; `image` is that of the backup."""
        ...

    def facts(
        self, found: gather.Found, ground: Ground, wish: restore.Wish, now: datetime, *, new_server: bool
    ) -> Facts: ...


def of(kind: Kind, source: SourceSettings, new_cluster: Path | None = None) -> Recovering:
    """Raises ConfigError for a volume of a source that says nothing of a container, UsageError for one in a cluster."""
    if kind == "logical":
        return OfDatabase(source, new_cluster)
    if new_cluster is not None:
        hint = "a volume has its cluster; without --new-cluster it is recovered with its container"
        raise UsageError("--new-cluster goes with a database, and this is a volume", hint=hint)
    if source.docker is None:
        hint = 'add to it a line such as: docker = { container = "keycloak-db", volume = "exp_postgres_keycloak" }'
        raise ConfigError(f"sources.{source.name}: to recover a volume its container must be known", hint=hint)
    return OfVolume(source)


@dataclass(frozen=True, slots=True)
class OfDatabase:
    """`new_cluster` is the folder of one to be made first, where the server is gone."""

    source: SourceSettings
    new_cluster: Path | None = None
    kind: Kind = "logical"

    @contextmanager
    def ground(self, *, alone: bool, live: str = "") -> Iterator[Databases]:  # noqa: ARG002 - its server knows
        target = address_of(self.source)
        with (alone_on if alone else restore.maintenance)(target) as session:
            yield Databases(target, session)

    def revival(self, find: Callable[[], gather.Found]) -> Revival | None:
        target = address_of(self.source)
        if self.new_cluster is not None:
            return founding.plan(self.new_cluster, target, find)
        try:
            with restore.maintenance(target):
                return None
        except Unreachable as error:
            if self.source.docker is None:
                if is_silent(error):
                    more = "--new-cluster FOLDER makes one on this machine; or start one there, and add --new-server"
                    error.hint = f"{error.hint}; if it is gone: {more}"
                raise
            return revive.plan(Engine(), self.source.docker.container, target, find, error)

    def revive(self, one: Revival, progress: Progress) -> tuple[str, bool]:
        if one.cluster is not None:
            return founding.carry_out(one, one.cluster, address_of(self.source), progress)
        patience = services.patience(self.source.recover).total_seconds()
        return revive.carry_out(Engine(), one, lambda: address_of(self.source), patience, progress)

    def services(self, image: Image | None) -> tuple[Service, ...]:  # noqa: ARG002 - its server runs on
        return services.configured(self.source.recover, self.source.docker, partial(address_of, self.source))

    def facts(
        self, found: gather.Found, ground: Ground, wish: restore.Wish, now: datetime, *, new_server: bool
    ) -> Facts:
        assert isinstance(ground, Databases)  # it is ours
        target = ground.target
        new = target.to(shortened(target.database, f"_recovering_{stamp_of(now)}"))
        made = restore.plan(found.reading, new, wish, now)
        using = self.services(None)
        runs = recent_runs() or ()
        return gather.facts(found, ground.session, target, self.source, made, wish, using, runs, new_server=new_server)


@dataclass(frozen=True, slots=True)
class OfVolume:
    source: SourceSettings
    kind: Kind = "volume"

    @contextmanager
    def ground(self, *, alone: bool, live: str = "") -> Iterator[Volumes]:
        """Alone also of backups of the volume, which stop and start the same containers."""
        engine, target = Engine(), partial(address_of, self.source)
        made = Volumes(engine, state_folder() / "restoring", target, self.source.jobs)
        if not alone:
            yield made
            return
        name = live or self._volume(engine)
        with alone_with(name):
            made.resume(name)
            yield made

    def _volume(self, engine: Engine) -> str:
        """By the configuration, else by the container; "" where neither tells, as it is gone."""
        docker = self.source.docker
        assert docker is not None  # `of` has seen to it
        if docker.volume:
            return docker.volume
        try:
            mount = servers.data_mount(engine.container(docker.container))
        except NotFound:
            return ""
        return mount.volume if mount else ""

    def revival(self, find: Callable[[], gather.Found]) -> Revival | None:  # noqa: ARG002 - the engine is all it needs
        return None

    def revive(self, one: Revival, progress: Progress) -> tuple[str, bool]:  # noqa: ARG002 - as above
        return "", False

    def services(self, image: Image | None) -> tuple[Service, ...]:
        docker = self.source.docker
        assert docker is not None  # `of` has seen to it
        address = partial(address_of, self.source)
        server = services.Server(Engine(), docker.container, image, address)
        return (*services.configured(self.source.recover, docker, address), server)

    def facts(
        self, found: gather.Found, ground: Ground, wish: restore.Wish, now: datetime, *, new_server: bool
    ) -> Facts:  # fmt: skip
        assert isinstance(ground, Volumes)  # it is ours
        del now
        using = self.services(found.candidate.manifest.image)
        runs = recent_runs() or ()
        return gather.facts_of_volume(found, ground, self.source, wish, using, runs, new_server=new_server)
