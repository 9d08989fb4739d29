"""A new cluster in a folder of the user's, to be served from there for good: initdb, a few settings, pg_ctl start.

Unlike a throw-away server it outlives us, keeps what it is told through a power cut, and belongs to whoever is to
run it. That it is started again when the machine starts is the system's to arrange.
"""

import contextlib
import os
import pwd
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pgproof.errors import PgproofError, Refused
from pgproof.manifest import Database
from pgproof.postgres.tools import Tools
from pgproof.secret import Secret
from pgproof.stream import process

_SECONDS = 300
_SOCKETS = ("/var/run/postgresql", "/tmp")  # noqa: S108 - where clients of packages, and of PostgreSQL itself, look


@dataclass(frozen=True, slots=True)
class Cluster:
    """One to be made. `owner` is the user of the operating system that runs it; `like` gives encoding and locale;
    `sockets` is the folder of its socket, "" for the usual one.
    """

    folder: Path
    tools: Tools
    owner: str
    superuser: str
    like: Database
    port: int
    sockets: str = ""

    @property
    def start(self) -> str:
        """The line that starts it, for whoever arranges that this is done with the machine."""
        return f"{self.tools.program('pg_ctl')} -D {self.folder} -l {self.folder}/server.log -w start"


def check_folder(folder: Path) -> None:
    """Raises Refused for one that cannot hold a new cluster: it must be empty, or not there below one that is."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise Refused(f"{folder} is not a folder", hint="name one that is empty, or not there yet")
    if folder.is_dir() and any(folder.iterdir()):
        raise Refused(f"{folder} is not empty", hint="a new cluster needs a folder of its own: name another one")
    if not folder.parent.is_dir():
        raise Refused(f"there is no folder {folder.parent}", hint="make it first, on the disk that is to hold the data")


def create(one: Cluster, password: Secret) -> None:
    """Make and start it; what was made goes again if it does not start. Raises Refused."""
    check_folder(one.folder)
    there = one.folder.exists()
    try:
        if not there:
            one.folder.mkdir(mode=0o700)
        _own(one)
        _initdb(one, password)
        _configure(one)
        _start(one)
    except BaseException:
        _take_back(one, there=there)
        raise


def _own(one: Cluster) -> None:
    if os.geteuid() == 0:
        user = pwd.getpwnam(one.owner)
        os.chown(one.folder, user.pw_uid, user.pw_gid)


def _initdb(one: Cluster, password: Secret) -> None:
    """The password is handed over in memory: it is in no file and no process list."""
    fd = os.memfd_create("password", os.MFD_CLOEXEC)
    try:
        os.write(fd, password.reveal().encode() + b"\n")
        words = ["-D", str(one.folder), f"--username={one.superuser}", "--auth=scram-sha-256", "--data-checksums"]
        words += [f"--pwfile=/proc/self/fd/{fd}", *_locale(one.like, one.tools.major)]
        with _said(
            f"the cluster cannot be made in {one.folder}", "those are initdb's words; a locale is made by locale-gen"
        ):
            _run(one, "initdb", *words, fds=(fd,))
    finally:
        os.close(fd)


def _locale(like: Database, major: int) -> list[str]:
    """Words of initdb for the encoding and locale of a database (PostgreSQL docs, initdb): templates get them, and so
    does whatever is made of those.
    """
    words = [f"--encoding={like.encoding}", f"--lc-collate={like.collate}", f"--lc-ctype={like.ctype}"]
    if like.provider == "i" and major >= 15:
        words += ["--locale-provider=icu", f"--icu-locale={like.locale}"]
    if like.provider == "b" and major >= 17:
        words += ["--locale-provider=builtin", f"--builtin-locale={like.locale}"]
    return words


def _configure(one: Cluster) -> None:
    sockets = one.sockets or next(place for place in _SOCKETS if _may_write(one, place))
    with (one.folder / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write(f"\n# pgproof recover --new-cluster\nport = {one.port}\nunix_socket_directories = '{sockets}'\n")


def _may_write(one: Cluster, place: str) -> bool:
    with contextlib.suppress(PgproofError):
        process.run(process.Program([*_as(one.owner), "test", "-w", place], deadline=20, cwd="/"))
        return True
    return place == _SOCKETS[-1]


def _start(one: Cluster) -> None:
    log = one.folder / "server.log"
    with _said(f"the new cluster in {one.folder} does not start", "those are pg_ctl's words", lambda: _last(log)):
        _run(one, "pg_ctl", "-D", str(one.folder), "-l", str(log), "-w", "-t", "60", "start")


def _take_back(one: Cluster, *, there: bool) -> None:
    """Only what we have made is in the folder: it was empty."""
    with contextlib.suppress(PgproofError):
        _run(one, "pg_ctl", "-D", str(one.folder), "-m", "immediate", "-w", "stop")
    for path in one.folder.iterdir() if one.folder.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if not there:
        with contextlib.suppress(OSError):
            one.folder.rmdir()


@contextlib.contextmanager
def _said(text: str, hint: str, more: Callable[[], str] = str) -> Iterator[None]:
    """What a program says of its failure, after what that means; `more` is asked for what it left elsewhere."""
    try:
        yield
    except PgproofError as error:
        raise Refused(f"{text}: {error.message} {more()}".strip(), hint=hint) from error


def _last(log: Path) -> str:
    with contextlib.suppress(OSError):
        return " ".join(log.read_text(encoding="utf-8", errors="replace").split())[-400:]
    return ""


def _run(one: Cluster, program: str, *words: str, fds: tuple[int, ...] = ()) -> None:
    argv = [*_as(one.owner), one.tools.program(program), *words]
    process.run(process.Program(argv, pass_fds=fds, deadline=_SECONDS, cwd="/"))


def _as(owner: str) -> list[str]:
    """The words before a command that is another user's: PostgreSQL refuses to be root's."""
    if os.geteuid() != 0:
        return []
    setpriv = process.find("setpriv")
    if not setpriv:
        raise Refused("a cluster made by root needs the program setpriv", hint="install util-linux, or be another user")
    user = pwd.getpwnam(owner)
    return [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups", "--"]
