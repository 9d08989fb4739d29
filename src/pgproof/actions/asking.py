"""What a restored database is asked: the source's checks, and what was written to it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pgproof.checks import Check
from pgproof.errors import QueryFailed
from pgproof.evidence import Difference
from pgproof.postgres.server import Address, Session, connect

_COUNTERS = """SELECT schemaname || '.' || relname, n_tup_ins, n_tup_upd, n_tup_del
    FROM pg_catalog.pg_stat_user_tables"""
_SETTINGS = "SET default_transaction_read_only = on; SET statement_timeout = '10min'; SET search_path = public"


@dataclass(slots=True)
class Answers:
    """What each check said; a failed one is a difference, or a warning where it is a warning's check."""

    true: dict[str, bool] = field(default_factory=dict)
    failed: list[Difference] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)


def ask(address: Address, checks: Iterable[Check]) -> Answers:
    """Ask every question, read-only. A question that fails to run is a failed one. Raises Unreachable."""
    answers = Answers()
    with connect(address) as session:
        session.run(_SETTINGS)
        for check in checks:
            answers.true[check.name], said = _ask(session, check)
            if answers.true[check.name]:
                continue
            if check.warning:
                answers.warned.append(f"check {check.name}: {check.text}: {said}")
            else:
                answers.failed.append(Difference(f"check {check.name}", f"{check.text}: {said}"))
    return answers


def counters(database: Address) -> dict[str, tuple[int, int, int]]:
    """Per table: rows inserted, updated, deleted since its statistics began. Raises Unreachable."""
    with connect(database) as session:
        return {table: (ins, upd, gone) for table, ins, upd, gone in session.rows(_COUNTERS)}


def _ask(session: Session, check: Check) -> tuple[bool, str]:
    try:
        answer = session.value(check.sql)
    except (QueryFailed, IndexError) as error:
        return False, f"the question failed: {error}"
    return answer is True, f"the answer is {str(answer).lower()}"
