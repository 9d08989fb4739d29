"""The table of prices: read from TOML, checked line by line, and laid over the one that is shipped."""

import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from importlib import resources
from typing import Any

from pgproof.errors import ConfigError, UsageError


@dataclass(frozen=True, slots=True)
class Retrieval:
    """One way to get at what is stored; `wait` is in words."""

    name: str
    per_gb: float
    per_1000: float
    wait: str


@dataclass(frozen=True, slots=True)
class StorageClass:
    """What a class costs. Money per GB and month (`stored`), per 1,000 requests (`put`, `get`), per GB (`egress`).

    `minimum_size`, `overhead` and `overhead_plain` are bytes an object; prices.toml explains each.
    """

    name: str
    stored: float
    put: float
    get: float
    egress: float
    minimum_days: float
    minimum_size: float
    retrievals: tuple[Retrieval, ...]
    overhead: float = 0.0
    overhead_plain: float = 0.0
    parts_at_plain: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider in a region: `gb` bytes are billed as one GB, and `least_gb` of them at the least."""

    key: str
    currency: str
    date: date
    source: str
    gb: float
    least_gb: float
    plain: str
    classes: tuple[StorageClass, ...]

    def storage_class(self, name: str) -> StorageClass:
        """Raises UsageError with the classes that there are."""
        for one in self.classes:
            if one.name == name:
                return one
        there = ", ".join(one.name for one in self.classes)
        raise UsageError(f"{self.key} has no storage class {name!r} in the prices", hint=f"there are: {there}")


@dataclass(frozen=True, slots=True)
class Prices:
    """Providers by their key, such as "aws/us-east-1"; `date` is that of the file."""

    date: date
    providers: Mapping[str, Provider]

    def provider(self, key: str) -> Provider:
        """Raises UsageError with the nearest key."""
        if key in self.providers:
            return self.providers[key]
        listed = f"there are: {', '.join(self.providers)}; add your own with --prices"
        raise UsageError(f"no prices are known for {key!r}", hint=_guess(key, self.providers) + listed)


def shipped() -> Prices:
    """The prices that come with pgproof."""
    text = resources.files(__package__).joinpath("prices.toml").read_text(encoding="utf-8")
    return _whole(load(text, "prices.toml"))


def load(text: str, name: str) -> Prices:
    """The prices in a TOML text; `name` is its file's, for messages.

    Raises ConfigError with the path of the line that cannot be.
    """
    try:
        root = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name} is not valid TOML: {error}", hint="see https://toml.io for the format") from error
    top = _Table(root, f"{name}: ", ("date", "currency", "providers"))
    day, currency = top.day("date"), top.text("currency")
    found = top.inner("providers", None)
    if not found.values:
        raise ConfigError(f"{name}: there is no provider", hint='write [providers."aws/us-east-1"]')
    return Prices(day, {key: _provider(found.inner(key, _PROVIDER), key, day, currency) for key in found.values})


def merge(under: Prices, over: Prices) -> Prices:
    """`over` laid on `under`: its classes and providers replace those of the same name. Raises ConfigError."""
    merged = dict(under.providers)
    for key, one in over.providers.items():
        known = merged[key].classes if key in merged else ()
        own = {new.name: new for new in one.classes}
        kept = [own.pop(old.name, old) for old in known]
        merged[key] = replace(one, classes=(*kept, *own.values()))
    return _whole(Prices(over.date, merged))


_PROVIDER = ("gb", "plain", "least_gb", "date", "currency", "source", "classes")
_CLASS = (
    "stored",
    "put",
    "get",
    "egress",
    "minimum_days",
    "minimum_size",
    "overhead",
    "overhead_plain",
    "parts_at_plain",
    "note",
    "retrieval",
)


def _whole(prices: Prices) -> Prices:
    """Every provider's plain class must be one of its own."""
    for key, one in prices.providers.items():
        names = [known.name for known in one.classes]
        if one.plain not in names:
            hint = f"there are: {', '.join(names)}"
            raise ConfigError(f"providers.{key}.plain names {one.plain!r}, which is no class of it", hint=hint)
    return prices


