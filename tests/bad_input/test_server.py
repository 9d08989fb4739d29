"""The server: away, unwilling, or busy."""

import contextlib
import select
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import conninfo

from pgproof.errors import Refused
from pgproof.postgres import tools
from pgproof.postgres.server import Address
from pgproof.secret import Secret
from tests import kit
from tests.bad_input.conftest import MAJOR, Scene, refused, role
from tests.conftest import Servers


@pytest.mark.parametrize(
    "where",
    [
        "host=/nonexistent user=nobody dbname=db",
        "postgresql://nobody@127.0.0.1:1/db",
        "postgresql://nobody@no-such-host.invalid/db",
        "postgresql://nobody@[::1]:1/db",
    ],
)
def test_a_server_that_is_not_there(scene: Scene, where: str) -> None:
    scene.configure(db=Address(where))
    refused(scene.program.run("backup"), 6, "cannot connect")
    assert scene.program.run("doctor").code == 1
    restored = refused(scene.program.run("restore", "latest", "--to", where), 6)
    assert "nobody" not in restored.out
    scene.check()


@pytest.mark.slow
def test_a_server_that_says_nothing(scene: Scene) -> None:
    with silent() as port:
        scene.configure(db=Address(f"postgresql://nobody@127.0.0.1:{port}/db"))
        began = time.monotonic()
        refused(scene.program.run("backup", timeout=60), 6)
        assert time.monotonic() - began < 40
    scene.check()


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and never answers."""
    taken: list[socket.socket] = []

    def take() -> None:
        with contextlib.suppress(OSError):
            while True:
                taken.append(listening.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=take)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()
    for one in taken:
        one.close()


@contextlib.contextmanager
def counted(path: Path) -> Iterator[tuple[int, list[object]]]:
    """A port that leads to a server's socket, and a list with something for each connection."""
    taken: list[object] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            taken.append(self.client_address)
            with socket.socket(socket.AF_UNIX) as server:
                server.connect(str(path))
                ways = {self.request: server, server: self.request}
                while ready := select.select(list(ways), [], [])[0]:
                    for one in ready:
                        if not (data := one.recv(65536)):
                            return
                        ways[one].sendall(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield listening.server_address[1], taken
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_wrong_password_is_tried_once_and_not_shown(servers: Servers, scene: Scene, command: str) -> None:
    with counted(servers(MAJOR).folder / ".s.PGSQL.5432") as (port, taken):
        words = {"host": "127.0.0.1", "port": port, "sslmode": "disable", "gssencmode": "disable"}
        address = Address(conninfo.make_conninfo(scene.source.conninfo, **words), Secret("hunter2 is wrong"))
        scene.configure(db=address)
        asked = ["backup"] if command == "backup" else ["restore", "latest"]
        ran = refused(scene.program.run(*asked, "--json"), 6, "refuses the password")
        assert "hunter2" not in ran.out + ran.err
        assert len(taken) == 1
    scene.configure()
    scene.check()


def test_a_database_that_was_renamed_away(servers: Servers, scene: Scene) -> None:
    old = scene.source.database
    server = servers(MAJOR).address
    kit.run(server, f"ALTER DATABASE {old} RENAME TO {old}_away")
    try:
        refused(scene.program.run("backup"), 6, "does not exist", old)
    finally:
        kit.run(server, f"ALTER DATABASE {old}_away RENAME TO {old}")
    scene.check()


def test_a_role_that_may_not_read_three_tables(servers: Servers, scene: Scene) -> None:
    names = ("first", "Second one", "third")
    kit.run(scene.source, *(f'CREATE TABLE "{name}" (id int)' for name in names))
    grant = "GRANT SELECT ON small, noise, noise_id_seq TO bad_reader"
    with role(servers, scene.source, "bad_reader", grant) as reader:
        scene.configure(db=reader)
        ran = refused(scene.program.run("backup"), 4, *names, "pg_read_all_data")
        assert "public.small" not in ran.err
        scene.check()


@pytest.mark.parametrize("force", [False, True])
def test_row_level_security_that_hides_rows(servers: Servers, scene: Scene, force: bool) -> None:
    kit.run(
        scene.source,
        "CREATE TABLE secrets (id int, who text)",
        "ALTER TABLE secrets ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY mine ON secrets USING (who = current_user)",
    )
    grants = ["GRANT pg_read_all_data TO bad_reader"]
    grants += ["ALTER TABLE secrets FORCE ROW LEVEL SECURITY", "ALTER TABLE secrets OWNER TO bad_reader"] * force
    with role(servers, scene.source, "bad_reader", *grants) as reader:
        scene.configure(db=reader)
        refused(scene.program.run("backup"), 4, "secrets", "ALTER ROLE bad_reader BYPASSRLS")
        scene.check()
        if not force:
            kit.run(scene.source, "ALTER ROLE bad_reader BYPASSRLS")
            scene.program.ok("backup")


@pytest.mark.slow
def test_a_table_that_somebody_has_locked(scene: Scene) -> None:
    toml = scene.program.folder / "pgproof.toml"
    toml.write_text(toml.read_text().replace("[sources.db]\n", "[sources.db]\nlock_timeout = 2\n"))
    with kit.holding(scene.source, "LOCK TABLE small IN ACCESS EXCLUSIVE MODE") as other:
        began = time.monotonic()
        refused(scene.program.run("backup"), 5, f"process {other.backend} ", "public.small", "pg_terminate_backend")
        assert 2 <= time.monotonic() - began < 30
    scene.check()
    scene.program.ok("backup")


@pytest.mark.parametrize("value", ["0", "-1", '"60s"', "1.5", "86401", "true"])
def test_a_lock_timeout_that_cannot_be(scene: Scene, value: str) -> None:
    toml = scene.program.folder / "pgproof.toml"
    toml.write_text(toml.read_text().replace("[sources.db]\n", f"[sources.db]\nlock_timeout = {value}\n"))
    refused(scene.program.run("list"), 2, "sources.db.lock_timeout")


def test_programs_older_than_the_server() -> None:
    old = tools.Tools(Path("/nowhere"), 15, 4, server=True)
    with pytest.raises(Refused) as caught:
        tools.for_dump(18, [old])
    assert "15.4" in caught.value.message
    assert "postgresql-client-18" in caught.value.hint
    with pytest.raises(Refused) as caught:
        tools.for_drill(18, [old])
    assert "postgresql-18" in caught.value.hint
    with pytest.raises(Refused, match="none"):
        tools.for_dump(18, [])
