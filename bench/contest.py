"""The contestants: the lines that people type, pgproof's among them, and what each leaves behind."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from ground import Ground
from measure import LineFailedError, Shell

ROOT = Path(__file__).resolve().parent.parent
JOBS = 2
SCRIPT = "script"  # the plain script that everything is a ratio to


@dataclass(slots=True)
class Contestant:
    """A shell line; what it writes; how its rows are read back as text, to be counted."""

    key: str
    line: str
    leaves: str = ""
    text: str = ""
    ours: bool = False
    seconds: list[float] = field(default_factory=list)
    size: int = 0

    @property
    def median(self) -> float:
        return median(self.seconds)


@dataclass(frozen=True, slots=True)
class Variant:
    """One configuration of pgproof: its file, its store, and how its backup is read without pgproof."""

    name: str
    source: str
    codec: str
    gpg: bool = False

    @property
    def config(self) -> str:
        return f"{self.name}.toml"

    @property
    def text(self) -> str:
        """The line that prints the backup's SQL: docs/without-pgproof.md."""
        ending = ".gz" if self.codec == "gzip" else ".zst"
        part = f"store-{self.name}/{self.source}/*/{self.source}.sql{ending}"
        unpack = "gunzip -c" if self.codec == "gzip" else "zstd -dc"
        if self.gpg:
            return f"gpg --batch --quiet --pinentry-mode loopback --passphrase-file passphrase -d {part}.gpg | {unpack}"
        return f"{unpack} {part}"


def shell(place: Ground) -> Shell:
    """The environment of a user of this server, with `pgproof` of this working copy on the path."""
    folder = place.folder
    (folder / "bin").mkdir(exist_ok=True)
    program = folder / "bin" / "pgproof"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m pgproof "$@"\n')
    program.chmod(0o755)
    path = f"{folder / 'bin'}:{place.tools.folder}:{os.environ['PATH']}"
    env = {
        "PATH": path,
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "PGHOST": str(place.socket),
        "PGPORT": "5432",
        "PGUSER": "postgres",
        "PGPASSFILE": str(folder / "pgpass"),
        "PGPROOF_STATE": str(folder / "state"),
        "PYTHONPATH": str(ROOT / "src"),
    }
    return Shell(folder, env)


def configure(place: Ground, variant: Variant) -> None:
    """Write the variant's pgproof.toml."""
    lines = [
        f"[sources.{variant.source}]",
        f'url = "host={place.socket} user=postgres dbname={variant.source}"',
        'password = "file:password"',
        f'compress = "{variant.codec}"',
        f"jobs = {JOBS}",
        "[stores.local]",
        f'url = "store-{variant.name}"',
        "[encryption]",
    ]
    lines += ['method = "gpg"', 'passphrase = "file:passphrase"'] if variant.gpg else ['method = "none"']
    (place.folder / "passphrase").touch(0o600)
    (place.folder / "passphrase").write_text("correct horse battery staple\n")
    (place.folder / variant.config).write_text("\n".join(lines) + "\n")


def archive_compression(run: Shell) -> str:
    """What the best stock pg_dump compresses with: zstd where it was built with it."""
    for words in ("--compress=zstd:1", "--compress=1"):
        shutil.rmtree(run.folder / "probe", ignore_errors=True)
        try:
            run.output(f"pg_dump -Fd {words} -f probe template1")
        except LineFailedError:
            continue
        return words
    raise SystemExit("pg_dump cannot write a directory archive")


def backups(database: str, compress: str, variants: Sequence[Variant], *, all_stock: bool) -> list[Contestant]:
    """Those that back `database` up; the plain script first."""
    script, folder = f"{database}-script.sql.gz", f"{database}-directory"
    found = [
        Contestant(SCRIPT, f"pg_dump {database} | gzip > {script}", script, f"gunzip -c {script}"),
        Contestant(
            "directory", f"pg_dump -Fd -j{JOBS} {compress} -f {folder} {database}", folder, f"pg_restore -f - {folder}"
        ),
    ]
    if all_stock:
        found.append(Contestant("nothing", f"pg_dump {database} > /dev/null"))
    found += [_ours(variant) for variant in variants]
    return found


def _ours(variant: Variant) -> Contestant:
    line = f"pgproof backup --quiet --config {variant.config}"
    return Contestant(variant.name, line, f"store-{variant.name}/{variant.source}", variant.text, ours=True)


def restores(database: str, target: str, variants: Sequence[Variant], without_statistics: str) -> list[Contestant]:
    """Those that bring `database` back as `target`; the plain script first."""
    script, folder = f"{database}-script.sql.gz", f"{database}-directory"
    found = [
        Contestant(SCRIPT, f"gunzip -c {script} | psql -X -q -v ON_ERROR_STOP=1 -d {target}"),
        Contestant("directory", f"pg_restore -j{JOBS} -d {target} {folder}"),
    ]
    for variant in variants:
        line = f"pgproof restore latest --to {target} --jobs {JOBS} --quiet --config {variant.config}"
        found.append(Contestant(variant.name, line, ours=True))
        if without_statistics:
            found.append(Contestant(f"{variant.name} without statistics", f"{line} {without_statistics}", ours=True))
    return found


def statistics_option(run: Shell) -> str:
    """The option of `pgproof restore` that leaves ANALYZE out, if there is one."""
    words = re.findall(r"--(?:no|skip)-(?:analyze|statistics)\b", run.output("pgproof restore --help"))
    return str(words[0]) if words else ""


def compete(
    contestants: Sequence[Contestant],
    run: Shell,
    rounds: int,
    *,
    before: Callable[[Contestant], None],
    after: Callable[[Contestant, int], None],
    say: Callable[[str], None],
) -> None:
    """All in turn, so many rounds; round 0 warms the caches and does not count, unless it is the only one."""
    first = 0 if rounds > 1 else 1
    for turn in range(first, rounds + 1):
        for one in contestants:
            before(one)
            took = run.run(one.line)
            if turn:
                one.seconds.append(took)
            say(f"  {'round ' + str(turn) if turn else 'warm-up'}  {took:8.2f} s  {one.line}")
            after(one, turn)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())


def remove(path: Path) -> None:
    """A file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def count_rows(run: Shell, text: str) -> int:
    """The rows in the SQL text that the line `text` prints."""
    return int(run.output(f"({text}) | awk '{_COUNT}'"))


_COUNT = (
    r"copy && /^\\\.$/ { copy = 0; next } "
    r"copy { rows++; next } "
    r"/^COPY .* FROM stdin;$/ { copy = 1 } "
    r"END { print rows + 0 }"
)
