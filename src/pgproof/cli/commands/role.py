"""role: the SQL of the least-privileged account, and what an existing one may too much or too little."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from pgproof.cli import render
from pgproof.cli.app import app
from pgproof.cli.commands.upkeep import findings
from pgproof.cli.options import AsJson, ConfigPath, Quiet, settings, settings_if_any
from pgproof.config import Config, SourceSettings
from pgproof.errors import UsageError
from pgproof.job import address_of
from pgproof.postgres import privileges

if TYPE_CHECKING:
    from pgproof.actions.role import Wanted

Source = Annotated[str | None, typer.Argument(metavar="[SOURCE]", help="The source; all when none is named.")]
Name = Annotated[
    str | None, typer.Option("--name", help="The role; else backup, or with --replication backup_replication.")
]
Replication = Annotated[
    bool, typer.Option("--replication", help="The second role, for physical backups: REPLICATION and nothing else.")
]
Check = Annotated[
    bool, typer.Option("--check", help="Examine the role that the source connects as; 1 if it may not do its work.")
]
Passwords = Annotated[
    bool, typer.Option("--passwords", help="On PostgreSQL 13 let it read roles' password hashes; newer ones let it.")
]
Major = Annotated[
    int | None,
    typer.Option("--major", min=13, max=99, help="The server's major version; else the server is asked, or 18."),
]


@app.command()
def role(
    source: Source = None,
    name: Name = None,
    replication: Replication = False,
    check: Check = False,
    passwords: Passwords = False,
    major: Major = None,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Print the SQL of the least-privileged backup role, for psql; with --check examine the one in use.

    pgproof role | psql -X -d postgresql://postgres@HOST/postgres
    """
    usual = "backup_replication" if replication else "backup"
    called = usual if name is None else name
    if check:
        if passwords or major or (name is not None and not replication):
            hint = "leave --name, --passwords and --major out; --name goes with --check --replication"
            raise UsageError("--check examines the role that the source's url names", hint=hint)
        return _checked(settings(config), source, called if replication else None, json=json, quiet=quiet)
    found = _wanted(settings(config) if source else settings_if_any(config), source, major)
    made = privileges.statements(
        called,
        found.databases,
        found.version_num,
        replication=replication,
        passwords=passwords,
        limit=found.limit,
    )
    if json:
        print(render.as_json({"role": called, **msgspec.to_builtins(found), "statements": msgspec.to_builtins(made)}))
        return 0
    print("\n".join(f"-- {line}" for text in _head(found, called) for line in text.splitlines()))
    print(privileges.as_psql(called, made, found.databases, replication=replication), end="")
    return 0


def _chosen(conf: Config, source: str | None) -> list[SourceSettings]:
    return [conf.source(source)] if source else list(conf.sources)


def _checked(conf: Config, source: str | None, replicating: str | None, *, json: bool, quiet: bool) -> int:
    from pgproof.actions.doctor import examine_role
    from pgproof.actions.role import one_of_each_server

    chosen = _chosen(conf, source)
    if replicating is not None:
        chosen = one_of_each_server(chosen)
    found = [
        finding
        for one in chosen
        for finding in examine_role(one.name, address_of(one), one.jobs, replicating=replicating)
    ]
    return findings(found, json=json, quiet=quiet)


def _wanted(conf: Config | None, source: str | None, major: int | None) -> "Wanted":
    from pgproof.actions.role import example, wanted

    version_num = major * 10000 if major else None
    return wanted(_chosen(conf, source), version_num) if conf else example(version_num)


def _head(found: "Wanted", called: str) -> list[str]:
    where = f"{', '.join(found.databases)} on {found.server}" if found.server else "an example: nothing is configured"
    lines = [f"The role {called} for PostgreSQL {found.major}: {where}. A superuser runs it once, in psql."]
    if found.server and not found.known:
        lines.append(f"The server could not be asked which version it is; --major says so if it is not {found.major}.")
    return lines
