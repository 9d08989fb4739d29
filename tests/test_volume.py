"""The volume kind on a real engine: a stop as short as can be, files as they were, containers as they were."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgproof.actions import volume as action
from pgproof.actions.backup import backup
from pgproof.actions.verify import reading
from pgproof.docker import Container, Engine
from pgproof.errors import PgproofError, Refused
from pgproof.job import Job
from pgproof.manifest import Manifest
from pgproof.repository import Repository
from pgproof.retention import Policy
from pgproof.sources.volume import Volume, put_back_all
from pgproof.sources.volume.capture import Passes
from pgproof.stores.directory import DirectoryStore
from pgproof.stream.encrypt import Key
from pgproof.stream.progress import Silent
from tests import engine
from tests.conftest import Program
from tests.engine import Stack, docker, eventually
from tests.moments import Moment
from tests.test_without_pgproof import commands

_BOTH: tuple[Passes, ...] = (1, 2)
FILL = "CREATE TABLE {0} AS SELECT g AS id, md5(g::text) AS word FROM generate_series(1, {1}) g"
SUM = "SELECT sum(hashtext(t::text)) FROM {0} t"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with engine.stack() as made:
        made.run(FILL.format("users", 20_000))
        yield made


@pytest.fixture
def engine_here(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """For what runs in this process: the engine as the environment names it."""
    monkeypatch.setenv("DOCKER_HOST", engine.address())
    return Engine()


@pytest.fixture
def program(tmp_path: Path, stack: Stack) -> Program:
    made = Program(tmp_path, {"STACK_PASSWORD": engine.PASSWORD, "DOCKER_HOST": engine.address()})
    (tmp_path / "pgproof.toml").write_text(f'{stack.source}[stores.local]\nurl = "{made.store}"\n')
    return made


@dataclass
class Watching(Silent):
    """Does something when a phase begins."""

    at: dict[str, Callable[[], None]] = field(default_factory=dict)

    def begin(self, what: str, total: int = 0) -> None:
        self.at.pop(what, lambda: None)()


def job(
    stack: Stack, folder: Path, passes: Passes = 1, here: Engine | None = None, longest: timedelta | None = None
) -> Job:
    source = Volume(
        "db", stack.address, here or Engine(), stack.database, stack.volume, (stack.service,), folder / "stopped",
        passes=passes, longest_stop=longest,
    )  # fmt: skip
    return Job("db", stack.address, source, Repository(DirectoryStore(folder / "store")), Key(), Policy())


def capture(work: Job, progress: Silent | None = None) -> Manifest:
    (work.repository.store.root).mkdir(exist_ok=True)  # type: ignore[attr-defined]
    return backup(work, datetime.now(UTC), progress or Silent())


def restored(work: Job, made: Manifest, stack: Stack, name: str) -> str:
    volume = f"{name}_{stack.tag}"
    source, here = reading(work.repository, made, Key()), Engine()
    plan = action.plan(source, here, volume, datetime.now(UTC), in_place=False)
    action.restore(source, here, plan, work.source.state / "restoring", Silent())  # type: ignore[attr-defined]
    return volume


def tree(volume: str) -> dict[str, tuple[object, ...]]:
    """Everything in a volume by name: kind, owner, mode, size, content."""
    return tree_of(engine.mountpoint(volume))


def tree_of(root: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted([root, *root.rglob("*")]):
        stat = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path.relative_to(root))] = (oct(stat.st_mode), stat.st_uid, stat.st_gid, content)
    return found


@pytest.mark.slow
def test_the_journey_of_a_volume(program: Program, stack: Stack) -> None:
    """Backup with a measured stop, proof in its own image; the volume deleted, restored; the data is what it was."""
    before, states = stack.value(SUM.format("users")), stack.states()
    made = program.ok("backup", "--json").json
    stack.wait()
    assert stack.states() == states
    assert made["kind"] == "volume" and 0 < made["cluster"]["stop"]["seconds"] < 30
    assert made["cluster"]["stop"]["containers"] == [stack.service, stack.database], "the dependant goes first"
    assert made["cluster"]["consistency"] == "clean" and made["cluster"]["control"]["state"] == "shut down"
    assert program.ok("verify").code == 0
    proof = program.ok("prove", "--json").json
    assert proof["proven"] and {"name": "keycloak.public.users", "rows": 20_000, "same": True} in proof["tables"]
    assert "stopped for" in program.ok("show", "latest").out

    docker("rm", "--force", stack.database)
    docker("volume", "rm", stack.volume)
    restore = program.ok("restore", "latest", "--to", f"volume:{stack.volume}")
    assert "docker" not in restore.err and stack.volume in restore.out
    stack.start_database()
    stack.wait()
    assert stack.value(SUM.format("users")) == before
    eventually(lambda: "pgproof_drill" not in docker("volume", "ls", "--quiet"))


@pytest.mark.slow
def test_of_a_source_with_both_kinds_both_are_made_and_proven_encrypted(program: Program, stack: Stack) -> None:
    file, secret = program.folder / "pgproof.toml", program.folder / "passphrase"
    secret.touch(0o600)
    secret.write_text("a long enough passphrase")
    both = file.read_text().replace('kinds = ["volume"]', 'kinds = ["logical", "volume"]')
    file.write_text(f'{both}[encryption]\nmethod = "gpg"\npassphrase = "file:{secret}"\n')
    made = program.ok("backup", "--json").json
    stack.wait()
    assert [one["kind"] for one in made] == ["logical", "volume"]
    assert {part["encryption"] for one in made for part in one["parts"]} == {"gpg"}
    proofs = program.ok("prove", "keycloak", "--json").json
    assert [one["proven"] for one in proofs] == [True, True] and len({one["id"] for one in proofs}) == 2
    assert "below half" not in program.run("status").out, "the kinds are not measured by one another"


@pytest.mark.slow
def test_files_come_back_as_they_were(stack: Stack, tmp_path: Path, engine_here: Engine) -> None:
    """G14: owners, modes, attributes, holes, links, odd names, of a volume with two passes and with one."""
    odd = engine.mountpoint(stack.volume) / "odd"
    odd.mkdir(mode=0o750)
    (odd / os.fsdecode(b"n\xff")).write_bytes(b"")
    (odd / "owned").write_bytes(b"x" * 700)
    os.chown(odd / "owned", 70_000, 99)
    os.setxattr(odd / "owned", "user.colour", b"\xffred")
    os.link(odd / "owned", odd / "twin")
    os.symlink("/nowhere", odd / "link")
    with (odd / "holes").open("wb") as file:
        file.truncate(40 << 20)
        file.seek(20 << 20)
        file.write(b"middle")
    for passes in _BOTH:
        work = job(stack, tmp_path / str(passes), passes)
        (tmp_path / str(passes)).mkdir()
        made = capture(work)
        docker("stop", stack.service, stack.database)
        volume = restored(work, made, stack, f"again{passes}")
        assert tree(volume)["odd/owned"] == tree(stack.volume)["odd/owned"]
        new = engine.mountpoint(volume) / "odd"
        assert os.getxattr(new / "owned", "user.colour") == b"\xffred" and (new / "owned").stat().st_nlink == 2
        assert (new / "holes").stat().st_blocks * 512 < 1 << 20 and (new / "holes").read_bytes()[20 << 20 :][
            :6
        ] == b"middle"
        docker("start", stack.database, stack.service)
        stack.wait()
        docker("volume", "rm", volume)
    shutil.rmtree(odd)


@pytest.mark.slow
def test_a_second_pass_reads_what_changed_and_forgets_what_went(
    stack: Stack, tmp_path: Path, engine_here: Engine
) -> None:
    """Tables made, filled, dropped and updated between the passes are as they are at the stop; nothing else is read."""
    stack.run(FILL.format("going", 5_000))
    stack.run(FILL.format("changing", 5_000))

    def meddle() -> None:
        stack.run("DROP TABLE going")
        stack.run("UPDATE changing SET word = 'other' WHERE id % 7 = 0")
        stack.run(FILL.format("coming", 5_000))

    at_the_stop: list[str] = []
    progress = Watching(at={"reading": lambda: at_the_stop.append(stack.states()[stack.database][1])})
    # The first pass has read everything when the server is asked to stop: that is where the changes are made.
    work = job(stack, tmp_path, 2, Meddling(waiting=[meddle]))
    made = capture(work, progress)
    assert at_the_stop == ["exited"]
    assert made.cluster is not None
    files = made.cluster.files
    assert 0 < files.again < files.count / 2 and files.removed, files
    expected = {one: stack.value(SUM.format(one)) for one in ("changing", "coming", "users")}
    docker("stop", stack.service, stack.database)
    volume = restored(work, made, stack, "second")
    by_hand = tmp_path / "by-hand"
    by_hand.mkdir()
    names = {"BACKUP": str(tmp_path / "store" / made.id), "TARGET": str(by_hand)}
    subprocess.run(["sh", "-euc", commands()["volume, gzip"]], env={**os.environ, **names}, check=True)
    assert tree_of(by_hand) == tree(volume), "what gunzip and tar unpack is the same"
    docker("start", stack.database, stack.service)
    with engine.on_volume(volume, f"second-{stack.tag}") as other:
        assert {one: other.value(SUM.format(one)) for one in expected} == expected
        assert other.value("SELECT to_regclass('going') IS NULL")
    stack.wait()
    stack.run("DROP TABLE changing, coming")


@dataclass(frozen=True)
class Meddling(Engine):
    """An engine in whose first moment of a stop something happens."""

    waiting: list[Callable[[], None]] = field(default_factory=list)

    def stop(self, container: str, seconds: int | None = None) -> Container:
        while self.waiting:
            self.waiting.pop()()
        return Engine.stop(self, container, seconds)


@pytest.mark.slow
def test_a_failure_while_the_server_is_down_starts_it_first(stack: Stack, tmp_path: Path, engine_here: Engine) -> None:
    """G6: the disk is full, say; containers run again before the error is raised, and nothing is listed."""
    states = stack.states()
    work = job(stack, tmp_path)

    def fail() -> None:
        raise PgproofError("no space left")

    with pytest.raises(PgproofError, match="no space left"):
        capture(work, Watching(at={"reading": fail}))
    stack.wait()
    assert stack.states() == states
    assert not work.repository.backups("db")[0] and not list((tmp_path / "stopped").glob("*.json"))


@pytest.mark.slow
def test_a_stop_that_lasts_longer_than_it_may_ends_and_nothing_is_kept(
    stack: Stack, tmp_path: Path, engine_here: Engine
) -> None:
    states, work = stack.states(), job(stack, tmp_path, longest=timedelta(milliseconds=1))
    with pytest.raises(Refused, match="containers were stopped for longer than 0 s, so they were started again"):
        capture(work)
    stack.wait()
    assert stack.states() == states
    assert not work.repository.backups("db")[0] and not list((tmp_path / "stopped").glob("*.json"))


@pytest.mark.slow
def test_a_server_that_somebody_starts_meanwhile_spoils_the_backup(
    stack: Stack, tmp_path: Path, engine_here: Engine
) -> None:
    states = stack.states()

    def start() -> None:
        docker("start", stack.database)
        stack.wait()

    with pytest.raises(Refused, match="was started while its files were read"):
        capture(job(stack, tmp_path), Watching(at={"reading": start}))
    stack.wait()
    assert stack.states() == states


@pytest.mark.slow
def test_g2_a_container_made_anew_meanwhile_spoils_the_backup(
    stack: Stack, tmp_path: Path, engine_here: Engine
) -> None:
    """As `docker compose up --force-recreate` does; what was made is left as it is, and nothing is listed."""

    def recreate() -> None:
        docker("rm", "--force", stack.database)
        stack.start_database()
        stack.wait()

    work = job(stack, tmp_path)
    with pytest.raises(Refused, match="removed or made anew"):
        capture(work, Watching(at={"reading": recreate}))
    assert stack.states()[stack.database][1] == stack.states()[stack.service][1] == "running"
    assert not work.repository.backups("db")[0] and not list((tmp_path / "stopped").glob("*.json"))


@pytest.mark.slow
def test_g7_a_port_that_is_taken_is_said_and_tried_again(stack: Stack, tmp_path: Path, engine_here: Engine) -> None:
    taken = socket.socket()

    def take() -> None:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", stack.port))
        taken.listen()

    work = job(stack, tmp_path)
    made = capture(work, Watching(at={"reading": take}))
    assert any("not started again" in note and stack.database in note for note in made.notes), made.notes
    assert stack.states()[stack.database][1] != "running"
    again = capture(job(stack, tmp_path))  # another run meanwhile must not forget whom the first one could not start
    assert any("not started again" in note for note in again.notes), again.notes
    taken.close()
    assert put_back_all(Engine, tmp_path / "stopped", sleep=lambda _: None) == []
    stack.wait()
    assert stack.states()[stack.service][1] == "running" and not list((tmp_path / "stopped").glob("*.json"))


@pytest.mark.slow
def test_g8_what_was_stopped_or_paused_before_is_so_afterwards(
    stack: Stack, tmp_path: Path, engine_here: Engine
) -> None:
    docker("pause", stack.service)
    capture(job(stack, tmp_path))
    assert stack.states()[stack.service][1] == "paused"
    docker("unpause", stack.service)
    docker("stop", stack.service, stack.database)
    states = stack.states()
    made = capture(job(stack, tmp_path))
    assert stack.states() == states and made.cluster is not None and made.cluster.stop is None
    docker("start", stack.database, stack.service)
    stack.wait()


@pytest.mark.slow
def test_g5_a_server_that_was_killed_is_named_crash_consistent_and_still_proven(
    stack: Stack, tmp_path: Path, engine_here: Engine
) -> None:
    stack.run("CHECKPOINT")
    docker("stop", stack.service)
    docker("kill", stack.database)
    work = job(stack, tmp_path)
    made = capture(work)
    assert made.cluster is not None and made.cluster.consistency == "crash"
    assert any(note.startswith("crash-consistent") for note in made.notes)
    conditions = action.Conditions(Engine())
    record = action.drill(reading(work.repository, made, Key()), conditions, datetime.now(UTC), Silent())
    assert record.ok and "crash" in record.scope
    docker("start", stack.database, stack.service)
    stack.wait()


def test_g3_g4_names_that_are_not_there_are_refused_and_nothing_is_made(program: Program, stack: Stack) -> None:
    config = (program.folder / "pgproof.toml").read_text()
    (program.folder / "pgproof.toml").write_text(config.replace(f'"{stack.database}"', f'"{stack.database}x"'))
    gone = program.run("backup")
    assert gone.code == 1 and stack.database in gone.err and "did you mean" in gone.err, gone
    other = f"other_{stack.tag}"
    (program.folder / "pgproof.toml").write_text(config.replace(f'"{stack.volume}"', f'"{other}"'))
    elsewhere = program.run("backup")
    assert elsewhere.code == 4 and f"does not lie in the volume {other}" in elsewhere.err, elsewhere
    assert other not in docker("volume", "ls", "--quiet").split()


def test_g12_an_engine_that_does_not_answer(program: Program, stack: Stack) -> None:
    program.env["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
    ran = program.run("backup")
    assert ran.code == 6 and "engine does not answer" in ran.err and "Traceback" not in ran.err


@pytest.mark.slow
def test_restore_refuses_a_volume_in_use_or_with_files(program: Program, stack: Stack) -> None:
    program.ok("backup", "--quiet")
    stack.wait()
    used = program.run("restore", "latest", "--to", f"volume:{stack.volume}", "--replace")
    assert used.code == 4 and stack.database in used.err
    docker("stop", stack.service, stack.database)
    full = program.run("restore", "latest", "--to", f"volume:{stack.volume}")
    assert full.code == 4 and "--replace" in full.err
    before = tree(stack.volume)
    done = program.ok("restore", "latest", "--to", f"volume:{stack.volume}", "--replace", "--json").json
    assert tree(done["aside"]) == before, "what was there is kept whole"
    docker("start", stack.database, stack.service)
    stack.wait()
    assert stack.value("SELECT count(*) FROM users") == 20_000
    wrong = program.run("restore", "latest", "--to", "somewhere")
    assert wrong.code == 2 and "volume:NAME" in wrong.err


@pytest.mark.slow
def test_a_flipped_bit_is_found_before_a_volume_is_made(program: Program, stack: Stack) -> None:
    made = program.ok("backup", "--json").json
    stack.wait()
    file = program.store / made["id"] / made["parts"][0]["name"]
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    ran = program.run("restore", made["id"], "--to", f"volume:flipped_{stack.tag}")
    assert ran.code == 3 and f"flipped_{stack.tag}" not in docker("volume", "ls", "--quiet").split()
    assert program.run("prove", made["id"]).code == 3


@pytest.mark.slow
@pytest.mark.sweep(every=4)
def test_g6_kill_9_before_any_command_to_the_engine_is_put_right_by_the_next(tmp_path: Path, sweep: int) -> None:
    """After one more command every container is as before, and the last good backup too."""
    with engine.stack() as stack:
        stack.run(FILL.format("users", 20_000))
        program = Program(tmp_path, {"STACK_PASSWORD": engine.PASSWORD, "DOCKER_HOST": engine.address()})
        (tmp_path / "pgproof.toml").write_text(f'{stack.source}[stores.local]\nurl = "{program.store}"\n')
        first = program.ok("backup", "--json").json["id"]
        stack.wait()
        states, found_down = stack.states(), 0
        for number in itertools.count(1, sweep):
            with program.until(Moment("program:docker", number), "backup", "--quiet") as run:
                if run.reaches() is None:
                    break
                run.signal(signal.SIGKILL)
                run.wait()
            found_down += stack.states() != states
            listed = program.ok("list", "--json").json
            assert stack.states() == states, listed
            stack.wait()
            assert first in [one["id"] for one in listed]
        assert number > 20 and found_down * sweep >= 8, (number, found_down)
        assert program.ok("verify").code == 0
        assert program.ok("backup", "--quiet").code == 0
