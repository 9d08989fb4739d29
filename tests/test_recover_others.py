"""A recovery where others are at work too: another machine has recovered meanwhile, sessions are not ours to end."""

import json
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from pgproof.actions.recover.carry_out import Scene, start
from pgproof.actions.recover.ground import Ground
from pgproof.actions.recover.journal import Log, Recovery
from pgproof.postgres.server import Address, connect
from pgproof.secret import Secret
from pgproof.stream.progress import Silent
from tests.conftest import Program, Servers
from tests.kit import digests, run, value
from tests.test_recover import named_like, planned, prepared, recovered
from tests.waiting import next_second


def elsewhere(program: Program) -> Program:
    """Another machine: the same configuration and store, and nothing known of recoveries here."""
    return replace(program, env={**program.env, "PGPROOF_STATE": str(program.folder / "another")})


@pytest.mark.slow
def test_what_another_machine_has_recovered_is_not_put_aside_by_one_that_was_cut_off(
    servers: Servers, program: Program
) -> None:
    database = prepared(servers, program)
    config = program.folder / "pgproof.toml"
    whole = config.read_text()
    config.write_text(re.sub(r"(?m)^stop = .*$", 'stop = ["false"]', whole))
    assert program.run("recover", "--yes", planned(program)).code == 1, "its services cannot be stopped"
    config.write_text(whole)
    next_second()  # a second recovery in the same one is refused
    recovered(elsewhere(program))
    run(database, "INSERT INTO users VALUES (8888, 'written since')")
    theirs = digests(database)
    refused = program.run("recover", "--continue")
    assert refused.code == 4 and "somebody has recovered it" in refused.err and "--back" in refused.err, refused
    assert digests(database) == theirs
    program.ok("recover", "--back")
    assert digests(database) == theirs and named_like(database, "_recovering_") == []


@pytest.mark.slow
def test_an_undo_does_not_put_aside_what_another_machine_has_recovered_since(
    servers: Servers, program: Program
) -> None:
    database = prepared(servers, program)
    mine = recovered(program)
    recovered(elsewhere(program))
    theirs = digests(database)
    refused = program.run("recover", "--undo", "--yes", str(mine["plan"]))
    assert refused.code == 4 and "somebody has recovered it" in refused.err, refused
    assert digests(database) == theirs
    assert json.loads((program.folder / "state/recover/db.json").read_text())["state"] == "finished"


@pytest.fixture
def poor(servers: Servers, program: Program) -> Iterator[tuple[Program, Address]]:
    """The source's own role may read everything and make databases, and is no superuser."""
    database = prepared(servers, program)
    secret = program.folder / "poor"
    secret.touch(0o600)
    secret.write_text("secret")
    with connect(database, "postgres") as session:
        session.run("CREATE ROLE poor LOGIN CREATEDB PASSWORD 'secret' IN ROLE pg_read_all_data")
    config = program.folder / "pgproof.toml"
    text = re.sub(r"(?m)^password = .*$", f'password = "file:{secret}"', config.read_text(), count=1)
    config.write_text(text.replace(database.conninfo, database.as_user("poor").conninfo))
    yield program, database.as_user("poor", Secret("secret"))
    with connect(database, "postgres") as session:
        session.run(f'ALTER DATABASE "{database.database}" OWNER TO postgres')
        session.run("DROP OWNED BY poor")
        session.run("DROP ROLE poor")


@pytest.mark.slow
def test_a_role_that_may_not_switch_is_refused_before_anything_is_restored(poor: tuple[Program, Address]) -> None:
    program, database = poor
    refused = program.run("recover", "--dry-run")
    assert refused.code == 4 and "poor may not rename" in refused.err and 'GRANT "postgres" TO "poor"' in refused.err, (
        refused
    )
    assert named_like(database, "_") == []


@pytest.mark.slow
def test_sessions_that_the_role_may_not_end_are_in_the_plan(poor: tuple[Program, Address], servers: Servers) -> None:
    program, database = poor
    admin = servers(17).address.to(database.database)
    with connect(admin) as session:
        session.run(f'ALTER DATABASE "{database.database}" OWNER TO poor')
        warnings = program.ok("recover", "--dry-run", "--json").json["warnings"]
        assert any("poor may not end the sessions of postgres" in one for one in warnings), warnings
    warnings = program.ok("recover", "--dry-run", "--json").json["warnings"]
    assert not any("sessions" in one for one in warnings), warnings
    assert value(admin, "SELECT 1") == 1


@dataclass
class Told:
    """A service that writes down what it was told; who looks at the one that is `slow` loses patience."""

    name: str
    told: list[str]
    slow: bool = False
    stopping: str = ""

    def stop(self) -> None:
        self.told.append(f"stop {self.name}")

    def start(self) -> None:
        self.told.append(f"start {self.name}")

    def ready(self, seconds: float) -> str | None:
        del seconds
        if self.slow:
            raise KeyboardInterrupt
        return None


def test_who_does_not_wait_for_a_service_has_the_others_started_all_the_same(tmp_path: Path) -> None:
    now = datetime(2026, 11, 26, tzinfo=UTC)
    recovery = Recovery(
        "db", now, "running", "server", "1", "db", "db_recovering_x", "db_before_x", True, "db/x", "local", "hash",
        now, "", "me", "here",
    )  # fmt: skip
    told: list[str] = []
    services = (Told("last", told), Told("middle", told, slow=True), Told("first", told))
    log = Log(tmp_path / "db.json", recovery, lambda: now)
    with pytest.raises(KeyboardInterrupt):
        start(Scene(cast(Ground, None), services, 1, Silent()), log)
    assert told == ["start first", "start middle", "start middle", "start last"]
    assert log.recovery.did("start last")


@pytest.mark.slow
def test_at_a_terminal_questions_stand_alone_and_say_what_they_mean(servers: Servers, program: Program) -> None:
    """A bar that is drawn anew would wipe away what is typed; and a word in brackets is no colour."""
    database = prepared(servers, program)
    config = program.folder / "pgproof.toml"
    config.write_text(config.read_text().replace("[sources.db]\n", '[sources.db]\nchecks = ["keycloak"]\n', 1))
    mine, its = pty.openpty()
    env = {**program.environment, "TERM": "xterm", "COLUMNS": "100"}
    argv = program.argv("recover", "--backup", "latest")
    with subprocess.Popen(argv, cwd=program.folder, env=env, stdin=its, stdout=its, stderr=its) as child:
        os.close(its)
        asked = heard(mine, "[keep] ")
        assert "sessions drop-online: the online sessions were dropped" in asked
        os.write(mine, b"\n")
        heard(mine, "to go on: ")
        assert select.select([mine], [], [], 1.0)[0] == [], "nothing is drawn while it waits"
        os.write(mine, b"another\n")
        assert "that is not its name" in heard(mine, "nothing was done")
        assert child.wait(60) == 4
    os.close(mine)
    assert named_like(database, "_") == []


def heard(terminal: int, words: str, seconds: float = 60) -> str:
    """What is shown until these words are."""
    until, shown = time.monotonic() + seconds, ""
    while words not in shown:
        assert time.monotonic() < until, shown
        if select.select([terminal], [], [], 0.5)[0]:
            shown += os.read(terminal, 65536).decode("utf-8", "replace")
    return shown
