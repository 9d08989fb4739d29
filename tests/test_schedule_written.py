"""The schedule written for cron, systemd and Compose, judged by their own programs where they have one for it."""

import itertools
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from pgproof.cli.installing import install
from pgproof.config.references import parse_reference
from pgproof.errors import ConfigError, Refused, UsageError
from pgproof.schedule import parse_cron, slots
from pgproof.schedule.written import MARK, Setup, Written, compose, cron_fields, crontab, on_calendar, units
from tests.conftest import Program, Servers, missing
from tests.kit import run

TASKS = (("backup", "0 2 * * *"), ("prove", "0 4 1-7 * sun"), ("prune", "@daily"))
ODD = 'a folder, 50% "full" of $HOME'
EXPOSED = {"root": 38, "backup": 25}  # tenths, as `systemd-analyze security` counts: 100 is no protection at all


def setup(**changes) -> Setup:
    given = {"program": ("/usr/bin/env", "pgproof"), "config": "/etc/pgproof/pgproof.toml", "user": "backup"}
    return Setup(**{**given, "tasks": TASKS, **changes})


def systemd(*words: str) -> subprocess.CompletedProcess[str]:
    if not shutil.which("systemd-analyze"):
        missing("systemd-analyze (Debian: systemd)")
    env = {"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C", "SYSTEMD_PAGER": ""}
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, env=env, check=False)


def verified(folder: Path, files: list[Written]) -> str:
    """What systemd has to say of them."""
    install(files, folder)
    done = systemd("verify", *(str(folder / one.name) for one in files))
    return f"{done.stdout}{done.stderr}{done.returncode or ''}"


# -- systemd ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["root", "backup"])
@pytest.mark.parametrize("more", [{}, {"home": True, "shared_tmp": True, "zone": "Asia/Tokyo", "variables": ("A",)}])
def test_systemd_has_no_complaint_about_any_unit(tmp_path: Path, user: str, more: dict[str, object]) -> None:
    files = units(setup(user=user, writes=("/srv/backups",), state="/srv/state", **more))
    assert len(files) == 7
    assert not verified(tmp_path, files)


def test_systemd_reads_odd_names_as_they_are(tmp_path: Path) -> None:
    """The program is looked for by systemd itself; a specifier that there is not would be told of."""
    folder = tmp_path / ODD.replace('"', "")  # of a program systemd takes no quotes
    folder.mkdir()
    program = folder / "pgproof"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    odd = str(tmp_path / ODD / "%z; #x\\y")
    files = units(setup(program=(str(program),), config=odd, writes=(odd,), state=odd))
    assert not verified(tmp_path, files)
    line = next(one for one in files[0].text.splitlines() if one.startswith("ExecStart="))
    assert unescaped(line.removeprefix("ExecStart=")) == [str(program), "backup", "--config", odd, "--quiet"]


def unescaped(line: str) -> list[str]:
    """A command line by the rules of systemd.syntax(7), systemd.unit(5) and systemd.service(5)."""
    found = []
    for quoted, bare in re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line):
        word = re.sub(r"\\(.)", r"\1", quoted) if quoted else bare
        assert not re.search(r"%(?!%)", word.replace("%%", ""))
        found.append(word.replace("%%", "%"))
    assert not any("$" in word.replace("$$", "") for word in found[1:]), "systemd would look for a variable"
    return found[:1] + [word.replace("$$", "$") for word in found[1:]]


@pytest.mark.parametrize("user", list(EXPOSED))
def test_s9_a_unit_is_exposed_to_little(tmp_path: Path, user: str) -> None:
    files = units(setup(user=user, writes=("/srv/backups",)))
    install(files, tmp_path)
    for file in files:
        if file.name.endswith(".service"):
            done = systemd("security", "--offline=true", f"--threshold={EXPOSED[user]}", str(tmp_path / file.name))
            assert done.returncode == 0, done.stdout[-200:]


def test_s9_a_service_may_write_its_stores_and_little_else() -> None:
    text = units(setup(writes=("/srv/backups",)))[0].text
    for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "UMask=0077"):
        assert line in text.splitlines()
    assert re.findall("^ReadWritePaths=(.*)", text, re.MULTILINE) == ["-/srv/backups"]
    assert "CapabilityBoundingSet=\n" in text and "SystemCallFilter=@system-service\n" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="giving up capabilities needs root")
