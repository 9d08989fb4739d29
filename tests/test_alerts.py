"""Alerts and pings arrive at real servers on loopback: once each, late where one was down, without secrets."""

import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from urllib.parse import quote

import pytest

from pgproof.alerting import Policy
from pgproof.config import Alerts, Reference
from pgproof.errors import Busy, ConfigError
from pgproof.finding import Finding
from pgproof.monitor.notify import Channel, Message, check_ping, check_urls, ping, send
from pgproof.monitor.outbox import FILE, Book, Outbox, examine
from pgproof.postgres.server import connect
from pgproof.secret import Secret
from tests import channels
from tests.channels import Mail, Web
from tests.conftest import Program, Servers

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
CANARY = "CaNaRy-s3cr3t-5f2e81"
ROW = f"duplicate key value\nDETAIL:  Key (email)=({CANARY}@row) already exists."


@pytest.fixture
def web() -> Iterator[Web]:
    with channels.web() as one:
        yield one


@pytest.fixture
def mail() -> Iterator[Mail]:
    with channels.mail() as one:
        yield one


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "state", "db1", "0.2.0")


def hook(port: int, name: str = "env:HOOK", more: str = "") -> Channel:
    return Channel(name, "alerts.urls[0]", Secret(f"json://127.0.0.1:{port}/hook{more}"))


def finding(source: str = "shop", text: str = "there is no backup", code: str = "no-backup") -> Finding:
    return Finding(code, "critical", source, f"{source}: {text}", "run `pgproof backup`")


# -- channels ---------------------------------------------------------------------------------------


def test_a_digest_arrives_at_a_webhook_and_by_mail(web: Web, mail: Mail, outbox: Outbox) -> None:
    both = [hook(web.port), Channel("env:MAIL", "alerts.urls[1]", Secret(mail.url()))]
    report = outbox.tell([finding()], both, NOW)
    assert [(one.name, one.ok, one.text) for one in report.outcomes] == [("env:HOOK", True, ""), ("env:MAIL", True, "")]
    assert report.whole
    (posted,) = web.messages
    assert (posted["title"], posted["type"]) == ("pgproof on db1: 1 critical", "failure")
    (letter,) = mail.messages
    assert letter["Subject"] == "pgproof on db1: 1 critical"
    for text in (posted["message"], letter.get_content().replace("\r\n", "\n")):
        assert text.strip() == (
            "CRITICAL  shop: there is no backup [no-backup]\n"
            "  hint: run `pgproof backup`\n"
            "  since 2026-11-01 12:00 UTC\n"
            "\n"
            "2026-11-01 12:00 UTC, pgproof 0.2.0 on db1"
        )


@pytest.mark.slow
def test_h3_a_storm_of_500_is_one_message_to_each_channel(web: Web, mail: Mail, outbox: Outbox) -> None:
    both = [hook(web.port), Channel("env:MAIL", "alerts.urls[1]", Secret(mail.url()))]
    storm = [finding(f"db{n}") for n in range(500)]
    for second in range(0, 60, 5):
        assert outbox.tell(storm, both, NOW + timedelta(seconds=second)).whole
    assert (len(web.got), len(mail.raw)) == (1, 1)
    assert "And 480 more" in web.messages[0]["message"]


