"""A real Keycloak on a real PostgreSQL: the distribution from Maven's repository, built once and kept below the
user's cache, and a small client of its HTTP interface.

The first build of a version takes about 25 seconds, a start 15 to 40; planned memory is 1 GB.
"""

import base64
import contextlib
import fcntl
import hmac
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from pgproof.postgres.server import Address
from tests.buckets import free_port
from tests.conftest import missing

VERSION = os.environ.get("PGPROOF_TEST_KEYCLOAK", "26.4.7")
CACHE = Path(os.environ.get("PGPROOF_TEST_CACHE") or Path.home() / ".cache" / "pgproof-tests")
ADMIN, ADMIN_PASSWORD = "admin", "the first password"
START_SECONDS = 240
# Also one node makes a cluster of itself, and would listen on all interfaces.
_LOOPBACK = (
    "-Djgroups.bind.address=127.0.0.1",
    "-Djgroups.bind_addr=127.0.0.1",
    "-Djava.net.preferIPv4Stack=true",
)
_FIRST_COMPILER = "-XX:TieredStopAtLevel=1"  # a Keycloak that lives for a minute never earns what the second one costs
_BUILD = ("--db=postgres", "--health-enabled=true", "--metrics-enabled=true")


def distribution(version: str = VERSION) -> Path:
    """The folder of a Keycloak that is built and starts with --optimized; kept in the cache."""
    java = _java()
    home = CACHE / f"keycloak-{version}-java{java}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:  # two workers of one test run would both fetch and build
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            _make(_fetched(version), home)
    return home


def _java() -> int:
    """The major version of the Java that `java` starts; Keycloak 26 needs 17 or newer."""
    program = shutil.which("java")
    if program is None:
        missing("Java (Debian: default-jre-headless)")
    said = subprocess.run([str(program), "-version"], capture_output=True, text=True, check=True).stderr
    major = int(re.findall(r'version "(\d+)', said)[0])
    if major < 17:
        missing(f"Java 17 or newer (there is {major})")
    return major


def _fetched(version: str) -> Path:
    """The distribution's zip file, 160 MB, by Maven from the repository that it is configured for."""
    file = CACHE / f"keycloak-quarkus-dist-{version}.zip"
    if file.exists():
        return file
    if shutil.which("mvn") is None:
        missing("Maven (Debian: maven)")
    artifact = f"org.keycloak:keycloak-quarkus-dist:{version}:zip"
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        argv = ["mvn", "--batch-mode", "--quiet", "dependency:copy", f"-Dartifact={artifact}"]
        done = subprocess.run(
            [*argv, f"-DoutputDirectory={folder}"], cwd=folder, capture_output=True, text=True, timeout=900, check=False
        )
        found = list(Path(folder).glob("*.zip"))
        if done.returncode or not found:
            said = next((line for line in done.stdout.splitlines() if "ERROR" in line), "it says nothing")
            missing(f"Keycloak {version} (Maven's repository was not reached, or has it not: {said[:300]})")
        found[0].rename(file)
    return file


