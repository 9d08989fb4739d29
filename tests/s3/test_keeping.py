"""How objects are kept in S3: listings, classes, archives, object lock, who else may read (FAULTS C9, C13 to C15)."""

import dataclasses
import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pgproof.actions.doctor import examine_lock, examine_store
from pgproof.errors import Frozen, Refused, Unreachable
from pgproof.postgres.server import Address
from pgproof.repository import Repository
from pgproof.retention import Policy
from pgproof.stores import marker
from pgproof.stores.names import MARKER
from pgproof.stores.s3.store import S3Store
from tests.buckets import ENVIRONMENT, Endpoint
from tests.conftest import Program
from tests.objects import get, names, put
from tests.s3.conftest import behind
from tests.s3_faults import Answer, Asked, S3Faults

NOW = datetime(2030, 1, 1, tzinfo=UTC)
MIB = 1 << 20
PART, MANIFEST, LOCK, KEPT = "kc/one/part", "kc/one/manifest.json", "kc/lock.json", "kc/kept.json"


@pytest.fixture
def opened(moto_server: Endpoint, prefix: str) -> Iterator[Callable[..., S3Store]]:
    made: list[S3Store] = []

    def make(endpoint: Endpoint = moto_server, **more: Any) -> S3Store:
        made.append(S3Store(endpoint.place(prefix, **more), lambda: NOW))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def locked(moto_server: Endpoint, prefix: str) -> str:
    """A bucket with object lock."""
    moto_server.client.create_bucket(Bucket=f"locked-{prefix}", ObjectLockEnabledForBucket=True)
    return f"locked-{prefix}"


def remarks(store: S3Store) -> dict[str, str]:
    return {one.code: one.level for one in store.remarks()}


def doctor(store: S3Store) -> dict[str, str]:
    return {one.code: one.level for one in examine_store(Repository(store), "offsite", offsite=True)}


# -- listings --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("server", ["moto", "rclone"])
def test_c9_a_listing_of_more_than_a_page_is_whole_and_has_nothing_of_others(
    request: pytest.FixtureRequest, server: str, prefix: str
) -> None:
    endpoint = request.getfixturevalue(f"{server}_server")
    client, store = endpoint.client, endpoint.store(prefix)
    ours = [f"kc/{number:04}/manifest.json" for number in range(1005)]
    for name in ours:
        client.put_object(Bucket="bucket", Key=f"{prefix}/{name}", Body=b"x")
    theirs = [f"{prefix}/kc/a b&c<d>+%41", f"{prefix}/kc/ü\U0001f600", f"{prefix}-other/kc/x"]
    theirs += [] if server == "rclone" else [f"{prefix}/kc/0001/", f"{prefix}/", f"{prefix}//x", f"{prefix}/kc/../x"]
    for key in theirs:
        client.put_object(Bucket="bucket", Key=key, Body=b"" if key.endswith("/") else b"x")
    assert names(store) == ours
    assert names(store, "kc/000") == ours[:10]
    for name in ours[:3]:
        store.delete(name, for_good=True)
    assert names(store) == ours[3:]
    for key in theirs:
        client.head_object(Bucket="bucket", Key=key)
    store.close()


def test_c9_what_is_no_listing_is_not_an_empty_store(faulty: S3Store, faults: S3Faults) -> None:
    faults.plan("ListObjects", Answer(200, body=b"<html><p>Please log in</p></html>"))
    with pytest.raises(Unreachable, match="does not answer as S3 does"):
        names(faulty)


def test_the_marker_is_kept_and_read_and_never_listed(direct: S3Store) -> None:
    made = marker.make(direct)
    assert marker.read(direct, "here") == made
    assert names(direct) == []


# -- classes, encryption, tags ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [3, 9 * MIB])
def test_parts_are_kept_as_asked_and_small_files_stay_readable_at_once(
    opened, moto_server: Endpoint, prefix: str, size: int
) -> None:
    store = opened(storage_class="GLACIER_IR", encryption="AES256", tags=(("team", "id access"), ("cost", "a=b+c")))
    for name in (PART, MANIFEST, LOCK, MARKER):
        put(store, name, bytes(size))
    for name in (PART, MANIFEST, LOCK, MARKER):
        where = {"Bucket": "bucket", "Key": f"{prefix}/{name}"}
        head = moto_server.client.head_object(**where)
        assert head.get("StorageClass", "STANDARD") == ("GLACIER_IR" if name == PART else "STANDARD")
        assert head["ServerSideEncryption"] == "AES256"
        tags = moto_server.client.get_object_tagging(**where)["TagSet"]
        assert {one["Key"]: one["Value"] for one in tags} == {"team": "id access", "cost": "a=b+c"}


