"""recover --from: a machine with a store's address, its credentials and the passphrase, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.buckets import KEY, SECRET, Endpoint
from tests.conftest import Program, Servers, drop_database
from tests.kit import digests, run
from tests.test_offsite_alone import FILLED, configure


@pytest.mark.slow
def test_a_bucket_and_a_passphrase_are_enough(
    servers: Servers, make_program: Callable[[str], Program], rclone_server: Endpoint, tmp_path: Path
) -> None:
    database = servers.database(17)
    run(database, *FILLED)
    here, there = make_program("here"), make_program("there")
    configure(here, database, rclone_server.table("s3", f"nothing/{tmp_path.name}"), "a passphrase")
    here.ok("backup", "--quiet")
    here.ok("prove", "--quiet")
    address = f"s3://{rclone_server.bucket}/nothing/{tmp_path.name}"
    new = servers(18).address.to(database.database)
    assert new.password is not None
    there.env |= {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "S3_ENDPOINT": rclone_server.url,
        "GPG_PASSPHRASE_FILE": str(here.folder / "passphrase"),
        "PGPASSWORD": new.password.reveal(),
    }
    words = ("recover", "--from", address, "--to", new.conninfo)
    plan = there.ok(*words, "--dry-run", "--json").json
    assert any("another server" in one for one in plan["warnings"])
    there.ok(*words, "--yes", plan["hash"])
    assert digests(new) == digests(database)
    assert not (there.folder / "pgproof.toml").exists()
    there.env["GPG_PASSPHRASE_FILE"] = str(here.folder / "pgproof.toml")
    (here.folder / "pgproof.toml").chmod(0o600)
    wrong = there.run(*words, "--dry-run")
    assert wrong.code == 2 and "Traceback" not in wrong.err, wrong
    drop_database(servers(18).address, new.database)


@pytest.fixture
def two(servers: Servers, program: Program) -> Program:
    """A store with two sources, one of them encrypted by nobody; the configuration is gone."""
    for name in ("one", "two"):
        database = servers.database(17, f"nothing_{name}")
        run(database, *FILLED)
        program.configure(**{name: database})
        program.ok("backup", "--quiet")
        program.ok("prove", "--quiet")
    (program.folder / "pgproof.toml").unlink()
    return program


@pytest.mark.slow
def test_of_several_sources_one_must_be_named(servers: Servers, two: Program) -> None:
    ran = two.run("recover", "--from", str(two.store), "--dry-run")
    assert ran.code == 2 and "one (newest of" in ran.err and "two (newest of" in ran.err, ran
    other = two.run("recover", "three", "--from", str(two.store), "--dry-run")
    assert other.code == 2 and "no backup of three" in other.err
    to = servers.database(17, "nothing_to")
    assert to.password is not None
    two.env["PGPASSWORD"] = to.password.reveal()
    two.ok("recover", "two", "--from", str(two.store), "--to", to.conninfo, "--dry-run")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--from", "{store}x"), 6, "is not there"),
        (("--from", "ftp://host/x"), 2, "no stores of the kind ftp"),
        (("--from", "{store}", "one", "--to", "postgresql://u:hidden@h/d"), 2, "everybody on this machine"),
        (("--from", "{store}", "one", "--to", "nonsense"), 2, "neither a connection URL"),
        (("--to", "postgresql://u@h/d"), 2, "go with --from"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(two: Program, words: tuple[str, ...], code: int, said: str) -> None:
    ran = two.run("recover", *(one.format(store=two.store) for one in words), "--dry-run")
    assert ran.code == code and said in ran.err and "hint:" in ran.err and "Traceback" not in ran.err, ran
    assert "hidden" not in ran.out + ran.err
