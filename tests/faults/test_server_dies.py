"""FAULTS A1, A2, A5, E7: the server goes away in the middle, ends our sessions, or is another one than before."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pgproof.postgres import tools
from pgproof.postgres.scratch import Scratch, scratch
from pgproof.postgres.server import connect
from tests.conftest import Program, Ran, Servers
from tests.faults.conftest import MAJOR, fill
from tests.faults.invariants import Scene, whole

PARTS_OF_A_RUN = (0.4, 0.6, 0.8)
END_OURS = """SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity
    WHERE application_name ~ '^(pgproof|pg_)' AND pid <> pg_catalog.pg_backend_pid()"""


def ended(child: "subprocess.Popen[str]") -> Ran:
    out, err = child.communicate(timeout=60)
    return Ran(child.returncode, out, err)


def said_so(ran: Ran) -> bool:
    """Whether it failed, as it should; False where it was over before anything happened."""
    said = f"exit {ran.code}\n{ran.out}\n{ran.err}"
    assert "Traceback" not in ran.err and "a fault in pgproof" not in ran.err, said
    assert ran.code in (0, 1, 6), said
    assert ran.code == 0 or "hint: " in ran.err, said
    return ran.code != 0


def usual(program: Program, *words: str) -> float:
    began = time.monotonic()
    program.ok(*words)
    return time.monotonic() - began


@pytest.mark.parametrize("verb", ["backup", "restore"])
def test_our_sessions_are_ended(make_scene: Callable[..., Scene], verb: str) -> None:
    """A2 and E7: by an administrator, a failover, a restart: as often as it happens, nothing half is left."""
    scene = make_scene(rows=60_000)
    words = ("backup",) if verb == "backup" else ("restore", "latest", "--to", "ended")
    seconds = usual(scene.program, *words[:3], *(["before"] if verb == "restore" else []))
    scene.good = set(scene.manifests())
    if verb == "restore":
        scene.remember()
    failures = 0
    for part in PARTS_OF_A_RUN:
        child = scene.program.start(*words)
        time.sleep(seconds * part)
        with connect(scene.source, "postgres") as session:
            session.value(END_OURS)
        failures += said_so(ran := ended(child))
        scene.check("ended")
        with connect(scene.source, "postgres") as session:
            session.run("DROP DATABASE IF EXISTS ended WITH (FORCE)")
        assert ran.code == 0 or len(scene.manifests()) == len(scene.good), "a backup of a run that failed is listed"
        scene.check_converged(scene.program.run(*words), "ended" if verb == "restore" else "")
        if verb == "restore":
            with connect(scene.source, "postgres") as session:
                session.run("DROP DATABASE ended WITH (FORCE)")
        else:
            scene.good = set(scene.manifests())
    assert failures, "no session was ended in time"


def server_of_its_own() -> AbstractContextManager[Scratch]:
    (fitting, *_) = [one for one in tools.found() if one.server and one.major == MAJOR]
    return scratch(fitting)


@pytest.mark.parametrize("part", PARTS_OF_A_RUN)
def test_the_server_is_killed(folder: Path, part: float) -> None:
    """A1: kill -9 of the postmaster and all its processes."""
    with server_of_its_own() as server:
        source = server.address.to("template1")
        with connect(source) as session:
            session.run("CREATE DATABASE kc")
        source = server.address.to("kc")
        fill(source, 60_000)
        program = Program(folder, {"TMPDIR": str(folder / "tmp")})
        program.configure(db=source)
        seconds = usual(program, "backup")
        child = program.start("backup")
        time.sleep(seconds * part)
        postmaster = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
        os.killpg(os.getpgid(postmaster), signal.SIGKILL)
        failed = said_so(ended(child))
        (good, *others) = program.run("list", "--json").json
        assert list(whole(program.store, good["id"])) == []
        assert not failed or not others, "a backup of a run that failed is listed"
        assert not list(program.store.rglob(".pgproof-tmp-*")) and not list(program.store.rglob("lock.json"))
        assert list((folder / "tmp").iterdir()) == []
        assert program.run("backup").code == 6


def test_another_server_answers(servers: Servers, make_scene: Callable[..., Scene]) -> None:
    """A5: a rebuilt or a wrong server does not take the place of the old one unnoticed."""
    scene = make_scene()
    other = servers.database(16)
    fill(other, 100)
    scene.program.configure(db=other)
    ran = scene.program.run("backup")
    assert ran.code == 4 and "--new-server" in ran.err, ran
    assert set(scene.manifests()) == scene.good
    scene.program.ok("backup", "--new-server")
    assert set(scene.manifests()) > scene.good
    scene.program.ok("backup")
