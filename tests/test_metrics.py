"""Metrics: Prometheus's own parser reads them, what is built on them names nothing else, and nobody can stop them."""

import contextlib
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from pgproof import __version__
from pgproof.errors import ConfigError, PgproofError, Unreachable, UsageError
from pgproof.finding import Finding
from pgproof.monitor import endpoint, textfile
from pgproof.monitor.endpoint import Server, parse_address, serve
from pgproof.monitor.metrics import CONTENT_TYPE, MEASURES, TASKS, Picture, Shelf, View, exposition, families
from pgproof.run import Outcome, Run
from tests.conftest import Program, Servers, missing
from tests.kit import run as sql

ROOT = Path(__file__).parent.parent
RULES = ROOT / "contrib" / "alert-rules.yml"
DASHBOARD = ROOT / "contrib" / "grafana-dashboard.json"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECONDS = 2.0  # that the endpoint waits here
SCRAPED = {"job", "instance"}  # what Prometheus itself adds

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: str) -> Series:
    """Every sample, by Prometheus's own parser; a series that comes twice is a fault."""
    found: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"{key} comes twice"
            found[key] = sample.value
    return found


def series(name: str, **labels: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    return name, tuple(sorted(labels.items()))


def told(view: View) -> Series:
    return read(exposition(families(view)).decode())


def a_run(number: int, outcome: Outcome = "done", task: str = "backup", source: str = "db") -> Run:
    ended = None if outcome == "running" else NOW + timedelta(minutes=number, seconds=7)
    return Run(f"{number:016x}", task, source, NOW + timedelta(minutes=number), ended, outcome)


# -- a real run ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Real:
    program: Program
    offsite: Path
    first: str = ""  # what `metrics` said when all was well

    def metrics(self, code: int = 0) -> Series:
        ran = self.program.run("metrics")
        assert ran.code == code, ran.err
        return read(ran.out)


@pytest.fixture(scope="module")
def real(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Real:
    """Two stores, a backup that is proven and a newer one that is not."""
    program = Program(tmp_path_factory.mktemp("metrics"))
    address = servers.database(15)
    sql(address, "CREATE TABLE orders (id int)", "INSERT INTO orders SELECT generate_series(1, 200)")
    sql(address, "CREATE TABLE empty (id int)")
    offsite = program.folder / "offsite"
    program.configure(f'[stores.offsite]\nurl = "{offsite}"\n', db=address)
    program.ok("backup", "--quiet")
    program.ok("prove", "--quiet")
    sql(address, "INSERT INTO orders VALUES (201)")
    program.ok("backup", "--quiet")
    return Real(program, offsite, program.ok("metrics").out)


@pytest.fixture
def own(real: Real, tmp_path: Path) -> Real:
    """A copy of it, to be broken."""
    folder = tmp_path / "own"
    shutil.copytree(real.program.folder, folder)
    file = folder / "pgproof.toml"
    file.write_text(file.read_text().replace(str(real.program.folder), str(folder)))
    (folder / "state" / "stores.json").unlink()  # it remembers the stores by their place
    return Real(Program(folder), folder / "offsite", real.first)


@pytest.mark.slow
def test_the_figures_of_a_real_run_are_those_of_its_manifests(real: Real) -> None:
    found = read(real.first)
    older, newer = sorted(real.program.ok("list", "--json").json, key=lambda one: one["id"])
    shown, drilled = (real.program.ok("show", one["id"], "--json").json for one in (newer, older))
    moment = datetime.fromisoformat
    began = moment(shown["began"]).timestamp()
    assert found[series("pgproof_last_success_timestamp_seconds", source="db", kind="logical")] == began
    assert found[series("pgproof_last_copy_timestamp_seconds", source="db", store="offsite")] == began
    (drill,) = drilled["records"]
    assert found[series("pgproof_last_proof_timestamp_seconds", source="db")] == moment(drill["at"]).timestamp()
    assert found[series("pgproof_drill_duration_seconds", source="db")] == drill["seconds"]
    assert found[series("pgproof_backup_size_bytes", source="db", kind="logical")] == sum(
        part["size"] for part in shown["parts"]
    )
    assert found[series("pgproof_backup_duration_seconds", source="db", kind="logical")] == pytest.approx(
        (moment(shown["ended"]) - moment(shown["began"])).total_seconds()
    )
    assert found[series("pgproof_backup_rows", source="db", kind="logical")] == 201
    assert found[series("pgproof_backup_tables", source="db", kind="logical")] == 2
    assert found[series("pgproof_backup_max_age_seconds", source="db")] == 30 * 3600
    assert found[series("pgproof_proof_max_age_seconds", source="db")] == 1.25 * 31 * 86400
    states = {"stored": 1, "intact": 0, "proven": 1, "damaged": 0}
    for state, count in states.items():
        assert found[series("pgproof_backups", source="db", store="local", state=state)] == count
    for store in ("local", "offsite"):
        assert found[series("pgproof_store_up", store=store)] == 1
        assert found[series("pgproof_store_bytes", store=store)] == older["size"] + newer["size"]
        free = shutil.disk_usage(real.offsite).free
        assert found[series("pgproof_store_free_bytes", store=store)] == pytest.approx(free, rel=0.2)
    assert found[series("pgproof_finding", source="db", code="fine", level="ok")] == 1
    assert found[series("pgproof_findings", source="db", level="critical")] == 0
    assert found[series("pgproof_up")] == found[series("pgproof_info", version=__version__)] == 1
    assert time.time() - 600 < found[series("pgproof_metrics_timestamp_seconds")] < time.time()


@pytest.mark.slow
def test_a_damaged_manifest_counts_as_damaged_and_is_a_finding(own: Real) -> None:
    newest = max(own.program.store.glob("db/*/manifest.json"))
    newest.write_bytes(newest.read_bytes().replace(b"began", b"Began"))
    found = own.metrics()
    assert found[series("pgproof_backups", source="db", store="local", state="damaged")] == 1
    assert found[series("pgproof_backups", source="db", store="offsite", state="damaged")] == 0
    assert found[series("pgproof_finding", source="db", code="backup-damaged", level="critical")] == 1
    assert found[series("pgproof_findings", source="db", level="critical")] == 1


def test_the_newest_good_backup_is_not_one_that_is_damaged(own: Real) -> None:
    whole = read(own.first)
    older, newer = sorted(own.program.ok("list", "--json").json, key=lambda one: one["id"])
    part = max((own.program.store / newer["id"]).glob("db.sql*"))
    whole_part = part.read_bytes()
    part.write_bytes(whole_part[:-1] + bytes([whole_part[-1] ^ 1]))
    assert own.program.run("verify", newer["id"]).code == 3
    found = own.metrics()
    success = series("pgproof_last_success_timestamp_seconds", source="db", kind="logical")
    assert found[success] == datetime.fromisoformat(older["began"]).timestamp() < whole[success]
    assert found[series("pgproof_backup_rows", source="db", kind="logical")] == 200
    assert found[series("pgproof_backups", source="db", store="local", state="damaged")] == 1
    copied = series("pgproof_last_copy_timestamp_seconds", source="db", store="offsite")
    assert found[copied] == whole[copied]


def test_another_store_that_is_down_is_said_and_the_rest_still_comes(own: Real) -> None:
    whole = read(own.first)
    shutil.rmtree(own.offsite)
    ran = own.program.run("metrics")
    assert ran.code == 0
    assert "the store offsite cannot be asked" in ran.err
    found = read(ran.out)
    assert found[series("pgproof_store_up", store="offsite")] == 0
    assert found[series("pgproof_store_up", store="local")] == found[series("pgproof_up")] == 1
    gone = {key for key in whole.keys() - found.keys() if not key[0].startswith("pgproof_finding")}
    assert gone and all(("store", "offsite") in labels for _, labels in gone)
    assert [labels for name, labels in found if name == "pgproof_finding" and ("code", "store-unreachable") in labels]


def test_the_first_store_down_ends_with_6_and_what_the_other_holds_is_still_told(own: Real) -> None:
    whole = read(own.first)
    shutil.rmtree(own.program.store)
    target = own.program.folder / "pgproof.prom"
    ran = own.program.run("metrics", "--textfile", str(target))
    assert (ran.code, ran.out) == (6, "")
    assert "the store local cannot be asked" in ran.err
    found = read(target.read_text())
    assert found[series("pgproof_up")] == found[series("pgproof_store_up", store="local")] == 0
    success = series("pgproof_last_success_timestamp_seconds", source="db", kind="logical")
    assert found[success] == whole[success]
    assert found[series("pgproof_finding", source="db", code="store", level="critical")] == 1


def test_no_store_at_all_says_nothing_of_backups_rather_than_that_there_are_none(own: Real) -> None:
    shutil.rmtree(own.program.store)
    shutil.rmtree(own.offsite)
    found = own.metrics(code=6)
    assert not [name for name, _ in found if name.startswith("pgproof_last_") or name == "pgproof_backups"]
    assert [dict(labels)["code"] for name, labels in found if name == "pgproof_finding"] == ["store"]


def test_a_textfile_that_the_collector_would_not_read_is_refused(real: Real) -> None:
    for path in ("metrics.txt", "metrics.prom.tmp", "nowhere/metrics.prom"):
        ran = real.program.run("metrics", "--textfile", path)
        assert (ran.code, ran.out) == (2, "")
        assert "textfile.directory" in ran.err
    assert not list(real.program.folder.glob("*.prom*"))


# -- what is built on the names -----------------------------------------------------------------------


def known(real: Real) -> dict[str, set[str]]:
    """Every name with its labels: of the real run, and of runs, which a journal would tell."""
    found: dict[str, set[str]] = {}
    view = View(NOW, "1", (Picture("db"),), (), (a_run(1),))
    for name, labels in [*read(real.first), *told(view)]:
        found.setdefault(name, set()).update(label for label, _ in labels)
    return found


def wrong(expression: str, names: dict[str, set[str]]) -> list[str]:
    """What an expression names and there is not: metrics, their labels in braces, labels in lists."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    used = re.findall(r"\b(pgproof_\w+)(?:\{([^}]*)\})?", bare)
    found = [name for name, _ in used if name not in names]
    for name, braces in used:
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", braces))
        found += [f"{name}{{{label}}}" for label in sorted(labels - names.get(name, labels) - SCRAPED)]
    every = SCRAPED.union(*(names.get(name, set()) for name, _ in used))
    for words in re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([\w\s,]*)\)", bare):
        found += [label for label in re.findall(r"\w+", words) if label not in every]
    return found if used else [f"no metric of ours in {expression!r}"]


def expressions() -> Iterator[tuple[str, str]]:
    """Each expression with the text that goes with it, in which labels are named too."""
    for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]:
        yield rule["expr"], " ".join(rule["annotations"].values())
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"], target["legendFormat"]
    query = dashboard["templating"]["list"][1]["query"]["query"]
    match = re.fullmatch(r"label_values\((\w+), (\w+)\)", query)
    assert match
    yield f'{match[1]}{{{match[2]}=""}}', ""


def test_dashboard_and_rules_name_only_what_a_real_run_gives(real: Real) -> None:
    names = known(real)
    every = list(expressions())
    assert len(every) > 30
    for expression, text in every:
        assert not wrong(expression, names), expression
        labels = set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", text))
        used = re.findall(r"pgproof_\w+", expression)
        assert labels <= SCRAPED.union(*(names[name] for name in used)), text
    used_names = {name for expression, _ in every for name in re.findall(r"pgproof_\w+", expression)}
    assert used_names == names.keys(), "what is measured is shown or watched somewhere"


@pytest.mark.parametrize(
    "expression",
    [
        "time() - pgproof_last_succes_timestamp_seconds",
        'pgproof_backups{status="damaged"} > 0',
        'pgproof_store_up{source="db"}',
        "max by (host) (pgproof_store_bytes)",
        "pgproof_backup_rows > ignoring (sotre) group_left () pgproof_last_copy_timestamp_seconds",
        "time() > 3",
    ],
)
def test_a_misspelt_name_is_found(real: Real, expression: str) -> None:
    assert wrong(expression, known(real))


def test_finding_codes_in_the_rules_exist() -> None:
    codes = re.findall(r'code="([^"]+)"', RULES.read_text())
    folder = ROOT / "src" / "pgproof" / "monitor" / "health"
    health = "".join(path.read_text() for path in folder.glob("*.py"))
    assert codes
    assert all(f'"{code}"' in health for code in codes)


def test_states_outcomes_and_levels_in_rules_and_dashboard_exist(real: Real) -> None:
    values: dict[str, set[str]] = {}
    view = View(NOW, "1", (Picture("db"),), (), (a_run(1),))
    for _, labels in [*read(real.first), *told(view)]:
        for label, value in labels:
            values.setdefault(label, set()).add(value)
    for expression, _ in expressions():
        for label, text in re.findall(r'(state|outcome|level)(?:=~|!=|=)"([^"]+)"', expression):
            assert set(text.split("|")) <= values[label], expression


def test_the_table_in_the_documentation_has_every_metric_with_its_labels() -> None:
    lines = (ROOT / "docs" / "metrics.md").read_text().splitlines()
    rows = [re.match(r"\| `(pgproof_\w+)(?:\{([\w, ]*)\})?` \|", line) for line in lines]
    table = {row[1]: tuple(re.findall(r"\w+", row[2] or "")) for row in rows if row}
    assert table == {name: labels for name, labels, _, _ in MEASURES}


def promtool(*words: str, folder: Path, told: str = "") -> str:
    program = shutil.which("promtool", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or missing(
        "promtool"
    )
    done = subprocess.run(
        [program, *words], cwd=folder, input=told, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_promtool_takes_the_rules_and_they_fire_when_they_are_to(tmp_path: Path) -> None:
    shutil.copy(RULES, tmp_path)
    shutil.copy(ROOT / "tests" / "rules" / "alert-rules-test.yml", tmp_path)
    assert "13 rules found" in promtool("check", "rules", RULES.name, folder=tmp_path)
    assert "SUCCESS" in promtool("test", "rules", "alert-rules-test.yml", folder=tmp_path)


@pytest.mark.slow
def test_promtool_takes_the_expressions_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$source", ".*")}
        for number, (expression, _) in enumerate(expressions())
    ]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", "panels.yml", folder=tmp_path)


@pytest.mark.slow
def test_promtool_finds_no_fault_with_the_metrics_of_a_real_run(real: Real, tmp_path: Path) -> None:
    assert promtool("check", "metrics", folder=tmp_path, told=real.first) == ""


# -- the text -----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_value_of_a_label_comes_back_as_it_was(source: str, code: str) -> None:
    view = View(NOW, "1", (Picture(source, findings=(Finding(code, "warning", source, "x"),)),))
    plain = [re.sub(r"[\r\0]", " ", text) for text in (source, code)]
    assert told(view)[series("pgproof_finding", source=plain[0], code=plain[1], level="warning")] == 1


def test_quotes_backslashes_and_newlines_are_escaped() -> None:
    view = View(NOW, 'a"b\\c\nd\\n', ())
    assert b'pgproof_info{version="a\\"b\\\\c\\nd\\\\n"} 1\n' in exposition(families(view))


def test_times_keep_their_fractions_and_bytes_their_last_digit() -> None:
    now = NOW + timedelta(microseconds=123457)
    found = told(View(now, "1", (), (Shelf("s", free_bytes=2**53 - 1),)))
    assert found[series("pgproof_metrics_timestamp_seconds")] == now.timestamp()
    assert b'pgproof_store_free_bytes{store="s"} 9007199254740991\n' in exposition(
        families(View(now, "1", (), (Shelf("s", free_bytes=2**53 - 1),)))
    )


def test_the_same_finding_twice_is_one_series_and_counted_twice() -> None:
    twice = tuple(Finding("backup-damaged", "warning", "db", text) for text in ("one", "two"))
    found = told(View(NOW, "1", (Picture("db", findings=twice),)))
    assert found[series("pgproof_finding", source="db", code="backup-damaged", level="warning")] == 1
    assert found[series("pgproof_findings", source="db", level="warning")] == 2


STEP = st.tuples(st.sampled_from(TASKS[:2]), st.sampled_from(["", "db", "other"]), st.sampled_from(get_args(Outcome)))


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.lists(STEP, max_size=12))
def test_counters_never_go_back_while_a_journal_grows(steps: list[tuple[str, str, Outcome]]) -> None:
    """Each step begins a run and then ends it, unless it is still at work when the next begins."""
    journal: list[Run] = []
    before: Series = {}
    for number, (task, source, outcome) in enumerate(steps):
        for state in ("running", outcome):
            journal[number:] = [a_run(number, state, task, source)]
            view = View(NOW, "1", (Picture("db"),), (), tuple(journal))
            found = read(exposition(one for one in families(view) if one.name.endswith("_total")).decode())
            assert before.keys() <= found.keys()
            assert all(found[key] >= value for key, value in before.items())
            before = found
    assert sum(before.values()) == sum(outcome != "running" for _, _, outcome in steps)


def test_what_has_not_happened_yet_is_counted_as_0_and_no_journal_is_not() -> None:
    nothing = {key: value for key, value in told(View(NOW, "1", (Picture("db"),), (), ())).items() if "runs" in key[0]}
    assert len(nothing) == len(TASKS) * (len(get_args(Outcome)) - 1)
    assert not any(nothing.values())
    assert not [name for name, _ in told(View(NOW, "1", (Picture("db"),))) if "run" in name]


def test_the_duration_is_that_of_the_last_run_that_has_ended() -> None:
    longer = replace(a_run(2), ended=NOW + timedelta(minutes=12))
    found = told(View(NOW, "1", (), (), (longer, a_run(1), a_run(3, "running"))))
    assert found[series("pgproof_run_duration_seconds", task="backup", source="db")] == 600


# -- the textfile -------------------------------------------------------------------------------------


def test_a_reader_never_sees_half_a_file_while_it_is_written_200_times(tmp_path: Path) -> None:
    path = tmp_path / "pgproof.prom"
    contents = [f"{number % 10}".encode() * 300_000 for number in range(10)]
    textfile.write(path, contents[0])
    ended, seen, names = threading.Event(), set(), set()

    def look() -> None:
        while not ended.is_set():
            seen.add(path.read_bytes())
            names.update(name for name in os.listdir(tmp_path) if name.endswith(".prom"))

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(look)
        for number in range(200):
            textfile.write(path, contents[number % 10])
        ended.set()
        reading.result()
    assert len(seen) > 1
    assert seen <= set(contents)
    assert names == {"pgproof.prom"}
    assert os.listdir(tmp_path) == ["pgproof.prom"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_textfile_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "pgproof.prom").mkdir()
    with pytest.raises(PgproofError, match="cannot write"):
        textfile.write(tmp_path / "pgproof.prom", b"new")
    assert os.listdir(tmp_path) == ["pgproof.prom"]
    with pytest.raises(UsageError):
        textfile.check(tmp_path / "pgproof.txt")


# -- the endpoint -------------------------------------------------------------------------------------

TEXT = exposition(families(View(NOW, "1", (Picture("db"),), (Shelf("s", error=Unreachable("gone")),))))


@pytest.fixture
def said() -> list[Finding]:
    return []


@pytest.fixture
def server(said: list[Finding]) -> Iterator[Server]:
    with serve("127.0.0.1:0", lambda: TEXT, lambda: said, seconds=SECONDS) as made:
        yield made


def get(server: Server, path: str, method: str = "GET") -> tuple[int, bytes, str]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body, answer.headers["Content-Type"]


def exchange(server: Server, sent: bytes) -> bytes:
    """What comes back for these bytes until the server hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        try:
            client.sendall(sent)
        except ConnectionError:
            return b""
        return rest(client)


def rest(client: socket.socket) -> bytes:
    """What still comes until the server hangs up, in whichever way."""
    received = bytearray()
    try:
        while data := client.recv(1 << 20):
            received += data
    except ConnectionError:
        pass
    return bytes(received)


def test_metrics_and_health_are_answered_and_nothing_else(server: Server) -> None:
    assert get(server, "/metrics") == (200, TEXT, CONTENT_TYPE)
    assert get(server, "/metrics?name[]=x") == (200, TEXT, CONTENT_TYPE)
    assert get(server, "/health")[:2] == (200, b"ok\n")
    assert get(server, "/metrics", "HEAD")[:2] == (200, b"")
    for path in ("/", "/metrics/", "//metrics", "/../etc/passwd", "/metrics/../health", "/%6detrics", "/health/x"):
        assert get(server, path)[0] == 404, path
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert get(server, "/metrics", method)[0] == 405


def test_health_is_503_on_what_is_critical_and_says_the_gravest(server: Server, said: list[Finding]) -> None:
    said.append(Finding("fine", "ok", "db", "db: fine"))
    said.append(Finding("orphans", "info", "db", "db: orphans"))
    assert get(server, "/health")[:2] == (200, b"ok\n")
    said.append(Finding("backup-damaged", "warning", "db", "db: old and damaged"))
    assert get(server, "/health")[:2] == (200, b"warning: db: old and damaged\n")
    said.append(Finding("no-backup", "critical", "db", "db: there is no backup"))
    assert get(server, "/health")[:2] == (503, b"critical: db: there is no backup\n")


def test_it_listens_on_loopback_unless_told_otherwise() -> None:
    assert parse_address(":9000") == ("127.0.0.1", 9000)
    assert parse_address("") == ("127.0.0.1", endpoint.PORT)
    assert parse_address("[::1]:80") == ("::1", 80)
    assert parse_address("0.0.0.0") == ("0.0.0.0", endpoint.PORT)
    for bad in ("::1", "a:b", "host:70000", "http://host:1", "host:1/x", "a b", "[x"):
        with pytest.raises(ConfigError):
            parse_address(bad)


def test_an_address_that_is_taken_is_refused_in_a_sentence(server: Server) -> None:
    with pytest.raises(ConfigError, match="cannot listen on"):
        serve(f"127.0.0.1:{server.port}", lambda: b"", lambda: ())


def test_many_at_once_are_all_answered(server: Server) -> None:
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: get(server, "/metrics")[1], range(400)))
    assert set(answers) == {TEXT}


