"""Prune: carry out what retention decided, under the source's lock; and sweep what no manifest names."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from pgproof.errors import Refused
from pgproof.job import Job
from pgproof.repository import GRACE, Lease, Repository
from pgproof.retention import Verdict, decide, pauses


@dataclass(frozen=True, slots=True)
class Pruned:
    """The verdicts on one source's backups; `deleted` says whether they were carried out, but for `withheld`:
    what the store would not delete, and why.
    """

    source: str
    verdicts: tuple[Verdict, ...]
    paused: tuple[str, ...]
    orphans: tuple[str, ...]
    deleted: bool
    withheld: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Tally:
    """How many backups one run has deleted, or would delete, of all sources and in all stores so far."""

    gone: int = 0


def prune(job: Job, now: datetime, *, apply: bool, tally: Tally | None = None) -> Pruned:
    """Say what would be deleted and why; delete it only with `apply`. Raises Busy while a backup runs.

    The policy's `most` counts what the run's `tally` has already. Backups whose manifest cannot be read are neither
    judged nor touched.
    """
    so_far = tally or Tally()
    if not apply:
        judged = _judge(job, now, so_far.gone, deleted=False)
        so_far.gone += len(_going(judged))
        return judged
    with job.repository.lock(job.name, "prune") as lease:
        judged = _judge(job, now, so_far.gone, deleted=True)
        forget = partial(_forget, job.repository, so_far, lease)
        withheld = [*_each(_going(judged), forget), *_each(judged.orphans, job.repository.store.delete)]
        lease.check()
        unfinished = job.repository.store.sweep(now - GRACE)
    return replace(judged, orphans=(*judged.orphans, *unfinished), withheld=tuple(withheld))


def _going(judged: Pruned) -> list[str]:
    return [verdict.id for verdict in judged.verdicts if not verdict.keep]


def _forget(repository: Repository, tally: Tally, lease: Lease, backup: str) -> None:
    """Counted unless it was refused: of one that was cut off half way something may be gone. Raises Busy once the
    lock is lost, as to delete many takes long.
    """
    lease.check()
    tally.gone += 1
    try:
        repository.forget(backup)
    except Refused:
        tally.gone -= 1
        raise


def _each(names: Iterable[str], delete: Callable[[str], None]) -> Iterator[tuple[str, str]]:
    """Delete each; one that the store does not let go, by policy or by object lock, is told and stops no other."""
    for name in names:
        try:
            delete(name)
        except Refused as error:
            yield name, error.message


def _unless_pinned(job: Job, verdict: Verdict) -> Verdict:
    """A pin that was just set may not be listed yet: before a backup goes it is asked for by name."""
    if verdict.keep or not job.repository.pinned(verdict.id):
        return verdict
    return Verdict(verdict.id, keep=True, reasons=("pinned",))


def _judge(job: Job, now: datetime, gone: int, *, deleted: bool) -> Pruned:
    backups, broken = job.repository.backups(job.name)
    candidates = [one.candidate for one in backups]
    verdicts = tuple(_unless_pinned(job, one) for one in decide(candidates, job.policy, now, job.limits, gone=gone))
    unsure = {one.id for one in broken}
    orphans = tuple(
        entry.name
        for entry in job.repository.orphans(now)
        if entry.name.startswith(f"{job.name}/") and not any(entry.name.startswith(f"{id_}/") for id_ in unsure)
    )
    return Pruned(job.name, verdicts, pauses(candidates, now, job.limits), orphans, deleted)
