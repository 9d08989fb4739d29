"""Containers stopped for a moment, and put back exactly as they were, whatever dies in between.

Before anything is stopped it is written down, durably, what is about to be. Whoever finds such a record without
its writer alive puts the containers back: the next pgproof, or the service.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pgproof import durable
from pgproof.docker import Container, Engine, stop_order
from pgproof.errors import Busy, Damaged, Degraded, NotFound, PgproofError

STOP_SECONDS = 300  # for the database: a shutdown writes a checkpoint first
READY_SECONDS = 300.0
_RETRIES = (1.0, 4.0, 10.0)  # seconds before a start that failed is tried again: its port may be taken for a moment
_RUNS = ("running", "paused", "restarting")
_GONE = "it has been removed meanwhile, and nothing of its name is there"
_TURN = "_turn.json"  # no volume's name begins so
_TURNS, _TURN_SECONDS = 7200, 0.5
_KILLED = 137  # 128 + SIGKILL: the engine lost patience


@dataclass(frozen=True, slots=True)
class Kept:
    """A container as it was before. `state` is running or paused; others were not running, and stay so. `seconds` is
    how long it has to end: of the database, which must not be killed; None for what a container has itself.
    """

    id: str
    name: str
    state: str
    started_at: str = ""
    seconds: int | None = None
    asked: bool = False  # to stop; it may then still be on its way down


@dataclass(frozen=True, slots=True)
class Left:
    """A container that could not be put back, and why."""

    name: str
    why: str


@dataclass(slots=True)
class Pause:
    """Containers stopped for the time being; `put_back()` as soon as they may run again."""

    engine: Engine
    record: Path
    kept: list[Kept]
    sleep: Callable[[float], None] = time.sleep
    began: datetime | None = None
    ended: datetime | None = None
    ready: datetime | None = None
    seconds: float = 0.0
    unclean: str = ""
    left: list[Left] = field(default_factory=list)
    _clock: float = 0.0
    _done: bool = False

    @property
    def lasts(self) -> float:
        """Seconds since the stop began; 0 before that, and where nothing had to be stopped."""
        stopped = self._clock and any(one.asked for one in self.kept)
        return time.monotonic() - self._clock if stopped else 0.0

    def stop(self) -> None:
        """One after the other, dependants first; a database that had to be killed is told in `unclean`. Raises
        PgproofError.
        """
        self.began, self._clock = datetime.now(UTC), time.monotonic()
        for index, one in enumerate(self.kept):
            if one.asked:
                continue  # of an earlier run: it is down
            self.kept[index] = replace(one, asked=True)
            _write(self.record, self.kept)
            if one.state == "paused":
                self.engine.unpause(one.id)
            ended = self.engine.stop(one.id, one.seconds)
            if one.seconds is not None and ended.exit_code:
                self.unclean = _unclean(ended)

    def put_back(self) -> None:
        """Start what ran, in the reverse order, and wait until it is ready. Raises nothing but a Ctrl-C: who could
        not be put back is in `left`, and the record stays for whoever comes next.
        """
        if self._done:
            return
        waiting = list(self.kept)
        for one in reversed(self.kept):
            # Whom nobody asked to stop is as somebody else has it.
            failed = _put_back(self.engine, one, self.sleep) if one.asked else ""
            if one.asked and self.ended is None:
                self.ended, self.seconds = datetime.now(UTC), round(self.lasts, 3)
            if failed:
                self.left.append(Left(one.name, failed))
            if not failed or failed == _GONE:
                waiting.remove(one)
                self._note(waiting)
        self._done = True

    def _note(self, waiting: Sequence[Kept]) -> None:
        """At once: a container that is back is no longer ours to start, whoever stops it next."""
        try:
            if waiting:
                _write(self.record, waiting)
            else:
                self.record.unlink(missing_ok=True)
        except (OSError, PgproofError) as error:
            self.left.append(Left(self.record.stem, f"the record of what is stopped cannot be changed: {error}"))

    def wait_ready(self) -> str:
        """Until all are up, and healthy where they have a health check; else what is not."""
        for one in reversed(self.kept):
            if one.state == "paused":
                continue
            try:
                self.engine.wait_ready(one.id, READY_SECONDS)
            except PgproofError as error:
                return f"{one.name}: {error.message}"
            self.ready = self.ready or datetime.now(UTC)
        return ""


@contextlib.contextmanager
def pausing(
    engine: Engine, server: Container, others: Sequence[Container], services: Sequence[str], record: Path
) -> Iterator[Pause]:
    """Around the time in which `server` and `others` are to be stopped, which `Pause.stop` does, those in `services`
    first. However it is left, they are put back. Raises Busy when another run has them stopped.
    """
    with alone(record) as mine:
        if not mine:
            raise Busy(f"another run has the containers of {record.stem} stopped", hint="wait until it has ended")
        with _in_turn(record.parent):
            # A container whose run died meanwhile must not count as one that was stopped before.
            _put_back_dead(lambda: engine, record.parent, time.sleep)
            pause = _begun(engine, server, others, services, record)
            try:
                yield pause
            except BaseException as error:
                pause.put_back()
                if pause.left and isinstance(error, PgproofError):
                    error.message += f"; and {degraded(pause.left).message}"
                raise
            pause.put_back()


def _begun(
    engine: Engine, server: Container, others: Sequence[Container], services: Sequence[str], record: Path
) -> Pause:
    """What runs now, on record."""
    now = [engine.container(one.id) for one in (server, *others)]  # a first pass may have taken hours
    running = [one for one in stop_order(now, services) if one.state in _RUNS]
    kept = [_kept(one, STOP_SECONDS if one.id == server.id else None) for one in running]
    # Whom an earlier run could not start again must not be forgotten by this one.
    kept += [one for one in _read(record) if one.id not in {each.id for each in running}]
    _write(record, kept)
    return Pause(engine, record, kept)


@contextlib.contextmanager
def _in_turn(folder: Path, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """One stop at a time on this machine: two volumes may share a service, which the first to end would start while
    the other's server is down. Waits, as a stop is short. Raises Busy after an hour.
    """
    for _ in range(_TURNS):
        with alone(folder / _TURN) as mine:
            if mine:
                yield
                return
        sleep(_TURN_SECONDS)
    raise Busy("another volume's containers have been stopped for an hour", hint="see what holds that backup up")


def put_back_all(engine: Callable[[], Engine], folder: Path, sleep: Callable[[float], None] = time.sleep) -> list[Left]:
    """Put back what dead runs left stopped, as the records in `folder` have it; who could not be, and why. While a run
    that lives has its turn nothing is: what both share must stay down until that one puts it back.
    """
    if not any(folder.glob("*.json")):
        return []
    with alone(folder / _TURN) as mine:
        return _put_back_dead(engine, folder, sleep) if mine else []


def _put_back_dead(engine: Callable[[], Engine], folder: Path, sleep: Callable[[float], None]) -> list[Left]:
    left: list[Left] = []
    for record in sorted(folder.glob("*.json")):
        with alone(record) as mine:
            if not mine or not record.exists():
                continue
            try:
                pause = Pause(engine(), record, _read(record), sleep=sleep)
            except Damaged as error:
                left.append(Left(record.stem, error.message))
                continue
            pause.put_back()
            left += pause.left
    return left


def left_stopped(folder: Path, volume: str = "") -> list[Kept]:
    """What records of runs that are over have as stopped, and what therefore waits to be put back; with `volume` only
    those of a backup of it.
    """
    found: list[Kept] = []
    for record in sorted(folder.glob(f"{volume or '*'}.json")) if folder.is_dir() else ():
        with alone(record) as mine:
            with contextlib.suppress(Damaged):
                found += _read(record) if mine else []
    return found


@contextlib.contextmanager
def alone(record: Path) -> Iterator[bool]:
    """Whether the record is ours alone. Raises PgproofError where the folder cannot be used."""
    with contextlib.ExitStack() as stack:
        try:
            mine = stack.enter_context(durable.alone(record))
        except OSError as error:
            text = f"{record.parent}, where it is written down what is stopped, cannot be used: {error.strerror}"
            raise PgproofError(text, hint="see to its rights, or set PGPROOF_STATE") from error
        yield mine


def _kept(one: Container, seconds: int | None) -> Kept:
    return Kept(one.id, one.name, one.state, one.started_at, seconds)


def _put_back(engine: Engine, one: Kept, sleep: Callable[[float], None]) -> str:
    """Make it run again; why not, if it cannot be."""
    for wait in (*_RETRIES, None):
        try:
            _start(engine, engine.container(one.id), one)
        except NotFound:
            return _replaced(engine, one)
        except PgproofError as error:
            if wait is None:
                return error.message
            sleep(wait)
        else:
            break
    return ""


def _start(engine: Engine, found: Container, one: Kept) -> None:
    if found.state == "running" and one.asked and found.started_at == one.started_at:
        engine.stop(found.id, one.seconds)  # it may be on its way down: only this waits for it
        engine.start(found.id)
    elif found.state == "paused":
        return  # it is back already, or somebody else has paused it
    elif found.state != "running":
        engine.start(found.id)
    if one.state == "paused":
        engine.pause(one.id)


def _replaced(engine: Engine, one: Kept) -> str:
    """Somebody made a new container under the name meanwhile: theirs is left as they have it."""
    try:
        found = engine.container(one.name)
    except PgproofError:
        return _GONE
    return "" if found.state == "running" else f"it has been made anew meanwhile, and is {found.state}"


def _unclean(ended: Container) -> str:
    killed = ended.exit_code == _KILLED
    how = "was killed" if killed else f"ended with {ended.exit_code}"
    return f"{ended.name} did not shut down as asked: it {how}"


def degraded(left: Sequence[Left]) -> Degraded:
    """The error for containers that do not run again."""
    names = "; ".join(f"{one.name}: {one.why}" for one in left)
    return Degraded(
        f"not started again: {names}", hint="start it, or let any pgproof command try again; then see its log"
    )


def _write(record: Path, kept: Sequence[Kept]) -> None:
    """Durably: a stop that nobody remembers is what must not happen. Raises PgproofError."""
    try:
        durable.write(record, json.dumps([asdict(one) for one in kept], indent=1).encode())
    except OSError as error:
        text = f"it cannot be written down in {record.parent} that containers are to be stopped: {error.strerror}"
        raise PgproofError(text, hint="nothing was stopped for it; make room there, or set PGPROOF_STATE") from error


def _read(record: Path) -> list[Kept]:
    """Raises Damaged for one that cannot be understood: it is kept, for whoever can."""
    try:
        return [Kept(**one) for one in json.loads(record.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        hint = f"see which containers are down and start them; then remove {record}"
        raise Damaged(f"the record {record} of stopped containers cannot be read: {error}", hint=hint) from error
