"""A signal while a connection is being made: FAULTS B2, B3 at a server that accepts and does not answer.

A backend that waits in its authentication lets nobody drop a database, for up to a minute (PostgreSQL's dropdb()
waits for every backend to take notice). So a connection that is given up has to be closed at once.
"""

import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from pgproof.postgres.server import Address, connect
from pgproof.postgres.sql import name as quoted
from tests.conftest import Program, Servers
from tests.faults.conftest import MAJOR, fill
from tests.faults.invariants import databases
from tests.gate import Gate

SECONDS = 10.0  # five are promised; one who waits for a connection that is not answered needs 15
DROP_SECONDS = 3.0  # that a cleanup gives its DROP DATABASE after a signal


@pytest.fixture(params=["", "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"], ids=["utf8", "latin1"])
def source(request: pytest.FixtureRequest, servers: Servers) -> Address:
    made = servers.database(MAJOR, options=request.param)
    fill(made, 2000)
    return made


@pytest.fixture
def gate(source: Address) -> Iterator[Gate]:
    with Gate(source) as made:
        yield made


def stopped(child: "subprocess.Popen[str]") -> str:
    """SIGTERM; what it said, having ended in time, as one who is interrupted does."""
    child.send_signal(signal.SIGTERM)
    _, said = child.communicate(timeout=SECONDS)
    assert child.returncode == 130 and "Traceback" not in said, f"exit {child.returncode}: {said}"
    return said


def drop_unfinished(source: Address, before: set[str]) -> None:
    with connect(source, "postgres") as session:
        for one in databases(source) - before:
            session.run(f"DROP DATABASE {quoted(one)} WITH (FORCE)")


@pytest.mark.slow
@pytest.mark.sweep(every=3)
def test_a_signal_while_a_connection_is_being_made(gate: Gate, source: Address, program: Program, sweep: int) -> None:
    """Each connection of a backup, a restore is the one that is not answered."""
    program.configure(db=gate.address)
    program.ok("backup")
    before = databases(source)
    for verb in (("backup",), ("restore", "latest", "--to", "back")):
        gate.expect(0)
        program.ok(*verb[:3], *(["trial"] if len(verb) > 3 else verb[3:]))
        connections = gate.count
        assert connections > 4
        with connect(source, "postgres") as session:
            session.run("DROP DATABASE IF EXISTS trial")
        for number in range(1, connections + 1, sweep):
            gate.expect(number)
            child = program.start(*verb)
            assert gate.held.wait(60), f"{verb}: connection {number} of {connections} was not made"
            said = stopped(child)
            where = f"{verb}: connection {number} of {connections}: {said}"
            if "unfinished" in said:  # a slow disk can be why, and then it was closed well before
                assert gate.left < time.monotonic() - 0.8 * DROP_SECONDS, where
                drop_unfinished(source, before)
            assert databases(source) == before, where


@pytest.mark.slow
def test_a_stranger_who_is_just_logging_in(servers: Servers, program: Program) -> None:
    """The cleanup does not wait for him: what it leaves is said, and the next restore takes it away."""
    source = servers.database(MAJOR)
    fill(source, 2000)
    with Gate(source) as gate, Gate(source) as other:
        program.configure(db=gate.address)
        program.ok("backup")
        before = databases(source)
        gate.expect(0)
        program.ok("restore", "latest", "--to", "trial")
        with connect(source, "postgres") as session:
            session.run("DROP DATABASE trial")
        last = gate.count
        gate.expect(last)
        child = program.start("restore", "latest", "--to", "back")
        assert gate.held.wait(60)
        other.expect(1)
        with subprocess.Popen(["psql", f"{other.address.conninfo} password=x"], stdin=subprocess.DEVNULL) as stranger:
            assert other.held.wait(60)
            said = stopped(child)
            (left,) = databases(source) - before
            assert left in said
            stranger.kill()
        gate.expect(0)
        program.ok("restore", "latest", "--to", "back")
        assert databases(source) - before == {"back"}
