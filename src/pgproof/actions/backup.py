"""Back up: capture the job's source into its repository, and publish the manifest last."""

from datetime import datetime

from pgproof import __version__
from pgproof.errors import Refused
from pgproof.job import Job
from pgproof.manifest import FORMAT, VOLUME_FORMAT, Manifest
from pgproof.repository import GRACE, Draft
from pgproof.sources.source import Captured
from pgproof.stream import encrypt
from pgproof.stream.progress import Progress


def backup(job: Job, now: datetime, progress: Progress) -> Manifest:
    """Capture the job's source and publish it; a failure publishes nothing and leaves nothing.

    Raises PgproofError: before the first byte when encryption is asked for and not possible.
    """
    encrypt.check(job.key)
    with (
        job.repository.lock(job.name, "backup") as lease,
        job.repository.draft(job.name, job.source.kind, now, job.key) as draft,
    ):
        job.repository.store.sweep(now - GRACE)
        refuse_stranger(job)
        captured = job.source.capture(draft.part, progress)
        return draft.publish(_manifest(job, draft, captured, now, job.clock()), lease)


def refuse_stranger(job: Job) -> None:
    """Raise Refused when the newest backup of this name is of another server: a rebuilt database, or a
    wrong host, must not take the place of what was there unnoticed.
    """
    backups, _ = job.repository.backups(job.name)
    if not backups or job.new_server:
        return
    before = backups[-1].manifest.server.system_identifier
    now = job.source.identify().system_identifier
    if before and now and before != now:
        raise Refused(
            f"another server answers than in the last backup of {job.name} (system identifier {now}, before {before})",
            hint="if it was rebuilt on purpose, say so once: pgproof backup --new-server",
        )


def _manifest(job: Job, draft: Draft, captured: Captured, began: datetime, ended: datetime) -> Manifest:
    """Parts, sequence and the previous hash are filled in as it is published."""
    return Manifest(
        format=FORMAT if captured.cluster is None else VOLUME_FORMAT,
        pgproof=__version__,
        source=draft.source,
        kind=draft.kind,
        stamp=draft.stamp,
        sequence=0,
        previous=None,
        began=began,
        ended=ended,
        server=captured.server,
        database=captured.database,
        tools=captured.tools,
        settings=captured.settings,
        parts=(),
        evidence=captured.evidence,
        notes=captured.notes,
        config=job.config,
        cluster=captured.cluster,
        image=captured.image,
        application=captured.application | job.application(),
    )
