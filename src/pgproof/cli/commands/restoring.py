"""restore: into a new database, whole or in part, shown first, all or nothing."""

import re
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from pgproof.cli import render
from pgproof.cli.app import app
from pgproof.cli.options import AsJson, ConfigPath, Manners, Quiet, settings
from pgproof.cli.watch import watching
from pgproof.config import Config
from pgproof.errors import UsageError
from pgproof.job import open_repository
from pgproof.manifest import Manifest, stamp_of
from pgproof.postgres.server import Address

Words = Annotated[list[str] | None, typer.Option(metavar="NAME")]


@app.command()
def restore(
    backup: Annotated[
        str,
        typer.Argument(metavar="BACKUP", help="An id, the beginning of one, `latest`, or a source's name."),
    ],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="TARGET",
            help="A connection URL, or the name of a database on the source's server; else a new name there.",
        ),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(
            "--table",
            metavar="NAME",
            help="Only this table, with its indexes and constraints; may be repeated.",
        ),
    ] = None,
    schema: Annotated[
        list[str] | None, typer.Option("--schema", metavar="NAME", help="Only this schema; may be repeated.")
    ] = None,
    job_count: Annotated[int, typer.Option("--jobs", min=1, help="Connections that load at the same time.")] = 2,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="If the database exists and has tables: rename it out of the way, and keep it."),
    ] = False,
    disconnect: Annotated[
        bool, typer.Option("--disconnect", help="End the sessions of the database that is renamed.")
    ] = False,
    create_roles: Annotated[
        bool, typer.Option("--create-roles", help="Make roles that the target lacks, from the backup.")
    ] = False,
    no_owner: Annotated[
        bool, typer.Option("--no-owner", help="Everything belongs to the role that restores; no grants.")
    ] = False,
    password: Annotated[
        str | None,
        typer.Option("--password", metavar="REFERENCE", help="env:NAME, file:PATH or exec:COMMAND, for --to a URL."),
    ] = None,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Restore a backup into a new database; what exists is never overwritten.

    An existing database with tables is refused. With --replace it is renamed to NAME_before_TIME, where it stays.
    """
    from pgproof.actions import restore as action
    from pgproof.actions.verify import reading
    from pgproof.sources.replay import Choice, Manner

    conf, manners, now = settings(config), Manners(json, quiet), datetime.now(UTC)
    repository = open_repository(conf.stores[0])
    found = repository.find(backup).manifest
    source = reading(repository, found, conf.encryption.key())
    target = _target(conf, found, to, password, now)
    choice = Choice(tuple(_named(found, one) for one in table or ()), tuple(schema or ()))
    manner = Manner(jobs=job_count, owners=not no_owner)
    wish = action.Wish(choice, manner, replace=replace, create_roles=create_roles, disconnect=disconnect)
    plan = action.plan(source, target, wish, now)
    manners.say(f"Restore {found.id} to {target.describe()}:")
    for step in plan.steps:
        manners.say(f"  - {step}")
    if dry_run:
        manners.say("Nothing was done (--dry-run).")
        if json:
            print(render.as_json({"id": found.id, "database": plan.database, "steps": plan.steps, "done": False}))
        return 0
    began = datetime.now(UTC)
    with watching(quiet=quiet or json) as progress:
        done = action.restore(source, target, wish, plan, progress)
    took = (datetime.now(UTC) - began).total_seconds()
    manners.say(f"Done in {took:.1f} s: database {done.database} has {done.tables} tables with {done.rows:,} rows.")
    for text in (*(f"left out: {one}" for one in done.left_out), *done.notes):
        manners.say(f"  {text}")
    if done.aside:
        manners.say(f"  The old database is now {done.aside}. It stays until you drop it.")
    if json:
        print(render.as_json({"id": done.backup, "done": True, "seconds": took, **msgspec.to_builtins(done)}))
    return 0


def _target(conf: Config, manifest: Manifest, to: str | None, password: str | None, now: datetime) -> Address:
    """Where to: a URL or connection string is taken as it is, a plain name is on the source's own server."""
    if to is not None and ("://" in to or re.match(r"\s*\w+\s*=", to)):
        from pathlib import Path

        from pgproof.config.references import parse_reference

        return Address(to, parse_reference(password, "--password", Path.cwd()).resolve() if password else None)
    source = conf.source(manifest.source)
    address = Address(source.conninfo().reveal(), source.secret())
    return address.to(to or f"{manifest.database.name}_restored_{stamp_of(now).lower()}")


def _named(manifest: Manifest, word: str) -> tuple[str, str]:
    """A table by its name, `schema.name` or, when only one has it, `name`."""
    labels = [(table.schema, table.name) for table in manifest.evidence.tables]
    exact = [pair for pair in labels if f"{pair[0]}.{pair[1]}" == word]
    alone = [pair for pair in labels if pair[1] == word]
    if exact or len(alone) == 1:
        return (exact or alone)[0]
    if len(alone) > 1:
        raise UsageError(
            f"{len(alone)} schemas have a table {word}",
            hint=f"say which: {', '.join(f'{s}.{t}' for s, t in alone)}",
        )
    schema, dot, name = word.partition(".")
    return (schema, name) if dot else ("public", word)
