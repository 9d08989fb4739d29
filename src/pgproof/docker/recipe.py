"""How a container is made again: the words of `docker run` that were its own, without its secrets."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pgproof.cluster import Recipe
from pgproof.errors import Damaged

_HARMLESS = re.compile(
    r"POSTGRES_(USER|DB|INITDB_ARGS|INITDB_WALDIR|HOST_AUTH_METHOD|\w+_FILE)|PG(DATA|PORT|TZ)|LANG|LC_\w+|TZ"
)
_OPTIONS = frozenset({
    "--restart", "--env", "--mount", "--publish", "--label", "--user", "--shm-size", "--memory", "--entrypoint",
    "--health-cmd", "--health-interval", "--health-timeout", "--health-start-period", "--health-retries",
})  # fmt: skip
_SECRET = re.compile(r"pass|secret|token|pwd|\bkey\b|://[^/@\s]*:[^/@\s]*@", re.IGNORECASE)
_COMPOSE = "com.docker.compose."
_USUAL_SHM = 64 << 20
_NANO = 10**9


def recipe_of(told: Mapping[str, Any], image: Mapping[str, Any]) -> Recipe:
    """From `docker inspect` of a container and of its image (Docker Engine API, ContainerInspect and ImageInspect):
    what the image says by itself is left out. Of the variables only those that are known to hold no secret are kept.
    """
    config, host = told.get("Config") or {}, told.get("HostConfig") or {}
    usual = image.get("Config") or {}
    given = [one for one in config.get("Env") or () if one not in (usual.get("Env") or ())]
    kept = [one for one in given if _HARMLESS.fullmatch(one.partition("=")[0])]
    networks = _networks(told)
    health = list(_health(config.get("Healthcheck") or {}))
    words = [
        *_restart(host.get("RestartPolicy") or {}),
        *(word for one in kept for word in ("--env", one)),
        *(word for one in told.get("Mounts") or () for word in _mount(one)),
        *(word for one in _ports(host.get("PortBindings") or {}) for word in ("--publish", one)),
        *(() if _may_be_secret(health) else health),
        *_labels(config.get("Labels") or {}),
        *_changed("--user", config.get("User"), usual.get("User")),
        *(("--shm-size", str(host["ShmSize"])) if host.get("ShmSize", 0) > _USUAL_SHM else ()),
        *(("--memory", str(host["Memory"])) if host.get("Memory") else ()),
        *(("--init",) if host.get("Init") else ()),
    ]
    entry, command = _words(config.get("Entrypoint")), config.get("Cmd") or []
    if entry != _words(usual.get("Entrypoint")) and entry:
        words += ["--entrypoint", entry[0]]
        command = [*entry[1:], *command]
    elif command == (usual.get("Cmd") or []):
        command = []
    lost = sorted(one.partition("=")[0] for one in given if one not in kept)
    lost += ["the health check"] if _may_be_secret(health) else []
    if _may_be_secret(command):
        command, lost = [], [*lost, "the command"]
    return Recipe(told["Name"].lstrip("/"), tuple(words), tuple(command), networks, tuple(lost))


def _words(told: Any) -> list[str]:
    """Podman joins a container's entry point, and not its image's."""
    return told.split() if isinstance(told, str) else list(told or ())


def _may_be_secret(words: Sequence[str]) -> bool:
    """Whether a password may be in it: then it is not kept, in a file that is not encrypted."""
    return any(_SECRET.search(one) for one in words)


def check(recipe: Recipe) -> None:
    """Whether a recipe that was read holds nothing but what `recipe_of` writes: whoever can forge a manifest is not to
    choose how a container runs. Raises Damaged.
    """
    words = iter(recipe.words)
    for word in words:
        if word == "--init":
            continue
        value = next(words, None)
        if word not in _OPTIONS or value is None:
            raise Damaged(
                f"the backup says of the container {recipe.name} an option that no backup of ours has: {word}",
                hint="do not use this store before you know who wrote that; make the container by hand",
            )


def binds(recipe: Recipe) -> tuple[str, ...]:
    """The folders and files of the engine's machine that the container had: a person should see them."""
    found = [dict(part.partition("=")[::2] for part in word.split(",")) for word in recipe.words if "type=bind" in word]
    return tuple(one.get("source", "") for one in found)


def _restart(policy: Mapping[str, Any]) -> tuple[str, ...]:
    name, most = policy.get("Name") or "", policy.get("MaximumRetryCount") or 0
    if name in ("", "no"):
        return ()
    return "--restart", f"{name}:{most}" if name == "on-failure" and most else name


def _mount(one: Mapping[str, Any]) -> tuple[str, ...]:
    source = one.get("Name") if one.get("Type") == "volume" else one.get("Source")
    if one.get("Type") not in ("volume", "bind") or not source:
        return ()
    readonly = "" if one.get("RW", True) else ",readonly"
    return "--mount", f"type={one['Type']},source={source},target={one['Destination']}{readonly}"


def _ports(bindings: Mapping[str, Any]) -> Iterator[str]:
    for port, places in sorted(bindings.items()):
        for one in places or ():
            address, number = one.get("HostIp") or "", one.get("HostPort") or ""
            host = f"[{address}]:" if ":" in address else f"{address}:" if address else ""
            yield f"{host}{number}:{port}" if host or number else port


def _health(told: Mapping[str, Any]) -> Iterator[str]:
    kind, *test = told.get("Test") or [""]
    if kind not in ("CMD", "CMD-SHELL"):
        return
    yield from ("--health-cmd", test[0] if kind == "CMD-SHELL" else shlex.join(test))
    for key, option in (("Interval", "interval"), ("Timeout", "timeout"), ("StartPeriod", "start-period")):
        if told.get(key):
            yield from (f"--health-{option}", f"{told[key] / _NANO:g}s")
    if told.get("Retries"):
        yield from ("--health-retries", str(told["Retries"]))


def _labels(labels: Mapping[str, str]) -> Iterator[str]:
    """Compose's alone, by which it knows its own again: others may hold anything."""
    for key, value in sorted(labels.items()):
        if key.startswith(_COMPOSE):
            yield from ("--label", f"{key}={value}")


def _networks(told: Mapping[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Names and aliases; those that the engine gives by itself are left out."""
    own = {told["Id"][:12], told["Name"].lstrip("/")}
    networks = (told.get("NetworkSettings") or {}).get("Networks") or {}
    found = {name: tuple(a for a in one.get("Aliases") or () if a not in own) for name, one in networks.items()}
    return () if list(found) == ["bridge"] else tuple(sorted(found.items()))


def _changed(option: str, value: str | None, usual: str | None) -> tuple[str, ...]:
    return (option, value) if value and value != usual else ()
