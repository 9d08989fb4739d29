"""Doctor: can each configured thing work? Every answer is a finding, and no answer stops the others."""

import contextlib
import math
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pgproof.cost import evenly, simulate
from pgproof.errors import AlreadyExists, NotFound, PgproofError, Refused
from pgproof.finding import Finding
from pgproof.job import Job
from pgproof.postgres import catalog, rights, server, tools
from pgproof.postgres.server import Address, Session, connect
from pgproof.postgres.sql import name as quoted
from pgproof.repository import Repository
from pgproof.retention import Policy, span_words
from pgproof.stores.store import Store
from pgproof.stream import encrypt
from pgproof.stream.encrypt import Key

_FIRST = datetime(2026, 1, 1, tzinfo=UTC)  # of the backups that are only supposed; any day will do


def examine(job: Job) -> Iterator[Finding]:
    """Everything about one source: server, rights, programs, what a drill needs."""
    try:
        session = connect(job.address)
    except PgproofError as error:
        yield _bad("unreachable", job.name, error)
        return
    with session:
        yield from _asked(_server, session, job.name)
        yield from _rights(session, job.name, job.jobs)
        for tools_of in (_dump_tools, _drill_tools):
            yield from _asked(tools_of, session, job.name, job.address.container)
        for question in (_uncommon, _collations):
            yield from _asked(question, session, job.name)


def examine_role(name: str, address: Address, jobs: int, *, replicating: str | None = None) -> Iterator[Finding]:
    """What the account of one source may and may not; or with `replicating` the one of that name on its server."""
    try:
        with connect(address) as session:
            if replicating is None:
                yield from _rights(session, name, jobs)
            else:
                yield from rights.examine_replicating(session, name, replicating)
    except PgproofError as error:
        yield _bad("unreachable", name, error)


def _rights(session: Session, source: str, jobs: int) -> Iterator[Finding]:
    try:
        yield from rights.examine(session, source, jobs)
    except PgproofError as error:
        yield _bad("rights", source, error)


def examine_store(repository: Repository, name: str, *, offsite: bool) -> Iterator[Finding]:
    """Can it be written, read, listed and deleted from? A small canary says so, and whether it can be destroyed.

    `offsite`: on the store of another machine, that the credentials here can destroy what lies there is a warning.
    """
    canary = f"canary-{secrets.token_hex(6)}"
    store = repository.store
    try:
        _write(store, canary, b"pgproof")
        yield from _read_back(store, canary, name)
        yield _destroy(store, canary, name, offsite=offsite)
        yield from (replace(one, source=name) for one in store.remarks())
    except PgproofError as error:
        yield _bad("store", name, error)


def _write(store: Store, canary: str, data: bytes, *, again: bool = False) -> None:
    with store.create(canary, replace=again) as sink:
        sink.write(data)


def _read_back(store: Store, canary: str, name: str) -> Iterator[Finding]:
    try:
        with store.open(canary) as stream:
            same = stream.read() == b"pgproof"
    except Refused:
        hint = "let another machine verify it, or allow reading: what cannot be read here cannot be proven here"
        yield Finding("write-only", "warning", name, "the credentials may write and not read", hint)
        return
    if not same:
        text = "the store gives back other bytes than it was given"
        yield Finding("store", "critical", name, text, "use another disk or provider")
        return
    if [entry.name for entry in store.list(canary)] != [canary]:
        text = "what was written can be read and is not in the store's listing: new backups are seen late there"
        yield Finding("listing-lags", "warning", name, text, "run it again; if it stays so, use another provider")
        return
    yield Finding("store", "ok", name, "it can be written, read and listed")


def _destroy(store: Store, canary: str, name: str, *, offsite: bool) -> Finding:
    """Try what an attacker with these credentials would: overwrite and delete, older versions too."""
    try:
        _write(store, canary, b"overwritten", again=True)
        overwritten = True
    except (Refused, AlreadyExists):
        overwritten = False
    try:
        store.delete(canary, for_good=True)
        with contextlib.suppress(NotFound):
            store.stat(canary)
            return Finding("store", "critical", name, "what was deleted is still there", "look at its disk or provider")
    except Refused:
        return _protected(name, overwritten=overwritten)
    if not offsite:
        return Finding("deletion", "ok", name, "it can be deleted from, as prune must")
    text = "whoever gets this machine's credentials can destroy the backups there: overwrite, delete, all versions"
    return Finding("destructible", "warning", name, text, "docs/offsite.md shows how to take that right away")


def _protected(name: str, *, overwritten: bool) -> Finding:
    """Overwriting is harmless where the store keeps versions; a store that keeps none says so itself."""
    more = ", and may write over it" if overwritten else " nor write over it"
    text = f"the credentials of this machine cannot delete what lies there{more}"
    return Finding("protected", "ok", name, text)


def examine_grounds(grounds: Sequence[tuple[str, str, object]]) -> Iterator[Finding]:
    """Stores that one mishap would take together: of each its name, and what it stands on by word and identity."""
    seen: dict[tuple[str, object], str] = {}
    for name, word, identity in grounds:
        other = seen.setdefault((word, identity), name)
        if other != name:
            text = f"it lies on the same {word} as {other}" if word != "bucket" else f"it lies in the bucket of {other}"
            hint = f"what takes that {word} takes both: a copy counts once it lies elsewhere"
            yield Finding(f"same-{word}", "warning", name, text, hint)


