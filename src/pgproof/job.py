"""Settings become live objects: with config, the only module that names a concrete store and source."""

import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from pgproof import config
from pgproof.checks import Check, keycloak, resolve
from pgproof.cluster import Image
from pgproof.config import Config, DirectorySettings, S3Settings, SftpSettings, SourceSettings, StoreSettings
from pgproof.docker import Container, Engine, relay, servers
from pgproof.errors import ConfigError, PgproofError, UsageError
from pgproof.manifest import Kind
from pgproof.postgres.server import Address
from pgproof.repository import Memory, Repository
from pgproof.retention import Policy
from pgproof.sources.dump import Dump
from pgproof.sources.source import Source
from pgproof.sources.volume import Left, Volume, put_back_all
from pgproof.stores import directory, marker, s3
from pgproof.stores.deadline import Deadline, within
from pgproof.stores.directory import DirectoryStore
from pgproof.stores.store import Store
from pgproof.stream.encrypt import Key
from pgproof.thresholds import USUAL, Thresholds

if TYPE_CHECKING:
    from pgproof.stores.sftp import Place as SftpPlace


@dataclass(frozen=True, slots=True)
class Job:
    """One source, where its backups go, and how they are to be made and judged."""

    name: str
    address: Address
    source: Source
    repository: Repository
    key: Key
    policy: Policy
    checks: tuple[Check, ...] = ()
    jobs: int = 2
    max_age: timedelta | None = None
    max_proof_age: timedelta | None = None
    config: dict[str, str] = field(default_factory=dict)
    application: Callable[[], dict[str, str]] = dict  # asks what is known of it from elsewhere than its database
    new_server: bool = False
    limits: Thresholds = USUAL
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


def jobs(
    settings: Config,
    names: list[str],
    *,
    create: bool = False,
    new_server: bool = False,
    store: StoreSettings | None = None,
    pruning: bool = False,
    kinds: tuple[Kind, ...] | None = ("logical",),
) -> list[Job]:
    """The jobs of the sources that are named, or of all, on `store` or the first one: one for each of `kinds`, or,
    with None, of those that are named with it (`keycloak:volume`) or configured for it. `create` lets a store that is
    new be made, `pruning` takes the credentials that may delete.

    Raises ConfigError, UsageError, Refused.
    """
    named = [_named(settings, name, kinds) for name in names or [one.name for one in settings.sources]]
    wanted = {(one.name, kind): one for one, of in named for kind in of}  # each once, however often it is named
    if not wanted:
        raise ConfigError("no source is configured", hint="`pgproof init` looks around and writes a configuration")
    place = store or settings.stores[0]
    repository = open_repository(place, create=create, pruning=pruning)
    key = settings.encryption.key()
    shown = config.without_secrets(settings)
    made = [
        _job(settings, one, kind, repository, key, shown, new_server=new_server) for (_, kind), one in wanted.items()
    ]
    return [replace(one, policy=place.retention or settings.retention) for one in made]


def _named(settings: Config, name: str, kinds: tuple[Kind, ...] | None) -> tuple[SourceSettings, tuple[Kind, ...]]:
    """The source that is meant and its kinds; `keycloak:volume` names both, where they are not given already."""
    source, _, kind = name.partition(":")
    if kinds is None and kind in get_args(Kind):
        return settings.source(source), (cast(Kind, kind),)
    found = settings.source(name)
    return found, kinds or found.kinds


def _job(
    settings: Config,
    source: SourceSettings,
    kind: Kind,
    repository: Repository,
    key: Key,
    shown: dict[str, str],
    *,
    new_server: bool,
) -> Job:
    address = address_of(source)
    return Job(
        name=source.name,
        address=address,
        source=_volume(source, address) if kind == "volume" else _dump(source, address),
        repository=repository,
        key=key,
        policy=settings.retention,
        checks=resolve(source.checks),
        jobs=source.jobs,
        max_age=settings.max_age,
        max_proof_age=settings.max_proof_age,
        config=shown,
        new_server=new_server,
        application=partial(application, source),
        limits=settings.health,
    )


def from_labels(env: Mapping[str, str]) -> Config | None:
    """The configuration that labels of containers make, where PGPROOF_LABELS wants it; None where not, or nothing is
    labelled so. Labels that an image brought are not its user's, and count for nothing. Raises
    ConfigError, Unreachable.
    """
    if env.get("PGPROOF_LABELS", "").lower() not in ("true", "1", "yes"):
        return None
    engine = Engine()
    every = engine.containers()
    return config.from_labels([_without_its_images(engine, one) for one in every], env)


