"""Folders that the user of pgproof may not enter."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgproof.config.read import find
from pgproof.errors import ConfigError, PgproofError, Unreachable
from pgproof.stores import marker
from pgproof.stores.directory import DirectoryStore

NOBODY = 65534


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "pgproof.toml").write_text("")
    marker.make(DirectoryStore(folder / "store"))
    with DirectoryStore(folder / "store").create("kc/x") as sink:
        sink.write(b"x")
    folder.chmod(0)
    yield folder
    folder.chmod(0o700)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may enter everything, so it becomes another for a while."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_configuration(closed: Path) -> None:
    with as_nobody(), pytest.raises(ConfigError) as named:
        find(str(closed / "pgproof.toml"), {}, closed, closed)
    with as_nobody(), pytest.raises(ConfigError) as sought:
        find(None, {}, closed, closed)
    for caught in (named, sought):
        assert str(closed / "pgproof.toml") in caught.value.message
        assert "may not enter" in caught.value.message and "--config" in caught.value.hint


def test_a_store(closed: Path) -> None:
    store = DirectoryStore(closed / "store")
    for ask in (
        lambda: list(store.list()),
        lambda: store.stat("kc/x"),
        lambda: store.open("kc/x"),
        lambda: store.create("kc/y"),
        lambda: marker.read(DirectoryStore(closed / "store"), str(closed / "store")),
    ):
        with as_nobody(), pytest.raises(PgproofError) as caught:
            ask()
        assert isinstance(caught.value, Unreachable), caught.value
        assert "ermission denied" in caught.value.message and caught.value.hint
