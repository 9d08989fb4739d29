"""What a store in S3 says when it may not, cannot or will not (FAULTS C10 to C13, C17)."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from pgproof.errors import ConfigError, PgproofError, Refused, Unreachable
from pgproof.secret import Secret
from pgproof.stores.s3 import Keys, Place
from pgproof.stores.s3.store import S3Store
from tests.buckets import KEY, SECRET, Endpoint, free_port
from tests.objects import get, names, put
from tests.proxy import Proxy
from tests.s3.conftest import uploads
from tests.s3_faults import Answer, S3Faults

DENIED = Answer(403, "AccessDenied", "Access Denied")
SHOWN: dict[str, tuple[Answer, type[PgproofError], str]] = {
    "c10-expired": (Answer(400, "ExpiredToken"), Unreachable, "the credentials have expired"),
    "c10-revoked": (Answer(403, "InvalidAccessKeyId"), Unreachable, "the credentials are not accepted"),
    "c12-denied": (DENIED, Refused, "do not allow this on kc/one"),
    "c17-clock": (Answer(403, "RequestTimeTooSkewed"), Unreachable, "this machine's clock differs from the store's"),
    "full": (Answer(507, "XMinioStorageFull"), Unreachable, "the store is full"),
    "region": (Answer(400, "AuthorizationHeaderMalformed"), ConfigError, "the bucket is in another region"),
    "unknown": (Answer(418, "Teapot", f"I am\na {'long ' * 200}story"), Unreachable, "Teapot I am a long"),
}


@pytest.fixture
def opened() -> Iterator[Callable[[Place], S3Store]]:
    made: list[S3Store] = []

    def make(place: Place) -> S3Store:
        made.append(S3Store(place))
        return made[-1]

    yield make
    for store in made:
        store.close()


def said(error: PgproofError) -> str:
    return f"{error.message} {error.hint}"


@pytest.mark.parametrize("case", sorted(SHOWN))
def test_what_the_server_refuses_is_one_sentence_without_a_secret(faulty: S3Store, faults: S3Faults, case: str) -> None:
    answer, kind, text = SHOWN[case]
    for what in ("PutObject", "GetObject", "ListObjects"):
        faults.plan(what, answer)
    for ask in (lambda: put(faulty, "kc/one"), lambda: get(faulty, "kc/one"), lambda: names(faulty, "kc/one")):
        with pytest.raises(kind) as caught:
            ask()
        assert type(caught.value) is kind
        assert text in caught.value.message and caught.value.hint
        assert "\n" not in caught.value.message and len(caught.value.message) < 500
        assert SECRET not in said(caught.value) and KEY not in said(caught.value)


def test_c10_wrong_keys_are_one_sentence_and_are_not_shown(rclone_server: Endpoint, opened) -> None:
    wrong = Keys(Secret(KEY), Secret("another-secret-canary"))
    store = opened(rclone_server.place("kc", keys=wrong))
    for ask in (lambda: get(store, "one"), lambda: names(store)):
        with pytest.raises(PgproofError, match="the credentials are not accepted") as caught:
            ask()
        assert isinstance(caught.value, Unreachable)
        assert "canary" not in said(caught.value)


def test_c11_a_bucket_that_is_not_there_is_a_mistake_in_the_configuration(moto_server: Endpoint, opened) -> None:
    store = opened(moto_server.place("kc", bucket="no-such-bucket"))
    for ask in (lambda: get(store, "one"), lambda: names(store), lambda: put(store, "one")):
        with pytest.raises(ConfigError, match="there is no such bucket"):
            ask()


@pytest.mark.parametrize("large", [False, True])
def test_c12_who_may_write_and_list_and_not_read_can_write(
    faulty: S3Store, faults: S3Faults, direct: S3Store, large: bool
) -> None:
    faults.plan("GetObject", DENIED)
    faults.plan("HeadObject", Answer(403))
    data = bytes(20 << 20) if large else b"abc"
    put(faulty, "kc/one", data)
    assert get(direct, "kc/one") == data
    with pytest.raises(Refused, match="do not allow this on kc/one"):
        get(faulty, "kc/one")
    faults.plan("UploadPart" if large else "PutObject", lambda asked: asked.body[:-1], times=1)
    with pytest.raises(Unreachable, match="the store kept"):
        put(faulty, "kc/two", data)
    with pytest.raises(PgproofError, match="in the store already"):
        put(faulty, "kc/one", data)


@pytest.mark.parametrize("what", ["DeleteObject", "AbortMultipartUpload"])
def test_c13_what_may_not_be_deleted_stays_and_is_not_tried_for_ever(
    faulty: S3Store, faults: S3Faults, moto_server: Endpoint, prefix: str, what: str
) -> None:
    faults.plan(what, DENIED)
    put(faulty, "kc/one")
    if what == "DeleteObject":
        with pytest.raises(Refused, match="do not allow this on kc/one"):
            faulty.delete("kc/one")
    else:
        with pytest.raises(ZeroDivisionError), faulty.create("kc/two") as sink:
            sink.write(bytes(9 << 20))
            raise ZeroDivisionError
        assert len(uploads(moto_server, prefix)) == 1
    assert faults.count(what) == 1
    assert names(faulty) == ["kc/one"]


def test_an_endpoint_that_is_down_is_said_while_somebody_waits(moto_server: Endpoint, opened) -> None:
    store = opened(replace(moto_server.place("kc"), endpoint=f"http://127.0.0.1:{free_port()}"))
    for ask in (lambda: names(store), lambda: get(store, "one"), lambda: put(store, "one")):
        began = time.monotonic()
        with pytest.raises(Unreachable, match="does not answer"):
            ask()
        assert time.monotonic() - began < 10


@pytest.mark.slow
def test_an_endpoint_that_drops_what_is_sent_to_it_is_said_while_somebody_waits(moto_server: Endpoint, opened) -> None:
    """A listener whose queue is full: the kernel lets further connections wait, as a firewall does."""
    script = (
        "import socket, sys\nlistener = socket.create_server(('127.0.0.1', 0), backlog=0)\n"
        "port = listener.getsockname()[1]\nfill = [socket.socket() for _ in range(4)]\n"
        "for one in fill:\n    one.setblocking(False)\n    one.connect_ex(('127.0.0.1', port))\n"
        "print(port, flush=True)\nsys.stdin.read()\n"
    )
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as silent:
        assert silent.stdout
        store = opened(
            replace(moto_server.place("kc"), endpoint=f"http://127.0.0.1:{silent.stdout.readline().strip()}")
        )
        began = time.monotonic()
        with pytest.raises(Unreachable, match="does not answer"):
            names(store)
        assert 20 < time.monotonic() - began < 32
        silent.kill()


@pytest.mark.slow
def test_an_endpoint_that_takes_a_connection_and_says_nothing_is_given_up_after_a_minute(
    moto_server: Endpoint, opened
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        store = opened(replace(moto_server.place("kc"), endpoint=url))
        began = time.monotonic()
        with pytest.raises(Unreachable, match="does not answer"):
            names(store)
    assert 55 < time.monotonic() - began < 70


def test_a_network_that_was_there_is_waited_for(far: S3Store, proxy: Proxy) -> None:
    put(far, "kc/one")
    proxy.refuse = True
    proxy.reset_all()
    count = proxy.connections

    def watch() -> None:
        while proxy.connections - count < 4:
            time.sleep(0.01)
        proxy.refuse = False

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    assert names(far) == ["kc/one"]
    thread.join(1)
    assert proxy.connections - count >= 5


@pytest.mark.parametrize("place", [{"region": "nowhere at all"}, {"profile": "no-such-profile", "keys": None}])
def test_a_place_that_cannot_be_is_a_mistake_in_the_configuration(moto_server: Endpoint, opened, place) -> None:
    with pytest.raises(ConfigError):
        names(opened(moto_server.place("kc", **place)))


def test_a_directory_store_needs_no_boto3(program) -> None:
    (program.folder / "pgproof.toml").write_text(
        '[sources.db]\nurl = "postgresql:///db"\n[stores.local]\nurl = "backups"\n'
        '[stores.offsite]\nurl = "s3://bucket/kc"\n'
    )
    script = (
        "import sys\nfrom pgproof.cli.main import main\ntry:\n    main()\nfinally:\n"
        "    found = {name.partition('.')[0] for name in sys.modules}\n"
        "    print('loaded', sorted(found & {'boto3', 'botocore', 'paramiko', 'urllib3', 's3transfer'}))\n"
    )
    (program.store).mkdir()
    argv = [sys.executable, "-c", script, "list", "--store", "local"]
    done = subprocess.run(
        argv, cwd=program.folder, env=program.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert "loaded []" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout + done.stderr
