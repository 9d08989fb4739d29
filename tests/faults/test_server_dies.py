"""FAULTS A1, A2, A5, E7: the server goes away in the middle, ends our sessions, or is another one than before."""

import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pgproof.postgres import tools
from pgproof.postgres.scratch import Scratch, scratch
from pgproof.postgres.server import connect
from tests.conftest import Program, Servers
from tests.faults.conftest import MAJOR, fill
from tests.faults.invariants import Scene, whole
from tests.faults.test_kill import drop
from tests.forked import Running
from tests.moments import Moment

BACKUP = (Moment("phase:rows"), Moment("advance"), Moment("phase:large objects"))
RESTORE = (Moment("phase:rows"), Moment("phase:indexes and keys"), Moment("program:pg_restore", 2))
EACH = [*(("backup", one) for one in BACKUP), *(("restore", one) for one in RESTORE)]
END_OURS = """SELECT count(pg_catalog.pg_terminate_backend(pid, 5000)) FROM pg_catalog.pg_stat_activity
    WHERE application_name ~ '^(pgproof|pg_)' AND pid <> pg_catalog.pg_backend_pid()"""


def failed(run: Running) -> None:
    """It says so, with a hint, and blames nothing that is stored."""
    done = run.wait()
    said = f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr and "a fault in pgproof" not in done.stderr, said
    assert done.returncode in (1, 6) and "hint: " in done.stderr, said


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "moment"), EACH, ids=str)
def test_our_sessions_are_ended(make_scene: Callable[..., Scene], verb: str, moment: Moment) -> None:
    """A2 and E7: by an administrator, a failover, a restart: nothing half is left."""
    restoring = verb == "restore"
    scene, words = make_scene(), (verb, "latest", "--to", "ended") if restoring else (verb,)
    with scene.program.until(moment, *words) as run:
        run.reached()
        with connect(scene.source, "postgres") as session:
            assert session.value(END_OURS)
        run.go()
        failed(run)
    scene.check("ended")
    assert set(scene.manifests()) == scene.good, "a backup of a run that failed is listed"
    scene.check_converged(scene.program.run(*words), "ended" if restoring else "")
    drop(scene, "ended")


def server_of_its_own() -> AbstractContextManager[Scratch]:
    (fitting, *_) = [one for one in tools.found() if one.server and one.major == MAJOR]
    return scratch(fitting)


@pytest.mark.slow
@pytest.mark.parametrize("moment", BACKUP, ids=str)
def test_the_server_is_killed(folder: Path, moment: Moment) -> None:
    """A1: kill -9 of the postmaster and all its processes."""
    with server_of_its_own() as server:
        source = server.address.to("template1")
        with connect(source) as session:
            session.run("CREATE DATABASE kc")
        source = server.address.to("kc")
        fill(source)
        program = Program(folder, {"TMPDIR": str(folder / "tmp")})
        program.configure(db=source)
        program.ok("backup")
        with program.until(moment, "backup") as run:
            run.reached()
            postmaster = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
            os.killpg(os.getpgid(postmaster), signal.SIGKILL)
            run.go()
            failed(run)
        (good,) = program.run("list", "--json").json
        assert list(whole(program.store, good["id"])) == []
        assert not list(program.store.rglob(".pgproof-tmp-*")) and not list(program.store.rglob("lock.json"))
        assert list((folder / "tmp").iterdir()) == []
        assert program.run("backup").code == 6


@pytest.mark.slow
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
