"""What was measured, as a page for people and a document for machines: goals first, then all medians."""

import os
import platform
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from contest import SCRIPT, Contestant
from ground import KEYCLOAK, LOPSIDED, QUARTER, SETTINGS, Ground
from measure import SAMPLES_PER_SECOND, Shell, Watch

LIBRARIES = ("asyncpg", "psycopg", "isal", "zstandard", "xxhash", "msgspec")
VERBS = ("backup", "restore", "prove")


@dataclass(slots=True)
class Result:
    """All that one run found."""

    tables: dict[str, int]
    backup: list[Contestant] = field(default_factory=list)
    restore: list[Contestant] = field(default_factory=list)
    lopsided_backup: list[Contestant] = field(default_factory=list)
    lopsided_restore: list[Contestant] = field(default_factory=list)
    drill: list[Contestant] = field(default_factory=list)
    memory: dict[str, Watch] = field(default_factory=dict)
    memory_quarter: dict[str, Watch] = field(default_factory=dict)
    starts: list[Contestant] = field(default_factory=list)
    surroundings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Goal:
    """One line of DESIGN section 9: reached when `figure` is at most `limit`."""

    what: str
    against: str
    limit: float
    figure: float
    unit: str = ""

    @property
    def reached(self) -> bool:
        return self.figure <= self.limit

    def row(self) -> tuple[str, ...]:
        return (
            self.what,
            self.against,
            f"at most {_number(self.limit, self.unit)}",
            _number(self.figure, self.unit),
            "yes" if self.reached else "**no**",
        )


def goals(result: Result) -> list[Goal]:
    """The figures to reach, in the order of the design."""
    return [*_backup_goals(result), *_restore_goals(result), *_memory_goals(result), *_start_goals(result)]


def _backup_goals(result: Result) -> list[Goal]:
    seconds, sizes = _medians(result.backup), {one.key: float(one.size) for one in result.backup}
    lopsided = _medians(result.lopsided_backup)
    script, stock = "`pg_dump \\| gzip`", "`pg_dump -Fd -j2`"
    return [
        Goal("backup, zstd: wall time", script, 0.115, seconds["zstd"] / seconds[SCRIPT]),
        Goal("backup, zstd: size", script, 0.9, sizes["zstd"] / sizes[SCRIPT]),
        Goal("backup, gzip: wall time", script, 0.14, seconds["gzip"] / seconds[SCRIPT]),
        Goal("backup, gzip: size", script, 1.02, sizes["gzip"] / sizes[SCRIPT]),
        Goal("backup, zstd: wall time", stock, 1.1, seconds["zstd"] / seconds["directory"]),
        Goal("backup, zstd, one big table: wall time", stock, 1.1, lopsided["lopsided-zstd"] / lopsided["directory"]),
    ]


def _restore_goals(result: Result) -> list[Goal]:
    seconds, lopsided, drill = map(_medians, (result.restore, result.lopsided_restore, result.drill))
    script, stock = "`gunzip \\| psql`", "`pg_restore -j2`"
    return [
        Goal("restore, gzip: wall time", script, 0.7, seconds["gzip"] / seconds[SCRIPT]),
        Goal("restore, zstd: wall time", script, 0.7, seconds["zstd"] / seconds[SCRIPT]),
        Goal("restore, gzip: wall time", stock, 1.0, seconds["gzip"] / seconds["directory"]),
        Goal("restore, zstd: wall time", stock, 1.0, seconds["zstd"] / seconds["directory"]),
        Goal("restore, gzip, one big table: wall time", stock, 1.0, lopsided["lopsided-gzip"] / lopsided["directory"]),
        Goal("restore, zstd, one big table: wall time", stock, 1.0, lopsided["lopsided-zstd"] / lopsided["directory"]),
        Goal("drill, gzip: wall time", f"{stock} alone", 1.5, drill["gzip"] / drill["pg_restore"]),
        Goal("drill, zstd: wall time", f"{stock} alone", 1.5, drill["zstd"] / drill["pg_restore"]),
    ]


