"""Volumes of an engine elsewhere: their folder is not on this machine, and all goes by `docker cp`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engine
from tests.conftest import Program
from tests.engine import Stack, docker, eventually

SUM = "SELECT md5(string_agg(id || text, ',' ORDER BY id)) FROM users"
ELSEWHERE = """#!/bin/sh
# The engine as it is, but for where its volumes lie: as of another machine.
case "$1 $2" in
"volume inspect")
    told=$(docker "$@") || exit $?
    printf '%s' "$told" | sed 's|"Mountpoint": "|"Mountpoint": "/elsewhere|' ;;
*) exec docker "$@" ;;
esac
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with engine.stack() as made:
        made.run("CREATE TABLE users AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 50000) g")
        made.run(
            "CREATE TABLE wide AS SELECT g AS id, repeat(md5(g::text), 200) AS text FROM generate_series(1, 4000) g"
        )
        yield made


@pytest.fixture
def program(tmp_path: Path, stack: Stack) -> Program:
    (tmp_path / "docker").write_text(ELSEWHERE)
    (tmp_path / "docker").chmod(0o755)
    made = Program(tmp_path, {"STACK_PASSWORD": engine.PASSWORD, "DOCKER_HOST": engine.address()})
    made.env["PGPROOF_DOCKER"] = str(tmp_path / "docker")
    (tmp_path / "pgproof.toml").write_text(f'{stack.source}[stores.local]\nurl = "{made.store}"\n')
    return made


@pytest.mark.slow
def test_the_journey_of_a_volume_elsewhere(program: Program, stack: Stack) -> None:
    """Backed up, proven, restored into a new volume; the server on that has what was there."""
    good, states = stack.value(SUM), stack.states()
    made = program.ok("backup", "--json").json
    stack.wait()
    assert stack.states() == states
    assert any("docker cp" in note for note in made["notes"]) and made["cluster"]["consistency"] == "clean"
    assert program.ok("verify").code == 0
    proof = program.ok("prove", "--json").json
    assert proof["proven"] and {one["name"]: one["rows"] for one in proof["tables"]}["keycloak.public.users"] == 50000
    eventually(lambda: "pgproof_door" not in docker("ps", "--all", "--format", "{{.Names}}"))
    name = f"restored_{stack.tag}"
    told = program.ok("restore", "latest", "--to", f"volume:{name}", "--json").json
    assert told["files"] == made["cluster"]["files"]["count"]
    docker("rm", "--force", stack.database)
    docker("run", "--detach", "--name", stack.database, "--volume", f"{name}:/var/lib/postgresql/data",
           "--publish", f"127.0.0.1:{stack.port}:5432", engine.IMAGE)  # fmt: skip
    stack.wait()
    assert stack.value(SUM) == good
    docker("rm", "--force", stack.database)
    stack.start_database()
    stack.wait()


@pytest.mark.slow
def test_an_archive_made_here_can_be_restored_there_and_the_other_way_round(program: Program, stack: Stack) -> None:
    """Both are the one format: owners, modes and links are what they were, however they came."""
    program.ok("backup", "--quiet")
    stack.wait()
    here = Program(program.folder, {key: value for key, value in program.env.items() if key != "PGPROOF_DOCKER"})
    here.ok("backup", "--quiet")
    stack.wait()
    there, mine = (one["id"] for one in sorted(here.ok("list", "--json").json, key=lambda one: one["began"])[-2:])
    trees = []
    for who, backup, name in ((program, mine, "mine_there"), (here, there, "theirs_here")):
        volume = f"{name}_{stack.tag}"
        who.ok("restore", backup, "--to", f"volume:{volume}", "--quiet")
        trees.append(tree(engine.mountpoint(volume)))
    first, second = ({name: one[:3] for name, one in tree.items() if _stays(name)} for tree in trees)
    assert {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)} == set()
    assert len(first) > 50


@pytest.mark.slow
def test_doctor_says_how_it_goes_and_does_not_take_it_for_empty(program: Program) -> None:
    codes = {one["code"] for one in program.run("doctor", "--json").json["findings"]}
    assert "volume-unreadable" in codes and "volume-empty" not in codes


@pytest.mark.slow
def test_in_place_and_recover_need_the_folder_and_say_so(program: Program, stack: Stack) -> None:
    program.ok("backup", "--quiet")
    stack.wait()
    docker("stop", stack.service, stack.database)
    try:
        ran = program.run("restore", "latest", "--to", f"volume:{stack.volume}", "--replace")
        assert ran.code == 4 and "cannot be used from here" in ran.err, ran
        wrong = program.run("recover", "--backup", "latest", "--dry-run")
        assert wrong.code == 4 and "Traceback" not in wrong.err, wrong
    finally:
        docker("start", stack.database, stack.service)
        stack.wait()


def _stays(name: str) -> bool:
    """Between two backups a server makes and drops caches and segments."""
    return not name.startswith(("pg_wal/", "base/"))


def tree(root: Path) -> dict[str, tuple[str, int, int, int]]:
    """Of each: mode, owner, group, size."""
    found = {}
    for path in [root, *root.rglob("*")]:
        stat = path.lstat()
        size = stat.st_size if path.is_file() else 0
        found[str(path.relative_to(root))] = (oct(stat.st_mode), stat.st_uid, stat.st_gid, size)
    return found


@pytest.mark.slow
def test_a_stop_that_lasts_longer_than_it_may_ends_and_nothing_is_kept(program: Program, stack: Stack) -> None:
    """The engine is slow to send what it has."""
    states = stack.states()
    slow = Path(program.env["PGPROOF_DOCKER"])
    slow.write_text(slow.read_text().replace('case "$1 $2" in', 'case "$1" in cp) sleep 2 ;; esac\ncase "$1 $2" in'))
    file = program.folder / "pgproof.toml"
    file.write_text(file.read_text().replace("docker = { ", 'docker = { longest_stop = "1s", '))
    refused = program.run("backup")
    assert refused.code == 4 and "containers were stopped for longer than 1 s" in refused.err, refused
    stack.wait()
    assert stack.states() == states
    assert program.ok("list", "--json").json == []
    assert 'longest_stop = "1s"' in file.read_text()
