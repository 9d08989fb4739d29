"""Downtime of a volume backup: pgproof, in one pass and in two, against `docker stop; tar czf; docker start`.

    tools/engine run .venv/bin/python bench/volume.py --megabytes 1500 --rounds 3 --out docs/benchmarks-volume.md

A PostgreSQL container with a named volume on a real engine; the time without a server is measured from outside, by
whoever wants to connect: from the last connection that was let in to the first one after it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests import engine
from tests.engine import Stack, docker

GOAL = 1 / 8
_FILL = """
CREATE TABLE IF NOT EXISTS events (id bigint, realm text, at timestamptz, details text);
INSERT INTO events SELECT g, md5((g % 7)::text), now(), repeat(md5(g::text) || ' and words that a row has ', 3)
FROM generate_series(1, {0}) g;
CREATE INDEX ON events (id);
CHECKPOINT
"""
_ROWS_A_MEGABYTE = 3200


@dataclass(slots=True)
class Line:
    name: str
    act: Callable[[], None]
    down: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)


def main() -> int:
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="pgproof-bench-", dir=given.below) as name, engine.stack() as stack:
        folder = Path(name)
        stack.run(_FILL.format(given.megabytes * _ROWS_A_MEGABYTE))
        size = int(str(stack.value("SELECT sum(pg_database_size(oid))::bigint FROM pg_database")))
        lines = [
            Line("the script", lambda: script(stack, folder)),
            Line("pgproof, one pass", lambda: pgproof(stack, folder, 1)),
            Line("pgproof, two passes", lambda: pgproof(stack, folder, 2)),
        ]
        for turn in range(given.rounds + 1):
            for one in lines:
                measured(stack, one, turn)
        given.out.write_text(page(lines, size, given), encoding="utf-8")
    print(given.out.read_text())
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1500, help="about the size of the database, in MB")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count, after one that warms up")
    parser.add_argument("--below", help="the folder to work in; else TMPDIR")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks-volume.md"), help="the page to write")
    return parser.parse_args()


def script(stack: Stack, folder: Path) -> None:
    """What people write."""
    root = engine.mountpoint(stack.volume)
    docker("stop", "--time", "300", stack.service, stack.database)
    subprocess.run(["tar", "czf", str(folder / "volume.tar.gz"), "-C", str(root), "."], check=True)
    docker("start", stack.database, stack.service)


def pgproof(stack: Stack, folder: Path, passes: int) -> None:
    shutil.rmtree(folder / "backups", ignore_errors=True)
    config = folder / "pgproof.toml"
    source = stack.source.replace("services =", f"passes = {passes}, services =")
    config.write_text(f'{source}[stores.local]\nurl = "{folder / "backups"}"\n')
    env = {**os.environ, "STACK_PASSWORD": engine.PASSWORD, "DOCKER_HOST": engine.address()}
    env["PGPROOF_STATE"] = str(folder / f"state-{time.monotonic_ns()}")
    words = [sys.executable, "-m", "pgproof", "backup", "--quiet", "--config", str(config)]
    subprocess.run(words, check=True, env=env, cwd=folder)


def measured(stack: Stack, line: Line, turn: int) -> None:
    """Run it while somebody keeps asking for a connection."""
    answers: list[float] = []
    done = threading.Event()
    watcher = threading.Thread(target=ask, args=(stack, answers, done))
    watcher.start()
    os.sync()
    time.sleep(1)
    began = time.monotonic()
    line.act()
    whole = time.monotonic() - began
    stack.wait()
    time.sleep(0.5)
    done.set()
    watcher.join()
    down = max(later - earlier for earlier, later in pairwise(answers))
    if turn:
        line.down.append(down)
        line.whole.append(whole)
    print(
        f"  {'round ' + str(turn) if turn else 'warm-up'}  down {down:6.2f} s of {whole:6.2f} s  {line.name}",
        file=sys.stderr,
    )


def ask(stack: Stack, answers: list[float], done: threading.Event) -> None:
    while not done.is_set():
        with suppress(Exception):
            stack.value("SELECT 1")
            answers.append(time.monotonic())
        time.sleep(0.02)


def page(lines: list[Line], size: int, given: argparse.Namespace) -> str:
    script_ = median(lines[0].down)
    rows = [
        f"| {one.name} | {median(one.down):.2f} s | {min(one.down):.2f} to {max(one.down):.2f} | "
        f"{median(one.down) / script_:.3f} | {median(one.whole):.2f} s |"
        for one in lines
    ]
    goals = [goal(one, median(one.down) / script_) for one in lines[1:]]
    return f"""# Benchmark: the downtime of a volume backup

A PostgreSQL container with {size >> 20} MiB of databases in a named volume, and a service that depends on it, on a
real engine (`bench/volume.py`), in turns; medians of {given.rounds} rounds after one that warms up. Downtime is seen
from outside: from the last connection that was let in to the first one after. The script is
`docker stop; tar czf; docker start`. To repeat it:

    tools/engine run .venv/bin/python bench/volume.py --megabytes {given.megabytes} --rounds {given.rounds}

| what | against | goal | figure | reached |
| --- | --- | --- | --- | --- |
{chr(10).join(goals)}

| line | downtime | range | of the script's | the whole run |
| --- | --- | --- | --- | --- |
{chr(10).join(rows)}

{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores. Stopping and starting the containers is part of each.
"""


def goal(line: Line, figure: float) -> str:
    reached = "yes" if figure <= GOAL else "**no**"
    return f"| volume backup: downtime, {line.name} | the script | at most {GOAL:.3f} | {figure:.3f} | {reached} |"


if __name__ == "__main__":
    sys.exit(main())