def _memory_goals(result: Result) -> list[Goal]:
    found = [
        Goal(f"{verb}: peak memory, whole process tree", "", 250.0, result.memory[verb].everything / 1e6, "MB")
        for verb in VERBS
    ]
    found.append(
        Goal(
            "prove: peak memory without the throw-away server",
            "",
            250.0,
            result.memory["prove"].without_server / 1e6,
            "MB",
        )
    )
    for verb in VERBS:
        growth = result.memory[verb].without_server / max(1, result.memory_quarter[verb].without_server)
        found.append(Goal(f"{verb}: peak memory with four times the data", "with a quarter", 1.15, growth))
    return found


def _start_goals(result: Result) -> list[Goal]:
    seconds = _medians(result.starts)
    return [Goal("`pgproof list` on 100 local backups", "", 0.5, seconds["list"], "s")]


def goals_table(result: Result) -> str:
    return table(("what", "against", "goal", "figure", "reached"), (goal.row() for goal in goals(result)))


def page(result: Result, command: str) -> str:
    """docs/benchmarks.md."""
    megabytes = {name: size / 1e6 for name, size in result.tables.items()}
    return "\n".join(
        [
            _HEAD.format(command=command, rate=SAMPLES_PER_SECOND),
            "## Goals\n",
            goals_table(result),
            _NOTES,
            f"## Backup, {megabytes[KEYCLOAK]:,.0f} MB of tables, the largest about half\n",
            _contest_table(result.backup, sizes=True),
            f"\n## Backup, {megabytes[LOPSIDED]:,.0f} MB, one table nine tenths\n",
            _contest_table(result.lopsided_backup, sizes=True),
            f"\n## Restore, {megabytes[KEYCLOAK]:,.0f} MB of tables\n",
            _contest_table(result.restore),
            f"\n## Restore, {megabytes[LOPSIDED]:,.0f} MB, one table nine tenths\n",
            _contest_table(result.lopsided_restore),
            "\n## Drill\n",
            _contest_table(result.drill),
            f"\n## Peak memory, with {megabytes[KEYCLOAK]:,.0f} MB of tables and with {megabytes[QUARTER]:,.0f} MB\n",
            _memory_table(result),
            "\n## Program start\n",
            _contest_table(result.starts),
            "\n## Surroundings\n",
            table(("what", "which"), result.surroundings.items()),
            "",
        ]
    )


_HEAD = """\
# Benchmarks

pgproof beside the stock programs, in one run on one machine. To repeat it:

    {command}

How it is measured: wall time of a whole shell line, from its start to its end, programs' own start included;
medians of rounds in which all take turns, after one round that warms the caches and is not counted. Between two
lines the server does a checkpoint and the disks are synced, untimed. All speak to the same server, by socket,
with a password. Every backup's rows are counted in its text by `gunzip`, `zstd`, `gpg` or `pg_restore`, and
every restored database's table by table; a difference ends the run. Stock restores get an empty database before
the time begins; pgproof makes its own within it, checks all hashes, and makes statistics, which they do not.
Memory is the proportional set size (Pss) of the command and all its descendants, sampled {rate} times a second
in runs of their own; the measured PostgreSQL server is no descendant and not in it, the drill's throw-away
server is one and is, where nothing else is said.
"""
_NOTES = """
Sizes are of all that a backup stores, for pgproof the manifest, the schema and the roles too. The backup of a
stopped volume needs Docker and is not measured here.
"""


def _contest_table(contestants: Sequence[Contestant], *, sizes: bool = False) -> str:
    first = contestants[0]
    head = ["line", "median", "range", "ratio", *(["size", "ratio"] if sizes else [])]
    rows = []
    for one in contestants:
        row = [
            f"`{one.line.replace('|', chr(92) + '|')}`",
            f"{one.median:.2f} s",
            f"{min(one.seconds):.2f} to {max(one.seconds):.2f}",
        ]
        row.append(f"{one.median / first.median:.3f}")
        if sizes:
            row += [f"{one.size / 1e6:,.1f} MB", f"{one.size / first.size:.3f}"] if one.size else ["", ""]
        rows.append(row)
    return table(head, rows)