def _provider(table: "_Table", key: str, day: date, currency: str) -> Provider:
    classes = table.inner("classes", None)
    if not classes.values:
        raise ConfigError(f"{table.path}classes is missing", hint=f'write [providers."{key}".classes.STANDARD]')
    gb = table.number("gb")
    if gb < 1:
        raise ConfigError(f"{table.path}gb is {gb:g}", hint="give the bytes of one GB: 1000000000 or 1073741824")
    return Provider(
        key,
        table.text("currency", currency),
        table.day("date", day),
        table.text("source", ""),
        gb,
        table.number("least_gb", 0.0),
        table.text("plain"),
        tuple(_class(classes.inner(name, _CLASS), name) for name in classes.values),
    )


def _class(table: "_Table", name: str) -> StorageClass:
    ways = table.inner("retrieval", None)
    if not ways.values:
        hint = 'write retrieval.Standard = { per_gb = 0.01, per_1000 = 0.05, wait = "at once" }'
        raise ConfigError(f"{table.path}retrieval is missing", hint=hint)
    return StorageClass(
        name,
        table.number("stored"),
        table.number("put"),
        table.number("get"),
        table.number("egress"),
        table.number("minimum_days"),
        table.number("minimum_size"),
        tuple(_retrieval(ways.inner(way, ("per_gb", "per_1000", "wait")), way) for way in ways.values),
        table.number("overhead", 0.0),
        table.number("overhead_plain", 0.0),
        table.flag("parts_at_plain"),
        table.text("note", ""),
    )


def _retrieval(table: "_Table", name: str) -> Retrieval:
    return Retrieval(name, table.number("per_gb"), table.number("per_1000"), table.text("wait"))


class _Table:
    """A TOML table whose keys must be `known` (any, if None); `path` stands in front of them in messages."""

    def __init__(self, values: Any, path: str, known: Iterable[str] | None) -> None:
        if not isinstance(values, dict):
            raise ConfigError(f"{path.rstrip('.: ')} must be a table", hint="write it as [name] above its lines")
        self.values: dict[str, Any] = values
        self.path = path
        for key in values if known is not None else ():
            if key not in (listed := tuple(known or ())):
                hint = f"{_guess(key, listed)}known here: {', '.join(listed)}"
                raise ConfigError(f"{path}{key} is not known", hint=hint)

    def inner(self, key: str, known: Iterable[str] | None) -> "_Table":
        return _Table(self.values.get(key, {}), f"{self.path}{key}.", known)

    def number(self, key: str, default: float | None = None) -> float:
        value = self._value(key, default, "0.023")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(f"{self.path}{key} must be a number", hint="write it without quotes")
        if value < 0:
            raise ConfigError(f"{self.path}{key} is {value}", hint="give 0 or more")
        return float(value)

    def text(self, key: str, default: str | None = None) -> str:
        value = self._value(key, default, '"..."')
        if not isinstance(value, str):
            raise ConfigError(f"{self.path}{key} must be a text", hint="write it in quotes")
        return value

    def day(self, key: str, default: date | None = None) -> date:
        value = self._value(key, default, "2026-11-25")
        if not isinstance(value, date) or isinstance(value, datetime):
            raise ConfigError(f"{self.path}{key} must be a date", hint="write it without quotes: 2026-11-25")
        return value

    def flag(self, key: str) -> bool:
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise ConfigError(f"{self.path}{key} must be true or false", hint="write it without quotes")
        return value

    def _value(self, key: str, default: object, such_as: str) -> object:
        if key not in self.values and default is None:
            raise ConfigError(f"{self.path}{key} is missing", hint=f"add a line such as: {key} = {such_as}")
        return self.values.get(key, default)


def _guess(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, list(known), 1, 0.5)
    return f"did you mean {near[0]}? " if near else ""
