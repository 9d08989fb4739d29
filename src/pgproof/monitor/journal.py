"""The journal: every run with its begin, its end and what came of it, in one SQLite file of this machine.

No restore needs it: where it is lost, manifests and records tell most of it again (`rebuild`).

SQLite's rollback journal, not its write-ahead log: a run writes two rows, so there is nothing to win by one; and
the log needs memory shared by all writers, which a folder on NFS has not, and lies in two more files, which
whoever copies or moves the one would have to know of (sqlite.org/wal.html). A commit is forced to disk.
"""

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import astuple, fields, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pgproof.errors import PgproofError, Unreachable, UsageError
from pgproof.finding import Finding
from pgproof.manifest import Record, stamp_of
from pgproof.monitor import alive
from pgproof.repository import UNBELIEVABLE, Backup
from pgproof.run import Run
from pgproof.stream import process

VERSION = 1
KEPT = timedelta(days=400)
CUT_OFF = "it was cut off: it was killed, or the machine went down"
_PATIENCE = 10.0  # seconds for another process that writes
_COLUMNS = tuple(field.name for field in fields(Run))
_WITNESSES = 20  # runs that are younger than the one by whose time old rows go
_TOTALS = "totals"  # the memory of how many have gone
_COUNTED, _BY = "SELECT task, source, outcome, count(*) FROM runs", "GROUP BY task, source, outcome"
_RUN = f"SELECT {', '.join(_COLUMNS)} FROM runs"
_TABLES = (
    """CREATE TABLE runs (id TEXT PRIMARY KEY, task TEXT, source TEXT, began TEXT, ended TEXT, outcome TEXT,
        exit_code INTEGER, text TEXT, hint TEXT, asked TEXT, backup TEXT, store TEXT, size INTEGER, rows INTEGER,
        process TEXT)""",
    "CREATE INDEX runs_began ON runs (began)",
    "CREATE TABLE memories (key TEXT PRIMARY KEY, value TEXT)",
    f"PRAGMA user_version = {VERSION}",
)
_OUTSIDE = {  # what SQLite says of the world and not of the file (sqlite.org/rescode.html)
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
}
_MOST = (1 << 63) - 1
_Result = TypeVar("_Result")


class _BrokenError(Exception):
    """The file is not what was written; `inode` is of the file that was looked at."""

    def __init__(self, text: str, inode: int) -> None:
        super().__init__(text)
        self.inode = inode


