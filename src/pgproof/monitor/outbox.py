"""The outbox: alerts.json, with what people were told, and what each channel is still to be sent."""

import contextlib
import fcntl
import os
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from pgproof.alerting import Digest, Policy, Told, body, decide, gravest, joined, scrub, title
from pgproof.errors import Busy
from pgproof.finding import Finding
from pgproof.monitor.notify import Channel, Message, Outcome, send
from pgproof.secret import Secret

FILE = "alerts.json"
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
_LOCK_SECONDS = 60.0  # longer than another process needs to send to all channels at once
_DEAF = 3  # attempts that failed, after which that is a finding
_TESTED = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Queue:
    """What one channel has not accepted yet: attempts so far, when the next is due, why the last one failed."""

    digest: Digest
    tries: int = 0
    due: datetime | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Book:
    """All that is remembered; a queue by the channel's name. `tested` is when a test was last sent, `arrived` when
    somebody last said that one had come.
    """

    told: Told = field(default_factory=Told)
    queues: dict[str, Queue] = field(default_factory=dict)
    tested: datetime | None = None
    arrived: datetime | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What one call did: the digest that was made, and what came of each channel that was tried.

    `note` says when the memory could not be read or written; then some things are told again, and none is lost.
    """

    digest: Digest | None = None
    outcomes: tuple[Outcome, ...] = ()
    waiting: tuple[str, ...] = ()
    note: str = ""

    @property
    def whole(self) -> bool:
        return not self.waiting and not self.note


@dataclass
class Outbox:
    """The outbox in `folder`, of this host. It also remembers in itself, for when the folder cannot be written."""

    folder: Path
    host: str
    version: str
    policy: Policy = field(default_factory=Policy)
    _memory: Book | None = None
    _lost: str = ""
    _unwritten: str = ""

    def tell(
        self,
        findings: Sequence[Finding],
        channels: Sequence[Channel],
        now: datetime,
        secrets: Sequence[Secret] = (),
        blind: Collection[tuple[str, str]] = (),
    ) -> Report:
        """Send what is due at `now` (UTC): `findings` are all that there are, as in `alerting.decide`.

        A digest is written down before it is sent, so that one which a crash overtakes is sent again. Takes as long
        as the slowest channel, at most half a minute. Raises Busy when another process is at it and does not end.
        """
        if not channels:
            return Report()
        known = (*secrets, *(channel.url for channel in channels))
        clean = [_scrubbed(one, known) for one in findings]
        with self._locked():
            book = self.read()
            told, digest = decide(book.told, clean, now, self.policy, blind)
            queues = {one.name: queue for one in channels if (queue := _queued(book.queues.get(one.name), digest))}
            self._write(book, ready := replace(book, told=told, queues=queues))
            outcomes = self._send_due(ready, channels, now, known)
            self._write(ready, after := _settled(ready, outcomes, now))
        return Report(digest, outcomes, tuple(after.queues), self.note)

    def test(self, channels: Sequence[Channel], now: datetime, secrets: Sequence[Secret] = ()) -> tuple[Outcome, ...]:
        """Send a message to every channel that asks for nothing but an answer. Not queued; raises nothing."""
        text = f"This is a test by `pgproof alert --test` on {self.host}: alerts arrive here. Nothing is wrong.\n"
        message = Message(
            f"pgproof on {self.host}: a test", f"{text}\n{now:%Y-%m-%d %H:%M} UTC, pgproof {self.version}\n"
        )
        return _send_all([(channel, message) for channel in channels], secrets)

    def note_test(self, now: datetime, *, arrived: bool) -> str:
        """Remember that a test was sent, and whether somebody saw it come. Returns a note as a report has it."""
        with self._locked():
            book = self.read()
            self._write(book, replace(book, tested=now, arrived=now if arrived else book.arrived))
        return self.note

    @property
    def note(self) -> str:
        """When the memory could not be read or written: what follows from that."""
        return "; ".join(one for one in (self._lost, self._unwritten) if one)

    def read(self) -> Book:
        """What is remembered. A file that cannot be read is told in the report, and begun anew."""
        if self._memory is not None and self._unwritten:
            return self._memory
        self._lost = ""
        try:
            return msgspec.json.decode((self.folder / FILE).read_bytes(), type=Book)
        except FileNotFoundError:
            return Book()
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            said = getattr(error, "strerror", None) or "it is damaged"
            self._lost = f"{self.folder / FILE} cannot be read ({said}): what was told before is told again"
            return Book()

    def _write(self, before: Book, book: Book) -> None:
        """So that after a power cut the file is the one or the other. Nothing is written where nothing changed."""
        self._memory = book
        if book == before and not self.note:
            return
        new = self.folder / f"{FILE}.{os.getpid()}"
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(msgspec.json.encode(book))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.folder / FILE)
            self._unwritten = ""
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink()
            self._unwritten = (
                f"{self.folder / FILE} cannot be written ({error.strerror}): a restart tells everything again"
            )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time, where the folder can be written at all."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.folder / "alerts.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            yield
            return
        try:
            _wait_for(lock)
            yield
        finally:
            os.close(lock)

    def _send_due(
        self, book: Book, channels: Sequence[Channel], now: datetime, secrets: Sequence[Secret]
    ) -> tuple[Outcome, ...]:
        due = [
            (channel, self._message(queue.digest))
            for channel in channels
            if (queue := book.queues.get(channel.name)) and _due(queue, now)
        ]
        return _send_all(due, secrets)

    def _message(self, digest: Digest) -> Message:
        return Message(title(digest, self.host), body(digest, self.host, self.version), gravest(digest))


def examine(book: Book, now: datetime) -> Iterator[Finding]:
    """What is to be said of the way that alerts take; for other channels, and for `status`."""
    for name, queue in sorted(book.queues.items()):
        if queue.tries >= _DEAF:
            since = queue.digest.held_since or queue.digest.at
            text = f"{name} has accepted no alert since {since:%Y-%m-%d %H:%M} UTC: {queue.why}"
            yield Finding("alerts-not-sent", "warning", "alerts", text, "`pgproof alert --test` tries it again")
    if book.arrived is None or now - book.arrived > _TESTED:
        when = f"since {book.arrived:%Y-%m-%d}" if book.arrived else "yet"
        text = f"nobody has said {when} that a test alert arrived"
        yield Finding("alerts-untested", "info", "alerts", text, "run `pgproof alert --test` on a terminal")


def _scrubbed(finding: Finding, secrets: Sequence[Secret]) -> Finding:
    """On one line first: a line's end could hide from one look what the next one shows."""
    text, hint = (scrub(" ".join(one.split()), secrets) for one in (finding.text, finding.hint))
    return replace(finding, text=text, hint=hint)


