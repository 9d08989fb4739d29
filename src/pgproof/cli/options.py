"""Options that every command has, and the settings they lead to."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from pgproof import config
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


def settings(path: str | None) -> Config:
    """The configuration from its file, else from the environment. Raises ConfigError."""
    found = config.find(path, os.environ, Path.cwd(), Path.home())
    made = config.load(found) if found else config.from_environment(os.environ)
    if made is None:
        raise ConfigError(
            "there is no configuration",
            hint="`pgproof init` looks around and writes one; in a container set POSTGRES_HOST and the like",
        )
    return made
