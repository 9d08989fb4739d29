"""Carrying a recovery out: restore beside, stop, switch, start, look. Each step is on record before and after it."""

import contextlib
from dataclasses import dataclass
from datetime import datetime

from pgproof.actions import restore
from pgproof.actions.recover.ground import ABSENT, Ground
from pgproof.actions.recover.journal import Log, Standing, standing
from pgproof.actions.recover.services import Service
from pgproof.errors import Degraded, PgproofError, Refused
from pgproof.stream.progress import Progress
from pgproof.stream.reading import Reading

RESTORE, SWITCH = "restore", "switch"


@dataclass(frozen=True, slots=True)
class Scene:
    """Where it happens, who uses it, seconds to wait for them to be well."""

    ground: Ground
    services: tuple[Service, ...]
    patience: float
    progress: Progress

    def stands(self, log: Log) -> Standing:
        return standing(log.recovery, self.ground.names(log.recovery))


def carry_out(scene: Scene, log: Log, source: Reading | None, wish: restore.Wish, now: datetime) -> None:
    """From wherever it stands to its end. Before the switch a failure leaves the old state whole and running; after
    it the new one. Raises PgproofError; Degraded when a service is not well at the end.
    """
    if not scene.stands(log).switched:
        refuse_another(scene, log, log.recovery.live)
        _restored(scene, log, source, wish, now)
        try:
            refuse_another(scene, log, log.recovery.live)
            stop(scene, log)
            with log.step(SWITCH):
                scene.ground.swap(log.recovery.database, log.recovery.new, log.recovery.aside)
        except BaseException as error:
            start_again(scene, log, error)
            raise
    wrong = start(scene, log)
    log.note(state="finished")
    if wrong:
        raise Degraded(
            f"the {log.recovery.thing} is recovered, and {'; '.join(wrong)}",
            hint=f"see to it; `pgproof recover {log.recovery.argument} --undo` puts the old {log.recovery.thing} back",
        )


def refuse_another(scene: Scene, log: Log, mark: str) -> None:
    """Raises Refused where what has the live name is no longer what this recovery knows under it, by its `mark`: it
    would be put aside unasked. That there is none any more is no reason.
    """
    one, now = log.recovery, scene.ground.mark(log.recovery.database)
    if mark and now not in ("", ABSENT, mark):
        raise Refused(
            f"another {one.thing} has the name {one.database} than when this recovery knew it last: "
            "somebody has recovered it, or made it anew",
            hint=f"look at it, and ask; `pgproof recover {one.argument} --back` gives up what was not finished",
        )


def give_up(scene: Scene, log: Log) -> None:
    """Back from before the switch: the new one goes, the old one opens, the services run. Raises PgproofError."""
    one = log.recovery
    log.note(state="going back")  # before anything goes by which it could be told from a switch
    with log.step("back"):
        scene.ground.open_again(one.database)
        scene.ground.drop(one.new)
    wrong = start(scene, log)
    log.note(state="given up")
    if wrong:
        raise Degraded(f"the old {one.thing} is as it was, and {'; '.join(wrong)}", hint="see to it by hand")


def stop(scene: Scene, log: Log) -> None:
    for service in scene.services:
        scene.progress.begin(f"stopping {service.name}")
        with log.step(f"stop {service.name}"):
            service.stop()


def start(scene: Scene, log: Log) -> list[str]:
    """Start all, in reverse, and look at each; what is wrong, in sentences. One that fails does not stop the others."""
    wrong = []
    order = list(reversed(scene.services))
    for index, service in enumerate(order):
        scene.progress.begin(f"starting {service.name}")
        try:
            # A stop that was cut off may still go on where it was asked for: only this waits for its end.
            if log.recovery.was_cut_off(f"stop {service.name}"):
                with contextlib.suppress(PgproofError):
                    service.stop()
            with log.step(f"start {service.name}", must=False):
                service.start()
            with log.step(f"look at {service.name}", must=False):
                said = service.ready(scene.patience)
        except PgproofError as error:
            said = error.message
        except KeyboardInterrupt:  # whoever does not want to wait wants them to run all the same
            for one in order[index:]:
                with contextlib.suppress(PgproofError), log.step(f"start {one.name}", must=False):
                    one.start()
            raise
        if said:
            wrong.append(f"{service.name}: {said}")
            log.note(notes=(*log.recovery.notes, f"{service.name} is not well: {said}"), must=False)
    return wrong


def _restored(scene: Scene, log: Log, source: Reading | None, wish: restore.Wish, now: datetime) -> None:
    """A restore that fails has left nothing: the recovery is over, unless services were stopped by it before."""
    try:
        _restore(scene, log, source, wish, now)
    except PgproofError:
        stopped = any(one.name.startswith("stop ") for one in log.recovery.steps)
        if not stopped and not scene.stands(log).restored:
            log.note(state="given up")
        raise


def _restore(scene: Scene, log: Log, source: Reading | None, wish: restore.Wish, now: datetime) -> None:
    if not scene.stands(log).restored:
        if source is None:
            raise Refused("the backup cannot be read", hint="see to the store, and go on then")
        with log.step(RESTORE):
            done = scene.ground.restore(source, log.recovery, wish, now, scene.progress)
            log.note(
                tables=done.tables, rows=done.rows, compared=done.compared, checks=done.checks,
                notes=(*log.recovery.notes, *done.notes),
                counters=done.counters, made=scene.ground.mark(log.recovery.new),
            )  # fmt: skip
    elif not log.recovery.did(RESTORE):
        with log.step(RESTORE):
            cut = "the restore ended well, of its comparisons the record was cut off; the checks were asked again"
            answers = scene.ground.ask(log.recovery.new, wish.checks)
            counters = scene.ground.counters(log.recovery.new)
            made = scene.ground.mark(log.recovery.new)
            notes = (*log.recovery.notes, *answers.warned, cut)
            log.note(notes=notes, checks=answers.true, counters=counters, made=made)
    _believe(scene, log, wish)


def _believe(scene: Scene, log: Log, wish: restore.Wish) -> None:
    """A check that is not true ends it here, where nothing of the old state was touched. Raises Refused."""
    false = [one for one in wish.checks if not one.warning and log.recovery.checks.get(one.name) is False]
    if false:
        log.note(state="going back")
        with contextlib.suppress(PgproofError):
            scene.ground.drop(log.recovery.new)
        raise Refused(
            f"the restored {log.recovery.thing} fails its checks: {'; '.join(one.text for one in false)}",
            hint="nothing was touched; recover from another backup (--backup), or mend the checks",
        )


def start_again(scene: Scene, log: Log, error: BaseException) -> None:
    """What is in place is whole: let it run. What then does not is added to the error, never kept silent."""
    again = f"`pgproof recover {log.recovery.argument} --continue`"
    wrong: list[str] = []
    try:
        scene.ground.open_again(log.recovery.database)
        wrong = start(scene, log)
    except PgproofError as more:
        wrong = [f"they are left stopped, and must not be started by hand before {again}: {more.message}"]
    if not isinstance(error, PgproofError):
        return
    if wrong:
        error.message += f"; and of the services, which were stopped, {'; '.join(wrong)}"
    error.hint = f"{error.hint}; then {again}, or --back"
