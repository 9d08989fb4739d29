"""The store: full, damaged, mixed up, not there, or not to be written."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import kit
from tests.bad_input.conftest import Scene, refused, tree
from tests.conftest import Program, missing
from tests.faults import invariants
from tests.waiting import next_second

GPG = '\n[encryption]\nmethod = "gpg"\npassphrase = "file:passphrase"\n'


@contextmanager
def mounted(folder: Path, kilobytes: int, options: str = "") -> Iterator[Path]:
    """A tmpfs of that size."""
    folder.mkdir(exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=0777{options}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode:
        missing("the right to mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def passphrase(program: Program, word: str) -> None:
    (program.folder / "passphrase").touch(0o600)
    (program.folder / "passphrase").write_text(word)


@pytest.fixture
def encrypted(scene: Scene) -> Scene:
    """The same with a passphrase: a second source's name, and one good backup more."""
    if not shutil.which("gpg"):
        missing("gpg")
    passphrase(scene.program, "the right one")
    scene.configure(GPG)
    scene.good = scene.program.ok("backup", "--json").json["id"]
    return scene


# -- full -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [4, 16, 64, 120, 160])
def test_a_store_that_is_full(scene: Scene, kilobytes: int) -> None:
    """The disk has room for nothing, a lock, a part, and nearly all; the good backup lies on it too."""
    program = scene.program
    needed = sum((path.stat().st_size + 4095) // 4096 * 4 for path in program.store.rglob("*") if path.is_file())
    kept = program.folder / "kept"
    program.store.rename(kept)
    with mounted(program.store, needed + kilobytes):
        shutil.copytree(kept, program.store, dirs_exist_ok=True)
        before = tree(program.store)
        refused(program.run("backup"), 6, "the store is full", "pgproof prune")
        assert tree(program.store) == before
        scene.check()
        assert program.run("verify", scene.good).code in (0, 7)
        assert program.run("prove", "latest").code in (0, 7)


def test_no_room_for_a_drill(scene: Scene) -> None:
    for kilobytes in (64, 20_000, 41_000):
        with mounted(scene.program.folder / "tmp", kilobytes) as folder:
            scene.program.env["TMPDIR"] = str(folder)
            refused(scene.program.run("prove", "latest"), 3, "TMPDIR")
            assert list(folder.iterdir()) == []
            assert invariants.of_scene(folder) == []
    del scene.program.env["TMPDIR"]
    scene.check()
    assert scene.listed()[scene.good] == "stored"


# -- keys -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("words", [["verify"], ["verify", "latest"], ["prove", "latest"], ["restore", "latest"]])
def test_a_wrong_passphrase(encrypted: Scene, words: list[str]) -> None:
    program = encrypted.program
    passphrase(program, "a wrong one")
    before = kit.rows(encrypted.source, "SELECT datname FROM pg_database ORDER BY 1")
    ran = refused(program.run(*words), 2, "[encryption]")
    assert "wrong one" not in ran.out + ran.err
    assert kit.rows(encrypted.source, "SELECT datname FROM pg_database ORDER BY 1") == before
    encrypted.check(backups=2)
    passphrase(program, "the right one")
    assert program.run("verify", "latest", "--json").json["ok"]
    program.ok("restore", "latest", "--dry-run")


@pytest.mark.slow
@pytest.mark.parametrize("words", [["prove", "latest"], ["restore", "latest"]])
def test_no_key_where_one_was_used(encrypted: Scene, words: list[str]) -> None:
    config = encrypted.program.folder / "pgproof.toml"
    config.write_text(config.read_text().partition("[encryption]")[0])
    refused(encrypted.program.run(*words), 2, "is encrypted with gpg", "[encryption]")
    assert "stored bytes" in encrypted.program.ok("verify").out
    encrypted.check(backups=2)


@pytest.mark.slow
def test_no_gpg(encrypted: Scene) -> None:
    program = encrypted.program
    folder = program.folder / "bin"
    folder.mkdir()
    for name in ("setpriv", "unshare", "true", "test"):
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    before = tree(program.store)
    program.env["PATH"] = str(folder)
    refused(program.run("backup"), 2, "gpg")
    for words in (["verify", "latest"], ["prove", "latest"], ["restore", "latest"]):
        refused(program.run(*words), 2, "gpg")
    assert tree(program.store) == before
    del program.env["PATH"]
    encrypted.check(backups=2)


def test_a_key_where_none_was_used(scene: Scene) -> None:
    """A plain backup stays readable after encryption has been turned on."""
    passphrase(scene.program, "new")
    scene.configure(GPG)
    scene.program.ok("verify")
    scene.program.ok("restore", "latest", "--dry-run")


# -- damage -----------------------------------------------------------------------------------------


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def nonsense(path: Path) -> None:
    path.write_bytes(b'{"format": "another", "content": [1, 2, {}]}' if path.suffix == ".json" else b"\x1f\x8b no gzip")


@pytest.mark.slow
@pytest.mark.parametrize("harm", [truncated, flipped, emptied, nonsense])
@pytest.mark.parametrize("name", ["manifest.json", "db.sql.gz", "schema.dump", "globals.sql.gz"])
def test_damaged_files(scene: Scene, harm, name: str) -> None:
    program = scene.program
    next_second()
    bad = program.ok("backup", "--json").json["id"]
    harm(program.store / bad / name)
    before = kit.rows(scene.source, "SELECT datname FROM pg_database ORDER BY 1")
    found = program.run("verify", "--json")
    assert found.code == 3, found.out + found.err
    assert {one["id"]: one["ok"] for one in found.json} == {scene.good: True, bad: False}
    assert all(one["findings"] for one in found.json if not one["ok"])
    assert scene.listed() == {scene.good: "intact", bad: "damaged"}
    refused(program.run("restore", bad, "--to", "bad_never"), 3)
    assert program.run("prove", bad).code == 3
    assert program.run("status").code == 2
    assert kit.rows(scene.source, "SELECT datname FROM pg_database ORDER BY 1") == before
    kept = program.run("prune", "--apply")
    assert kept.code in (0, 3, 4), kept.err
    assert scene.listed()[scene.good] == "intact"
    assert program.run("verify", scene.good).code == 0
    third = program.ok("backup", "--json").json["id"]
    assert program.run("verify", third).code == 0


@pytest.mark.slow
def test_a_foreign_manifest(scene: Scene, make_program) -> None:
    """The manifest of another backup, of another store, and of another source."""
    program = scene.program
    other = make_program("other")
    other.configure(db=scene.source, stranger=scene.source)
    made = other.ok("backup", "--json").json
    for one in made:
        next_second()  # equal ids would make the manifest no stranger
        bad = program.ok("backup", "--json").json["id"]
        assert bad != one["id"]
        shutil.copy(other.store / one["id"] / "manifest.json", program.store / bad / "manifest.json")
        assert program.run("verify", bad).code == 3
        refused(program.run("restore", bad, "--to", "bad_never"), 3)
        assert scene.listed()[bad] == "damaged"
        assert scene.listed()[scene.good] == "stored"
        shutil.rmtree(program.store / bad)
    scene.check()


@pytest.mark.slow
def test_a_part_of_another_backup(scene: Scene) -> None:
    program = scene.program
    kit.run(scene.source, "INSERT INTO small VALUES (0, 'one more')")
    newer = program.ok("backup", "--json").json["id"]
    kit.run(scene.source, "DELETE FROM small WHERE id = 0")
    for name in ("db.sql.gz", "schema.dump", "globals.sql.gz"):
        mine = program.store / newer / name
        own = mine.read_bytes()
        shutil.copy(program.store / scene.good / name, mine)
        if mine.read_bytes() != own:
            refused(program.run("restore", newer, "--to", "bad_never"), 3)
            assert program.run("prove", newer).code == 3
            assert program.run("verify", newer).code == 3
        mine.write_bytes(own)
    assert program.run("verify", scene.good).code == 0


@pytest.mark.slow
def test_files_that_are_not_ours_are_kept(scene: Scene) -> None:
    program = scene.program
    old = time.time() - 30 * 86400
    extra = ["README", "db/notes.txt", f"{scene.good}/mine.txt", "other/20200101T000000Z-logical.txt", "photos/a.jpg"]
    extra += ["db/old name with spaces", f"{scene.good}/proofs/hello", "db/.hidden"]
    for name in extra:
        path = program.store / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(name)
        os.utime(path, (old, old))
    (program.store / "link").symlink_to("/etc")
    program.ok("verify")
    program.ok("backup")
    for _ in range(2):
        program.ok("prune", "--apply")
    assert program.run("list").code == 0
    assert all((program.store / name).read_text() == name for name in extra)
    assert (program.store / "link").is_symlink()
    scene.check(backups=2)


# -- two at once, and places ------------------------------------------------------------------------


@pytest.mark.slow
def test_two_backups_at_once(scene: Scene) -> None:
    """One is made; the other is busy, or waits its turn. Both at once into another store are both made."""
    program = scene.program
    kit.run(scene.source, "CREATE TABLE much AS SELECT n, repeat(md5(n::text), 30) t FROM generate_series(1, 60000) n")
    running = [
        subprocess.Popen(
            program.argv("backup", "--json"),
            cwd=program.folder,
            env=program.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    ended = [(*one.communicate(timeout=120), one.returncode) for one in running]
    codes = sorted(code for _, _, code in ended)
    assert codes[0] == 0, ended
    assert set(codes) <= {0, 5}, ended
    for out, err, code in ended:
        if code == 5:
            assert "holds the lock on db" in err or "took the lock" in err, err
            assert json.loads(out)["exit_code"] == 5
    scene.check(backups=1 + codes.count(0))
    program.ok("verify")


@pytest.mark.slow
def test_a_store_whose_disk_is_not_mounted(scene: Scene) -> None:
    program = scene.program
    away = program.folder / "away"
    program.store.rename(away)
    for there in (False, True):
        if there:
            program.store.mkdir()
        for words in (["backup"], ["list"], ["verify"], ["prove"], ["restore", "latest"], ["prune", "--apply"]):
            refused(program.run(*words), 4, "is its disk mounted?")
        assert program.run("status").code == 3
        assert not there or list(program.store.iterdir()) == []
    program.store.rmdir()
    away.rename(program.store)
    scene.check()


def test_another_store_in_its_place(scene: Scene) -> None:
    program = scene.program
    program.store.rename(program.folder / "away")
    program.store.mkdir()
    (program.store / ".pgproof-store").write_text('{"store": "another"}')
    refused(program.run("backup"), 4, "another store", "--new-store")
    program.ok("init", "--new-store", str(program.store))
    program.ok("backup")


@pytest.mark.slow
def test_a_marker_that_cannot_be_read(scene: Scene) -> None:
    marker = scene.program.store / ".pgproof-store"
    whole = marker.read_bytes()
    for data in (b"", b"{", b"[]", b"\xff\xfe", b"{}"):
        marker.write_bytes(data)
        refused(scene.program.run("backup"), 6, "marker")
        refused(scene.program.run("list"), 6, "marker")
    marker.write_bytes(whole)
    scene.check()


@pytest.mark.slow
def test_a_store_that_is_read_only(scene: Scene) -> None:
    program = scene.program
    kept = program.folder / "kept"
    program.store.rename(kept)
    with mounted(program.store, 10_000):
        shutil.copytree(kept, program.store, dirs_exist_ok=True)
        subprocess.run(["mount", "-o", "remount,ro", str(program.store)], check=True)
        assert program.run("verify").code == 7
        assert program.run("verify", "latest", "--json").json["ok"]
        assert program.run("prove", "latest").code == 7
        program.ok("list")
        program.ok("restore", "latest", "--dry-run")
        refused(program.run("backup"), 6)
        refused(program.run("keep", "latest"), 6)
        scene.check()