def test_h1_what_a_channel_that_is_down_misses_is_delivered_once_when_it_is_up(web: Web, outbox: Outbox) -> None:
    port = channels.free_port()
    down = hook(port, "env:DOWN")
    up = hook(web.port, "env:UP")
    first = outbox.tell([finding()], [up, down], NOW)
    assert [(one.name, one.ok) for one in first.outcomes] == [("env:UP", True), ("env:DOWN", False)]
    assert (first.waiting, first.whole) == (("env:DOWN",), False)
    outbox.tell([finding(), finding("blog")], [up, down], NOW + 10 * MINUTE)
    outbox.tell([finding("blog")], [up, down], NOW + 20 * MINUTE)
    again = Outbox(outbox.folder, "db1", "0.2.0")  # another process
    with channels.web(port) as back:
        for minute in range(30, 300, 5):
            again.tell([finding("blog")], [up, down], NOW + minute * MINUTE)
        (late,) = back.messages
    assert "2 digests could not be sent since 2026-11-01 12:00 UTC" in late["message"]
    assert "CRITICAL  shop: there is no backup" in late["message"]
    assert "CRITICAL  blog: there is no backup" in late["message"]
    assert "RECOVERED (was critical)  shop" in late["message"]
    assert len(web.messages) == 3
    assert "could not be sent" not in "".join(one["message"] for one in web.messages)
    assert again.read().queues == {}


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_whatever_two_channels_refuse(outbox: Outbox) -> None:
    """Each occurrence has a number; what was accepted names each once, and its end once."""
    chance, number, standing = Random(7), 0, {}
    begun: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    outbox.policy = Policy(remind_critical=1000 * DAY)
    with channels.web() as one, channels.web() as two:
        both = [hook(one.port, "env:ONE"), hook(two.port, "env:TWO")]
        for step in range(150):
            for source in ("shop", "blog", "crm"):
                if source in standing and chance.random() < 0.15:
                    ended[standing.pop(source)] += 1
                elif source not in standing and chance.random() < 0.15:
                    number += 1
                    standing[source] = f"fault {number} of {source}."
                    begun[standing[source]] += 1
            for web in (one, two):
                web.answers = [chance.choice((200, 200, 500, 503, 404))] if step < 140 else []
            present = [finding(source, text) for source, text in standing.items()]
            Outbox(outbox.folder, "db1", "1", outbox.policy).tell(present, both, NOW + step * 30 * MINUTE)
        for web in (one, two):
            assert len(web.got) > len(web.accepted) > 10
            said = "\n".join(message["message"] for message in web.messages)
            assert "not named" not in said  # as of what is only counted this could not tell
            assert Counter(re.findall(r"^CRITICAL  \w+: (fault \d+ of \w+\.)", said, re.MULTILINE)) == begun
            assert Counter(re.findall(r"^RECOVERED .*?: (fault \d+ of \w+\.)", said, re.MULTILINE)) == ended


def test_attempts_become_rarer_to_once_an_hour(web: Web, outbox: Outbox) -> None:
    web.answers = [500] * 1000
    tried = [n for n in range(8 * 60) if outbox.tell([finding()], [hook(web.port)], NOW + n * MINUTE).outcomes]
    assert tried == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363, 423]
    assert outbox.tell([finding()], [hook(web.port)], NOW - DAY).outcomes  # the clock was set back


@pytest.mark.parametrize(("status", "words"), [(500, "500"), (401, "401"), (404, "404")])
def test_h1_a_channel_that_refuses_says_how(web: Web, status: int, words: str) -> None:
    web.answers, logged = [status], io.StringIO()
    handler = logging.StreamHandler(logged)
    logging.getLogger().addHandler(handler)
    outcome = send(hook(web.port, more=f"?+X-Key={CANARY}"), Message("a", "b"))
    logging.getLogger().removeHandler(handler)
    assert (outcome.ok, words in outcome.text, CANARY in outcome.text) == (False, True, False)
    assert not logged.getvalue()  # Apprise logs parts of URLs


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_as_the_text_would_not_arrive(web: Web, status: int) -> None:
    with channels.web() as other:
        web.answers, web.location = [status], other.url
        assert not send(hook(web.port), Message("a", "b")).ok
        web.answers, web.location = [status], other.url
        assert not ping(Secret(f"{web.url}/id"), "success", pauses=()).ok
        assert other.got == []


@pytest.mark.slow
def test_h1_a_channel_that_never_answers_holds_up_neither_us_nor_the_others(web: Web, outbox: Outbox) -> None:
    with channels.silent() as port:
        mute = Channel("env:MUTE", "alerts.urls[1]", Secret(f"json://127.0.0.1:{port}/?rto=60&cto=60"))
        began = time.monotonic()
        outcome = send(mute, Message("a", "b"), seconds=1)
        assert time.monotonic() - began < 20
        assert (outcome.ok, outcome.text) == (False, "no answer within 1 s")
        slow = Channel("env:SLOW", "alerts.urls[1]", Secret(f"json://127.0.0.1:{port}/?rto=2"))
        report = outbox.tell([finding()], [slow, hook(web.port)], NOW)
        assert [one.ok for one in report.outcomes] == [False, True]


