"""Recording: each piece of work leaves its run in the journal and its line in the audit log, whatever becomes of it.

Neither is needed to make or restore a backup: where they cannot be written that is told once, and the work goes on.
"""

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pgproof.cli.options import Manners
from pgproof.errors import Interrupted, PgproofError
from pgproof.job import Job, state_folder
from pgproof.manifest import Manifest
from pgproof.run import Run, outcome_of
from pgproof.secret import scrubbed

if TYPE_CHECKING:
    from pgproof.monitor.journal import Journal

_Piece = TypeVar("_Piece")


@dataclass(frozen=True, slots=True)
class Doing:
    """What is being done: the task, the words that asked for it, without secrets, and the store's name."""

    task: str
    asked: str = ""
    store: str = ""


@dataclass(slots=True)
class Note:
    """What a piece of work adds to its own run while it is under way."""

    source: str = ""
    store: str = ""
    backup: str = ""
    size: int = 0
    rows: int = 0
    exit_code: int = 0
    text: str = ""
    hint: str = ""

    def of(self, manifest: Manifest) -> None:
        """It is about this backup."""
        self.source, self.backup = manifest.source, manifest.id
        self.size, self.rows = manifest.size, manifest.evidence.rows


def words(task: str, *names: str | None, **options: object) -> str:
    """The command line as it may be kept: of options that are given here only, so secrets are left out by leaving
    them out.
    """
    line = [task, *(shlex.quote(name) for name in names if name is not None)]
    for option, value in options.items():
        name = f"--{option.replace('_', '-')}"
        many = value if isinstance(value, list | tuple) else [value] if value else []
        line += [name if one is True else f"{name} {shlex.quote(str(one))}" for one in many]
    return scrubbed(" ".join(line))


@contextmanager
def recorded(doing: Doing, source: str = "") -> Iterator[Note]:
    """Around one piece of work: its begin and its end are kept, what it raises is raised."""
    note, books = Note(source, doing.store), _Books()
    run = _begun(doing, source)
    try:
        books.begin(run)
        yield note
    except BaseException as error:
        _blame(note, error)
        raise
    finally:
        books.end(_ended(run, note))


@contextmanager
def preparing(doing: Doing, sources: Sequence[str | None]) -> Iterator[None]:
    """Around what comes before the pieces: if it fails there, that is the failed run of each source, or of all."""
    try:
        yield
    except (PgproofError, KeyboardInterrupt) as error:
        books = _Books()
        for name in [one for one in sources if one] or [""]:
            note = Note(source_of(name), doing.store)
            _blame(note, error)
            books.end(_ended(_begun(doing, note.source), note))
        raise


def each(
    wanted: Sequence[_Piece],
    act: Callable[[_Piece, Note], dict[str, Any]],
    manners: Manners,
    doing: Doing,
    *,
    alone: bool | None = None,
) -> int:
    """Do it for every piece; one failure does not stop the others, and the first one's code is the run's.

    The document is the one result when there is one piece (`alone` says it for certain), else an array.
    """
    documents: list[dict[str, Any]] = []
    for piece in wanted:
        try:
            with recorded(_of_kind(doing, piece), source_of(_name(piece))) as note:
                documents.append(act(piece, note))
                note.exit_code = documents[-1].get("exit_code", 0)
        except PgproofError as error:
            if len(wanted) == 1:
                raise
            told = {"of": _name(piece), "error": error.message, "hint": error.hint, "exit_code": error.exit_code}
            documents.append(told)
            print(f"pgproof: {told['of']}: {error.message}\n  hint: {error.hint}", file=sys.stderr)
    codes = [document.pop("exit_code", 0) for document in documents]
    single = len(documents) == 1 if alone is None else alone
    manners.document(documents[0] if single and documents else documents)
    return next((code for code in codes if code), 0)


def _of_kind(doing: Doing, piece: object) -> Doing:
    """A backup's run says of which kind it is, also where the command did not: of one that fails nothing else does."""
    if not isinstance(piece, Job) or doing.task != "backup" or "--kind" in doing.asked:
        return doing
    return replace(doing, asked=f"{doing.asked} --kind {piece.source.kind}")


