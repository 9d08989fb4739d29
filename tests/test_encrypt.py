"""Encryption: what stock programs can open, what nobody can, and what must never be seen (FAULTS D)."""

import contextlib
import io
import os
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgproof.errors import ConfigError, Damaged, PgproofError, ProgramFailed, Unreachable
from pgproof.secret import Secret
from pgproof.stream import encrypt
from pgproof.stream.encrypt import Key, decrypting, encrypting
from pgproof.stream.part import PartWriter, part_name
from pgproof.stream.sink import Sink
from tests.conformance.memory_store import MemoryStore
from tests.waiting import until

PHRASE = "correct horse battery staple"
SIZES = [0, 1, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 5_000_000]


class Kept(Sink):
    def __init__(self) -> None:
        self.data, self.committed, self.aborted = bytearray(), False, 0

    def write(self, data: bytes) -> None:
        self.data += data

    def commit(self) -> None:
        self.committed = True

    def abort(self) -> None:
        self.aborted += 1


class Full(Kept):
    """A store that fills up."""

    def write(self, data: bytes) -> None:
        if len(self.data) > 100_000:
            raise Unreachable("the store is full: injected")
        super().write(data)


class Breaking(io.BytesIO):
    """A store that stops answering in the middle of a read."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 300_000:
            raise Unreachable("the store does not answer: injected")
        return super().read(size)


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Temporary files in a folder of the test's own, which must be empty afterwards."""
    place = Path(tempfile.mkdtemp(prefix="enc-", dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield place
    left = list(place.rglob("*"))
    place.rmdir() if not left else None
    assert left == [], "temporary files were left behind"
    assert not [line for line in processes() if str(place) in line], "an agent was left behind"


def processes() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
    return found


@pytest.fixture(scope="session")
def gpg_home() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="gh-", dir="/tmp"))
    env = {**os.environ, "GNUPGHOME": str(home)}
    quick = [
        "gpg",
        "--batch",
        "--passphrase",
        "",
        "--quick-generate-key",
        "keeper@example.org",
        "future-default",
        "default",
        "never",
    ]
    subprocess.run(quick, env=env, check=True, capture_output=True)
    yield home
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    subprocess.run(["rm", "-rf", str(home)], check=True)


@pytest.fixture(params=["passphrase", "recipients", "age"])
def key(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Key:
    if request.param == "passphrase":
        return Key("gpg", Secret(PHRASE))
    if request.param == "recipients":
        monkeypatch.setenv("GNUPGHOME", str(request.getfixturevalue("gpg_home")))
        return Key("gpg", recipients=("keeper@example.org",))
    return age_key()


def age_key() -> Key:
    pyrage = pytest.importorskip("pyrage")
    identity = pyrage.x25519.Identity.generate()
    return Key("age", recipients=(str(identity.to_public()),), identity=Secret(f"# made by a test\n{identity}\n"))


def sealed(key: Key, data: bytes, stride: int = 100_000) -> bytes:
    kept = Kept()
    with encrypting(key, kept) as sink:
        for start in range(0, len(data), stride):
            sink.write(data[start : start + stride])
    assert kept.committed
    return bytes(kept.data)


def opened(key: Key, stored: bytes) -> bytes:
    with decrypting(key, io.BytesIO(stored), "the part") as stream:
        pieces = []
        while piece := stream.read(1 << 16):
            pieces.append(piece)
        assert stream.read(1) == b""
        assert stream.read() == b""
        return b"".join(pieces)


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


# -- there and back ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_round_trip(key: Key, size: int) -> None:
    data = noise(size)
    stored = sealed(key, data)
    assert data == b"" or data[:40] not in stored or size == 1
    assert opened(key, stored) == data
    with decrypting(key, io.BytesIO(stored), "the part") as stream:
        assert stream.read() == data


def test_stock_gpg_opens_what_we_write(tmp_path: Path, real_gpg: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(real_gpg).parent))
    data = noise(300_000)
    (tmp_path / "part.gpg").write_bytes(sealed(Key("gpg", Secret(PHRASE)), data))
    home = tempfile.mkdtemp(dir="/tmp")
    try:
        argv = [
            "gpg",
            "--homedir",
            home,
            "--batch",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            PHRASE,
            "-d",
            "part.gpg",
        ]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, check=True)
        assert done.stdout == data
        packets = subprocess.run(
            ["gpg", "--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase", PHRASE, "--list-packets", "part.gpg"],  # noqa: E501
            cwd=tmp_path, capture_output=True, check=True, text=True,
        )  # fmt: skip
        assert "cipher 9" in packets.stdout, "AES-256"
        assert "hash 10" in packets.stdout and "count 65011712 (255)" in packets.stdout, "the slowest key there is"
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
        subprocess.run(["rm", "-rf", home], check=True)


