"""The throw-away server: a PostgreSQL of our own, unprivileged, on a private socket, cut off from the network.

What is restored into it may run code (functions, defaults, triggers): so it runs as nobody when we are
root, in a network namespace of its own where the kernel lets us, with a password that only we know,
and dies with us (PR_SET_PDEATHSIG).
"""

import contextlib
import json
import os
import pwd
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from pgproof.errors import NotProven, PgproofError, ProgramFailed
from pgproof.postgres.server import Address, connect
from pgproof.postgres.sql import conninfo_value
from pgproof.postgres.tools import Tools
from pgproof.secret import Secret
from pgproof.stream import process

START_SECONDS = 60
_UNCLAIMED_SECONDS = 60
_PREFIX = "pgproof-scratch-"
_FOREVER = 10.0 * 365 * 24 * 3600

# A server whose data nobody needs tomorrow; nothing in it reaches out or runs by itself.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "archive_mode": "off",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "jit": "off",
    "max_connections": "60",
    "max_locks_per_transaction": "1024",
    "max_logical_replication_workers": "0",
    "shared_buffers": "128MB",
    "maintenance_work_mem": "128MB",
    "logging_collector": "off",
    "log_destination": "stderr",
}


@dataclass(frozen=True, slots=True)
class Scratch:
    """A running throw-away server; `isolated` tells whether the network is cut off for certain."""

    address: Address
    tools: Tools
    folder: Path
    isolated: bool


@dataclass(frozen=True, slots=True)
class _Login:
    user: str
    password: str


@contextmanager
def scratch(tools: Tools, *, superuser: str = "postgres", below: str | None = None) -> Iterator[Scratch]:
    """Start one, and remove it with all its data at the end. Raises NotProven saying what would make it run.

    `superuser` is its bootstrap superuser: the source's own, as grants on system objects name it.
    `below` is the folder to make it in; its disk needs room for the whole database.
    """
    sweep(below)
    folder = _folder(below)
    try:
        usable = reachable(tools)
        login = _Login(superuser, secrets.token_hex(24))
        _initdb(usable, folder, login)
        command, isolated = _command(usable, folder)
        with (folder / "server.log").open("wb") as log:
            program = process.Program(command, env={"TZ": "UTC"}, deadline=_FOREVER, idle=_FOREVER, cwd=str(folder))
            with process.background(program, log) as child:
                address = _address(folder, login)
                _wait(child, address, folder)
                yield Scratch(address, usable, folder, isolated)
                child.stop(signal.SIGQUIT)
    finally:
        _remove(folder)


def _place(below: str | None) -> Path:
    """Where throw-away servers live. Python's own choice falls back to other disks, and leaves files of its own."""
    return Path(below or os.environ.get("TMPDIR") or "/tmp")  # noqa: S108


def _folder(below: str | None) -> Path:
    with _written(_place(below)):
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_place(below)))
        try:
            _claim(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return folder


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotProven(
            f"a throw-away server cannot be made in {folder}: {error.strerror}",
            hint=room(folder) if folder.is_dir() else "set TMPDIR to a folder that is there",
        ) from error


def sweep(below: str | None = None) -> int:
    """Remove what killed runs left behind, servers and folders; returns how many."""
    count = 0
    for folder in _place(below).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, ValueError, TypeError):
            if _abandoned(folder):
                _end_server(folder)
                _remove(folder)
                count += 1
    return count


def _abandoned(folder: Path) -> bool:
    """Whether its owner is gone for certain; a folder without one is about to get one, in no time."""
    if not (folder / "owner.json").exists():
        return time.time() - folder.stat().st_mtime > _UNCLAIMED_SECONDS
    return process.is_gone(process.Identity(**json.loads((folder / "owner.json").read_text())))


