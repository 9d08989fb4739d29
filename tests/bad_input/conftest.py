"""A user with one good backup, to whom something bad then happens: nothing of what was good may be lost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg import conninfo

from pgproof.postgres.server import Address, connect
from pgproof.secret import Secret
from tests import kit
from tests.conftest import Program, Ran, Servers
from tests.faults import invariants

MAJOR = 15


@dataclass
class Scene:
    """A program, its source `db`, and the one good backup that it made."""

    program: Program
    source: Address
    good: str

    def listed(self) -> dict[str, str]:
        return {one["id"]: one["state"] for one in self.program.run("list", "--json").json}

    def check(self, *, backups: int = 1) -> None:
        """The good backup is listed and whole, the source as it was, nothing half-made is left."""
        listed = self.listed()
        assert listed.get(self.good) in ("stored", "intact", "proven"), listed
        assert len(listed) == backups, listed
        for one in listed:
            assert not list(invariants.whole(self.program.store, one))
        assert not list(self.program.store.rglob(".pgproof-tmp-*"))
        assert not list(self.program.store.rglob("lock.json"))
        with connect(self.source, "postgres") as session:
            assert kit.traces(session, self.source.database) == []
        assert kit.value(self.source, "SELECT count(*) FROM public.small") == 500

    def configure(self, more: str = "", **sources: Address) -> None:
        self.program.configure(more, **(sources or {"db": self.source}))


def refused(ran: Ran, code: int, *words: str) -> Ran:
    """A sentence, a hint, the exit code, and no traceback; `words` are in what was said."""
    said = f"exit {ran.code}\n{ran.out}\n{ran.err}"
    assert ran.code == code, said
    assert "Traceback" not in ran.out + ran.err, said
    assert "a fault in pgproof" not in ran.out + ran.err, said
    lines = ran.err.splitlines()
    assert any(line.startswith("pgproof: ") and len(line) > 12 for line in lines), said
    assert any(line.startswith("  hint: ") and len(line) > 12 for line in lines), said
    for word in words:
        assert word in ran.err, f"{word!r} is not in\n{said}"
    return ran


def fill(database: Address) -> None:
    with connect(database) as session:
        session.run("""
            CREATE TABLE public.small (id int PRIMARY KEY, text text);
            INSERT INTO public.small SELECT n, md5(n::text) FROM generate_series(1, 500) n;
            CREATE TABLE public.noise (id bigserial PRIMARY KEY, text text);
            INSERT INTO public.noise (text)
                SELECT string_agg(md5((n * 37 + m)::text), '') FROM generate_series(1, 2000) n, generate_series(1, 5) m
                GROUP BY n""")


def with_role(address: Address, role: str, password: str) -> Address:
    return Address(conninfo.make_conninfo(address.conninfo, user=role), Secret(password))


@contextmanager
def role(servers: Servers, database: Address, called: str, *grants: str) -> Iterator[Address]:
    """A role with nothing but these grants in the database, and the address for it."""
    name = called
    drop = (
        f"REASSIGN OWNED BY {name} TO CURRENT_USER",
        f"DROP OWNED BY {name}",
        f"DROP ROLE {name}",
    )
    kit.run(database, f"CREATE ROLE {name} LOGIN PASSWORD 'its own'", *grants)
    try:
        yield with_role(database, called, "its own")
    finally:
        kit.run(database, *drop)


@pytest.fixture
def scene(servers: Servers, program: Program) -> Scene:
    source = servers.database(MAJOR)
    fill(source)
    program.configure(db=source)
    made = program.ok("backup", "--json").json
    return Scene(program, source, made["id"])


@pytest.fixture
def databases(servers: Servers) -> Iterator[Callable[..., Address]]:
    """Addresses of databases that are dropped in the end, by name."""
    from tests.conftest import drop_database

    names: list[str] = []

    def of(called: str, *, fresh: bool = True) -> Address:
        names.append(called)
        if fresh:
            drop_database(servers(MAJOR).address, called)
        return servers(MAJOR).address.to(called)

    yield of
    for name in names:
        drop_database(servers(MAJOR).address, name)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