def _queued(queue: Queue | None, digest: Digest | None) -> Queue | None:
    if queue is None or digest is None:
        return queue or (Queue(digest) if digest else None)
    return replace(queue, digest=joined(queue.digest, digest))


def _due(queue: Queue, now: datetime) -> bool:
    """Also when the clock has been set back behind the attempt before."""
    return queue.due is None or not now < queue.due <= now + _LONGEST_PAUSE


def _settled(book: Book, outcomes: Sequence[Outcome], now: datetime) -> Book:
    queues = dict(book.queues)
    for one in outcomes:
        before = queues.pop(one.name)
        if not one.ok:
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(before.tries, 10))
            queues[one.name] = replace(before, tries=before.tries + 1, due=now + pause, why=one.text)
    return replace(book, queues=queues)


def _send_all(messages: Sequence[tuple[Channel, Message]], secrets: Sequence[Secret]) -> tuple[Outcome, ...]:
    """All at once: a channel that is slow holds up no other."""
    if not messages:
        return ()
    with ThreadPoolExecutor(len(messages), thread_name_prefix="alert") as pool:
        return tuple(pool.map(lambda one: send(one[0], one[1], secrets), messages))


def _wait_for(lock: int) -> None:
    until = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                hint = "it ends by itself; if it does not, look for a pgproof that hangs"
                raise Busy("another pgproof is sending alerts", hint=hint) from None
            time.sleep(0.1)
