"""backup, list, show, verify, prove, keep: making backups and finding out what may be believed of them."""

import contextlib
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer

from pgproof.cli import offsite, putting_back, render, telling
from pgproof.cli.app import app
from pgproof.cli.options import AsJson, ConfigPath, InStore, Manners, Quiet, Sources, settings
from pgproof.cli.recording import Doing, Note, audit_head, each, preparing, recorded, source_of, words
from pgproof.cli.thawing import readable
from pgproof.cli.watch import watching
from pgproof.config import Config, SourceSettings
from pgproof.docker import Engine
from pgproof.errors import Damaged, PgproofError, UsageError
from pgproof.job import Job, jobs, open_repository
from pgproof.manifest import Kind, Record
from pgproof.repository import Backup, Repository
from pgproof.stream.progress import Progress

BackupName = Annotated[
    str | None,
    typer.Argument(metavar="[BACKUP]", help="An id, the beginning of one, `latest`, or a source's name."),
]


@app.command()
def backup(
    sources: Sources = None,
    new_server: Annotated[
        bool, typer.Option("--new-server", help="The server was rebuilt on purpose: accept it.")
    ] = False,
    kind: Annotated[
        Kind | None,
        typer.Option("--kind", help="What to make; else what the configuration says of the source, or logical."),
    ] = None,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Back up one source, several, or all, each in one snapshot; `SOURCE:volume` stops the server for a moment."""
    from pgproof.actions.backup import backup as act

    asked = words("backup", *sources or (), new_server=new_server, kind=kind)
    manners, doing = Manners(json, quiet), Doing("backup", asked)
    with preparing(doing, sources or []):
        conf = settings(config)
        kinds = (kind,) if kind else None
        names = [one.removesuffix(f":{kind}") for one in sources or []]
        wanted = jobs(conf, names, create=True, new_server=new_server, kinds=kinds)

    def one(job: Job, note: Note) -> dict[str, Any]:
        now = datetime.now(UTC)
        with watching(quiet=quiet or json) as progress:
            made = act(replace(job, config=job.config | audit_head()), now, progress)
        note.of(made)
        manners.say(telling.made_in_words(made))
        copied = offsite.bring(conf, [made.source], conf.stores[1:], manners)
        document = shown(Backup(made, (), pinned=False), conf.stores[0].name)
        document["stores"] += [one.store for one in copied if one.has(made.id)]
        down = putting_back.put_back() if made.cluster else ()
        late = made.cluster is not None and made.cluster.stop is not None and made.cluster.stop.ready is None
        return {**document, "exit_code": 0 if all(one.whole for one in copied) and not down and not late else 7}

    return each(wanted, one, manners, replace(doing, store=conf.stores[0].name))


@app.command(name="list")
def list_(
    source: Sources = None,
    store: InStore = None,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """What backups there are, where, and what may be believed of each: stored, intact, proven, damaged."""
    conf = settings(config)
    chosen = conf.store(store) if store else conf.stores[0]
    repository = open_repository(chosen)
    names = source or [None]  # type: ignore[list-item]
    found = [repository.backups(name) for name in names]
    for name, (some, others) in zip(names, found, strict=True):
        if name and not some and not others:
            conf.source(name)  # a name that neither the store nor the configuration knows is refused
    whole = [one for backups, _ in found for one in backups]
    broken = [one for _, ones in found for one in ones]
    elsewhere = offsite.states([one for one in conf.stores if one is not chosen]) if whole else {}
    if json:
        rows = [_row(one, {chosen.name: one.state, **elsewhere.get(one.id, {})}) for one in whole]
        print(render.as_json(rows + [_broken(one.id) for one in broken]))
        return 3 if broken else 0
    if not whole and not broken:
        Manners(json, quiet).say("There are no backups yet. `pgproof backup` makes the first.")
        return 0
    now = datetime.now(UTC)
    head: tuple[str, ...] = ("BACKUP", "AGE", "SIZE", "ROWS", "STATE", "KEPT")
    lines = [telling.line(one, now) for one in whole] + [(one.id, "", "", "", "damaged", "") for one in broken]
    if len(conf.stores) > 1:
        also = [offsite.listed(elsewhere.get(line[0], {})) for line in lines]
        head, lines = (*head, "ALSO IN"), [(*line, text) for line, text in zip(lines, also, strict=True)]
    print(render.table(head, lines))
    for one in broken:
        print(f"{one.id}: {one.error.message}", file=sys.stderr)
    return 3 if broken else 0


@app.command()
def show(
    backup: Annotated[str, typer.Argument(metavar="BACKUP")],
    store: InStore = None,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Everything about one backup: server, parts, tables, examinations."""
    del quiet
    conf = settings(config)
    chosen = conf.store(store) if store else conf.stores[0]
    found = open_repository(chosen).find(backup)
    elsewhere = offsite.states([one for one in conf.stores if one is not chosen]).get(found.id, {})
    if json:
        states = {chosen.name: found.state, **elsewhere}
        print(render.as_json({**shown(found, chosen.name), "stores": list(states), "states": states}))
        return 0
    print("\n".join(telling.described(found)))
    print(
        f"  stores     {chosen.name} ({found.state}){''.join(f', {name} ({word})' for name, word in elsewhere.items())}"
    )
    return 0


@app.command()
def verify(
    backup: BackupName = None,
    every: Annotated[
        bool, typer.Option("--all", help="Of a source all backups, and not only the latest; as the service does.")
    ] = False,
    store: InStore = None,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Read every stored byte back, of one backup or of all: hash, decryption, decompression, completeness."""
    from pgproof.actions.verify import verify as act

    asked = words("verify", backup, all=every, store=store)
    manners, doing = Manners(json, quiet), Doing("verify", asked, store or "")
    with preparing(doing, [backup]):
        conf = settings(config)
        chosen = conf.store(store) if store else conf.stores[0]
        repository = open_repository(chosen)
        names = _all(repository, f"{conf.source(backup).name}/") if every and backup else _named(repository, backup)
        key = conf.encryption.key()

    def one(name: str, note: Note) -> dict[str, Any]:
        note.backup = name
        with watching(quiet=quiet or json) as progress:
            _thawed(repository, name, progress, note)
            verdict = act(repository, name, key, datetime.now(UTC), progress)
        note.text = "; ".join(verdict.findings[:1])
        manners.say(telling.verified(verdict))
        return {
            **msgspec.to_builtins(verdict),
            "exit_code": _code(verdict.ok, _told_if_not(verdict.kept) and not verdict.findings),
        }

    if not names:
        manners.say("There are no backups to verify.")
    return each(names, one, manners, replace(doing, store=chosen.name), alone=backup is not None and not every)


@app.command()
def prove(
    backup: BackupName = None,
    store: InStore = None,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """The drill: restore a backup into a throw-away server and compare it, table by table.

    Without BACKUP, the latest of every source, and of each kind that is made of it.
    """
    from pgproof.actions import prove as action
    from pgproof.actions.verify import reading

    manners, doing = Manners(json, quiet), Doing("prove", words("prove", backup, store=store), store or "")
    with preparing(doing, [backup]):
        conf = settings(config)
        chosen = conf.store(store) if store else conf.stores[0]
        repository = open_repository(chosen)
        wanted = _to_prove(repository, conf, backup)
        by_name = {job.name: job for job in jobs(conf, [])}

    def one(found: Backup, note: Note) -> dict[str, Any]:
        note.of(found.manifest)
        job = by_name.get(found.manifest.source)
        asked = (job.jobs, job.checks) if job else (2, ())
        conditions = action.Conditions(jobs=asked[0], checks=asked[1], engine=Engine())
        source = reading(repository, found.manifest, conf.encryption.key())
        with watching(quiet=quiet or json) as progress:
            readable(repository, found.manifest, progress)
            record = action.prove(source, conditions, datetime.now(UTC), progress)
        kept = _told_if_not(repository.keep_record(record))
        if chosen is not conf.stores[0]:
            offsite.tell_first(conf, record, repository.seal_hash(record.backup))
        note.text = "; ".join(record.findings[:1])
        _say_proof(manners, record)
        return {**_proof(record), "exit_code": _code(record.ok, kept)}

    return each(wanted, one, manners, replace(doing, store=chosen.name))


@app.command()
def keep(
    backup: Annotated[str, typer.Argument(metavar="BACKUP")],
    release: Annotated[bool, typer.Option("--release", help="Let it be pruned again.")] = False,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Pin a backup against pruning, or release it."""
    with recorded(Doing("keep", words("keep", backup, release=release)), source_of(backup)) as note:
        conf = settings(config)
        repository = open_repository(conf.stores[0])
        found = repository.find(backup)
        note.of(found.manifest)
        repository.keep(found.id, release=release)
        left = offsite.keep(conf.stores[1:], found.id, release=release)
        note.store, note.exit_code = conf.stores[0].name, 7 if left else 0
    Manners(json, quiet).say(f"{found.id} {'may be pruned again' if release else 'is kept until it is released'}")
    if json:
        print(render.as_json({"id": found.id, "kept": not release}))
    return 7 if left else 0


def _code(ok: bool, whole: bool) -> int:
    """3 for damage; 7 when its bytes are well and something else is to be told, as that the store took no record."""
    return 3 if not ok else 0 if whole else 7


def _told_if_not(kept: bool) -> bool:
    if not kept:
        print("pgproof: the store took no record of what was found, so `list` does not show it", file=sys.stderr)
    return kept


def shown(backup: Backup, store: str) -> dict[str, Any]:
    """The manifest plus id, state, stores and records, as `backup` and `show` print it."""
    document: dict[str, Any] = msgspec.to_builtins(backup.manifest)
    records = [msgspec.to_builtins(record) for record in backup.records]
    return {
        "id": backup.id,
        "state": backup.state,
        "stores": [store],
        "kept": backup.pinned,
        **document,
        "records": records,
    }


def _row(one: Backup, states: dict[str, str]) -> dict[str, Any]:
    manifest = one.manifest
    return {
        "id": one.id,
        "source": manifest.source,
        "kind": manifest.kind,
        "began": manifest.began,
        "ended": manifest.ended,
        "size": manifest.size,
        "state": one.state,
        "stores": list(states),
        "states": states,
        "kept": one.pinned,
    }


def _broken(name: str) -> dict[str, Any]:
    return {"id": name, "state": "damaged"}


def _say_proof(manners: Manners, record: Record) -> None:
    manners.say(telling.drilled(record))
    for finding in record.findings:
        manners.say(f"  {finding}")


def _proof(record: Record) -> dict[str, Any]:
    tables = [{"name": table.name, "rows": table.rows, "same": table.same} for table in record.tables]
    return {
        "id": record.backup,
        "proven": record.ok,
        "server_version": record.server_version,
        "tables": tables,
        "checks": record.checks,
        "findings": list(record.findings),
        "seconds": record.seconds,
    }


def _to_prove(repository: Repository, conf: Config, backup: str | None) -> list[Backup]:
    sources = [one for one in conf.sources if backup in (None, one.name)]
    if backup is not None and not sources:
        return [repository.find(backup)]
    return [found for one in sources for found in _latest(repository, one)]


def _latest(repository: Repository, source: SourceSettings) -> list[Backup]:
    """Of each kind: a logical backup is not proven by that of the volume which was made after it."""
    if len(source.kinds) == 1:
        return [repository.find(source.name)]
    found = []
    for kind in source.kinds:
        with contextlib.suppress(UsageError):
            found.append(repository.find(f"{source.name}:{kind}"))
    return found or [repository.find(source.name)]


def _thawed(repository: Repository, name: str, progress: Progress, note: Note) -> None:
    """Wait for what lies in an archive; a manifest that cannot be read is for the verdict to say."""
    try:
        manifest = repository.manifest(name)
    except Damaged:
        return
    note.of(manifest)
    readable(repository, manifest, progress)


def _named(repository: Repository, backup: str | None) -> list[str]:
    """The one that is meant; where its manifest cannot be read, or none is named, all that could be."""
    if backup is not None and _readable(repository, backup):
        return [repository.find(backup).id]
    return _all(repository, backup)


def _readable(repository: Repository, name: str) -> bool:
    try:
        repository.find(name)
    except UsageError:
        raise
    except PgproofError:
        return False
    return True


def _all(repository: Repository, name: str | None) -> list[str]:
    """All backups, also those whose manifest is damaged: that is what verify is to find."""
    whole, broken = repository.backups()
    names = [one.id for one in whole] + [one.id for one in broken]
    return [one for one in names if name is None or one.startswith(name)]
