"""Services that use a database: stopped before the switch, started after it, and looked at until they are well."""

import contextlib
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from http.client import HTTPException
from typing import Protocol
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

from pgproof.cluster import Image
from pgproof.config import Docker, Recover
from pgproof.docker import Engine, is_own
from pgproof.errors import NotFound, PgproofError, Refused
from pgproof.postgres.server import Address, connect
from pgproof.stream import process

_STOPPING_SECONDS = 600.0
_STARTING_SECONDS = 600.0
_LOOK_SECONDS = 5.0
_CHECKPOINT_SECONDS = 300


class Service(Protocol):
    """Something that must not run during the switch. Stopping what is stopped, and starting what runs, does nothing."""

    @property
    def name(self) -> str: ...

    @property
    def stopping(self) -> str:
        """How it is stopped, for the plan."""
        ...

    def stop(self) -> None: ...

    def start(self) -> None: ...

    def ready(self, seconds: float) -> str | None:
        """None as soon as it is well; else after so many seconds what is wrong, in a sentence."""
        ...


@dataclass(frozen=True, slots=True)
class Commands:
    """A service by the commands and the health of the configuration ([sources.NAME.recover])."""

    told: Recover
    database: Callable[[], Address]

    @property
    def name(self) -> str:
        return "the services"

    @property
    def stopping(self) -> str:
        return ", ".join(shlex.join(argv) for argv in self.told.stop) or "nothing is configured to be stopped"

    def stop(self) -> None:
        """Raises ProgramFailed."""
        for argv in self.told.stop:
            process.run(process.Program(argv, deadline=_STOPPING_SECONDS))

    def start(self) -> None:
        """Raises ProgramFailed."""
        for argv in self.told.start:
            process.run(process.Program(argv, deadline=_STARTING_SECONDS))

    def ready(self, seconds: float) -> str | None:
        until = time.monotonic() + seconds
        while (wrong := self._look()) and time.monotonic() < until:
            time.sleep(0.5)
        return wrong

    def _look(self) -> str | None:
        if not self.told.health:
            return None
        if self.told.health.startswith(("http://", "https://")):
            return _by_http(self.told.health)
        return _by_sql(self.database(), self.told.health)


@dataclass(frozen=True, slots=True)
class Contained:
    """A service in a container, by its name (docker.services of a source)."""

    engine: Engine
    container: str

    @property
    def name(self) -> str:
        return self.container

    @property
    def stopping(self) -> str:
        return f"docker stop {self.container}"

    def stop(self) -> None:
        """Raises NotFound, Unreachable, ProgramFailed; Refused for the container that we run in."""
        found = self.engine.container(self.container)
        if is_own(found):
            raise Refused(f"{found.name} is where pgproof itself runs", hint="take it out of docker.services")
        if found.state in ("running", "paused", "restarting"):
            self.engine.stop(self.container)

    def start(self) -> None:
        """Raises NotFound, Unreachable, ProgramFailed."""
        if not self.engine.container(self.container).running:
            self.engine.start(self.container)

    def ready(self, seconds: float) -> str | None:
        try:
            self.engine.wait_ready(self.container, seconds)
        except PgproofError as error:
            return error.message
        return None


@dataclass(frozen=True, slots=True)
class Server:
    """The database's own container: where it is gone, it is made again as the backup has it."""

    engine: Engine
    container: str
    image: Image | None
    database: Callable[[], Address]  # asked when it runs: a container may have another address then

    @property
    def name(self) -> str:
        return self.container

    @property
    def stopping(self) -> str:
        return f"docker stop {self.container}, with time for its checkpoint"

    def stop(self) -> None:
        """Raises Unreachable, ProgramFailed."""
        with contextlib.suppress(NotFound):
            if self.engine.container(self.container).state in ("running", "paused", "restarting"):
                self.engine.stop(self.container, _CHECKPOINT_SECONDS)

    def start(self) -> None:
        """Raises NotFound, Unreachable, ProgramFailed."""
        try:
            if not self.engine.container(self.container).running:
                self.engine.start(self.container)
        except NotFound:
            if self.image is None or self.image.container is None:
                raise
            self.engine.make(self.image, replace(self.image.container, name=self.container), {})

    def ready(self, seconds: float) -> str | None:
        until = time.monotonic() + seconds
        try:
            self.engine.wait_ready(self.container, seconds)
        except PgproofError as error:
            return error.message
        while True:
            try:
                connect(self.database()).close()
            except PgproofError as error:
                if time.monotonic() > until:
                    return f"it takes no connection: {error.message}"
                time.sleep(0.2)
            else:
                return None


def configured(told: Recover | None, docker: Docker | None, database: Callable[[], Address]) -> tuple[Service, ...]:
    """The services of a source, in the order in which they are stopped; they start in the reverse order. Commands with
    their health come first: what they say of a service holds once the containers run.
    """
    commands = (Commands(told, database),) if told and (told.stop or told.health) else ()
    names = docker.services if docker else ()
    return (*commands, *(Contained(Engine(), one) for one in names))


def patience(told: Recover | None) -> timedelta:
    return told.within if told else Recover().within


def _by_http(url: str) -> str | None:
    try:
        with build_opener(ProxyHandler({})).open(Request(url), timeout=_LOOK_SECONDS) as answer:  # noqa: S310 - http alone
            return None if answer.status == 200 else f"its health page answers {answer.status}"
    except (URLError, HTTPException, OSError, ValueError) as error:
        return f"its health page does not answer well: {error}"


def _by_sql(database: Address, question: str) -> str | None:
    try:
        with connect(database) as session:
            session.run("SET default_transaction_read_only = on; SET search_path = public")
            answer = session.value(question)
    except (PgproofError, IndexError) as error:
        return f"its health question failed: {error}"
    return None if answer is True else f"the answer to its health question is {str(answer).lower()}"