def test_garbage_ends_the_connection_and_nothing_else(server: Server) -> None:
    for sent in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500) + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"GET http://other/metrics HTTP/1.1\r\n\r\n",
        b"get /metrics HTTP/1.1\r\n\r\n",
        b"GET  /metrics HTTP/1.1\r\n\r\n",
        b"\0" * 4000 + b"\r\n\r\n",
    ):
        assert exchange(server, sent).startswith(b"HTTP/1.1 400 "), sent[:40]
    began = time.monotonic()
    large = exchange(server, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 3 * endpoint.LARGEST)
    assert large == b"" or large.startswith(b"HTTP/1.1 431 ")  # a reset may overtake the answer
    assert time.monotonic() - began < 10 * SECONDS, "it is not waited for"
    assert get(server, "/metrics")[1] == TEXT


def test_of_too_many_the_one_that_has_waited_longest_makes_room() -> None:
    with serve("127.0.0.1:0", lambda: TEXT, lambda: (), seconds=60) as server, contextlib.ExitStack() as stack:
        waiting = []
        for _ in range(endpoint.MOST + 3):
            waiting.append(stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20)))
            waiting[-1].sendall(b"GET ")
        assert get(server, "/metrics")[1] == TEXT
        for client in waiting[:4]:
            assert rest(client) == b""
        for client in waiting[4:]:
            client.sendall(b"/health HTTP/1.1\r\n\r\n")
            assert rest(client).endswith(b"ok\n")


