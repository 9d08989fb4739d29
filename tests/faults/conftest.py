"""Scenes for faults: a small database with a good backup, in a folder that the throw-away server's user may enter."""

import contextlib
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pgproof.postgres.server import Address, connect
from tests.conftest import Program, Servers
from tests.faults import invariants
from tests.faults.invariants import Scene

MAJOR = 15

# A shell starts what goes to the background with SIGINT ignored, and children would inherit that.
with contextlib.suppress(ValueError):
    signal.signal(signal.SIGINT, signal.default_int_handler)
PASSPHRASE = "correct horse battery staple"
ENCRYPTED = """
[encryption]
method = "gpg"
passphrase = "file:passphrase"
"""


def fill(database: Address, rows: int = 20000) -> None:
    """A few megabytes with most of what takes a way of its own: rows, sequences, large objects, a view."""
    with connect(database) as session:
        session.run(f"""
            CREATE TABLE public.small (id int PRIMARY KEY, text text);
            INSERT INTO public.small SELECT n, md5(n::text) FROM generate_series(1, 500) n;
            CREATE TABLE public.large (id bigserial PRIMARY KEY, text text, at timestamptz DEFAULT now());
            INSERT INTO public.large (text) SELECT repeat(md5(n::text), 3) FROM generate_series(1, {rows}) n;
            CREATE INDEX ON public.large (text);
            CREATE TABLE public.empty (id int);
            CREATE MATERIALIZED VIEW public.counted AS SELECT count(*) FROM public.large;
            SELECT lo_from_bytea(0, 'a large object')""")


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="faults-"))
    made.chmod(0o711)
    (made / "tmp").mkdir(mode=0o711)
    yield made
    invariants.end(made / "tmp")
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def make_scene(servers: Servers, folder: Path) -> Callable[..., Scene]:
    """A scene with one good backup, plain or encrypted."""

    def make(*, encrypted: bool = False, rows: int = 20000, backups: int = 1) -> Scene:
        source = servers.database(MAJOR)
        fill(source, rows)
        program = Program(folder, {"TMPDIR": str(folder / "tmp")})
        (folder / "passphrase").touch(0o600)
        (folder / "passphrase").write_text(PASSPHRASE)
        program.configure(ENCRYPTED if encrypted else "", db=source)
        for _ in range(backups):
            program.ok("backup")
        scene = Scene(program, source)
        scene.remember()
        return scene

    return make
