"""init, doctor, prune, status, demo: setting up, and looking after."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from pgproof.cli import render
from pgproof.cli.app import app
from pgproof.cli.options import AsJson, ConfigPath, Manners, Quiet, Sources, settings
from pgproof.cli.present import health_of, present, silence
from pgproof.cli.recording import Doing, Note, preparing, recorded, words
from pgproof.config import Config, DirectorySettings, S3Settings, SftpSettings, StoreSettings
from pgproof.docker import Engine
from pgproof.errors import PgproofError, Refused, UsageError
from pgproof.finding import Finding, level
from pgproof.job import Job, forget_store, jobs, open_repository, stopped_folder
from pgproof.schedule import longest_gap, parse_cron
from pgproof.secret import scrubbed

if TYPE_CHECKING:
    from pgproof.actions.prune import Pruned, Tally


@app.command()
def init(
    url: Annotated[
        str | None,
        typer.Option("--url", help="A server to protect; else the environment and the local sockets are looked at."),
    ] = None,
    store: Annotated[str, typer.Option("--store", help="The folder for backups.")] = "provisions/backups",
    password: Annotated[
        str | None,
        typer.Option("--password", metavar="REFERENCE", help="env:NAME, file:PATH or exec:COMMAND."),
    ] = None,
    new_store: Annotated[
        str | None,
        typer.Option("--new-store", metavar="PLACE", help="Accept another disk or bucket where a known store was."),
    ] = None,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Look around and write a commented pgproof.toml; an existing one is never overwritten."""
    from pgproof.actions.look import look_around

    manners = Manners(json, quiet)
    if new_store:
        forget_store(new_store)
        manners.say(f"The store at {new_store} will be accepted as it is now.")
        return 0
    path = Path(config or "pgproof.toml")
    if os.path.lexists(path):
        raise Refused(f"{path} exists already", hint="edit it, or remove it first")
    found = look_around(url, password, os.environ)
    _write_new(path, found.template(store))
    for line in found.lines:
        manners.say(line)
    manners.say(f"Wrote {path} with {_sources(len(found.sources))}. Next: pgproof doctor")
    if json:
        print(render.as_json({"path": str(path), "sources": [one.name for one in found.sources]}))
    return 0


def _write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet, private from its first moment. Raises UsageError."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint="name another file with --config") from error


def _sources(count: int) -> str:
    return "an example to fill in" if not count else "one source" if count == 1 else f"{count} sources"


@app.command()
def doctor(sources: Sources = None, config: ConfigPath = None, json: AsJson = False, quiet: Quiet = False) -> int:
    """Can each configured thing work? Tools, versions, privileges, stores, space, encryption."""
    from pgproof.actions import doctor as action
    from pgproof.actions import traps
    from pgproof.monitor import neighbours

    conf = settings(config)
    found = [action.examine_key(conf.encryption.key())]
    grounds = []
    for store in conf.stores:
        try:
            offsite = not isinstance(store.where, DirectorySettings)
            said = list(action.examine_store(open_repository(store, create=True), store.name, offsite=offsite))
            said += _lock(conf, store)
        except PgproofError as error:
            said = [Finding("store", "critical", store.name, error.message, error.hint)]
        if level(said) != "critical":  # what hangs is not asked again
            grounds.append((store.name, *_ground(store.where)))
        found += said
    found += list(action.examine_grounds(grounds))
    for job in _jobs(conf, sources or [], found):
        found += list(action.examine(job))
        if docker := conf.source(job.name).docker:
            found += list(traps.examine(Engine(), job.name, docker, stopped_folder(), job.address))
    beside = (*neighbours.judge(conf, neighbours.ask(conf, datetime.now(UTC))), *conf.left_out)
    found += [one for one in beside if not sources or one.source in sources]
    return findings(found, json=json, quiet=quiet)


def _lock(conf: Config, store: StoreSettings) -> list[Finding]:
    """Object lock beside retention, in a store that has the first; without a schedule a backup a day is supposed."""
    from pgproof.actions.doctor import examine_lock

    if not isinstance(store.where, S3Settings) or not store.where.lock:
        return []
    gap = longest_gap(parse_cron(conf.schedule.backup)) if conf.schedule.backup else timedelta(days=1)
    return list(examine_lock(store.name, store.where.lock_for, store.retention or conf.retention, gap))


def _ground(where: DirectorySettings | S3Settings | SftpSettings) -> tuple[str, object]:
    """What a store stands on, as a word and an identity."""
    if isinstance(where, DirectorySettings):
        return "disk", where.path.stat().st_dev
    return ("bucket", (where.endpoint, where.bucket)) if isinstance(where, S3Settings) else ("server", where.host)


def _jobs(conf: Any, names: list[str], found: list[Finding]) -> list[Job]:
    try:
        return jobs(conf, names)
    except PgproofError as error:
        found.append(Finding("configuration", "critical", "configuration", error.message, error.hint))
        return []