def _remove(folder: Path) -> None:
    """The data first: as long as there is any, the file that says whose it is must be there. A Ctrl-C
    that comes just now is answered when all of it is gone.
    """
    try:
        shutil.rmtree(folder / "data", ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    except KeyboardInterrupt:
        _remove(folder)
        raise


def _end_server(folder: Path) -> None:
    """End the server of a dead owner: one that was killed before the kernel knew that they die together."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        if Path(f"/proc/{pid}/cwd").resolve() == (folder / "data").resolve():
            os.kill(pid, signal.SIGKILL)


@cache
def reachable(tools: Tools) -> Tools:
    """`tools`, or a copy of them that the unprivileged user can start: a virtual environment below
    /root cannot be entered by anybody else, and no mode of the user's folders is ever changed.
    """
    if os.geteuid() != 0 or _starts(tools.folder):
        return tools
    target = Path(f"/var/tmp/pgproof-programs-{tools.folder.parent.parent.name}-{tools.version}")  # noqa: S108
    copy = _copy_programs(tools.folder, target)
    if not _starts(copy):
        raise NotProven(
            f"PostgreSQL {tools.version} in {tools.folder} cannot be started by an unprivileged user",
            hint="install a PostgreSQL server package, for example postgresql-17",
        )
    return Tools(copy, tools.major, tools.minor, tools.server)


def _copy_programs(folder: Path, target: Path) -> Path:
    """Copy an installation (and, of a wheel, the libraries beside it) to `target`, once, owned by root."""
    module = folder.parent.parent
    libraries = module.with_name(f"{module.name}.libs")
    wheel = (module / "__init__.py").exists()
    inside = Path(module.name, folder.parent.name) if wheel else Path(folder.parent.name)
    final = target / inside / "bin"
    if target.exists() and target.stat().st_uid == os.geteuid() and final.exists():
        return final
    making = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
    making.chmod(0o755)
    shutil.copytree(folder.parent, making / inside, symlinks=True, ignore=shutil.ignore_patterns("include"))
    if wheel and libraries.is_dir():
        shutil.copytree(libraries, making / libraries.name, symlinks=True)
    for path in [making / inside, *(making / inside).parents]:
        if making in (path, *path.parents):
            path.chmod(0o755)
    with contextlib.suppress(OSError):
        making.rename(target)
        return final
    return making / inside / "bin"


def _starts(folder: Path) -> bool:
    """Whether the unprivileged user can enter the folder and start what is there.

    setpriv itself still holds root's capabilities while it looks the program up, so that its success
    says nothing of the folders above; `test` is asked when they are gone.
    """
    try:
        process.run(process.Program([*_as_nobody(), "test", "-x", str(folder / "postgres")], deadline=20, cwd="/"))
        process.run(process.Program([*_as_nobody(), str(folder / "postgres"), "--version"], deadline=20, cwd="/"))
    except PgproofError:
        return False
    return True


def _as_nobody(*more: str) -> list[str]:
    """The words before a command that make it run unprivileged; none are needed when we are not root."""
    setpriv = process.find("setpriv")
    if os.geteuid() != 0:
        return [setpriv, *more, "--"] if setpriv and more else []
    if not setpriv:
        raise NotProven("a drill by root needs the program setpriv", hint="install util-linux, or run as another user")
    user = pwd.getpwnam("nobody")
    ids = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
    return [setpriv, *ids, "--no-new-privs", "--inh-caps=-all", *more, "--"]


def _claim(folder: Path) -> None:
    new = folder / "owner.new"
    new.write_text(json.dumps(asdict(process.identity())))
    new.rename(folder / "owner.json")
    if os.geteuid() == 0:
        os.chown(folder, pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)


def _initdb(tools: Tools, folder: Path, login: _Login) -> None:
    secret = folder / "password"
    with _written(folder):
        secret.touch(0o600)
        secret.write_text(login.password + "\n")
        if os.geteuid() == 0:
            os.chown(secret, pwd.getpwnam("nobody").pw_uid, -1)
    argv = [
        tools.program("initdb"),
        "-D",
        str(folder / "data"),
        "-U",
        login.user,
        "--encoding=UTF8",
        "--locale=C",
    ]
    argv += ["--no-sync", "--auth=scram-sha-256", f"--pwfile={secret}"]
    try:
        process.run(process.Program([*_as_nobody("--pdeathsig", "KILL"), *argv], deadline=120, cwd=str(folder)))
    except PgproofError as error:
        raise NotProven(f"a throw-away server cannot be made: {error.message}", hint=room(folder)) from error
    finally:
        secret.unlink()


def _command(tools: Tools, folder: Path) -> tuple[list[str], bool]:
    options = [word for key, value in _SETTINGS.items() for word in ("-c", f"{key}={value}")]
    options += ["-c", f"unix_socket_directories={folder}", "-c", "unix_socket_permissions=0700"]
    server = [tools.program("postgres"), "-D", str(folder / "data"), *options]
    cut = _network_cut()
    return [*cut, *_as_nobody("--pdeathsig", "QUIT"), *server], bool(cut)


@cache
def _network_cut() -> tuple[str, ...]:
    """The words that give a command a network namespace of its own, with nothing in it; () if not allowed."""
    unshare = process.find("unshare")
    if not unshare:
        return ()
    words = (unshare, "--net") if os.geteuid() == 0 else (unshare, "--net", "--map-current-user")
    try:
        process.run(process.Program([*words, "true"], deadline=20))
    except PgproofError:
        return ()
    return (*words, "--")


def _address(folder: Path, login: _Login) -> Address:
    words = {"host": str(folder), "port": "5432", "user": login.user, "dbname": "postgres"}
    return Address(" ".join(f"{key}={conninfo_value(value)}" for key, value in words.items()), Secret(login.password))


def _wait(child: process.Child, address: Address, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            connect(address).close()
            return
        except PgproofError:
            if child.running and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
        raise NotProven(f"the throw-away server does not start: {_how_it_ended(child, folder)}", hint=room(folder))


def _how_it_ended(child: process.Child, folder: Path) -> str:
    log = (folder / "server.log").read_text(errors="replace")[-2000:].strip()
    if child.running:
        return f"it does not answer within {START_SECONDS} s; {log}"
    try:
        child.finish(accept=())
    except ProgramFailed as error:
        return f"{error.message}; {log}" if log else error.message
    return log


def room(folder: Path) -> str:
    """The hint for a drill that found no space."""
    free = shutil.disk_usage(folder).free
    return f"{folder.parent} has {free >> 20} MB free; set TMPDIR to a folder on a larger disk"
