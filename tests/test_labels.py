"""Labels of containers as the configuration: what they say, what is refused, and all of it on a real engine."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgproof import job
from pgproof.config import from_labels
from pgproof.docker import Container, Mount
from pgproof.errors import ConfigError
from tests import engine
from tests.conftest import Program
from tests.engine import Stack, docker
from tests.throwaway import throwaway

ENV = {"BACKUP_DIR": "/backups"}


PROJECT = "com.docker.compose.project"


def mate(name: str) -> Container:
    """Another container of its Compose project."""
    return Container(id=name, name=name, image="x", image_id="sha256:2", state="running", labels={PROJECT: "kc"})


def server(**labels: str) -> Container:
    made = {PROJECT: "kc", "pgproof.enable": "true", **{f"pgproof.{key}": value for key, value in labels.items()}}
    return Container(
        id="1", name="kc-db", image="postgres:17", image_id="sha256:1", state="running", labels=made,
        env={"POSTGRES_USER": "keycloak", "POSTGRES_PASSWORD": "secret"},
        mounts=(Mount("exp_postgres_keycloak", "/x", "/var/lib/postgresql/data", True),),
    )  # fmt: skip


def test_one_label_is_enough() -> None:
    made = from_labels([server()], ENV)
    assert made is not None
    (source,) = made.sources
    assert (source.name, source.url) == ("kc-db", "postgresql://keycloak@kc-db/keycloak")
    assert source.docker is not None and source.docker.volume == "exp_postgres_keycloak"
    assert source.password is not None and source.password.shown() == "container:kc-db"
    assert [str(one.url) for one in made.stores] == ["/backups"]


def test_the_other_labels_say_what_a_configuration_would() -> None:
    made = from_labels(
        [server(source="kc", databases="a, b", kinds="logical,volume", checks="keycloak", sessions="drop-all",
                services="one,two"), mate("one"), mate("two")], ENV)  # fmt: skip
    assert made is not None
    assert [one.name for one in made.sources] == ["kc-a", "kc-b"]
    first = made.sources[0]
    assert first.kinds == ("logical", "volume") and first.checks == ("keycloak",) and first.sessions == "drop-all"
    assert first.docker is not None and first.docker.services == ("one", "two")


def test_without_the_label_there_is_none() -> None:
    assert from_labels([server(enable="false")], ENV) is None


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"enable": "maybe"}, "pgproof.enable"),
        ({"databse": "x"}, "did you mean pgproof.databases"),
        ({"kinds": "logcal"}, "is no kind"),
        ({"password": "exec:id"}, "pgproof.password is no label that is known"),
        ({"services": "of-others"}, "which is not of its project"),
        ({"source": "No Name!"}, "cannot name a source"),
    ],
)
def test_what_cannot_be_is_refused_with_the_containers_name(labels: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_labels([server(**labels)], ENV)
    text = f"{caught.value.message} {caught.value.hint}"
    assert said in text and "kc-db" in text


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="both be the source"):
        from_labels([server(source="kc"), server(source="kc")], ENV)


def test_what_is_wrong_in_one_container_ends_no_backup_of_another() -> None:
    made = from_labels(
        [server(), server(source="a", enable="maybe"), server(source="b"), server(source="b"), server(source="c")], ENV
    )
    assert made is not None and [one.name for one in made.sources] == ["kc-db", "c"]
    assert [(one.code, one.level, one.source) for one in made.left_out] == [("label-wrong", "critical", "kc-db")] * 3
    assert "pgproof.enable is 'maybe'" in made.left_out[0].text
    assert "both be the source b" in made.left_out[1].text and "pgproof.source=NAME" in made.left_out[1].hint


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A labelled server: labels need its container made anew, its volume stays."""
    with engine.stack() as made:
        made.run("CREATE TABLE users AS SELECT g AS id FROM generate_series(1, 2000) g")
        docker("rm", "--force", made.database)
        labels = {"enable": "true", "source": f"kc-{made.tag}", "kinds": "logical,volume", "services": made.service}
        words = {f"pgproof.{key}": value for key, value in labels.items()} | {PROJECT: made.tag}
        made.start_database(*(word for key, value in words.items() for word in ("--label", f"{key}={value}")))
        made.wait()
        yield made


@pytest.mark.slow
def test_a_machine_without_a_configuration_backs_up_what_is_labelled(stack: Stack, tmp_path: Path) -> None:
    program = Program(tmp_path, {"DOCKER_HOST": engine.address(), "BACKUP_DIR": str(tmp_path / "backups")})
    program.env["HOME"] = str(tmp_path)
    unwanted = program.run("backup", f"kc-{stack.tag}")
    assert unwanted.code == 2 and "there is no configuration" in unwanted.err, unwanted
    program.env["PGPROOF_LABELS"] = "true"
    ran = program.ok("backup", f"kc-{stack.tag}", "--json")
    made = json.loads(ran.out)
    assert {one["kind"] for one in made} == {"logical", "volume"}
    assert all(one["proven"] for one in (program.ok("prove", one["id"], "--json").json for one in made))
    wrong = f"wrong-{stack.tag}"
    docker("run", "--detach", "--init", "--name", wrong, "--label", "pgproof.enable=ture", "--entrypoint", "sleep",
           engine.IMAGE, "infinity")  # fmt: skip
    try:
        for command in ("status", "doctor"):
            told = program.run(command, "--json").json["findings"]
            mine = [one for one in told if one["code"] == "label-wrong" and wrong in one["text"]]
            assert [one["level"] for one in mine] == ["critical"], told
    finally:
        docker("rm", "--force", wrong)
    assert engine.PASSWORD not in "".join(path.read_text() for path in program.store.rglob("manifest.json"))


@pytest.mark.slow
def test_labels_that_an_image_brought_count_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes an image is not whoever runs it; the same label given by hand counts."""
    monkeypatch.setenv("DOCKER_HOST", engine.address())
    (tmp_path / "Dockerfile").write_text(f"FROM {engine.IMAGE}\nLABEL pgproof.enable=true\n")
    image, wanted = docker("build", "--quiet", str(tmp_path)), {"PGPROOF_LABELS": "true", **ENV}
    with throwaway() as made:
        name = f"brought-{made.tag}"
        made.containers.append(name)
        docker("run", "--detach", "--init", "--name", name, "--entrypoint", "sleep", image, "infinity")
        found = job.from_labels(wanted)
        assert found is None or name not in [one.docker.container for one in found.sources if one.docker]
        docker("rm", "--force", name)
        docker("run", "--detach", "--init", "--name", name, "--label", "pgproof.enable=1", "--entrypoint", "sleep",
               image, "infinity")  # fmt: skip
        given = job.from_labels(wanted)
        assert given is not None and name in [one.docker.container for one in given.sources if one.docker]
    docker("rmi", image, check=False)
