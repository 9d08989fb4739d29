"""Backups in words: what was made, what is known of one, what an examination found."""

from datetime import datetime
from typing import TYPE_CHECKING

from pgproof.cli import render
from pgproof.cluster import Cluster
from pgproof.manifest import Manifest, Record
from pgproof.repository import Backup

if TYPE_CHECKING:
    from pgproof.actions.verify import Verdict


def made_in_words(made: Manifest) -> str:
    took = render.seconds(made.ended - made.began)
    what = f"{render.count(len(made.evidence.tables), 'table')}, {render.count(made.evidence.rows, 'row')}"
    if made.cluster:
        files = made.cluster.files
        what = f"{render.count(files.count, 'file')} of {render.size(files.bytes)}"
    lines = [f"{made.id}  {render.size(made.size)}, {what}, in {took}"]
    lines += [f"  {_stopped(made.cluster)}"] if made.cluster else []
    lines += [f"  note: {note}" for note in made.notes]
    lines.append(f"  stored; `pgproof prove {made.source}` restores it for trial and compares")
    return "\n".join(lines)


def described(found: Backup) -> list[str]:
    made = found.manifest
    database, server = made.database, made.server
    lines = [
        f"{found.id}  {render.paint(found.state)}{', kept' if found.pinned else ''}",
        f"  taken      {render.moment(made.began)}, in {render.seconds(made.ended - made.began)}",
        f"  sequence   {made.sequence} of its source",
        f"  server     PostgreSQL {server.version}{', a standby' if server.standby else ''}",
        f"  identity   {server.system_identifier or 'unknown'} (system identifier)",
    ]
    lines += [f"  image      {made.image.name} ({made.image.id[:19]})"] if made.image else []
    facts = [(*name.partition(".")[::2], value) for name, value in sorted(made.application.items())]
    lines += [f"  {whose:<9}  {what} {value}" for whose, what, value in facts]
    lines += (
        _volume(made.cluster)
        if made.cluster
        else [
            f"  database   {database.name}, {database.encoding}, {render.size(database.size)} on the server",
            f"  contents   {len(made.evidence.tables)} tables, {made.evidence.rows:,} rows",
            f"  besides    {len(made.evidence.sequences)} sequences, {made.evidence.large_objects.rows} large objects",
        ]
    )
    lines += [f"  part       {part.name}  {render.size(part.size)}  sha256 {part.sha256}" for part in made.parts]
    lines += [f"  note       {note}" for note in made.notes]
    largest = sorted(made.evidence.tables, key=lambda table: -table.bytes)[:10]
    lines += [f"  table      {table.label}  {table.rows:,} rows, {render.size(table.bytes)}" for table in largest]
    if (more := len(made.evidence.tables) - len(largest)) > 0:
        lines.append(f"  besides    {more} smaller tables; --json has all")
    lines += [f"  {record.kind:<9}  {_said(record)}" for record in sorted(found.records, key=lambda one: one.at)]
    return lines


def _volume(cluster: Cluster) -> list[str]:
    files, control = cluster.files, cluster.control
    again = f", {files.again:,} of them read again after the stop" if files.again else ""
    sums = {True: "on", False: "off", None: "unknown"}[cluster.checksums]
    return [
        f"  volume     {cluster.volume}, the container had it at {cluster.target}",
        f"  files      {render.count(files.count, 'file')} of {render.size(files.bytes)}{again}",
        f"  state      {cluster.consistency}: {control.state}, checkpoint {control.checkpoint}, checksums {sums}",
        f"  databases  {', '.join(cluster.databases) or 'unknown'}",
        f"  stop       {_stopped(cluster)}",
    ]


def _stopped(cluster: Cluster) -> str:
    stop = cluster.stop
    if stop is None:
        return "nothing was running, so nothing was stopped"
    ready = f", ready after {(stop.ready - stop.began).total_seconds():.1f} s" if stop.ready else ""
    return f"stopped for {stop.seconds:.1f} s{ready}: {', '.join(stop.containers)}"


def drilled(record: Record) -> str:
    """What a drill found, in one line."""
    if not record.ok:
        return f"{record.backup}: {render.paint('damaged')}: the drill found differences"
    rows, same = sum(table.rows for table in record.tables), sum(table.same for table in record.tables)
    checks = f", {sum(record.checks.values())} of {len(record.checks)} checks true" if record.checks else ""
    how = "equal"
    where = f"restored into PostgreSQL {record.server_version}"
    if record.backup.endswith("-volume"):
        where, how = f"started in its own image, PostgreSQL {record.server_version}", "read"
    return (
        f"{record.backup}: {render.paint('proven')}: {where}, {render.count(same, 'table')} with "
        f"{render.count(rows, 'row')} {how}{checks}, in {record.seconds:.1f} s"
    )


def _said(record: Record) -> str:
    how = (
        f"PostgreSQL {record.server_version}, {len(record.tables)} tables compared"
        if record.kind == "drill"
        else record.scope
    )
    words = f"{render.moment(record.at)}: {'passed' if record.ok else 'FAILED'} in {record.seconds:.1f} s ({how})"
    return "; ".join([words, *record.findings[:5]])


def line(one: Backup, now: datetime) -> tuple[str, ...]:
    manifest = one.manifest
    kept = "kept" if one.pinned else ""
    return (
        one.id,
        render.age(manifest.began, now),
        render.size(manifest.size),
        "" if manifest.cluster else f"{manifest.evidence.rows:,}",
        one.state,
        kept,
    )


def verified(verdict: "Verdict") -> str:
    deep = "every byte read back and opened"
    depth = deep if verdict.scope == "contents" else "stored bytes only: no key for the contents"
    word = render.paint("intact" if verdict.scope == "contents" else "stored")
    first = f"{verdict.id}: {word} ({depth})" if verdict.ok else f"{verdict.id}: {render.paint('damaged')}"
    return "\n".join([first, *(f"  {finding}" for finding in verdict.findings)])
