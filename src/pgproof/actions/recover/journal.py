"""The recovery's own journal: one JSON file a source, forced to disk before and after every step, so that a recovery
that was killed anywhere can be told where it stands.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from pgproof import durable
from pgproof.actions.recover.plan import argument, thing
from pgproof.cluster import Image
from pgproof.errors import Busy, Damaged, Unreachable
from pgproof.manifest import Kind, stamp_of

State = Literal["running", "going back", "finished", "undoing", "undone", "given up", "forgotten"]
_OPEN = ("running", "going back", "undoing")


@dataclass(frozen=True, slots=True)
class Step:
    """One step; without an end it was begun, and nobody knows how far it came."""

    name: str
    began: datetime
    ended: datetime | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What is known of one recovery; times are in UTC. `database` is what is live, also where it is a volume, `new`
    the name of the restored one before the switch, `aside` that of the old one after it.
    """

    source: str
    began: datetime
    state: State
    server: str
    system_identifier: str
    database: str
    new: str
    aside: str
    existed: bool
    backup: str
    store: str
    plan: str
    read_at: datetime
    proof: str
    who: str
    machine: str
    size: int = 0
    target_seconds: float = 3600
    planned: datetime | None = None
    reasons: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    counters: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    tables: int = 0
    rows: int = 0
    compared: int = 0
    checks: dict[str, bool] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    undone_as: str = ""
    kind: Kind = "logical"
    sessions: str | None = None  # of a Keycloak, where it was said what is to become of them
    image: Image | None = None  # that ran the server, and how its container was made
    live: str = ""  # the mark (Ground.mark) of what had the name as it began
    made: str = ""  # and of what was restored
    reach: str = ""  # options by which it is found where there is no configuration

    @property
    def thing(self) -> str:
        return thing(self.kind)

    @property
    def argument(self) -> str:
        return argument(self.source, self.kind, self.reach)

    @property
    def is_open(self) -> bool:
        """Whether it neither came to an end nor was given up."""
        return self.state in _OPEN

    def was_cut_off(self, name: str) -> bool:
        """Whether a step was begun and neither came to its end nor failed: what it asked for may still happen."""
        return any(one.name == name and not one.ended and not one.text for one in self.steps)

    def did(self, name: str) -> bool:
        return any(one.name == name and one.ended for one in self.steps)

    @property
    def seconds(self) -> float:
        """From its begin to the end of its last step."""
        last = max((one.ended for one in self.steps if one.ended), default=self.began)
        return (last - self.began).total_seconds()

    @property
    def downtime(self) -> float:
        """Seconds from the first service being stopped, or the switch, to the last one looked at."""
        down = [one for one in self.steps if one.name.split()[0] in ("stop", "switch", "start", "look")]
        ends = [one.ended for one in down if one.ended]
        return (max(ends) - down[0].began).total_seconds() if ends else 0.0


class Log:
    """The file of a source's recovery, and what it says now."""

    def __init__(self, path: Path, recovery: Recovery, clock: Callable[[], datetime]) -> None:
        self.path = path
        self.recovery = recovery
        self._clock = clock

    def note(self, *, must: bool = True, **changes: object) -> None:
        """Keep a change, durably. Raises Unreachable, unless there is something that `must` not wait for a record."""
        self.recovery = replace(self.recovery, **changes)  # type: ignore[arg-type]
        try:
            _write(self.path, msgspec.json.format(msgspec.json.encode(self.recovery), indent=1) + b"\n")
        except Unreachable:
            if must:
                raise

    @contextmanager
    def step(self, name: str, *, must: bool = True) -> Iterator[None]:
        """About to, and done; a failure leaves its words and no end."""
        before, begun = self.recovery.steps, Step(name, self._clock())
        self.note(steps=(*before, begun), must=must)
        try:
            yield
        except Exception as error:
            self.note(steps=(*before, replace(begun, text=str(error))), must=must)
            raise
        self.note(steps=(*before, replace(begun, ended=self._clock())), must=must)


def file_of(folder: Path, source: str, kind: Kind) -> Path:
    return folder / "recover" / (f"{source}.json" if kind == "logical" else f"{source}:{kind}.json")


def load(path: Path) -> Recovery | None:
    """The last recovery of a source, None where there was none. Raises Damaged, Unreachable."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Recovery)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreachable(f"{path} cannot be read: {error.strerror}", hint="see to its rights") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        hint = "look at the databases, or volumes, yourself (NAME_before_TIME is the old one), then move this file away"
        raise Damaged(f"{path}, the record of a recovery, is damaged: {error}", hint=hint) from error


def put_by(path: Path) -> None:
    """Keep the record of a recovery that has an old one beside it, before the next one takes its place: if that comes
    to nothing, `latest` leads back to it. Raises Unreachable.
    """
    before = load(path)
    if before is None or before.state not in ("finished", "undone") or not before.existed:
        return
    try:
        path.replace(path.with_name(f"{path.stem}-{stamp_of(before.began)}.json"))
    except OSError as error:
        raise Unreachable(f"{path} cannot be put by: {error.strerror}", hint="see to that folder") from error


def latest(path: Path) -> Path:
    """Of the last recovery that changed anything: one that was given up has left the one before it as it was."""
    now = load(path)
    if now is not None and now.state != "given up":
        return path
    stamped = re.compile(re.escape(path.stem) + r"-\d{8}T\d{6}Z\.json")
    kept = sorted(one for one in path.parent.glob("*.json") if stamped.fullmatch(one.name))
    return kept[-1] if kept else path


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """The only recovery of this source on this machine. Raises Busy, Unreachable."""
    with ExitStack() as stack:
        try:
            mine = stack.enter_context(durable.alone(path))
        except OSError as error:
            hint = "a recovery must be able to keep its record: name another folder by PGPROOF_STATE"
            raise Unreachable(f"{path.parent} cannot be written: {error.strerror}", hint=hint) from error
        if not mine:
            raise Busy("somebody on this machine is recovering this source", hint="wait for them, or ask them")
        yield


def _write(path: Path, data: bytes) -> None:
    try:
        durable.write(path, data)
    except OSError as error:
        hint = "a recovery must be able to keep its record: see to room there, then `pgproof recover --continue`"
        raise Unreachable(f"{path} cannot be written: {error.strerror}", hint=hint) from error


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a recovery stands, by its record and by what is there."""

    restored: bool
    switched: bool
    text: str


def standing(recovery: Recovery, there: frozenset[str]) -> Standing:
    """The new one gets its name only when it is whole, and loses it only by the switch or by going back."""
    one = recovery
    if one.state == "going back":
        text = f"a going back was cut off; {one.database} is as it was; services may be stopped"
        return Standing(False, False, text)
    restored = one.new in there
    switched = not restored and one.did("restore")
    if one.state == "undoing":
        back = one.undone_as in there
        return Standing(True, not back, f"an undo was cut off; {one.database} is the {'old' if back else 'new'} one")
    if switched:
        return Standing(True, True, f"{one.database} is the recovered one; the services may not all run")
    stopped = [step.name for step in one.steps if step.name.startswith("stop ")]
    services = "; services are stopped" if stopped else ""
    text = f"{one.new} is restored, and not switched" if restored else "the restore was not finished"
    return Standing(restored, False, f"{text}; {one.database} is as it was{services}")


def last_words(recovery: Recovery) -> str:
    """The last step, and how it ended."""
    if not recovery.steps:
        return "before its first step"
    last = recovery.steps[-1]
    how = "done" if last.ended else re.sub(r"\s+", " ", last.text) or "cut off"
    return f"at: {last.name} ({how})"
