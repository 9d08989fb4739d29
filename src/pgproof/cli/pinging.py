"""Pings for whoever waits for them: one after the other, and of all sources together, as they share one address."""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pgproof.config import Config, known_secrets
from pgproof.errors import PgproofError
from pgproof.monitor.health import last_ended
from pgproof.monitor.journal import Journal
from pgproof.monitor.notify import Ping, check_ping, ping
from pgproof.retention import FUTURE
from pgproof.run import Run

_RUNS = 200  # of a source are looked through for its last backups
_STALE_SECONDS = 60.0  # a start that waited for longer says nothing true any more
Say = Callable[[str, Mapping[str, object]], None]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One ping, about a backup of `source`; `at` is of the monotonic clock."""

    config: Config
    kind: Ping
    source: str
    text: str
    at: float


class Pings:
    """Sent by a thread of their own; what goes wrong is told by `say`. `journal` knows of other sources' backups."""

    def __init__(self, say: Say, journal: Journal | None) -> None:
        self._say, self._journal = say, journal
        self._waiting: queue.Queue[_Asked] = queue.Queue()
        self._thread: threading.Thread | None = None

    def put(self, config: Config, kind: Ping, source: str, text: str) -> None:
        """Send it behind those that wait, where pings are configured; raises nothing."""
        if config.alerts.ping is None:
            return
        self._waiting.put(_Asked(config, kind, source, text, time.monotonic()))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def wait(self, seconds: float) -> None:
        """Until none waits, or for so long."""
        until = time.monotonic() + seconds
        while self._waiting.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.1)

    def _run(self) -> None:
        while True:
            one = self._waiting.get()
            try:
                if one.kind != "start" or time.monotonic() - one.at < _STALE_SECONDS:
                    self._send(one)
            except PgproofError as error:
                self._say(f"the ping could not be sent: {error.message}", {})
            except Exception as error:  # noqa: BLE001 - the pings behind it go on
                self._say(f"the ping could not be sent: a fault in pgproof, {type(error).__name__}", {})
            finally:
                self._waiting.task_done()

    def _send(self, one: _Asked) -> None:
        assert one.config.alerts.ping
        others = self._failing(one.config, one.source) if one.kind != "start" else []
        text = one.text + "".join(f"\nand still: {words}" for words in others)
        outcome = ping(
            check_ping(one.config.alerts.ping), "fail" if others else one.kind, text, known_secrets(one.config)
        )
        if not outcome.ok:
            self._say(f"the ping was not taken: {outcome.text}", {})

    def _failing(self, config: Config, but: str) -> list[str]:
        """Of the other sources what the journal has of their last backups, where these failed: whoever made them."""
        now, found = datetime.now(UTC), list[str]()
        for source in (one for one in config.sources if one.name != but):
            runs = self._backups(source.name)
            last = last_ended((one for one in runs if one.began <= now + FUTURE), source.kinds)
            found += [f"backup of {one.source}: {one.outcome}\n{one.text}" for one in last if one.outcome != "done"]
        return found

    def _backups(self, source: str) -> list[Run]:
        """Nothing where the journal cannot be read: that is told otherwise."""
        try:
            return self._journal.runs(source, "backup", limit=_RUNS) if self._journal else []
        except PgproofError:
            return []
