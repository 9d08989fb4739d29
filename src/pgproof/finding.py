"""A finding: one thing that an examination says, with its level and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "info", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an examination says: a stable code for machines, a sentence and a hint for people."""

    code: str
    level: Level
    source: str
    text: str
    hint: str = ""


GRAVITY: dict[Level, int] = {"ok": 0, "info": 1, "warning": 2, "critical": 3}


def level(findings: Iterable[Finding]) -> Literal["ok", "warning", "critical"]:
    """The gravest level of all; information is fine."""
    worst = max((GRAVITY[finding.level] for finding in findings), default=0)
    return "critical" if worst == 3 else "warning" if worst == 2 else "ok"
