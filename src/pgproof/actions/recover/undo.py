"""Undo: the old one back in its place, what was written meanwhile told; and letting the old one go."""

from datetime import datetime

from pgproof.actions.recover.carry_out import Scene, refuse_another, start, start_again, stop
from pgproof.actions.recover.journal import Log
from pgproof.checks import Check
from pgproof.errors import Degraded, Refused
from pgproof.manifest import stamp_of

_MOST = 20


def written(scene: Scene, log: Log) -> tuple[str, ...]:
    """What was written to the recovered one since the switch, by the server's own counters, a sentence a table."""
    before, now = log.recovery.counters, scene.ground.counters(log.recovery.database)
    found = []
    for table in sorted(before.keys() | now.keys()):
        old, new = before.get(table, (0, 0, 0)), now.get(table, (0, 0, 0))
        more = [after - first for first, after in zip(old, new, strict=True)]
        if any(one < 0 for one in more):
            found.append(f"{table}: cannot be told, its statistics began anew")
        elif any(more):
            found.append(f"{table}: {more[0]} rows inserted, {more[1]} updated, {more[2]} deleted")
    return (*found[:_MOST], f"and {len(found) - _MOST} more tables") if len(found) > _MOST else tuple(found)


def check_undo(scene: Scene, log: Log) -> None:
    """Raises Refused where there is nothing to put back."""
    one = log.recovery
    if one.state not in ("finished", "running", "undoing"):
        raise Refused(f"there is nothing to undo: the last recovery is {one.state}", hint="see --dry-run for a new one")
    if one.state != "undoing" and one.aside not in scene.ground.names(one):
        raise Refused(
            f"there is no old {one.thing} {one.aside} on {scene.ground.where}",
            hint="there was none to put aside, or somebody dropped it; recover from an older backup instead",
        )
    if one.state != "undoing":
        refuse_another(scene, log, one.made)


def undo(scene: Scene, log: Log, now: datetime) -> None:
    """Put the old one back; the recovered one stays under a name of its own. Raises PgproofError."""
    one = log.recovery
    if not one.undone_as:
        log.note(state="undoing", undone_as=f"{one.new.rpartition('_recovering_')[0]}_undone_{stamp_of(now)}")
    one = log.recovery
    if one.undone_as not in scene.ground.names(one):
        try:
            refuse_another(scene, log, one.made)
            stop(scene, log)
            with log.step("switch back"):
                scene.ground.swap(one.database, one.aside, one.undone_as)
        except BaseException as error:
            start_again(scene, log, error)
            raise
    wrong = start(scene, log)
    log.note(state="undone")
    if wrong:
        raise Degraded(f"the old {one.thing} is back, and {'; '.join(wrong)}", hint="see to it by hand")


def stay(scene: Scene, log: Log) -> None:
    """Back out of an undo that has not switched: the recovered one stays. Raises PgproofError."""
    scene.ground.open_again(log.recovery.database)
    wrong = start(scene, log)
    log.note(state="finished", undone_as="")
    if wrong:
        raise Degraded(f"the recovered {log.recovery.thing} stays, and {'; '.join(wrong)}", hint="see to it by hand")


def put_aside(scene: Scene, log: Log) -> str:
    """The name of what could be forgotten. Raises Refused where there is nothing."""
    one = log.recovery
    gone = one.undone_as if one.state == "undone" else one.aside
    if one.state not in ("finished", "undone") or gone not in scene.ground.names(one):
        raise Refused("there is nothing put aside to forget", hint=f"the last recovery is {one.state}")
    return gone


def forget(scene: Scene, log: Log, checks: tuple[Check, ...]) -> str:
    """Drop what was put aside; its name. Raises Refused while what is in its place fails its checks."""
    one, gone = log.recovery, put_aside(scene, log)
    failed = scene.ground.ask(one.database, checks).failed
    if failed:
        raise Refused(
            f"{gone} may be the only good state: {one.database} fails {failed[0].what}: {failed[0].text}",
            hint="mend it or undo first; who is certain drops it by hand",
        )
    with log.step("forget"):
        scene.ground.drop(gone)
    log.note(state="forgotten")
    return gone
