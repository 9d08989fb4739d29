"""What the engine tells of containers and volumes, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_PROJECT, _SERVICE = "com.docker.compose.project", "com.docker.compose.service"
_ONEOFF = "com.docker.compose.oneoff"
_DEPENDS = "com.docker.compose.depends_on"


@dataclass(frozen=True, slots=True)
class Mount:
    """`volume` is the name of a named volume, "" for a bind mount; `source` the path on the engine's machine."""

    volume: str
    source: str
    destination: str
    writable: bool


@dataclass(frozen=True, slots=True)
class Container:
    """A container as the engine describes it. `state` is created, running, paused, restarting, exited or dead;
    `health` starting, healthy or unhealthy, "" without a health check. `env` may hold secrets: it is never shown.
    """

    id: str
    name: str
    image: str
    image_id: str
    state: str
    exit_code: int = 0
    health: str = ""
    started_at: str = ""
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)  # network: IP address
    ports: Mapping[str, tuple[str, int]] = field(default_factory=dict)  # "5432/tcp": where it is published
    command: tuple[str, ...] = ()
    auto_remove: bool = False  # started with --rm: to stop it is to remove it, with the volumes that have no name
    patience: int | None = None  # seconds it has to end, where it was made with a number of its own

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def project(self) -> str:
        """The Compose project, "" for none."""
        return self.labels.get(_PROJECT, "")

    @property
    def oneoff(self) -> bool:
        """Whether Compose ran it once, beside the service whose labels it has."""
        return self.labels.get(_ONEOFF, "").lower() == "true"

    @property
    def service(self) -> str:
        """The service's name in its Compose project."""
        return self.labels.get(_SERVICE, "")

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Services that this one needs (Compose writes `name:condition:restart`, separated by commas)."""
        words = self.labels.get(_DEPENDS, "").split(",")
        return tuple(word.partition(":")[0].strip() for word in words if word.strip())


@dataclass(frozen=True, slots=True)
class Volume:
    """A named volume; `mountpoint` is its folder on the engine's machine. Of one that is mounted only while it is
    used, as NFS is, that is a path which is never there: what the engine calls so is empty whenever its containers
    are stopped. `fleeting` is one whose content ends with them.
    """

    name: str
    driver: str
    mountpoint: str
    labels: Mapping[str, str] = field(default_factory=dict)
    fleeting: bool = False


def container_of(told: Mapping[str, Any]) -> Container:
    """From one element of `docker inspect` (Docker Engine API, ContainerInspect)."""
    state, config = told["State"], told.get("Config") or {}
    network = told.get("NetworkSettings") or {}
    networks = network.get("Networks") or {}
    return Container(
        id=told["Id"],
        name=told["Name"].lstrip("/"),
        image=config.get("Image") or told.get("ImageName") or told["Image"],
        image_id=_sha256(told["Image"]),
        state=state["Status"],
        exit_code=int(state.get("ExitCode") or 0),
        health=((state.get("Health") or state.get("Healthcheck") or {}).get("Status") or "").replace("none", ""),
        started_at=str(state.get("StartedAt") or ""),
        mounts=tuple(_mount(one) for one in told.get("Mounts") or ()),
        env=dict(word.partition("=")[::2] for word in config.get("Env") or ()),
        labels=dict(config.get("Labels") or {}),
        addresses={name: one["IPAddress"] for name, one in networks.items() if one.get("IPAddress")},
        ports={
            port: (one[0]["HostIp"], int(one[0]["HostPort"]))
            for port, one in (network.get("Ports") or {}).items()
            if one
        },
        command=tuple(config.get("Cmd") or ()),
        auto_remove=bool((told.get("HostConfig") or {}).get("AutoRemove")),
        patience=config.get("StopTimeout"),
    )


def _mount(told: Mapping[str, Any]) -> Mount:
    volume = told.get("Name", "") if told.get("Type") == "volume" else ""
    return Mount(volume, told.get("Source", ""), told["Destination"], bool(told.get("RW", True)))


def _sha256(image: str) -> str:
    return image if image.startswith("sha256:") else f"sha256:{image}"


def volume_of(told: Mapping[str, Any]) -> Volume:
    """From one element of `docker volume inspect`."""
    driver, options = told.get("Driver", ""), told.get("Options") or {}
    fleeting = options.get("type") == "tmpfs"
    return Volume(told["Name"], driver, _mountpoint(told, driver, options), dict(told.get("Labels") or {}), fleeting)


def _mountpoint(told: Mapping[str, Any], driver: str, options: Mapping[str, str]) -> str:
    """A bound folder is where its files are at any time (mount(8): `o` has bind or rbind, `device` the folder)."""
    path = told.get("Mountpoint", "")
    if not options.keys() & {"type", "device"} and driver in ("local", ""):
        return str(path)
    if {"bind", "rbind"} & set(options.get("o", "").split(",")) and options.get("device", "").startswith("/"):
        return options["device"]
    return f"{path} (of type {options.get('type') or driver}, and there only while it is used)"
