"""Every secret that a configuration refers to, so that none leaves this machine in a text."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from pgproof.config.references import Reference
from pgproof.config.settings import Config
from pgproof.errors import ConfigError
from pgproof.secret import Secret


def known_secrets(config: Config) -> tuple[Secret, ...]:
    """What is found at every reference; one that is not there now can be in no text either. Commands are run."""
    found: dict[Secret, None] = {}
    for reference in dict.fromkeys(_references(config)):
        try:
            found[reference.resolve()] = None
        except ConfigError:
            continue
    return tuple(found)


def _references(value: object) -> Iterator[Reference]:
    if isinstance(value, Reference):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _references(one)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _references(getattr(value, field.name))