def test_a_channel_added_later_is_not_told_what_it_missed_and_one_taken_out_is_forgotten(
    web: Web, outbox: Outbox
) -> None:
    down = hook(channels.free_port(), "env:DOWN")
    outbox.tell([finding()], [down], NOW)
    outbox.tell([finding()], [hook(web.port)], NOW + HOUR)
    assert outbox.read().queues == {}
    assert web.got == []
    outbox.tell([finding(), finding("blog")], [hook(web.port)], NOW + 2 * HOUR)
    assert "1 finding that was told before still stands" in web.messages[0]["message"]


# -- the memory -------------------------------------------------------------------------------------


def test_h7_no_secret_and_no_row_is_in_what_is_sent_or_written(web: Web, mail: Mail, outbox: Outbox) -> None:
    secrets = [Secret(CANARY)]
    urls = [
        hook(web.port, "env:HOOK", f"?rto=3&key={CANARY}"),
        Channel("env:MAIL", "alerts.urls[1]", Secret(mail.url())),
        Channel("env:BAD", "alerts.urls[2]", Secret(f"json://u:{CANARY}@127.0.0.1:{channels.free_port()}/")),
    ]
    texts = (
        f"postgresql://u:{CANARY}@h/db is away",
        f"PGPASSWORD={CANARY}",
        f"it is {CANARY}",
        f"it is {quote(CANARY, safe='')}",
        ROW,
        f'COPY users, line 7, column email: "{CANARY}@row"',
    )
    found = [Finding(f"run-failed-{n}", "critical", "shop", text, text) for n, text in enumerate(texts)]
    report = outbox.tell(found, urls, NOW, secrets)
    ping(Secret(f"{web.url}/id"), "fail", "\n".join(texts), secrets)
    assert [one.ok for one in report.outcomes] == [True, True, False]
    assert (len(web.raw), len(mail.raw)) == (2, 1)
    received = b"\n".join([data for _, data in web.got] + mail.raw)
    for place in (received, (outbox.folder / FILE).read_bytes(), repr(report).encode()):
        assert b"shop" in place or place is received
        assert CANARY.encode() not in place
        assert b"@row" not in place


def test_the_memory_is_private_and_whole(web: Web, outbox: Outbox) -> None:
    outbox.tell([finding()], [hook(web.port)], NOW)
    assert {path.name: path.stat().st_mode & 0o777 for path in outbox.folder.iterdir()} == {
        FILE: 0o600,
        "alerts.lock": 0o600,
    }
    before = (outbox.folder / FILE).stat().st_mtime_ns
    outbox.tell([finding()], [hook(web.port)], NOW + MINUTE)
    assert (outbox.folder / FILE).stat().st_mtime_ns == before  # nothing new, nothing written


@pytest.mark.parametrize("text", ["", "{", '{"told": 7}', '{"told": {"last": "yesterday"}}'])
def test_a_damaged_memory_is_told_and_begun_anew(web: Web, outbox: Outbox, text: str) -> None:
    outbox.folder.mkdir()
    (outbox.folder / FILE).write_text(text)
    report = outbox.tell([finding()], [hook(web.port)], NOW)
    assert "is damaged" in report.note
    assert len(web.messages) == 1
    assert outbox.tell([finding()], [hook(web.port)], NOW + MINUTE).note == ""
    assert len(web.messages) == 1


