"""The audit log: one line of JSON for each action, each carrying the hash of the one before.

A line that is changed, taken out, put in or moved breaks the chain behind it. What a chain cannot tell, that its
last lines are gone or were all written anew, the heads tell that lie in the manifests of the backups.
"""

import contextlib
import fcntl
import hashlib
import os
import pwd
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from pgproof.errors import Unreachable
from pgproof.finding import Finding

GENESIS = "0" * 64  # what the first line carries as the hash before it
NOTE = "note"  # the task of a line that speaks of the log itself
_PATIENCE = 10.0  # seconds for another process that appends
_NEAR = 1 << 16


@dataclass(frozen=True, slots=True)
class Entry:
    """Who did what, when (UTC), and how it ended; without secrets."""

    when: datetime
    user: str
    sudo_user: str
    host: str
    task: str
    source: str
    asked: str
    outcome: str
    exit_code: int | None
    run: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """An entry in its place: `number` counts from 1, `previous` is the SHA-256 of the line before, without its end."""

    number: int
    previous: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Head:
    """The last line at some time, by its number and hash; `seen` says by which backup."""

    number: int
    sha256: str
    seen: str = ""

    def __str__(self) -> str:
        return f"{self.number}:{self.sha256}"


@dataclass(frozen=True, slots=True)
class Who:
    """The user of this process, who was before sudo(8), and the machine."""

    user: str
    sudo_user: str
    host: str


def who(env: Mapping[str, str] = os.environ) -> Who:
    user = str(os.getuid())
    with contextlib.suppress(KeyError):
        user = pwd.getpwuid(os.getuid()).pw_name
    return Who(user, env.get("SUDO_USER", ""), os.uname().nodename)


def place(path: Path) -> str:
    """Which log this is: a manifest keeps it with the head, as machines that share a store have logs of their own."""
    return f"{os.uname().nodename}:{path.resolve()}"


def parse_head(text: str, seen: str) -> Head | None:
    """NUMBER:SHA256, as a manifest keeps it; None for anything else."""
    number, _, digest = text.partition(":")
    return Head(int(number), digest, seen) if number.isascii() and number.isdigit() else None


# -- writing ------------------------------------------------------------------------------------------


def append(path: Path, entry: Entry) -> Head:
    """Add a line and force it to disk; returns the new head. Many processes may do so at once.

    Behind a line that was left unfinished a new one is begun, with a note. Raises Unreachable.
    """
    with _reaching(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = not path.exists()
        with _opened(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, fcntl.LOCK_EX) as fd:
            size = os.fstat(fd).st_size
            head, unfinished = _end(fd, size)
            lines = [b"", _note(head, unfinished, entry)] if unfinished else []
            number, previous = head.number + 1, head.sha256
            if unfinished:
                number, previous = head.number + 3, _sha(lines[1])
            lines.append(_line(number, previous, entry))
            _write(fd, b"\n".join([*lines, b""]), size)
        if fresh:
            _sync_folder(path.parent)
    return Head(number, _sha(lines[-1]))


def _note(head: Head, unfinished: bytes, entry: Entry) -> bytes:
    text = (
        f"line {head.number + 1} was left unfinished, with {len(unfinished)} bytes: a power cut, a kill or a full disk"
    )
    said = Entry(entry.when, entry.user, entry.sudo_user, entry.host, NOTE, "", "", "", None, "", text)
    return _line(head.number + 2, _sha(unfinished), said)


def _line(number: int, previous: str, entry: Entry) -> bytes:
    words = {
        name: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for name, value in asdict(entry).items()
    }
    return msgspec.json.encode({"number": number, "previous": previous, **words})


def _write(fd: int, data: bytes, size: int) -> None:
    """All of it, or nothing: what a full disk let through is taken back."""
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(fd, left) :]
        os.fsync(fd)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(fd, size)
        raise


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# -- reading ------------------------------------------------------------------------------------------


def head(path: Path) -> Head:
    """The last whole line; number 0 where there is none. Raises Unreachable."""
    with _reaching(path):
        if not path.exists():
            return Head(0, GENESIS)
        with _opened(path, os.O_RDONLY, fcntl.LOCK_SH) as fd:
            return _end(fd, os.fstat(fd).st_size)[0]


def lines(path: Path, last: int = 0) -> list[Line]:
    """The last lines, or all; what is no line of ours is left out. Raises Unreachable."""
    whole, _ = _read(path)
    return [found for raw in whole[-last:] if (found := _parse(raw))]


