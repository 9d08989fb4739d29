"""Options that every command has, and the settings they lead to."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from pgproof import config, job
from pgproof.cli import render
from pgproof.config import Config
from pgproof.errors import ConfigError

ConfigPath = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The configuration; else ./pgproof.toml, ~/.config/pgproof/, /etc/pgproof/.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else.")]
InStore = Annotated[
    str | None, typer.Option("--store", metavar="NAME", help="The configured store to look in; else the first.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no talk.")]
Sources = Annotated[
    list[str] | None, typer.Argument(metavar="[SOURCE]...", help="Names of sources; all when none is named.")
]


@dataclass(frozen=True, slots=True)
class Manners:
    """How this run is to speak."""

    json: bool
    quiet: bool

    def say(self, text: str) -> None:
        if not self.json and not self.quiet:
            print(text)

    def document(self, value: object) -> None:
        """The one JSON document, where it was asked for."""
        if self.json:
            print(render.as_json(value))


def settings_if_any(path: str | None) -> Config | None:
    """The configuration from its file, else from the environment, else from the labels of containers; None where
    there is none of them. Raises ConfigError.
    """
    found = config.find(path, os.environ, Path.cwd(), Path.home())
    if found:
        return config.load(found)
    made = config.from_environment(os.environ)
    return made if made is not None else job.from_labels(os.environ)


def settings(path: str | None) -> Config:
    """The configuration from its file, the environment, or the labels of containers. Raises ConfigError."""
    _put_back()  # it needs no configuration, and a broken one must not keep containers down
    made = settings_if_any(path)
    if made is None:
        raise ConfigError(
            "there is no configuration",
            hint="`pgproof init` looks around and writes one; in a container set POSTGRES_HOST and the like, "
            "or label the server's container pgproof.enable=true",
        )
    _say_unfinished()
    return made


def _put_back() -> None:
    """What a run that was cut off left stopped comes first; without such a record nothing is imported for it."""
    if any(job.stopped_folder().glob("*.json")):
        from pgproof.cli.putting_back import put_back

        put_back()


def _say_unfinished() -> None:
    """What was cut off and may have left services stopped or files half exchanged: whatever is run, it is said."""
    recoveries = sorted((job.state_folder() / "recover").glob("*.json"))
    exchanges = sorted((job.state_folder() / "restoring").glob("*.json"))
    if recoveries or exchanges:
        from pgproof.cli.unfinished import say_unfinished

        say_unfinished(recoveries, exchanges)
