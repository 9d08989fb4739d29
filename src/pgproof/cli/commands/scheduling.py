"""schedule: what is due when, and the same for schedulers of others."""

import sys
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from pgproof import __version__
from pgproof.cli import render
from pgproof.cli.app import app
from pgproof.cli.installing import install, remove
from pgproof.cli.options import AsJson, ConfigPath, Manners, Quiet, settings
from pgproof.config import Config
from pgproof.config.settings import TASKS
from pgproof.errors import Refused, UsageError
from pgproof.schedule import Memory, Plan, describe, moment_words, next_slot
from pgproof.schedule.written import STATE, Setup, Written, compose, crontab, units

_FOLDERS = {"cron": Path("/etc/cron.d"), "systemd": Path("/etc/systemd/system")}
_NEXT = 3  # moments that are told of each

Kind = Annotated[str | None, typer.Option("--as", metavar="KIND", help="cron, systemd or compose; else plain words.")]
Install = Annotated[bool, typer.Option("--install", help="Write the files where the scheduler looks for them.")]
Into = Annotated[str | None, typer.Option("--into", metavar="FOLDER", help="Write the files there instead.")]
User = Annotated[str | None, typer.Option("--user", metavar="USER", help="Whom to run as; else you.")]


@app.command(name="schedule")
def schedule_(
    kind: Kind = None,
    installing: Install = False,
    into: Into = None,
    user: User = None,
    config: ConfigPath = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """What is due when; with --as the same for cron, systemd or Compose, printed or installed.

    Nothing is started. `pgproof run` is a scheduler of its own, and needs none of it.
    """
    manners = Manners(json, quiet)
    if kind is None:
        if installing or into or user:
            raise UsageError("what is to be installed?", hint="say --as cron or --as systemd")
        return _told(settings(config), manners)
    if kind not in ("cron", "systemd", "compose"):
        raise UsageError(f"--as takes cron, systemd or compose, not {kind!r}", hint="leave it out for plain words")
    if into and not installing:
        raise UsageError("--into says where to install", hint="add --install")
    if installing and kind == "compose":
        raise Refused("a piece of a Compose file is not installed", hint="put what is printed into your compose.yaml")
    setup = _setup(settings(config), user, installing=installing)
    files = _files(kind, setup)
    if installing:
        return _installed(kind, setup, files, Path(into).absolute() if into else _FOLDERS[kind], manners)
    manners.document({"as": kind, "files": [{"name": one.name, "text": one.text} for one in files]})
    for one in files:
        manners.say(one.text if len(files) == 1 else f"# {one.name}\n{one.text}")
    return 0


def _setup(conf: Config, user: str | None, *, installing: bool) -> Setup:
    from pgproof.cli.setting import known_user, setup_of

    setup = setup_of(conf, user)
    if installing:
        known_user(setup.user)
    return setup


def _files(kind: str, setup: Setup) -> list[Written]:
    if kind == "systemd":
        return units(setup)
    return [crontab(setup) if kind == "cron" else compose(setup, __version__)]


def _installed(kind: str, setup: Setup, files: list[Written], folder: Path, manners: Manners) -> int:
    """Write the files; those of ours that belong to nothing any more are removed."""
    install(files, folder)
    names = [one.name for one in files]
    former = [f"pgproof-{task}.{end}" for task in TASKS for end in ("service", "timer")] if kind == "systemd" else []
    removed = remove([name for name in former if name not in names], folder)
    following = _following(kind, setup, removed)
    for name in names:
        manners.say(f"Wrote {folder / name}")
    for name in removed:
        manners.say(f"Removed {folder / name}: its task is not scheduled")
    manners.say(following)
    paths = [str(folder / name) for name in names]
    manners.document({"as": kind, "installed": paths, "removed": removed, "next": following})
    for place in (*setup.writes, *(() if setup.state == STATE else (setup.state,))):
        if not Path(place).is_dir():
            print(
                f"pgproof: {place} is not there: make it, as {setup.user}'s, before the first backup", file=sys.stderr
            )
    return 0


def _following(kind: str, setup: Setup, removed: list[str]) -> str:
    if kind == "cron":
        return "Nothing else is to be done: cron reads the folder every minute."
    timers = " ".join(f"pgproof-{task}.timer" for task, _ in setup.tasks)
    gone = " ".join(name for name in removed if name.endswith(".timer"))
    first = f"systemctl stop {gone}; " if gone else ""
    return (
        f"Nothing was started. Next: {first}systemctl daemon-reload && systemctl enable --now {timers}\n"
        "Or, in place of the timers: systemctl daemon-reload && systemctl enable --now pgproof.service"
    )


# -- in words ---------------------------------------------------------------------------------------


def _told(conf: Config, manners: Manners) -> int:
    """The next moments of each task of each source."""
    from pgproof.daemon import plans

    now, every = datetime.now(UTC), plans(conf)
    for plan in every:
        manners.say(_words(plan, now))
    left = [task for task in TASKS if task not in {plan.task for plan in every}]
    if left:
        manners.say(f"On demand only: {', '.join(left)}.")
    if manners.json:
        print(render.as_json([_document(plan, now) for plan in every]))
    return 0


def _words(plan: Plan, now: datetime) -> str:
    later = [moment_words(moment, plan.zone) for moment in islice(_moments(plan, now), 1, None)]
    return f"{describe(plan, Memory(now), now)}, then at {' and '.join(later)}"


def _moments(plan: Plan, now: datetime) -> list[datetime]:
    found = [now]
    for _ in range(_NEXT):
        found.append(next_slot(plan.cron, plan.zone, found[-1]))
    return found[1:]


def _document(plan: Plan, now: datetime) -> dict[str, Any]:
    return {"task": plan.task, "source": plan.source, "zone": str(plan.zone), "next": _moments(plan, now)}