def test_a_memory_that_cannot_be_written_ends_nothing_and_repeats_nothing_while_we_live(
    web: Web, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    outbox = Outbox(tmp_path / "file" / "state", "db1", "1")
    for minute in range(60):
        report = outbox.tell([finding()], [hook(web.port)], NOW + minute * MINUTE)
        assert "cannot be written" in report.note
    assert len(web.messages) == 1
    outbox.tell([], [hook(web.port)], NOW + HOUR)
    assert len(web.messages) == 2


@pytest.mark.slow
def test_a_digest_that_a_crash_overtakes_is_sent_by_the_next_process(web: Web, outbox: Outbox) -> None:
    web.pause = 30
    script = (
        "import sys; from pathlib import Path; from datetime import datetime, UTC\n"
        "from tests.test_alerts import *\n"
        "Outbox(Path(sys.argv[1]), 'db1', '1').tell([finding()], [hook(int(sys.argv[2]), more='?rto=60')], NOW)"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(outbox.folder), str(web.port)])
    while not web.got:
        time.sleep(0.05)
        assert child.poll() is None
    child.kill()
    child.wait()
    web.pause, before = 0, len(web.got)
    assert outbox.tell([], [hook(web.port)], NOW + HOUR).whole
    assert len(web.got) == before + 1
    said = web.messages[-1]["message"]
    assert "CRITICAL  shop: there is no backup" in said
    assert "RECOVERED (was critical)  shop" in said


def test_two_processes_at_once_tell_it_once(web: Web, outbox: Outbox) -> None:
    web.pause = 0.3
    boxes = [Outbox(outbox.folder, "db1", "1") for _ in range(4)]
    threads = [threading.Thread(target=one.tell, args=([finding()], [hook(web.port)], NOW)) for one in boxes]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(web.got) == 1