@pytest.mark.parametrize("size", [3, 9 * MIB])
def test_a_key_of_ones_own_is_named(opened, moto_server: Endpoint, prefix: str, size: int) -> None:
    store = opened(encryption="aws:kms", kms_key="arn:aws:kms:us-east-1:1:key/2")
    put(store, PART, bytes(size))
    head = moto_server.client.head_object(Bucket="bucket", Key=f"{prefix}/{PART}")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "arn:aws:kms:us-east-1:1:key/2")


# -- archives ------------------------------------------------------------------------------------------


def test_what_lies_in_an_archive_is_asked_for_and_read_when_it_is_there(
    opened, moto_server: Endpoint, prefix: str
) -> None:
    _progress(moto_server, {"progression": "manual", "times": 1})
    store = opened(storage_class="GLACIER")
    parts = ["kc/one/a", "kc/one/b"]
    for name in (*parts, MANIFEST):
        put(store, name, b"abc")
    assert get(store, MANIFEST) == b"abc"
    with pytest.raises(Frozen, match="kc/one/a lies in an archive"):
        get(store, "kc/one/a")
    asked = store.thaw([*parts, MANIFEST])
    assert asked and asked.waiting == 2 and "3 to 5 hours" in asked.text
    waiting = store.thaw(parts)
    assert waiting and waiting.waiting == 2
    _progress(moto_server, {"progression": "immediate"})
    assert store.thaw(parts) is None
    assert [get(store, name) for name in parts] == [b"abc", b"abc"]


def _progress(endpoint: Endpoint, transition: dict[str, Any]) -> None:
    """How soon moto has what it is asked back for."""
    data = json.dumps({"model_name": "s3::keyrestore", "transition": transition}).encode()
    words = urllib.request.Request(f"{endpoint.url}/moto-api/state-manager/set-transition", data, method="POST")
    with urllib.request.urlopen(words, timeout=10) as answer:
        answer.read()


def test_what_was_asked_for_already_is_not_asked_for_twice(faulty: S3Store, faults: S3Faults) -> None:
    date = {"Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT", "Content-Length": "3"}
    head = {**date, "x-amz-storage-class": "DEEP_ARCHIVE"}
    faults.plan("HeadObject", Answer(200, headers=head), times=1)
    faults.plan("HeadObject", Answer(200, headers=head | {"x-amz-restore": 'ongoing-request="true"'}), times=1)
    ready = head | {"x-amz-restore": 'ongoing-request="false", expiry-date="Fri, 10 Jan 2025 00:00:00 GMT"'}
    faults.plan("HeadObject", Answer(200, headers=ready))
    faults.plan("RestoreObject", Answer(409, "RestoreAlreadyInProgress"))
    asked = faulty.thaw(["kc/one/a"])
    assert asked and "up to 12 hours" in asked.text
    assert faulty.thaw(["kc/one/a"]) == asked
    assert faulty.thaw(["kc/one/a"]) is None
    assert faults.count("RestoreObject") == 1


