"""The trial of files that will be used: a throw-away server started on them, read, asked, and shut down."""

from dataclasses import replace

from pgproof.actions.asking import counters
from pgproof.actions.contained import Contained, sweep, wait
from pgproof.actions.volume.drilling import Conditions, Found, examine, serving
from pgproof.actions.volume.filling import control_in
from pgproof.actions.volume.unpacking import cluster_of
from pgproof.checks.keycloak import Statement
from pgproof.cluster import control
from pgproof.errors import PgproofError
from pgproof.evidence import Difference
from pgproof.manifest import Manifest
from pgproof.postgres.server import connect
from pgproof.stream.progress import Progress

_STOP_SECONDS = 300  # a shutdown writes a checkpoint first


def try_out(
    manifest: Manifest, volume: str, conditions: Conditions, after: tuple[Statement, ...], progress: Progress
) -> Found:
    """Start the backup's own image on the restored files in `volume`, without a network; run `after` in
    `conditions.database`, read every row, ask the checks, and shut the server down. Nothing is installed in the files.

    Raises NotProven when it cannot be tried at all, PgproofError when a statement of `after` fails.
    """
    engine, cluster = conditions.engine, cluster_of(manifest)
    sweep(engine)
    with serving(engine, manifest, volume) as running:
        _settle(running, conditions, after)
        found = examine(conditions, cluster, running, progress)
        if not found.differences:
            found = replace(found, counters=_counted(running, conditions))
        progress.begin("shutting it down")
        engine.stop(running.container.id, _STOP_SECONDS)
    state = control(control_in(engine, manifest, volume))
    if found.differences or state.clean:
        return found
    unclean = Difference("the server", f"was not shut down as asked: its files say {state.state!r}")
    return replace(found, differences=(unclean,))


def _counted(running: Contained, conditions: Conditions) -> dict[str, tuple[int, int, int]]:
    """Without them only what was written later cannot be told."""
    try:
        return counters(running.address.to(conditions.database))
    except PgproofError:
        return {}


def _settle(running: Contained, conditions: Conditions, after: tuple[Statement, ...]) -> None:
    """Where the server does not start, `examine` says so."""
    if after and not wait(conditions.engine, running):
        with connect(running.address.to(conditions.database)) as session:
            for one in after:
                session.run(one.sql)
