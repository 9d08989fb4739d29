"""The soak (FAULTS test 7): the service runs fast while faults come and go; alerts equal faults, exactly."""

import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pgproof.postgres.server import Address, connect
from pgproof.secret import Secret
from tests.channels import Web, web
from tests.conftest import Program, Servers, drop_database, drop_role
from tests.kit import run
from tests.test_service import Serving, serving
from tests.waiting import until

pytestmark = pytest.mark.slow

SCHEDULE = """
[schedule]
backup = "*/5 * * * *"
copy = "none"
prove = "none"
verify = "2-59/5 * * * *"
prune = "4-59/5 * * * *"
timezone = "UTC"
[retention]
keep_last = 6
keep_within = "0h"
[alerts]
urls = ["env:ALERT_URL"]
"""
EVENT = re.compile(r"^(CRITICAL|WARNING|STILL|RECOVERED)(.*?)  \S+: .*\[([a-z-]+)\]$", re.MULTILINE)
FILL = "INSERT INTO users SELECT g, md5(g::text) FROM generate_series(1, 3000) g"
SKIPPED = " is left out"  # a slot, in the log
QUIET = {
    "no-proven-backup",
    "alerts-untested",
    "unprotected-database",
}  # what stands from the begin, as nothing is drilled, and other tests have databases


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, what is told of it and nothing else, and how it is healed."""

    name: str
    codes: frozenset[str]
    begin: Callable[[], None]
    end: Callable[[], None]
    perhaps: frozenset[str] = frozenset()  # told if a look comes between two of its effects


@pytest.fixture
def source(servers: Servers) -> Iterator[Address]:
    made = servers.database(17)
    run(made, "CREATE TABLE users (id int, text text)", FILL)
    with connect(servers(17).address) as session:
        session.run("CREATE ROLE soak LOGIN PASSWORD 'right' IN ROLE pg_read_all_data BYPASSRLS")
    yield made
    drop_role(servers(17).address, "soak", made.database)
    drop_database(servers(17).address, made.database)


def events(of: Web) -> list[tuple[str, str]]:
    """Every event of every digest that was accepted: what happened (NEW, CHANGED, STILL, RECOVERED) to which code."""
    found = []
    for one in of.messages:
        for head, more, code in EVENT.findall(one["message"]):
            kind = (
                head if head in ("STILL", "RECOVERED") else "CHANGED" if "was" in more or "and more" in more else "NEW"
            )
            found += [(kind, code)] if code not in QUIET else []
    return found


def faults(servers: Servers, source: Address, program: Program) -> list[Fault]:
    server, name = servers(17).address, source.database
    offsite = program.folder / "offsite"

    def on_server(sql: str) -> Callable[[], None]:
        return lambda: run(server, sql)

    def aside(path: Path) -> tuple[Callable[[], None], Callable[[], None]]:
        other = path.with_name(f"{path.name}-away")
        return (lambda: void(path.rename(other))), (lambda: void(other.rename(path)))

    def flip() -> None:
        newest = max(program.store.glob("db/*/db.sql.gz"))
        flipped.append((newest, newest.read_bytes()))
        data = bytearray(newest.read_bytes())
        data[len(data) // 2] ^= 1
        newest.write_bytes(data)

    def unflip() -> None:
        path, data = flipped.pop()
        path.write_bytes(data)

    flipped: list[tuple[Path, bytes]] = []
    store_away, store_back = aside(program.store)
    copy_away, copy_back = aside(offsite)
    return [
        Fault("the password is changed", frozenset({"backup-failed"}),
              on_server("ALTER ROLE soak PASSWORD 'wrong'"), on_server("ALTER ROLE soak PASSWORD 'right'")),
        Fault("the role may not log in", frozenset({"backup-failed"}),
              on_server("ALTER ROLE soak NOLOGIN"), on_server("ALTER ROLE soak LOGIN")),
        Fault("no connection is left", frozenset({"backup-failed"}),
              on_server("ALTER ROLE soak CONNECTION LIMIT 0"), on_server("ALTER ROLE soak CONNECTION LIMIT -1")),
        Fault("the database is renamed", frozenset({"backup-failed"}),
              on_server(f'ALTER DATABASE "{name}" RENAME TO "{name}_away"'),
              on_server(f'ALTER DATABASE "{name}_away" RENAME TO "{name}"')),
        Fault("the store is away", frozenset({"store"}), store_away, store_back,
              frozenset({"backup-failed", "verify-failed", "prune-failed"})),
        Fault("the second store is away", frozenset({"store-unreachable"}), copy_away, copy_back,
              frozenset({"copy-failed", "prune-failed"})),
        Fault("a stored bit flips", frozenset({"backup-damaged"}), flip, unflip,
              # The newest good one is then the one before, which may be of the emptied table.
              frozenset({"verify-failed", "backup-suspicious", "tables-moved"})),
        Fault("a table is emptied", frozenset({"backup-suspicious", "tables-moved"}),
              lambda: run(source, "DELETE FROM users"), lambda: run(source, FILL)),
    ]  # fmt: skip


def void(_: object) -> None:
    return None


def standing(told: list[tuple[str, str]]) -> set[str]:
    """The codes that were told last as being there."""
    last = {code: kind for kind, code in told}
    return {code for code, kind in last.items() if kind != "RECOVERED"}


@pytest.mark.sweep(0, full=60)
def test_alerts_equal_faults(servers: Servers, source: Address, tmp_path: Path, sweep: int) -> None:
    """Each fault once, and on for as many seconds as are asked for."""
    program = Program(tmp_path)
    seconds = float(os.environ.get("PGPROOF_SOAK_SECONDS", sweep))
    order = random.Random(int(os.environ.get("PGPROOF_SOAK_SEED", "26")))
    with web() as alerts:
        program.env["FAST_TURNS"] = "1000"  # the same code comes again and again here, which is no flapping
        program.env["ALERT_URL"] = f"json://127.0.0.1:{alerts.port}/"
        address = source.as_user("soak", Secret("right"))
        program.configure(f'[stores.offsite]\nurl = "{tmp_path / "offsite"}"\n{SCHEDULE}', db=address)
        program.ok("backup", "--quiet")
        program.ok("backup", "--quiet")
        program.ok("backup", "--quiet")
        every = faults(servers, source, program)
        with serving(program) as service:
            service.wait_for("backup of db is done", 2)
            began, turn = time.monotonic(), 0
            while turn < len(every) or time.monotonic() - began < seconds:
                if turn % len(every) == 0:
                    order.shuffle(every)
                one_fault(every[turn % len(every)], alerts, service)
                turn += 1
            service.stop()
    said = Counter(events(alerts))
    assert sum(said.values()) < turn * 8, said


def one_fault(fault: Fault, alerts: Web, service: Serving) -> None:
    """It comes and is told, once; it goes and that is told, once; nothing else is."""
    before, skips = len(events(alerts)), service.said(SKIPPED)
    assert standing(events(alerts)) == set(), (fault.name, events(alerts))
    fault.begin()

    def so_far() -> object:
        return fault.name, events(alerts)[before:], service.log.read_text()[-800:]

    until(lambda: fault.codes <= standing(events(alerts)), so_far, 300)
    fault.end()
    until(lambda: standing(events(alerts)) == set(), so_far, 300)
    told = Counter(events(alerts)[before:])
    news = {code for kind, code in told if kind == "NEW"}
    # Slots come every five seconds: on a machine that is busy for more than two of them, that is told too, and true.
    slow = {"run-skipped"} if service.said(SKIPPED) > skips + 1 else set()
    assert fault.codes <= news <= fault.codes | fault.perhaps | slow, (fault.name, told)
    for code in fault.codes:
        assert told["NEW", code] == 1, (fault.name, told)
