"""Configurations that cannot be: refused by name before anything is touched."""

import pytest

from tests.bad_input.conftest import Scene, refused, tree


def edit(scene: Scene, old: str, new: str) -> None:
    toml = scene.program.folder / "pgproof.toml"
    text = toml.read_text()
    assert old in text
    toml.write_text(text.replace(old, new, 1))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["backup", "list", "prune", "doctor"])
def test_an_unknown_source(scene: Scene, command: str) -> None:
    ran = scene.program.run(command, "dbb")
    if command in ("list", "doctor"):
        assert ran.code in (0, 1, 2), ran
        assert "Traceback" not in ran.err
    else:
        refused(ran, 2, "dbb", "did you mean db?")
    scene.check()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("url =", "ulr =", ["sources.db.ulr", "sources.db.url"]),
        ("[sources.db]\n", "[sources.db]\npasswort = 'file:x'\n", ["sources.db.passwort", "sources.db.password"]),
        ("[sources.db]\n", "[source.db]\n", ["source", "sources"]),
        ("[stores.local]\n", "[stores.local]\nmounted = true\n", ["stores.local.mounted", "stores.local.mount"]),
        ("[sources.db]\n", "[sources.db]\njobs = 0\n", ["sources.db.jobs"]),
        ("[sources.db]\n", "[sources.'../db']\n", ["sources.../db"]),
        ("[sources.db]\n", "[sources.db\n", ["TOML"]),
    ],
)
def test_an_unknown_setting(scene: Scene, old: str, new: str, words: list[str]) -> None:
    before = tree(scene.program.store)
    edit(scene, old, new)
    for command in ("backup", "list", "verify", "prune"):
        refused(scene.program.run(command), 2, *words)
    assert tree(scene.program.store) == before
    scene.configure()
    scene.check()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@127.0.0.1/db",
        "postgresql://me@127.0.0.1/db?password=hunter2",
        "host=127.0.0.1 password=hunter2",
        "host=127.0.0.1 password='hunter2 x'",
        "postgres://me:hunter2@[::1]:5432/db",
        "hunter2",
    ],
)
def test_a_password_in_the_url(scene: Scene, url: str) -> None:
    (scene.program.folder / "pgproof.toml").write_text(
        f'[sources.db]\nurl = "{url}"\n[stores.local]\nurl = "{scene.program.store}"\n'
    )
    for words in (["backup"], ["doctor", "--json"], ["init", "--config", "new.toml", "--url", url]):
        ran = refused(scene.program.run(*words), 2)
        assert "hunter2" not in ran.out + ran.err
    assert not (scene.program.folder / "new.toml").exists()
    scene.configure()
    scene.check()


def test_secrets_that_others_may_read(scene: Scene) -> None:
    secret = scene.program.folder / "db.password"
    for mode in (0o644, 0o640, 0o602):
        secret.chmod(mode)
        ran = refused(scene.program.run("backup"), 2, "sources.db.password", "chmod 600")
        assert secret.read_text() not in ran.out + ran.err
    secret.unlink()
    refused(scene.program.run("backup"), 2, "sources.db.password")
    secret.mkdir()
    refused(scene.program.run("backup"), 2, "sources.db.password")
    secret.rmdir()
    scene.configure()
    scene.check()


def test_init_twice(scene: Scene) -> None:
    toml = scene.program.folder / "pgproof.toml"
    before = toml.read_bytes()
    refused(scene.program.run("init"), 4, "exists already")
    refused(scene.program.run("init", "--url", "postgresql://a@b/c"), 4, "exists already")
    assert toml.read_bytes() == before
    toml.unlink()
    toml.symlink_to(scene.program.folder / "elsewhere")
    refused(scene.program.run("init"), 4, "exists already")
    assert not (scene.program.folder / "elsewhere").exists()
    toml.unlink()
    scene.configure()
    scene.check()


def test_init_where_nothing_may_be_written(scene: Scene) -> None:
    refused(scene.program.run("init", "--config", "no/such/folder/pgproof.toml"), 2)
    refused(scene.program.run("init", "--config", "/proc/pgproof.toml"), 2)
    scene.check()


@pytest.mark.parametrize(
    "words", [["bakcup"], ["backup", "--nonsense"], ["restore"], ["restore", "latest", "--jobs", "x"]]
)
def test_a_command_line_that_cannot_be(scene: Scene, words: list[str]) -> None:
    refused(scene.program.run(*words), 2)
    scene.check()
