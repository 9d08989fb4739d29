"""A new cluster on this machine, where the server is gone and was in no container: what it will be, before it is."""

import getpass
import os
import pwd
import socket
from collections.abc import Callable
from pathlib import Path

from pgproof.actions.recover.gather import Found
from pgproof.actions.recover.revive import Revival
from pgproof.actions.restore import maintenance
from pgproof.errors import ConfigError, Refused, Unreachable
from pgproof.manifest import Manifest
from pgproof.postgres import tools
from pgproof.postgres.founding import Cluster, check_folder, create
from pgproof.postgres.server import Address
from pgproof.secret import Secret
from pgproof.stream.progress import Progress

_HERE = ("", "localhost", "127.0.0.1", "::1")
_OWNER = "postgres"  # who runs servers where packages make them
_LOOK_SECONDS = 5


def plan(folder: Path, target: Address, find: Callable[[], Found]) -> Revival:
    """What will be made in `folder`, served at the address of `target`. Raises Refused where that cannot be, and what
    `find` raises of the backup, which has the encoding and locale.
    """
    check_folder(folder)
    _refuse_elsewhere(target)
    made = find().candidate.manifest
    _refuse_stranger(made, target)
    one = Cluster(
        folder, tools.for_drill(made.server.major), _owner(), made.server.superuser, made.database,
        _port(target), target.host if target.host.startswith("/") else "",
    )  # fmt: skip
    like = made.database
    kind = f"encoding {like.encoding}, locale {like.locale or like.collate}, data checksums, PostgreSQL's own settings"
    steps = (
        f"make a new cluster of PostgreSQL {one.tools.version} in {folder}, of the user {one.owner}: {kind}",
        f"start it at {target.server}; to start it with the machine is yours to arrange: {one.start}",
        f"then recover {target.database} from {made.id} into it, with its roles",
    )
    return Revival(folder.name, steps, fresh=True, cluster=one)


def carry_out(one: Revival, cluster: Cluster, target: Address, progress: Progress) -> tuple[str, bool]:
    """Make it; what was done, in a sentence, and that nothing can be lost in it. Raises Refused."""
    progress.begin(f"making a cluster in {cluster.folder}")
    secret = password_of(target)
    assert secret is not None  # the plan has seen to it
    create(cluster, secret)
    return f"before it: {'; '.join(one.steps[:-1])}", True


def password_of(target: Address) -> Secret | None:
    """As a client would find it; PGPASSFILE is not looked into."""
    return target.password or (Secret(found) if (found := os.environ.get("PGPASSWORD")) else None)


def _refuse_elsewhere(target: Address) -> None:
    """Raises Refused where the address is not this machine's, or somebody answers at it."""
    host = target.host
    if host not in _HERE and not host.startswith("/"):
        raise Refused(
            f"a new cluster can be made on this machine, and the server is to be at {target.server}",
            hint="run this there; or start a server there yourself, and add --new-server",
        )
    try:
        with maintenance(target):
            answers = True
    except (Unreachable, ConfigError):
        answers = _is_taken(host, _port(target))
    if answers:
        raise Refused(f"a server answers at {target.server}", hint="leave --new-cluster out: recover into that one")


def _port(target: Address) -> int:
    word = target.port or os.environ.get("PGPORT", "")
    return int(word) if word.isdecimal() else 5432


def _is_taken(host: str, port: int) -> bool:
    place = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host or "localhost", port)
    try:
        with socket.socket(socket.AF_UNIX) if isinstance(place, str) else socket.create_connection(place) as one:
            one.settimeout(_LOOK_SECONDS)
            if isinstance(place, str):
                one.connect(place)
            return True
    except OSError:
        return False


def _refuse_stranger(made: Manifest, target: Address) -> None:
    """In a new cluster there is only its superuser, with the password that is known of it."""
    superuser, user = made.server.superuser, target.user or getpass.getuser()
    if user != superuser:
        to = f"postgresql://{superuser}@{target.server}/{target.database}"
        raise Refused(
            f"in a new cluster nobody but {superuser} can log in, and the address is of {user}",
            hint=f"recover --from STORE --to {to}, with --new-cluster",
        )
    if password_of(target) is None:
        raise Refused(f"no password is known for {superuser}", hint="set PGPASSWORD to the one that it is to have")


def _owner() -> str:
    if os.geteuid() != 0:
        return getpass.getuser()
    try:
        return pwd.getpwnam(_OWNER).pw_name
    except KeyError:
        raise Refused(
            f"PostgreSQL does not run as root, and there is no user {_OWNER}",
            hint=f"useradd --system {_OWNER}, or run this as the user who is to have the cluster",
        ) from None
