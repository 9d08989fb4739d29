"""The drill of the whole: everything that a recovery does, against throw-away copies; production is not touched."""

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from pgproof.actions import restore
from pgproof.actions.contained import labels
from pgproof.actions.recover.carry_out import Scene, carry_out
from pgproof.actions.recover.databases import Databases, alone_on, databases
from pgproof.actions.recover.gather import Found
from pgproof.actions.recover.ground import Ground
from pgproof.actions.recover.journal import Log, Recovery
from pgproof.actions.recover.volumes import Volumes
from pgproof.actions.throwaway import throw_away
from pgproof.docker import Engine
from pgproof.errors import PgproofError
from pgproof.postgres.server import connect
from pgproof.postgres.sql import name
from pgproof.stream.progress import Progress


def drill(
    found: Found, engine: Engine, wish: restore.Wish, recovery: Recovery, clock: Callable[[], datetime],
    progress: Progress,
) -> Recovery:  # fmt: skip
    """Recover into a throw-away server in which an empty database stands for the old one. Raises PgproofError."""
    manifest = found.candidate.manifest
    with (
        throw_away(manifest, engine, progress) as away,
        tempfile.TemporaryDirectory(prefix="pgproof-") as folder,
    ):
        with connect(away.scratch.address) as session:
            if recovery.database not in databases(session):  # entry points of images make one of their own
                session.run(f"CREATE DATABASE {name(recovery.database)}")
        target = away.scratch.address.to(recovery.database)
        log = Log(Path(folder) / "drill.json", recovery, clock)
        log.note(notes=(*recovery.notes, *away.remarks))
        with alone_on(target) as session:
            carry_out(Scene(Databases(target, session), (), 0.0, progress), log, found.reading, wish, clock())
        return log.recovery


def drill_volume(
    found: Found, ground: Ground, wish: restore.Wish, recovery: Recovery, clock: Callable[[], datetime],
    progress: Progress,
) -> Recovery:  # fmt: skip
    """Recover into a throw-away volume, in a throw-away container of the backup's own image. Raises PgproofError."""
    assert isinstance(ground, Volumes)  # so it is for a volume
    with tempfile.TemporaryDirectory(prefix="pgproof-") as folder:
        log = Log(Path(folder) / "drill.json", recovery, clock)
        log.note()
        away = replace(ground, labels=labels(), state=Path(folder) / "restoring")
        try:
            ground.engine.create_volume(recovery.database, labels())
            carry_out(Scene(away, (), 0.0, progress), log, found.reading, wish, clock())
        finally:
            for name in (recovery.new, recovery.database):
                with contextlib.suppress(PgproofError):
                    away.drop(name)
        return log.recovery