class Journal:
    """Runs and a few memories in the SQLite file at `path`; several processes may have it open. `clock` is in UTC.

    Everything raises Unreachable when the file cannot be read or written (no such folder, no right, no room, another
    process writes for longer than ten seconds), and UsageError when a newer pgproof wrote it. A damaged file is
    moved aside, a new one begun, and a finding added to `findings`.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = path
        self.findings: list[Finding] = []
        self._clock = clock
        self._held: dict[str, int] = {}

    # -- runs -------------------------------------------------------------------------------------

    def begin(self, run: Run) -> None:
        """Keep a run that begins in this process; rows that are 400 days old go."""
        _private_folder(self.path.parent)
        held = alive.hold(self._lock_file(run.id))
        if held is not None:
            self._held[run.id] = held
        try:
            self._write(lambda db: _begin(db, run))
        except PgproofError:
            self._let_go(run.id)
            raise

    def finish(self, run: Run) -> None:
        """Keep how it ended, also where its begin could not be kept."""
        try:
            self._write(lambda db: _put(db, run))
        finally:
            self._let_go(run.id)

    def runs(self, source: str | None = None, task: str | None = None, limit: int = 100) -> list[Run]:
        """The newest `limit` runs of a source and a task, or of all, the newest first."""
        where = "WHERE (:source IS NULL OR source = :source) AND (:task IS NULL OR task = :task)"
        words = {"source": source, "task": task, "limit": limit}
        return self._read(lambda db: _found(db, f"{where} ORDER BY began DESC, rowid DESC LIMIT :limit", words))

    def counts(self) -> dict[tuple[str, str, str], int]:
        """How many runs have ended, by task, source and outcome, with those that have gone by their age."""
        found: dict[tuple[str, str, str], int] = {}
        for *name, count in self._read(_counted):
            task, source, outcome = name
            found[task, source, outcome] = found.get((task, source, outcome), 0) + count
        return found

    def running(self) -> list[Run]:
        """What has begun and, as far as is known, not ended."""
        return self._read(lambda db: _found(db, "WHERE outcome = 'running' ORDER BY began", {}))

    def cut_off(self, is_gone: Callable[[str], bool] = process.is_gone_by) -> list[Run]:
        """Runs whose process is gone without a word are "cut off" from now on; returns them.

        A process holds a lock on a file of its run, which the kernel drops with it: that tells of another boot and
        another container too. `is_gone`, which gets the process's tag, is asked where there is no such file.
        """
        return self._write(lambda db: self._cut_off(db, is_gone)) if self.running() else []

    def _cut_off(self, db: sqlite3.Connection, is_gone: Callable[[str], bool]) -> list[Run]:
        tags = dict(db.execute("SELECT id, process FROM runs WHERE outcome = 'running'").fetchall())
        gone = [one for one, tag in tags.items() if alive.is_dropped(self._lock_file(one), partial(is_gone, tag))]
        found = [run for one in gone for run in _found(db, "WHERE id = :id", {"id": one})]
        ended = [replace(one, outcome="cut off", text=CUT_OFF) for one in found]
        for run in ended:
            _put(db, run)
            self._lock_file(run.id).unlink(missing_ok=True)
        return ended

    # -- memories ---------------------------------------------------------------------------------

    def memories(self) -> dict[str, str]:
        """What remember() was given last, by its key."""
        return dict(self._read(lambda db: db.execute("SELECT key, value FROM memories").fetchall()))

    def remember(self, key: str, text: str) -> None:
        sql = "INSERT OR REPLACE INTO memories VALUES (?, ?)"
        self._write(lambda db: db.execute(sql, (_plain(key), _plain(text))))

    # -- what the stores tell ---------------------------------------------------------------------

    def rebuild(self, backups: Iterable[Backup], store: str = "") -> int:
        """Put in the runs that manifests and records tell of, and that are not here yet, unless they are so old that
        they have gone from here; returns how many.

        A backup is here if a run made it; an examination, if a run of its task and backup was under way at its time.
        """
        oldest = self._clock() - KEPT
        told = [run for one in backups for run in _told(one, store) if run.began >= oldest]
        return self._write(lambda db: sum(_add(db, run) for run in told)) if told else 0

    # -- the file ---------------------------------------------------------------------------------

    def _read(self, work: Callable[[sqlite3.Connection], list[_Result]]) -> list[_Result]:
        """A journal that is not there is an empty one, and reading makes none."""
        try:
            there = self.path.exists()
        except OSError as error:
            raise _unreachable(self.path, error.strerror or str(error)) from error
        return self._mended(work, "BEGIN") if there else []

    def _write(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        _private_folder(self.path.parent)
        return self._mended(work, "BEGIN IMMEDIATE")

    def _mended(self, work: Callable[[sqlite3.Connection], _Result], begin: str) -> _Result:
        try:
            return _transaction(self.path, work, begin)
        except _BrokenError as error:
            self._move_aside(error)
        try:
            return _transaction(self.path, work, begin)
        except _BrokenError as error:
            raise _unreachable(self.path, f"it is damaged again: {error}") from error

    def _move_aside(self, broken: _BrokenError) -> None:
        """Under a lock on the folder: of two processes that see the damage one moves it, the other looks again."""
        try:
            with alive.folder_held(self.path.parent):
                if not self.path.exists() or self.path.stat().st_ino != broken.inode:
                    return  # another has moved it
                aside = _free_name(self.path, stamp_of(self._clock()))
                for ending in ("-journal", "-wal", "-shm", ""):  # else SQLite would undo the new file by the old one's
                    with contextlib.suppress(FileNotFoundError):
                        Path(f"{self.path}{ending}").rename(f"{aside}{ending}")
        except OSError as error:
            raise _unreachable(self.path, f"it is damaged ({broken}) and cannot be moved: {error.strerror}") from error
        text = f"the journal was damaged ({broken}); it is now {aside}, and a new one was begun"
        hint = "no backup is lost with it; look at the disk it lies on"
        self.findings.append(Finding("journal-damaged", "warning", "", text, hint))

    def _lock_file(self, run: str) -> Path:
        return self.path.parent / "running" / run

    def _let_go(self, run: str) -> None:
        held = self._held.pop(run, None)
        if held is not None:
            alive.let_go(self._lock_file(run), held)


def _private_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unreachable(folder, f"its folder cannot be made: {error.strerror}") from error


def _transaction(path: Path, work: Callable[[sqlite3.Connection], _Result], begin: str) -> _Result:
    inode = 0
    try:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        inode = path.stat().st_ino
        with contextlib.closing(sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)) as db:
            db.text_factory = lambda data: data.decode("utf-8")
            with _prepared(db, begin):
                return work(db)
    except sqlite3.Error as error:
        if _is_outside(error, path):
            raise _unreachable(path, str(error)) from error
        raise _BrokenError(str(error), inode) from error
    except OSError as error:
        raise _unreachable(path, error.strerror or str(error)) from error
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        raise _BrokenError(str(error), inode) from error


@contextlib.contextmanager
def _prepared(db: sqlite3.Connection, begin: str) -> Iterator[None]:
    """In one transaction, with the tables there. Raises UsageError when a newer pgproof made them."""
    db.execute(begin)
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        hint = "use that version; or move the file away, which loses no backup"
        raise UsageError(f"the journal was written by a newer pgproof (version {version}, not {VERSION})", hint=hint)
    if version != VERSION:
        if version or db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise ValueError(f"it has no version {version}")
        for statement in _TABLES:
            db.execute(statement)
    yield
    db.execute("COMMIT")  # closing without it rolls back


def _is_outside(error: sqlite3.Error, path: Path) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code == sqlite3.SQLITE_READONLY:  # a file that we may write and SQLite will not has a damaged header
        return not os.access(path, os.W_OK)
    return code in _OUTSIDE


def _unreachable(path: Path, why: str) -> Unreachable:
    hint = "see to room and rights there, or name another folder by PGPROOF_STATE; backups do not need it"
    return Unreachable(f"the journal {path} cannot be used: {why}", hint=hint)


def damaged(path: Path) -> list[Path]:
    """What was moved aside of the journal at `path`, the oldest first. Raises OSError."""
    endings = ("-journal", "-wal", "-shm")
    return sorted(one for one in path.parent.glob(f"{path.name}.damaged-*") if not one.name.endswith(endings))


def _free_name(path: Path, stamp: str) -> str:
    """journal.sqlite.damaged-STAMP, or with a number behind it where that is taken."""
    name, number = f"{path}.damaged-{stamp}", 0
    while os.path.lexists(name):
        number += 1
        name = f"{path}.damaged-{stamp}-{number}"
    return name


def _begin(db: sqlite3.Connection, run: Run) -> None:
    """Old rows go by the time of a run some way back: some starts under a wrong clock empty nothing."""
    witness = db.execute("SELECT began FROM runs ORDER BY began DESC LIMIT 1 OFFSET ?", (_WITNESSES,)).fetchone()
    if witness:
        _forget(db, _when(min(run.began, datetime.fromisoformat(witness[0])) - KEPT))
    _put(db, run, process.identity().tag)


def _forget(db: sqlite3.Connection, until: str) -> None:
    """What goes is still counted: a count that falls would look like one that began anew."""
    counts = _forgotten(db)
    for task, source, outcome, count in db.execute(f"{_COUNTED} WHERE began < ? {_BY}", (until,)).fetchall():
        name = msgspec.json.encode((task, source, outcome)).decode()
        counts[name] = counts.get(name, 0) + count
    if db.execute("DELETE FROM runs WHERE began < ?", (until,)).rowcount:
        db.execute("INSERT OR REPLACE INTO memories VALUES (?, ?)", (_TOTALS, msgspec.json.encode(counts).decode()))


def _forgotten(db: sqlite3.Connection) -> dict[str, int]:
    """Of runs that have gone: how many of each task, source and outcome, which are the name, as JSON."""
    kept = db.execute("SELECT value FROM memories WHERE key = ?", (_TOTALS,)).fetchone()
    return msgspec.json.decode(kept[0], type=dict[str, int]) if kept else {}


def _counted(db: sqlite3.Connection) -> list[tuple[str, str, str, int]]:
    gone = [(*msgspec.json.decode(name, type=tuple[str, str, str]), count) for name, count in _forgotten(db).items()]
    there = db.execute(f"{_COUNTED} WHERE outcome <> 'running' {_BY}").fetchall()
    return gone + there


def _put(db: sqlite3.Connection, run: Run, tag: str | None = None) -> None:
    """The row of a run; its process's tag stays when none is given."""
    kept = db.execute("SELECT process FROM runs WHERE id = ?", (run.id,)).fetchone()
    values = (*_values(run), tag or (kept[0] if kept else ""))
    db.execute(f"INSERT OR REPLACE INTO runs VALUES ({', '.join('?' * len(values))})", values)


