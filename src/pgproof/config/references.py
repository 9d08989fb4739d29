"""References to secrets: `env:NAME`, `file:PATH`, `exec:COMMAND`, `container:NAME`; looked up only when needed."""

import os
import re
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from pgproof.docker import Engine
from pgproof.errors import ConfigError, PgproofError
from pgproof.secret import Secret
from pgproof.stream.process import Program, run

HINT = 'write where it is to be found: "env:NAME", "file:PATH", "exec:COMMAND" or "container:NAME"'
# Docker and Podman mount secrets there, readable by all inside the container; chmod cannot change that.
CONTAINER_SECRETS = Path("/run/secrets")
_LARGEST = 1 << 20
_COMMAND_SECONDS = 60.0
Kind = Literal["env", "file", "exec", "container"]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a secret is to be found; `path` is the setting's place in the configuration, for messages."""

    kind: Kind
    value: str
    path: str

    def resolve(self, env: Mapping[str, str] | None = None) -> Secret:
        """The secret itself. Raises ConfigError; no message ever holds it."""
        if self.kind == "env":
            text = _from_environment(self, os.environ if env is None else env)
        elif self.kind == "file":
            text = read_file(Path(self.value), self.path, private=True)
        elif self.kind == "exec":
            text = _from_command(self)
        else:
            text = _from_container(self)
        if not text.strip():
            raise ConfigError(f"{self.path}: {self.shown()} is empty", hint="a secret has at least one character")
        return Secret(text)

    def shown(self) -> str:
        """The reference in words that may be printed and stored: a command's arguments may be secret."""
        return f"exec:{shlex.split(self.value)[0]}" if self.kind == "exec" else f"{self.kind}:{self.value}"


def by_variable(env: Mapping[str, str], name: str) -> Reference | None:
    """The secret in a variable, or in the file that the variable with _FILE names; None where neither is set."""
    if f"{name}_FILE" in env:
        return Reference("file", env[f"{name}_FILE"], f"{name}_FILE")
    return Reference("env", name, name) if name in env else None


def is_reference(text: str) -> bool:
    return text.startswith(("env:", "file:", "exec:", "container:"))


def parse_reference(text: str, path: str, base: Path) -> Reference:
    """The reference in `text`; relative files lie in `base`. Raises ConfigError, without showing `text`."""
    kind, _, value = text.partition(":")
    if not is_reference(text):
        raise ConfigError(f"{path} holds a secret itself, where a reference to one belongs", hint=HINT)
    if kind == "env" and not _NAME.fullmatch(value):
        raise ConfigError(f"{path}: after env: comes the name of an environment variable", hint=HINT)
    if kind == "file":
        value = str(located(value, base)) if value else ""
    if kind == "exec":
        _check_command(value, path)
    if not value:
        raise ConfigError(f"{path}: nothing comes after {kind}:", hint=HINT)
    return Reference(cast(Kind, kind), value, path)


def located(text: str, base: Path) -> Path:
    """A path from the configuration: `~` is the home directory, relative ones are relative to `base`."""
    try:
        return base / Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"the ~ of {text} cannot be expanded", hint="write the whole path") from error


def read_file(file: Path, path: str, *, private: bool) -> str:
    """The text of a file without one newline at its end; `private` demands that nobody else may read it.

    Opened first and examined after, so that what was examined is what is read.
    """
    try:
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as stream:
            status = os.fstat(stream.fileno())
            _check_file(file, status, path, private=private)
            data = stream.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read {file}: {error.strerror}", hint="check the path") from error
    if len(data) > _LARGEST:
        raise ConfigError(f"{path}: {file} is larger than a secret", hint="is it the right file?")
    return data.removesuffix(b"\n").decode("utf-8", "surrogateescape")


def _check_file(file: Path, status: os.stat_result, path: str, *, private: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{path}: {file} is not an ordinary file", hint="give the path of a file")
    if private and status.st_mode & 0o077 and CONTAINER_SECRETS not in file.resolve().parents:
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigError(
            f"{path}: {file} may be used by others than its owner (mode {mode:04o})",
            hint=f"run: chmod 600 {shlex.quote(str(file))}",
        )


def _from_environment(reference: Reference, env: Mapping[str, str]) -> str:
    if reference.value not in env:
        raise ConfigError(
            f"{reference.path}: the environment variable {reference.value} is not set",
            hint="set it for the process that runs pgproof",
        )
    return env[reference.value]


def _from_command(reference: Reference) -> str:
    try:
        output = run(Program(shlex.split(reference.value), deadline=_COMMAND_SECONDS))
    except PgproofError as error:
        raise ConfigError(
            f"{reference.path}: the command did not give the secret: {error.message}",
            hint="run it by hand; it gets a minute, no shell, no input, and of the environment PATH and HOME",
        ) from error
    return output.removesuffix(b"\n").decode("utf-8", "surrogateescape")


def _from_container(reference: Reference) -> str:
    """What a container of PostgreSQL's images was made with; whoever may ask the engine may know it."""
    engine, name = Engine(), reference.value
    try:
        env = engine.container(name).env
        if file := env.get("POSTGRES_PASSWORD_FILE"):
            data = engine.exec(name, ("cat", file), deadline=_COMMAND_SECONDS)
            return data.removesuffix(b"\n").decode("utf-8", "surrogateescape")
    except PgproofError as error:
        raise ConfigError(f"{reference.path}: {error.message}", hint=error.hint) from error
    if "POSTGRES_PASSWORD" not in env:
        hint = "give the password's own place instead"
        raise ConfigError(f"{reference.path}: the container {name} was made without POSTGRES_PASSWORD", hint=hint)
    return env["POSTGRES_PASSWORD"]


def _check_command(command: str, path: str) -> None:
    try:
        empty = not shlex.split(command)
    except ValueError:
        raise ConfigError(f"{path}: the command's quotes do not match", hint="no shell runs it") from None
    if empty:
        raise ConfigError(f"{path}: nothing comes after exec:", hint=HINT)
