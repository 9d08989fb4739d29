"""Prune: carry out what retention decided, under the source's lock; and sweep what no manifest names."""

from dataclasses import dataclass, replace
from datetime import datetime

from pgproof.job import Job
from pgproof.repository import GRACE, Backup
from pgproof.retention import Candidate, Verdict, decide, pauses


@dataclass(frozen=True, slots=True)
class Pruned:
    """The verdicts on one source's backups; `deleted` says whether they were carried out."""

    source: str
    verdicts: tuple[Verdict, ...]
    paused: tuple[str, ...]
    orphans: tuple[str, ...]
    deleted: bool


def candidate(backup: Backup) -> Candidate:
    """What retention and health see of a backup."""
    manifest = backup.manifest
    return Candidate(
        backup.id,
        manifest.sequence,
        manifest.began,
        backup.state,
        backup.pinned,
        manifest.size,
        manifest.evidence.rows,
    )


def prune(job: Job, now: datetime, *, apply: bool) -> Pruned:
    """Say what would be deleted and why; delete it only with `apply`. Raises Busy while a backup runs.

    Backups whose manifest cannot be read are neither judged nor touched.
    """
    if not apply:
        return _judge(job, now, deleted=False)
    with job.repository.lock(job.name, "prune") as lease:
        judged = _judge(job, now, deleted=True)
        lease.check()
        for verdict in judged.verdicts:
            if not verdict.keep:
                job.repository.forget(verdict.id)
        for name in judged.orphans:
            job.repository.store.delete(name)
        unfinished = job.repository.store.sweep(now - GRACE)
    return replace(judged, orphans=(*judged.orphans, *unfinished))


def _judge(job: Job, now: datetime, *, deleted: bool) -> Pruned:
    backups, broken = job.repository.backups(job.name)
    candidates = [candidate(one) for one in backups]
    verdicts = tuple(decide(candidates, job.policy, now))
    unsure = {one.id for one in broken}
    orphans = tuple(
        entry.name
        for entry in job.repository.orphans(now)
        if entry.name.startswith(f"{job.name}/") and not any(entry.name.startswith(f"{id_}/") for id_ in unsure)
    )
    return Pruned(job.name, verdicts, pauses(candidates, now), orphans, deleted)
