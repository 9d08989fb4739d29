"""init, doctor, prune, status, demo: setting up, and looking after."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from pgproof.cli import render
from pgproof.cli.app import app
from pgproof.cli.options import AsJson, ConfigPath, Manners, Quiet, Sources, settings
from pgproof.errors import PgproofError, Refused, UsageError
from pgproof.finding import Finding, level
from pgproof.job import Job, forget_store, jobs, open_repository
from pgproof.monitor import health
from pgproof.monitor.health import Facts


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
        typer.Option("--new-store", metavar="PATH", help="Accept another disk in the place of a known store."),
    ] = None,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Look around and write a commented pgproof.toml; an existing one is never overwritten."""
    from pgproof.actions.look import look_around

    manners = Manners(json, quiet)
    if new_store:
        forget_store(Path(new_store).resolve())
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
        print(render.as_json({"path": str(path), "sources": [name for name, _ in found.sources]}))
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

    conf = settings(config)
    found = [action.examine_key(conf.encryption.key())]
    for store in conf.stores:
        try:
            found += list(action.examine_store(open_repository(store, create=True), store.name))
            found.append(action.examine_space(store.path, store.name))
        except PgproofError as error:
            found.append(Finding("store", "critical", store.name, error.message, error.hint))
    for job in _jobs(conf, sources or [], found):
        found += list(action.examine(job))
    return _findings(found, json=json, quiet=quiet)


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
        wanted = jobs(settings(config), sources or [])
        now = datetime.now(UTC)
        found = [finding for job in wanted for finding in health.examine(_facts(job, now), now)]
    except PgproofError as error:
        if json:
            unknown = {
                "code": "unknown",
                "level": "unknown",
                "source": "",
                "text": error.message,
                "hint": error.hint,
            }
            print(render.as_json({"level": "unknown", "findings": [unknown]}))
        else:
            print(f"UNKNOWN: {error.message}\n  {error.hint}")
        return 3
    _findings(found, json=json, quiet=quiet)
    return {"ok": 0, "warning": 1, "critical": 2}[level(found)]


def _facts(job: Job, now: datetime) -> Facts:
    from pgproof.actions.prune import candidate

    backups, broken = job.repository.backups(job.name)
    drills = [record.at for one in backups for record in one.records if record.kind == "drill" and record.ok]
    other = tuple(Finding("backup-damaged", "critical", job.name, one.error.message, one.error.hint) for one in broken)
    orphans = sum(entry.name.startswith(f"{job.name}/") for entry in job.repository.orphans(now))
    return Facts(
        source=job.name,
        backups=tuple(candidate(one) for one in backups),
        last_proof=max(drills, default=None),
        orphans=orphans,
        other=other,
        max_age=job.max_age,
        max_proof_age=job.max_proof_age,
    )


@app.command()
def prune(
    sources: Sources = None,
    apply: Annotated[bool, typer.Option("--apply", help="Delete; without it, only say what would be deleted.")] = False,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Say what retention would delete, and why it keeps the rest; delete only with --apply."""
    from pgproof.actions.prune import prune as act

    manners = Manners(json, quiet)
    results = [act(job, datetime.now(UTC), apply=apply) for job in jobs(settings(config), sources or [])]
    for result in results:
        for verdict in result.verdicts:
            word = "keep" if verdict.keep else ("deleted" if result.deleted else "would delete")
            manners.say(f"{verdict.id}  {word}: {'; '.join(verdict.reasons)}")
        for name in result.orphans:
            manners.say(f"{name}  {'swept' if result.deleted else 'would sweep'}: no manifest names it")
        if not result.verdicts:
            manners.say(f"{result.source} has no backups.")
    if json:
        print(render.as_json(results))
    elif not apply and any(not v.keep for r in results for v in r.verdicts):
        manners.say("Nothing was deleted; add --apply to do it.")
    return 0


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


def _findings(found: list[Finding], *, json: bool, quiet: bool) -> int:
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
