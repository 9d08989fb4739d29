"""The configuration: what is understood, what is refused and how, and that no message shows a secret."""

import itertools
import os
import tomllib
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproof.config import (
    PROFILES,
    Config,
    DirectorySettings,
    Docker,
    Draft,
    Reference,
    Schedule,
    find,
    from_environment,
    load,
    template,
    without_secrets,
)
from pgproof.config.references import CONTAINER_SECRETS, parse_reference
from pgproof.errors import ConfigError, UsageError
from pgproof.retention import Policy
from pgproof.schedule import longest_gap, parse_cron
from pgproof.secret import Secret
from pgproof.stream.encrypt import Key

CANARY = "hunter2-canary"
SOURCE = '[sources.keycloak]\nurl = "postgresql://backup@db/keycloak"\n'
STORE = '[stores.local]\nurl = "backups"\n'
BASE = SOURCE + STORE


S3 = '[stores.s]\nurl = "s3://bucket/x"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "pgproof.toml"
    path.write_text(text)
    return path


def read(folder: Path, text: str) -> Config:
    return load(write(folder, text))


def refusal(folder: Path, text: str) -> ConfigError:
    """The error that a configuration gives; every one has a hint, none shows the canary."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    assert caught.value.hint
    assert CANARY not in caught.value.message + caught.value.hint
    return caught.value


def private(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path


# -- the example of docs/design.md, and profiles ----------------------------------------------------

DESIGN = """
profile = "production"

[sources.keycloak]
url      = "postgresql://backup@127.0.0.1:5432/keycloak"
password = "file:/run/secrets/keycloak_db"
docker   = { container = "keycloak-db", volume = "exp_postgres_keycloak", services = ["keycloak"] }
checks   = ["keycloak"]

[stores.local]
url = "provisions/backups"

[stores.offsite]
url = "/mnt/offsite"
mount = true

[encryption]
method = "gpg"
passphrase = "file:/run/secrets/backup_passphrase"

[schedule]
backup = "0 2 * * *"
prove  = "0 4 * * sun"

[retention]
keep_within = "30d"
keep_monthly = 12
keep_proven = 2

