"""A configuration from the labels of containers: `pgproof.enable=true` on a server, and what else is to be known.

Whoever may start a container can write labels, so they are little believed: a password is the container's own, a
service is of the same Compose project, and no command, file or variable of this machine can be named.
"""

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from pgproof.config.environment import around
from pgproof.config.fields import Table
from pgproof.config.read import read_source
from pgproof.config.settings import Config, SourceSettings
from pgproof.docker import Container, servers
from pgproof.errors import ConfigError
from pgproof.finding import Finding

PREFIX = "pgproof."
_OURS = ("pgproof.drill", "pgproof.backup")  # on what we make ourselves
_LISTS = ("databases", "kinds", "services")
_KNOWN = ("enable", "source", "checks", "sessions", *_LISTS)
_YES, _NO = ("true", "1", "yes"), ("false", "0", "no")


def from_labels(containers: Iterable[Container], env: Mapping[str, str]) -> Config | None:
    """The sources that labels name, with stores, encryption, schedule and retention from the environment, as without
    labels; None where no container is labelled so. A container whose labels are wrong is left out, and told by health:
    somebody's slip must not end the backups of all others. Raises ConfigError where none is right.
    """
    every = tuple(containers)
    found: list[SourceSettings] = []
    wrong: list[tuple[str, ConfigError]] = []
    for one in every:
        labels = {key.removeprefix(PREFIX): value for key, value in one.labels.items() if key.startswith(PREFIX)}
        try:
            found += _sources(one, labels, every) if not one.oneoff and _enabled(one, labels) else ()
        except ConfigError as error:
            wrong.append((one.name, error))
    alike = {name for name, times in Counter(source.name for source in found).items() if times > 1}
    wrong += [(_container(source), _twice(source.name)) for source in found if source.name in alike]
    right = tuple(source for source in found if source.name not in alike)
    if wrong and not right:
        raise wrong[0][1]
    if not right:
        return None
    left_out = tuple(_left_out(right[0].name, name, error) for name, error in wrong)
    return replace(around(env, right), left_out=left_out)


def _container(source: SourceSettings) -> str:
    return source.docker.container if source.docker else source.name


def _twice(name: str) -> ConfigError:
    hint = f"give one of them a label: {PREFIX}source=NAME"
    return ConfigError(f"two labelled containers would both be the source {name}", hint=hint)


def _left_out(source: str, container: str, error: ConfigError) -> Finding:
    text = f"the container {container} is labelled for backups and is in none: {error.message}"
    return Finding("label-wrong", "critical", source, text, error.hint)


def _enabled(one: Container, labels: Mapping[str, str]) -> bool:
    said = labels.get("enable", "false").lower()
    if said in _NO:
        return False
    if said not in _YES:
        raise ConfigError(f"{one.name}: the label {PREFIX}enable is {said!r}", hint="write true or false")
    for key in labels:
        if key not in _KNOWN and f"{PREFIX}{key}" not in _OURS:
            near = difflib.get_close_matches(key, _KNOWN, 1, 0.5)
            guess = f"did you mean {PREFIX}{near[0]}? " if near else ""
            raise ConfigError(
                f"{one.name}: {PREFIX}{key} is no label that is known",
                hint=f"{guess}there are: {', '.join(PREFIX + name for name in _KNOWN)}",
            )
    return True


def _sources(one: Container, labels: Mapping[str, str], every: tuple[Container, ...]) -> Iterable[SourceSettings]:
    """One for each database; with several the source's name and the database's make the name."""
    user = one.env.get("POSTGRES_USER") or "postgres"
    databases = _list(labels, "databases") or [one.env.get("POSTGRES_DB") or user]
    called = labels.get("source") or one.service or one.name
    for database in databases:
        name = called if len(databases) == 1 else f"{called}-{database}"
        values: dict[str, object] = {
            "url": f"postgresql://{quote(user, safe='')}@{one.name}/{quote(database, safe='')}",
            "docker": _docker(one, labels, every),
        }
        values["password"] = f"container:{one.name}"
        values |= {"kinds": kinds} if (kinds := _list(labels, "kinds")) else {}
        values |= {"checks": [labels["checks"]]} if "checks" in labels else {}  # a question may have commas
        values |= {"sessions": labels["sessions"]} if "sessions" in labels else {}
        name = name.lower()
        yield read_source(Table(values, f"the labels of {one.name}", None, Path.cwd()), name)


def _docker(one: Container, labels: Mapping[str, str], every: tuple[Container, ...]) -> dict[str, object]:
    mount = servers.data_mount(one)
    named = _list(labels, "services") or [other.name for other in servers.dependants(one, every)]
    mine = {other.name for other in every if one.project and other.project == one.project}
    for name in named:
        if name not in mine and "services" in labels:
            hint = "a label may name those of its own Compose project; others are named in a pgproof.toml"
            raise ConfigError(f"{one.name}: {PREFIX}services names {name}, which is not of its project", hint=hint)
    place = {"volume": mount.volume} if mount and mount.volume else {}
    return {"container": one.name, "services": named, **place}


def _list(labels: Mapping[str, str], key: str) -> list[str]:
    return [word.strip() for word in labels.get(key, "").split(",") if word.strip()]
