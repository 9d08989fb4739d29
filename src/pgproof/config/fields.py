"""Typed reading of TOML tables: every refusal names the setting's full path and what belongs there.

Values are not shown in messages: a secret may stand in the wrong place.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import cast

from pgproof.config.references import Reference, parse_reference
from pgproof.errors import ConfigError
from pgproof.retention import parse_span


class Table:
    """A TOML table at `path`, of which only the `known` keys may be there (all, if None)."""

    def __init__(self, values: object, path: str, known: Iterable[str] | None, base: Path) -> None:
        if not isinstance(values, dict):
            raise ConfigError(f"{path} must be a table, and is {_kind(values)}", hint=f"write [{path}] above its lines")
        self._values: Mapping[str, object] = values
        self.path = path
        self.base = base
        if known is not None:
            self._refuse_unknown(tuple(known))

    def _refuse_unknown(self, known: tuple[str, ...]) -> None:
        for key in self._values:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1, 0.5)
                guess = f"did you mean {self.at(near[0])}? " if near else ""
                listed = ", ".join(known) or "nothing"
                raise ConfigError(f"{self.at(key)} is not a setting", hint=f"{guess}known here: {listed}")

    def at(self, key: str) -> str:
        """The full path of a key."""
        return f"{self.path}.{key}" if self.path else key

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def table(self, key: str, known: Iterable[str] | None) -> "Table":
        return Table(self._values.get(key, {}), self.at(key), known, self.base)

    def names(self) -> tuple[str, ...]:
        """The keys, in the order in which they are written."""
        return tuple(self._values)

    def text(self, key: str, default: str = "") -> str:
        """A text that is not empty; `default` where there is none."""
        value = self._values.get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, "a text in quotes")
        if key in self._values and not value.strip():
            raise ConfigError(f"{self.at(key)} is empty", hint="give it a value or delete the line")
        return value

    def required(self, key: str, such_as: str) -> str:
        if key not in self._values:
            raise ConfigError(f"{self.at(key)} is missing", hint=f"add a line such as: {key} = {such_as}")
        return self.text(key)

    def choice(self, key: str, choices: Iterable[str], default: str) -> str:
        value, known = self.text(key, default), tuple(choices)
        if value not in known:
            near = difflib.get_close_matches(value, known, 1, 0.5)
            guess = f'did you mean "{near[0]}"? ' if near else ""
            raise ConfigError(f"{self.at(key)} must be one of: {', '.join(known)}", hint=f"{guess}mend the line")
        return value

    def whole(self, key: str, default: int, least: int = 0, most: int | None = None) -> int:
        value = self._values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(key, "a whole number without quotes")
        if value < least:
            raise ConfigError(f"{self.at(key)} is {value}", hint=f"give {least} or more")
        if most is not None and value > most:
            raise ConfigError(f"{self.at(key)} is {value}", hint=f"give {most} or less")
        return value

    def number(self, key: str, default: float, least: float, most: float) -> float:
        """A number with or without a point."""
        value = self._values.get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._wrong(key, "a number without quotes")
        if not least <= value <= most:  # nor what TOML writes as nan
            raise ConfigError(f"{self.at(key)} is {value}", hint=f"give a number from {least:g} to {most:g}")
        return float(value)

    def flag(self, key: str, *, default: bool = False) -> bool:
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false, without quotes")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
            raise self._wrong(key, 'a list of texts such as ["a", "b"]')
        return tuple(cast(list[str], value))

    def span(self, key: str, default: timedelta | None) -> timedelta | None:
        """A span such as "30d"; "none" for none."""
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self._wrong(key, 'a span of time in quotes such as "30d"')
        try:
            return None if value == "none" else parse_span(value)
        except ConfigError as error:
            raise ConfigError(f"{self.at(key)}: {error.message}", hint=error.hint) from None

    def is_text(self, key: str) -> bool:
        return isinstance(self._values.get(key), str)

    def moments(self, key: str, default: int) -> timedelta:
        """A short span, in seconds, minutes or hours, such as "90s", "5m" or "1h"; `default` is in seconds."""
        match = re.fullmatch(r"([1-9][0-9]{0,4})([smh])", self.text(key, f"{default}s"))
        if not match:
            raise ConfigError(f"{self.at(key)} is no span of time", hint='write one such as "90s", "5m" or "1h"')
        return timedelta(seconds=int(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]])

    def reference(self, key: str) -> Reference | None:
        return parse_reference(self.text(key), self.at(key), self.base) if key in self._values else None

    def references(self, key: str) -> tuple[Reference, ...]:
        texts = enumerate(self.texts(key))
        return tuple(parse_reference(text, f"{self.at(key)}[{number}]", self.base) for number, text in texts)

    def _wrong(self, key: str, expected: str) -> ConfigError:
        return ConfigError(
            f"{self.at(key)} must be {expected}, and is {_kind(self._values[key])}", hint="mend the line"
        )


def _kind(value: object) -> str:
    kinds: dict[type, str] = {
        bool: "true or false",
        int: "a number",
        float: "a number with a point",
        str: "a text",
        list: "a list",
        dict: "a table",
    }
    return kinds.get(type(value), "a date or time")
