"""The project's own container image, built from the Dockerfile, doing its work as compose.yaml has it."""

import contextlib
import json
import shutil
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests import engine
from tests.engine import Stack, docker

ROOT = Path(__file__).resolve().parent.parent
IMAGE, BASE = "pgproof-test/pgproof:here", "pgproof-test/base:here"
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER")  # what root needs to read and make the files of another
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Built on Debian's root of the tests; with this machine's certificates, by which it reaches the registries."""
    engine.address()
    folder = tmp_path_factory.mktemp("base")
    shutil.copy(BUNDLE, folder / "bundle.crt")
    (folder / "Dockerfile").write_text(
        "FROM pgproof-test/root:15\nCOPY bundle.crt /etc/bundle.crt\nENV PIP_CERT=/etc/bundle.crt\n"
    )
    docker("build", "--quiet", "--tag", BASE, str(folder))
    docker(
        "build", "--quiet", "--network", "host", "--build-arg", f"BASE={BASE}", "--tag", IMAGE, str(ROOT), seconds=580
    )
    return IMAGE


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with engine.stack() as made:
        made.run("CREATE TABLE users AS SELECT g AS id, md5(g::text) AS word FROM generate_series(1, 3000) g")
        yield made


def service() -> dict[str, object]:
    """What compose.yaml says of pgproof."""
    return dict(yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["pgproof"])


@contextlib.contextmanager
def container(image: str, stack: Stack, folder: Path, *words: str) -> Iterator[str]:
    """Started as in compose.yaml: its environment, its hardening, secrets as files, in the network of the database."""
    told, name, network = service(), f"pgproof-{stack.tag}", f"net-{stack.tag}"
    folder.chmod(0o755)  # as Compose gives secrets: for whoever runs inside
    for secret, text in (("db_password", engine.PASSWORD), ("backup_passphrase", "a long enough passphrase")):
        (folder / secret).write_text(text)
        (folder / secret).chmod(0o444)
    env = {**told["environment"], "POSTGRES_HOST": stack.database, "SCHEDULE": "* * * * *", "TZ": "UTC"}  # type: ignore[dict-item]
    env["BACKUP_KEEP_DAYS"] = "30"
    options = [word for key, value in env.items() for word in ("--env", f"{key}={value}")]
    options += ["--read-only"] if told["read_only"] else []
    options += [word for one in told["cap_drop"] for word in ("--cap-drop", one)]  # type: ignore[attr-defined]
    options += [word for one in told["security_opt"] for word in ("--security-opt", one)]  # type: ignore[attr-defined]
    options += [word for one in told["tmpfs"] for word in ("--tmpfs", one)]  # type: ignore[attr-defined]
    docker("network", "create", network)
    try:
        docker("network", "connect", network, stack.database)
        docker("run", "--detach", "--name", name, "--network", network, "--publish", "127.0.0.1::9847",
               "--volume", f"{folder}:/run/secrets:ro", *options, image, *words)  # fmt: skip
        yield name
    finally:
        docker("rm", "--force", "--volumes", name, check=False)
        docker("network", "disconnect", "--force", network, stack.database, check=False)
        docker("network", "rm", network, check=False)


@pytest.mark.slow
def test_the_image_backs_up_and_proves_as_the_service_of_compose(image: str, stack: Stack, tmp_path: Path) -> None:
    """Unprivileged, read-only, without the socket: healthy, a backup when it is due, a proof, an encrypted file."""
    with container(image, stack, tmp_path) as name:
        assert docker("exec", name, "id", "-un") == "pgproof"
        deadline = time.monotonic() + 150
        while not (listed := json.loads(docker("exec", name, "pgproof", "list", "--json"))):
            assert time.monotonic() < deadline, docker("logs", name)
            time.sleep(0.2)
        assert listed[0]["source"] == "keycloak"
        proof = json.loads(docker("exec", name, "pgproof", "prove", "--json"))
        assert proof["proven"] and proof["tables"] == [{"name": "public.users", "rows": 3000, "same": True}]
        parts = json.loads(docker("exec", name, "pgproof", "show", "latest", "--json"))["parts"]
        assert {part["encryption"] for part in parts} == {"gpg"}
        port = docker("port", name, "9847/tcp").rpartition(":")[2]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert b"pgproof_" in answer.read()
        deadline = time.monotonic() + 60
        while docker("inspect", "--format", "{{.State.Health.Status}}", name) != "healthy":
            assert time.monotonic() < deadline, docker("inspect", "--format", "{{json .State.Health}}", name)
            time.sleep(0.2)
        docker("stop", "--time", "90", name)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", name) == "0", docker("logs", name)


@pytest.mark.slow
def test_with_the_socket_the_image_backs_up_a_labelled_volume_and_proves_it(image: str, stack: Stack) -> None:
    """The documented exception, with the lines of docs/docker.md; labels are the configuration."""
    name, network, drills = (
        f"pgproof-socket-{stack.tag}",
        f"net-socket-{stack.tag}",
        Path(f"/var/tmp/drills-{stack.tag}"),
    )
    drills.mkdir()
    docker("rm", "--force", stack.database)
    labels = {"enable": "true", "source": "kc", "kinds": "logical,volume", "services": stack.service}
    words = {f"pgproof.{key}": value for key, value in labels.items()} | {"com.docker.compose.project": stack.tag}
    stack.start_database(*(word for key, value in words.items() for word in ("--label", f"{key}={value}")))
    stack.wait()
    states, roots = stack.states(), engine.mountpoint(stack.volume).parent.parent
    told = service()
    options = [word for one in (*told["tmpfs"], "/backups", "/var/lib/pgproof") for word in ("--tmpfs", one)]  # type: ignore[misc]
    options += ["--read-only", "--security-opt", "no-new-privileges:true", "--cap-drop", "ALL"]
    options += [word for one in CAPABILITIES for word in ("--cap-add", one)]
    socket = engine.address().removeprefix("unix://")
    mounts = (f"{socket}:/var/run/docker.sock", f"{roots}:{roots}", f"{drills}:{drills}")
    options += [word for one in mounts for word in ("--volume", one)]
    docker("network", "create", network)
    try:
        docker("network", "connect", network, stack.database)
        options += [
            "--network",
            network,
            "--user",
            "root",
            "--env",
            "BACKUP_DIR=/backups",
            "--env",
            "PGPROOF_LABELS=true",
        ]
        options += ["--env", "PGPROOF_LABELS=true", "--env", f"TMPDIR={drills}", "--entrypoint", "sleep"]
        docker("run", "--detach", "--init", "--name", name, *options, image, "infinity")
        made = json.loads(docker("exec", name, "pgproof", "backup", "kc", "--json"))
        assert {one["kind"] for one in made} == {"logical", "volume"}
        stack.wait()
        assert stack.states() == states, "also the one that pgproof runs in goes on, and all are as they were"
        for one in made:
            proof = json.loads(docker("exec", name, "pgproof", "prove", one["id"], "--json"))
            assert proof["proven"], proof
    finally:
        docker("rm", "--force", "--volumes", name, check=False)
        docker("network", "disconnect", "--force", network, stack.database, check=False)
        docker("network", "rm", network, check=False)
        shutil.rmtree(drills)


def test_the_lines_for_the_socket_are_in_the_documentation() -> None:
    told = (ROOT / "docs" / "docker.md").read_text()
    for one in CAPABILITIES:
        assert one in told


def test_compose_names_the_volume_and_gives_pgproof_no_socket() -> None:
    told = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert told["volumes"]["postgres_keycloak"]["name"] == "exp_postgres_keycloak"
    assert not any("docker.sock" in one for one in told["services"]["pgproof"]["volumes"])
    assert told["services"]["pgproof"]["read_only"] is True and "user" not in told["services"]["pgproof"]
    for secret in told["services"]["pgproof"]["secrets"]:
        assert secret in told["secrets"]
