"""The [health] table: thresholds, each with its bounds."""

from dataclasses import fields
from datetime import timedelta

from pgproof.config.fields import Table
from pgproof.errors import ConfigError
from pgproof.thresholds import USUAL, Thresholds

_WHOLE = {"look_back": (2, 1000), "enough": (1, 1000), "fewest_rows": (0, None), "skips": (1, 1000), "room": (1, 1000)}
_FACTORS = {
    "smaller": (0.0, 0.99),
    "larger": (1.01, 1e6),
    "deviations": (0.0, 1e6),
    "slower": (1.01, 1e6),
    "late": (1.0, 100.0),
    "drill_room": (1.0, 100.0),
}
_SPANS = ("copy_within", "undone", "full_soon", "full_very_soon", "key_age", "secret_age", "review", "review_overdue")
_SHORT = "slower_by"


def read_thresholds(root: Table) -> Thresholds:
    """What the table leaves out is as usual. Raises ConfigError with the path of the line that cannot be."""
    table = root.table("health", Thresholds.__slots__)
    found: dict[str, object] = {
        **{key: table.whole(key, getattr(USUAL, key), least, most) for key, (least, most) in _WHOLE.items()},
        **{key: table.number(key, getattr(USUAL, key), least, most) for key, (least, most) in _FACTORS.items()},
        **{key: _span(table, key) for key in _SPANS},
        _SHORT: table.moments(_SHORT, round(USUAL.slower_by.total_seconds())),
    }
    made = Thresholds(**found)  # type: ignore[arg-type]
    if made.enough > made.look_back:
        hint = f"of {made.look_back} backups no more than so many can be needed"
        raise ConfigError(f"{table.at('enough')} is more than {table.at('look_back')}", hint=hint)
    if made.full_very_soon > made.full_soon:
        hint = "what is pressing comes after what is told first"
        raise ConfigError(f"{table.at('full_very_soon')} is longer than {table.at('full_soon')}", hint=hint)
    return made


def flat(health: Thresholds) -> dict[str, object]:
    """Those that are not as usual, by their path, as the manifest keeps them."""
    named = {field.name: getattr(health, field.name) for field in fields(health)}
    return {f"health.{name}": value for name, value in named.items() if value != getattr(USUAL, name)}


def _span(table: Table, key: str) -> timedelta:
    span = table.span(key, getattr(USUAL, key))
    if not span:
        raise ConfigError(f"{table.at(key)} must be a span of time", hint='such as "30d"; a very long one is for never')
    return span
