"""How much of a sweep is run: a sample, the same in every run, or all of it (`make sweep`, PGPROOF_SWEEP=1).

A test that sweeps (kill points, calls to a store, flipped bits, power cuts) is marked with how many moments a sample
tries and how many the whole has, and asks the fixture `sweep` which it is:

    @pytest.mark.sweep(8, full=130)
    def test_backup_killed(..., sweep: int) -> None:

A sweep whose length shows only as it is run (each call to a store fails, until a run has no call left to fail) takes
every N-th of them in a sample, `@pytest.mark.sweep(every=4)`, and the fixture is that stride: 1 in the whole.

A whole sweep leaves a line in docs/evidence.md: when, what, how many moments, with which seed, and how it ended.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

SEED = 20261123
WHOLE = bool(os.environ.get("PGPROOF_SWEEP"))
EVIDENCE = Path(__file__).resolve().parent.parent / "docs" / "evidence.md"
_One = TypeVar("_One")


def spread(everything: Sequence[_One], count: int) -> list[_One]:
    """`count` of them, from the first on at even distances; all where there are no more."""
    stride = max(1.0, len(everything) / count)
    return [everything[int(index * stride)] for index in range(min(count, len(everything)))]


@pytest.fixture
def sweep(request: pytest.FixtureRequest) -> int:
    *_, marker = request.node.iter_markers("sweep")  # that of a parameter comes last, and counts
    if every := marker.kwargs.get("every"):
        request.node.user_properties.append(("sweep", "all"))
        return 1 if WHOLE else int(every)
    size: int = marker.kwargs["full"] if WHOLE else marker.args[0]
    request.node.user_properties.append(("sweep", f"{size:,}"))
    return size


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Keep the evidence of a whole sweep."""
    if not WHOLE or hasattr(terminalreporter.config, "workerinput"):  # xdist's workers have no more than their share
        return
    day = datetime.now(UTC).date().isoformat()
    lines = []
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            size = dict(report.user_properties).get("sweep")
            if report.when == "call" and size is not None:
                lines.append(f"| {day} | `{report.nodeid}` | {size} | {SEED} | {outcome} | {report.duration:.0f} s |\n")
    with EVIDENCE.open("a", encoding="utf-8") as file:
        file.writelines(sorted(lines))
