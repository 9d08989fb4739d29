"""What the application of a source needs when its database is back, by its preset of checks."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from pgproof.checks import Check, keycloak, resolve
from pgproof.config import Config
from pgproof.errors import UsageError
from pgproof.manifest import Manifest
from pgproof.sources.replay import Choice

if TYPE_CHECKING:
    from pgproof.actions.restore import Restored


SessionChoice = Annotated[
    str | None,
    typer.Option(
        "--sessions",
        metavar="CHOICE",
        help="Of a Keycloak: keep, drop-online or drop-all; else as the configuration says, or keep.",
    ),
]


@dataclass(frozen=True, slots=True)
class Afterwards:
    """What the application needs when its database is back: statements, checks, and what to say at the end."""

    statements: tuple[keycloak.Statement, ...] = ()
    checks: tuple[Check, ...] = ()
    closing: tuple[str, ...] = ()
    before: tuple[str, ...] = ()  # and what to say in a plan

    def told(self, done: "Restored") -> "Restored":
        """With the closing words among its notes."""
        return replace(done, notes=(*done.notes, *self.closing))


def afterwards(conf: Config, made: Manifest, choice: Choice, sessions: str | None, *, owners: bool) -> Afterwards:
    """By the configuration of the source, or as the backup has it where there is none. Raises UsageError."""
    source = next((one for one in conf.sources if one.name == made.source), None)
    asked = source.checks if source else _preset(made)
    chosen = keycloak.choice(sessions or (source and source.sessions) or "keep")
    if not keycloak.wanted(asked) and sessions:
        hint = f'it is for Keycloak: is the line checks = ["keycloak"] missing below [sources.{made.source}]?'
        raise UsageError(f"--sessions says nothing for {made.source}", hint=hint)
    if choice.tables or choice.schemas:
        if sessions:
            raise UsageError("--sessions is for a whole database", hint="leave out --table and --schema, or --sessions")
        return Afterwards()
    if not keycloak.wanted(asked):
        return Afterwards(checks=resolve(asked))
    closing = keycloak.closing(chosen, made.application, owners=owners)
    return Afterwards(keycloak.after_restore(chosen), resolve(asked), closing, keycloak.told(chosen))


def _preset(made: Manifest) -> tuple[str, ...]:
    """The preset, if the backup's own configuration named it; no SQL is taken from there."""
    named = made.config.get(f"sources.{made.source}.checks", "").split(",")
    return (keycloak.PRESET,) if keycloak.wanted(named) else ()
