"""Recovery of the Keycloak-shaped database: `pgproof recover` beside what people do by hand; writes a page of figures.

    python bench/recover.py --users 50000 --rounds 3 --out docs/benchmarks-recover.md

By hand: stop the service, `dropdb; createdb; gunzip | psql`, start the service. Both are given the same commands for
the service, which write down when they are called: the time between is the time without a service.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from ground import KEYCLOAK, USER, Ground, choose, ground
from pgproof.demo import load_keycloak

MOST_SECONDS, MOST_OF_HAND, MOST_DOWN = 60.0, 1 / 2, 1 / 10
_SERVICE = "import sys, time; open(sys.argv[1], 'a').write(f'{sys.argv[2]} {time.monotonic()}\\n')"


@dataclass(slots=True)
class Line:
    name: str
    act: Callable[[], None]
    whole: list[float] = field(default_factory=list)
    down: list[float] = field(default_factory=list)


def main() -> int:
    given = arguments()
    with ground(choose(None), given.below) as place:
        place.create(KEYCLOAK)
        load_keycloak(place.address.to(KEYCLOAK), given.users)
        configure(place)
        pgproof(place, "backup", "--quiet")
        pgproof(place, "prove", "--quiet")
        dump = f"{place.tools.program('pg_dump')} {connection(place)} {KEYCLOAK} | gzip > {place.folder}/dump.sql.gz"
        shell(place, dump)
        rows = place.rows(KEYCLOAK)
        lines = [Line("by hand", lambda: by_hand(place)), Line("pgproof recover", lambda: recover(place))]
        for turn in range(given.rounds + 1):
            for one in lines:
                measured(place, one, turn)
                assert place.rows(KEYCLOAK) == rows, f"{one.name}: not all of it came back"
        given.out.write_text(page(lines, rows, given), encoding="utf-8")
    print(given.out.read_text())
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=50_000, help="users of the Keycloak-shaped database")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count, after one that warms up")
    parser.add_argument("--below", help="the folder to work in; else TMPDIR")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks-recover.md"), help="the page to write")
    return parser.parse_args()


def configure(place: Ground) -> None:
    assert place.address.password is not None
    secret = place.folder / "secret"
    secret.touch(0o600)
    secret.write_text(place.address.password.reveal())
    lines = [
        "[sources.keycloak]", f'url = "{place.address.to(KEYCLOAK).conninfo}"', f'password = "file:{secret}"',
        "[sources.keycloak.recover]", f"stop = {json.dumps(service(place, 'stop'))}",
        f"start = {json.dumps(service(place, 'start'))}", "[stores.local]", f'url = "{place.folder / "backups"}"',
    ]  # fmt: skip
    (place.folder / "pgproof.toml").write_text("\n".join(lines) + "\n")


def service(place: Ground, verb: str) -> str:
    return shlex.join([sys.executable, "-S", "-c", _SERVICE, str(place.folder / "service"), verb])


def pgproof(place: Ground, *words: str) -> str:
    env = {**os.environ, "PGPROOF_STATE": str(place.folder / "state")}
    argv = [sys.executable, "-m", "pgproof", *words, "--config", str(place.folder / "pgproof.toml")]
    return subprocess.run(argv, check=True, env=env, cwd=place.folder, capture_output=True, text=True).stdout


def connection(place: Ground) -> str:
    return f"-h {place.socket} -U {USER}"


def shell(place: Ground, line: str) -> None:
    env = {**os.environ, "PGPASSFILE": str(place.folder / "pgpass")}
    subprocess.run(["bash", "-o", "pipefail", "-c", line], check=True, env=env)


def by_hand(place: Ground) -> None:
    """What people do."""
    tools, to = place.tools, connection(place)
    psql = f"{tools.program('psql')} {to} -d {KEYCLOAK} -q -v ON_ERROR_STOP=1 -o /dev/null"
    shell(
        place,
        f"""set -e
        {service(place, "stop")}
        {tools.program("psql")} {to} -d postgres -q -c 'DROP DATABASE {KEYCLOAK} WITH (FORCE)'
        {tools.program("psql")} {to} -d postgres -q -c 'CREATE DATABASE {KEYCLOAK} TEMPLATE template0'
        gunzip -c {place.folder}/dump.sql.gz | {psql}
        {service(place, "start")}""",
    )


def recover(place: Ground) -> None:
    """The plan, whose hash stands for the person who reads it, and the recovery: both count."""
    plan: dict[str, Any] = json.loads(pgproof(place, "recover", "--dry-run", "--json"))
    pgproof(place, "recover", "--yes", plan["hash"], "--quiet")


def measured(place: Ground, line: Line, turn: int) -> None:
    place.run("DELETE FROM public.credential", KEYCLOAK)
    place.settle()
    (place.folder / "service").unlink(missing_ok=True)
    began = time.monotonic()
    line.act()
    whole = time.monotonic() - began
    told = [float(one.split()[1]) for one in (place.folder / "service").read_text().splitlines()]
    down = max(told) - min(told)
    for (left,) in aside(place):
        place.drop(left)
    if turn:
        line.whole.append(whole)
        line.down.append(down)
    print(
        f"  {'round ' + str(turn) if turn else 'warm-up'}  {whole:6.2f} s, down {down:6.2f} s  {line.name}",
        file=sys.stderr,
    )


def aside(place: Ground) -> list[tuple[str]]:
    found = place.value("SELECT array_agg(datname) FROM pg_database WHERE datname LIKE 'keycloak_before_%'")
    return [(one,) for one in found or ()]


def page(lines: list[Line], rows: dict[str, int], given: argparse.Namespace) -> str:
    hand, ours = lines
    whole, down = median(ours.whole) / median(hand.whole), median(ours.down) / median(hand.down)
    goals = [
        goal("from the command to the service", f"at most {MOST_SECONDS:.0f} s", f"{median(ours.whole):.1f} s",
             median(ours.whole) <= MOST_SECONDS),
        goal("the same, of the time by hand", f"at most {MOST_OF_HAND:.2f}", f"{whole:.2f}", whole <= MOST_OF_HAND),
        goal("time without a service, of that by hand", f"at most {MOST_DOWN:.2f}", f"{down:.3f}", down <= MOST_DOWN),
    ]  # fmt: skip
    table = [
        f"| {one.name} | {median(one.whole):.2f} s | {spread(one.whole)} | {median(one.down):.2f} s |" for one in lines
    ]
    return f"""# Benchmark: recovery

{len(rows)} tables of a Keycloak with {sum(rows.values()):,} rows, whose credentials are deleted
(`bench/recover.py`), in turns; medians of {given.rounds} rounds after one that warms up. By hand: stop,
`dropdb; createdb; gunzip | psql`, start. pgproof's time is of two commands, `recover --dry-run` and
`recover --yes HASH`: every stored byte is authenticated in each, rows are counted, every table is read
back and compared, statistics are made; none of that is done by hand. What limits on two cores: `pg_restore -j2`
alone, which does none of it either, needs 0.6 of `gunzip | psql` (docs/benchmarks.md). To repeat it:

    python bench/recover.py --users {given.users} --rounds {given.rounds}

| what | goal | figure | reached |
| --- | --- | --- | --- |
{chr(10).join(goals)}

| line | from the command to the service | range | without a service |
| --- | --- | --- | --- |
{chr(10).join(table)}

{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores.
"""


def goal(what: str, wanted: str, figure: str, reached: bool) -> str:
    return f"| {what} | {wanted} | {figure} | {'yes' if reached else '**no**'} |"


def spread(seconds: list[float]) -> str:
    return f"{min(seconds):.2f} to {max(seconds):.2f}"


if __name__ == "__main__":
    sys.exit(main())