@pytest.mark.parametrize(
    ("tier", "thaw", "speed", "took"),
    [
        ("ARCHIVE_ACCESS", "Standard", "Standard", "3 to 5 hours"),
        ("ARCHIVE_ACCESS", "Expedited", "Expedited", "1 to 5 minutes"),
        ("DEEP_ARCHIVE_ACCESS", "Bulk", "Bulk", "up to 48 hours"),
        ("DEEP_ARCHIVE_ACCESS", "Expedited", "Standard", "up to 12 hours"),
    ],
)
def test_what_intelligent_tiering_archived_is_asked_for_without_days(
    opened, moto_server: Endpoint, faults: S3Faults, tier: str, thaw: str, speed: str, took: str
) -> None:
    """As S3 has it: the class does not tell, the tier stands in a header of its own while it lies there, and a request
    that says for how many days is refused. moto knows nothing of it.
    """
    store = opened(behind(moto_server, faults), storage_class="INTELLIGENT_TIERING", thaw=thaw)
    for name in ("kc/one/a", MANIFEST):
        put(store, name, b"abc")
    assert store.thaw(["kc/one/a", MANIFEST]) is None, "what is read often lies in no archive"
    assert faults.count("RestoreObject") == 0
    bucket = Archived(tier)
    faults.plan("HeadObject", bucket.head)
    faults.plan("GetObject", bucket.get)
    faults.plan("RestoreObject", bucket.restore)
    with pytest.raises(Frozen, match="kc/one/a lies in an archive"):
        get(store, "kc/one/a")
    for _ in range(2):
        asked = store.thaw(["kc/one/a", MANIFEST])
        assert asked and asked.waiting == 1
        assert asked.text == f"{speed} retrieval from {tier} takes {took}"
    assert bucket.asked == [speed]
    bucket.state = "back"
    assert store.thaw(["kc/one/a", MANIFEST]) is None
    assert get(store, "kc/one/a") == b"abc"


@dataclasses.dataclass
class Archived:
    """How S3 answers for a part that INTELLIGENT_TIERING moved into an archive."""

    tier: str
    state: str = "archived"
    asked: list[str] = dataclasses.field(default_factory=list)

    def head(self, asked: Asked) -> Answer | None:
        if not asked.path.endswith("/a"):
            return None
        said = {"Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT", "Content-Length": "3"}
        said["x-amz-storage-class"] = "INTELLIGENT_TIERING"
        if self.state != "back":
            said["x-amz-archive-status"] = self.tier
        if self.state == "asked":
            said["x-amz-restore"] = 'ongoing-request="true"'
        return Answer(200, headers=said)

    def get(self, asked: Asked) -> Answer | None:
        return Answer(403, "InvalidObjectState") if asked.path.endswith("/a") and self.state != "back" else None

    def restore(self, asked: Asked) -> Answer:
        if b"<Days>" in asked.body:
            return Answer(400, "InvalidArgument", "INTELLIGENT_TIERING objects are not subject to restore expiry")
        self.state = "asked"
        self.asked += re.findall(r"<Tier>(\w+)</Tier>", asked.body.decode())
        return Answer(202)


def test_of_archives_the_slowest_is_told(faulty: S3Store, faults: S3Faults) -> None:
    date = {"Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT", "Content-Length": "3"}
    for more in ({"x-amz-archive-status": "ARCHIVE_ACCESS"}, {"x-amz-archive-status": "DEEP_ARCHIVE_ACCESS"}):
        head = date | more | {"x-amz-storage-class": "INTELLIGENT_TIERING"}
        faults.plan("HeadObject", Answer(200, headers=head), times=1)
    faults.plan("RestoreObject", Answer(202))
    asked = faulty.thaw(["kc/one/a", "kc/one/b"])
    assert asked and asked.waiting == 2 and "DEEP_ARCHIVE_ACCESS takes up to 12 hours" in asked.text