@pytest.mark.slow
def test_slow_clients_neither_hang_it_nor_stay(server: Server) -> None:
    """Twice as many as may be connected at once, each of which sends a byte now and then."""
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2 * endpoint.MOST)]
    try:
        began = time.monotonic()
        hung_up: set[int] = set()
        while len(hung_up) < len(slow) and time.monotonic() < began + 10 * SECONDS:
            for number, client in enumerate(slow):
                if number not in hung_up and not dribble(client):
                    hung_up.add(number)
            asked = time.monotonic()
            assert get(server, "/metrics")[1] == TEXT
            assert time.monotonic() - asked < SECONDS
            time.sleep(0.2)
        assert len(hung_up) == len(slow), "the slow ones are let go of in time"
    finally:
        for client in slow:
            client.close()


def dribble(client: socket.socket) -> bool:
    try:
        client.sendall(b"G")
        client.setblocking(False)
        return client.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


@pytest.mark.slow
def test_one_that_does_not_read_its_answer_is_let_go_of() -> None:
    with serve("127.0.0.1:0", lambda: b"x" * 50_000_000, lambda: (), seconds=SECONDS) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            time.sleep(SECONDS + 1)
            client.settimeout(10)
            assert len(rest(client)) < 50_000_000
        assert get(server, "/health")[0] == 200


