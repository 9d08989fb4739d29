"""Copies elsewhere, as a user has them: a folder, a bucket and an SSH server in one configuration."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pgproof.postgres.server import Address
from tests.buckets import ENVIRONMENT, Endpoint
from tests.conftest import Program, Servers, drop_database
from tests.kit import digests, run
from tests.proxy import Proxy
from tests.sshd import shared
from tests.test_copy import flip

SMALL = "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 5000) g"
STORES = ("local", "s3", "sftp")
BESIDE = "CREATE TABLE u AS SELECT g AS id FROM generate_series(1, 500) g"


@dataclass
class Three:
    """The program with the stores local, s3 (behind `proxy`) and sftp, and one source."""

    program: Program
    endpoint: Endpoint
    prefix: str
    proxy: Proxy
    folder: Path  # where the SSH server keeps its copies
    database: Address
    made: list[str] = field(default_factory=list)

    def restore(self, *words: str) -> Address:
        """Into a new database, which goes with the test."""
        self.made.append(f"{self.database.database}_{len(self.made)}")
        self.program.ok("restore", *words, "--to", self.made[-1])
        return self.database.to(self.made[-1])

    def down(self, *, down: bool = True) -> None:
        self.proxy.refuse = down
        if down:
            self.proxy.reset_all()

    def key(self, name: str) -> dict[str, str]:
        return {"Bucket": self.endpoint.bucket, "Key": f"{self.prefix}/{name}"}

    def flip(self, name: str) -> None:
        """One bit of an object in the bucket, in its middle."""
        client = self.endpoint.client
        data = bytearray(client.get_object(**self.key(name))["Body"].read())
        data[len(data) // 2] ^= 1
        client.put_object(**self.key(name), Body=bytes(data))

    def remove(self, name: str) -> None:
        self.endpoint.client.delete_object(**self.key(name))

    def copies(self, *words: str) -> list[list[str]]:
        """The stores of each backup, oldest first."""
        return [one["stores"] for one in self.program.run("list", "--json", *words).json]


@pytest.fixture
def three(servers: Servers, program: Program, rclone_server: Endpoint, tmp_path: Path) -> Iterator[Three]:
    sshd, database = shared(), servers.database(17)
    with Proxy(int(rclone_server.url.rpartition(":")[2])) as proxy:
        made = Three(program, rclone_server, f"three/{tmp_path.name}", proxy, tmp_path / "second", database)
        more = rclone_server.table("s3", made.prefix, url=f"http://127.0.0.1:{proxy.port}")
        program.configure(more + sshd.table("sftp", made.folder), db=database)
        program.env |= ENVIRONMENT
        yield made
    for called in (*made.made, database.database):
        drop_database(servers(17).address, called)


@pytest.mark.slow
def test_c26_the_whole_journey(three: Three) -> None:
    """Three stores; one is down for two runs and caught up; damage there is found and repaired; all of it restores."""
    run(three.database, SMALL, BESIDE)
    program = three.program
    assert program.ok("backup", "--json").json["stores"] == ["local", "s3", "sftp"]
    three.down()
    for _ in range(2):
        ran = program.run("backup", "--json")
        assert (ran.code, ran.json["stores"]) == (7, ["local", "sftp"])
        assert "db is not copied to s3" in ran.err and "the next run catches up" in ran.err
    three.down(down=False)
    newest = program.ok("backup", "--json").json
    assert three.copies() == [["local", "s3", "sftp"]] * 4, "caught up with"
    main = f"{newest['id']}/{newest['parts'][-1]['name']}"
    three.flip(main)
    found = program.run("verify", "latest", "--store", "s3")
    assert found.code == 3 and main in found.out
    assert f"repaired to s3: {newest['id']}" in program.ok("copy").out
    assert program.ok("verify", "latest", "--store", "s3", "--json").json["ok"]
    assert digests(three.restore("latest", "--table", "t", "--store", "s3")).keys() == {"public.t"}
    assert digests(three.restore("latest", "--store", "sftp")) == digests(three.database)


@pytest.mark.slow
def test_c26_who_looks_is_told_where_each_backup_is_and_in_what_state(three: Three) -> None:
    run(three.database, SMALL)
    program = three.program
    made = program.ok("backup", "--json").json
    three.flip(f"{made['id']}/{made['parts'][-1]['name']}")
    assert program.run("verify", "--store", "s3").code == 3
    assert program.ok("list", "--json").json[0]["states"] == {"local": "stored", "s3": "damaged", "sftp": "stored"}
    assert program.ok("show", "latest", "--json").json["states"]["s3"] == "damaged"
    assert "s3 (damaged), sftp" in program.ok("list").out
    assert "local (stored), s3 (damaged), sftp (stored)" in program.ok("show", "latest").out
    three.down()
    one_is_down = program.ok("list", "--json")
    assert one_is_down.json[0]["states"] == {"local": "stored", "sftp": "stored"}
    assert "the store s3 cannot be asked" in one_is_down.err
    assert program.run("list", "--store", "s3").code == 6
    assert program.run("copy").code == 6
    assert program.run("doctor").code == 1


@pytest.mark.slow
def test_c7_what_is_damaged_or_gone_in_a_bucket_is_found_and_brought_again(three: Three) -> None:
    run(three.database, SMALL)
    program = three.program
    made = program.ok("backup", "--json").json
    main = f"{made['id']}/{made['parts'][-1]['name']}"

    def mended(said: str) -> None:
        assert said in program.ok("copy").out
        assert program.ok("verify", made["id"], "--store", "s3", "--json").json["ok"]
        assert three.copies() == [["local", "s3", "sftp"]]

    for spoil in (three.flip, three.remove):
        spoil(main)
        found = program.run("verify", made["id"], "--store", "s3")
        assert found.code == 3 and main in found.out
        mended(f"repaired to s3: {made['id']} ({made['parts'][-1]['name']}), read back")
    three.flip(f"{made['id']}/manifest.json")
    assert program.run("verify", "--store", "s3").code == 3
    assert program.run("list", "--store", "s3").code == 3
    mended(f"repaired to s3: {made['id']} (the manifest)")
    three.remove(f"{made['id']}/manifest.json")
    assert three.copies() == [["local", "sftp"]]
    mended(f"copied to s3: {made['id']}")


@pytest.mark.slow
def test_c27_damage_in_the_first_store_goes_nowhere(three: Three) -> None:
    run(three.database, SMALL)
    program = three.program
    three.down()
    made = program.run("backup", "--json").json
    flip(program.store / made["id"] / made["parts"][-1]["name"])
    three.down(down=False)
    for _ in range(2):
        ran = program.run("copy")
        assert ran.code == 7 and "is damaged in the first store; it is not copied" in ran.err
        assert three.copies("--store", "s3") == []
        assert program.ok("verify", "--store", "sftp", "--json").json[0]["ok"], "the copy made before stays whole"
        program.run("verify")
    again = program.run("backup", "--json")
    assert (again.code, again.json["stores"]) == (7, ["local", "s3", "sftp"]), "what is whole is copied all the same"


@pytest.mark.slow
def test_one_table_comes_from_a_bucket_by_its_own_blocks(three: Three) -> None:
    """Counted on the wire, whatever HTTP adds: below 1.1 times its blocks with schema and manifest."""
    text = "string_agg(md5((g * 100 + n)::text), '') AS text FROM generate_series(1, {}) g, generate_series(1, 30) n"
    chosen, other = (f"SELECT g AS id, {text.format(rows)} GROUP BY g" for rows in (20_000, 100_000))
    run(three.database, f"CREATE TABLE wanted AS {chosen}", f"CREATE TABLE other AS {other}", SMALL, BESIDE)
    program = three.program
    made = program.ok("backup", "--json").json
    names = [one["name"] for one in made["evidence"]["tables"]]
    mine = {names.index("wanted")}
    blocks = [one for part in made["parts"] for one in part["blocks"] if {s["table"] for s in one["shares"]} & mine]
    schema = next(one["size"] for one in made["parts"] if one["name"] == "schema.dump")
    manifest = (program.store / made["id"] / "manifest.json").stat().st_size
    needed, before = sum(one["size"] for one in blocks) + schema + manifest, three.proxy.passed["down"]
    back = three.restore("latest", "--table", "wanted", "--store", "s3")
    passed = three.proxy.passed["down"] - before
    assert digests(back)["public.wanted"] == digests(three.database)["public.wanted"]
    assert needed < passed < 1.1 * needed
    whole = sum(one["size"] for one in made["parts"])
    assert passed < whole / 4


@pytest.mark.slow
@pytest.mark.parametrize("store", ["s3", "sftp"])
def test_everything_works_from_either_store(three: Three, store: str) -> None:
    run(three.database, SMALL, BESIDE)
    program = three.program
    made = program.ok("backup", "--json").json
    shutil.rmtree(program.store / made["id"])
    assert program.ok("verify", "latest", "--store", store, "--json").json["ok"]
    assert program.ok("prove", "latest", "--store", store, "--json").json["proven"]
    assert program.ok("list", "--store", store, "--json").json[0]["state"] == "proven"
    assert digests(three.restore("latest", "--store", store)) == digests(three.database)


@pytest.mark.slow
def test_what_is_pinned_is_pinned_everywhere(three: Three) -> None:
    run(three.database, SMALL)
    program = three.program
    made = program.ok("backup", "--json").json["id"]
    program.ok("keep", made)
    assert [program.ok("list", "--store", store, "--json").json[0]["kept"] for store in STORES] == [True] * 3
    program.ok("keep", made, "--release")
    assert [program.ok("list", "--store", store, "--json").json[0]["kept"] for store in STORES] == [False] * 3
    three.down()
    ran = program.run("keep", made)
    assert ran.code == 7 and "not so in the store s3" in ran.err
    three.down(down=False)
    program.ok("copy")
    assert program.ok("list", "--store", "s3", "--json").json[0]["kept"], "copy makes up for it"
