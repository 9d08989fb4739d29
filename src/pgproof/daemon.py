"""The service: runs what is due, each task as a process of its own, until it is told to stop.

A task is the command that a person would type, so it does the same whoever starts it; the service adds when,
tells what came of it, and keeps nothing that cannot be lost. It never runs two tasks of one source at once.
"""

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import msgspec

from pgproof.config import Config
from pgproof.config.settings import TASKS
from pgproof.errors import Interrupted, PgproofError
from pgproof.schedule import Decision, Memory, Plan, cut_off, describe, due, ended, next_wake, parse_cron, parse_zone
from pgproof.schedule.written import WORDS
from pgproof.stream import process
from pgproof.stream.process import Child, Program

JITTER = timedelta(minutes=10)  # a slot that was missed while the machine was off is held back for up to this
_STEP_SECONDS = 5.0  # a clock that is set wakes nobody
_AT_ONCE = 2  # tasks of different sources
_LONGEST = 7 * 24 * 3600.0  # seconds of one task; what it starts has shorter deadlines of its own
_GRACE_SECONDS = 60.0  # for a task to take back what is half made


class Notebook(Protocol):
    """Where the service remembers which slots it has handled; losing it costs one catch-up at most."""

    def memories(self) -> Mapping[str, str]: ...
    def remember(self, key: str, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of one task: exit code (None: it could not be started, or was killed), its document, its words."""

    plan: Plan
    began: datetime
    ended: datetime
    code: int | None
    document: object = None
    text: str = ""

    @property
    def whole(self) -> bool:
        return self.code == 0


@dataclass(frozen=True, slots=True)
class Watchers:
    """Who is told: of every line to log, before a task and after it, and now and then."""

    log: Callable[[str, Mapping[str, object]], None]
    before: Callable[[Plan], None] = lambda _: None
    after: Callable[[Ended], None] = lambda _: None
    tick: Callable[[Config, datetime], None] = lambda _, __: None


@dataclass
class Service:
    """`load` reads the configuration, at the start and on SIGHUP; `clock` gives the time in UTC, which is looked at
    every `step` seconds.
    """

    load: Callable[[], Config]
    notebook: Notebook
    watchers: Watchers
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    step: float = _STEP_SECONDS
    _state: dict[tuple[str, str], Memory] = field(default_factory=dict)
    _under_way: dict[tuple[str, str], Child] = field(default_factory=dict)
    _done: list[Ended] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _stopping: bool = False
    _winding_up: bool = False
    _waits: dict[tuple[str, str], tuple[str, datetime]] = field(default_factory=dict)
    _again: bool = False

    def run(self) -> int:
        """Until SIGTERM or SIGINT; what is under way then takes back what is half made. Returns the exit code."""
        config = self.load()
        self._ends = os.pipe()
        self._recall()
        with self._signals(), ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="task") as pool:
            self._announce(config)
            while not self._stopping:
                if self._again:
                    config = self._reloaded(config)
                self._gather()
                self._begin_due(config, pool)
                self.watchers.tick(config, self.clock())
                self._sleep(plans(config))
            self._wind_up()
        self._gather()
        self._say("the service has ended")
        return 0

    # -- what is due ------------------------------------------------------------------------------

    def _begin_due(self, config: Config, pool: ThreadPoolExecutor) -> None:
        for decision in due(plans(config), self._state, self.clock(), os.uname().nodename):
            key, said = decision.plan.key, (decision.verdict, decision.slot)
            if decision.verdict != "wait" or self._waits.get(key) != said:  # waiting for an hour is told once
                self._remember(key, decision.memory)
                self._tell(decision)
            self._state[key], self._waits[key] = decision.memory, said
            if decision.verdict == "run":
                pool.submit(self._work, decision.plan, config.path)

    def _tell(self, decision: Decision) -> None:
        verb = {"run": "begins", "wait": "waits", "skip": "is left out"}[decision.verdict]
        plan = decision.plan
        text = f"{plan.task} of {plan.source} {verb}: {'; '.join(decision.reasons)}"
        self._say(text, task=plan.task, source=plan.source, decision=decision.verdict)

    def _sleep(self, coming: list[Plan]) -> None:
        """Until the next slot, but in short pieces; whoever has news writes into the pipe."""
        left = (next_wake(coming, self._state, self.clock()) - self.clock()).total_seconds()
        ready, _, _ = select.select([self._ends[0]], [], [], max(0.0, min(left, self.step)))
        if ready:
            os.read(self._ends[0], 4096)

    # -- one task ---------------------------------------------------------------------------------

    def _work(self, plan: Plan, config: Path | None) -> None:
        """In a thread of the pool: start the task, wait for its end, leave what came of it."""
        began = self.clock()
        try:
            self.watchers.before(plan)
            with process.reading(_program(plan, config)) as child:
                with self._guard:  # one that is asked to stop twice takes nothing back
                    self._under_way[plan.key] = child
                    late = self._winding_up
                if late:
                    child.stop(grace=_GRACE_SECONDS)
                output = b"".join(child.lines())
                code = child.finish(accept=range(256))
            result = Ended(plan, began, self.clock(), code, _document(output), child.tail)
        except PgproofError as error:
            # Stopped before it had begun to listen to signals, it had begun nothing else either.
            failed = Interrupted.exit_code if self._stopping else None
            result = Ended(plan, began, self.clock(), failed, None, error.message)
        except Exception as error:  # noqa: BLE001 - no thread left, say: a task without an end would stop its source
            result = Ended(plan, began, self.clock(), None, None, f"a fault in pgproof itself: {error}")
        with self._guard:
            self._under_way.pop(plan.key, None)
            self._done.append(result)
        self._wake()

    def _gather(self) -> None:
        with self._guard:
            done, self._done = self._done, []
        for one in done:
            after = cut_off if self._stopping and one.code == Interrupted.exit_code else ended
            self._remember(one.plan.key, after(self._state[one.plan.key]))
            took = (one.ended - one.began).total_seconds()
            words = {"task": one.plan.task, "source": one.plan.source, "exit_code": one.code, "seconds": round(took, 1)}
            self._say(f"{one.plan.task} of {one.plan.source} {_outcome(one)} after {took:.1f} s", **words)
            self.watchers.after(one)

    def _wind_up(self) -> None:
        with self._guard:
            self._winding_up = True
            children = list(self._under_way.items())
        stopping = []
        for (task, source), child in children:  # all at once: whoever ends the service does not wait for each
            self._say(f"{task} of {source} is asked to stop")
            stopping.append(threading.Thread(target=child.stop, args=(signal.SIGTERM, _GRACE_SECONDS)))
            stopping[-1].start()
        for thread in stopping:
            thread.join()

    # -- memory and signals -----------------------------------------------------------------------

    def _recall(self) -> None:
        """What was handled before; a run that went on when the service was killed was cut off."""
        try:
            kept = self.notebook.memories()
        except PgproofError as error:
            self._say(f"nothing is remembered of earlier runs: {error.message}")
            return
        self._state |= {key: cut_off(memory) for key, memory in remembered(kept).items()}

    def _remember(self, key: tuple[str, str], memory: Memory) -> None:
        self._state[key] = memory
        try:
            self.notebook.remember(" ".join(key), msgspec.json.encode(memory).decode())
        except PgproofError as error:
            self._say(f"this cannot be remembered: {error.message}")

    def _announce(self, config: Config) -> None:
        self._say(f"the service has begun, with {config.path or 'the environment'}")
        for plan in plans(config):
            memory = self._state.get(plan.key)
            if memory is None:
                memory = Memory(self.clock())
            self._say(describe(plan, memory, self.clock()), task=plan.task, source=plan.source)

    def _reloaded(self, config: Config) -> Config:
        self._again = False
        try:
            fresh = self.load()
        except Exception as error:  # noqa: BLE001 - a service that runs is not ended by what it was to become
            said = error.message if isinstance(error, PgproofError) else f"a fault in pgproof, {type(error).__name__}"
            self._say(f"the configuration is not taken, the one before stays: {said}")
            return config
        self._say("the configuration was read again")
        return fresh

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """A handler only takes note and writes a byte: whatever runs in it could wait for what it interrupts."""

        def stop(*_: object) -> None:
            self._stopping = True
            self._wake()

        def again(*_: object) -> None:
            self._again = True
            self._wake()

        kept = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        kept[signal.SIGHUP] = signal.signal(signal.SIGHUP, again)
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)

    def _wake(self) -> None:
        os.write(self._ends[1], b".")

    def _say(self, text: str, **words: object) -> None:
        self.watchers.log(text, words)


def plans(config: Config) -> list[Plan]:
    """What is scheduled: each task of each source, backups first; copies where there is a second store."""
    zone = parse_zone(config.schedule.timezone or local_zone())
    wanted = [task for task in TASKS if task != "copy" or len(config.stores) > 1]
    return [
        Plan(task, source.name, parse_cron(text), zone, JITTER)
        for source in config.sources
        for task in wanted
        if (text := getattr(config.schedule, task))
    ]


def remembered(kept: Mapping[str, str]) -> dict[tuple[str, str], Memory]:
    """What a notebook has of plans, by task and source; what else is in it is passed over."""
    found = {}
    for key, text in kept.items():
        task, _, source = key.partition(" ")
        with contextlib.suppress(msgspec.MsgspecError):
            found[task, source] = msgspec.json.decode(text, type=Memory)
    return found


def local_zone(env: Mapping[str, str] = os.environ) -> str:
    """The name of this machine's time zone: of TZ, else of what /etc/localtime points at (localtime(5)), else UTC."""
    if named := env.get("TZ", "").removeprefix(":"):
        return named
    try:
        return str(Path("/etc/localtime").readlink()).partition("zoneinfo/")[2] or "UTC"
    except OSError:
        return "UTC"


def _program(plan: Plan, config: Path | None) -> Program:
    """The command that a person would type. It gets the whole environment: secrets may be named there."""
    named = ("--config", str(config)) if config else ()
    words = (plan.task, plan.source, *WORDS.get(plan.task, ()), "--json", *named)
    return Program([sys.executable, "-m", "pgproof", *words], env=dict(os.environ), deadline=_LONGEST, idle=_LONGEST)


def _document(output: bytes) -> object:
    try:
        return msgspec.json.decode(output)
    except msgspec.DecodeError:
        return None


def _outcome(one: Ended) -> str:
    if one.whole:
        return "is done"
    said = one.text.removeprefix("pgproof: ").replace("\n  hint:", "; hint:")
    if isinstance(one.document, dict) and "error" in one.document:
        said = str(one.document["error"])
    how = {7: "is done, with something missing", 130: "was interrupted", 5: "found another run at work"}
    return f"{how.get(one.code or 1, 'FAILED')} (exit {one.code}): {said}" if said else how.get(one.code or 1, "FAILED")
