"""restore --to volume:NAME: a volume backup into a new volume, or in place of what is there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec

from pgproof.actions import volume
from pgproof.cli import render
from pgproof.cli.options import Manners
from pgproof.cli.recording import Note
from pgproof.cli.watch import watching
from pgproof.docker import Engine
from pgproof.errors import Busy, UsageError
from pgproof.job import state_folder, stopped_folder
from pgproof.manifest import Manifest, stamp_of
from pgproof.sources.volume import alone
from pgproof.stream.reading import Reading

PREFIX = "volume:"


def target(found: Manifest, to: str | None, options: Mapping[str, object], now: datetime) -> str | None:
    """The volume to restore into; None where the backup is no volume's, and is not to become one. Raises UsageError
    for what does not go together.
    """
    named = to is not None and to.startswith(PREFIX)
    if found.cluster is None:
        if named:
            hint = f"restore it into a database, or take the latest of the volume: {found.source}:volume"
            raise UsageError(f"{found.id} is a logical backup: it cannot become a volume", hint=hint)
        return None
    if to is not None and not named:
        hint = "write --to volume:NAME; to get at single databases, start a server on that volume and dump them"
        raise UsageError(f"{found.id} is a volume backup: it can only become a volume", hint=hint)
    said = [f"--{name.replace('_', '-')}" for name, value in options.items() if value and name != "replace"]
    if said:
        raise UsageError(f"{', '.join(said)} cannot be said of a volume backup", hint="it is restored whole")
    return (to or "").removeprefix(PREFIX) or f"{found.cluster.volume}_restored_{stamp_of(now).lower()}"


def restore_volume(source: Reading, name: str, note: Note, manners: Manners, *, replace: bool, dry_run: bool) -> int:
    """Show what will be done, do it, and say what was done. Raises PgproofError."""
    engine, now = Engine(), datetime.now(UTC)
    plan = volume.plan(source, engine, name, now, in_place=replace)
    note.text = f"into the volume {name}"
    manners.say("\n".join([f"Restore {plan.backup} to the volume {name}:", *(f"  - {step}" for step in plan.steps)]))
    if dry_run:
        manners.say("Nothing was done (--dry-run).")
        manners.document({"id": plan.backup, "volume": name, "steps": plan.steps, "done": False})
        return 0
    with alone_with(name), watching(quiet=manners.quiet or manners.json) as progress:
        done = volume.restore(source, engine, plan, state_folder() / "restoring", progress)
    took = (datetime.now(UTC) - now).total_seconds()
    manners.say(_told(done, took, source.manifest))
    manners.document({"id": done.backup, "done": True, "seconds": took, **msgspec.to_builtins(done)})
    return 0


@contextmanager
def alone_with(name: str) -> Iterator[None]:
    """With a volume ("": of no name yet), by the lock that its backups take. Raises Busy, PgproofError."""
    if not name:
        yield
        return
    with alone(stopped_folder() / f"{name}.json") as mine:
        if not mine:
            raise Busy(f"a backup, a restore or a recovery has the volume {name}", hint="wait until it has ended")
        yield


def _told(done: volume.Restored, seconds: float, made: Manifest) -> str:
    assert made.cluster is not None
    assert made.image is not None  # a volume backup has both
    image = (*made.image.digests, made.image.name)[0]
    lines = [
        f"Done in {seconds:.1f} s: {render.count(done.files, 'file')} of {render.size(done.bytes)} in {done.volume}."
    ]
    lines += [f"  {one}" for one in done.notes]
    lines += [f"  What it had before is in the volume {done.aside}, until you remove it."] if done.aside else []
    lines += [f"  Run it with the image that made it: {image}, mounted at {made.cluster.target}"]
    return "\n".join(lines)