def _values(run: Run) -> tuple[Any, ...]:
    return tuple(_plain(one) for one in astuple(run))


def _plain(value: object) -> object:
    """As SQLite takes it: whatever is given must not look like a damaged file."""
    if isinstance(value, datetime):
        return _when(value)
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return min(value, _MOST) if isinstance(value, int) else value


def _when(moment: datetime) -> str:
    """In UTC and always to the microsecond, so that order of text is order of time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _found(db: sqlite3.Connection, where: str, words: Mapping[str, object]) -> list[Run]:
    found = db.execute(f"{_RUN} {where}", words).fetchall()
    return [msgspec.convert(dict(zip(_COLUMNS, one, strict=True)), Run) for one in found]


def _told(backup: Backup, store: str) -> Iterator[Run]:
    """The runs that a manifest and its records tell of."""
    made = backup.manifest
    about = {"backup": made.id, "store": store, "size": made.size, "rows": made.evidence.rows}
    name = _name("backup", made.id)
    yield Run(name, "backup", made.source, made.began, made.ended, "done", exit_code=0, **about)  # type: ignore[arg-type]
    for record in (one for one in backup.records if one.scope != UNBELIEVABLE):
        yield replace(_examined(record, made.source), **about)  # type: ignore[arg-type]


def _examined(record: Record, source: str) -> Run:
    task = "prove" if record.kind == "drill" else "verify"
    name = _name(task, record.backup, _when(record.at))
    ended = record.at + timedelta(seconds=record.seconds)
    if record.ok:
        return Run(name, task, source, record.at, ended, "done", exit_code=0)
    return Run(name, task, source, record.at, ended, "failed", exit_code=3, text="; ".join(record.findings[:1]))


def _name(*words: str) -> str:
    """Always the same for the same thing, so that putting it in twice is putting it in once."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def _add(db: sqlite3.Connection, run: Run) -> bool:
    same = "SELECT count(*) FROM runs WHERE task = ? AND backup = ?"
    if run.task == "backup":
        there = db.execute(same, (run.task, run.backup)).fetchone()[0]
    else:
        during = f"{same} AND began <= ? AND (ended IS NULL OR ended >= ?)"
        at = _when(run.began)
        there = db.execute(during, (run.task, run.backup, at, at)).fetchone()[0]
    if not there:
        _put(db, run)
    return not there
