"""backup, list, show, verify, prove, keep: making backups and finding out what may be believed of them."""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import typer

from pgproof.cli import offsite, render
from pgproof.cli.app import app
from pgproof.cli.options import AsJson, ConfigPath, InStore, Manners, Quiet, Sources, settings
from pgproof.cli.watch import watching
from pgproof.errors import PgproofError, UsageError
from pgproof.job import Job, jobs, open_repository
from pgproof.manifest import Manifest, Record
from pgproof.repository import Backup, Repository

if TYPE_CHECKING:
    from pgproof.actions.verify import Verdict

_Piece = TypeVar("_Piece")
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
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Back up one source, several, or all, each in one snapshot."""
    from pgproof.actions.backup import backup as act

    conf, manners = settings(config), Manners(json, quiet)

    def one(job: Job) -> dict[str, Any]:
        now = datetime.now(UTC)
        with watching(quiet=quiet or json) as progress:
            made = act(job, now, progress)
        manners.say(_made(made))
        copied = offsite.bring(conf, [made.source], conf.stores[1:], manners)
        document = shown(Backup(made, (), pinned=False), conf.stores[0].name)
        document["stores"] += [one.store for one in copied if one.has(made.id)]
        return {**document, "exit_code": 0 if all(one.whole for one in copied) else 7}

    wanted = jobs(conf, sources or [], create=True, new_server=new_server)
    return each(wanted, one, manners)


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
        rows = [_row(one, [chosen.name, *elsewhere.get(one.id, {})]) for one in whole]
        print(render.as_json(rows + [_broken(one.id) for one in broken]))
        return 3 if broken else 0
    if not whole and not broken:
        Manners(json, quiet).say("There are no backups yet. `pgproof backup` makes the first.")
        return 0
    now = datetime.now(UTC)
    head: tuple[str, ...] = ("BACKUP", "AGE", "SIZE", "ROWS", "STATE", "KEPT")
    lines = [_line(one, now) for one in whole] + [(one.id, "", "", "", "damaged", "") for one in broken]
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
        document = shown(found, chosen.name)
        print(render.as_json({**document, "stores": [chosen.name, *elsewhere]}))
        return 0
    print("\n".join(_describe(found)))
    print(
        f"  stores     {chosen.name} ({found.state}){''.join(f', {name} ({word})' for name, word in elsewhere.items())}"
    )
    return 0


@app.command()
def verify(
    backup: BackupName = None,
    store: InStore = None,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Read every stored byte back, of one backup or of all: hash, decryption, decompression, completeness."""
    from pgproof.actions.verify import verify as act

    conf, manners = settings(config), Manners(json, quiet)
    repository = open_repository(conf.store(store) if store else conf.stores[0])
    names = (
        [repository.find(backup).id]
        if backup is not None and _readable(repository, backup)
        else _all(repository, backup)
    )
    key = conf.encryption.key()

    def one(name: str) -> dict[str, Any]:
        with watching(quiet=quiet or json) as progress:
            verdict = act(repository, name, key, datetime.now(UTC), progress)
        manners.say(_verified(verdict))
        return {**msgspec.to_builtins(verdict), "exit_code": _code(verdict.ok, _told_if_not(verdict.kept))}

    if not names:
        manners.say("There are no backups to verify.")
    return each(names, one, manners, alone=backup is not None)


