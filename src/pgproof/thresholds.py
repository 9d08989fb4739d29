"""From where on health calls something unusual, late or scarce; retention goes by the same where it pauses."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Thresholds:
    """One for each judgement; what each means stands in docs/findings.md. Factors are of what is usual: a median."""

    look_back: int = 10  # so many earlier backups or runs say what is usual
    enough: int = 3  # so many are needed before "much bigger" or "much slower" means anything
    smaller: float = 0.5
    larger: float = 5.0
    fewest_rows: int = 100  # a table that moves by fewer is no news
    deviations: float = 5.0  # median deviations by which a table must have moved
    slower: float = 3.0
    slower_by: timedelta = timedelta(minutes=1)
    late: float = 1.25  # intervals: what comes on time within a quarter of its own is not late
    skips: int = 2  # slots left out in a row
    copy_within: timedelta = timedelta(hours=24)
    undone: timedelta = timedelta(days=1)  # so long after its time a deletion that did not come is told
    room: int = 7  # backups; with room for fewer the store is nearly full
    full_soon: timedelta = timedelta(days=30)
    full_very_soon: timedelta = timedelta(days=7)
    drill_room: float = 1.2  # databases: indexes and WAL come on top of what was measured
    key_age: timedelta = timedelta(days=90)
    secret_age: timedelta = timedelta(days=365)
    review: timedelta = timedelta(days=92)  # a quarter
    review_overdue: timedelta = timedelta(days=31)  # more than that, it is pressing


USUAL = Thresholds()
