"""What a scheduler has to know of the configuration: whom to start, and which files and variables it needs."""

import os
import pwd
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

from pgproof.config import Config, DirectorySettings, Reference, S3Settings, SftpSettings
from pgproof.daemon import plans
from pgproof.errors import ConfigError, UsageError
from pgproof.schedule.written import STATE, Setup

_HOMES = ("/home", "/root", "/run/user")
_SHARED = ("/tmp", "/var/tmp")  # noqa: S108 - what PrivateTmp would hide


def setup_of(config: Config, user: str | None) -> Setup:
    """For `user`, or whoever runs this. Raises ConfigError without a file, UsageError when nothing is scheduled."""
    if config.path is None:
        hint = "write the settings into a pgproof.toml, or run `pgproof run`, which takes them from the environment"
        raise ConfigError("a scheduler starts pgproof without this environment: it needs a file", hint=hint)
    found = list(_leaves(config))
    references = [one for one in found if isinstance(one, Reference)]
    stores = tuple(str(one.where.path) for one in config.stores if isinstance(one.where, DirectorySettings))
    secrets = tuple(dict.fromkeys(one.value for one in references if one.kind == "file"))
    others = {str(one) for one in found if isinstance(one, Path)} - {str(config.path), *stores, *secrets}
    program, state = _program(), os.environ.get("PGPROOF_STATE") or STATE
    places = (*program, str(config.path), state, *stores, *secrets, *others)
    urls = " ".join(str(source.url).replace("%2F", "/").replace("%2f", "/") for source in config.sources)
    return Setup(
        program=program,
        config=str(config.path),
        user=user or pwd.getpwuid(os.geteuid()).pw_name,
        tasks=tuple((task, getattr(config.schedule, task)) for task in _tasks(config)),
        zone=config.schedule.timezone,
        state=state,
        writes=stores,
        secrets=secrets,
        reads=tuple(sorted(others)),
        variables=tuple(dict.fromkeys(one.value for one in references if one.kind == "env")),
        home=_reads_home(config, references) or any(_below(place, _HOMES) for place in places),
        shared_tmp=any(_below(place, _SHARED) for place in places) or "/tmp" in urls,  # noqa: S108
    )


def _tasks(config: Config) -> list[str]:
    found = list(dict.fromkeys(plan.task for plan in plans(config)))
    if not found:
        raise UsageError("nothing is scheduled", hint='give [schedule] a line such as: backup = "0 2 * * *"')
    return found


def known_user(name: str) -> None:
    """Raises UsageError when there is no such user here."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        hint = f"make one: useradd --system --create-home --home-dir /var/lib/{name} {name}"
        raise UsageError(f"there is no user {name!r} on this machine", hint=hint) from None


def _program() -> tuple[str, ...]:
    """How to start this very pgproof from anywhere."""
    script = Path(sys.executable).with_name("pgproof")
    return (str(script),) if os.access(script, os.X_OK) else (sys.executable, "-m", "pgproof")


def _leaves(value: object) -> Iterator[Reference | Path]:
    """All references and paths of the settings, also those of settings that are to come."""
    if isinstance(value, Reference | Path):
        yield value
    elif is_dataclass(value):
        for one in fields(value):
            yield from _leaves(getattr(value, one.name))
    elif isinstance(value, tuple):
        for piece in value:
            yield from _leaves(piece)


def _reads_home(config: Config, references: list[Reference]) -> bool:
    """Whether programs or drivers look into the home directory: ~/.pgpass, ~/.ssh, ~/.aws, ~/.gnupg, or a command."""
    stores = [one.where for one in config.stores]
    return (
        any(one.kind == "exec" for one in references)
        or any(source.password is None for source in config.sources)
        or any(isinstance(one, SftpSettings) and not (one.identity and one.known_hosts) for one in stores)
        or any(isinstance(one, S3Settings) and not one.access_key for one in stores)
        or (config.encryption.method == "gpg" and bool(config.encryption.recipients))
    )


def _below(place: str, folders: tuple[str, ...]) -> bool:
    return any(place == folder or place.startswith(f"{folder}/") for folder in folders)