def test_a_picture_that_fails_is_a_500_without_its_words_and_the_next_is_answered() -> None:
    divisors = iter([0, 1])
    with serve("127.0.0.1:0", lambda: b"good\n" * (1 // next(divisors)), lambda: ()) as server:
        code, body, _ = get(server, "/metrics")
        assert (code, body) == (500, b"a fault in pgproof itself: ZeroDivisionError\n")
        assert get(server, "/metrics")[:2] == (200, b"good\n")


@pytest.mark.slow
def test_a_picture_that_hangs_holds_neither_the_clients_nor_the_end() -> None:
    release = threading.Event()
    with serve("127.0.0.1:0", lambda: b"late" if release.wait(60) else b"", lambda: (), seconds=SECONDS) as server:
        began = time.monotonic()
        assert exchange(server, b"GET /metrics HTTP/1.1\r\n\r\n") == b""
        assert time.monotonic() - began < SECONDS + 15
        assert exchange(server, b"GET /nothing HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 404 ")
    assert time.monotonic() - began < SECONDS + 20
    release.set()


def test_once_closed_nothing_listens_and_closing_again_does_nothing(server: Server) -> None:
    waiting = socket.create_connection(("127.0.0.1", server.port))
    assert get(server, "/health")[0] == 200
    server.close()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))
    waiting.settimeout(5)
    with waiting:
        assert rest(waiting) == b""
