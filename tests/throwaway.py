"""Single containers for a test, of the test image, and their volumes; gone afterwards whatever happens."""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.engine import IMAGE, docker


@dataclass
class Made:
    """Containers and volumes of one test: the names of all end in, or hold, its tag."""

    tag: str = field(default_factory=lambda: secrets.token_hex(4))
    containers: list[str] = field(default_factory=list)

    def run(self, name: str, *words: str, how: tuple[str, ...] = ("run", "--detach")) -> str:
        self.containers.append(f"{name}-{self.tag}")
        password = () if "POSTGRES_PASSWORD_FILE" in str(words) else ("--env", "POSTGRES_PASSWORD=x")
        docker(*how, "--name", self.containers[-1], *words, *password, IMAGE)
        return self.containers[-1]


@contextlib.contextmanager
def throwaway() -> Iterator[Made]:
    new = Made()
    try:
        yield new
    finally:
        for name in new.containers:
            docker("rm", "--force", "--volumes", name, check=False)
        for name in docker("volume", "ls", "--quiet").split():
            if new.tag in name:
                docker("volume", "rm", name, check=False)


def wait_for_server(container: str) -> None:
    """Until the server proper answers, not the one of the first run's initialisation."""
    script = """until [ "$(cat /proc/1/comm)" = postgres ] && psql -U postgres -qAtc 'SELECT 1'; do sleep 0.1; done"""
    docker("exec", container, "sh", "-c", script)
