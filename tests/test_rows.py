"""The connections for rows, where they end at the wrong moment."""

import subprocess
import sys

from pgproof.postgres.server import connect
from tests.conftest import Servers

# Ctrl-C comes at every tenth of a millisecond of a connection's last, and then it is closed once more, as the
# program does on its way out.
INTERRUPTED = """
import contextlib, gc, signal, sys
from pgproof.postgres.rows import rows_for
from pgproof.postgres.server import Wire

came = 0
for step in range(1, 60):
    rows = rows_for(Wire(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5], {}, "UTF8", 180000))
    rows.open()
    try:
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, step * 5e-5)
        if step % 2:
            rows.execute("SELECT pg_catalog.pg_sleep(0.001)")
        rows.close()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        came += 1
    finally:
        rows.close()
    del rows
    gc.collect()
print(came)
"""


def test_an_interruption_of_the_end(servers: Servers) -> None:
    with connect(servers(18).address) as session:
        wire = session.wire()
    where = [wire.host, str(wire.port), wire.user, wire.database, wire.password]
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", INTERRUPTED, *where],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stderr == ""
    assert int(ran.stdout) > 5