@app.command()
def prove(
    backup: BackupName = None,
    store: InStore = None,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """The drill: restore a backup into a throw-away server and compare it, table by table.

    Without BACKUP, the latest of every source.
    """
    from pgproof.actions import prove as action
    from pgproof.actions.verify import reading

    conf, manners = settings(config), Manners(json, quiet)
    repository = open_repository(conf.store(store) if store else conf.stores[0])
    wanted = [repository.find(backup)] if backup is not None else [repository.find(one.name) for one in conf.sources]
    by_name = {job.name: job for job in jobs(conf, [])}

    def one(found: Backup) -> dict[str, Any]:
        job = by_name.get(found.manifest.source)
        conditions = action.Conditions(jobs=job.jobs if job else 2, checks=job.checks if job else ())
        source = reading(repository, found.manifest, conf.encryption.key())
        with watching(quiet=quiet or json) as progress:
            record = action.prove(source, conditions, datetime.now(UTC), progress)
        kept = _told_if_not(repository.keep_record(record))
        _say_proof(manners, record)
        return {**_proof(record), "exit_code": _code(record.ok, kept)}

    return each(wanted, one, manners)


@app.command()
def keep(
    backup: Annotated[str, typer.Argument(metavar="BACKUP")],
    release: Annotated[bool, typer.Option("--release", help="Let it be pruned again.")] = False,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Pin a backup against pruning, or release it."""
    repository = open_repository(settings(config).stores[0])
    found = repository.find(backup)
    repository.keep(found.id, release=release)
    Manners(json, quiet).say(f"{found.id} {'may be pruned again' if release else 'is kept until it is released'}")
    if json:
        print(render.as_json({"id": found.id, "kept": not release}))
    return 0


def each(
    wanted: Sequence[_Piece], act: Callable[[_Piece], dict[str, Any]], manners: Manners, *, alone: bool | None = None
) -> int:
    """Do it for every piece; one failure does not stop the others, and the first one's code is the run's.

    The document is the one result when there is one piece (`alone` says it for certain), else an array.
    """
    documents: list[dict[str, Any]] = []
    for piece in wanted:
        try:
            documents.append(act(piece))
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


def _name(piece: object) -> str:
    return piece if isinstance(piece, str) else str(getattr(piece, "name", None) or getattr(piece, "id", piece))


def _code(ok: bool, kept: bool) -> int:
    """3 for damage; 7 when all is well and the store would not take the record of it."""
    return 3 if not ok else 0 if kept else 7


def _told_if_not(kept: bool) -> bool:
    if not kept:
        print("pgproof: the store took no record of what was found, so `list` does not show it", file=sys.stderr)
    return kept


def _verified(verdict: "Verdict") -> str:
    deep = "every byte read, decrypted and unpacked"
    depth = deep if verdict.scope == "contents" else "stored bytes only: no key for the contents"
    word = render.paint("intact" if verdict.scope == "contents" else "stored")
    first = f"{verdict.id}: {word} ({depth})" if verdict.ok else f"{verdict.id}: {render.paint('damaged')}"
    return "\n".join([first, *(f"  {finding}" for finding in verdict.findings)])


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


def _made(made: Manifest) -> str:
    took = render.seconds(made.ended - made.began)
    what = f"{render.count(len(made.evidence.tables), 'table')}, {render.count(made.evidence.rows, 'row')}"
    lines = [f"{made.id}  {render.size(made.size)}, {what}, in {took}"]
    lines += [f"  note: {note}" for note in made.notes]
    lines.append(f"  stored; `pgproof prove {made.source}` restores it for trial and compares")
    return "\n".join(lines)


def _row(one: Backup, stores: list[str]) -> dict[str, Any]:
    manifest = one.manifest
    return {
        "id": one.id,
        "source": manifest.source,
        "kind": manifest.kind,
        "began": manifest.began,
        "ended": manifest.ended,
        "size": manifest.size,
        "state": one.state,
        "stores": stores,
        "kept": one.pinned,
    }


def _broken(name: str) -> dict[str, Any]:
    return {"id": name, "state": "damaged"}


def _line(one: Backup, now: datetime) -> tuple[str, ...]:
    manifest = one.manifest
    kept = "kept" if one.pinned else ""
    return (
        one.id,
        render.age(manifest.began, now),
        render.size(manifest.size),
        f"{manifest.evidence.rows:,}",
        one.state,
        kept,
    )


def _describe(found: Backup) -> list[str]:
    made = found.manifest
    database, server = made.database, made.server
    lines = [
        f"{found.id}  {render.paint(found.state)}{', kept' if found.pinned else ''}",
        f"  taken      {render.moment(made.began)}, in {render.seconds(made.ended - made.began)}",
        f"  sequence   {made.sequence} of its source",
        f"  database   {database.name}, {database.encoding}, {render.size(database.size)} on the server",
        f"  server     PostgreSQL {server.version}{', a standby' if server.standby else ''}",
        f"  identity   {server.system_identifier or 'unknown'} (system identifier)",
        f"  contents   {len(made.evidence.tables)} tables, {made.evidence.rows:,} rows",
        f"  besides    {len(made.evidence.sequences)} sequences, {made.evidence.large_objects.rows} large objects",
    ]
    lines += [f"  part       {part.name}  {render.size(part.size)}  sha256 {part.sha256}" for part in made.parts]
    lines += [f"  note       {note}" for note in made.notes]
    largest = sorted(made.evidence.tables, key=lambda table: -table.bytes)[:10]
    lines += [f"  table      {table.label}  {table.rows:,} rows, {render.size(table.bytes)}" for table in largest]
    lines += [f"  {record.kind:<9}  {_said(record)}" for record in sorted(found.records, key=lambda one: one.at)]
    return lines


def _said(record: Record) -> str:
    how = (
        f"PostgreSQL {record.server_version}, {len(record.tables)} tables compared"
        if record.kind == "drill"
        else record.scope
    )
    words = f"{render.moment(record.at)}: {'passed' if record.ok else 'FAILED'} in {record.seconds:.1f} s ({how})"
    return "; ".join([words, *record.findings[:5]])


def _say_proof(manners: Manners, record: Record) -> None:
    rows = sum(table.rows for table in record.tables)
    same = sum(table.same for table in record.tables)
    if record.ok:
        checks = f", {sum(record.checks.values())} of {len(record.checks)} checks true" if record.checks else ""
        manners.say(
            f"{record.backup}: {render.paint('proven')}: restored into PostgreSQL {record.server_version}, "
            f"{same} tables with {rows:,} rows equal{checks}, in {record.seconds:.1f} s"
        )
    else:
        manners.say(f"{record.backup}: {render.paint('damaged')}: the drill found differences")
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