# -- object lock -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["governance", "compliance"])
def test_c13_object_lock_holds_backups_and_not_what_comes_and_goes(
    opened, moto_server: Endpoint, prefix: str, locked: str, mode: str
) -> None:
    store = opened(bucket=locked, lock=mode, lock_for=timedelta(days=30))
    for name in (PART, MANIFEST, LOCK, KEPT):
        put(store, name, b"abc")
    for name in (PART, MANIFEST):
        head = moto_server.client.head_object(Bucket=locked, Key=f"{prefix}/{name}")
        found = (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"])
        assert found == (mode.upper(), NOW + timedelta(days=30))
    for name in (LOCK, KEPT):
        assert "ObjectLockMode" not in moto_server.client.head_object(Bucket=locked, Key=f"{prefix}/{name}")
    store.delete(LOCK, for_good=True)
    store.delete(PART)  # as prune does: hidden, and still there
    assert PART not in names(store)
    found = moto_server.client.list_object_versions(Bucket=locked, Prefix=f"{prefix}/{PART}")
    assert [one["Size"] for one in found["Versions"]] == [3]


def test_c13_object_lock_is_asked_for_large_objects_too(
    opened, faults: S3Faults, moto_server: Endpoint, locked: str
) -> None:
    """By the request that begins them, as S3 has it; moto forgets it there."""
    store = opened(behind(moto_server, faults), bucket=locked, lock="compliance", lock_for=timedelta(days=30))
    for name in (PART, MANIFEST, LOCK, KEPT):
        put(store, name, bytes(9 * MIB))
    begun = [one for one in faults.asked if one.what == "CreateMultipartUpload"]
    words = [one.headers.get("x-amz-object-lock-retain-until-date") for one in begun]
    assert words == ["2030-01-31T00:00:00Z"] * 2 + [None] * 2
    assert [one.headers.get("x-amz-object-lock-mode") for one in begun] == ["COMPLIANCE"] * 2 + [None] * 2


def test_c13_until_when_object_lock_holds_is_told(opened, faults: S3Faults, moto_server: Endpoint, locked: str) -> None:
    """By what the object itself says; of one that is not held, only that it is not allowed."""
    store = opened(behind(moto_server, faults), bucket=locked, lock="compliance", lock_for=timedelta(days=30))
    for name in (PART, KEPT):
        put(store, name, b"abc")
    faults.plan("DeleteObject", Answer(403, "AccessDenied"))
    with pytest.raises(Refused, match=f"object lock holds {PART} until 2030-01-31 00:00 UTC"):
        store.delete(PART)
    with pytest.raises(Refused, match=f"do not allow this on {KEPT}"):
        store.delete(KEPT)


@pytest.mark.parametrize("mode", ["governance", "compliance"])
def test_c14_doctor_really_tries_to_destroy_what_object_lock_holds(
    opened, moto_server: Endpoint, prefix: str, locked: str, mode: str
) -> None:
    """moto lets everybody pass by governance, as s3:BypassGovernanceRetention does, and nobody by compliance."""
    found = doctor(opened(bucket=locked, lock=mode, lock_for=timedelta(days=30)))
    held = [one for one in _versions(moto_server, locked, prefix) if "canary-" in one]
    if mode == "compliance":
        assert found["protected"] == "ok" and "destructible" not in found
        assert len(held) == 2
        until = moto_server.client.list_object_versions(Bucket=locked, Prefix=f"{prefix}/canary-")["Versions"][0]
        where = {"Bucket": locked, "Key": until["Key"], "VersionId": until["VersionId"]}
        head = moto_server.client.head_object(**where)
        assert head["ObjectLockRetainUntilDate"] == NOW + timedelta(hours=1), "no longer than the trial needs"
    else:
        assert found["destructible"] == "warning" and "protected" not in found
        assert held == []


def _versions(endpoint: Endpoint, bucket: str, prefix: str) -> list[str]:
    found = endpoint.client.list_object_versions(Bucket=bucket, Prefix=prefix)
    return [one["Key"] for one in found.get("Versions", ())]


def test_c14_versions_that_the_credentials_may_not_see_are_not_called_destroyed(
    opened, moto_server: Endpoint, faults: S3Faults, locked: str
) -> None:
    faults.plan("ListObjectVersions", Answer(403, "AccessDenied"))
    store = opened(behind(moto_server, faults), bucket=locked)
    put(store, PART)
    with pytest.raises(Refused, match="older versions of kc/one/part stay"):
        store.delete(PART, for_good=True)
    put(store, PART)
    store.delete(PART)
    assert names(store) == []


def test_for_good_destroys_every_version_of_this_name_and_of_no_other(
    opened, moto_server: Endpoint, prefix: str, locked: str
) -> None:
    store = opened(bucket=locked)
    for name in (PART, PART, f"{PART}s"):
        put(store, name, replace=True)
    store.delete(PART)
    put(store, PART)
    store.delete(PART, for_good=True)
    assert _versions(moto_server, locked, prefix) == [f"{prefix}/{PART}s"]
    found = moto_server.client.list_object_versions(Bucket=locked, Prefix=prefix)
    assert found.get("DeleteMarkers", []) == []


@pytest.mark.slow
def test_c14_object_lock_that_is_asked_for_and_not_there_is_critical(opened, locked: str, faults, moto_server) -> None:
    assert remarks(opened(lock="compliance", lock_for=timedelta(days=1)))["object-lock"] == "critical"
    assert remarks(opened(bucket=locked))["object-lock"] == "info"
    assert "object-lock" not in remarks(opened(bucket=locked, lock="compliance", lock_for=timedelta(days=1)))
    assert "object-lock" not in remarks(opened())
    faults.plan("GetLock", Answer(403, "AccessDenied"))
    hidden = opened(behind(moto_server, faults), bucket=locked, lock="compliance", lock_for=timedelta(days=1))
    assert remarks(hidden)["object-lock"] == "warning"


WITHIN, SEVEN = Policy(timedelta(days=30)), Policy(keep_last=7)
MIXED = Policy(timedelta(days=30), keep_monthly=12)
SHORT, PARTLY, LONG = ("lock-short", "warning"), ("lock-short", "info"), ("lock-long", "info")


@pytest.mark.parametrize(
    ("policy", "days", "expected"),
    [
        (WITHIN, 29, [SHORT]), (WITHIN, 30, []), (WITHIN, 31, []), (WITHIN, 32, [LONG]),
        (SEVEN, 6, [SHORT]), (SEVEN, 7, []), (SEVEN, 30, [LONG]),
        (MIXED, 7, [SHORT]), (MIXED, 30, [PARTLY]), (MIXED, 90, [PARTLY, LONG]), (MIXED, 400, [LONG]),
    ],
)  # fmt: skip
def test_c14_a_lock_that_ends_before_retention_or_after_it_is_told(
    policy: Policy, days: int, expected: list[tuple[str, str]]
) -> None:
    found = list(examine_lock("offsite", timedelta(days=days), policy, timedelta(days=1)))
    assert [(one.code, one.level) for one in found] == expected
    assert all(f"locked for {days} days" in one.text and one.source == "offsite" for one in found)


def test_c14_seldom_backups_are_kept_for_longer_than_often_ones() -> None:
    week = timedelta(days=7)
    assert list(examine_lock("offsite", 7 * week, SEVEN, week)) == []
    (short,) = examine_lock("offsite", timedelta(days=7), SEVEN, week)
    assert short.level == "warning" and 'lock_for to "49d"' in short.hint


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), set()),
        (('lock = "compliance"', 'lock_for = "5d"'), {SHORT}),
        (('lock = "compliance"', 'lock_for = "30d"'), set()),
        (('lock = "compliance"', 'lock_for = "30d"', "[stores.offsite.retention]", 'keep_within = "9d"'), {LONG}),
    ],
)
def test_c14_doctor_compares_the_lock_of_each_store_with_its_own_retention(
    program: Program, moto_server: Endpoint, locked: str, prefix: str, lines: tuple[str, ...], expected: set[object]
) -> None:
    endpoint = dataclasses.replace(moto_server, bucket=locked)
    program.env |= ENVIRONMENT
    program.configure(endpoint.table("offsite", prefix, *lines), db=Address("host=/nowhere user=x dbname=x"))
    ran = program.run("doctor", "--json")
    found = {(one["code"], one["level"]) for one in ran.json["findings"] if one["source"] == "offsite"}
    assert ("store", "ok") in found
    assert {one for one in found if str(one[0]).startswith("lock-")} == expected


def test_a_store_without_object_lock_is_told_to_be_destructible(opened) -> None:
    store = opened()
    assert doctor(store)["destructible"] == "warning"
    assert names(store) == []


# -- who else may read -----------------------------------------------------------------------------------


def test_c15_a_bucket_that_anybody_may_read_is_critical(opened, moto_server: Endpoint, prefix: str) -> None:
    store = opened()
    marker.make(store)
    assert "public" not in remarks(store)
    where = {"Bucket": "bucket", "Key": f"{prefix}/{MARKER}"}
    moto_server.client.put_object_acl(**where, ACL="public-read")
    assert remarks(store)["public"] == "critical"
    began = time.monotonic()
    assert doctor(store)["public"] == "critical"
    assert time.monotonic() - began < 10


def test_c12_doctor_says_of_a_store_that_may_not_be_read_that_it_is_write_only(
    faulty: S3Store, faults: S3Faults
) -> None:
    faults.plan("GetObject", Answer(403, "AccessDenied"))
    faults.plan("HeadObject", Answer(403))
    faults.plan("DeleteObject", Answer(403, "AccessDenied"))
    found = doctor(faulty)
    assert (found["write-only"], found["protected"]) == ("warning", "ok")
