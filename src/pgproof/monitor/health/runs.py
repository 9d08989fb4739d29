"""Health of the runs: what failed, was slow, came late or not at all, and what retention has left undone."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from statistics import median

from pgproof.finding import Finding, Level
from pgproof.monitor.health.facts import Facts, age, critical, finding, kinds_of, minutes, warning
from pgproof.retention import decide, pauses
from pgproof.run import Run
from pgproof.schedule import Plan, late_after, latest_slot, missing_from

_TASKS = ("backup", "copy", "verify", "prove", "prune", "review", "recover", "recover-drill")
_OTHERS = ("backup-slow", "run-missing", "run-skipped", "run-late", "review-due", "recovery-too-slow")
OF_RUNS = (*(f"{task}-failed" for task in _TASKS), *_OTHERS)  # codes that only the journal tells of


def last_ended(runs: Iterable[Run], kinds: tuple[str, ...]) -> list[Run]:
    """Of each task, kind of backup and store the last of these runs (the newest first) that ended; one that found
    another at work says nothing, and one that did not come as far as a store is followed by the next of its task.
    """
    last: dict[tuple[str, str], Run] = {}
    tasks: set[str] = set()
    for one in runs:
        if one.outcome in ("running", "busy", "interrupted") or one.mistyped:
            continue
        for what in kinds_of(one, kinds) if one.task == "backup" else (one.store,):
            if one.task == "backup" or what or one.task not in tasks:
                last.setdefault((one.task, what), one)
        tasks.add(one.task)
    return list(dict.fromkeys(last.values()))


def _run_failed(facts: Facts, _now: datetime) -> Iterable[Finding]:
    """What was run last and did not end well."""
    for one in last_ended(facts.runs, facts.kinds):
        task = one.task
        if one.outcome in ("done", "degraded") or task in ("restore", "keep") or _came_whole(one, facts):
            continue
        if task == "recover" and one.outcome == "refused":
            continue  # whoever typed it was told, and nothing has changed
        make = critical if task in ("backup", "prove") else warning
        why = f": {one.text}" if one.text else ""
        text = f"the last {task}, of {one.began:%Y-%m-%d %H:%M} UTC, was {one.outcome}{why}"
        yield make(f"{task}-failed", facts, text.replace("was failed", "failed"), one.hint or f"run `pgproof {task}`")


def _came_whole(run: Run, facts: Facts) -> bool:
    """Of the last run: there lies a backup that it must have made, though its end could not be written down."""
    of = kinds_of(run, facts.kinds)
    after = [one for one in facts.backups if one.began >= run.began and one.state != "damaged"]
    return run.task == "backup" and run.outcome == "cut off" and any(one.kind in of or "" in of for one in after)


def _duration_unusual(facts: Facts, _now: datetime) -> Iterable[Finding]:
    """A backup that took far longer than the ones before: the median, as one odd day must not count."""
    limits = facts.limits
    done = [one for one in facts.runs if one.task == "backup" and one.outcome in ("done", "degraded") and one.ended]
    took = [one.ended - one.began for one in done[: limits.look_back + 1] if one.ended]
    if len(took) <= limits.enough:
        return
    usual = timedelta(seconds=median(one.total_seconds() for one in took[1:]))
    if took[0] > usual * limits.slower and took[0] - usual > limits.slower_by:
        text = f"the last backup took {minutes(took[0])}, usual are {minutes(usual)}"
        yield warning("backup-slow", facts, text, "look at the load of the server, its disk and the store")


def _run_missing(facts: Facts, now: datetime) -> Iterable[Finding]:
    """A scheduled task that has not begun, since the last run or since it is scheduled as it is: of backups and drills
    their age tells too, of the others nothing else. One that is still going on is not missing.
    """
    for plan in facts.plans:
        runs = [one for one in facts.runs if one.task == plan.task]
        begun = runs[0].began if runs else None
        last = [moment for moment in (begun, facts.since.get(plan.task)) if moment is not None]
        if not last or (runs and runs[0].outcome == "running"):
            continue
        if now > missing_from(plan, max(last)):
            at = f"{begun or max(last):%Y-%m-%d %H:%M} UTC"
            how = f"is scheduled and has not begun since {at}" if begun else f"is scheduled since {at}, and never began"
            hint = "is `pgproof run`, or the cron line or timer in its place, still at work? see `pgproof schedule`"
            yield warning("run-missing", facts, f"{plan.task} {how}", hint)


def _run_skipped(facts: Facts, _now: datetime) -> Iterable[Finding]:
    """Slots that came while the source was still at work: told until a run has had none before or beside it."""
    for plan in facts.plans:
        memory = facts.memories.get(plan.task)
        count = max(memory.skips, memory.before) if memory else 0
        if count >= facts.limits.skips:
            text = f"{count} slots of {plan.task} in a row were left out, as the run before them was still going on"
            hint = f"give schedule.{plan.task} fewer slots, or see what makes it slow: the server's load, the store"
            yield warning("run-skipped", facts, text, hint)


def _run_late(facts: Facts, _now: datetime) -> Iterable[Finding]:
    """A run that began long after its slot, with no other in between: the machine or the service was down."""
    for plan, begun in _scheduled(facts):
        if len(begun) < 2:
            continue
        slot = latest_slot(plan.cron, plan.zone, begun[1], begun[0])
        if slot is not None and begun[0] - slot > late_after(plan):
            text = f"the last {plan.task} began {age(begun[0] - slot)} after its time"
            yield Finding("run-late", "info", facts.source, f"{facts.source}: {text}", "see what was down at that time")


def _scheduled(facts: Facts) -> Iterable[tuple[Plan, list[datetime]]]:
    """Each plan that ever ran with the begins of its runs, newest first."""
    for plan in facts.plans:
        begun = [one.began for one in facts.runs if one.task == plan.task]
        if begun:
            yield plan, begun


def _retention_not_carried_out(facts: Facts, now: datetime) -> Iterable[Finding]:
    """Backups that the policy lets go still lie there, though pruning is scheduled."""
    plan = next((one for one in facts.plans if one.task == "prune"), None)
    if facts.policy is None or plan is None or pauses(facts.backups, now, facts.limits):
        return
    since = now - facts.limits.undone
    waiting = [one.id for one in decide(facts.backups, facts.policy, since, facts.limits) if not one.keep]
    pruned = [one.began for one in facts.runs if one.task == "prune" and one.outcome == "done"]
    if waiting and (not pruned or now > missing_from(plan, max(pruned))):
        text = f"{len(waiting)} backups that retention lets go still lie there, {waiting[-1]} the oldest of them"
        yield warning("retention-not-carried-out", facts, text, "run `pgproof prune` to see what it says")


def _review_due(facts: Facts, now: datetime) -> Iterable[Finding]:
    """A strategy that nobody looks at fits less and less; a month later it is more than a reminder."""
    held = [one.began for one in facts.runs if one.task == "review" and one.outcome == "done"]
    begun = [one.began for one in facts.backups]
    waited = now - max([*held, min(begun)]) if begun else timedelta(0)
    if waited > facts.limits.review:
        level: Level = "warning" if waited > facts.limits.review + facts.limits.review_overdue else "info"
        text = f"the backup strategy was not reviewed for {age(waited)}"
        yield finding("review-due", level, facts, text, "`pgproof review` prints what it needs; --held records it")


QUESTIONS = (
    _run_failed,
    _duration_unusual,
    _run_missing,
    _run_skipped,
    _run_late,
    _retention_not_carried_out,
    _review_due,
)
