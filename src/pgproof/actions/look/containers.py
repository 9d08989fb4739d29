"""Look into containers for PostgreSQL servers: their databases, volumes, secrets, and who uses them."""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from pgproof.actions.look.questions import DATABASES, KEYCLOAK, wanted
from pgproof.actions.traps import data_trap
from pgproof.docker import Container, Engine
from pgproof.docker import servers as told
from pgproof.errors import PgproofError
from pgproof.postgres.sql import conninfo_value
from pgproof.stream import process

_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Server:
    """A server in a container. `password` is a reference, never the secret; `notes` go into the configuration."""

    container: str
    url: str
    databases: tuple[str, ...]
    keycloaks: tuple[str, ...]
    volume: str
    services: tuple[str, ...]
    password: str
    notes: tuple[str, ...]
    lines: tuple[str, ...]


def servers(engine: Engine, env: Mapping[str, str]) -> tuple[list[Server], list[str]]:
    """The servers that run and can be reached, and what to tell of the others. Raises PgproofError when the engine
    does not answer.
    """
    every = engine.containers()
    found, lines = [], []
    for one in every:
        if not told.may_be_server(one):
            continue
        if one.running and not engine.serves(one):
            continue
        place = told.reach(one, env.get("DOCKER_HOST", "")) if one.running else None
        if place is None:
            lines += _passed_over(one)
        else:
            found.append(_server(engine, one, every, place))
    return found, lines


def _passed_over(one: Container) -> list[str]:
    if one.running:
        return [f"{one.name} has no address: publish its port, as with 127.0.0.1:5432:5432, and run init again."]
    if told.PORT in one.ports or one.env.get("PGDATA") or "POSTGRES_DB" in one.env:
        return [
            f"{one.name} may be a PostgreSQL server and does not run: start it, and run init again, to have it too."
        ]
    return []


def _server(engine: Engine, one: Container, every: Sequence[Container], place: tuple[str, int]) -> Server:
    user = one.env.get("POSTGRES_USER") or "postgres"
    first = one.env.get("POSTGRES_DB") or user
    databases = wanted(_asked(engine, one, user, DATABASES, first)) or [first]
    keycloaks = tuple(name for name in databases if _asked(engine, one, user, KEYCLOAK, name) == ["t"])
    services = tuple(other.name for other in told.dependants(one, every))
    mount = told.data_mount(one)
    volume = mount.volume if mount else ""
    password, how = _password(one)
    host = f"[{place[0]}]" if ":" in place[0] else place[0]
    # The container's own address may be another tomorrow; its name is looked up by job.address_of each time.
    steady = f"{host}:{place[1]}" if told.PORT in one.ports else one.name
    url = f"postgresql://{quote(user, safe='')}@{steady}/postgres"
    lines = [
        f"Found the server {one.name} in a container of {one.image}, at {host}:{place[1]}"
        + (f", its data in the volume {volume}." if volume else "."),
        *([f"It is used by {', '.join(services)}."] if services else []),
        *how,
    ]
    if (trap := data_trap(one, volume)) is not None:
        lines.append(f"Warning: {trap.text}; {trap.hint}.")
        volume = "" if told.is_anonymous(volume) else volume
    notes = (f"The server in the container {one.name}, image {one.image}.", *how)
    return Server(
        one.name, url, tuple(databases), keycloaks, volume, services, password, notes, tuple(lines)
    )  # fmt: skip


def _password(one: Container) -> tuple[str, tuple[str, ...]]:
    """A reference to the password, and how what it refers to comes to be there. The secret itself is not looked at:
    this file would be one more place where it lies.
    """
    if path := told.secret_file(one):
        return f"file:{path}", (f"Its password is in {path}, which its owner alone may read (chmod 600).",)
    docker = os.environ.get("PGPROOF_DOCKER") or "docker"
    if inside := one.env.get("POSTGRES_PASSWORD_FILE"):
        words = ["cat", inside]
    elif "POSTGRES_PASSWORD" in one.env:
        words = ["printenv", "POSTGRES_PASSWORD"]
    else:
        return "", ()
    file = f"{one.name}.password"
    command = shlex.join([docker, "exec", one.name, *words])
    return f"file:{file}", (
        "Its password is to lie in a file beside this configuration. What the container was made with comes there by:",
        f"  (umask 077; {command} > {shlex.quote(file)})",
    )


def _asked(engine: Engine, one: Container, user: str, question: str, database: str) -> list[str]:
    """The first column of the answer of the server's own psql; empty where there is none, or it may not."""
    sql = f"SELECT pg_catalog.json_agg(one) FROM ({question}) AS every (one)"
    argv = ["psql", "--no-psqlrc", "--no-password", "--quiet", "--tuples-only", "--no-align",
            "--username", user, "--dbname", f"dbname={conninfo_value(database)}", "--command", sql]  # fmt: skip
    secret = one.env.get("POSTGRES_PASSWORD")
    program = engine.exec_program(one.id, argv, {"PGPASSWORD": secret} if secret else None)
    try:
        answer = json.loads(process.run(replace(program, deadline=_SECONDS)))
    except (PgproofError, ValueError):
        return []
    return [_word(value) for value in answer or ()]


def _word(value: object) -> str:
    return "t" if value is True else "f" if value is False else str(value)
