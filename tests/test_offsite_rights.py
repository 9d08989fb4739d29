"""Credentials that may write and not delete, as moto enforces the policy of docs/offsite.md; and those that prune."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest

from pgproof.postgres.server import Address
from tests.buckets import KEY, SECRET, Endpoint, moto
from tests.conftest import Program, Servers, drop_database
from tests.kit import run

PAGE = Path(__file__).parent.parent / "docs" / "offsite.md"
BUCKET = "company-backups"


@dataclass
class Guarded:
    """A bucket in an account with users: `pgproof`, who may not delete, and `pruner`, who may."""

    program: Program
    endpoint: Endpoint
    root: Any
    database: Address

    def backups(self) -> list[str]:
        """Of every object, what the bucket has; without what doctor leaves, and the lock."""
        found = [one["Key"].removeprefix("keycloak/") for one in self.root.list_objects_v2(Bucket=BUCKET)["Contents"]]
        return [name for name in found if name.startswith("db/") and name != "db/lock.json"]


def policy(*more: str) -> str:
    """That of the documentation, word for word; `more` are further actions."""
    given = json.loads(re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)[0])
    given["Statement"][1]["Action"] += more
    return json.dumps(given)


def user(client: Any, name: str, document: str) -> dict[str, str]:
    client.create_user(UserName=name)
    client.put_user_policy(UserName=name, PolicyName="its", PolicyDocument=document)
    made = client.create_access_key(UserName=name)["AccessKey"]
    return {f"{name.upper()}_KEY": made["AccessKeyId"], f"{name.upper()}_SECRET": made["SecretAccessKey"]}


@pytest.fixture
def guarded(servers: Servers, program: Program, tmp_path: Path) -> Iterator[Guarded]:
    database = servers.database(17)
    run(database, "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 500) g")
    with moto(tmp_path / "moto") as endpoint:
        at = {"endpoint_url": endpoint.url, "region_name": "us-east-1"}
        iam = boto3.client("iam", **at, aws_access_key_id=KEY, aws_secret_access_key=SECRET)
        endpoint.client.create_bucket(Bucket=BUCKET)
        program.env |= user(iam, "pgproof", policy()) | user(iam, "pruner", policy("s3:DeleteObject"))
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        root = user(iam, "root", json.dumps({"Version": "2012-10-17", "Statement": [everything]}))
        with urlopen(Request(f"{endpoint.url}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})) as answer:
            assert answer.status == 200  # from now on every request is judged
        client = boto3.client("s3", **at, aws_access_key_id=root["ROOT_KEY"], aws_secret_access_key=root["ROOT_SECRET"])
        yield Guarded(program, endpoint, client, database)
    drop_database(servers(17).address, database.database)


def table(endpoint: Endpoint, name: str, user: str, *lines: str) -> str:
    return "\n".join(
        [
            f"[stores.{name}]",
            f'url = "s3://{BUCKET}/keycloak"',
            f'endpoint = "{endpoint.url}"',
            f'access_key = "env:{user}_KEY"',
            f'secret_key = "env:{user}_SECRET"',
            *lines,
            "",
        ]
    )


PRUNING = ('prune_access_key = "env:PRUNER_KEY"', 'prune_secret_key = "env:PRUNER_SECRET"')
SHORT = ("[stores.offsite.retention]", "keep_last = 1", 'keep_within = "0d"')


@pytest.mark.slow
def test_c13_who_may_not_delete_backs_up_again_and_again_and_prunes_with_other_keys(guarded: Guarded) -> None:
    program, endpoint = guarded.program, guarded.endpoint
    program.configure(table(endpoint, "offsite", "PGPROOF", *SHORT), db=guarded.database)
    said = program.ok("doctor").out
    assert "offsite: the credentials of this machine cannot delete what lies there" in said
    assert "destroy the backups" not in said and "the bucket keeps no versions" in said
    made = [program.ok("backup", "--json").json["id"] for _ in range(3)]
    assert "offsite has all 3 backups of db." in program.ok("copy").out
    lock = json.loads(guarded.root.get_object(Bucket=BUCKET, Key="keycloak/db/lock.json")["Body"].read())
    assert datetime.fromisoformat(lock["expires"]) <= datetime.now(UTC), "no other machine waits for it"
    for word in ("verify", "prove"):
        program.ok(word, made[-1], "--store", "offsite")
    before = guarded.backups()
    refused = program.run("prune", "--apply")
    assert refused.code == 7 and guarded.backups() == before
    for one in made[:2]:
        assert f"{one}  not deleted" in refused.out and f"{one} could not be deleted" in refused.err
    assert "prune_access_key" in refused.err
    program.configure(table(endpoint, "offsite", "PGPROOF", *PRUNING, *SHORT), db=guarded.database)
    assert "would delete" in program.ok("prune").out and guarded.backups() == before
    program.ok("prune", "--apply")
    assert {name.rpartition("/")[0].removesuffix("/proofs") for name in guarded.backups()} == {made[-1]}
    assert program.ok("backup", "--json").json["stores"] == ["local", "offsite"]


@pytest.mark.slow
def test_c14_who_may_delete_is_warned_of_and_versions_are_noticed(guarded: Guarded) -> None:
    program = guarded.program
    program.configure(table(guarded.endpoint, "offsite", "PRUNER"), db=guarded.database)
    found = {one["code"]: one["level"] for one in program.ok("doctor", "--json").json["findings"]}
    assert (found["destructible"], found["unversioned"]) == ("warning", "warning")
    guarded.root.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    found = {one["code"]: one["level"] for one in program.ok("doctor", "--json").json["findings"]}
    assert "unversioned" not in found


@pytest.mark.slow
def test_c10_credentials_that_are_wrong_are_told_and_not_shown(guarded: Guarded) -> None:
    program = guarded.program
    program.configure(table(guarded.endpoint, "offsite", "PGPROOF"), db=guarded.database)
    secret, program.env["PGPROOF_SECRET"] = program.env["PGPROOF_SECRET"], "a-wrong-secret-canary"
    ran = program.run("backup", "--json")
    assert (ran.code, ran.json["stores"]) == (7, ["local"]) and "the credentials are not accepted" in ran.err
    assert "a-wrong-secret-canary" not in ran.out + ran.err
    program.env["PGPROOF_SECRET"] = secret
    assert program.ok("copy").out.count("copied to offsite") == 1
