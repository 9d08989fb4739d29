"""What this machine has to say of a source: secrets grown old, containers left stopped; live runs are not blamed."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgproof import config, durable
from pgproof.config import Config
from pgproof.job import stopped_folder
from pgproof.monitor.surroundings import surroundings

NOW = datetime.now(UTC)
RECORD = b'[{"id": "1", "name": "keycloak-db", "state": "running", "asked": true}]'


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("PGPROOF_STATE", str(tmp_path / "state"))
    secret = tmp_path / "password"
    secret.touch(0o600)
    secret.write_text("secret")
    file = tmp_path / "pgproof.toml"
    lines = [f'[sources.{name}]\nurl = "postgresql://u@h/{name}"\npassword = "file:{secret}"\n'
             f'docker = {{ container = "{name}-db", volume = "vol_{name}" }}\n' for name in ("kc", "app")]  # fmt: skip
    file.write_text("".join(lines) + '[stores.local]\nurl = "backups"\n')
    return config.load(file)


def codes(conf: Config, source: str) -> list[tuple[str, str]]:
    return [(one.code, one.level) for one in surroundings(conf, conf.source(source), 0, NOW)]


def test_a_password_that_has_been_the_same_for_a_year(conf: Config, tmp_path: Path) -> None:
    assert codes(conf, "kc") == []
    old = (NOW - timedelta(days=366)).timestamp()
    os.utime(tmp_path / "password", (old, old))
    assert codes(conf, "kc") == [("secret-old", "info")]


def test_a_container_left_stopped_is_told_of_its_own_source_and_not_while_a_backup_runs(conf: Config) -> None:
    record = stopped_folder() / "vol_kc.json"
    record.parent.mkdir(parents=True)
    durable.write(record, RECORD)
    assert codes(conf, "kc") == [("left-stopped", "critical")]
    assert codes(conf, "app") == []
    with durable.alone(record) as mine:
        assert mine and codes(conf, "kc") == [], "it is being backed up"
