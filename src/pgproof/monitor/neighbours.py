"""What is beside the sources, asked of servers and engine now and then, and remembered in between.

To ask is to connect to every source's server, so `status` and `metrics` go by what is remembered; and what is
remembered stands while a server is down, so that nothing seems to be over because it is not seen.
"""

import contextlib
import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from pgproof import durable
from pgproof.config import Config, Reference, SourceSettings
from pgproof.docker import Container, Engine
from pgproof.docker import servers as told
from pgproof.errors import PgproofError
from pgproof.finding import Finding
from pgproof.job import address_of, state_folder
from pgproof.monitor.health.unprotected import Kept, Neighbour, unprotected
from pgproof.postgres import neighbours
from pgproof.postgres.server import Address, connect

AGAIN = timedelta(hours=1)  # between two times that a service asks


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server of a source told; `url` is the source's as it is written, and `server` "" without an answer."""

    url: str
    database: str = ""
    server: str = ""
    databases: tuple[str, ...] = ()
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Surveyed:
    """All that was told, by source, and when it was last asked for (UTC)."""

    at: datetime | None = None
    answers: dict[str, Answer] = field(default_factory=dict)
    containers: tuple[Neighbour, ...] = ()


def remembered() -> Surveyed:
    """What was told last; nothing where nothing is remembered, or it cannot be read."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(_file().read_bytes(), type=Surveyed)
    return Surveyed()


def ask(conf: Config, now: datetime) -> Surveyed:
    """Ask every source's server, and the engine where one answers; it is remembered. Raises nothing."""
    before = remembered()
    answers = {one.name: _asked(one, before.answers.get(one.name)) for one in conf.sources}
    made = Surveyed(now, answers, _containers(before.containers))
    with contextlib.suppress(OSError):  # what cannot be remembered is asked again
        _file().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable.write(_file(), msgspec.json.encode(made))
    return made


def ask_if_due(conf: Config, now: datetime) -> None:
    """Ask again after an hour, or when a source is new or leads elsewhere."""
    known = remembered()
    same = {name: one.url for name, one in known.answers.items()} == {one.name: _url(one) for one in conf.sources}
    if not same or known.at is None or abs(now - known.at) >= AGAIN:
        ask(conf, now)


def judge(conf: Config, known: Surveyed) -> tuple[Finding, ...]:
    """What health says of it under the present configuration; nothing where nothing was asked yet."""
    if known.at is None:
        return ()
    return tuple(unprotected([_kept(one, known.answers.get(one.name)) for one in conf.sources], known.containers))


def _file() -> Path:
    return state_folder() / "neighbours.json"


def _url(source: SourceSettings) -> str:
    return source.url.shown() if isinstance(source.url, Reference) else source.url


def _kept(source: SourceSettings, answer: Answer | None) -> Kept:
    """An answer to another URL is none."""
    known = answer if answer and answer.url == _url(source) else Answer("")
    return Kept(
        source.name,
        known.database or _written(source),
        "volume" in source.kinds,
        source.docker.container if source.docker else "",
        source.ignore,
        known.server,
        known.databases,
        known.places,
    )


def _written(source: SourceSettings) -> str:
    """The database in a URL that stands in the configuration itself."""
    with contextlib.suppress(PgproofError):
        if not isinstance(source.url, Reference):
            return Address(source.url).database
    return ""


def _asked(source: SourceSettings, before: Answer | None) -> Answer:
    """Who does not answer now has told what it told before, if that was of the same URL."""
    kept = before if before and before.url == _url(source) else Answer(_url(source), _written(source))
    try:
        address = address_of(source)
        with connect(address) as session:
            reached = neighbours.places(session, address)
            server = neighbours.server(session, reached)
            there = neighbours.databases(session, address)
            return Answer(_url(source), session.wire().database, server, there, reached)
    except Exception:  # noqa: BLE001 - a stranger's server may answer anything, and no other is to go unasked for it
        return kept


def _containers(before: tuple[Neighbour, ...]) -> tuple[Neighbour, ...]:
    """Servers that run in containers; without an answer, those of before."""
    engine = Engine()
    try:
        running = engine.containers(running=True)
        return tuple(Neighbour(one.name, _places(one)) for one in running if engine.serves(one))
    except PgproofError:
        return before


def _places(one: Container) -> tuple[str, ...]:
    """Its addresses in its networks, where it is published, and its names for who is in the same network."""
    own = [f"{address}:5432" for address in one.addresses.values()]
    names = [f"{name}:5432" for name in (one.name, one.service) if name and own]
    reached = told.reach(one, os.environ.get("DOCKER_HOST", "")) if own or one.ports else None
    return tuple(dict.fromkeys([*own, *names, *([f"{reached[0]}:{reached[1]}"] if reached else [])]))
