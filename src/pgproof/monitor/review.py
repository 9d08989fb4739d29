"""The quarterly review of a backup strategy: policy against practice, growth, drills, troubles, and what is not done.

Pure: what the stores, the journal and the configuration tell goes in; a value to print comes out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from pgproof.config import Config, DirectorySettings
from pgproof.monitor.metrics import Picture, View
from pgproof.run import Run
from pgproof.schedule import Plan, slots

QUARTER = timedelta(days=92)
TASK = "review"  # of the run that records that one was held
_WELL = ("done", "degraded")


@dataclass(frozen=True, slots=True)
class Task:
    """A scheduled task in the quarter: the slots it had, the runs that ended well, those that did not."""

    name: str
    slots: int
    well: int
    ill: int


@dataclass(frozen=True, slots=True)
class Practice:
    """One source: scheduled and done; sizes in bytes at both ends of the quarter, drills in seconds."""

    source: str
    tasks: tuple[Task, ...]
    backups: int
    proven: int
    oldest: datetime | None
    first_size: int
    last_size: int
    drills: tuple[float, ...] = ()
    copies: tuple[tuple[str, int], ...] = ()  # store, backups there

    @property
    def drill_times(self) -> tuple[float, float, float] | None:
        """The fastest, the median, the slowest; None without any."""
        return (min(self.drills), median(self.drills), max(self.drills)) if self.drills else None


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the checklist, whether it is done, and what tells so, or what would."""

    text: str
    done: bool
    why: str


@dataclass(frozen=True, slots=True)
class Review:
    since: datetime
    until: datetime
    last_held: datetime | None
    practices: tuple[Practice, ...]
    troubles: tuple[str, ...]
    checklist: tuple[Item, ...]


def review(conf: Config, seen: View, plans: Sequence[Plan], now: datetime) -> Review:
    """What the quarter up to `now` tells."""
    since = now - QUARTER
    runs = [one for one in seen.runs or () if since <= one.began <= now and not one.mistyped]
    practices = tuple(_practice(one, seen, plans, runs, since, now) for one in seen.pictures)
    held = [one.began for one in seen.runs or () if one.task == TASK and one.outcome == "done"]
    return Review(
        since, now, max(held, default=None), practices, tuple(_troubles(runs)), tuple(_checklist(conf, practices, runs))
    )


def _practice(
    picture: Picture, seen: View, plans: Sequence[Plan], runs: Sequence[Run], since: datetime, now: datetime
) -> Practice:
    mine = [one for one in runs if one.source in (picture.source, "")]
    whole = sorted((one for one in picture.backups if one.state != "damaged"), key=lambda one: one.manifest.sequence)
    drills = [
        record.seconds
        for one in picture.backups
        for record in one.records
        if record.kind == "drill" and record.at >= since
    ]
    recent = [one for one in whole if one.manifest.began >= since]
    first = min((one.manifest.began for one in whole), default=now)
    shelves = [
        (one.store, sum(each.manifest.source == picture.source for each in one.backups)) for one in seen.shelves[1:]
    ]
    return Practice(
        picture.source,
        tuple(_task(plan, mine, max(since, first), now) for plan in plans if plan.source == picture.source),
        len(whole),
        sum(one.state == "proven" for one in whole),
        whole[0].manifest.began if whole else None,
        recent[0].manifest.size if recent else 0,
        recent[-1].manifest.size if recent else 0,
        tuple(drills),
        tuple(shelves),
    )


def _task(plan: Plan, runs: Iterable[Run], since: datetime, now: datetime) -> Task:
    mine = [one.outcome for one in runs if one.task == plan.task]
    well = sum(one in _WELL for one in mine)
    return Task(plan.task, sum(1 for _ in slots(plan.cron, plan.zone, since, now)), well, len(mine) - well)


def _troubles(runs: Iterable[Run]) -> Iterable[str]:
    """Runs of the quarter that did not end well, the newest first, each task and reason once."""
    seen: dict[tuple[str, str, str], int] = {}
    for one in runs:
        if one.outcome not in (*_WELL, "running", "busy", "interrupted"):
            key = (one.task, one.source, one.text or one.outcome)
            seen[key] = seen.get(key, 0) + 1
    for (task, source, why), count in seen.items():
        times = f" ({count} times)" if count > 1 else ""
        yield f"{task}{' of ' + source if source else ''}: {why}{times}"


def _checklist(conf: Config, practices: Sequence[Practice], runs: Sequence[Run]) -> Iterable[Item]:
    """From choosing a strategy to scheduled restore tests."""
    plan, done = conf.schedule, {one.task for one in runs if one.outcome in _WELL}
    yield Item("a strategy is chosen", True, f"the profile {conf.profile.name}, and what the configuration overrides")
    yield _scheduled("backups are scheduled", plan.backup, "[schedule] backup")
    yield _scheduled("retention is carried out", plan.prune, "[schedule] prune")
    method = conf.encryption.method
    yield Item("backups are encrypted", method != "none", method if method != "none" else "[encryption]")
    away = [one.name for one in conf.stores[1:] if not isinstance(one.where, DirectorySettings) or one.where.mount]
    yield Item(
        "a copy lies elsewhere", bool(away), ", ".join(away) or "a second store on another machine: docs/offsite.md"
    )
    told = bool(conf.alerts.urls)
    yield Item(
        "somebody is told",
        told,
        f"{len(conf.alerts.urls)} channels" if told else "[alerts] urls, then `pgproof alert --test`",
    )
    yield Item(
        "silence is noticed",
        conf.alerts.ping is not None,
        "[alerts] ping" if conf.alerts.ping is None else "a ping after each success",
    )
    lacking = [one.source for one in practices if not one.drills]
    yield Item(
        "every source was restored for trial",
        not lacking,
        f"no drill of {', '.join(lacking)}" if lacking else "drills of the quarter",
    )
    yield _scheduled("restore tests are scheduled", plan.prove, "[schedule] prove")
    rehearsed = "recover-drill" in done or "recover" in done
    yield Item("the recovery was rehearsed", rehearsed, "in the quarter" if rehearsed else "`pgproof recover --drill`")


def _scheduled(text: str, cron: str | None, setting: str) -> Item:
    return Item(text, cron is not None, cron or setting)