def _make(file: Path, home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        with zipfile.ZipFile(file) as archive:
            archive.extractall(folder)
        (made,) = Path(folder).iterdir()
        built = subprocess.run(["sh", "bin/kc.sh", "build", *_BUILD], cwd=made, capture_output=True, check=False)
        assert built.returncode == 0, built.stdout.decode()
        made.rename(home)


@contextmanager
def relay(socket_path: str) -> Iterator[int]:
    """A port of the loopback interface that leads to a server on a Unix socket: JDBC knows no other way."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        thread = threading.Thread(target=_accept, args=(listener, socket_path))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(listener: socket.socket, path: str) -> None:
    """Until nobody listens any more; then also those that are connected are let go."""
    threads: list[threading.Thread] = []
    over = threading.Event()
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            threads.append(threading.Thread(target=_pass_on, args=(client, path, over)))
            threads[-1].start()
    over.set()
    for one in threads:
        one.join()


def _pass_on(client: socket.socket, path: str, over: threading.Event) -> None:
    """Bytes both ways, until either side ends."""
    with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
        server.connect(path)
        other = {client: server, server: client}
        while not over.is_set():
            for one in select.select([client, server], [], [], 0.5)[0]:
                piece = one.recv(65536)
                if not piece:
                    return
                other[one].sendall(piece)


@dataclass
class Keycloak:
    """A Keycloak for one database, started and stopped; its folder holds the log."""

    home: Path
    folder: Path
    database: Address
    database_port: int
    port: int = field(default_factory=free_port)
    management: int = field(default_factory=free_port)
    child: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "keycloak.log").read_text(errors="replace")

    @property
    def environment(self) -> dict[str, str]:
        assert self.database.password is not None
        words = conninfo_to_dict(self.database.conninfo)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("KC_", "JAVA_OPTS", "PG"))}
        return kept | {
            "KC_DB_URL": f"jdbc:postgresql://127.0.0.1:{self.database_port}/{self.database.database}",
            "KC_DB_USERNAME": str(words["user"]),
            "KC_DB_PASSWORD": self.database.password.reveal(),
            "KC_DB_POOL_MAX_SIZE": "12",
            "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
            "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m",
            "JAVA_OPTS_APPEND": " ".join((*_LOOPBACK, _FIRST_COMPILER)),
        }

    def start(self, **more: str) -> float:
        """Start it and wait until it is ready; returns the seconds it took. `more` goes into its environment."""
        began = time.monotonic()
        words = ["start", "--optimized", "--http-enabled=true", "--hostname-strict=false", "--http-host=127.0.0.1"]
        words += [f"--http-port={self.port}", f"--http-management-port={self.management}"]
        with (self.folder / "keycloak.log").open("wb") as log:
            self.child = subprocess.Popen(
                self._command(*words), env=self.environment | more, stdout=log, stderr=log, start_new_session=True
            )
        try:
            while not self._ready():
                assert self.child.poll() is None, self.log[-3000:]
                assert time.monotonic() - began < START_SECONDS, self.log[-3000:]
                time.sleep(0.25)
        except BaseException:
            self.stop()
            raise
        return time.monotonic() - began

    def stop(self) -> None:
        """Stop it as a service is stopped, and surely."""
        if self.child is None:
            return
        child, self.child = self.child, None
        child.terminate()
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    def _command(self, *words: str) -> list[str]:
        # kc.sh becomes the Java process, which dies with us also where the test is killed.
        return ["setpriv", "--pdeathsig", "KILL", "sh", str(self.home / "bin" / "kc.sh"), *words]

    def _ready(self) -> bool:
        with contextlib.suppress(OSError):
            with _opener.open(f"http://127.0.0.1:{self.management}/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        return False

    def exported(self, realm: str) -> Any:
        """All of a realm as `kc.sh export` writes it, with users, hashes and keys, in an order of our own."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            words = ["export", "--optimized", f"--dir={folder}", f"--realm={realm}", "--users=realm_file"]
            words += [f"--http-management-port={free_port()}"]
            done = subprocess.run(
                self._command(*words), env=self.environment, capture_output=True, text=True, timeout=240, check=False
            )
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
            return in_order(json.loads((Path(folder) / f"{realm}-realm.json").read_text()))

    # -- its HTTP interface -----------------------------------------------------------------------

    def ask(
        self,
        path: str,
        *,
        form: dict[str, str] | None = None,
        body: Any = None,
        token: str = "",
        method: str | None = None,
    ) -> Any:
        """The answer as JSON, None for an empty one. A form or a body is posted. Raises Answer for 400 and above."""
        data = urllib.parse.urlencode(form).encode() if form else json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{self.url}{path}", data=data, method=method)
        if body:
            request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with _opener.open(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                raise Answer(error.code, error.read().decode("utf-8", "replace")) from error

    def admin(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """Ask or post below /admin/realms, as the bootstrap administrator."""
        token = self.login("master", ADMIN, ADMIN_PASSWORD, client="admin-cli")["access_token"]
        return self.ask(f"/admin/realms{path}", body=body, token=token, method=method)

    def login(self, realm: str, user: str, password: str, *, client: str, **more: str) -> Any:
        """Tokens by the password grant: that works only where hash, client, flow and keys are all there."""
        form = {"grant_type": "password", "client_id": client, "username": user, "password": password, **more}
        return self.ask(f"/realms/{realm}/protocol/openid-connect/token", form=form)

    def logs_in(self, realm: str, user: str, password: str, *, client: str, **more: str) -> bool:
        try:
            self.login(realm, user, password, client=client, **more)
        except Answer as answer:
            assert answer.code in (400, 401) and "invalid_grant" in answer.text, answer.text
            return False
        return True

    def refreshed(self, realm: str, refresh_token: str, *, client: str) -> Any:
        form = {"grant_type": "refresh_token", "client_id": client, "refresh_token": refresh_token}
        return self.ask(f"/realms/{realm}/protocol/openid-connect/token", form=form)

    def refreshes(self, realm: str, refresh_token: str, *, client: str) -> bool:
        """Whether a session of before still lives."""
        try:
            self.refreshed(realm, refresh_token, client=client)
        except Answer as answer:
            assert answer.code == 400 and "invalid_grant" in answer.text, answer.text
            return False
        return True

    def log_out(self, realm: str, refresh_token: str, *, client: str) -> None:
        form = {"client_id": client, "refresh_token": refresh_token}
        self.ask(f"/realms/{realm}/protocol/openid-connect/logout", form=form)

    def key_set(self, realm: str) -> list[Any]:
        """The realm's public keys (JWKS), by their ids."""
        keys = self.ask(f"/realms/{realm}/protocol/openid-connect/certs")["keys"]
        return sorted(keys, key=lambda one: str(one["kid"]))

    def users(self, realm: str) -> list[str]:
        return sorted(one["username"] for one in self.admin(f"/{realm}/users?max=10000"))

    def knows(self, realm: str, access_token: str) -> bool:
        """Whether it takes an access token for good: signature, session and user."""
        try:
            self.ask(f"/realms/{realm}/protocol/openid-connect/userinfo", token=access_token)
        except Answer as answer:
            assert answer.code == 401, answer.text
            return False
        return True


class Answer(Exception):
    """An answer that is no success."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code, self.text = code, text


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def claims(token: str) -> Any:
    """What a signed token says; its signature is not looked at."""
    piece = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4)))


def one_time_code(secret: str, moment: float) -> str:
    """The code of RFC 6238 for 30 seconds, six digits, SHA-1: what Keycloak asks for by default."""
    counter = struct.pack(">Q", int(moment) // 30)
    digest = hmac.digest(secret.encode(), counter, "sha1")
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start : start + 4])[0] & 0x7FFFFFFF) % 10**6:06d}"


def in_order(value: Any) -> Any:
    """Lists in one order, as Keycloak gives most of them in the order of a set."""
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return sorted((in_order(one) for one in value), key=lambda one: json.dumps(one, sort_keys=True))
    return value


@contextmanager
def keycloak(folder: Path, database: Address, version: str = VERSION) -> Iterator[Keycloak]:
    """One for a database, not yet started; stopped at the end."""
    home = distribution(version)
    words = conninfo_to_dict(database.conninfo)
    port = int(words.get("port") or 5432)
    socket_path = f"{words['host']}/.s.PGSQL.{port}"
    with relay(socket_path) if str(words["host"]).startswith("/") else contextlib.nullcontext(port) as port:
        one = Keycloak(home, folder, database, port)
        try:
            yield one
        finally:
            one.stop()
