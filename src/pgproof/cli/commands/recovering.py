"""recover: the worst day in one command, and the ways back from it."""

import shlex
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pgproof.actions.recover import gather
from pgproof.cli.afterwards import SessionChoice
from pgproof.cli.app import app
from pgproof.cli.options import AsJson, ConfigPath, InStore, Manners, Quiet, settings
from pgproof.cli.recording import Doing, Note, recorded, words
from pgproof.cli.recovery import kinds
from pgproof.cli.recovery.nothing import bare
from pgproof.cli.recovery.words import ask_sessions, moment
from pgproof.cli.recovery.work import Work
from pgproof.cli.watch import watching
from pgproof.config import Config, SourceSettings
from pgproof.errors import UsageError
from pgproof.manifest import Kind

SourceName = Annotated[
    str | None,
    typer.Argument(metavar="[SOURCE]", help="Its name, needed where there are several; NAME:volume is its volume."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and its hash, and do nothing.")]
BackupId = Annotated[str | None, typer.Option("--backup", metavar="ID", help="This backup, also one never proven.")]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME", help="The newest proven one begun at or before, in UTC if no zone."),
]
Yes = Annotated[
    str | None, typer.Option("--yes", metavar="HASH", help="Agree to the plan with this hash; nothing is asked.")
]
Undo = Annotated[bool, typer.Option("--undo", help="Put the old one back; the recovered one is kept beside.")]
Forget = Annotated[bool, typer.Option("--forget", help="Drop what was put aside.")]
Drill = Annotated[bool, typer.Option("--drill", help="All of it against throw-away copies; says how long it takes.")]
GoOn = Annotated[bool, typer.Option("--continue", help="Go on with a recovery that was cut off.")]
Back = Annotated[bool, typer.Option("--back", help="Go back from a recovery that was cut off.")]
From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="STORE", help="Without a configuration: s3://bucket/prefix, sftp://user@host/path, PATH."
    ),
]
To = Annotated[
    str | None, typer.Option("--to", metavar="URL", help="With --from: the server and database to recover into.")
]
Password = Annotated[
    str | None, typer.Option("--password", metavar="REF", help="With --to: env:NAME, file:PATH or exec:COMMAND.")
]
NewCluster = Annotated[
    Path | None,
    typer.Option("--new-cluster", metavar="FOLDER", help="The server is gone: first make one on this machine, there."),
]
NewServer = Annotated[bool, typer.Option("--new-server", help="Another server than the backup's is meant.")]


@app.command()
def recover(
    source: SourceName = None,
    dry_run: DryRun = False,
    backup: BackupId = None,
    at: At = None,
    yes: Yes = None,
    undo: Undo = False,
    forget: Forget = False,
    go_on: GoOn = False,
    back: Back = False,
    drill: Drill = False,
    new_server: NewServer = False,
    new_cluster: NewCluster = None,
    from_: From = None,
    to: To = None,
    password: Password = None,
    sessions: SessionChoice = None,
    store: InStore = None,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Bring a database, or a volume, back from its newest proven backup: restored beside the old one, compared,
    switched, the old one kept.

    The plan is shown first, and asked about. The old one stays as NAME_before_TIME until --forget.
    """
    verbs = {"undo": undo, "forget": forget, "continue": go_on, "back": back}
    given = [name for name, wanted in {"dry-run": dry_run, "drill": drill, **verbs}.items() if wanted]
    _refuse_mixed(given, elsewhere=from_ is not None, to=bool(to or password), new_cluster=new_cluster is not None)
    asked = gather.Asked(backup, moment(at), new_server or from_ is not None)
    given_by = {"backup": backup, "at": at, "store": store, "from": from_, "sessions": sessions, "drill": drill}
    given_by |= {"new_server": new_server, "new_cluster": str(new_cluster) if new_cluster else None}
    said = words("recover", source, **given_by, **verbs)
    manners, now = Manners(json, quiet), datetime.now(UTC)
    conf, chosen, kind = _bare(from_, source, to, password) if from_ else _configured(settings(config), source)
    task = "recover-drill" if drill else "recover"
    with (
        nullcontext(Note()) if dry_run else recorded(Doing(task, said, store or ""), chosen.name) as note,
        watching(quiet=quiet or json) as progress,
    ):
        chosen_sessions = sessions or (ask_sessions(chosen) if not (given or yes) else None)
        how = kinds.of(kind, chosen, new_cluster and new_cluster.absolute())
        reach = _reach(from_, to, password)
        work = Work(conf, chosen, how, store, manners, now, note, progress, yes, chosen_sessions, reach)
        if dry_run:
            return work.show(asked)
        if drill:
            return work.drill(asked)
        return work.act(given[0] if given else "", asked)


def _refuse_mixed(given: list[str], *, elsewhere: bool, to: bool, new_cluster: bool) -> None:
    """Raises UsageError for options that do not go together."""
    if len(given) > 1:
        raise UsageError(f"--{given[0]} and --{given[1]} do not go together", hint="give one of them")
    if new_cluster and given not in ([], ["dry-run"]):
        raise UsageError(f"--new-cluster and --{given[0]} do not go together", hint="give one of them")
    if to and not elsewhere:
        raise UsageError(
            "--to and --password go with --from", hint="the configuration says where the source's server is"
        )


def _reach(from_: str | None, to: str | None, password: str | None) -> str:
    """What a command without a configuration must be given again; there is no secret in it."""
    given = {"--from": from_, "--to": to, "--password": password}
    return shlex.join(word for name, value in given.items() if value for word in (name, value))


def _bare(url: str, name: str | None, to: str | None, password: str | None) -> tuple[Config, SourceSettings, Kind]:
    conf, kind = bare(url, name, to, password)
    return conf, conf.sources[0], kind


def _configured(conf: Config, name: str | None) -> tuple[Config, SourceSettings, Kind]:
    """Which, and whether its volume is meant: also where nothing else of it is backed up."""
    plain, _, kind = (name or "").partition(":")
    if kind not in ("", "volume", "logical"):
        raise UsageError(f"{name!r} names no source", hint=f"write {plain}, or {plain}:volume")
    if not plain and len(conf.sources) != 1:
        known = ", ".join(one.name for one in conf.sources)
        raise UsageError("which source is to be recovered?", hint=f"name it: {known}")
    found = conf.source(plain) if plain else conf.sources[0]
    return conf, found, _kind(found, kind)


def _kind(source: SourceSettings, named: str) -> Kind:
    return "volume" if named == "volume" or (not named and source.kinds == ("volume",)) else "logical"