def check(path: Path, heads: Iterable[Head]) -> list[Finding]:
    """What was done to the log since: critical where lines were changed, taken out, put in, moved or cut off, given
    the heads that backups saw; a warning where one was left unfinished. Raises Unreachable.
    """
    whole, unfinished = _read(path)
    hashes: dict[int, str] = {}
    found = list(_walk(whole, hashes))
    if unfinished:
        hashes[len(whole) + 1] = _sha(unfinished)  # that of a line, if nothing but its end is missing
        text = f"the last line is unfinished, with {len(unfinished)} bytes: a power cut, a kill or a full disk"
        found.append(_unfinished(text))
    return found + list(_compare(hashes, len(whole), heads))


def _walk(whole: list[bytes], hashes: dict[int, str]) -> Iterator[Finding]:
    """Along the chain; fills in the hash of each line by its number."""
    number, previous = 1, GENESIS
    for place_, raw in enumerate(whole):
        line = _parse(raw)
        if line is None:
            yield _judge_odd(place_ + 1, raw, whole[place_ + 1 : place_ + 2])
        elif line.number != number:
            yield _tampered(f"line {place_ + 1} has number {line.number} where {number} must be: lines went or came")
            number = line.number
        elif line.previous != previous:
            yield _tampered(f"line {place_ + 1} does not follow from the line before it: one of them was changed")
        hashes[number] = previous = _sha(raw)
        number += 1


def _judge_odd(at: int, raw: bytes, after: list[bytes]) -> Finding:
    """A line that is none: left unfinished, if the next one says so."""
    note = _parse(after[0]) if after else None
    if note and note.entry.task == NOTE and note.previous == _sha(raw):
        return _unfinished(f"line {at} was left unfinished, as the next one says")
    return _tampered(f"line {at} is nothing that pgproof writes")


def _compare(hashes: dict[int, str], length: int, heads: Iterable[Head]) -> Iterator[Finding]:
    ordered = sorted((one for one in heads if one.number), key=lambda one: one.number)
    gone = [one for one in ordered if one.number not in hashes]
    other = [one for one in ordered if one.number in hashes and hashes[one.number] != one.sha256]
    if gone:
        text = (
            f"the log has {length} lines, and had {gone[-1].number} when {gone[-1].seen} was made: its end was cut off"
        )
        yield _tampered(text)
    if other:
        text = f"line {other[0].number} is not the one that was there when {other[0].seen} was made"
        yield _tampered(f"{text}: it or one before it was changed, or the log begun anew")


def _tampered(text: str) -> Finding:
    hint = "compare with a copy of the log from elsewhere; who can write to it could have done so"
    return Finding("audit-tampered", "critical", "audit log", text, hint)


def _unfinished(text: str) -> Finding:
    hint = "that action is not told of; the log goes on behind it"
    return Finding("audit-unfinished", "warning", "audit log", text, hint)


def _read(path: Path) -> tuple[list[bytes], bytes]:
    """The whole lines, and what stands behind the last."""
    with _reaching(path):
        if not path.exists():
            return [], b""
        with _opened(path, os.O_RDONLY, fcntl.LOCK_SH) as fd, os.fdopen(fd, "rb", closefd=False) as file:
            *whole, rest = file.read().split(b"\n")
    return whole, rest


def _end(fd: int, size: int) -> tuple[Head, bytes]:
    """The last whole line, and what stands unfinished behind it; read from the end as far as is needed."""
    for start in (max(0, size - _NEAR), 0):
        *whole, rest = os.pread(fd, size - start, start).split(b"\n")
        for back, raw in enumerate(reversed(whole[1:] if start else whole)):
            if line := _parse(raw):
                return Head(line.number + back, _sha(whole[-1])), rest
    return Head(len(whole), _sha(whole[-1]) if whole else GENESIS), rest


def _parse(raw: bytes) -> Line | None:
    try:
        words = msgspec.json.decode(raw, type=dict[str, object])
        return Line(
            msgspec.convert(words.pop("number"), int),
            msgspec.convert(words.pop("previous"), str),
            msgspec.convert(words, Entry),
        )
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError, RecursionError):
        return None


def _sha(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


# -- the file -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(path: Path, flags: int, lock: int) -> Iterator[int]:
    """The file under its lock, which is waited for ten seconds. Raises OSError."""
    fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(fd, lock | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.005)
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _reaching(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = "another process holds it" if isinstance(error, BlockingIOError) else error.strerror or str(error)
        raise Unreachable(
            f"the audit log {path} cannot be used: {why}",
            hint="see to room and rights there, or name another folder by PGPROOF_STATE",
        ) from error