def test_who_cannot_have_the_memory_in_time_is_told_so(
    web: Web, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgproof.monitor.outbox._LOCK_SECONDS", 0.2)
    with outbox._locked(), pytest.raises(Busy, match="sending alerts"):
        Outbox(outbox.folder, "db1", "1").tell([finding()], [hook(web.port)], NOW)


def test_what_is_wrong_with_the_alerts_themselves_is_a_finding(outbox: Outbox) -> None:
    assert [one.code for one in examine(Book(), NOW)] == ["alerts-untested"]
    down = hook(channels.free_port(), "env:DOWN")
    for minute in range(10):
        outbox.tell([finding()], [down], NOW + minute * MINUTE)
    outbox.note_test(NOW, arrived=True)
    (one,) = examine(outbox.read(), NOW)
    assert (one.code, one.level) == ("alerts-not-sent", "warning")
    assert "env:DOWN has accepted no alert since 2026-11-01 12:00 UTC" in one.text
    assert [one.code for one in examine(Book(arrived=NOW), NOW + 91 * DAY)] == ["alerts-untested"]


# -- what the configuration says --------------------------------------------------------------------


def reference(name: str, value: str, monkeypatch: pytest.MonkeyPatch, path: str = "alerts.urls[0]") -> Reference:
    monkeypatch.setenv(name, value)
    return Reference("env", name, path)


@pytest.mark.parametrize("url", [f"foo://{CANARY}", CANARY, f"slack://{CANARY}", f"json://a/{CANARY} json://b"])
def test_a_url_that_apprise_does_not_understand_is_refused_with_its_line(
    url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    alerts = Alerts((reference("GOOD", "json://h/", monkeypatch), reference("BAD", url, monkeypatch, "alerts.urls[1]")))
    with pytest.raises(ConfigError, match=r"^alerts\.urls\[1\]: ") as caught:
        check_urls(alerts)
    assert CANARY not in f"{caught.value.message} {caught.value.hint} {capfd.readouterr()}"


def test_a_host_that_does_not_answer_is_no_fault_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = check_urls(Alerts((reference("U", "json://127.0.0.1:9/x\n", monkeypatch),)))
    assert (one.name, one.line) == ("env:U", "alerts.urls[0]")


def test_channels_of_one_name_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = [Reference("exec", f"printf json://127.0.0.1:{n}/", f"alerts.urls[{n}]") for n in (1, 2)]
    assert [one.name for one in check_urls(Alerts(tuple(urls)))] == ["exec:printf", "exec:printf (alerts.urls[2])"]


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", f"ftp://h/{CANARY}", CANARY, "http:///x", "http://[x", "http://h /"]
)
def test_a_ping_url_that_is_none_of_http_is_refused_with_its_line(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^alerts\.ping: ") as caught:
        check_ping(reference("P", url, monkeypatch, "alerts.ping"))
    assert CANARY not in f"{caught.value.message} {caught.value.hint}"


# -- pings ------------------------------------------------------------------------------------------


def test_h4_a_ping_server_sees_start_success_and_fail_in_order(web: Web) -> None:
    url = Secret(f"{web.url}/ping/5f2e?rid=7")
    assert all(ping(url, kind, f"it is {kind}").ok for kind in ("start", "success", "start", "fail"))
    expected = [
        ("/ping/5f2e/start?rid=7", b"it is start"),
        ("/ping/5f2e?rid=7", b"it is success"),
        ("/ping/5f2e/start?rid=7", b"it is start"),
        ("/ping/5f2e/fail?rid=7", b"it is fail"),
    ]
    assert web.got == expected


def test_the_text_of_a_ping_is_cut_at_a_whole_character(web: Web) -> None:
    ping(Secret(f"{web.url}/x/"), "fail", "a" + "ü" * 20_000)
    assert web.paths == ["/x/fail"]
    assert len(web.got[0][1]) == 9_999
    assert web.got[0][1].decode().endswith("ü")


@pytest.mark.parametrize(
    ("answers", "ok", "tries"),
    [
        ([500, 200], True, 2),
        ([500, 503, 200], True, 3),
        ([500] * 5, False, 3),
        ([404], False, 1),
        ([429, 200], True, 2),
    ],
)
def test_a_ping_is_tried_three_times_where_that_can_help(web: Web, answers: list[int], ok: bool, tries: int) -> None:
    web.answers = answers
    outcome = ping(Secret(f"{web.url}/{CANARY}"), "success", pauses=(0.01, 0.01))
    assert (outcome.ok, len(web.got)) == (ok, tries)
    assert bool(outcome.text) != ok
    assert CANARY not in outcome.text


def test_a_ping_to_nobody_and_one_that_is_not_answered_fail_in_time(web: Web) -> None:
    assert not ping(Secret(f"http://127.0.0.1:{channels.free_port()}/"), "success", pauses=()).ok
    with channels.silent() as port:
        began = time.monotonic()
        outcome = ping(Secret(f"http://127.0.0.1:{port}/"), "success", seconds=0.3, pauses=())
        assert (outcome.ok, outcome.text) == (False, "no answer within 0.3 s")
        assert time.monotonic() - began < 20


# -- the command ------------------------------------------------------------------------------------


def configured(program: Program, servers: Servers, *urls: str) -> None:
    names = [f"ALERT_{number}" for number in range(len(urls))]
    program.env |= dict(zip(names, urls, strict=True))
    listed = ", ".join(f'"env:{name}"' for name in names)
    program.configure(f"[alerts]\nurls = [{listed}]\n" if urls else "", shop=servers.database(17))
    with connect(servers(17).address) as session:  # those of other tests are in no backup, which is not the matter here
        others = [str(one) for (one,) in session.rows("SELECT datname FROM pg_database")]
    file = program.folder / "pgproof.toml"
    file.write_text(file.read_text().replace("[sources.shop]\n", f"[sources.shop]\nignore = {json.dumps(others)}\n"))


def test_alert_test_reaches_every_channel_and_says_so(program: Program, servers: Servers, web: Web, mail: Mail) -> None:
    configured(program, servers, f"json://127.0.0.1:{web.port}/", mail.url())
    ran = program.ok("alert", "--test")
    assert ran.out == "  env:ALERT_0: accepted\n  env:ALERT_1: accepted\n"
    assert "Nothing is wrong" in web.messages[0]["message"]
    assert "Nothing is wrong" in mail.messages[0].get_content()
    assert program.ok("alert", "--test", "--json").json == {
        "channels": [
            {"channel": "env:ALERT_0", "accepted": True, "text": ""},
            {"channel": "env:ALERT_1", "accepted": True, "text": ""},
        ],
        "arrived": None,
        "note": "",
    }


def test_alert_test_with_a_channel_that_is_down_ends_with_7(program: Program, servers: Servers, web: Web) -> None:
    down = f"json://u:{CANARY}@127.0.0.1:{channels.free_port()}/"
    configured(program, servers, f"json://127.0.0.1:{web.port}/", down)
    ran = program.run("alert", "--test")
    assert ran.code == 7
    assert "env:ALERT_0: accepted" in ran.out
    assert "pgproof: env:ALERT_1 did not accept it: " in ran.err
    assert CANARY not in ran.out + ran.err


def test_alert_without_channels_or_with_a_bad_one_ends_with_2(program: Program, servers: Servers) -> None:
    configured(program, servers)
    ran = program.run("alert", "--test")
    assert (ran.code, "no alerts are configured" in ran.err) == (2, True)
    configured(program, servers, f"nonsense://{CANARY}")
    ran = program.run("alert")
    assert (ran.code, "alerts.urls[0]" in ran.err, CANARY in ran.err) == (2, True, False)


@pytest.mark.parametrize(("answer", "arrived"), [("y", True), ("n", False), ("", False)])
def test_h2_on_a_terminal_alert_test_asks_whether_it_came_and_remembers_the_answer(
    program: Program, servers: Servers, web: Web, answer: str, arrived: bool
) -> None:
    configured(program, servers, f"json://127.0.0.1:{web.port}/")
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        program.argv("alert", "--test"),
        cwd=program.folder,
        env=program.environment,
        stdin=theirs,
        stdout=subprocess.PIPE,
        text=True,
    )
    os.write(ours, f"{answer}\n".encode())
    out, _ = child.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert child.returncode == 0
    assert "Did it arrive? [y/N]" in out
    book = Outbox(program.folder / "state", "db1", "1").read()
    assert book.tested is not None
    assert (book.arrived is not None) == arrived


@pytest.mark.slow
def test_alert_tells_what_status_says_once_and_then_that_it_is_over(
    program: Program, servers: Servers, web: Web
) -> None:
    configured(program, servers, f"json://127.0.0.1:{web.port}/")
    program.store.mkdir(mode=0o700)
    program.ok("backup")
    program.ok("prove")
    assert program.ok("alert").out == "Nothing new to tell.\n"
    (program.folder / "gone").mkdir()
    manifest = next(program.store.rglob("manifest*"))
    text = manifest.read_bytes()
    manifest.write_bytes(text[:-20])
    seen = program.run("status", "--json").json["findings"]
    found = {one["code"] for one in seen if one["level"] != "info"}  # of which nobody is to be woken
    assert program.ok("alert", "--json").json["events"] == len(found) > 0
    assert all(f"[{code}]" in web.messages[0]["message"] for code in found)
    program.ok("alert")
    assert len(web.messages) == 1
    manifest.write_bytes(text)
    _earlier(program)
    program.ok("alert")
    assert "RECOVERED (was critical)  shop" in web.messages[1]["message"]


@pytest.mark.slow
def test_a_source_that_cannot_be_examined_is_told_and_nothing_of_it_recovers(
    program: Program, servers: Servers, web: Web
) -> None:
    configured(program, servers, f"json://127.0.0.1:{web.port}/")
    program.ok("backup")
    assert program.ok("alert", "--json").json["events"] == 1
    assert "no backup has ever been restored" in web.messages[0]["message"]
    program.store.rename(program.folder / "elsewhere")
    _earlier(program)
    program.ok("alert")
    assert "[store]" in web.messages[1]["message"]
    assert "RECOVERED" not in web.messages[1]["message"]


def _earlier(program: Program) -> None:
    """As if the last digest had been sent ten minutes before it was."""
    path = program.folder / "state" / FILE
    text = path.read_text()
    last = re.search(r'"last":"([^"]+)"', text)
    assert last
    before = datetime.fromisoformat(last[1]) - 10 * MINUTE
    path.write_text(text.replace(last[0], f'"last":"{before.isoformat()}"'))