def examine_lock(name: str, lock_for: timedelta, policy: Policy, gap: timedelta) -> Iterator[Finding]:
    """How object lock and retention go together in a store that gets a backup each `gap`; retention is played out.

    What retention holds beyond its rules (pins, the last proven one while no new one comes) is not looked at.
    """
    ages = simulate(evenly(gap, policy, _FIRST), policy, gap).ages
    if not ages:
        return
    # Prune comes once a day: what is 30 days and an hour old when it goes was to be kept for 30 days.
    first, last = (timedelta(days=math.ceil(age) - 1) for age in (min(ages), max(ages)))
    kept, longest, locked = (span_words(span) for span in (first, last, lock_for))
    if lock_for < first:
        text = f"every backup is kept for {kept} at least and locked for {locked}: after that it can be destroyed"
        yield Finding("lock-short", "warning", name, text, f'set lock_for to "{first.days}d" or more')
    elif lock_for < last:
        text = f"some backups are kept for {longest} and locked for {locked}: after that they can be destroyed"
        hint = f'nothing, if only the younger ones must be out of reach; else set lock_for to "{last.days}d"'
        yield Finding("lock-short", "info", name, text, hint)
    if lock_for > first + timedelta(days=1):
        text = f"retention lets backups go after {kept} and they are locked for {locked}: prune hides them, and until"
        text += " the lock ends they stay and cost"
        yield Finding("lock-long", "info", name, text, "a lifecycle rule removes noncurrent versions: docs/offsite.md")


def examine_key(key: Key) -> Finding:
    """Encrypt and, where this machine may, decrypt a few bytes."""
    if key.method == "none":
        return Finding(
            "encryption",
            "info",
            "encryption",
            "backups are not encrypted",
            "set [encryption] if others can read the stores",
        )
    try:
        encrypt.check(key)
    except PgproofError as error:
        return _bad("encryption", "encryption", error)
    both = (
        "encrypts and decrypts"
        if encrypt.can_decrypt(key)
        else "encrypts; this machine cannot decrypt, so drills run elsewhere"
    )
    return Finding("encryption", "ok", "encryption", f"{key.method} {both}")


def _asked(
    question: Callable[..., Iterator[tuple[str, str, str, str]]], session: Session, source: str, *more: str
) -> Iterator[Finding]:
    try:
        for code, level, text, hint in question(session, *more):
            yield Finding(code, level, source, text, hint)  # type: ignore[arg-type]
    except PgproofError as error:
        yield _bad(question.__name__.strip("_"), source, error)


def _server(session: Session) -> Iterator[tuple[str, str, str, str]]:
    identity = server.identity(session)
    role = " (a standby)" if identity.standby else ""
    yield (
        "server",
        "ok",
        f"PostgreSQL {identity.version}{role}, system identifier {identity.system_identifier or 'unknown'}",
        "",
    )


def _dump_tools(session: Session, container: str) -> Iterator[tuple[str, str, str, str]]:
    chosen = tools.for_dump(session.version_num // 10000, container=container)
    why = ": those of this machine are older than the server, or not there" if chosen.container else ""
    yield "pg_dump", "ok", f"pg_dump {chosen.version} in {chosen.place}{why}", ""
    if chosen.below_floor:
        floor = tools.SECURITY_FLOOR[chosen.major]
        hint = f"update to {chosen.major}.{floor} or newer"
        yield "security-floor", "warning", f"pg_dump {chosen.version} lacks the last security fixes", hint


def _drill_tools(session: Session, container: str) -> Iterator[tuple[str, str, str, str]]:
    try:
        chosen = tools.for_drill(session.version_num // 10000)
    except Refused:
        if not container:
            raise
        yield "drill", "ok", f"drills run in a container of the image of {container}: this machine has no server", ""
        return
    room = shutil.disk_usage(os.environ.get("TMPDIR", "/tmp")).free  # noqa: S108 - where scratch servers go
    size = catalog.database(session).size
    yield "drill", "ok", f"drills run in PostgreSQL {chosen.version} from {chosen.folder}", ""
    if room < size * 1.3:
        text = f"a drill needs about {size * 1.3 / 1e9:.1f} GB and {room / 1e9:.1f} GB are free"
        yield "drill-space", "warning", text, "set TMPDIR to a folder on a larger disk"


def _uncommon(session: Session) -> Iterator[tuple[str, str, str, str]]:
    unlogged = session.value("SELECT count(*) FROM pg_catalog.pg_class WHERE relkind = 'r' AND relpersistence = 'u'")
    if unlogged:
        yield (
            "unlogged",
            "info",
            f"{unlogged} tables are unlogged: a crash empties them; a logical backup holds them",
            "",
        )
    invalid = catalog.invalid_indexes(session)
    if invalid:
        yield (
            "invalid-index",
            "warning",
            f"invalid indexes: {', '.join(invalid[:5])}",
            "REINDEX INDEX CONCURRENTLY, or drop them",
        )


def _collations(session: Session) -> Iterator[tuple[str, str, str, str]]:
    """Indexes on text are sorted by the collation of the day: with another library under them they miss rows."""
    databases, collations = catalog.changed_collations(session)
    for name in databases:
        text = f"the database {name} was made with another version of its collation than this server has"
        hint = f"REINDEX DATABASE {quoted(name)}, then ALTER DATABASE {quoted(name)} REFRESH COLLATION VERSION"
        yield "collation-mismatch", "warning", text, hint
    if collations:
        text = f"columns are sorted by collations of another version: {', '.join(collations[:5])}"
        yield "collation-mismatch", "warning", text, "REINDEX what uses them, then ALTER COLLATION ... REFRESH VERSION"


def _bad(code: str, source: str, error: PgproofError) -> Finding:
    return Finding(code, "critical", source, error.message, error.hint)
