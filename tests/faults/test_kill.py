"""FAULTS, test 1: kill -9 everywhere. pgproof dies at a system call, and the checker looks; then the same command
is run again and must need nobody's help.

`strace --inject=CALL:signal=SIGKILL:when=N` kills the program as it enters its N-th CALL (of one thread); a first,
recorded run tells which calls there are. Children are not traced (-b execve): only pgproof itself is killed, as
the kernel or an operator would, and its children must die of that.
"""

import random
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from pgproof.postgres.server import connect
from pgproof.postgres.sql import name as quoted
from tests.conftest import Ran, missing
from tests.faults.invariants import TEMPORARY, Scene, databases, end
from tests.sweeps import SEED, spread

# Calls that change something, or before which the program waits for somebody.
TELLING = ("write", "fsync", "link", "rename", "unlink", "unlinkat", "mkdir", "rmdir", "fchmod", "connect", "sendto")
OTHER = ("recvfrom", "epoll_wait", "poll", "vfork", "clone3", "pipe2", "memfd_create", "wait4", "kill", "openat")
TRIES = 3  # of points, for each that a sweep is to have hit: threads meet in another order each time
_LINE = re.compile(r"(\d+) +(\w+)\((.*)")


@dataclass(frozen=True)
class Point:
    """The `number`-th `call` of whichever thread comes to it first."""

    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.call}:{self.number}"


def strace(scene: Scene, words: tuple[str, ...], *options: str) -> Ran:
    if not shutil.which("strace"):
        missing("strace")
    argv = ["strace", "-f", "-b", "execve", "-qq", *options, *scene.program.argv(*words)]
    done = subprocess.run(
        argv,
        cwd=scene.program.folder,
        env=scene.program.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def points(scene: Scene, words: tuple[str, ...]) -> list[Point]:
    """Where a run of these words can be killed, in the order of time, from its first look at store or server."""
    log = scene.program.folder / "strace.log"
    ran = strace(scene, words, "-o", str(log), "-e", f"trace={','.join(TELLING + OTHER)}")
    assert ran.code == 0, ran.err
    counts: Counter[tuple[str, str]] = Counter()
    found: dict[Point, None] = {}
    begun = False
    for line in log.read_text(errors="replace").splitlines():
        match = _LINE.match(line)
        if not match:
            continue
        pid, call, rest = match.groups()
        begun = begun or str(scene.program.store) in rest
        counts[pid, call] += 1
        if begun:
            found.setdefault(Point(call, counts[pid, call]))
    return list(found)


def chosen(found: list[Point], count: int) -> list[Point]:
    """Every telling call first, then others at random; where there are too many, spread over the run."""
    telling = [point for point in found if point.call in TELLING]
    others = [point for point in found if point.call not in TELLING]
    picked = random.Random(SEED).sample(others, max(0, min(len(others), count - len(telling)))) + telling
    picked.sort(key=found.index)
    return spread(picked, count)


def kill_at(scene: Scene, words: tuple[str, ...], point: Point) -> bool:
    """Whether the run died of it: threads meet in another order each time, so that some points are not reached."""
    inject = f"inject={point.call}:signal=SIGKILL:when={point.number}"
    ran = strace(scene, words, "-o", "/dev/null", "-e", f"trace={point.call}", "-e", inject)
    assert ran.code in (0, -signal.SIGKILL, 128 + signal.SIGKILL), f"{point}: {ran.code}\n{ran.err}"
    return ran.code != 0


def thin_out(scene: Scene) -> None:
    """Take away what re-runs added, so that a sweep's last point is like its first."""
    for one in set(scene.manifests()) - scene.good:
        shutil.rmtree(scene.program.store / one)


def backup(_number: int) -> tuple[str, ...]:
    return ("backup", "--quiet")


def prove(_number: int) -> tuple[str, ...]:
    return ("prove", "--quiet")


def restore(number: int) -> tuple[str, ...]:
    return ("restore", "latest", "--to", f"back_{number}", "--quiet")


def kill_at_each(scene: Scene, words: Callable[[int], tuple[str, ...]], count: int, restoring: bool = False) -> None:
    """Kill a run at each of `count` points; every point's faults are gathered, and the scene mended for the next."""
    found = chosen(points(scene, words(0)), count * TRIES)
    found = [one for offset in range(TRIES) for one in found[offset::TRIES]]
    drop(scene, words(0)[3] if restoring else "")
    killed, wrongs = 0, []
    for number, point in enumerate(found, 1):
        target = words(number)[3] if restoring else ""
        killed += kill_at(scene, words(number), point)
        try:
            scene.check(target)
            drop(scene, target)
            scene.check_converged(scene.program.run(*words(number)), target)
        except AssertionError as error:
            wrongs.append(f"killed at {point}: {str(error).split('assert ')[0].strip()}")
            mend(scene)
        drop(scene, target)
        thin_out(scene)
        if killed == count:
            break
    assert not wrongs, f"{len(wrongs)} of {killed} points:\n" + "\n".join(wrongs)
    assert killed == count, f"only {killed} of {len(found)} runs were killed"


def mend(scene: Scene) -> None:
    """By hand, what the program failed to: so that one fault is not counted at all later points."""
    end(scene.temporary)
    for path in [*scene.program.store.rglob(f"{TEMPORARY}*"), *scene.program.store.rglob("lock.json")]:
        path.unlink()
    for path in scene.temporary.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for one in databases(scene.source) - scene.databases:
        drop(scene, one)


def drop(scene: Scene, database: str) -> None:
    if not database:
        return
    with connect(scene.source, "postgres") as session:
        session.run(f"DROP DATABASE IF EXISTS {quoted(database)} WITH (FORCE)")


@pytest.mark.slow
@pytest.mark.sweep(6, full=130)
def test_backup_killed(make_scene: Callable[..., Scene], sweep: int) -> None:
    kill_at_each(make_scene(), backup, sweep)


@pytest.mark.slow
@pytest.mark.sweep(6, full=100)
def test_encrypted_backup_killed(make_scene: Callable[..., Scene], sweep: int) -> None:
    kill_at_each(make_scene(encrypted=True), backup, sweep)


@pytest.mark.slow
@pytest.mark.sweep(6, full=200)
def test_restore_killed(make_scene: Callable[..., Scene], sweep: int) -> None:
    kill_at_each(make_scene(), restore, sweep, restoring=True)


@pytest.mark.slow
@pytest.mark.sweep(3, full=25)
def test_prove_killed(make_scene: Callable[..., Scene], sweep: int) -> None:
    kill_at_each(make_scene(), prove, sweep)