def test_a_drill_by_root_runs_with_the_capabilities_of_the_unit_alone(tmp_path: Path, servers: Servers) -> None:
    """Its server runs as nobody, and without a network, with no more than the unit leaves."""
    text = units(setup(user="root"))[0].text
    kept = re.findall("CAP_([A-Z_]+)", re.findall("^CapabilityBoundingSet=(.*)", text, re.MULTILINE)[0])
    bounds = ",".join(["-all", *(f"+{one.lower()}" for one in kept)])
    tools = servers(15).tools
    code = (
        "from pathlib import Path; from pgproof.postgres.tools import Tools; from pgproof.postgres import scratch\n"
        f"with scratch.scratch(Tools(Path({str(tools.folder)!r}), 15, {tools.minor}, True)) as it: print(it.isolated)"
    )
    words = ["setpriv", f"--bounding-set={bounds}", "--no-new-privs", sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr


# -- calendars ----------------------------------------------------------------------------------------


def numbers(least: int, most: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    one = st.integers(least, most)
    span = st.tuples(one, one).map(sorted)
    named = [st.sampled_from(names)] if names else []
    piece = st.one_of(
        one.map(str),
        span.map(lambda pair: f"{pair[0]}-{pair[1]}"),
        st.tuples(span, st.integers(1, 9)).map(lambda both: f"{both[0][0]}-{both[0][1]}/{both[1]}"),
        st.tuples(one, st.integers(1, 9)).map(lambda both: f"{both[0]}/{both[1]}"),
        *named,
    )
    star = st.one_of(st.just("*"), st.integers(1, 9).map(lambda step: f"*/{step}"))
    return st.one_of(star, star, st.lists(piece, min_size=1, max_size=3).map(",".join))


FIELDS = (
    *(numbers(0, 59), numbers(0, 23), numbers(1, 31)),
    *(numbers(1, 12, ("jan", "jun", "DEC")), numbers(0, 7, ("sun", "Mon", "sat"))),
)
CRONS = st.one_of(st.tuples(*FIELDS).map(" ".join), st.sampled_from(["@daily", "@weekly", "@monthly", "@hourly"]))
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/New_York")
YEAR = datetime(2026, 1, 1, tzinfo=UTC)
MANY = 60


def elapses(event: str, begin: datetime, many: int = MANY) -> list[datetime]:
    """When systemd would let it elapse."""
    done = systemd("calendar", f"--iterations={many}", f"--base-time={begin:%Y-%m-%d %H:%M:%S} UTC", event)
    assert done.returncode == 0, (event, done.stderr)
    found = re.findall(r"(?:Next elapse|Iter\. #\d+): \w+ (\S+ \S+) UTC", done.stdout)
    return [datetime.strptime(one, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) for one in found]


def steady(zone: str, moments: list[datetime]) -> list[datetime]:
    """Those on whose day, and on the days beside it, no clock of the zone is changed."""
    here, day = ZoneInfo(zone), timedelta(days=1)

    def offset(moment: datetime) -> timedelta | None:
        return moment.astimezone(here).utcoffset()

    return [one for one in moments if offset(one - day) == offset(one) == offset(one + day)]


@settings(max_examples=40, deadline=None)
@given(text=CRONS, zone=st.sampled_from(ZONES), hour=st.integers(0, 365 * 24))
@example(text="0 4 13 * fri", zone="Europe/Berlin", hour=0)  # either is enough
@example(text="0 4 */2 * fri", zone="Europe/Berlin", hour=0)  # both have to fit
@example(text="30 5 1-31 * mon", zone="UTC", hour=0)
@example(text="*/7 3-9/2 * jan-mar sat,7", zone="Asia/Kolkata", hour=0)
@example(text="0 0 29 2 *", zone="America/New_York", hour=0)
def test_a_timer_elapses_at_our_slots(text: str, zone: str, hour: int) -> None:
    try:
        cron = parse_cron(text)
    except ConfigError:
        assume(False)
    begin = YEAR + timedelta(hours=hour)
    each = [elapses(event, begin) for event in on_calendar(cron, zone)]
    until = min([begin + timedelta(days=365), *(found[-1] for found in each if len(found) == MANY)])
    theirs = sorted({moment for found in each for moment in found if moment <= until})
    ours = list(slots(cron, ZoneInfo(zone), begin, until))
    assert steady(zone, theirs) == steady(zone, ours)


def test_where_a_clock_is_changed_a_timer_differs_as_its_unit_says() -> None:
    spring, autumn = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)
    zone = ZoneInfo("Europe/Berlin")
    nightly, hourly = parse_cron("30 2 * * *"), parse_cron("30 * * * *")
    [event], [every] = on_calendar(nightly, str(zone)), on_calendar(hourly, str(zone))
    assert elapses(event, spring, 1)[0] - next(slots(nightly, zone, spring, spring + timedelta(days=3))) > timedelta(
        hours=20
    )
    assert elapses(event, autumn, 2) == list(
        itertools.islice(slots(nightly, zone, autumn, autumn + timedelta(days=3)), 2)
    )
    window = autumn, autumn + timedelta(hours=23)
    ours = set(slots(hourly, zone, *window))
    assert len(ours - set(elapses(every, autumn, 30))) == 1
    assert "left out" in units(setup())[1].text and "counts once" in units(setup())[1].text


# -- cron ---------------------------------------------------------------------------------------------


def debian_cron(text: str) -> str:
    """What Debian's crontab has to say of a file: nothing if it is good."""
    if not shutil.which("crontab"):
        missing("crontab (Debian: cron)")
    done = subprocess.run(["crontab", "-n", "-"], input=text, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr


@settings(max_examples=100, deadline=None)
@given(text=CRONS)
@example(text="0 0 */2,5 * mon")
@example(text="0 0 1 * */2")
@example(text="0 0 1-31 * mon")
def test_cron_gets_the_same_days_and_times(text: str) -> None:
    try:
        cron = parse_cron(text)
    except ConfigError:
        assume(False)
    assert parse_cron(cron_fields(text)) == cron
    assert not re.search(r"[a-z@]|(^|[ ,])\d+/", cron_fields(text))


def test_debians_cron_takes_every_line() -> None:
    chosen = random.Random(20261125)
    shapes = [("*", "*/7", "5/10", "3-40/4", "0,59"), ("*", "*/5", "22/1", "1-5"), ("*", "*/3", "1,31", "5/9", "*/2,7")]
    shapes += [("*", "jan-jun", "12", "3/4"), ("*", "sun", "mon-fri", "7", "*/2", "5/1")]
    texts = [" ".join(chosen.choice(shape) for shape in shapes) for _ in range(200)] + ["@daily", "@yearly"]
    assert not debian_cron("".join(f"{cron_fields(text)} /bin/true\n" for text in texts))
    assert "bad minute" in debian_cron("5/10 * * * * /bin/true\n"), "cron itself would not take what we accept"


def test_debians_cron_takes_the_whole_file() -> None:
    assert not debian_cron(crontab(setup(zone="Europe/Berlin", state="/srv/50% full")).text)


def test_a_line_of_cron_makes_a_backup(make_program, servers: Servers) -> None:
    """As cron does it: nothing of our environment, the file's PATH, and % only behind a backslash."""
    program, address = make_program("50% of it, 'quoted'"), servers.database(15)
    run(address, "CREATE TABLE kept AS SELECT 1 AS one")
    program.configure('[schedule]\nbackup = "*/5 1 1-7 * mon"\n', db=address)
    text = program.ok("schedule", "--as", "cron", "--config", str(program.folder / "pgproof.toml")).out
    assert not debian_cron(text)
    env, commands = read_crontab(text)
    assert env["PGPROOF_STATE"] == str(program.folder / "state") and not (program.folder / "state").exists()
    [command] = [one for one in commands if " backup " in one]
    assert "%" in command
    done = subprocess.run(["/bin/sh", "-c", command], env=env, cwd="/", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (program.folder / "state").is_dir(), "where the file says that it remembers"
    assert [one["source"] for one in program.ok("list", "--json").json] == ["db"]


def read_crontab(text: str) -> tuple[dict[str, str], list[str]]:
    """The variables and the commands of a file in /etc/cron.d, as cron takes them."""
    env, commands = {"HOME": "/root", "LOGNAME": "root"}, []
    for line in text.splitlines():
        if match := re.fullmatch(r"([A-Z_]+)=(.*)", line):
            env[match[1]] = match[2].strip('"')
        elif line and not line.startswith("#"):
            minute, hour, day, month, weekday, user, command = line.split(None, 6)
            assert (minute, hour, day, month, weekday) != ("*",) * 5 and user
            assert not re.search(r"(?<!\\)%", command)
            commands.append(command.replace("\\%", "%"))
    return env, commands


def test_what_has_no_way_to_be_written_is_refused() -> None:
    for changes in ({"user": "a b"}, {"config": "/a\\b"}, {"config": "/a\nb"}, {"state": '/a"b'}):
        with pytest.raises(UsageError):
            crontab(setup(**changes))
    with pytest.raises(UsageError):
        units(setup(program=(f"/{ODD}/pgproof",)))
    with pytest.raises(UsageError):
        units(setup(config="/a\nExecStartPost=/bin/false"))


def test_what_is_scheduled_does_what_the_service_does() -> None:
    assert " prune --apply --config " in crontab(setup()).text


# -- compose ------------------------------------------------------------------------------------------


def test_compose_names_all_that_the_configuration_needs(program: Program) -> None:
    (program.folder / "pgproof.toml").write_text(CONFIGURATION)
    document = yaml.safe_load(program.ok("schedule", "--as", "compose").out)
    service = document["services"]["pgproof"]
    mounted = {one["target"]: one for one in service["volumes"] if isinstance(one, dict)}
    secret = {one["target"]: document["secrets"][one["source"]]["file"] for one in service["secrets"]}
    config = str(program.folder / "pgproof.toml")
    assert service["command"] == ["run", "--config", config]
    assert secret == {path: path for path in ("/etc/pgproof/pass: $$word", "/etc/pgproof/phrase", "/etc/pgproof/key")}
    assert set(mounted) == {config, "/etc/pgproof/known", "/etc/pgproof/id", "/etc/ca.pem", "/srv/one: two"}
    assert [path for path, one in mounted.items() if not one.get("read_only")] == ["/srv/one: two"]
    assert service["environment"]["TZ"] == "Europe/Berlin"
    assert service["environment"]["OTHER_URL"].startswith("${OTHER_URL:?")
    assert service["environment"]["S3_KEY"].startswith("${S3_KEY:?")
    assert {one.partition(":")[0] for one in service["volumes"] if isinstance(one, str)} == set(document["volumes"])


CONFIGURATION = """
[sources.db]
url = "postgresql://backup@db/db"
password = "file:/etc/pgproof/pass: $word"
[sources.other]
url = "env:OTHER_URL"
[stores.local]
url = "/srv/one: two"
[stores.ssh]
url = "sftp://u@h/x"
identity = "/etc/pgproof/id"
known_hosts = "/etc/pgproof/known"
[stores.s3]
url = "s3://bucket"
access_key = "env:S3_KEY"
secret_key = "file:/etc/pgproof/key"
ca_file = "/etc/ca.pem"
[encryption]
method = "gpg"
passphrase = "file:/etc/pgproof/phrase"
[schedule]
timezone = "Europe/Berlin"
"""


def test_compose_keeps_odd_names_as_they_are() -> None:
    odd = "/a: b #c 'd' \"e\" \\ - ü"
    document = yaml.safe_load(compose(setup(config=odd, writes=(odd,), secrets=(odd,)), "1").text)
    service = document["services"]["pgproof"]
    assert service["command"][2] == service["secrets"][0]["target"] == odd
    assert odd in [one["source"] for one in service["volumes"] if isinstance(one, dict)]


# -- the command --------------------------------------------------------------------------------------


@pytest.fixture
def scheduled(program: Program) -> Iterator[Program]:
    (program.folder / "pgproof.toml").write_text(CONFIGURATION)
    (program.folder / "into").mkdir()
    yield program


def there(program: Program) -> dict[str, str]:
    return {path.name: path.read_text() for path in (program.folder / "into").iterdir()}


@pytest.mark.parametrize("kind", ["cron", "systemd"])
def test_installing_twice_is_installing_once(scheduled: Program, kind: str) -> None:
    words = ("schedule", "--as", kind, "--install", "--into", "into", "--json")
    first = scheduled.ok(*words).json
    before = there(scheduled)
    assert scheduled.ok(*words).json == first and there(scheduled) == before
    assert sorted(before) == sorted(Path(one).name for one in first["installed"])
    assert all(text.startswith(f"{MARK}\n") for text in before.values())
    assert all((scheduled.folder / "into" / name).stat().st_mode & 0o777 == 0o644 for name in before)
    assert len(before) == (1 if kind == "cron" else 9)  # backup, copy, prove, prune: verify is on demand


@pytest.mark.parametrize("link", [True, False])
def test_what_others_wrote_is_left_as_it_is(scheduled: Program, link: bool) -> None:
    foreign = scheduled.folder / "into" / "pgproof-prove.timer"
    (scheduled.folder / "mine").write_text(f"{MARK}\n" if link else "[Timer]\n")
    foreign.symlink_to(scheduled.folder / "mine") if link else shutil.copy(scheduled.folder / "mine", foreign)
    ran = scheduled.run("schedule", "--as", "systemd", "--install", "--into", "into")
    assert ran.code == 4 and str(foreign) in ran.err
    assert there(scheduled) == {foreign.name: (scheduled.folder / "mine").read_text()}, "none is written then"
    assert foreign.is_symlink() == link


def test_units_of_a_task_that_is_not_scheduled_any_more_are_removed(scheduled: Program) -> None:
    words = ("schedule", "--as", "systemd", "--install", "--into", "into")
    (scheduled.folder / "into" / "pgproof-verify.timer").write_text("[Timer]\n")
    scheduled.ok(*words)
    (scheduled.folder / "pgproof.toml").write_text(f'{CONFIGURATION}prove = "none"\n')
    ran = scheduled.ok(*words)
    assert "pgproof-prove.timer" not in there(scheduled) and "systemctl stop pgproof-prove.timer;" in ran.out
    assert "pgproof-verify.timer" in there(scheduled), "that one is not ours"


def test_what_cannot_be_installed_is_refused(scheduled: Program) -> None:
    assert scheduled.run("schedule", "--as", "compose", "--install").code == 4
    assert scheduled.run("schedule", "--as", "launchd").code == 2
    assert scheduled.run("schedule", "--install").code == 2
    assert scheduled.run("schedule", "--as", "cron", "--into", "into").code == 2
    nobody = scheduled.run("schedule", "--as", "cron", "--install", "--into", "into", "--user", "no-such-user")
    assert nobody.code == 2 and "useradd" in nobody.err
    assert scheduled.run("schedule", "--as", "cron", "--install", "--into", "not/there").code == 2
    (scheduled.folder / "pgproof.toml").write_text(f'profile = "development"\n{CONFIGURATION}')
    assert "nothing is scheduled" in scheduled.run("schedule", "--as", "cron", "--install", "--into", "into").err
    (scheduled.folder / "pgproof.toml").unlink()
    scheduled.env |= {"POSTGRES_HOST": "db", "POSTGRES_DB": "db"}
    assert "needs a file" in scheduled.run("schedule", "--as", "cron").err
    assert not there(scheduled)


def test_the_schedule_is_told_in_words_with_the_next_three_moments(scheduled: Program) -> None:
    said = scheduled.ok("schedule").out
    assert "On demand only: verify." in said
    line = next(one for one in said.splitlines() if one.startswith("next prove of db at "))
    assert len(re.findall(r"\d{4}-\d\d-01 04:00 Europe/Berlin", line)) == 3
    [prove] = [
        one for one in scheduled.ok("schedule", "--json").json if (one["task"], one["source"]) == ("prove", "db")
    ]
    moments = [datetime.fromisoformat(one) for one in prove["next"]]
    assert [one.astimezone(ZoneInfo("Europe/Berlin")).hour for one in moments] == [4, 4, 4]
    assert datetime.now(UTC) < moments[0] < moments[1] < moments[2]


def test_a_command_for_a_secret_knows_where_systemd_put_it(tmp_path: Path, monkeypatch) -> None:
    text = units(setup())[0].text
    shown = re.findall(r'^# "(exec:.*)"$', text, re.MULTILINE)[0].replace('\\"', '"')
    (tmp_path / "database").write_text("from systemd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert parse_reference(shown, "password", tmp_path).resolve().reveal() == "from systemd"


def test_files_that_cannot_be_written_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(Refused):
        install([Written("a", MARK), Written("b", MARK)], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
