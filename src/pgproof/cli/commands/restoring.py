"""restore: into a new database, whole or in part, shown first, all or nothing."""

import re
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from pgproof.cli import render, volumes
from pgproof.cli.afterwards import SessionChoice, afterwards
from pgproof.cli.app import app
from pgproof.cli.options import AsJson, ConfigPath, InStore, Manners, Quiet, settings
from pgproof.cli.recording import Doing, Note, recorded, source_of, words
from pgproof.cli.thawing import readable
from pgproof.cli.watch import watching
from pgproof.config import Config, is_misread, lacks_scheme, refuse_misread
from pgproof.errors import ConfigError, UsageError
from pgproof.job import address_of, open_repository
from pgproof.manifest import Manifest, stamp_of
from pgproof.postgres.server import Address
from pgproof.sources.replay import Choice, Manner

if TYPE_CHECKING:
    from pgproof.actions.restore import Plan, Restored

BackupId = Annotated[
    str, typer.Argument(metavar="BACKUP", help="An id, the beginning of one, `latest`, or a source's name.")
]
To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="TARGET",
        help="A connection URL, the name of a database on the source's server (else a new name there), or volume:NAME.",
    ),
]
Tables = Annotated[
    list[str] | None,
    typer.Option("--table", metavar="NAME", help="Only this table, with its indexes and constraints; may be repeated."),
]
Schemas = Annotated[
    list[str] | None, typer.Option("--schema", metavar="NAME", help="Only this schema; may be repeated.")
]
Jobs = Annotated[int, typer.Option("--jobs", min=1, help="Connections that load at the same time.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Replace = Annotated[
    bool, typer.Option("--replace", help="A database of this name that has tables is renamed out of the way, and kept.")
]
Disconnect = Annotated[bool, typer.Option("--disconnect", help="End the sessions of the database that is renamed.")]
CreateRoles = Annotated[bool, typer.Option("--create-roles", help="Make roles that the target lacks, from the backup.")]
NoOwner = Annotated[bool, typer.Option("--no-owner", help="Everything belongs to the role that restores; no grants.")]
NoTablespaces = Annotated[
    bool, typer.Option("--no-tablespaces", help="Everything goes into the target's default tablespace.")
]
Password = Annotated[
    str | None,
    typer.Option("--password", metavar="REFERENCE", help="env:NAME, file:PATH or exec:COMMAND, for --to a URL."),
]


@app.command()
def restore(
    backup: BackupId,
    to: To = None,
    table: Tables = None,
    schema: Schemas = None,
    jobs: Jobs = 2,
    dry_run: DryRun = False,
    replace: Replace = False,
    disconnect: Disconnect = False,
    create_roles: CreateRoles = False,
    no_owner: NoOwner = False,
    no_tablespaces: NoTablespaces = False,
    sessions: SessionChoice = None,
    password: Password = None,
    store: InStore = None,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Restore a backup into a new database; what exists is never overwritten.

    An existing database with tables is refused. With --replace it is renamed to NAME_before_TIME, where it stays.
    """
    from pgproof.actions import restore as action
    from pgproof.actions.verify import reading

    flags = {"disconnect": disconnect, "create_roles": create_roles, "no_owner": no_owner}
    flags |= {"no_tablespaces": no_tablespaces}
    said = {"table": table, "schema": schema, "sessions": sessions}
    asked = words("restore", backup, to=_harmless(to), store=store, replace=replace, **said, **flags)
    with nullcontext(Note()) if dry_run else recorded(Doing("restore", asked, store or ""), source_of(backup)) as note:
        conf, manners, now = settings(config), Manners(json, quiet), datetime.now(UTC)
        chosen = conf.store(store) if store else conf.stores[0]
        repository = open_repository(chosen)
        found = repository.find(backup).manifest
        note.of(found)
        note.store = chosen.name
        if not dry_run:
            with watching(quiet=quiet or json) as progress:
                readable(repository, found, progress)
        source = reading(repository, found, conf.encryption.key())
        into = volumes.target(found, to, {**flags, **said}, now)
        if into is not None:
            return volumes.restore_volume(source, into, note, manners, replace=replace, dry_run=dry_run)
        target = _target(conf, found, to, password, now)
        note.text = f"into {_harmless(to) or target.database}"
        choice = Choice(tuple(_named(found, one) for one in table or ()), tuple(schema or ()))
        manner = Manner(jobs=jobs, owners=not no_owner, tablespaces=not no_tablespaces)
        after = afterwards(conf, found, choice, sessions, owners=not no_owner)
        wish = action.Wish(choice, manner, replace, create_roles, disconnect, after.statements, after.checks)
        plan = action.plan(source, target, wish, now)
        manners.say("\n".join([f"Restore {found.id} to {target.describe()}:", *(f"  - {step}" for step in plan.steps)]))
        if dry_run:
            return _left_undone(plan, manners)
        with watching(quiet=quiet or json) as progress:
            done = after.told(action.restore(source, target, wish, plan, progress))
    return _finished(done, (datetime.now(UTC) - now).total_seconds(), manners)


def _left_undone(plan: "Plan", manners: Manners) -> int:
    manners.say("Nothing was done (--dry-run).")
    manners.document({"id": plan.manifest.id, "database": plan.database, "steps": plan.steps, "done": False})
    return 0


def _finished(done: "Restored", seconds: float, manners: Manners) -> int:
    manners.say(_told(done, seconds))
    manners.document({"id": done.backup, "done": True, "seconds": seconds, **msgspec.to_builtins(done)})
    return 0


def _harmless(to: str | None) -> str | None:
    """The target as it may be kept: of a URL or connection string, database and host."""
    if to is None or not (_is_conninfo(to) or _is_bare(to)):
        return to
    if is_misread(to):
        return "a connection string"
    try:
        return Address(to).describe()
    except ConfigError:
        return "a connection string"


def _is_conninfo(to: str) -> bool:
    return "://" in to or bool(re.match(r"\s*\w+\s*=", to))


def _is_bare(to: str) -> bool:
    """Whether it is an address with a password and without a scheme, which would be taken for a database's name."""
    return not _is_conninfo(to) and lacks_scheme(to.removeprefix(volumes.PREFIX))


def _told(done: "Restored", seconds: float) -> str:
    what = f"{render.count(done.tables, 'table')} with {render.count(done.rows, 'row')}"
    lines = [f"Done in {seconds:.1f} s: database {done.database} has {what}."]
    lines += [f"  left out: {one}" for one in done.left_out]
    lines += [f"  {note}" for note in done.notes]
    lines += [f"  The old database is now {done.aside}. It stays until you drop it."] if done.aside else []
    return "\n".join(lines)


def _target(conf: Config, manifest: Manifest, to: str | None, password: str | None, now: datetime) -> Address:
    """Where to: a URL or connection string is taken as it is, a plain name is on the source's own server."""
    if to is not None and _is_conninfo(to):
        from pathlib import Path

        from pgproof.config.references import parse_reference

        refuse_misread(to, "the URL of --to")
        return Address(to, parse_reference(password, "--password", Path.cwd()).resolve() if password else None)
    if to is not None and _is_bare(to):
        hint = "write --to postgresql://user@host/database, and the password's place with --password"
        raise UsageError("--to has the form of an address, and does not begin with postgresql://", hint=hint)
    if to is not None and not 0 < len(to.encode("utf-8", "surrogateescape")) < 64:
        raise UsageError(
            f"{to!r} cannot be the name of a database", hint="a name has 1 to 63 bytes; without --to a new one is made"
        )
    from pgproof.actions.temporary import shortened

    source = conf.source(manifest.source)
    address = address_of(source)
    return address.to(to or shortened(manifest.database.name, f"_restored_{stamp_of(now).lower()}"))


def _named(manifest: Manifest, word: str) -> tuple[str, str]:
    """A table by its name, `schema.name` or, when only one has it, `name`."""
    labels = [(table.schema, table.name) for table in manifest.evidence.tables]
    exact = [(table.schema, table.name) for table in manifest.evidence.tables if table.label == word]
    exact = exact or [pair for pair in labels if f"{pair[0]}.{pair[1]}" == word]
    alone = [pair for pair in labels if pair[1] == word]
    if len(exact) == 1 or (not exact and len(alone) == 1):
        return (exact or alone)[0]
    if exact or alone:
        meant = [table.label for table in manifest.evidence.tables if (table.schema, table.name) in (exact or alone)]
        raise UsageError(f"{word} could be any of {len(meant)} tables", hint=f"say which: {', '.join(meant)}")
    schema, dot, name = word.partition(".")
    return (schema, name) if dot else ("public", word)
