"""Doctor: can each configured thing work? Every answer is a finding, and no answer stops the others."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from pgproof.errors import PgproofError
from pgproof.finding import Finding
from pgproof.job import Job
from pgproof.postgres import catalog, server, tools
from pgproof.postgres.server import Session, connect
from pgproof.postgres.snapshot import check_privileges
from pgproof.repository import Repository
from pgproof.stream import encrypt
from pgproof.stream.encrypt import Key


def examine(job: Job) -> Iterator[Finding]:
    """Everything about one source: server, rights, programs, what a drill needs."""
    try:
        session = connect(job.address)
    except PgproofError as error:
        yield _bad("unreachable", job.name, error)
        return
    with session:
        for question in (_server, _rights, _dump_tools, _drill_tools, _uncommon):
            yield from _asked(question, session, job.name)


def examine_store(repository: Repository, name: str) -> Iterator[Finding]:
    """Can it be written, read, listed and deleted from? A small canary says so."""
    canary = f"canary-{secrets.token_hex(6)}"
    store = repository.store
    try:
        with store.create(canary) as sink:
            sink.write(b"pgproof")
        with store.open(canary) as stream:
            same = stream.read() == b"pgproof"
        store.delete(canary)
        found = [entry.name for entry in store.list(canary)]
    except PgproofError as error:
        yield _bad("store", name, error)
        return
    if not same or found:
        yield Finding(
            "store",
            "critical",
            name,
            "the store gives back other bytes than it was given",
            "use another disk",
        )
    else:
        yield Finding("store", "ok", name, "the store can be written, read, listed and deleted from")


def examine_space(path: Path, name: str) -> Finding:
    """Space on the disk of a directory store."""
    usage = shutil.disk_usage(path)
    free = usage.free / usage.total
    text = f"{usage.free / 1e9:.1f} GB are free on its disk ({free:.0%})"
    return Finding(
        "space",
        "ok" if free > 0.1 else "warning",
        name,
        text,
        "" if free > 0.1 else "make room before it fills",
    )


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
    question: Callable[[Session], Iterator[tuple[str, str, str, str]]], session: Session, source: str
) -> Iterator[Finding]:
    try:
        for code, level, text, hint in question(session):
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


def _rights(session: Session) -> Iterator[tuple[str, str, str, str]]:
    check_privileges(session)
    yield "rights", "ok", "the role may read everything", ""
    if session.value("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"):
        yield (
            "too-many-rights",
            "warning",
            "the role is a superuser, which a backup needs not be",
            "see docs/backup-role.md",
        )


def _dump_tools(session: Session) -> Iterator[tuple[str, str, str, str]]:
    chosen = tools.for_dump(session.version_num // 10000)
    yield "pg_dump", "ok", f"pg_dump {chosen.version} in {chosen.folder}", ""
    if chosen.below_floor:
        floor = tools.SECURITY_FLOOR[chosen.major]
        hint = f"update to {chosen.major}.{floor} or newer"
        yield "security-floor", "warning", f"pg_dump {chosen.version} lacks the last security fixes", hint


def _drill_tools(session: Session) -> Iterator[tuple[str, str, str, str]]:
    chosen = tools.for_drill(session.version_num // 10000)
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


def _bad(code: str, source: str, error: PgproofError) -> Finding:
    return Finding(code, "critical", source, error.message, error.hint)
