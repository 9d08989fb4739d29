"""Parts that went straight into an archive class: what copy says of them, and how verify gets them back."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.buckets import ENVIRONMENT, Endpoint, moto
from tests.conftest import Program, Servers, drop_database
from tests.kit import digests, rows, run

THAW = {"model_name": "s3::keyrestore", "transition": {"progression": "manual", "times": 2}}


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Endpoint]:
    """A bucket from whose archive an object comes back when it has been asked after twice."""
    with moto(tmp_path / "moto") as endpoint:
        url = f"{endpoint.url}/moto-api/state-manager/set-transition"
        with urlopen(Request(url, json.dumps(THAW).encode(), {"Content-Type": "application/json"})) as answer:
            assert answer.status == 201
        yield endpoint


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "takes"), [("GLACIER", "3 to 5 hours"), ("DEEP_ARCHIVE", "up to 12 hours")])
def test_an_archive_is_asked_and_waited_for(
    servers: Servers, program: Program, archive: Endpoint, kind: str, takes: str
) -> None:
    database = servers.database(17)
    run(database, "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 500) g")
    program.configure(archive.table("cold", "cold", f'storage_class = "{kind}"'), db=database)
    program.env |= ENVIRONMENT
    made = program.ok("backup")
    assert "copied to cold" in made.out and "not read back: it went straight into an archive" in made.out
    listed = archive.client.list_objects_v2(Bucket=archive.bucket)["Contents"]
    assert {one["Key"].endswith(".json") for one in listed if one["StorageClass"] == kind} == {False}
    assert "cold has 1 backup of db." in program.ok("copy").out
    interrupted(program, f"Standard retrieval from {kind} takes {takes}")
    verified = program.ok("verify", "latest", "--store", "cold", "--json")
    assert verified.json["scope"] == "contents" and verified.json["ok"]
    called = f"{database.database}_back"
    program.ok("restore", "latest", "--store", "cold", "--to", called)
    assert digests(database.to(called)) == digests(database)
    for name in (called, database.database):
        drop_database(servers(17).address, name)


def interrupted(program: Program, said: str) -> None:
    """Begin a verify, and press Ctrl-C once it says what it waits for."""
    argv = program.argv("verify", "latest", "--store", "cold")
    with subprocess.Popen(argv, cwd=program.folder, env=program.environment, stderr=subprocess.PIPE, text=True) as one:
        assert one.stderr is not None
        line = one.stderr.readline()
        one.send_signal(signal.SIGINT)
        assert one.wait(60) == 130
    assert "3 parts of db/" in line and "have been asked for" in line and said in line


@pytest.mark.slow
def test_a_recovery_from_an_archive_asks_for_it_and_waits_and_a_dry_run_does_not(
    servers: Servers, program: Program, archive: Endpoint
) -> None:
    """Once the first store has lost it; as long as that has it, nothing is asked of the archive."""
    database = servers.database(17)
    run(database, "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 500) g")
    program.configure(archive.table("cold", "cold", 'storage_class = "GLACIER"'), db=database)
    program.env |= ENVIRONMENT
    made = program.ok("backup", "--json").json
    plan = program.ok("recover", "--backup", "latest", "--dry-run", "--json").json
    assert plan["store"] == "local"
    (program.store / made["id"] / made["parts"][-1]["name"]).unlink()
    dry = program.run("recover", "--backup", "latest", "--dry-run")
    assert dry.code == 4 and "lies in an archive" in dry.err, dry
    asked = program.run("recover", "--backup", "latest")  # no terminal: it asks back, waits, and shows the plan's hash
    assert "have been asked for" in asked.err and "--yes" in asked.err, asked
    digits = asked.err.rpartition("--yes ")[2].split()[0]
    good = digests(database)
    run(database, "DELETE FROM t")
    program.ok("recover", "--backup", "latest", "--yes", digits)
    assert digests(database) == good
    server = servers(17).address
    for (name,) in rows(server, f"SELECT datname FROM pg_database WHERE datname LIKE '{database.database}%'"):
        drop_database(server, str(name))