def _without_its_images(engine: Engine, one: Container) -> Container:
    if not any(key.startswith("pgproof.") for key in one.labels):
        return one
    brought = engine.image_labels(one.image_id).items()
    return replace(one, labels={key: text for key, text in one.labels.items() if (key, text) not in brought})


def application(source: SourceSettings) -> dict[str, str]:
    """Which Keycloak runs on a source, as the images of its services tell."""
    if not keycloak.wanted(source.checks) or source.docker is None:
        return {}
    images = [made.name for one in source.docker.services if (made := _image(one)) is not None]
    found = keycloak.image_among(images)
    return {keycloak.IMAGE: found} if found else {}


def _dump(source: SourceSettings, address: Address) -> Dump:
    facts = keycloak.FACTS if keycloak.wanted(source.checks) else ()
    image = partial(_image, source.docker.container) if source.docker else _no_image
    return Dump(source.name, address, source.codec, source.jobs, source.lock_timeout, facts, image)


def _no_image() -> None:
    return None


def _image(container: str) -> Image | None:
    """The image of a source's container; an engine that does not answer is no reason to go without a backup."""
    try:
        return Engine().image_of(container)
    except PgproofError:
        return None


def _volume(source: SourceSettings, address: Address) -> Volume:
    docker = source.docker
    if docker is None:
        hint = 'add to it a line such as: docker = { container = "keycloak-db", volume = "exp_postgres_keycloak" }'
        raise ConfigError(f"sources.{source.name}: a volume backup needs to know the container", hint=hint)
    return Volume(
        source.name, address, Engine(), docker.container, docker.volume, docker.services, stopped_folder(),
        source.codec, source.jobs, docker.passes, docker.longest_stop,
    )  # fmt: skip


def stopped_folder() -> Path:
    """Where it is written down which containers are stopped for a backup."""
    return state_folder() / "stopped"


def put_back_containers() -> list[Left]:
    """Start what dead runs left stopped; who could not be started. Raises Unreachable."""
    return put_back_all(Engine, stopped_folder())


def address_of(source: SourceSettings) -> Address:
    """How to reach a source, its secrets looked up. Raises ConfigError."""
    address = Address(source.conninfo().reveal(), source.secret())
    if source.docker is None:
        return address
    return replace(_by_engine(address, source.docker), container=source.docker.container)


def _by_engine(address: Address, docker: config.Docker) -> Address:
    """A URL whose host is the container's name means the container, wherever its address is today: unless the network
    has the name for the container itself (as inside the container's own network), the engine says it; where no network
    leads there, it goes by `docker exec`, as it does where the configuration wants it. If the engine cannot tell,
    nothing changes.
    """
    if docker.reach == "exec":
        return _by_exec(address, docker, Engine())
    if address.host != docker.container:
        return address
    engine = Engine()
    try:
        container = engine.container(docker.container)
    except PgproofError:
        return address
    if (known := _resolved(address.host)) and (known & {*container.addresses.values()} or not container.addresses):
        return address  # else the name is another machine's, whose database must not be taken for this one
    place = servers.reach(container, os.environ.get("DOCKER_HOST", ""))
    if container.running and (place is None or not relay.leads_there(place)):
        return _by_exec(address, docker, engine)
    return address.at(*place) if place else address


def _by_exec(address: Address, docker: config.Docker, engine: Engine) -> Address:
    """Host and port of the URL are then as the container sees them."""
    named = address.host == docker.container
    inside = relay.Inside("" if named else address.host, int(address.port or relay.PORT))
    folder = relay.relay(engine, docker.container, inside)
    return address.at(folder, relay.PORT, f"the container {docker.container}")


