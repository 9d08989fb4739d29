"""A place of its own for each test in the servers' bucket, and what can be put in front of them."""

import dataclasses
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pgproof.stores.s3.store import S3Store
from tests.buckets import Endpoint
from tests.conftest import disk
from tests.proxy import Proxy
from tests.s3_faults import S3Faults


def port(endpoint: Endpoint) -> int:
    found = urlsplit(endpoint.url).port
    assert found
    return found


def behind(endpoint: Endpoint, other: Proxy | S3Faults) -> Endpoint:
    """The same server by way of `other`."""
    return dataclasses.replace(endpoint, url=f"http://127.0.0.1:{other.port}")


@pytest.fixture
def prefix() -> str:
    return f"of-a-test-{secrets.token_hex(6)}"


@pytest.fixture
def faults(moto_server: Endpoint) -> Iterator[S3Faults]:
    with S3Faults(port(moto_server)) as running:
        yield running


@pytest.fixture
def faulty(moto_server: Endpoint, faults: S3Faults, prefix: str) -> Iterator[S3Store]:
    """A store in moto by way of `faults`."""
    store = behind(moto_server, faults).store(prefix)
    yield store
    store.close()


@pytest.fixture
def direct(moto_server: Endpoint, prefix: str) -> Iterator[S3Store]:
    """The same store, and nothing in between."""
    store = moto_server.store(prefix)
    yield store
    store.close()


@pytest.fixture
def proxy(moto_server: Endpoint) -> Iterator[Proxy]:
    with Proxy(port(moto_server)) as running:
        yield running


@pytest.fixture
def far(moto_server: Endpoint, proxy: Proxy, prefix: str) -> Iterator[S3Store]:
    """The same store, by way of `proxy`."""
    store = behind(moto_server, proxy).store(prefix)
    yield store
    store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path, 4) as folder:
        yield folder


def uploads(endpoint: Endpoint, prefix: str) -> list[str]:
    """Keys of the uploads that were begun and are neither finished nor aborted."""
    found = endpoint.client.list_multipart_uploads(Bucket=endpoint.bucket, Prefix=prefix)
    return [one["Key"] for one in found.get("Uploads", ())]
