"""Present: what could not be looked at is not over."""

from pgproof.cli.present import blind
from pgproof.errors import Unreachable
from pgproof.monitor.metrics import Picture, Shelf, View
from pgproof.run import Run
from tests.test_metrics import NOW

DOWN = Unreachable("it does not answer", hint="wait")


RUNS = tuple(Run("0" * 16, "backup", name, NOW, NOW, "done") for name in ("db", "shop"))


def seen(*errors: Unreachable | None, runs: tuple[Run, ...] | None = RUNS) -> View:
    shelves = tuple(Shelf(f"store{number}", error=error) for number, error in enumerate(errors))
    return View(NOW, "1", (Picture("db"), Picture("shop")), shelves, runs)


def test_where_all_answers_nothing_is_hidden() -> None:
    assert blind(seen(None, None)) == set()


def test_without_the_first_store_nothing_is_seen() -> None:
    assert blind(seen(DOWN, None)) == {("db", ""), ("shop", "")}


def test_without_another_store_its_copies_are_not_seen() -> None:
    assert blind(seen(None, DOWN)) == {
        (name, f"copy-{what}") for name in ("db", "shop") for what in ("missing", "damaged")
    }


def test_without_the_journal_no_run_is_seen() -> None:
    found = blind(seen(None, runs=None))
    assert {("db", "backup-failed"), ("shop", "run-missing")} <= found
    assert ("db", "no-backup") not in found and ("db", "") not in found


def test_of_a_source_that_the_journal_does_not_know_no_run_is_seen() -> None:
    """It was damaged, say, and begun anew."""
    found = blind(seen(None, runs=RUNS[:1]))
    assert ("shop", "backup-failed") in found and {source for source, _ in found} == {"shop"}
