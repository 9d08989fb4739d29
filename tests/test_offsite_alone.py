"""A machine that has a bucket and nothing else: backed up straight into it, restored elsewhere, all from variables."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pgproof.postgres.server import Address
from tests.buckets import ENVIRONMENT, KEY, SECRET, Endpoint
from tests.conftest import Program, Servers, drop_database
from tests.kit import digests, run

FILLED = (
    "CREATE TABLE t (id int PRIMARY KEY, text text)",
    "INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1, 5000) g",
    "CREATE TABLE u AS SELECT g AS id FROM generate_series(1, 500) g",
)


def configure(program: Program, address: Address, store: str, passphrase: str) -> None:
    """One store, the bucket; no folder at all. The passphrase is in a file of this machine's own."""
    assert address.password is not None
    for name, text in (("password", address.password.reveal()), ("passphrase", passphrase)):
        file = program.folder / name
        file.touch(0o600)
        file.write_text(text + "\n")
    lines = [
        "[sources.db]",
        f"url = {json.dumps(address.conninfo)}",
        f'password = "file:{program.folder}/password"',
        "[encryption]",
        'method = "gpg"',
        f'passphrase = "file:{program.folder}/passphrase"',
    ]
    (program.folder / "pgproof.toml").write_text("\n".join(lines) + "\n" + store)
    program.env |= ENVIRONMENT


@pytest.mark.slow
def test_e17_a_machine_with_the_bucket_and_the_passphrase_alone_restores_all(
    servers: Servers, make_program: Callable[[str], Program], rclone_server: Endpoint, tmp_path: Path
) -> None:
    database = servers.database(17)
    run(database, *FILLED)
    store = rclone_server.table("s3", f"alone/{tmp_path.name}")
    here, there = make_program("here"), make_program("there")
    configure(here, database, store, "a passphrase")
    made = here.ok("backup", "--json").json
    assert (made["stores"], {one["encryption"] for one in made["parts"]}) == (["s3"], {"gpg"})
    assert not list(here.folder.rglob("*.gpg")), "no part lies on this machine"
    configure(there, database, store, "a passphrase")
    assert [one["id"] for one in there.ok("list", "--json").json] == [made["id"]]
    assert there.ok("verify", "latest", "--json").json["scope"] == "contents"
    assert there.ok("prove", "latest", "--json").json["proven"]
    called = f"{database.database}_there"
    there.ok("restore", "latest", "--to", called)
    assert digests(database.to(called)) == digests(database)
    configure(there, database, store, "another passphrase")
    wrong = there.run("restore", "latest", "--to", "never")
    assert wrong.code == 2 and "passphrase" in wrong.err
    for name in (called, database.database):
        drop_database(servers(17).address, name)


@pytest.mark.slow
@pytest.mark.parametrize("folder", [False, True])
def test_all_of_it_from_the_environment(
    servers: Servers, program: Program, rclone_server: Endpoint, tmp_path: Path, folder: bool
) -> None:
    database = servers.database(17)
    run(database, *FILLED)
    assert database.password is not None
    for name, text in (("secret", SECRET), ("password", database.password.reveal())):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(text + "\n")
    program.env |= {
        "POSTGRES_HOST": str(servers(17).folder),
        "POSTGRES_DB": database.database,
        "POSTGRES_PASSWORD_FILE": str(tmp_path / "password"),
        "S3_BUCKET": rclone_server.bucket,
        "S3_PREFIX": f"environment/{tmp_path.name}",
        "S3_ENDPOINT": rclone_server.url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY_FILE": str(tmp_path / "secret"),
    }
    if folder:
        program.env["BACKUP_DIR"] = str(tmp_path / "backups")
    stores = ["local", "offsite"] if folder else ["offsite"]
    made = program.ok("backup", "--json").json
    assert made["stores"] == stores and SECRET not in json.dumps(made)
    assert program.ok("list", "--json").json[0]["stores"] == stores
    called = f"{database.database}_back"
    program.ok("restore", "latest", "--store", "offsite", "--to", called)
    assert digests(database.to(called)) == digests(database)
    for name in (called, database.database):
        drop_database(servers(17).address, name)
