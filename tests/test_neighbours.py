"""What is without a backup is told by doctor and service, remembered, and over by a source or `ignore`."""

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pgproof.monitor.health.unprotected import Kept, Neighbour, unprotected
from pgproof.postgres.server import Address, connect
from tests import engine
from tests.channels import web
from tests.conftest import Program, Servers, drop_database
from tests.engine import Stack
from tests.kit import run
from tests.test_service import OFTEN, bodies, serving
from tests.waiting import until

# -- the decision ----------------------------------------------------------------------------------

SHOP = Kept("shop", "shop", server="1", databases=("shop", "crm", "wiki"), places=("db:5432", "10.0.0.2:5432"))
HERE = Neighbour("shop-db", ("10.0.0.2:5432", "127.0.0.1:5433"))
OTHER = Neighbour("wiki-db", ("10.0.0.9:5432",))


def said(*kept: Kept, beside: tuple[Neighbour, ...] = ()) -> list[tuple[str, str]]:
    found = unprotected(kept, beside)
    assert all(one.level == "warning" and one.hint for one in found)
    return [(one.code, one.text.rpartition(": ")[2]) for one in found]


def test_databases_in_no_source_are_told_once_for_a_server() -> None:
    assert said(SHOP) == [("unprotected-database", "crm, wiki")]
    crm = replace(SHOP, source="crm", database="crm")
    assert said(SHOP, crm) == [("unprotected-database", "wiki")]
    assert said(SHOP, crm, replace(SHOP, source="wiki", database="wiki")) == []
    assert said(SHOP, Kept("far", "wiki", server="2", databases=("wiki",))) == [("unprotected-database", "crm, wiki")]


def test_what_is_ignored_or_in_a_volume_backup_is_not_told() -> None:
    assert said(replace(SHOP, ignore=("crm",))) == [("unprotected-database", "wiki")]
    assert said(replace(SHOP, ignore=("crm", "wiki"))) == []
    assert said(SHOP, replace(SHOP, source="all", whole=True)) == []


def test_a_source_that_was_never_asked_may_be_on_any_server() -> None:
    assert said(SHOP, Kept("new", "wiki")) == [("unprotected-database", "crm")]
    assert said(Kept("new", "wiki")) == []


@pytest.mark.parametrize(
    "name",
    [
        *("shop_before_20261123T020000Z", "shop_recovering_20261123T020000Z", "shop_restored_20261123t020000z"),
        *("shop_restoring_1.2.3.4", "rdsadmin"),
    ],
)
def test_what_a_restore_or_a_provider_leaves_is_not_told(name: str) -> None:
    assert said(replace(SHOP, databases=("shop", name))) == []
    assert said(replace(SHOP, databases=("shop", "shop_before_noon"))) != []


def test_a_container_belongs_to_the_source_that_reaches_it() -> None:
    known = replace(SHOP, databases=())
    assert said(known, beside=(HERE, OTHER)) == [("unprotected-container", "wiki-db")]
    assert said(replace(known, ignore=("wiki-db",)), beside=(HERE, OTHER)) == []
    assert said(known, Kept("wiki", container="wiki-db"), beside=(HERE, OTHER)) == []
    assert said(known, Kept("unknown"), beside=(HERE, OTHER)) == [], "it may be that one"
    assert said(known, beside=(Neighbour("hidden"),)) == [], "in the machine's own network: it cannot be told apart"


# -- a real server ---------------------------------------------------------------------------------


@pytest.fixture
def databases(servers: Servers) -> Iterator[Callable[[str], Address]]:
    """Makes databases whose names are of this test alone; a server of the session has others too."""
    made: list[str] = []

    def make(name: str) -> Address:
        made.append(name)
        return servers.database(17, name)

    yield make
    for name in made:
        drop_database(servers(17).address, name)


def told(program: Program, command: str = "doctor") -> dict[str, str]:
    ran = program.run(command, "--json")
    return {one["code"]: one["text"] for one in ran.json["findings"] if one["code"].startswith("unprotected")}


def others(servers: Servers, *but: str) -> list[str]:
    """The databases of the session's other tests."""
    with connect(servers(17).address) as session:
        return [str(one) for (one,) in session.rows("SELECT datname FROM pg_database") if one not in but]


def ignoring(program: Program, names: list[str]) -> None:
    file = program.folder / "pgproof.toml"
    text = file.read_text()
    file.write_text(text.replace("[sources.db]\n", f"[sources.db]\nignore = {json.dumps(names)}\n"))


