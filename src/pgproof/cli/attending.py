"""What the service does beside its tasks: it looks at everything now and then, alerts, pings, and keeps the figures."""

import os
import threading
from datetime import UTC, datetime, timedelta

from pgproof import __version__
from pgproof.alerting import Policy
from pgproof.cli.pinging import Pings, Say
from pgproof.cli.present import blind, health_of, present
from pgproof.cli.putting_back import put_back
from pgproof.config import Config, known_secrets
from pgproof.daemon import Ended, plans
from pgproof.errors import Busy, Interrupted, PgproofError, UsageError
from pgproof.finding import Finding
from pgproof.job import open_repository, state_folder
from pgproof.monitor import neighbours
from pgproof.monitor.journal import Journal
from pgproof.monitor.metrics import View, exposition, families
from pgproof.monitor.notify import Ping, check_ping, check_urls, usable
from pgproof.monitor.outbox import Outbox, examine
from pgproof.schedule import Plan

LOOK = timedelta(minutes=5)  # between two looks, beside one after each task: a store may be paid by the request

_PING_SECONDS = 15.0  # that are waited at the end for pings to be taken
_MISSED = 3  # looks in a row that did not come to an end are told


class Attendant:
    """Once the service runs, it never waits in its thread and raises nothing: what goes wrong is a line in the log."""

    def __init__(
        self, say: Say, every: timedelta = LOOK, policy: Policy | None = None, journal: Journal | None = None
    ) -> None:
        self._say, self._every, self._journal = say, every, journal
        self._outbox = Outbox(state_folder(), os.uname().nodename, __version__, policy or Policy())
        self._config: Config | None = None
        self._looked: datetime | None = None
        self._seen: datetime | None = None  # when a look last came to its end
        self._wanted = True
        self._thread: threading.Thread | None = None
        self._rebuilt = False
        self._opened: set[str] = set()
        self._pings = Pings(say, journal)
        self.text = b""
        self.findings: tuple[Finding, ...] = ()

    def checked(self, config: Config) -> Config:
        """Also when it is read again: what cannot be used is not taken in place of what can. Makes stores that are new.
        Raises ConfigError for addresses that cannot be, UsageError where nothing is scheduled.
        """
        if not plans(config):
            raise UsageError("nothing is scheduled", hint='give [schedule] a line such as: backup = "0 2 * * *"')
        check_urls(config.alerts)
        if config.alerts.ping:
            check_ping(config.alerts.ping)
        new = [one for one in config.stores if one.name not in self._opened]
        self._opened |= {one.name for one in new}
        for store in new:
            try:
                open_repository(store, create=True).store.close()
            except PgproofError as error:
                self._say(f"the store {store.name} cannot be used yet: {error.message}", {"store": store.name})
        return config

    def health(self) -> tuple[Finding, ...]:
        """What the last look found; where there was none for long, that is what is to be said."""
        now = datetime.now(UTC)
        if self._seen is None:
            return (Finding("not-looked", "critical", "", "nothing has been looked at yet", "wait for the first look"),)
        if abs(now - self._seen) > _MISSED * self._every:
            text = f"nothing could be looked at since {self._seen:%Y-%m-%d %H:%M} UTC"
            return (Finding("not-looked", "critical", "", text, "see the service's log"), *self.findings)
        return self.findings

    def before(self, plan: Plan) -> None:
        if plan.task == "backup":
            self._ping("start", plan.source, f"backup of {plan.source}")

    def after(self, one: Ended) -> None:
        """A success is one only if everything that was asked for has happened, of every source: they share a ping."""
        self._wanted = True
        # Who was stopped, or not needed, has not failed.
        if one.plan.task != "backup" or one.code in (Interrupted.exit_code, Busy.exit_code):
            return
        name = one.plan.source
        self._ping("success" if one.whole else "fail", name, f"backup of {name}: exit {one.code}\n{one.text}")

    def _ping(self, kind: Ping, source: str, text: str) -> None:
        if self._config is not None:
            self._pings.put(self._config, kind, source, text)

    def tick(self, config: Config, now: datetime) -> None:
        """Begin a look if one is due and none is under way."""
        self._config = config
        due = self._wanted or self._looked is None or abs(now - self._looked) >= self._every
        if due and (self._thread is None or not self._thread.is_alive()):
            self._wanted, self._looked = False, now
            self._thread = threading.Thread(target=self._look, args=(config,), daemon=True)
            self._thread.start()

    def finish(self, seconds: float = 30) -> None:
        """Wait for a look that is under way, and make a last one if something has ended since."""
        if self._thread:
            self._thread.join(seconds)
        if self._wanted and self._config:
            self._look(self._config)
        self._pings.wait(_PING_SECONDS)

    def _look(self, config: Config) -> None:
        """Nothing ends the looking for good: who answers oddly must not keep every other alert back."""
        try:
            put_back()
            neighbours.ask_if_due(config, datetime.now(UTC))
            seen = present(config, datetime.now(UTC))
            self._rebuild(seen)
            self.text, self.findings = exposition(families(seen)), tuple(health_of(seen, []))
            self._seen = datetime.now(UTC)
            self._alert(config, blind(seen))
        except PgproofError as error:
            self._say(f"the present state cannot be looked at: {error.message}", {})
        except Exception as error:  # noqa: BLE001 - as said above
            self._say(f"the present state cannot be looked at: a fault in pgproof, {type(error).__name__}", {})

    def _rebuild(self, seen: View) -> None:
        """Once, what the journal may have lost: runs that the first store's manifests and records still tell of."""
        first = seen.shelves[0]
        if self._rebuilt or self._journal is None or first.error:
            return
        self._rebuilt = True
        if found := self._journal.rebuild(first.backups, first.store):
            self._say(f"{found} runs were not in the journal; the store told of them", {"runs": found})

    def _alert(self, config: Config, unseen: set[tuple[str, str]]) -> None:
        now = datetime.now(UTC)
        channels, wrong = usable(config.alerts)
        mute = [Finding("alerts-not-sent", "warning", "alerts", one.message, one.hint) for one in wrong]
        found = [*self.findings, *examine(self._outbox.read(), now), *mute]
        report = self._outbox.tell(found, channels, now, known_secrets(config), unseen)
        for error in wrong:
            self._say(f"a channel cannot be used: {error.message}", {})
        for one in report.outcomes:
            how = "accepted an alert" if one.ok else f"did not accept an alert, which waits: {one.text}"
            self._say(f"{one.name} {how}", {"channel": one.name, "accepted": one.ok})
        if report.note:
            self._say(report.note, {})
