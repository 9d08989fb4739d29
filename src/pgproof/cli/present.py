"""The present state of all that is configured: what lies in each store, what ran, what health says of it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from pgproof.cli.recording import journal_file
from pgproof.config import Config
from pgproof.daemon import plans, remembered
from pgproof.errors import PgproofError
from pgproof.finding import Finding
from pgproof.job import state_folder
from pgproof.monitor import neighbours, sights
from pgproof.monitor.gather import Machine, survey, view
from pgproof.monitor.health import OF_COPIES, OF_RUNS
from pgproof.monitor.metrics import View
from pgproof.run import Run
from pgproof.schedule import Memory, Plan

_RUNS = 5000  # of the journal, newest first: a year of some tasks a day for several sources


def present(conf: Config, now: datetime) -> View:
    """Every store is asked once; one that is down does not stop the others. Servers are not asked."""
    planned = tuple(plans(conf))
    memories, since = _scheduled(conf, planned, now)
    runs = recent_runs()
    # After the journal was read: who finds it damaged moves it aside.
    beside = (*neighbours.judge(conf, neighbours.remembered()), *conf.left_out, *_set_aside(conf))
    seen = view(conf, survey(conf, now), now, Machine(runs, planned, memories, since, beside))
    return replace(seen, older=_older(runs or ()))


def _older(runs: tuple[Run, ...]) -> Counter[tuple[str, str, str]]:
    """How many runs there were before these, by task, source and outcome; none where the journal cannot be read."""
    from pgproof.monitor.journal import Journal

    try:
        return Counter(Journal(journal_file()).counts()) - Counter((one.task, one.source, one.outcome) for one in runs)
    except PgproofError:
        return Counter()


def _scheduled(
    conf: Config, planned: tuple[Plan, ...], now: datetime
) -> tuple[dict[tuple[str, str], Memory], dict[tuple[str, str], datetime]]:
    """By task and source, what the service remembers of each plan, and since when it is scheduled so; nothing where
    there is no journal, or it cannot be read.
    """
    from pgproof.monitor.journal import Journal

    try:
        if not journal_file().exists():
            return {}, {}
        journal = Journal(journal_file())
        kept = journal.memories()
        written = {plan.key: str(getattr(conf.schedule, plan.task)) for plan in planned}
        return remembered(kept), sights.since(journal, kept, written, now)
    except (PgproofError, OSError):
        return {}, {}


def _set_aside(conf: Config) -> list[Finding]:
    """Damaged journals that were moved away: whoever did it told of it once, and perhaps nobody was there to hear."""
    from pgproof.monitor.journal import damaged

    try:
        found = damaged(journal_file())
    except OSError:
        return []
    hint = "no backup is lost with it; look at the disk it lies on, then remove that file"
    name = conf.sources[0].name
    text = "the journal was damaged and begun anew; what was in it is now {}"
    return [Finding("journal-damaged", "warning", name, f"{name}: {text.format(path)}", hint) for path in found]


def recent_runs() -> tuple[Run, ...] | None:
    """What the journal has, newest first; None where there is none, or it cannot be read."""
    from pgproof.monitor.journal import Journal

    if not journal_file().exists():
        return None
    try:
        return tuple(Journal(journal_file()).runs(limit=_RUNS))
    except PgproofError:
        return None


def health_of(seen: View, sources: list[str]) -> list[Finding]:
    """What health says of these sources, or of all."""
    chosen = [one for one in seen.pictures if not sources or one.source in sources]
    return [finding for one in chosen for finding in one.findings]


def silence(conf: Config) -> list[Finding]:
    """What keeps alerts from arriving, where any are configured: it cannot be told by them."""
    from pgproof.monitor import outbox

    if not conf.alerts.urls:
        return []
    box = outbox.Outbox(state_folder(), "", "")
    kept = box.read()
    if box.note:
        hint = "let one user run both this and the service"
        return [Finding("alerts-not-sent", "warning", "alerts", box.note, hint)]
    return list(outbox.examine(kept, datetime.now(UTC)))


def blind(seen: View) -> set[tuple[str, str]]:
    """What could not be examined, by source and code: of that nothing is over because it is not seen. That is all
    where the first store could not be asked (code ""), else what another store or the journal would have told.
    """
    first, *others = [one.error is not None for one in seen.shelves] or [False]
    known = {one.source for one in seen.runs or () if one.ended}  # a journal that was begun anew knows of none

    def codes(source: str) -> Iterator[str]:
        yield from ("",) if first else ()
        yield from OF_COPIES if any(others) else ()
        yield from OF_RUNS if source not in known else ()

    return {(one.source, code) for one in seen.pictures for code in codes(one.source)}