def _resolved(host: str) -> set[str]:
    """The addresses that the network has for a name."""
    try:
        return {str(one[4][0]) for one in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return set()


def open_repository(store: StoreSettings, *, create: bool = False, pruning: bool = False) -> Repository:
    """The repository in a configured store; with `pruning` by the credentials that may delete, where it has such.

    Raises Refused when the place is not the store it was, Unreachable, ConfigError.
    """
    known = _remembered()
    live, place = _open(store, pruning=pruning)
    found = _settled(store, live, place, known.get(place), create=create)
    if found is not None and known.get(place) != found:
        _remember(place, found)
    return Repository(live, memory=_Newest(place))


@dataclass(frozen=True, slots=True)
class _Newest(Memory):
    """The newest backup of each source that this machine made in the store at `place`; a file of the state folder."""

    place: str

    def newest(self, source: str) -> str | None:
        found = _read_state(_NEWEST).get(f"{source} {self.place}")
        return found if isinstance(found, str) else None

    def note(self, source: str, backup: str) -> None:
        _write_state(_NEWEST, _read_state(_NEWEST) | {f"{source} {self.place}": backup})


def _settled(store: StoreSettings, live: Store, place: str, expected: str | None, *, create: bool) -> str | None:
    """Which store this is. A directory that hangs is remembered as such: whoever asks again is refused at once."""
    where = store.where
    if not isinstance(where, DirectorySettings):
        return marker.settle(live, place, expected, create=create)
    bare = DirectoryStore(where.path)
    return within(store.timeout, place, lambda: marker.settle(bare, place, expected, create=create))


def _open(store: StoreSettings, *, pruning: bool) -> tuple[Store, str]:
    """The live store and its place in words, by which it is remembered. Drivers are imported when used."""
    where = store.where
    if isinstance(where, DirectorySettings):
        within(store.timeout, where.url, lambda: directory.check_mounted(where.path, mount=where.mount))
        return Deadline(DirectoryStore(where.path), store.timeout, where.url), where.url
    try:
        if isinstance(where, S3Settings):
            from pgproof.stores.s3.store import S3Store  # noqa: PLC0415 - half a second that a directory needs not

            place = _s3_place(where, pruning=pruning)
            return S3Store(place), place.text
        from pgproof.stores.sftp import SftpStore  # noqa: PLC0415 - as above

        return SftpStore(_sftp_place(where)), where.url
    except ImportError as error:
        extra = "s3" if isinstance(where, S3Settings) else "sftp"
        hint = f"install it: pip install 'pgproof[{extra}]'"
        raise ConfigError(f"the store {store.name} needs the package {error.name}", hint=hint) from error


def _s3_place(where: S3Settings, *, pruning: bool) -> s3.Place:
    profile, access, secret = where.profile, where.access_key, where.secret_key
    if pruning and (where.prune_profile or where.prune_access_key):
        profile, access, secret = where.prune_profile, where.prune_access_key, where.prune_secret_key
    keys = s3.Keys(access.resolve(), secret.resolve()) if access and secret else None
    kept = {field.name: getattr(where, field.name) for field in fields(s3.Bucket)}
    return s3.Place(**{**kept, "profile": profile}, keys=keys)


def _sftp_place(where: SftpSettings) -> "SftpPlace":
    from pgproof.stores.sftp import Place  # noqa: PLC0415 - as above

    given = {field.name: getattr(where, field.name) for field in fields(where)}
    secrets = {name: given[name].resolve() if given[name] else None for name in ("passphrase", "password")}
    return Place(**{**given, **secrets})


def forget_store(place: str) -> None:
    """Accept another store in this place from now on (`pgproof init --new-store`). Raises UsageError."""
    known = _remembered()
    names = {place} if "://" in place else {place, str(Path(place).absolute()), str(Path(place).resolve())}
    left = {path: store for path, store in known.items() if path not in names}
    if left == known:
        raise UsageError(f"no store was seen at {place} before", hint=f"seen were: {', '.join(known) or 'none'}")
    _write_remembered(left)


def state_folder() -> Path:
    """Where this machine remembers things: losing it loses no backup."""
    if given := os.environ.get("PGPROOF_STATE"):
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/pgproof")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "pgproof"


def _remembered() -> dict[str, str]:
    """Which store was last seen at which path."""
    return _read_state(_STORES)


def _remember(path: str, store: str) -> None:
    _write_remembered(_remembered() | {path: store})


def _write_remembered(known: dict[str, str]) -> None:
    _write_state(_STORES, known)


_STORES, _NEWEST = "stores.json", "newest.json"  # in the state folder


def _read_state(name: str) -> dict[str, str]:
    try:
        return dict(json.loads((state_folder() / name).read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def _write_state(name: str, known: dict[str, str]) -> None:
    """A memory that cannot be written is no reason to go without a backup: what lies in the store still guards."""
    folder = state_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = folder / f"{name}.{os.getpid()}"
        new.write_text(json.dumps(known, indent=1) + "\n")
        new.replace(folder / name)
    except OSError:
        return
