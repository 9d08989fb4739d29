"""Which store this is, what else lies there, and what is kept where."""

import json
import os
from pathlib import Path

import pytest

from tests.conftest import Program
from tests.kit import run
from tests.sshd import make_key, shared
from tests.test_offsite import SMALL, Three, three
from tests.waiting import until

__all__ = ["three"]  # the fixture

SHORT = ("[stores.s3.retention]", "keep_last = 1", 'keep_within = "0d"')


def add(program: Program, *lines: str) -> None:
    path = program.folder / "pgproof.toml"
    path.write_text("\n".join([path.read_text(), *lines, ""]))


@pytest.mark.slow
def test_f9_each_store_keeps_by_its_own_policy_and_one_that_is_down_is_made_up_for(three: Three) -> None:
    run(three.database, SMALL)
    program = three.program
    add(program, *SHORT)
    made = [program.ok("backup", "--json").json["id"] for _ in range(3)]
    program.ok("prove", "--store", "s3")
    assert program.ok("list", "--json").json[-1]["state"] == "proven", "of the same bytes, so here too"
    three.down()
    ran = program.run("prune", "--apply")
    assert ran.code == 6 and "s3 is not pruned" in ran.err
    three.down(down=False)
    assert three.copies("--store", "s3") == [["s3", "local", "sftp"]] * 3
    ran = program.ok("prune", "--apply")
    assert ran.out.count("  deleted: ") == 2
    assert three.copies() == [["local", "sftp"]] * 2 + [["local", "s3", "sftp"]]
    made.append(program.ok("backup", "--json").json["id"])
    assert "s3 has 2 backups of db; 2 are left out, which it would not keep." in program.ok("copy").out
    assert [one["id"] for one in program.ok("list", "--store", "s3", "--json").json] == made[2:]


@pytest.mark.slow
def test_c29_what_others_put_there_stays(three: Three) -> None:
    run(three.database, SMALL)
    program, client = three.program, three.endpoint.client
    add(program, *SHORT)
    names = ["README.md", "db/notes.txt", "dumps/2026/all.sql", "db/20200101T000000Z-logical.old/db.sql", ".DS_Store"]
    for folder in (three.folder, three.endpoint.folder / "bucket" / three.prefix):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("mine")
            os.utime(folder / name, (0, 0))  # far beyond any time of grace
    listing = {"Bucket": "bucket", "Prefix": f"{three.prefix}/{names[0]}"}
    until(lambda: [one["LastModified"].year for one in client.list_objects_v2(**listing).get("Contents", ())] == [1970])
    client.put_object(Bucket="bucket", Key=f"{three.prefix}-of-others/db/x", Body=b"mine")
    made = [program.ok("backup", "--json").json["id"] for _ in range(2)]
    for words in ("prove --store s3", "copy", "prune --apply", "doctor", "verify --store sftp"):
        program.ok(*words.split())
    assert [one["id"] for one in program.ok("list", "--store", "s3", "--json").json] == made[1:]
    for name in names:
        assert client.get_object(**three.key(name))["Body"].read() == b"mine"
        assert (three.folder / name).read_text() == "mine"
    assert client.get_object(Bucket="bucket", Key=f"{three.prefix}-of-others/db/x")["Body"].read() == b"mine"


@pytest.mark.slow
def test_c11_another_store_in_a_known_place_is_refused_until_it_is_accepted(three: Three) -> None:
    run(three.database, SMALL)
    program, client = three.program, three.endpoint.client
    program.ok("backup")
    marker = json.dumps({"store": "0" * 32, "about": "of another"})
    client.put_object(**three.key(".pgproof-store"), Body=marker.encode())
    (three.folder / ".pgproof-store").write_text(marker)
    ran = program.run("backup", "--json")
    assert (ran.code, ran.json["stores"]) == (7, ["local"]) and ran.err.count("is another store") == 2
    for store in ("s3", "sftp"):
        refused = program.run("list", "--store", store)
        assert refused.code == 4 and "it is not the store that was used before" in refused.err
        place = refused.err.partition("pgproof init --new-store ")[2].strip().strip("'")
        program.ok("init", "--new-store", place)
        program.ok("list", "--store", store)
    assert "copied to s3" in (out := program.ok("copy").out) and "copied to sftp" in out
    unknown = program.run("init", "--new-store", "s3://elsewhere")
    assert unknown.code == 2 and place in unknown.err


@pytest.mark.slow
def test_c28_two_stores_that_are_one_are_refused_and_neighbours_told(three: Three) -> None:
    run(three.database, SMALL)
    program, sshd = three.program, shared()
    same = sshd.table("again", program.store)  # by SSH into the folder of the store `local`
    program.configure(same + f'[stores.beside]\nurl = "{program.folder}/beside"\n', db=three.database)
    ran = program.run("backup", "--json")
    assert (ran.code, ran.json["stores"]) == (7, ["local", "beside"])
    assert "db is not copied to again: it is the first store's own place, under another name" in ran.err
    assert program.run("copy", "--store", "again").code == 4
    beside = {(one["code"], one["source"]) for one in program.ok("doctor", "--json").json["findings"]}
    assert ("same-disk", "beside") in beside
    text = "".join(three.endpoint.table(name, f"{three.prefix}/{name}") for name in ("one", "two"))
    program.configure(text, db=three.database)
    findings = program.ok("doctor").out
    assert "two: it lies in the bucket of one" in findings and "a copy counts once it lies elsewhere" in findings
    program.configure("".join(three.endpoint.table(name, three.prefix) for name in ("one", "two")), db=three.database)
    twice = program.run("list")
    assert twice.code == 2 and "stores.two is the same place as stores.one" in twice.err


@pytest.mark.slow
def test_c20_a_server_whose_key_is_not_known_is_refused_with_both_fingerprints(three: Three, tmp_path: Path) -> None:
    run(three.database, SMALL)
    program, sshd = three.program, shared()
    make_key(tmp_path / "other")
    other = (tmp_path / "other.pub").read_text()
    for line, words in (("", ("is not known",)), (f"[127.0.0.1]:{sshd.port} {other}", ("SHA256:",))):
        (tmp_path / "hosts").write_text(line)
        program.configure(sshd.table("sftp", three.folder, f'known_hosts = "{tmp_path}/hosts"'), db=three.database)
        ran = program.run("backup", "--json")
        print(ran.err)
        assert (ran.code, ran.json["stores"]) == (7, ["local"]) and sshd.host_key_fingerprint in ran.err
        copied = program.run("copy")
        assert copied.code == 4 and not three.folder.exists()
        assert all(word in copied.err for word in words)
    program.configure(sshd.table("sftp", three.folder, f'host_key = "{sshd.host_key_fingerprint}"'), db=three.database)
    assert program.ok("copy").out.count("copied to sftp") == 2
