"""Since when each task is scheduled as it is: what the journal remembers, and is told when a schedule is new."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec

from pgproof.errors import PgproofError

_PREFIX = "since"


class Notebook(Protocol):
    """As the service has one."""

    def memories(self) -> Mapping[str, str]: ...
    def remember(self, key: str, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Sight:
    """A cron expression, and when (UTC) it was first seen in the configuration. It must not read as the memory of a
    plan, which lies in the same notebook.
    """

    cron: str
    first: datetime


def since(
    notebook: Notebook, kept: Mapping[str, str], schedules: Mapping[tuple[str, str], str], now: datetime
) -> dict[tuple[str, str], datetime]:
    """By task and source, since when it is scheduled as it is; `kept` are the notebook's memories. What is new, or was
    first seen in the future by a wrong clock, is so since now; where that cannot be remembered it is left out.
    """
    found = {}
    for (task, source), cron in schedules.items():
        key = f"{_PREFIX} {task} {source}"
        sight = _read(kept.get(key, ""))
        if sight is None or sight.cron != cron or sight.first > now:
            sight = Sight(cron, now)
            try:
                notebook.remember(key, msgspec.json.encode(sight).decode())
            except PgproofError:
                continue
        found[task, source] = sight.first
    return found


def _read(text: str) -> Sight | None:
    with contextlib.suppress(msgspec.MsgspecError):
        return msgspec.json.decode(text, type=Sight)
    return None