@pytest.mark.slow
def test_a55_doctor_tells_and_status_remembers_until_it_is_a_source_or_ignored(
    servers: Servers, databases: Callable[[str], Address], program: Program
) -> None:
    mine, beside = databases("nb_mine"), databases("nb_beside")
    with connect(servers(17).address) as session:
        session.run("CREATE DATABASE nb_closed ALLOW_CONNECTIONS false")
        session.run("CREATE DATABASE nb_template IS_TEMPLATE true")
    rest = others(servers, "nb_mine", "nb_beside", "nb_closed", "nb_template", "postgres")
    program.configure(db=mine)
    ignoring(program, rest)
    assert told(program, "status") == {}, "nobody was asked yet"
    try:
        text = told(program)["unprotected-database"]
    finally:
        with connect(servers(17).address) as session:
            session.run("ALTER DATABASE nb_template IS_TEMPLATE false")
            session.run("DROP DATABASE nb_template")
            session.run("DROP DATABASE nb_closed")
    assert text.endswith("are in no backup: nb_beside"), text
    program.ok("backup", "--quiet")
    assert told(program, "status") == {"unprotected-database": text}
    program.configure(db=mine, second=beside)
    ignoring(program, rest)
    assert told(program, "status") == {}, "its name may be on any server until that is asked"
    assert told(program) == {}
    program.configure(db=mine)
    ignoring(program, [*rest, "nb_beside"])
    assert told(program) == {}


def test_the_maintenance_database_is_told_only_with_tables_in_it(
    servers: Servers, databases: Callable[[str], Address], program: Program
) -> None:
    program.configure(db=databases("nb_mine"))
    ignoring(program, others(servers, "nb_mine", "postgres"))
    assert told(program) == {}
    run(servers(17).address.to("postgres"), "CREATE TABLE forgotten (id int)")
    try:
        assert told(program)["unprotected-database"].endswith(": postgres")
    finally:
        run(servers(17).address.to("postgres"), "DROP TABLE forgotten")


def test_a_server_that_is_down_is_remembered(
    servers: Servers, databases: Callable[[str], Address], program: Program
) -> None:
    mine = databases("nb_mine")
    databases("nb_beside")
    rest = others(servers, "nb_mine", "nb_beside", "postgres")
    program.configure(db=mine)
    ignoring(program, rest)
    assert "unprotected-database" in told(program)
    with connect(servers(17).address) as session:
        session.run("ALTER DATABASE nb_mine ALLOW_CONNECTIONS false")
        try:
            assert "unprotected-database" in told(program)
        finally:
            session.run("ALTER DATABASE nb_mine ALLOW_CONNECTIONS true")


@pytest.mark.slow
def test_a55_the_service_asks_tells_and_says_when_it_is_over(
    servers: Servers, databases: Callable[[str], Address], program: Program
) -> None:
    mine = databases("nb_mine")
    beside = databases("nb_beside")
    rest = others(servers, "nb_mine", "nb_beside", "postgres")
    run(mine, "CREATE TABLE t (id int)")
    with web() as alerts:
        program.env["ALERT_URL"] = f"json://127.0.0.1:{alerts.port}/"
        more = OFTEN + '[alerts]\nurls = ["env:ALERT_URL"]\n'
        program.configure(more, db=mine)
        ignoring(program, rest)
        with serving(program) as service:
            until(lambda: any("in no backup: nb_beside" in text for text in bodies(alerts)))
            program.configure(more, db=mine, second=beside)
            ignoring(program, rest)
            service.child.send_signal(signal.SIGHUP)
            until(lambda: any("RECOVERED" in text and "unprotected" in text for text in bodies(alerts)))
            service.stop()


# -- a real engine ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with engine.stack() as made:
        yield made


@pytest.mark.slow
def test_a55_a_server_in_a_container_that_is_in_no_source_is_told(
    stack: Stack, servers: Servers, databases: Callable[[str], Address], tmp_path: Path
) -> None:
    program = Program(tmp_path, {"STACK_PASSWORD": engine.PASSWORD, "DOCKER_HOST": engine.address()})
    mine = databases("nb_mine")

    def containers(more: str = "", **sources: Any) -> set[str]:
        """Without those of other tests: only a few are named."""
        program.configure(more, **sources)
        running = set(engine.docker("ps", "--format", "{{.Names}}").split())
        ignoring(program, sorted(running - {stack.database, stack.service}))
        text = told(program).get("unprotected-container", "")
        return set(text.rpartition(": ")[2].split(", ")) & {stack.database, stack.service}

    until(lambda: containers(db=mine) == {stack.database})  # other tests start some meanwhile
    assert not containers(db=mine) & {stack.service}, "the service only sleeps"
    assert containers(db=mine, kc=stack.address) == set(), "a source that reaches it without saying so"
    assert containers(stack.source, db=mine) == set()
    program.configure(db=mine)
    ignoring(program, [stack.database])
    assert stack.database not in told(program).get("unprotected-container", "")
