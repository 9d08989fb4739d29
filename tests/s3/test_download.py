"""Objects on their way out of S3, by networks that break and servers that mix things up (FAULTS C3)."""

import hashlib
import os
from collections.abc import Iterator

import pytest

from pgproof.errors import NotFound, PgproofError, Unreachable
from pgproof.stores.s3.store import S3Store
from tests.buckets import Endpoint
from tests.objects import get, put
from tests.proxy import Fault, Proxy
from tests.s3.conftest import behind, port
from tests.s3_faults import Answer, Asked, S3Faults

MIB = 1 << 20
DATA = os.urandom(6 * MIB + 13)


@pytest.fixture(params=["moto", "rclone"])
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture
def between(endpoint: Endpoint) -> Iterator[Proxy]:
    with Proxy(port(endpoint)) as running:
        yield running


@pytest.fixture
def near(endpoint: Endpoint, prefix: str) -> Iterator[S3Store]:
    store = endpoint.store(prefix)
    yield store
    store.close()


@pytest.fixture
def away(endpoint: Endpoint, between: Proxy, prefix: str) -> Iterator[S3Store]:
    store = behind(endpoint, between).store(prefix)
    yield store
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("size", [-1, 4 * MIB, 10_000])
def test_c3_a_download_that_is_cut_several_times_goes_on_where_it_was(
    near: S3Store, away: S3Store, between: Proxy, how: str, size: int
) -> None:
    data = DATA * 2
    put(near, "kc/one", data)
    between.plan(Fault(how, 1_300_000, "down", times=7))  # more often than it is tried without getting on
    found = b""
    with away.open("kc/one") as stream:
        while piece := stream.read(size):
            found += piece
    assert between.fault is None, "all seven happened"
    assert hashlib.sha256(found).digest() == hashlib.sha256(data).digest()


@pytest.mark.slow
def test_c3_a_part_of_an_object_that_is_cut_goes_on_where_it_was(near: S3Store, away: S3Store, between: Proxy) -> None:
    put(near, "kc/one", DATA)
    between.plan(Fault("reset", 700_000, "down", times=3))
    with away.open("kc/one", 1000, 4 * MIB) as stream:
        assert stream.read() == DATA[1000 : 1000 + 4 * MIB]
        assert stream.read() == b""
    assert between.fault is None


@pytest.mark.slow
def test_a_store_that_never_comes_back_ends_it_with_a_sentence(near: S3Store, away: S3Store, between: Proxy) -> None:
    put(near, "kc/one", DATA)
    between.plan(Fault("reset", 1000, "down", times=1000))
    with pytest.raises(Unreachable):
        with away.open("kc/one") as stream:
            stream.read()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["replaced", "deleted"])
def test_an_object_that_changes_while_it_is_read_is_an_error_and_never_a_mixture(
    near: S3Store, away: S3Store, between: Proxy, how: str
) -> None:
    data = DATA * 8  # more than what is on its way may hold
    put(near, "kc/one", data)
    with away.open("kc/one") as stream:
        found = stream.read(MIB)
        if how == "replaced":
            put(near, "kc/one", os.urandom(len(data)), replace=True)
        else:
            near.delete("kc/one")
        between.reset_all()
        with pytest.raises(Unreachable, match=f"{how} while it was read"):
            while piece := stream.read(MIB):
                found += piece
    assert data.startswith(found)


def test_a_server_that_passes_over_ranges_is_refused(faulty: S3Store, faults: S3Faults, direct: S3Store) -> None:
    put(direct, "kc/one", b"0123456789")

    def all_of_it(asked: Asked) -> Answer | None:
        return Answer(200, body=b"0123456789", headers={"ETag": '"1"'}) if "range" in asked.headers else None

    faults.plan("GetObject", all_of_it)
    with pytest.raises(Unreachable, match="sends all of an object"):
        faulty.open("kc/one", 3, 4)
    assert get(faulty, "kc/one") == b"0123456789"


@pytest.mark.slow
def test_a_part_of_a_large_object_costs_what_it_has(near: S3Store, away: S3Store, between: Proxy) -> None:
    with near.create("kc/large") as sink:
        for number in range(100):
            sink.write(bytes([number]) * MIB)
    for start, length in ((50 * MIB, MIB), (0, MIB), (99 * MIB, None)):
        before = between.passed["down"]
        with away.open("kc/large", start, length) as stream:
            assert stream.read() == bytes([start // MIB]) * MIB
        assert MIB < between.passed["down"] - before < 1.3 * MIB
    between.passed["down"] = 0
    with away.open("kc/large") as stream:  # all is asked for, and only the begin is read
        assert stream.read(MIB) == bytes(MIB)
    assert between.passed["down"] < 40 * MIB, "what the kernel and the proxy hold, and not all"


def test_what_is_not_there(near: S3Store) -> None:
    for start, length in ((0, None), (5, None), (0, 0), (5, 10)):
        with pytest.raises(NotFound, match="kc/none is not in the store"):
            near.open("kc/none", start, length)
    put(near, "kc/empty", b"")
    for start, length in ((0, None), (0, 0), (0, 10), (5, None), (5, 10)):
        with near.open("kc/empty", start, length) as stream:
            assert stream.read() == b""


@pytest.mark.slow
@pytest.mark.parametrize("status", [200, 202, 301, 302, 404, 503])
@pytest.mark.parametrize("page", [b"<html><p>Please log in<br></html>", b"<html><p>Please log in</p></html>", b""])
def test_a_web_page_in_place_of_s3_is_never_taken_for_an_answer(
    faulty: S3Store, faults: S3Faults, status: int, page: bytes
) -> None:
    faults.plan("", Answer(status, body=page))
    for ask in (faulty.stat, lambda name: [*faulty.list(name)], lambda name: put(faulty, name)):
        with pytest.raises(PgproofError) as caught:
            ask("kc/one")
        assert caught.value.hint
