"""Objects on their way into S3, by servers and networks that fail (FAULTS C1 to C5, C10, C16, C18)."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgproof.errors import AlreadyExists, Unreachable
from pgproof.stores.s3.store import S3Store
from pgproof.stores.s3.upload import part_size
from tests.buckets import KEY, SECRET, Endpoint
from tests.objects import get, names, put
from tests.proxy import Fault, Proxy
from tests.s3.conftest import behind, uploads
from tests.s3_faults import LOST, Answer, Asked, S3Faults

MIB = 1 << 20
LARGE = os.urandom(20 * MIB)  # three parts: 8, 8 and 4 MiB
BUSY = Answer(503, "SlowDown", "Please reduce your request rate.")
GREW = """
import os, sys
from pgproof.secret import Secret
from pgproof.stores.s3 import Keys, Place
from pgproof.stores.s3.store import S3Store
url, size, most_parts, key, secret = sys.argv[1:]
place = Place("bucket", "memory", url, "us-east-1", True, keys=Keys(Secret(key), Secret(secret)),
              most_parts=int(most_parts))
def peak():  # in KiB; getrusage's would be that of the process that started this one
    return int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
store, block = S3Store(place), os.urandom(1 << 20)
with store.create("first") as sink:
    sink.write(block)
before = peak()
with store.create("kc/large") as sink:
    for _ in range(int(size)):
        sink.write(block)
