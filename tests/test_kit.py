"""The recovery kit: who has never seen pgproof recovers by its lines alone, with it and without."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from pgproof.postgres.server import Address, connect
from tests.conftest import Program, Servers, drop_database
from tests.kit import digests, run

FILLED = (
    "CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL)",
    "INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 500) n",
)


@pytest.fixture
def protected(servers: Servers, program: Program) -> tuple[Program, Address]:
    """An encrypted backup of a database, proven, and its kit."""
    database = servers.database(17, "kit")
    with connect(servers(17).address) as session:  # whoever forgets the encoding gets the template's
        session.run("DROP DATABASE kit")
        session.run("CREATE DATABASE kit TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    run(database, *FILLED)
    passphrase = program.folder / "passphrase"
    passphrase.touch(0o600)
    passphrase.write_text("of paper")
    program.configure(f'[encryption]\nmethod = "gpg"\npassphrase = "file:{passphrase}"\n', kit=database)
    program.ok("backup", "--quiet")
    program.ok("prove", "--quiet")
    return program, database


def commands(program: Program, heading: str) -> list[str]:
    """The lines of a section that are to be typed."""
    text = program.ok("kit").out
    section = text.split(f"\n{heading}. ")[1].split("\n\n")[0]
    return [line.strip() for line in section.splitlines()[1:] if line.startswith("     ")]


@pytest.mark.slow
def test_the_kit_says_where_backups_are_and_never_what_opens_them(protected: tuple[Program, Address]) -> None:
    program, _ = protected
    text = program.ok("kit").out
    assert str(program.store) in text and "passphrase" in text
    assert "of paper" not in text
    assert f"pgproof recover --from {program.store} --to postgresql://USER@HOST/DATABASE --dry-run" in text


@pytest.mark.slow
def test_by_the_lines_with_pgproof_the_database_comes_back(protected: tuple[Program, Address]) -> None:
    program, database = protected
    good = digests(database)
    run(database, "DELETE FROM users")
    first, second, *_ = commands(program, "3")
    shown = program.ok(*_words(first))
    hash_ = re.search(r"Plan ([0-9a-f]+)", shown.out)
    assert hash_ is not None
    program.ok(*_words(second), "--yes", hash_[1])
    assert digests(database) == good


@pytest.mark.slow
def test_by_the_lines_without_pgproof_the_database_comes_back(
    servers: Servers, protected: tuple[Program, Address], tmp_path: Path
) -> None:
    """With gpg, gunzip and psql, by a person who types the passphrase where gpg asks for it."""
    program, database = protected
    (backup,) = program.store.glob("kit/*-logical")
    lines = commands(program, "4")
    typed = f"gpg --batch --pinentry-mode loopback --passphrase-file {tmp_path}/passphrase "
    lines = [line.replace("gpg ", typed, 1) if line.startswith("gpg ") else line for line in lines]
    assert len(lines) == 5
    assert database.password is not None
    (tmp_path / "gnupg").mkdir(mode=0o700)
    env = {**os.environ, "GNUPGHOME": str(tmp_path / "gnupg"), "PGPASSWORD": database.password.reveal()}
    env |= {"PGHOST": str(servers(17).folder), "PGUSER": "postgres", "LC_ALL": "C"}
    env["PATH"] = f"{Path(servers(17).tools.program('psql')).parent}:{os.environ['PATH']}"
    for line in lines:
        ran = subprocess.run(["bash", "-c", line], cwd=backup, env=env, capture_output=True, text=True, check=False)
        assert ran.returncode == 0 or "globals" in line, (line, ran)
    restored = database.to("kit_restored")
    assert {path.suffix for path in backup.iterdir() if path.is_file()} == {".gpg", ".json"}, (
        "nothing lies there in plain"
    )
    like = "SELECT pg_encoding_to_char(encoding) || datcollate || datctype FROM pg_database WHERE datname = '{}'"
    with connect(servers(17).address) as session:
        assert session.value(like.format("kit_restored")) == session.value(like.format("kit"))
    assert digests(restored) == digests(database)
    drop_database(servers(17).address, "kit_restored")
    with connect(servers(17).address) as session:
        assert session.value("SELECT count(*) FROM pg_database WHERE datname = 'kit_restored'") == 0


def test_the_kit_names_the_keys_that_open_backups(program: Program, servers: Servers, tmp_path: Path) -> None:
    """By fingerprint, which is what a person compares."""
    (tmp_path / "gnupg").mkdir(mode=0o700)
    program.env["GNUPGHOME"] = str(tmp_path / "gnupg")
    env = {**os.environ, **program.env}
    words = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key", "ops@example.org", "default", "default"]
    subprocess.run(words, env=env, check=True, capture_output=True)
    told = subprocess.run(["gpg", "--with-colons", "--list-keys"], env=env, check=True, capture_output=True).stdout
    fingerprint = re.findall(r"^fpr:+([0-9A-F]{40}):", told.decode(), re.MULTILINE)[0]
    program.configure('[encryption]\nmethod = "gpg"\nrecipients = ["ops@example.org"]\n', kit=servers.database(17))
    assert f"recipient: ops@example.org, key {fingerprint}" in program.ok("kit").out


def _words(line: str) -> list[str]:
    """What comes behind `pgproof`, up to the words that explain it."""
    return re.split(r"\s{2,}", line)[0].split()[1:]