[alerts]
urls = ["env:ALERT_URL"]
ping = "env:PING_URL"
"""


def test_the_design_example(tmp_path: Path) -> None:
    config = read(tmp_path, DESIGN)
    source = config.source("keycloak")
    assert source.url == "postgresql://backup@127.0.0.1:5432/keycloak"
    assert source.password == Reference("file", "/run/secrets/keycloak_db", "sources.keycloak.password")
    assert source.docker == Docker("keycloak-db", "exp_postgres_keycloak", ("keycloak",))
    assert (source.checks, source.jobs, source.codec) == (("keycloak",), 2, "gzip")
    assert [(one.name, one.where) for one in config.stores] == [
        ("local", DirectorySettings(tmp_path / "provisions/backups")),
        ("offsite", DirectorySettings(Path("/mnt/offsite"), mount=True)),
    ]
    assert config.encryption.method == "gpg"
    assert config.schedule == Schedule("0 2 * * *", "0 3 * * *", "0 4 * * sun", prune="30 5 * * *")
    assert config.retention == Policy(timedelta(days=30), keep_monthly=12)
    assert [one.value for one in config.alerts.urls] == ["ALERT_URL"]
    assert config.alerts.ping is not None


@pytest.mark.parametrize(
    ("profile", "days", "max_age", "max_proof_age"),
    [
        ("high-availability", 90, timedelta(hours=30), timedelta(days=8.75)),
        ("production", 30, timedelta(hours=30), timedelta(days=38.75)),
        ("development", 14, None, None),
    ],
)
def test_profiles(
    tmp_path: Path, profile: str, days: int, max_age: timedelta | None, max_proof_age: timedelta | None
) -> None:
    config = read(tmp_path, f'profile = "{profile}"\n{BASE}')
    assert config.retention == Policy(timedelta(days=days))
    assert (config.max_age, config.max_proof_age) == (max_age, max_proof_age)
    assert (config.schedule.copy is None) == (profile == "development")
    assert config.encryption.key() == Key()


def test_any_line_overrides_the_profile(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        'profile = "development"\n' + BASE + '[schedule]\nbackup = "@weekly"\n'
        '[retention]\nkeep_within = "none"\nkeep_last = 3\nmost = 5\nkeep_proven = 1\n',
    )
    assert config.schedule == Schedule("@weekly", None, None)
    assert config.max_age == timedelta(days=8.75)
    assert config.retention == Policy(None, keep_last=3, keep_proven=1, most=5)
    assert read(tmp_path, BASE).profile is PROFILES["production"]
    on_demand = read(tmp_path, BASE + '[schedule]\nbackup = "none"\n')
    assert on_demand.max_age is None
    assert without_secrets(on_demand)["schedule.backup"] == "none"


def test_names_that_are_asked_for(tmp_path: Path) -> None:
    config = read(tmp_path, BASE)
    with pytest.raises(UsageError) as caught:
        config.source("keyclaok")
    assert caught.value.hint == "did you mean keycloak? there are: keycloak"
    assert config.store("local").where == DirectorySettings(tmp_path / "backups")
    with pytest.raises(UsageError):
        config.store("offsite")


# -- B23: what is refused, by its path --------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (BASE + "[retentoin]\nkeep_last = 1\n", "retentoin is not", "retention"),
        (BASE + "[retention]\nkeep_montly = 1\n", "retention.keep_montly is not", "retention.keep_monthly"),
        (
            SOURCE + 'pasword = "env:X"\n' + STORE,
            "sources.keycloak.pasword is not",
            "sources.keycloak.password",
        ),
        (
            SOURCE + 'docker = { contaner = "x" }\n' + STORE,
            "sources.keycloak.docker.contaner is not",
            "container",
        ),
        (
            BASE + 'storage_class = "GLACIER_IR"\n',
            "stores.local.storage_class is not",
            "url, timeout, retention, mount",
        ),
        ('profile = "produktion"\n' + BASE, "profile must be one of", '"production"'),
        (SOURCE + "jobs = 0\n" + STORE, "sources.keycloak.jobs is 0", "1 or more"),
        (SOURCE + "jobs = true\n" + STORE, "sources.keycloak.jobs must be a whole number", "mend"),
        (
            SOURCE + 'jobs = "2"\n' + STORE,
            "sources.keycloak.jobs must be a whole number without quotes",
            "mend",
        ),
        (SOURCE + "jobs = 2.0\n" + STORE, "and is a number with a point", "mend"),
        (
            SOURCE + 'compress = "gzp"\n' + STORE,
            "sources.keycloak.compress must be one of: gzip, zstd",
            "gzip",
        ),
        (SOURCE + 'checks = "keycloak"\n' + STORE, "sources.keycloak.checks must be a list", "mend"),
        (SOURCE + 'ignore = "sandbox"\n' + STORE, "sources.keycloak.ignore must be a list", "mend"),
        (SOURCE + "checks = [1]\n" + STORE, "sources.keycloak.checks must be a list", "mend"),
        (
            SOURCE + "docker = { volume = 'x' }\n" + STORE,
            "sources.keycloak.docker.container is missing",
            "add",
        ),
        (BASE + 'mount = "yes"\n', "stores.local.mount must be true or false", "mend"),
        (
            BASE + '[retention]\nkeep_within = "7"\n',
            "retention.keep_within: '7' is not a span of time; did",
            '"30d"',
        ),
        (BASE + "[retention]\nkeep_within = 7\n", "retention.keep_within must be a span", "mend"),
        (BASE + "[retention]\nkeep_last = -1\n", "retention.keep_last is -1", "0 or more"),
        (BASE + '[retention]\nkeep_last = "7d"\n', "retention.keep_last must be a whole number", "mend"),
        (BASE + "[retention]\nkeep_proven = 0\n", "retention.keep_proven is 0", "1 or more"),
        (BASE + '[retention]\nkeep_within = "none"\n', "the retention policy keeps nothing", "keep_within"),
        (BASE + '[retention]\nkeep_within = "0d"\n', "the retention policy keeps nothing", "keep_within"),
        (BASE + "[retention]\nmost = -1\n", "retention.most is -1", "0 or more"),
        (BASE + '[schedule]\nbackup = "0 2 * *"\n', "schedule.backup: a schedule has five fields", "minute"),
        (BASE + '[schedule]\nprove = ""\n', "schedule.prove is empty", "delete"),
        (BASE + "[schedule]\nprove = 4\n", "schedule.prove must be a text", "mend"),
        (BASE + "profile = 2026-11-23\n", "stores.local.profile is not", "url"),
        ("profile = 2026-11-23\n" + BASE, "profile must be a text in quotes, and is a date or time", "mend"),
        (STORE, "sources: no source", "[sources.NAME]"),
        (SOURCE, "stores: no store", "[stores.local]"),
        ("sources = 1\n" + STORE, "sources must be a table, and is a number", "[sources]"),
        ("[sources.keycloak]\njobs = 1\n" + STORE, "sources.keycloak.url is missing", "url ="),
        (
            '[sources.Keycloak]\nurl = "postgresql://h/d"\n' + STORE,
            "sources.Keycloak: 'Keycloak' cannot",
            "small",
        ),
        ('[sources."../x"]\nurl = "postgresql://h/d"\n' + STORE, "cannot name a source", "small"),
        (SOURCE + '[stores."a/b"]\nurl = "x"\n', "stores.a/b cannot name a store", "letters"),
        (SOURCE + '[stores.s]\nurl = "s3://"\n', "stores.s.url is no place in S3", "s3://bucket"),
        (SOURCE + '[stores.s]\nurl = "s3://b u"\n', "stores.s.url is no place in S3", "s3://bucket"),
        (SOURCE + '[stores.s]\nurl = "s3://bucket/a//b"\n', "stores.s.url is no place in S3", "s3://bucket"),
        (SOURCE + S3 + 'storage_class = "X"\n', "stores.s.storage_class is none of AWS", "GLACIER_IR"),
        (SOURCE + S3 + "mount = true\n", "stores.s.mount is not a setting", "known here"),
        (SOURCE + S3 + 'acess_key = "env:A"\n', "acess_key is not a setting", "did you mean stores.s.access_key?"),
        (SOURCE + S3 + 'access_key = "env:A"\n', "access_key and stores.s.secret_key belong together", "both"),
        (SOURCE + S3 + 'secret_key = "abc"\n', "stores.s.secret_key holds a secret itself", "env:NAME"),
        (SOURCE + S3 + 'endpoint = "minio:9000"\n', "stores.s.endpoint is no address", "https://"),
        (SOURCE + S3 + 'lock = "governance"\n', "lock and stores.s.lock_for belong together", "both"),
        (SOURCE + S3 + 'kms_key = "arn"\n', "kms_key goes with encryption", "add that line"),
        (SOURCE + S3 + "timeout = 0\n", "stores.s.timeout is 0", "1 or more"),
        (SOURCE + S3 + "[stores.s.retention]\nkeep_lst = 1\n", "stores.s.retention.keep_lst", "keep_last"),
        (SOURCE + S3 + '[stores.s.retention]\nkeep_within = "none"\n', "the retention policy keeps nothing", "keep"),
        (SOURCE + '[stores.s]\nurl = "sftp:///x"\n', "stores.s.url is no address", "sftp://user@host"),
        (SOURCE + '[stores.s]\nurl = "sftp://u:pw@h/x"\n', "stores.s.url has a password in it", "password ="),
        (SOURCE + '[stores.s]\nurl = "sftp://h:99999/x"\n', "stores.s.url is no address", "sftp://user@host"),
        (SOURCE + '[stores.s]\nurl = "sftp://h/x"\nhost_key = "MD5:00"\n', "host_key is no fingerprint", "SHA256"),
        (SOURCE + '[stores.s]\nurl = "env:DIRECTORY"\n', "no stores of the kind env", "sftp://"),
        (SOURCE + '[stores.s]\nurl = "file://srv/x"\n', "after file:// comes a whole path", "file:///"),
        (
            BASE + '[stores.b]\nurl = "./x/../backups/"\n',
            "stores.b is the same directory as stores.local",
            "copy",
        ),
        (BASE + "[encryption]\n", "encryption.method is missing", '"gpg"'),
        (BASE + '[encryption]\nmethod = "gpg"\n', "gpg needs a passphrase or recipients", "passphrase = "),
        (
            BASE + '[encryption]\nmethod = "gpg"\npassphrase = "env:X"\nrecipients = ["a"]\n',
            "either a passphrase or recipients",
            "choose",
        ),
        (BASE + '[encryption]\nmethod = "age"\n', "encryption.recipients is missing", "age-keygen"),
        (
            BASE + '[encryption]\nmethod = "age"\nrecipients = ["a"]\npassphrase = "env:X"\n',
            "encryption.passphrase does not go",
            "recipients and identity",
        ),
        (
            BASE + '[encryption]\nmethod = "none"\npassphrase = "env:X"\n',
            "encryption.passphrase does not go",
            "nothing else",
        ),
        (BASE + '[alerts]\nurls = "env:X"\n', "alerts.urls must be a list", "mend"),
    ],
)
def test_b23_what_cannot_be_is_refused_by_its_path(tmp_path: Path, text: str, message: str, hint: str) -> None:
    error = refusal(tmp_path, text)
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    "text",
    [
        BASE + 'url = "other"\n',
        BASE + "[stores.local]\nmount = true\n",
        SOURCE + 'docker = { container = "a", container = "b" }\n' + STORE,
    ],
)
def test_b23_a_duplicate_key_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    error = refusal(tmp_path, text)
    assert "at line" in error.message
    assert "twice" in error.hint


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "at line 1" in refusal(tmp_path, "x = = 1").message
    (tmp_path / "pgproof.toml").write_bytes(b'profile = "\xff"')
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "pgproof.toml")
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "absent.toml")
    open_to_all = write(tmp_path, BASE)
    open_to_all.chmod(0o666)
    with pytest.raises(ConfigError) as caught:
        load(open_to_all)
    assert "chmod o-w" in caught.value.hint


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "pgproof.toml").write_bytes(b"\xef\xbb\xbf" + BASE.encode())
    assert load(tmp_path / "pgproof.toml").sources


# -- I8: secrets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        SOURCE + f'password = "{CANARY}"\n' + STORE,
        BASE + f'[encryption]\nmethod = "gpg"\npassphrase = "{CANARY}"\n',
        BASE + f'[encryption]\nmethod = "age"\nrecipients = ["a"]\nidentity = "{CANARY}"\n',
        BASE + f'[alerts]\nurls = ["mailto://u:{CANARY}@host"]\n',
        BASE + f'[alerts]\nping = "https://hc/{CANARY}"\n',
    ],
)
def test_i8_a_literal_secret_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    error = refusal(tmp_path, text)
    assert "holds a secret itself" in error.message
    assert "env:NAME" in error.hint


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{CANARY}@h/d",
        f"postgres://u:{CANARY}@h1:1,h2:2/d",
        f"postgresql://u:{CANARY}#?x@h/d",
        f"postgresql://h/d?password={CANARY}",
        f"postgresql://h/d?sslmode=require&pass%77ord={CANARY}",
        f"postgresql://h/d?sslpassword={CANARY}",
        f"host=h password={CANARY}",
        f"host=h password = '{CANARY} x'",
        f"user='a b' sslpassword={CANARY} dbname=d",
    ],
)
def test_i8_a_password_in_the_url_is_refused_and_not_shown(tmp_path: Path, url: str) -> None:
    error = refusal(tmp_path, f'[sources.keycloak]\nurl = "{url}"\n' + STORE)
    assert error.message == "sources.keycloak.url has a password in it"
    assert "password = " in error.hint


MISREAD = [
    f"postgresql://u:{CANARY}/x@h/d",
    f"postgres://u:5432/{CANARY}@h/d",
    f"postgresql://u:/{CANARY}@h:5432/d",
    f"postgresql://u:@{CANARY}@h/d",
    f"postgresql://:/{CANARY}@h/d",
]


@pytest.mark.parametrize("url", MISREAD)
def test_i8_a_url_that_libpq_would_misread_is_refused_and_not_shown(tmp_path: Path, url: str) -> None:
    error = refusal(tmp_path, f'[sources.keycloak]\nurl = "{url}"\n' + STORE)
    assert error.message == "sources.keycloak.url has an @ or / that is not encoded"
    assert "%40" in error.hint and error.exit_code == 2


@pytest.mark.parametrize("url", [*MISREAD, f"postgresql://u:p@{CANARY}@h/d", f"postgresql://u:p@{CANARY}/x@h/d"])
def test_i8_so_is_one_that_a_reference_leads_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("THE_URL", url)
    (source,) = read(tmp_path, '[sources.keycloak]\nurl = "env:THE_URL"\n' + STORE).sources
    with pytest.raises(ConfigError) as caught:
        source.conninfo()
    assert caught.value.message == "the URL at sources.keycloak.url has an @ or / that is not encoded"
    assert "%40" in caught.value.hint and CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%40ss%2Fword@h:5432/d",
        "postgresql://u:pass@h/d?host=/run/postgresql",
        "postgresql:///d?host=/run/postgresql&user=a@b",
        "postgresql://h:5432/d?host=/run",
        "host=h password='a:/b@c@d' dbname=d",
        "host=h password=x://a:/b@c dbname=d",
    ],
)
def test_a_url_that_libpq_reads_as_it_is_meant_is_taken_from_a_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("THE_URL", url)
    (source,) = read(tmp_path, '[sources.keycloak]\nurl = "env:THE_URL"\n' + STORE).sources
    assert source.conninfo().reveal() == url


@pytest.mark.parametrize("url", [f"u:{CANARY}@h/d", f"u:{CANARY}@x@h/d", f":{CANARY}/x@h", f"//u:{CANARY}@h/d?a=b"])
def test_i8_an_address_without_a_scheme_is_refused_and_not_shown(tmp_path: Path, url: str) -> None:
    error = refusal(tmp_path, f'[sources.keycloak]\nurl = "{url}"\n' + STORE)
    assert error.message == "sources.keycloak.url is neither a connection URL nor a connection string"
    assert "postgresql://" in error.hint and error.exit_code == 2


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql://u@h/d",
        "postgresql://u@h/d?application_name=a@b",
        "postgresql://u@h1:5432,h2/d?target_session_attrs=any",
        "postgresql:///d?host=/run/postgresql&passfile=/x",
        "postgresql://u@[::1]:5432/d",
        "host=h user=u dbname=d",
        "host = h application_name='the password = secret'",
        "service=keycloak",
        "dbname=''",
    ],
)
def test_what_libpq_takes_is_taken(tmp_path: Path, url: str) -> None:
    config = read(tmp_path, f'[sources.keycloak]\nurl = "{url}"\n' + STORE)
    assert config.sources[0].conninfo().reveal() == url
    assert config.sources[0].secret() is None


@pytest.mark.parametrize("url", ["keycloak", "mysql://h/d", f"h {CANARY}", "host=h rest", "http://h?a=b"])
def test_what_libpq_does_not_take_is_refused(tmp_path: Path, url: str) -> None:
    error = refusal(tmp_path, f'[sources.keycloak]\nurl = "{url}"\n' + STORE)
    assert "neither a connection URL nor" in error.message


def test_a_url_from_the_environment_may_hold_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = read(tmp_path, '[sources.keycloak]\nurl = "env:DATABASE_URL"\n' + STORE)
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:{CANARY}@h/d")
    assert CANARY in config.sources[0].conninfo().reveal()
    assert without_secrets(config)["sources.keycloak.url"] == "env:DATABASE_URL"
    assert CANARY not in repr(config)


def test_references_are_looked_up_only_when_needed(tmp_path: Path) -> None:
    config = read(tmp_path, BASE + '[encryption]\nmethod = "gpg"\npassphrase = "file:absent"\n')
    with pytest.raises(ConfigError, match="encryption.passphrase: cannot read") as caught:
        config.encryption.key()
    assert str(tmp_path / "absent") in caught.value.message
    private(tmp_path / "absent", b"sesame\n")
    assert config.encryption.key() == Key("gpg", Secret("sesame"))


@pytest.mark.parametrize(
    ("stored", "secret"),
    [
        (b"sesame", b"sesame"),
        (b"sesame\n", b"sesame"),
        (b"sesame\n\n", b"sesame\n"),
        (b" se same \n", b" se same "),
        (b"\xff\xfe\n", b"\xff\xfe"),
    ],
)
def test_d10_files_keep_their_bytes_but_one_newline(tmp_path: Path, stored: bytes, secret: bytes) -> None:
    private(tmp_path / "secret", stored)
    assert parse_reference("file:secret", "x", tmp_path).resolve().reveal_bytes() == secret


@pytest.mark.parametrize("stored", [b"", b"\n", b"  \n"])
def test_d10_an_empty_secret_is_refused(tmp_path: Path, stored: bytes) -> None:
    private(tmp_path / "secret", stored)
    with pytest.raises(ConfigError, match="is empty"):
        parse_reference("file:secret", "x", tmp_path).resolve()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o620])
def test_s5_a_file_that_others_may_use_is_refused_with_the_command_that_mends_it(tmp_path: Path, mode: int) -> None:
    path = private(tmp_path / "the secret", CANARY.encode())
    path.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        parse_reference("file:the secret", "sources.k.password", tmp_path).resolve()
    assert caught.value.hint == f"run: chmod 600 '{path}'"
    assert CANARY not in caught.value.message
    path.chmod(0o400)
    assert parse_reference("file:the secret", "x", tmp_path).resolve().reveal() == CANARY


def test_only_the_containers_own_place_is_excepted() -> None:
    assert Path("/run/secrets") == CONTAINER_SECRETS


def test_what_is_not_a_secrets_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    private(tmp_path / "big", b"x" * ((1 << 20) + 1))
    for name, message in ((".", "ordinary file|directory"), ("pipe", "ordinary file"), ("big", "larger")):
        with pytest.raises(ConfigError, match=message):
            parse_reference(f"file:{name}", "x", tmp_path).resolve()


def test_environment_references(tmp_path: Path) -> None:
    reference = parse_reference("env:NAME", "sources.k.password", tmp_path)
    assert reference.resolve({"NAME": "sesame"}) == Secret("sesame")
    for env, message in (({}, "NAME is not set"), ({"NAME": ""}, "env:NAME is empty")):
        with pytest.raises(ConfigError, match=message):
            reference.resolve(env)


def test_command_references(tmp_path: Path) -> None:
    assert parse_reference("exec:printf 'a b\n'", "x", tmp_path).resolve() == Secret("a b")
    assert parse_reference("exec:echo '$HOME; `id`'", "x", tmp_path).resolve() == Secret("$HOME; `id`")
    assert parse_reference(f"exec:vault --token {CANARY}", "x", tmp_path).shown() == "exec:vault"
    for command, message in (("false", "did not give the secret"), ("pgproof-absent", "pgproof-absent")):
        with pytest.raises(ConfigError, match=message) as caught:
            parse_reference(f"exec:{command} {CANARY}", "x", tmp_path).resolve()
        assert CANARY not in caught.value.message + caught.value.hint
    with pytest.raises(ConfigError, match="is empty"):
        parse_reference("exec:true", "x", tmp_path).resolve()


@pytest.mark.parametrize(
    "text", ["env:", "env:A B", "env:1X", "env:$X", "file:", "exec:", "exec:  ", "exec:a 'b", "ENV:X", ""]
)
def test_references_that_cannot_be(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_reference(text, "x.y", tmp_path)
    assert caught.value.message.startswith("x.y")
    assert caught.value.hint


def test_without_secrets(tmp_path: Path) -> None:
    text = DESIGN.replace("file:/run/secrets/keycloak_db", f"exec:vault read -token={CANARY} db")
    flat = without_secrets(read(tmp_path, text))
    assert CANARY not in str(flat)
    assert flat == {
        "profile": "production",
        "sources.keycloak.url": "postgresql://backup@127.0.0.1:5432/keycloak",
        "sources.keycloak.password": "exec:vault",
        "sources.keycloak.checks": "keycloak",
        "sources.keycloak.jobs": "2",
        "sources.keycloak.compress": "gzip",
        "sources.keycloak.lock_timeout": "60",
        "sources.keycloak.kinds": "logical",
        "sources.keycloak.docker.container": "keycloak-db",
        "sources.keycloak.docker.volume": "exp_postgres_keycloak",
        "sources.keycloak.docker.services": "keycloak",
        "stores.local.url": str(tmp_path / "provisions/backups"),
        "stores.offsite.url": "/mnt/offsite",
        "stores.offsite.mount": "true",
        "encryption.method": "gpg",
        "encryption.passphrase": "file:/run/secrets/backup_passphrase",
        "schedule.backup": "0 2 * * *",
        "schedule.copy": "0 3 * * *",
        "schedule.prove": "0 4 * * sun",
        "schedule.verify": "none",
        "schedule.prune": "30 5 * * *",
        "retention.keep_within": "30d",
        "retention.keep_last": "0",
        "retention.keep_hourly": "0",
        "retention.keep_daily": "0",
        "retention.keep_weekly": "0",
        "retention.keep_monthly": "12",
        "retention.keep_yearly": "0",
        "retention.keep_proven": "2",
        "alerts.urls": "env:ALERT_URL",
        "alerts.ping": "env:PING_URL",
    }


# -- stores, and where the file is --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/srv/backups", "/srv/backups"),
        ("file:/srv/backups", "/srv/backups"),
        ("file:///srv/b%20c", "/srv/b c"),
        ("~/backups", "HOME/backups"),
        ("file:backups", "FOLDER/backups"),
        ("./a:b", "FOLDER/a:b"),
    ],
)
def test_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, path: str) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    config = read(tmp_path, SOURCE + f'[stores.local]\nurl = "{url}"\n')
    assert config.stores[0].url == path.replace("HOME", "/home/someone").replace("FOLDER", str(tmp_path))


def test_the_file_is_found_in_its_places(tmp_path: Path) -> None:
    cwd, home = tmp_path / "cwd", tmp_path / "home"
    (home / ".config/pgproof").mkdir(parents=True)
    cwd.mkdir()
    if not Path("/etc/pgproof/pgproof.toml").exists():
        assert find(None, {}, cwd, home) is None
    at_home = write(home / ".config/pgproof", BASE)
    assert find(None, {}, cwd, home) == at_home
    here = write(cwd, BASE)
    assert find(None, {}, cwd, home) == here
    (cwd / "other.toml").write_text(BASE)
    assert find("other.toml", {"PGPROOF_CONFIG": "absent"}, cwd, home) == cwd / "other.toml"
    assert find(None, {"PGPROOF_CONFIG": str(at_home)}, cwd, home) == at_home
    for explicit, env, name in (("absent", {}, "--config"), (None, {"PGPROOF_CONFIG": ""}, "PGPROOF_CONFIG")):
        with pytest.raises(ConfigError, match=name):
            find(explicit, env, cwd, home)


# -- schedules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "gap"),
    [
        ("0 2 * * *", timedelta(days=1)),
        ("@daily", timedelta(days=1)),
        ("@HOURLY", timedelta(hours=1)),
        ("*/15 * * * *", timedelta(minutes=15)),
        ("0 8-17 * * *", timedelta(hours=15)),
        ("0 8-17/3 * * mon-fri", timedelta(days=2, hours=15)),
        ("0 4 * * sun", timedelta(days=7)),
        ("0 4 * * 7", timedelta(days=7)),
        ("0 4 * * 1,4", timedelta(days=4)),
        ("0 4 1 * *", timedelta(days=31)),
        ("0 4 1,15 * sun", timedelta(days=7)),
        ("0 0 1 jan,jul *", timedelta(days=184)),
        ("0 0 29 2 *", timedelta(days=1461)),
        ("30 2,14 */2 * *", timedelta(days=1, hours=12)),
        ("0 0 20/5 * *", timedelta(days=24)),
        ("0 1,23 * * *", timedelta(hours=22)),
        ("0 0 */31 2 mon", timedelta(days=3654)),
    ],
)
def test_the_longest_gap_of_a_schedule(text: str, gap: timedelta) -> None:
    assert longest_gap(parse_cron(text)) == gap


def test_a_day_must_fit_month_and_week_where_one_of_them_has_a_star() -> None:
    every = [date(2024, 1, 1) + timedelta(days=number) for number in range(3654)]
    days = [day for day in every if day.day in (1, 13, 25) and day.strftime("%a") == "Fri"]
    assert longest_gap(parse_cron("0 0 */12 * fri")) == max(b - a for a, b in itertools.pairwise(days))


@pytest.mark.parametrize(
    "text",
    [
        "", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
        "*/0 * * * *", "5-1 * * * *", "a * * * *", "1, * * * *", "-1 * * * *", "1.5 * * * *", "*-5 * * * *",
        "0 0 30 2 *", "@reboot", "@every 1h", "0 0 * * su", "99999999999 * * * *",
    ],
)  # fmt: skip
def test_schedules_that_cannot_be(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_cron(text)
    assert caught.value.hint


@given(st.text(alphabet="0123456789*/,-@adlnsuy ", max_size=24))
def test_any_text_is_a_schedule_or_refused(text: str) -> None:
    try:
        cron = parse_cron(text)
    except ConfigError:
        return
    assert longest_gap(cron) > timedelta(0)


# -- the environment of a container ---------------------------------------------------------------------

ENV = {"POSTGRES_HOST": "db", "POSTGRES_DB": "keycloak"}


def test_a_containers_environment(tmp_path: Path) -> None:
    secret = private(tmp_path / "secret", b"sesame\n")
    (tmp_path / "user").write_text("backup\n")
    env = {
        "POSTGRES_HOST": "db",
        "POSTGRES_PORT": "6432",
        "POSTGRES_USER_FILE": str(tmp_path / "user"),
        "POSTGRES_PASSWORD_FILE": str(secret),
        "POSTGRES_DATABASES": "keycloak, My App",
        "POSTGRES_IGNORE": "sandbox, scratch-db",
        "BACKUP_DIR": "/srv/backups",
        "BACKUP_KEEP_DAYS": "7",
        "BACKUP_KEEP_WEEKS": "4",
        "BACKUP_KEEP_MONTHS": "6",
        "GPG_PASSPHRASE": "x",
        "SCHEDULE": "@daily",
    }
    config = from_environment(env)
    assert config is not None
    assert [(one.name, one.url) for one in config.sources] == [
        ("keycloak", "postgresql://backup@db:6432/keycloak"),
        ("my-app", "postgresql://backup@db:6432/My%20App"),
    ]
    assert config.sources[1].secret() == Secret("sesame")
    assert config.sources[1].ignore == ("sandbox", "scratch-db")
    assert [(one.name, one.url) for one in config.stores] == [("local", "/srv/backups")]
    assert config.retention == Policy(timedelta(days=7), keep_weekly=4, keep_monthly=6)
    assert config.encryption.passphrase == Reference("env", "GPG_PASSPHRASE", "GPG_PASSPHRASE")
    assert config.schedule == Schedule("@daily", "0 3 * * *", "0 4 1 * *", prune="30 5 * * *")
    assert "sesame" not in str(without_secrets(config))


def test_a_containers_defaults() -> None:
    config = from_environment(ENV)
    assert config is not None
    assert config.sources[0].url == "postgresql://postgres@db:5432/keycloak"
    assert config.sources[0].password is None
    assert config.stores[0].url == "/backups"
    assert config.retention == Policy(timedelta(days=30))
    assert (config.encryption.method, config.path, config.max_age) == ("none", None, timedelta(hours=30))


@pytest.mark.parametrize(
    ("host", "url"),
    [("::1", "postgresql://postgres@[::1]:5432/d"), ("/run/pg", "postgresql://postgres@%2Frun%2Fpg:5432/d")],
)
def test_hosts_of_every_kind(host: str, url: str) -> None:
    config = from_environment({"POSTGRES_HOST": host, "POSTGRES_DB": "d"})
    assert config is not None
    assert config.sources[0].url == url


def test_another_environment_is_not_ours() -> None:
    assert from_environment({}) is None
    assert from_environment({"POSTGRES_PASSWORD": "x", "POSTGRES_DB": "d"}) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"POSTGRES_HOST": ""}, "POSTGRES_HOST is set and empty"),
        ({"POSTGRES_PASSWORD": " "}, "POSTGRES_PASSWORD is set and empty"),
        ({"POSTGRES_PASSWORD_FILE": ""}, "POSTGRES_PASSWORD_FILE is set and empty"),
        ({"SCHEDULE": ""}, "SCHEDULE is set and empty"),
        ({"BACKUP_DIR": ""}, "BACKUP_DIR is set and empty"),
        ({"GPG_PASSPHRASE": ""}, "GPG_PASSPHRASE is set and empty"),
        ({"POSTGRES_PASSWORD": CANARY, "POSTGRES_PASSWORD_FILE": "/x"}, "are both set"),
        ({"POSTGRES_DATABASES": "x"}, "are both set"),
        ({"POSTGRES_DB": "a,,b"}, "empty name"),
        ({"POSTGRES_IGNORE": "a,,b"}, "POSTGRES_IGNORE has an empty name"),
        ({"POSTGRES_DB": "App,app"}, "both be the source app"),
        ({"POSTGRES_DB": "---"}, "gives no name"),
        ({"POSTGRES_PORT": "5432x"}, "POSTGRES_PORT must be"),
        ({"POSTGRES_PORT": "70000"}, "POSTGRES_PORT must be"),
        ({"POSTGRES_USER_FILE": "/absent"}, "POSTGRES_USER_FILE: cannot read"),
        ({"SCHEDULE": "hourly"}, "SCHEDULE: a schedule has five fields"),
        ({"BACKUP_DIR": "backups"}, "BACKUP_DIR must be a whole path"),
        ({"BACKUP_KEEP_DAYS": "7d"}, "BACKUP_KEEP_DAYS must be a whole number"),
        ({"BACKUP_KEEP_WEEKS": "-1"}, "BACKUP_KEEP_WEEKS must be a whole number"),
        ({"BACKUP_KEEP_DAYS": "0"}, "keeps nothing"),
        ({"S3_BUCKET": "b"}, "no place in S3"),
        ({"S3_BUCKET": "bucket", "S3_ENDPOINT": "minio"}, "S3_ENDPOINT is no address"),
        ({"S3_BUCKET": "bucket", "AWS_STORAGE_CLASS": "FROZEN"}, "AWS_STORAGE_CLASS is none of AWS"),
        (
            {"S3_BUCKET": "bucket", "AWS_ACCESS_KEY_ID": "a"},
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together",
        ),
    ],
)
def test_b23_an_environment_that_cannot_be(change: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_environment(ENV | change)
    assert message in caught.value.message
    assert caught.value.hint
    assert CANARY not in caught.value.message


def test_b23_no_database() -> None:
    with pytest.raises(ConfigError, match="POSTGRES_DB is not set"):
        from_environment({"POSTGRES_HOST": "db"})


# -- the template -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sources",
    [
        [],
        [
            ("keycloak", "postgresql://backup@127.0.0.1:5432/keycloak"),
            ("shop.eu", "host=h dbname='a \"b\\\\'"),
        ],
        [("x", "env:DATABASE_URL")],
    ],
)
def test_the_template_is_accepted(tmp_path: Path, sources: list[tuple[str, str]]) -> None:
    config = read(tmp_path, template([Draft(*one) for one in sources]))
    expected = sources or [("keycloak", "postgresql://backup@127.0.0.1:5432/keycloak")]
    assert [one.name for one in config.sources] == [name for name, _ in expected]
    assert [one.url for one in config.sources if isinstance(one.url, str)] == [
        url for _, url in expected if not url.startswith("env:")
    ]
    assert config.stores[0].url == str(tmp_path / "backups")


def test_every_commented_line_of_the_template_is_accepted_too(tmp_path: Path) -> None:
    """What the template shows as possible must be: all lines that look like TOML, without their marks."""
    lines = []
    for line in template().splitlines():
        bare = line.removeprefix("# ")
        shown = bare.startswith("[") or (" = " in bare.split("#")[0] and not bare.startswith("A second"))
        lines.append(bare if shown else line)
    text = "\n".join(lines).replace('method = "none"', 'method = "gpg"')
    assert tomllib.loads(text)
    config = read(tmp_path, text)
    assert isinstance(config.stores[1].where, DirectorySettings) and config.stores[1].where.mount
    assert [one.url[:4] for one in config.stores[2:]] == ["sftp", "s3:/"]
    assert config.alerts.ping
    assert config.sources[0].docker
    assert config.retention.most == 10


def test_the_template_takes_no_password() -> None:
    with pytest.raises(ConfigError) as caught:
        template([Draft("x", f"postgresql://u:{CANARY}@h/d")])
    assert CANARY not in caught.value.message
    with pytest.raises(UsageError):
        template([Draft("X y", "postgresql://h/d")])
    with pytest.raises(ConfigError, match="cannot be shown"):
        template([Draft("x", "postgresql://h/\x7f")])