print(peak() - before)
"""


def child(script: str, *arguments: str) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)


# -- the size of parts -------------------------------------------------------------------------------


@pytest.mark.parametrize("most_parts", [10_000, 1_000, 100, 10, 3])
def test_c18_parts_grow_and_each_is_of_a_size_that_s3_takes(most_parts: int) -> None:
    sizes = [part_size(number, most_parts) for number in range(1, most_parts + 1)]
    assert sizes == sorted(sizes)
    assert sizes[0] >= 5 * MIB and sizes[-1] <= 5 << 30
    if most_parts == 10_000:
        assert sum(sizes) >= 5 << 40


def test_c18_an_object_of_more_parts_than_the_provider_takes_is_refused_and_leaves_nothing(
    moto_server: Endpoint, prefix: str
) -> None:
    store = moto_server.store(prefix, most_parts=3)
    with pytest.raises(Unreachable, match="larger than 3 parts"):
        with store.create("kc/one/part") as sink:
            for _ in range(60):
                sink.write(bytes(MIB))
    assert names(store) == [] and uploads(moto_server, prefix) == []
    store.close()


@pytest.mark.slow
def test_parts_of_all_sizes_also_those_that_wait_in_a_file_make_one_object(moto_server: Endpoint, prefix: str) -> None:
    store = moto_server.store(prefix, most_parts=10)  # 8, 16, 32 and 64 MiB, and a part of the fifth
    block = os.urandom(3 * MIB + 7)
    with store.create("kc/one/part") as sink:
        for _ in range(42):
            sink.write(block)
    parts = moto_server.client.head_object(Bucket="bucket", Key=f"{prefix}/kc/one/part", PartNumber=1)
    assert parts["PartsCount"] == 5
    assert get(store, "kc/one/part") == block * 42
    store.close()


def test_a_full_disk_below_a_part_that_waits_in_a_file_is_said(
    moto_server: Endpoint, prefix: str, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    store = moto_server.store(prefix, most_parts=3)
    with pytest.raises(Unreachable, match="No space left"):
        with store.create("kc/one/part") as sink:
            for _ in range(8 + 16 + 32 + 64):
                sink.write(bytes(MIB))
    held = [os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd") if _is_open(number)]
    assert not [path for path in held if path.startswith(str(small_disk))]
    assert uploads(moto_server, prefix) == []
    store.close()


def _is_open(number: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{number}")


@pytest.mark.slow
@pytest.mark.parametrize("most_parts", [10_000, 100])
def test_memory_does_not_grow_with_the_object(
    moto_server: Endpoint, faults: S3Faults, prefix: str, most_parts: int
) -> None:
    """What moto is given is thrown away by the server in front of it: only the sender is looked at."""
    sizes = {"UploadPart": Answer(200, headers={"ETag": '"1"'}), "CompleteMultipartUpload": Answer(200, body=DONE)}
    for what, answer in sizes.items():
        faults.plan(what, answer)
    faults.plan("HeadObject", head_of(1500 * MIB), skip=3)
    process = child(
        GREW.replace("memory", prefix), behind(moto_server, faults).url, "1500", str(most_parts), KEY, SECRET
    )
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    assert faults.count("UploadPart") > 20
    print(f"grew by {int(out) >> 10} MiB")
    assert int(out) < 150 * 1024, f"{int(out) / 1024} MiB"


DONE = b"<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>"


def head_of(size: int) -> Answer:
    return Answer(200, headers={"Content-Length": str(size), "Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT"})


# -- bursts, and answers that are none ----------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        BUSY,
        Answer(500, "InternalError"),
        Answer(502, body=b"<html>Bad Gateway</html>"),
        Answer(429, "QpsLimitExceeded"),
        Answer(400, "RequestTimeout", "Your socket connection to the server was not read from or written to."),
    ],
    ids=lambda answer: str(answer.status),
)
@pytest.mark.parametrize("times", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_c1_a_burst_of_refusals_is_waited_out(faulty: S3Store, faults: S3Faults, answer: Answer, times: int) -> None:
    for what in ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "GetObject"):
        faults.plan(what, answer, times=times)
    faults.plan("ListObjects", answer, times=times)
    put(faulty, "kc/small", b"abc")
    put(faulty, "kc/large", LARGE)
    assert get(faulty, "kc/small") == b"abc" and get(faulty, "kc/large") == LARGE
    assert names(faulty) == ["kc/large", "kc/small"]


@pytest.mark.slow
def test_c1_a_server_that_stays_busy_ends_it_in_time_and_nothing_is_left(
    faulty: S3Store, faults: S3Faults, moto_server: Endpoint, prefix: str
) -> None:
    faults.plan("UploadPart", BUSY)
    began = time.monotonic()
    with pytest.raises(Unreachable, match="SlowDown Please reduce"):
        put(faulty, "kc/large", LARGE)
    assert time.monotonic() - began < 70
    assert names(faulty) == [] and uploads(moto_server, prefix) == []


def test_c2_an_error_inside_of_a_200_is_none_of_success(
    faulty: S3Store, faults: S3Faults, moto_server: Endpoint, prefix: str
) -> None:
    faults.plan("CompleteMultipartUpload", Answer(200, "InternalError", "We encountered an internal error."), times=2)
    put(faulty, "kc/large", LARGE)
    assert get(faulty, "kc/large") == LARGE
    faults.plan("CompleteMultipartUpload", Answer(200, "InvalidPart", "One or more parts could not be found."))
    with pytest.raises(Unreachable, match="InvalidPart"):
        put(faulty, "kc/other", LARGE)
    assert names(faulty) == ["kc/large"] and uploads(moto_server, prefix) == []


# -- connections that break -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "close"])
def test_c3_a_connection_that_breaks_in_every_part_makes_the_same_object(
    far: S3Store, proxy: Proxy, direct: S3Store, how: str
) -> None:
    proxy.plan(Fault(how, 5 * MIB, "up", times=4))
    put(far, "kc/large", LARGE)
    assert proxy.fault is None, "all four happened"
    assert get(direct, "kc/large") == LARGE
    assert names(direct) == ["kc/large"]


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("what", ["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
def test_c3_an_answer_that_is_lost_is_no_failure(faulty: S3Store, faults: S3Faults, what: str, replace: bool) -> None:
    data = b"small" if what == "PutObject" else LARGE
    faults.plan(what, LOST, times=1)
    put(faulty, "kc/one", data, replace=replace)
    assert faults.count(what) > 1
    assert get(faulty, "kc/one") == data
    assert names(faulty) == ["kc/one"]


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("code", ["PreconditionFailed", "ConditionalRequestConflict"])
def test_c3_what_another_wrote_meanwhile_is_not_taken_for_ours(
    faulty: S3Store, faults: S3Faults, direct: S3Store, moto_server: Endpoint, prefix: str, data: bytes, code: str
) -> None:
    def meanwhile(_: Asked) -> Answer:
        put(direct, "kc/one", b"of another", replace=True)
        return Answer(412 if code == "PreconditionFailed" else 409, code)

    for what in ("PutObject", "CompleteMultipartUpload"):
        faults.plan(what, meanwhile, times=1)
    with pytest.raises(AlreadyExists):
        put(faulty, "kc/one", data)
    assert get(direct, "kc/one") == b"of another"
    assert uploads(moto_server, prefix) == []


def test_a_commit_whose_upload_was_swept_by_another_fails_and_says_so(faulty: S3Store, faults: S3Faults) -> None:
    faults.plan("CompleteMultipartUpload", Answer(404, "NoSuchUpload", "The specified upload does not exist."))
    with pytest.raises(Unreachable, match="NoSuchUpload"):
        put(faulty, "kc/large", LARGE)
    assert names(faulty) == []


# -- what is left unfinished ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 20])
def test_an_abort_leaves_no_upload_and_no_object(
    direct: S3Store, moto_server: Endpoint, prefix: str, size: int
) -> None:
    with pytest.raises(ZeroDivisionError), direct.create("kc/large") as sink:
        for _ in range(size):
            sink.write(bytes(MIB))
        assert len(uploads(moto_server, prefix)) == (size > 8)
        raise ZeroDivisionError
    assert names(direct) == [] and uploads(moto_server, prefix) == []


def test_c4_an_upload_of_a_killed_process_is_counted_and_swept(
    direct: S3Store, moto_server: Endpoint, prefix: str
) -> None:
    script = GREW.replace("memory", prefix).replace("        sink.write(block)\nprint", "        sink.write(block)\n"
        "    print('here', flush=True); sys.stdin.read()\nprint")  # fmt: skip
    argv = [sys.executable, "-c", script, moto_server.url, "20", "10000", KEY, SECRET]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    assert process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()
    assert uploads(moto_server, prefix) == [f"{prefix}/kc/large"]
    assert [one.text for one in direct.remarks() if one.code == "dangling-uploads"][0].startswith("1 uploads")
    assert direct.sweep(datetime.now(UTC) + timedelta(hours=1)) == ["kc/large"]
    assert uploads(moto_server, prefix) == []
    assert names(direct) == ["first"]


def test_c4_an_upload_that_may_still_be_under_way_is_left_alone(faulty: S3Store, faults: S3Faults, prefix: str) -> None:
    now = datetime(2025, 6, 1, 12, tzinfo=UTC)
    ages = {"kc/young": "2025-06-01T11:00:00Z", "kc/old": "2025-05-30T11:00:00Z"}  # moto's are all of 2010
    each = "<Upload><Key>{}/{}</Key><UploadId>1</UploadId><Initiated>{}</Initiated></Upload>"
    found = "".join(each.format(prefix, key, began) for key, began in ages.items())
    faults.plan("ListMultipartUploads", Answer(200, body=f"<R><IsTruncated>false</IsTruncated>{found}</R>".encode()))
    faults.plan("AbortMultipartUpload", Answer(204))
    assert faulty.sweep(now - timedelta(days=1)) == ["kc/old"]
    assert faults.count("AbortMultipartUpload") == 1


def test_c4_an_upload_that_got_a_part_since_is_left_alone(direct: S3Store, moto_server: Endpoint, prefix: str) -> None:
    """A large backup on a slow line takes more than a day. moto says of every upload that it was begun in 2010."""
    where = {"Bucket": "bucket", "Key": f"{prefix}/kc/slow"}
    begun = moto_server.client.create_multipart_upload(**where)["UploadId"]
    moto_server.client.upload_part(**where, UploadId=begun, PartNumber=1, Body=b"x")
    now = datetime.now(UTC)
    assert direct.sweep(now - timedelta(days=1)) == []
    assert direct.sweep(now + timedelta(days=1)) == ["kc/slow"]


def test_c4_an_upload_that_is_listed_still_and_has_gone_stops_no_sweep(
    faulty: S3Store, faults: S3Faults, prefix: str
) -> None:
    found = (
        f"<Upload><Key>{prefix}/kc/old</Key><UploadId>1</UploadId><Initiated>2025-05-30T11:00:00Z</Initiated></Upload>"
    )
    faults.plan("ListMultipartUploads", Answer(200, body=f"<R><IsTruncated>false</IsTruncated>{found}</R>".encode()))
    faults.plan("AbortMultipartUpload", Answer(404, "NoSuchUpload"))
    assert faulty.sweep(datetime(2025, 6, 1, 12, tzinfo=UTC)) == []


def test_c4_uploads_of_others_in_the_bucket_are_neither_counted_nor_swept(moto_server: Endpoint, prefix: str) -> None:
    keys = [f"{prefix}/a folder/ü", f"{prefix}-other/kc/one"]
    for key in keys:
        moto_server.client.create_multipart_upload(Bucket="bucket", Key=key)
    store = moto_server.store(prefix)
    assert "dangling-uploads" not in [one.code for one in store.remarks()]
    assert store.sweep(datetime.now(UTC) + timedelta(hours=1)) == []
    assert sorted(uploads(moto_server, prefix)) == sorted(keys)
    store.close()


@pytest.mark.slow
def test_ctrl_c_is_answered_in_seconds_while_the_endpoint_hangs(far: S3Store, proxy: Proxy) -> None:
    sink = far.create("kc/large")
    sink.write(bytes(9 * MIB))
    proxy.plan(Fault("stall", 0, "up", times=1000))
    began = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 1)
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), sink:
            for _ in range(100):
                sink.write(bytes(MIB))
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert 1 <= time.monotonic() - began < 1 + 6
    proxy.reset_all()


# -- what the server keeps -------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["PutObject", "UploadPart"])
def test_c5_a_server_that_keeps_fewer_bytes_is_found_out_and_nothing_is_left(
    faulty: S3Store, faults: S3Faults, direct: S3Store, moto_server: Endpoint, prefix: str, what: str
) -> None:
    faults.plan(what, lambda asked: asked.body[:-1], times=1, skip=2 if what == "UploadPart" else 0)
    with pytest.raises(Unreachable, match=r"bytes were sent, the store kept \d"):
        put(faulty, "kc/one", b"abc" if what == "PutObject" else LARGE)
    assert names(direct) == [] and uploads(moto_server, prefix) == []


@pytest.mark.parametrize("data", [b"abc", LARGE], ids=["small", "large"])
def test_c5_a_server_that_keeps_nothing_is_found_out(faulty: S3Store, faults: S3Faults, data: bytes) -> None:
    faults.plan("PutObject", Answer(200, headers={"ETag": '"1"'}))
    faults.plan("CompleteMultipartUpload", Answer(200, body=DONE))
    with pytest.raises(Unreachable, match="not in the store after it was written"):
        put(faulty, "kc/one", data)


def test_c5_every_body_is_signed_with_its_hash(faulty: S3Store, faults: S3Faults) -> None:
    put(faulty, "kc/small", b"abc")
    put(faulty, "kc/large", LARGE)
    sent = [one for one in faults.asked if one.what in ("PutObject", "UploadPart")]
    assert len(sent) == 4
    assert all(len(one.headers["x-amz-content-sha256"]) == 64 for one in sent)
    assert all("x-amz-content-sha256" in one.headers["authorization"] for one in sent)


# -- credentials and providers ------------------------------------------------------------------------------


def test_c10_credentials_that_expire_in_mid_upload(
    faulty: S3Store, faults: S3Faults, moto_server: Endpoint, prefix: str
) -> None:
    faults.plan("UploadPart", Answer(400, "ExpiredToken", f"The provided token {SECRET} has expired."), skip=1)
    with pytest.raises(Unreachable, match="have expired") as caught:
        put(faulty, "kc/large", LARGE)
    assert SECRET not in f"{caught.value.message} {caught.value.hint}" and "renew" in caught.value.hint
    assert names(faulty) == [] and uploads(moto_server, prefix) == []


def test_c16_a_provider_that_refuses_the_headers_of_newer_clients_is_served(faulty: S3Store, faults: S3Faults) -> None:
    def strict(asked: Asked) -> Answer | None:
        odd = [name for name in asked.headers if "checksum" in name or name in ("x-amz-trailer", "content-md5")]
        odd += [] if "aws-chunked" not in asked.headers.get("content-encoding", "") else ["aws-chunked"]
        return Answer(501, "NotImplemented", f"{odd} are not implemented") if odd else None

    faults.plan("", strict)
    put(faulty, "kc/small", b"abc")
    put(faulty, "kc/large", LARGE)
    assert get(faulty, "kc/large") == LARGE
    assert names(faulty) == ["kc/large", "kc/small"]
    faulty.delete("kc/small")


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
def test_c16_a_provider_without_conditions_is_asked_without(faulty: S3Store, faults: S3Faults, data: bytes) -> None:
    unknown = Answer(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
    faults.plan("", lambda asked: unknown if "if-none-match" in asked.headers else None)
    put(faulty, "kc/one", data)
    assert get(faulty, "kc/one") == data
    with pytest.raises(AlreadyExists):
        put(faulty, "kc/one", data)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["lock", "bucket"])
def test_a_bucket_with_object_lock_is_given_the_md5_that_s3_demands_there(
    faults: S3Faults, moto_server: Endpoint, prefix: str, how: str
) -> None:
    """AWS's own words; moto does not demand it."""
    demand = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Part requests with Object Lock parameters"

    def strict(asked: Asked) -> Answer | None:
        return None if "content-md5" in asked.headers else Answer(400, "InvalidRequest", demand)

    for what in ("PutObject", "UploadPart"):
        faults.plan(what, strict)
    lock = {"lock": "governance", "lock_for": timedelta(days=1)} if how == "lock" else {}
    bucket = f"locked-{prefix}"
    moto_server.client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    store = behind(moto_server, faults).store(prefix, bucket=bucket, most_parts=3, **lock)
    block = os.urandom(MIB)
    put(store, "kc/small", b"abc")
    with store.create("kc/large") as sink:
        for _ in range(8 + 16 + 32):
            sink.write(block)
    assert get(store, "kc/small") == b"abc" and get(store, "kc/large") == block * 56
    refused = faults.count("PutObject") + faults.count("UploadPart") - 4
    assert refused == 0 if how == "lock" else refused > 0
    store.close()
