"""A power cut at random moments (FAULTS B20): what was said to be stored is there, and whole.

A child commits numbered objects into a directory store on a loop-mounted ext4 and prints each name once
commit() has come back. After one of these lines the file system is shut down without flushing its journal
(FS_IOC_SHUTDOWN with NOLOGFLUSH, linux/fs: as good as pulling the plug, for what the kernel had not sent
to the disk is lost), unmounted and mounted again.

That the test can fail was shown by hand: with `_sync_directory` made to do nothing, one of the first rounds
misses names that were printed; without the fsync of the file too, everything is. The second is kept on
record by test_it_would_be_noticed, in which strace answers every fsync without doing it.
"""

import fcntl
import hashlib
import os
import random
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgproof.errors import Unreachable
from pgproof.stores.directory import DirectoryStore
from tests.conftest import missing

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")]

FS_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = (2).to_bytes(4, "little")

WRITER = textwrap.dedent("""
    import os, random, sys
    from pathlib import Path
    from pgproof.stores import directory
    store = directory.DirectoryStore(Path(sys.argv[1]))
    chance = random.Random(int(sys.argv[2]))
    for number in range(100_000):
        name = f"kc/{number // 7:05}/{number:06}"
        with store.create(name) as sink:
            for _ in range(chance.randrange(1, 4)):
                sink.write(f"{number} ".encode() * chance.randrange(1, 5000))
            sink.write(b"end")
        print(name, flush=True)
        if number % 5 == 4:
            with store.create("kc/lock.json", replace=True) as sink:
                sink.write(f"lock {number} end".encode())
            print("lock", number, flush=True)
        if number % 11 == 10:
            gone = f"kc/{(number - 8) // 7:05}/{number - 8:06}"
            store.delete(gone)
            print("-" + gone, flush=True)
""")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    image, mounted = tmp_path / "image", tmp_path / "mounted"
    mounted.mkdir()
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], check=False).returncode:
        missing("a loop device that can be mounted")
    yield image, mounted
    subprocess.run(["umount", str(mounted)], check=True)


def pull_the_plug(mounted: Path) -> None:
    fd = os.open(mounted, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, FS_IOC_SHUTDOWN, NOLOGFLUSH)
    finally:
        os.close(fd)


def one_round(image: Path, mounted: Path, seed: int, before: tuple[str, ...] = ()) -> list[str]:
    """What is wrong with the store after the power was cut, a chosen number of printed lines after the start."""
    root = mounted / f"store-{seed}"
    root.mkdir()
    os.sync()
    script = f"import sys; sys.path[:0] = {sys.path!r}\n" + WRITER
    argv = [*before, sys.executable, "-I", "-S", "-c", script, str(root), str(seed)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout
        first = [child.stdout.readline() for _ in range(random.Random(seed).randrange(1, 60))]
        pull_the_plug(mounted)
        lines = [line.rstrip("\n") for line in (*first, *child.stdout) if line.endswith("\n")]
    assert child.returncode != 0, "a store on a dead disk must not go on"
    subprocess.run(["umount", str(mounted)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], check=True)
    try:
        found = list(wrongs(DirectoryStore(root), lines))
    except Unreachable as error:  # what was never written to the disk may read as an error
        found = [error.message]
    shutil.rmtree(root)
    return found


def wrongs(store: DirectoryStore, lines: list[str]) -> Iterator[str]:
    there = {entry.name for entry in store.list()}
    deleted = {line[1:] for line in lines if line.startswith("-")}
    promised = {line for line in lines if line.startswith("kc/")} - deleted
    # The delete that was under way may have been done: of that one name nothing was promised.
    numbers = [int(line.rpartition("/")[2]) for line in lines if line.startswith("kc/")]
    if numbers and numbers[-1] % 11 == 10:
        promised -= {f"kc/{(numbers[-1] - 8) // 7:05}/{numbers[-1] - 8:06}"}
    yield from (f"{name} is missing" for name in sorted(promised - there))
    yield from (f"{name} was deleted and is back" for name in sorted(deleted & there))
    locks = [int(line.split()[1]) for line in lines if line.startswith("lock ")]
    for name in sorted(there):
        with store.open(name) as stream:
            data = stream.read()
        if not data.endswith(b"end"):
            yield f"{name} is not whole ({len(data)} bytes, {hashlib.sha256(data).hexdigest()[:8]})"
        if name == "kc/lock.json" and locks and int(data.split()[1]) < locks[-1]:
            yield f"the lock is an older one than was said: {data!r}, {locks[-1]}"


@pytest.mark.sweep(8, full=30)
def test_what_was_committed_survives(disk: tuple[Path, Path], sweep: int) -> None:
    for seed in range(sweep):
        assert one_round(*disk, seed) == [], f"round {seed}"


def test_it_would_be_noticed(disk: tuple[Path, Path]) -> None:
    """Where fsync does nothing, the same rounds find something."""
    pretend = ("strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=fsync", "-e", "inject=fsync:retval=0")
    assert any(one_round(*disk, seed, pretend) for seed in range(8))