@app.command()
def status(sources: Sources = None, config: ConfigPath = None, json: AsJson = False, quiet: Quiet = False) -> int:
    """Health, as findings; exit 0 fine, 1 warning, 2 critical, 3 unknown (the monitoring convention)."""
    try:
        conf = settings(config)
        names = [conf.source(name).name for name in sources or []]
        seen = present(conf, datetime.now(UTC))
        if seen.shelves[0].error:
            raise seen.shelves[0].error
        found = [*health_of(seen, names), *(silence(conf) if not names else ())]
    except PgproofError as error:
        return _unknown(error.message, error.hint, json=json)
    except Exception as error:  # noqa: BLE001 - whoever monitors would take the exit code of a fault for a warning
        said = scrubbed(f"a fault in pgproof itself: {type(error).__name__}: {error}")
        return _unknown(said, "please report it", json=json)
    findings(found, json=json, quiet=quiet)
    return {"ok": 0, "warning": 1, "critical": 2}[level(found)]


def _unknown(text: str, hint: str, *, json: bool) -> int:
    if json:
        unknown = {"code": "unknown", "level": "unknown", "source": "", "text": text, "hint": hint}
        print(render.as_json({"level": "unknown", "findings": [unknown]}))
    else:
        print(f"UNKNOWN: {text}\n  {hint}")
    return 3


@app.command()
def prune(
    sources: Sources = None,
    store: Annotated[
        str | None, typer.Option("--store", metavar="NAME", help="Only in this store; else in all.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Delete; without it, only say what would be deleted.")] = False,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Say what retention would delete, and why it keeps the rest; delete only with --apply.

    Each store by its own policy, if it has one; `most` is of all that one run deletes, store by store and in each
    source by source. A store that cannot be asked does not stop the others.
    """
    from pgproof.actions.prune import Tally

    conf, manners = settings(config), Manners(json, quiet)
    chosen = [conf.store(store)] if store else conf.stores
    results, codes, tally = [], [], Tally()
    for one in chosen:
        if len(chosen) > 1:
            manners.say(f"In {one.name}:")
        try:
            results += _pruned(conf, sources or [], one, manners, tally, apply=apply)
        except PgproofError as error:
            if len(chosen) == 1:
                raise
            print(f"pgproof: {one.name} is not pruned: {error.message}\n  hint: {error.hint}", file=sys.stderr)
            codes.append(error.exit_code)
    codes += [7 for document in results if document["withheld"]]
    if json:
        print(render.as_json(results))
    elif not apply and any(not v["keep"] for document in results for v in document["verdicts"]):
        manners.say("Nothing was deleted; add --apply to do it.")
    return next(iter(codes), 0)


def _pruned(
    conf: Config, sources: list[str], store: StoreSettings, manners: Manners, tally: "Tally", *, apply: bool
) -> list[dict[str, Any]]:
    from pgproof.actions.prune import prune as act

    found, doing = [], Doing("prune", words("prune", *sources, store=store.name, apply=apply), store.name)
    with preparing(doing, sources) if apply else nullcontext():
        wanted = jobs(conf, sources, store=store, pruning=apply)
    for job in wanted:
        recording: AbstractContextManager[Note] = recorded(doing, job.name) if apply else nullcontext(Note())
        with recording as note:
            result = act(job, datetime.now(UTC), apply=apply, tally=tally)
            note.exit_code, note.text = 7 if result.withheld else 0, _deleted(result)
        for line in _told(result):
            manners.say(line)
        for name, why in result.withheld:
            print(f"pgproof: {name} could not be deleted: {why}", file=sys.stderr)
        if result.withheld:
            print(f"  hint: {_WITHHELD}", file=sys.stderr)
        found.append({"store": store.name, **msgspec.to_builtins(result)})
    return found


_WITHHELD = "give prune_access_key or let a lifecycle rule delete (docs/offsite.md); object lock holds until it ends"


def _deleted(result: "Pruned") -> str:
    gone = sum(not verdict.keep for verdict in result.verdicts)
    left = f", and {render.count(len(result.withheld), 'file')} could not be deleted" if result.withheld else ""
    return f"{render.count(gone, 'backup')} of {len(result.verdicts)} had to go{left}"


def _told(result: "Pruned") -> Iterator[str]:
    withheld = {name for name, _ in result.withheld}
    for verdict in result.verdicts:
        gone = "not deleted" if verdict.id in withheld else "deleted" if result.deleted else "would delete"
        yield f"{verdict.id}  {'keep' if verdict.keep else gone}: {'; '.join(verdict.reasons)}"
    for name in result.orphans:
        swept = "not swept" if name in withheld else "swept" if result.deleted else "would sweep"
        yield f"{name}  {swept}: no manifest names it"
    if not result.verdicts:
        yield f"{result.source} has no backups."


@app.command()
def demo(
    users: Annotated[int, typer.Option("--users", min=10, help="Users in the demonstration's Keycloak.")] = 50000,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the folder with its server's data and the backups.")
    ] = False,
) -> int:
    """All of it in two minutes, on an embedded PostgreSQL, in a temporary folder."""
    from pgproof.demo import demonstrate

    return demonstrate(users=users, keep=keep)


def findings(found: list[Finding], *, json: bool, quiet: bool) -> int:
    """Print them; returns 1 if one is critical, else 0."""
    gravest = level(found)
    if json:
        print(render.as_json({"level": gravest, "findings": [msgspec.to_builtins(one) for one in found]}))
    else:
        for one in found:
            if quiet and one.level in ("ok", "info"):
                continue
            text = one.text.removeprefix(f"{one.source}: ")
            print(f"{render.paint(one.level):<8}  {one.source}: {text}")
            if one.hint and one.level != "ok":
                print(f"          hint: {one.hint}")
    return 1 if gravest == "critical" else 0
