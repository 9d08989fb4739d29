"""Volumes change their content, for an engine cannot rename them: by renames of files, on record, so that a change that
was cut off is carried on with.
"""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from pgproof import durable
from pgproof.docker import Engine
from pgproof.errors import NotFound, PgproofError, Refused

_PROBE = ".pgproof-probe"
_MARKER = ".pgproof-exchange"


@dataclass(frozen=True, slots=True)
class _Swap:
    """A change of content under way: first all of `volume` goes to `aside` ("" where it has nothing), then all of
    `fresh` to `volume`.
    """

    volume: str
    fresh: str
    aside: str
    stage: Literal["out", "in"] = "out"


def exchange(engine: Engine, state: Path, volume: str, fresh: str, aside: str) -> None:
    """What `fresh` has becomes the content of `volume`, what that had is then in `aside`; `fresh` is gone. A volume
    that is not there is made; with `aside` "" it must be empty. `state` is the folder of the record.

    Raises Refused before anything was moved; PgproofError, after which `finish` carries on.
    """
    swap = _Swap(volume, fresh, aside)
    labels = _known(engine, volume)
    refuse_used(engine, volume)
    if labels is None:
        engine.create_volume(volume, {})
    elif not aside and any(Path(engine.volume(volume).mountpoint).iterdir()):
        raise Refused(f"the volume {volume} is not empty", hint="look at it, and plan again")
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    record = state / f"{volume}.json"
    _write(record, swap)
    try:
        if aside:
            engine.create_volume(aside, labels or {})
        _refuse_far(engine, swap)
    except (PgproofError, OSError):
        record.unlink()
        os.sync()  # a record that comes back after a power cut would be carried out
        if aside:
            with contextlib.suppress(PgproofError):
                engine.remove_volume(aside)
        raise
    _carry_out(engine, swap, record)


def finish(engine: Engine, state: Path, only: str = "") -> list[str]:
    """Carry on with changes of content that were cut off, of all volumes or of one; those that are whole again.
    Raises Refused for one that is in use, PgproofError.
    """
    done = []
    for record in sorted(state.glob(f"{only or '*'}.json")) if state.is_dir() else ():
        swap = _Swap(**json.loads(record.read_text(encoding="utf-8")))
        refuse_used(engine, swap.volume)
        if swap.stage == "out" and swap.aside:
            engine.create_volume(swap.aside, _known(engine, swap.volume) or {})
        _carry_out(engine, swap, record)
        done.append(swap.volume)
    return done


def refuse_used(engine: Engine, volume: str) -> None:
    """Raises Refused while a container that runs has it."""
    users = [one.name for one in engine.using(volume) if one.state in ("running", "paused", "restarting")]
    if users:
        raise Refused(
            f"the volume {volume} is in use by {', '.join(users)}",
            hint=f"stop it first: docker stop {users[0]}; or restore into a new volume",
        )


def _carry_out(engine: Engine, swap: _Swap, record: Path) -> None:
    """Each stage can be begun again: what has been moved is no longer there to be moved. The record goes last."""
    marker = _root(engine, swap.volume) / _MARKER
    with _of_disk(marker):
        marker.touch(0o600)  # while it is there, no image takes the volume for an empty one and makes a cluster
    if swap.stage == "out":
        if swap.aside:
            _move(_root(engine, swap.volume), _root(engine, swap.aside))
        swap = replace(swap, stage="in")
        _write(record, swap)
    with contextlib.suppress(NotFound):  # it was moved and removed before, and only the record was left
        _move(_root(engine, swap.fresh), _root(engine, swap.volume))
        engine.remove_volume(swap.fresh)
    with _of_disk(marker):
        marker.unlink(missing_ok=True)
        record.unlink()
    os.sync()


@contextlib.contextmanager
def _of_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "see to that, and go on: no server may be started before"
        raise PgproofError(f"{path} cannot be changed: {error.strerror}", hint=hint) from error


def _root(engine: Engine, volume: str) -> Path:
    return Path(engine.volume(volume).mountpoint)


def _move(source: Path, target: Path) -> None:
    """All that is in one folder to another on the same disk, with the folder's own owner and mode."""
    try:
        like = source.stat()
        for one in sorted(source.iterdir()):
            if one.name == _MARKER:
                continue
            if os.path.lexists(target / one.name):
                hint = "a server was started on half of the files: move what is its own away by hand, and go on"
                raise Refused(f"{target} has a {one.name} of its own already, next to that of {source}", hint=hint)
            one.rename(target / one.name)
        shutil.copymode(source, target)
        os.chown(target, like.st_uid, like.st_gid)
    except OSError as error:
        hint = "what was moved is in its place; see to that, and go on: no server may be started before"
        raise PgproofError(f"files of {source} cannot be moved to {target}: {error.strerror}", hint=hint) from error
    os.sync()


def _known(engine: Engine, volume: str) -> dict[str, str] | None:
    """The labels of a volume; None where it is not there."""
    try:
        return dict(engine.volume(volume).labels)
    except NotFound:
        return None


def _write(record: Path, swap: _Swap) -> None:
    """Raises PgproofError."""
    try:
        durable.write(record, json.dumps(asdict(swap)).encode())
    except OSError as error:
        text = f"{record} cannot be written: {error.strerror}"
        raise PgproofError(
            text, hint="make room there, or set PGPROOF_STATE; what was moved is in its place"
        ) from error


def _refuse_far(engine: Engine, swap: _Swap) -> None:
    """Tried out by renames: within one disk they fail between two mounts of it, as an engine makes them."""
    volume, others = _root(engine, swap.volume), [_root(engine, one) for one in (swap.fresh, swap.aside) if one]
    for other in others:
        with _of_disk(other):
            probe, there = volume / _PROBE, other / _PROBE
            probe.touch(0o600)
            try:
                probe.rename(there)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                text = f"the volume {swap.volume} lies on another disk than new volumes, or on another mount of it"
                raise Refused(text, hint="restore into a new volume instead") from error
            finally:
                probe.unlink(missing_ok=True)
                there.unlink(missing_ok=True)
