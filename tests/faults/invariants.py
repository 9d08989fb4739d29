"""The one checker of the invariants (docs/design.md section 4), run after every fault that a test injects.

It does not trust pgproof: manifests are read as the JSON that they are, parts are hashed here, processes are
looked for in /proc and sessions in the server. Only what counts as a backup comes from `pgproof list --json`.

    I1 listed means whole      I3 the last good backup is sacred      I6 a restore is all or nothing
    I7 re-running converges    I9 the source, and this machine, are as they were
"""

import hashlib
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pgproof.postgres.server import Address, connect
from tests.conftest import Program, Ran

TEMPORARY = ".pgproof-tmp-"
_RESTORING = re.compile(r".*_restoring_[0-9a-f]{16}\.\d+\.\d+\.[0-9a-f]{4}")
SETTLE = 20.0  # seconds after a kill in which everything of the dead must be gone


@dataclass
class Scene:
    """A program with a store, its source, and what was there before the fault.

    TMPDIR is a folder of the scene's own, which every child inherits: whoever has it in the environment is
    of this scene, and what lies in it was left behind.
    """

    program: Program
    source: Address
    good: set[str] = field(default_factory=set)
    databases: set[str] = field(default_factory=set)
    rows: dict[str, int] = field(default_factory=dict)

    @property
    def temporary(self) -> Path:
        return self.program.folder / "tmp"

    def remember(self) -> None:
        """Take what is there now as what no fault may take away."""
        self.good = set(self.listed())
        self.databases = databases(self.source)
        self.rows = row_counts(self.source)

    def listed(self) -> list[str]:
        ran = self.program.run("list", "--json")
        assert ran.code == 0, f"list ended with {ran.code}: {ran.err}"
        return [one["id"] for one in ran.json if one["state"] != "damaged"]

    # -- after the fault --------------------------------------------------------------------------

    def check(self, restored: str = "") -> None:
        """Everything that must hold right after a fault. `restored` is the database that was being restored to."""
        wrongs = [*self.alive(), *self.backups(), *self.targets(restored)]
        assert wrongs == [], "\n".join(wrongs)

    def check_converged(self, ran: Ran, restored: str = "") -> None:
        """Everything that must hold once the same command was run again."""
        assert ran.code == 0, f"the next run ended with {ran.code}\n{ran.out}\n{ran.err}"
        wrongs = [*self.backups(self.manifests()), *self.targets(restored, done=True), *self.leftovers()]
        wrongs += self.alive()
        assert wrongs == [], "\n".join(wrongs)

    # -- I1, I3 -----------------------------------------------------------------------------------

    def manifests(self) -> list[str]:
        """All that has a manifest, asked of the disk."""
        return sorted(
            f"{one.parent.parent.name}/{one.parent.name}" for one in self.program.store.glob("*/*/manifest.json")
        )

    def backups(self, ids: list[str] | None = None) -> Iterator[str]:
        found = self.listed() if ids is None else ids
        yield from (f"I3: the backup {one} is gone" for one in sorted(self.good - set(found)))
        for one in found:
            yield from whole(self.program.store, one)

    # -- I6 ---------------------------------------------------------------------------------------

    def targets(self, restored: str = "", *, done: bool = False) -> Iterator[str]:
        now = databases(self.source)
        yield from (f"I6: the database {one} is gone" for one in sorted(self.databases - now))
        for one in sorted(now - self.databases):
            if one == restored:
                counts = row_counts(self.source.to(one))
                if counts != self.rows:
                    yield f"I6: {one} is half there: {counts}, not {self.rows}"
            elif done or not _RESTORING.fullmatch(one):
                yield f"I6: there is a database {one}"
        if done and restored and restored not in now:
            yield f"I6: the run said that {restored} was restored, and it is not there"

    # -- I7, I9 -----------------------------------------------------------------------------------

    def leftovers(self) -> Iterator[str]:
        """What a run that ended well may not leave, of its own or of a dead one before it."""
        yield from (f"I7: {one} is left in the store" for one in self.program.store.rglob(f"{TEMPORARY}*"))
        yield from (f"I7: {one} is left in the store" for one in self.program.store.rglob("lock.json"))
        # A scratch folder of the last minute may be one that its maker is about to claim.
        young = time.time() - 60
        claimed = (
            one
            for one in self.temporary.iterdir()
            if not one.is_dir() or (one / "owner.json").exists() or one.stat().st_mtime < young
        )
        yield from (f"I9: {one} is left in TMPDIR" for one in claimed)

    def alive(self) -> list[str]:
        """Processes and sessions that are there still after the time that they may take to end."""
        until = time.monotonic() + SETTLE
        while (found := [*self.processes(), *self.sessions()]) and time.monotonic() < until:
            time.sleep(0.02)
        return found

    def processes(self) -> Iterator[str]:
        for pid in of_scene(self.temporary):
            yield f"I9: process {pid} lives: {command(pid)}"

    def sessions(self) -> Iterator[str]:
        with connect(self.source, "postgres") as session:
            found = session.rows(
                """SELECT a.pid, a.state, left(a.query, 80), a.datname FROM pg_catalog.pg_stat_activity a
                WHERE (a.application_name = 'pgproof' OR a.application_name LIKE 'pg\\_%%')
                AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_type = 'client backend'"""
            )
            locks = session.value(
                """SELECT count(*) FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database
                WHERE d.datname = %s AND l.locktype <> 'virtualxid'""",
                [self.source.database],
            )
        yield from (f"I9: session {one} is left on the server" for one in found)
        if locks:
            yield f"I9: {locks} locks are left on the server"


def whole(store: Path, backup: str) -> Iterator[str]:
    """Why this backup is not whole: every part that the manifest names, with its size and SHA-256."""
    try:
        sealed = json.loads((store / backup / "manifest.json").read_bytes())
    except (OSError, ValueError) as error:
        yield f"I1: {backup} is listed and its manifest cannot be read: {error}"
        return
    manifest = sealed["content"]
    if f"{manifest['source']}/{manifest['stamp']}-{manifest['kind']}" != backup:
        yield f"I1: {backup} has another's manifest"
    for part in manifest["parts"]:
        yield from _part(store / backup / part["name"], part)


def _part(path: Path, part: dict[str, Any]) -> Iterator[str]:
    try:
        data = path.read_bytes()
    except OSError as error:
        yield f"I1: {path}: {error}"
        return
    if len(data) != part["size"] or hashlib.sha256(data).hexdigest() != part["sha256"]:
        yield f"I1: {path} is not what its manifest says"


def databases(server: Address) -> set[str]:
    with connect(server, "postgres") as session:
        return {one for (one,) in session.rows("SELECT datname FROM pg_catalog.pg_database")}


def row_counts(database: Address) -> dict[str, int]:
    with connect(database) as session:
        tables = session.rows(
            "SELECT quote_ident(nspname) || '.' || quote_ident(relname) FROM pg_catalog.pg_class c "
            "JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' "
            "AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%%'"
        )
        return {one: session.value(f"SELECT count(*) FROM {one}") for (one,) in tables}


def of_scene(temporary: Path) -> list[int]:
    """Living processes that have this TMPDIR."""
    mark = f"TMPDIR={temporary}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                state = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
                if state not in "ZX" and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:160]
    except OSError:
        return "(gone)"


def end(temporary: Path) -> None:
    """End what a failed test left of its scene."""
    for pid in of_scene(temporary):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            continue