def test_we_open_what_stock_gpg_and_age_write(tmp_path: Path) -> None:
    data, key = noise(200_000), age_key()
    (tmp_path / "identity").write_text(key.identity.reveal() if key.identity else "")
    done = subprocess.run(["age", "-r", key.recipients[0]], input=data, capture_output=True, check=True)
    assert opened(key, done.stdout) == data
    back = subprocess.run(
        ["age", "-d", "-i", str(tmp_path / "identity")], input=sealed(key, data), capture_output=True, check=True
    )
    assert back.stdout == data


@pytest.mark.slow
@pytest.mark.parametrize(
    "phrase",
    [b"a", b" ", b" two  spaces ", b"\ttab\t", "übergröße 🐘".encode(), b"\xff\xfe\x80 not utf-8", b"\r", b"'\"$(id)`\\", b"-x", b"%s%n",  # noqa: E501
     b"x" * 300, b"y" * 4095],
    ids=repr,
)  # fmt: skip
def test_passphrases_are_exact(tmp_path: Path, phrase: bytes) -> None:
    key = Key("gpg", Secret(phrase.decode("utf-8", "surrogateescape")))
    stored = sealed(key, b"text")
    assert opened(key, stored) == b"text"
    (tmp_path / "phrase").write_bytes(phrase + b"\n")
    home = tempfile.mkdtemp(dir="/tmp")
    argv = [
        "gpg",
        "--homedir",
        home,
        "--batch",
        "--pinentry-mode",
        "loopback",
        "--passphrase-file",
        str(tmp_path / "phrase"),
        "-d",
    ]
    try:
        assert subprocess.run(argv, input=stored, capture_output=True, check=True).stdout == b"text"
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
        subprocess.run(["rm", "-rf", home], check=True)
    for other in (phrase + b" ", phrase[:-1] + b"z"):
        with pytest.raises(Damaged):
            opened(Key("gpg", Secret(other.decode("utf-8", "surrogateescape"))), stored)


@pytest.mark.parametrize("phrase", ["", "a\nb", "ends with a newline\n", "nul\0inside", "x" * 5000], ids=repr)
def test_passphrases_that_are_refused(phrase: str) -> None:
    """gpg takes one line of a C string: a NUL would cut the passphrase short, unnoticed."""
    with pytest.raises(ConfigError):
        encrypting(Key("gpg", Secret(phrase)), Kept())
    with pytest.raises(ConfigError):
        encrypt.check(Key("gpg", Secret(phrase)))


@pytest.mark.parametrize(
    "key", [Key("gpg"), Key("age"), Key("age", recipients=("age1nonsense",))], ids=["gpg", "age", "typo"]
)
def test_no_key_is_refused_before_the_first_byte(key: Key) -> None:
    store = MemoryStore()
    with pytest.raises(ConfigError):
        PartWriter(part_name("kc.sql", "gzip", key), "gzip", key, store.create("kc.sql.gz"), lambda _: None)
    assert list(store.list()) == []


# -- the wrong key, and damage ----------------------------------------------------------------------


def test_the_wrong_passphrase_or_identity_is_a_helpful_sentence() -> None:
    for right, wrong in ((Key("gpg", Secret(PHRASE)), Key("gpg", Secret("other"))), (age_key(), age_key())):
        stored = sealed(right, noise(100_000))
        with pytest.raises(Damaged) as caught:
            opened(wrong, stored)
        assert "the part" in caught.value.message
        assert "encryption" in caught.value.hint
        assert "verify" in caught.value.hint
        assert PHRASE not in caught.value.message


