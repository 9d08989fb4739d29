"""The connections for rows, where they end at the wrong moment."""

import subprocess
import sys

import pytest

from pgproof.postgres.server import connect
from tests.conftest import Servers

# Ctrl-C comes at every tenth of a millisecond of a connection's last, and then it is closed once more, as the
# program does on its way out.
INTERRUPTED = """
import concurrent.futures, gc, signal, sys
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from pgproof.postgres.rows import rows_for
from pgproof.postgres.server import Wire

came = 0
worker = ThreadPoolExecutor(1)
signal.signal(signal.SIGALRM, signal.default_int_handler)
wire = Wire(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5], {}, "UTF8", 180000)
for step in range(1, 60):
    rows = rows_for(wire)
    worker.submit(rows.open).result()
    try:
        done = SimpleQueue()  # whose waiting an interruption does not spoil, as it can a Future's
        working = worker.submit(rows.execute, "SELECT pg_catalog.pg_sleep(0.001)")
        working.add_done_callback(done.put)
        signal.setitimer(signal.ITIMER_REAL, step * 1e-4)
        if step % 2:
            rows.terminate()
        done.get()
        rows.close()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        came += 1
        concurrent.futures.wait([working])
    finally:
        rows.close()
    del rows
    gc.collect()
print(came)
"""


# And at every tenth of a millisecond of a session's first: what is raised is kept, as the program keeps it while it
# clears up, and with it all that its frames hold.
GREETED = """
import signal, sys
from pgproof.postgres.server import Address, connect
from pgproof.secret import Secret

kept = []
signal.signal(signal.SIGALRM, signal.default_int_handler)
for step in range(1, 150):
    try:
        signal.setitimer(signal.ITIMER_REAL, step * 1e-4)
        session = connect(Address(sys.argv[1], Secret(sys.argv[2])))
        signal.setitimer(signal.ITIMER_REAL, 0)
        session.close()
    except KeyboardInterrupt as interruption:
        kept.append(interruption)
print(len(kept), flush=True)
sys.stdin.read()
"""


def program(text: str, *words: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-c", text, *words]


@pytest.mark.slow
def test_an_interruption_of_the_end(servers: Servers) -> None:
    with connect(servers(18).address) as session:
        wire = session.wire()
    words = (wire.host, str(wire.port), wire.user, wire.database, wire.password)
    ran = subprocess.run(program(INTERRUPTED, *words), check=False, capture_output=True, text=True, timeout=60)
    assert ran.stderr == ""
    assert int(ran.stdout) > 5


def test_an_interruption_of_the_beginning_leaves_nobody_waiting_at_the_server(servers: Servers) -> None:
    address = servers(18).address.to("greeted")
    assert address.password
    with connect(servers(18).address) as session:
        session.run("CREATE DATABASE greeted")
        session.run("SET statement_timeout = '20s'")  # of the 60 that the server gives an authentication
        with subprocess.Popen(
            program(GREETED, address.conninfo, address.password.reveal()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as running:
            assert running.stdin and running.stdout
            assert int(running.stdout.readline()) > 5
            session.run("DROP DATABASE greeted WITH (FORCE)")
            running.stdin.close()
