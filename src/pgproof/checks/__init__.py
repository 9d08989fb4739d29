"""Questions to ask a restored database: presets shipped as SQL files, and the user's own."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources

from pgproof.errors import ConfigError

_HEAD = re.compile(r"-- (?P<name>\S+) (?P<level>error|warning): (?P<text>.*)")


@dataclass(frozen=True, slots=True)
class Check:
    """One question: SQL that answers true when all is well; a false warning does not fail a drill."""

    name: str
    text: str
    sql: str
    warning: bool = False


def resolve(wanted: Iterable[str]) -> tuple[Check, ...]:
    """The checks that a configuration names: a preset's name, or SQL that must return true.

    Raises ConfigError for a word that is neither.
    """
    return tuple(check for number, one in enumerate(wanted, 1) for check in _resolve(one.strip(), number))


def _resolve(word: str, number: int) -> Iterator[Check]:
    if " " in word:
        yield Check(f"own-{number}", word if len(word) < 80 else f"{word[:80]}...", word.rstrip(";"))
        return
    file = resources.files(__name__).joinpath(f"{word}.sql")
    if not re.fullmatch(r"[a-z]+", word) or not file.is_file():
        raise ConfigError(f"checks: there is no preset {word!r}", hint="write `keycloak`, or SQL that returns true")
    yield from _parse(file.read_text(encoding="utf-8"))


def _parse(text: str) -> Iterator[Check]:
    for piece in re.split(r"\n(?=-- \S+ (?:error|warning): )", "\n" + text):
        head, _, sql = piece.strip().partition("\n")
        match = _HEAD.fullmatch(head)
        if match:
            yield Check(match["name"], match["text"], sql.strip().rstrip(";"), match["level"] == "warning")