def test_no_secret_key_for_the_recipient(gpg_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GNUPGHOME", str(gpg_home))
    stored = sealed(Key("gpg", recipients=("keeper@example.org",)), b"text")
    empty = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setenv("GNUPGHOME", str(empty))
    try:
        with pytest.raises(Damaged):
            opened(Key("gpg", recipients=("keeper@example.org",)), stored)
    finally:
        subprocess.run(["gpgconf", "--homedir", str(empty), "--kill", "all"], check=False)
        subprocess.run(["rm", "-rf", str(empty)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpg", "age"])
def test_truncation_at_every_page_is_never_success(kind: str) -> None:
    key = Key("gpg", Secret(PHRASE)) if kind == "gpg" else age_key()
    stored = sealed(key, noise(160_000))
    pages = range(4096, len(stored), 4096 * (4 if kind == "gpg" else 1))
    for size in [0, 1, 50, *pages, len(stored) - 100, len(stored) - 1]:
        with pytest.raises(Damaged):
            opened(key, stored[:size])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpg", "age"])
def test_a_flipped_bit_is_never_success(kind: str) -> None:
    key = Key("gpg", Secret(PHRASE)) if kind == "gpg" else age_key()
    stored, chance = sealed(key, noise(60_000)), random.Random(1)
    places = [chance.randrange(len(stored)) for _ in range(15 if kind == "gpg" else 150)]
    for place in [*places, len(stored) - 1, len(stored) - 10, 20]:
        flipped = bytearray(stored)
        flipped[place] ^= 1 << chance.randrange(8)
        with pytest.raises(Damaged):
            opened(key, bytes(flipped))


@pytest.mark.parametrize("garbage", [b"", b"not encrypted", b"-----BEGIN PGP MESSAGE-----\n\nAAAA\n", bytes(70_000)])
def test_what_is_not_encrypted_is_never_success(garbage: bytes) -> None:
    for key in (Key("gpg", Secret(PHRASE)), age_key()):
        with pytest.raises(Damaged):
            opened(key, garbage)


# -- whose fault it was -----------------------------------------------------------------------------


def test_a_store_that_fails_while_writing_is_what_is_told(key: Key) -> None:
    full = Full()
    with pytest.raises(Unreachable):
        with encrypting(key, full) as sink:
            for _ in range(200):
                sink.write(noise(50_000))
    assert full.aborted
    assert not full.committed


def test_a_store_that_fails_on_the_last_bytes_is_what_is_told(key: Key) -> None:
    full = Full()
    with pytest.raises(Unreachable):
        with encrypting(key, full) as sink:
            sink.write(noise(140_000))
            sink.write(noise(50_000))
    assert not full.committed


def test_a_store_that_fails_while_reading_is_what_is_told_and_soon(key: Key) -> None:
    stored, caught = sealed(key, noise(1_000_000)), list[BaseException]()

    def read() -> None:
        try:
            with decrypting(key, Breaking(stored), "the part") as stream:
                while stream.read(10_000):
                    pass
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert [type(error) for error in caught] == [Unreachable]


def test_an_error_of_the_reader_is_not_taken_for_damage(key: Key) -> None:
    """pg_restore fails while it reads a good backup: that is not the backup's fault."""
    stored = sealed(key, noise(500_000))
    with pytest.raises(ProgramFailed) as caught:
        with decrypting(key, io.BytesIO(stored), "the part") as stream:
            stream.read(10)
            raise ProgramFailed("psql ended with status 3")
    assert caught.value.message == "psql ended with status 3"


def test_reading_may_stop_early(key: Key) -> None:
    data = noise(2_000_000)
    stored = sealed(key, data)
    began = time.monotonic()
    with decrypting(key, io.BytesIO(stored), "the part") as stream:
        assert stream.read(100) == data[:100]
    assert time.monotonic() - began < 20


def test_abort_passes_nothing_on_as_whole(key: Key) -> None:
    kept = Kept()
    with pytest.raises(ZeroDivisionError):
        with encrypting(key, kept) as sink:
            sink.write(noise(300_000))
            raise ZeroDivisionError
    assert not kept.committed
    assert kept.aborted
    sink.abort()


# -- programs, secrets, leftovers -------------------------------------------------------------------


def test_without_gpg_nothing_is_begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    key, store = Key("gpg", Secret(PHRASE)), MemoryStore()
    for ask in (
        lambda: encrypt.check(key),
        lambda: PartWriter("kc.sql.gpg", "none", key, store.create("kc.sql.gpg"), lambda _: None),
        lambda: opened(key, b"x"),
    ):
        with pytest.raises(ConfigError) as caught:
            ask()
        assert "gpg" in caught.value.message
    assert list(store.list()) == []


def test_without_the_extra_age_is_a_sentence() -> None:
    script = (
        "import sys; sys.modules['pyrage'] = None\n"
        f"sys.path[:0] = {__import__('sys').path!r}\n"
        "from pgproof.errors import ConfigError\nfrom pgproof.stream.encrypt import Key, check\n"
        "try: check(Key('age', recipients=('age1x',)))\nexcept ConfigError as error: print(error.message)"
    )
    done = subprocess.run([__import__("sys").executable, "-c", script], capture_output=True, text=True, check=False)
    assert "extra" in done.stdout, done.stderr


def test_check_says_what_is_wrong(key: Key) -> None:
    encrypt.check(key)


@pytest.mark.parametrize("turn", range(10))
def test_an_unknown_recipient_is_a_config_error(gpg_home: Path, monkeypatch: pytest.MonkeyPatch, turn: int) -> None:
    monkeypatch.setenv("GNUPGHOME", str(gpg_home))
    with pytest.raises(ConfigError) as caught:
        encrypt.check(Key("gpg", recipients=("nobody@example.org",)))
    assert "nobody@example.org" in caught.value.message
    with pytest.raises(PgproofError):
        with encrypting(Key("gpg", recipients=("nobody@example.org",)), Kept()) as sink:
            for _ in range(50):
                sink.write(noise(100_000))


@pytest.mark.slow
def test_the_passphrase_is_never_to_be_seen() -> None:
    canary, seen, stop, samples = "canary-5c4d3e", list[str](), threading.Event(), [0]

    def watch() -> None:
        while not stop.is_set():
            for folder in Path("/proc").glob("[0-9]*"):
                for what in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        data = (folder / what).read_bytes()
                        samples[0] += b"passphrase-fd" in data
                        if canary.encode() in data:
                            seen.append(f"{folder}/{what}")

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        key = Key("gpg", Secret(canary))
        stored = sealed(key, noise(20_000_000), 1 << 20)
        assert len(opened(key, stored)) == 20_000_000
        with pytest.raises(PgproofError) as caught:
            opened(key, stored[:-1])
        assert canary not in f"{caught.value!r}{caught.value.hint}{key!r}"
    finally:
        stop.set()
        thread.join()
    assert samples[0] > 0, "gpg was never seen running"
    assert seen == []


@pytest.mark.slow
def test_no_descriptor_and_no_thread_is_left(key: Key) -> None:
    def go() -> None:
        stored = sealed(key, b"x" * 1000)
        opened(key, stored)
        with contextlib.suppress(Damaged):
            opened(key, stored[:-5])
        with decrypting(key, io.BytesIO(stored), "p") as stream:
            assert isinstance(stream, object)

    threads = threading.active_count()
    go()
    until(lambda: threading.active_count() <= threads)
    fds = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        go()
    until(lambda: len(os.listdir("/proc/self/fd")) <= fds and threading.active_count() <= threads)


def test_a_gpg_that_prints_all_and_then_fails_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D8: good-looking output, exit status 2."""
    fake = tmp_path / "gpg"
    fake.write_text("#!/bin/sh\ncat\nsleep 0.2\necho 'gpg: something at the very end' >&2\nexit 2\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    kept = Kept()
    with pytest.raises(ProgramFailed) as caught:
        with encrypting(Key("gpg", Secret(PHRASE)), kept) as sink:
            sink.write(b"text")
    assert "at the very end" in caught.value.message
    assert not kept.committed
    with pytest.raises(Damaged):
        opened(Key("gpg", Secret(PHRASE)), b"text")
