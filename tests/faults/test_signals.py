"""FAULTS B2, B3: Ctrl-C and SIGTERM at any moment, and children that die under the program.

A signal ends it with 130 within five seconds, nothing is left, and no traceback is shown. The moment is a system
call, as in test_kill.py, so that it is the same in every run.
"""

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.conftest import Ran
from tests.faults import test_kill
from tests.faults.invariants import Scene
from tests.faults.test_kill import Point, strace
from tests.moments import Moment
from tests.sweeps import spread

SECONDS = 10.0
TRIES = 5  # of points, for each that a sweep is to have hit: threads meet in another order each time


def moments(scene: Scene, words: tuple[str, ...], count: int) -> list[Point]:
    """Points spread over a run, and for each that a thread may not come to the ones after it."""
    # Some thread's first files are numbers that the program comes to long before it listens to signals.
    found = [one for one in test_kill.points(scene, words) if one.call != "openat" or one.number > 300]
    return [one for offset in range(TRIES) for one in spread(found, count * TRIES)[offset::TRIES]]


def interrupt_at(scene: Scene, words: tuple[str, ...], point: Point, number: signal.Signals) -> Ran:
    inject = f"inject={point.call}:signal={number.name}:when={point.number}"
    return strace(scene, words, "-o", "/dev/null", "-e", f"trace={point.call}", "-e", inject)


def interrupted(scene: Scene, ran: Ran, point: Point, target: str = "") -> int:
    """What must hold after it; 1 if the signal came through, 0 if the run was over before."""
    said = f"at {point}: exit {ran.code}\n{ran.out}\n{ran.err}"
    assert "Traceback" not in ran.err and "a fault in pgproof" not in ran.err, said
    if ran.code == -signal.SIGTERM:  # another thread came to the same number, and a second signal ends it at once
        scene.check(target)
        return 0
    assert ran.code in (0, 130), said
    assert ran.code == 0 or "interrupted" in ran.err, said
    scene.check(target)
    assert list(scene.leftovers()) == [], said
    return int(ran.code == 130)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("what", ["backup", "restore", "prove"])
@pytest.mark.slow
@pytest.mark.sweep(3, full=12)
def test_a_signal(make_scene: Callable[..., Scene], what: str, number: signal.Signals, sweep: int) -> None:
    scene = make_scene(encrypted=what == "backup")
    made = {"backup": test_kill.backup, "restore": test_kill.restore, "prove": test_kill.prove}[what]
    began = time.monotonic()
    points = moments(scene, made(0), sweep)
    usual = time.monotonic() - began
    came = 0
    for index, point in enumerate(points, 1):
        target = made(index)[3] if what == "restore" else ""
        test_kill.thin_out(scene)
        began = time.monotonic()
        ran = interrupt_at(scene, made(index), point, number)
        assert time.monotonic() - began < usual + SECONDS, f"{point}: it took too long to end"
        if what == "restore":
            test_kill.drop(scene, made(0)[3])
        came += interrupted(scene, ran, point, target)
        test_kill.drop(scene, target)
        if came == sweep:
            return
    raise AssertionError(f"only {came} signals of {len(points)} came in time")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_starts(make_scene: Callable[..., Scene], number: signal.Signals) -> None:
    """While modules are still being imported there is nothing to clean up, and still no traceback."""
    scene = make_scene()
    log = scene.program.folder / "opened"
    strace(scene, ("list",), "-o", str(log), "-e", "trace=openat")
    opened = [line for line in log.read_text().splitlines() if " openat(" in line]
    first = next(index for index, line in enumerate(opened, 1) if "/typer/" in line)  # the signals are looked to by now
    for place in range(first, len(opened), max(1, (len(opened) - first) // 5)):
        ran = interrupt_at(scene, ("list",), Point("openat", place), number)
        assert "Traceback" not in ran.err, ran.err
        assert ran.code == 130 or (ran.code == 0 and place > len(opened) * 0.8), ran


@pytest.mark.slow
def test_a_second_signal_ends_it_at_once(make_scene: Callable[..., Scene]) -> None:
    """The first is being answered: it stands where the drill's server is stopped."""
    scene = make_scene()
    with scene.program.until(Moment("phase:rows"), "prove", "--quiet") as run:
        run.reached()
        run.signal(signal.SIGTERM)
        run.signal(signal.SIGTERM)
        assert run.wait().returncode in (130, -signal.SIGTERM)
    scene.check()
    scene.check_converged(scene.program.run("prove", "--quiet"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "program"),
    [("backup", "pg_dump"), ("backup", "pg_dumpall"), ("backup", "gpg"), ("restore", "pg_restore"),
     ("prove", "pg_restore"), ("prove", "postgres"), ("prove", "initdb"), ("verify", "gpg")],
)  # fmt: skip
def test_a_child_is_killed(make_scene: Callable[..., Scene], verb: str, program: str) -> None:
    """By the kernel, say, when memory is short: it is said which, and what is stored is not blamed for it."""
    scene = make_scene(encrypted=True)
    words = {"restore": ("restore", "latest", "--to", "killed")}.get(verb, (verb,))
    (good,) = scene.good
    with scene.program.until(Moment(f"program:{program}"), *words) as run:
        os.kill(int(run.reached()), signal.SIGKILL)
        run.go()
        done = run.wait()
    said = f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in said and "a fault in pgproof" not in said, said
    assert done.returncode in (1, 2, 3, 6) and "hint:" in said and program in said, said
    scene.check("killed")
    assert list(scene.leftovers()) == [], said
    assert good in scene.listed(), f"{program} was killed, and the backup is called damaged: {said}"
