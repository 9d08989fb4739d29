"""One call of recover, from the plan to the report, and the ways back."""

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from pgproof.actions import restore
from pgproof.actions.recover import carry_out, gather, journal, report, services, undo
from pgproof.actions.recover import drill as rehearsal
from pgproof.actions.recover import plan as planning
from pgproof.actions.recover.ground import Ground
from pgproof.actions.verify import reading
from pgproof.checks import keycloak, resolve
from pgproof.cli import render
from pgproof.cli.afterwards import Afterwards, afterwards
from pgproof.cli.agreeing import agree
from pgproof.cli.options import Manners
from pgproof.cli.recording import Note
from pgproof.cli.recovery import words
from pgproof.cli.recovery.kinds import Recovering
from pgproof.cli.thawing import readable
from pgproof.cluster import Image
from pgproof.config import Config, SourceSettings
from pgproof.docker import Engine
from pgproof.errors import Degraded, Interrupted, PgproofError, Refused, UsageError
from pgproof.job import application, open_repository, state_folder
from pgproof.manifest import KINDS, Kind, Manifest, stamp_of
from pgproof.monitor import audit
from pgproof.repository import Repository
from pgproof.sources.replay import Choice, Manner
from pgproof.stream.progress import Progress


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """One call of recover: of which source and kind, from which store, and how it is told."""

    conf: Config
    source: SourceSettings
    recovering: Recovering
    store: str | None
    manners: Manners
    now: datetime
    note: Note
    progress: Progress
    yes: str | None
    sessions: str | None = None
    reach: str = ""

    def show(self, asked: gather.Asked) -> int:
        """The plan, and nothing else; of a server that has to come back first, what would bring it back."""
        if (revival := self.recovering.revival(lambda: self._find(asked, None))) is not None:
            self.manners.say(words.reviving(revival))
            self.manners.say("Nothing was done (--dry-run).")
            shown = {revival.thing: revival.name, "steps": revival.steps, "fresh": revival.fresh}
            self.manners.document({**shown, "hash": revival.hash, "done": False})
            return 0
        with self.recovering.ground(alone=False) as ground:
            _, plan = self._plan(asked, ground, None)
        self.manners.say(words.shown(plan, self.now))
        self.manners.say("Nothing was done (--dry-run).")
        self.manners.document({**msgspec.to_builtins(plan), "done": False})
        return 0

    def drill(self, asked: gather.Asked) -> int:
        """The server of the source is asked nothing: this must work, and be worth something, when it is gone."""
        found = self._find(asked)
        made = found.candidate.manifest
        self.note.of(made)
        began = self._begun(found, _rehearsed(found, self.now))
        wish = self._wish(found.reading)
        if made.cluster is None:
            wish = dataclasses.replace(wish, manner=Manner(jobs=self.source.jobs, digest=True, tablespaces=False))
            done = rehearsal.drill(found, Engine(), wish, began, lambda: datetime.now(UTC), self.progress)
        else:
            with self.recovering.ground(alone=False) as ground:
                done = rehearsal.drill_volume(found, ground, wish, began, lambda: datetime.now(UTC), self.progress)
        target = began.target_seconds
        slow = f", longer than the target of {target:.0f} s" if done.seconds > target else ""
        self.note.text = f"a recovery takes {done.seconds:.1f} s{slow}, of it {done.downtime:.1f} s without services"
        self.manners.say(f"{made.id}: {self.note.text}. Nothing but throw-away copies was touched.")
        for note in done.notes:
            self.manners.say(f"  note: {note}")
        shown = {"id": made.id, "seconds": done.seconds, "target": target, "in_time": not slow}
        self.manners.document({**shown, "checks": done.checks, "notes": done.notes})
        return 0

    def act(self, verb: str, asked: gather.Asked) -> int:
        """A new recovery with `verb` "", else what is to become of the last one."""
        path = journal.file_of(state_folder(), self.source.name, self.recovering.kind)
        # One lock for both kinds: they would stop each other's containers.
        with journal.alone(journal.file_of(state_folder(), self.source.name, "logical")):
            path = journal.latest(path) if verb in ("undo", "forget") else path
            before = journal.load(path)
            if verb and before is None:
                raise Refused(f"there was no recovery of {self.source.name} on this machine", hint="see --dry-run")
            self._refuse_other(other_than=self.recovering.kind if verb else None)
            revived = self._revived(asked) if not verb else None
            with self.recovering.ground(alone=True, live=before.database if before and verb else "") as ground:
                if verb and before is not None:
                    return self._turn(verb, ground, journal.Log(path, before, lambda: datetime.now(UTC)))
                if before is not None and before.aside in ground.names(before):
                    self.manners.say(
                        f"{before.aside}, put aside before, stays; once this is begun --undo no longer leads to it."
                    )
                return self._recover(asked, ground, path, revived)

    def _refuse_other(self, other_than: Kind | None) -> None:
        """Nothing is begun, and no server started, beside a recovery that is not at its end. Raises Refused."""
        for kind in KINDS:
            if kind != other_than:
                words.refuse_open(journal.load(journal.file_of(state_folder(), self.source.name, kind)))

    def _turn(self, verb: str, ground: Ground, log: journal.Log) -> int:
        self.note.text = f"--{verb} of the recovery begun at {render.moment(log.recovery.began)}"
        if not ground.is_of(log.recovery):
            one = log.recovery
            raise Refused(
                f"that recovery was on {one.server} (server {one.system_identifier or 'without identifier'}), and this"
                f" is {ground.where}",
                hint="let the source, or --to, mean that server again",
            )
        act = {"continue": self._go_on, "back": self._back, "undo": self._undo, "forget": self._forget}[verb]
        scene = self._scene(ground, log.recovery.image)
        with self._told_where_it_stands(scene, log):
            return act(scene, log)

    @contextmanager
    def _told_where_it_stands(self, scene: carry_out.Scene, log: journal.Log) -> Iterator[None]:
        """Ctrl-C under way leaves more than nothing: it is said what."""
        try:
            yield
        except KeyboardInterrupt as error:
            if not log.recovery.is_open:
                raise
            try:
                where = scene.stands(log).text
            except PgproofError as more:
                where = more.message
            hint = f"`pgproof recover {log.recovery.argument} --continue`, or --back"
            raise Interrupted(f"interrupted; {where}; services may be stopped", hint=hint) from error

    def _revived(self, asked: gather.Asked) -> "_Revived | None":
        """A server that does not answer comes back first, after a question of its own."""
        one = self.recovering.revival(lambda: self._find(asked))
        if one is None:
            return None
        self.manners.say(words.reviving(one))
        agree(f"The server does not answer. {one.steps[0]}?", one.name, one.hash, self.yes, one.thing)
        return _Revived(*self.recovering.revive(one, self.progress))

    def _scene(self, ground: Ground, image: Image | None) -> carry_out.Scene:
        patience = services.patience(self.source.recover).total_seconds()
        return carry_out.Scene(ground, self.recovering.services(image), patience, self.progress)

    # -- a new one --------------------------------------------------------------------------------

    def _recover(self, asked: gather.Asked, ground: Ground, path: Path, revived: "_Revived | None") -> int:
        fresh = revived is not None and revived.fresh
        asked = dataclasses.replace(asked, new_server=asked.new_server or fresh)
        found, plan = self._plan(asked, ground)
        self.manners.say(words.shown(plan, self.now))
        if not fresh:  # of a server that was just made nothing can be lost: it was agreed to with it
            yes = None if revived else self.yes  # that was the hash of the question before
            agree(words.asking(plan), plan.database, plan.hash, yes, plan.thing)
        recovery = dataclasses.replace(self._begun(found, plan), began=self.now, live=ground.mark(plan.database))
        if revived:
            recovery = dataclasses.replace(recovery, notes=(revived.text,))
        journal.put_by(path)
        log = journal.Log(path, recovery, lambda: datetime.now(UTC))
        log.note()
        self.note.of(found.candidate.manifest)
        scene = self._scene(ground, recovery.image)
        with self._told_where_it_stands(scene, log):
            return self._carried_out(scene, log, found.reading)

    def _begun(self, found: gather.Found, plan: planning.Plan) -> journal.Recovery:
        me = audit.who()
        return journal.Recovery(
            source=self.source.name, began=datetime.now(UTC), state="running", server=plan.server,
            system_identifier=plan.system_identifier, database=plan.database, new=plan.new, aside=plan.aside,
            existed=plan.existed, backup=plan.backup, store=plan.store, plan=plan.hash, read_at=plan.lost_from,
            proof=found.candidate.proof, who=f"{me.sudo_user} as {me.user}" if me.sudo_user else me.user,
            machine=me.host, size=found.candidate.manifest.size, planned=datetime.now(UTC), reasons=plan.reasons,
            target_seconds=self.source.recover.target.total_seconds() if self.source.recover else 3600,
            kind=self.recovering.kind, sessions=self.sessions, image=found.candidate.manifest.image,
            reach=self.reach,
        )  # fmt: skip

    def _carried_out(self, scene: carry_out.Scene, log: journal.Log, source: Any) -> int:
        wish = self._wish(source) if source else restore.Wish(Choice(), Manner())
        failed: PgproofError | None = None
        try:
            carry_out.carry_out(scene, log, source, wish, self.now)
        except PgproofError as error:
            failed = error
        if log.recovery.state == "finished":
            closing = self._after(source.manifest).closing if source else ()
            log.note(must=False, notes=(*log.recovery.notes, *closing))
            failed = self._reported(log, failed)
        if failed is not None:
            raise failed
        one = log.recovery
        kept = f" The old {one.thing} is {one.aside}, until --forget; --undo puts it back." if one.existed else ""
        self._tell(
            log,
            f"Recovered in {one.seconds:.1f} s, services down for {one.downtime:.1f} s: {one.database} has "
            f"{render.count(one.tables, 'table')} with {render.count(one.rows, 'row')}.{kept}",
        )
        return 0

    def _wish(self, source: Any) -> restore.Wish:
        after = self._after(source.manifest)
        manner = Manner(jobs=self.source.jobs, digest=True)
        return restore.Wish(Choice(), manner, False, True, False, after.statements, after.checks)

    def _after(self, made: Manifest) -> Afterwards:
        return afterwards(self.conf, made, Choice(), self.sessions, owners=True)

    def _find(self, asked: gather.Asked, thawing: gather.Thawing | None = readable) -> gather.Found:
        key, name = self.conf.encryption.key(), self.source.name
        return gather.find(self._places(), name, self.recovering.kind, asked, key, self.progress, thawing)

    def _plan(
        self, asked: gather.Asked, ground: Ground, thawing: gather.Thawing | None = readable
    ) -> tuple[gather.Found, planning.Plan]:
        found = self._find(asked, thawing)
        wish = self._wish(found.reading)
        facts = self.recovering.facts(found, ground, wish, self.now, new_server=asked.new_server)
        said = (*facts.said, *self._migration(found), *self._after(found.candidate.manifest).before)
        return found, planning.plan(dataclasses.replace(facts, said=said, reach=self.reach), self.now)

    def _migration(self, found: gather.Found) -> tuple[str, ...]:
        """Raises Refused for a Keycloak that is older than the database: it would only warn, and go on."""
        before = found.candidate.manifest.application.get(keycloak.VERSION)
        image = application(self.source).get(keycloak.IMAGE)
        said = keycloak.migration(before, keycloak.version_of(image)) if before and image else ""
        return (said,) if said else ()

    def _places(self) -> Iterator[tuple[str, Repository]]:
        wanted = [self.conf.store(self.store)] if self.store else list(self.conf.stores)
        failed = []
        for one in wanted:
            try:
                yield one.name, open_repository(one)
            except PgproofError as error:
                failed.append(error)
                self.manners.say(f"The store {one.name} is passed over: {error.message}")
        if len(failed) == len(wanted):
            raise failed[0]

    # -- one that is there ------------------------------------------------------------------------

    def _go_on(self, scene: carry_out.Scene, log: journal.Log) -> int:
        words.refuse_ended(log.recovery)
        if log.recovery.state == "going back":
            return self._given_up(scene, log)
        if log.recovery.state == "undoing":
            return self._undone(scene, log)
        if self.sessions not in (None, log.recovery.sessions):
            hint = f"leave it out, or --back and begin anew; it was begun with {log.recovery.sessions or 'none'}"
            raise UsageError("--sessions cannot change under way", hint=hint)
        return dataclasses.replace(self, sessions=log.recovery.sessions).carry_on(scene, log)

    def carry_on(self, scene: carry_out.Scene, log: journal.Log) -> int:
        """From where it stands, with the choices it was begun with."""
        self.note.backup = log.recovery.backup
        if scene.stands(log).switched:  # nothing has to be read any more, also where no store answers
            return self._carried_out(scene, log, None)
        place = open_repository(self.conf.store(log.recovery.store))
        made = place.manifest(log.recovery.backup)
        return self._carried_out(scene, log, reading(place, made, self.conf.encryption.key()))

    def _back(self, scene: carry_out.Scene, log: journal.Log) -> int:
        words.refuse_ended(log.recovery)
        stands = scene.stands(log)
        if log.recovery.state == "undoing" and stands.switched:
            undo.stay(scene, log)
            return self._tell(log, f"The undo was given up: {log.recovery.database} is the recovered one.")
        if stands.switched or log.recovery.state == "undoing":
            if log.recovery.state == "running":
                undo.check_undo(scene, log)
            return self._undone(scene, log)
        return self._given_up(scene, log)

    def _given_up(self, scene: carry_out.Scene, log: journal.Log) -> int:
        carry_out.give_up(scene, log)
        return self._tell(log, f"Given up: {log.recovery.database} is as it was.")

    def _undo(self, scene: carry_out.Scene, log: journal.Log) -> int:
        undo.check_undo(scene, log)
        one = log.recovery
        try:
            lost = undo.written(scene, log) if one.state == "finished" else ()
        except PgproofError as error:  # it may be the reason for the undo that the server does not serve
            lost = (f"cannot be told: {error.message}",)
        self.manners.say(f"Put {one.aside} back as {one.database} on {one.server}; the recovered one is kept beside.")
        self.manners.say("\n".join(["Written since the switch:", *(f"  - {text}" for text in lost or ("nothing",))]))
        agree(f"Undo the recovery of {one.database} on {one.server} (server {one.system_identifier})?",
              one.database, one.plan, self.yes, one.thing)  # fmt: skip
        log.note(notes=(*one.notes, *(f"written to the recovered one: {text}" for text in lost)))
        return self._undone(scene, log)

    def _undone(self, scene: carry_out.Scene, log: journal.Log) -> int:
        failed: PgproofError | None = None
        try:
            undo.undo(scene, log, self.now)
        except PgproofError as error:
            failed = error
        if log.recovery.state == "undone":
            failed = self._reported(log, failed)
        if failed is not None:
            raise failed
        one = log.recovery
        return self._tell(log, f"Undone: {one.database} is the old one; the recovered one is {one.undone_as}.")

    def _forget(self, scene: carry_out.Scene, log: journal.Log) -> int:
        one = log.recovery
        gone = undo.put_aside(scene, log)
        agree(f"Drop {gone} on {one.server} for good?", one.database, one.plan, self.yes, one.thing)
        checks = resolve(self.source.checks)
        return self._tell(log, f"Dropped: {undo.forget(scene, log, checks)}.")

    # -- telling ----------------------------------------------------------------------------------

    def _tell(self, log: journal.Log, text: str) -> int:
        self.note.text = text
        self.manners.say(text)
        for one in log.recovery.notes:
            self.manners.say(f"  {one}")
        self.manners.document({**msgspec.to_builtins(log.recovery), "text": text, "seconds": log.recovery.seconds})
        return 0

    def _reported(self, log: journal.Log, failed: PgproofError | None) -> PgproofError | None:
        """Write the report; what is to be raised, of both."""
        try:
            self._report(log)
        except OSError as error:
            more: PgproofError = Degraded(f"the report cannot be written here: {error.strerror}", hint="make room")
        except PgproofError as error:
            more = error
        else:
            return failed
        if failed is None:
            return more
        failed.message += f"; and {more.message}"
        return failed

    def _report(self, log: journal.Log) -> None:
        """Kept here first, then in the store. Raises Degraded when the store does not take it."""
        one, now = log.recovery, datetime.now(UTC)
        pages = {"md": report.markdown(one, now), "html": report.html(one, now)}
        ending = "" if one.state == "finished" else f"-{one.state}"  # a store may not let a page be replaced
        stem = f"incidents/{stamp_of(one.began)}{ending}"
        here = log.path.parent / one.source / stem
        here.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for suffix, text in pages.items():
            here.with_suffix(f".{suffix}").write_text(text, encoding="utf-8")
        self.manners.say(f"The incident report: {here}.md and .html, also in the store {one.store}")
        try:
            place = open_repository(self.conf.store(one.store)).store
            for suffix, text in pages.items():
                with place.create(f"{one.source}/{stem}.{suffix}", replace=True) as sink:
                    sink.write(text.encode())
        except PgproofError as error:
            raise Degraded(
                f"{one.state}, and the store did not take the report: {error.message}", hint=error.hint
            ) from error


@dataclasses.dataclass(frozen=True, slots=True)
class _Revived:
    """What brought the server back, in a sentence; whether it is a new one, with nothing in it."""

    text: str
    fresh: bool


def _rehearsed(found: gather.Found, now: datetime) -> planning.Plan:
    """The plan of a drill: of throw-away things nothing needs to be agreed to."""
    made = found.candidate.manifest
    name = made.database.name if made.cluster is None else f"pgproof_drill_{os.urandom(6).hex()}"
    facts = planning.Facts(
        made.source, "a throw-away server", "", name, made.cluster is None, 0, "", found.candidate,
        found.store, found.reasons, (), (), "", (), (),
    )  # fmt: skip
    return planning.plan(facts, now)