def note_cut_off(journal: "Journal") -> list[Run]:
    """Runs whose process is gone without a word: each gets its end in the journal and its line in the audit log."""
    found = journal.cut_off()
    for run in found:
        _say_who(run, known=False)
    return found


def journal_file() -> Path:
    return state_folder() / "journal.sqlite"


def audit_log() -> Path:
    return state_folder() / "audit.jsonl"


def audit_head() -> dict[str, str]:
    """What a manifest keeps of the audit log: its head, and which log it is; nothing where it cannot be read."""
    from pgproof.monitor import audit

    try:
        return {"audit.head": str(audit.head(audit_log())), "audit.log": audit.place(audit_log())}
    except PgproofError as error:
        _tell(error.message)
        return {}


def source_of(backup: str) -> str:
    """The source in the name of a backup, as far as the name alone tells."""
    word = backup.partition("/")[0].partition(":")[0]
    return "" if word == "latest" else word


def _name(piece: object) -> str:
    return piece if isinstance(piece, str) else str(getattr(piece, "name", None) or getattr(piece, "id", piece))


def _begun(doing: Doing, source: str) -> Run:
    began = datetime.now(UTC)
    return Run(os.urandom(8).hex(), doing.task, scrubbed(source), began, asked=doing.asked, store=doing.store)


def _ended(run: Run, note: Note) -> Run:
    return replace(
        run,
        ended=datetime.now(UTC),
        outcome=outcome_of(note.exit_code),
        exit_code=note.exit_code,
        source=scrubbed(note.source),
        store=note.store,
        backup=note.backup,
        size=note.size,
        rows=note.rows,
        text=scrubbed(note.text),
        hint=scrubbed(note.hint),
    )


def _blame(note: Note, error: BaseException) -> None:
    if isinstance(error, PgproofError):
        note.exit_code, note.text, note.hint = error.exit_code, error.message, error.hint
    elif isinstance(error, KeyboardInterrupt):
        note.exit_code, note.text = Interrupted.exit_code, "it was interrupted"
    else:
        note.exit_code, note.text = (
            PgproofError.exit_code,
            f"a fault in pgproof itself: {type(error).__name__}: {error}",
        )


@dataclass(slots=True)
class _Books:
    """Journal and audit log; imported when something is written, so that `list` need not wait for SQLite."""

    _journal: "Journal | None" = field(default=None)

    @property
    def journal(self) -> "Journal":
        if self._journal is None:
            from pgproof.monitor.journal import Journal

            self._journal = Journal(journal_file())
        return self._journal

    def begin(self, run: Run) -> None:
        self._try(lambda: self.journal.begin(run))
        self._try(self._note_cut_off)

    def end(self, run: Run) -> None:
        self._try(lambda: self.journal.finish(run))
        self._try(lambda: _say_who(run))

    def _note_cut_off(self) -> None:
        note_cut_off(self.journal)

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except PgproofError as error:
            _tell(error.message)
        while self._journal and self._journal.findings:
            _tell(self._journal.findings.pop().text)


def _say_who(run: Run, *, known: bool = True) -> None:
    """The line of a run; of one that was cut off it is not known here who had begun it."""
    from pgproof.monitor import audit

    me = audit.who()
    text = run.text if known else f"{run.text}; it began at {run.began:%Y-%m-%d %H:%M:%S} UTC; noted by {me.user}"
    entry = audit.Entry(
        when=run.ended or datetime.now(UTC),
        user=me.user if known else "",
        sudo_user=me.sudo_user if known else "",
        host=me.host,
        task=run.task,
        source=run.source,
        asked=run.asked,
        outcome=run.outcome,
        exit_code=run.exit_code,
        run=run.id,
        text=text,
    )
    audit.append(audit_log(), entry)


_told: set[str] = set()


def _tell(text: str) -> None:
    """On standard error, once."""
    if text not in _told:
        _told.add(text)
        print(f"pgproof: {text}", file=sys.stderr)