def _memory_table(result: Result) -> str:
    rows = []
    for verb in VERBS:
        full, quarter = result.memory[verb], result.memory_quarter[verb]
        figures = (full.without_server, full.everything, quarter.without_server, quarter.everything)
        rows.append([f"`pgproof {verb}`", *(f"{figure / 1e6:.0f} MB" for figure in figures)])
    head = ("line", "programs", "with a server of its own", "programs, a quarter", "with a server, a quarter")
    return table(head, rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def document(result: Result, command: str) -> dict[str, Any]:
    """The same for machines, every single time included."""
    contests = ("backup", "lopsided_backup", "restore", "lopsided_restore", "drill", "starts")
    return {
        "command": command,
        "surroundings": result.surroundings,
        "tables_bytes": result.tables,
        "goals": [
            {
                "what": g.what,
                "against": g.against.replace("\\", ""),
                "limit": g.limit,
                "figure": g.figure,
                "unit": g.unit,
                "reached": g.reached,
            }
            for g in goals(result)
        ],
        **{name: [_entry(one) for one in getattr(result, name)] for name in contests},
        "memory": {verb: _bytes(result.memory[verb]) for verb in VERBS},
        "memory_quarter": {verb: _bytes(result.memory_quarter[verb]) for verb in VERBS},
    }


def _entry(one: Contestant) -> dict[str, Any]:
    return {"key": one.key, "line": one.line, "median": one.median, "seconds": one.seconds, "size": one.size or None}


def _bytes(watch: Watch) -> dict[str, int]:
    return {"programs": watch.without_server, "everything": watch.everything, "samples": watch.samples}


def surroundings(shell: Shell, place: Ground, users: int, rounds: int, began: datetime) -> dict[str, str]:
    """On what, with what, when."""
    own = ", ".join(f"{key} {value}" for key, value in SETTINGS.items() if value)
    programs = ("gzip", "gpg", "zstd", "bash")
    return {
        "date": f"{began:%Y-%m-%d}, {(datetime.now(UTC) - began).total_seconds() / 60:.0f} minutes",
        "load average at the end": f"{os.getloadavg()[0]:.1f}",
        "users, rounds": f"{users:,}, {rounds}",
        "cores, memory": f"{len(os.sched_getaffinity(0))}, {_memory() / 1e9:.0f} GB",
        "processor": _processor(),
        "kernel": platform.release(),
        "disk": f"{_filesystem(place.folder)}, {shutil.disk_usage(place.folder).free / 1e9:.0f} GB free",
        "PostgreSQL": f"{place.tools.version}: {own}; else its defaults",
        "pgproof": f"{version('pgproof')}, commit {_commit(shell)}",
        "Python": f"{sys.version.split()[0]}, {', '.join(f'{name} {version(name)}' for name in LIBRARIES)}",
        "programs": ", ".join(
            shell.output(f"{name} --version").splitlines()[0] for name in programs if shutil.which(name)
        ),
    }


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _filesystem(path: Path) -> str:
    """The type of the file system that `path` is on (proc(5), mounts)."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    return max(((where, kind) for where, kind in mounts if path.is_relative_to(where)), key=lambda one: len(one[0]))[1]


def _commit(shell: Shell) -> str:
    root = Path(__file__).resolve().parent.parent
    return shell.output(f"git -C {root} rev-parse --short HEAD 2>/dev/null || echo unknown").strip()


def _medians(contestants: Iterable[Contestant]) -> dict[str, float]:
    return {one.key: one.median for one in contestants}


def _number(value: float, unit: str) -> str:
    if unit == "MB":
        return f"{value:.0f} MB"
    return f"{value:.2f} s" if unit else f"{value:.3g}"
