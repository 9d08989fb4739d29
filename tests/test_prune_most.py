"""`most` holds for one whole run of prune: all sources, all stores, in the order in which they are configured."""

from collections.abc import Iterator

import pytest

from tests.conftest import Program, Servers, drop_database
from tests.kit import run

RULES = '[retention]\nkeep_within = "none"\nkeep_last = 1\nkeep_proven = 1\nmost = '


@pytest.fixture
def stocked(servers: Servers, program: Program) -> Iterator[Program]:
    """Two sources, each with three backups in two stores: all but the newest of each may go, eight in all."""
    sources = {name: servers.database(17) for name in ("one", "two")}
    for address in sources.values():
        run(address, "CREATE TABLE t (id int)")
    second = f'[stores.second]\nurl = "{program.folder / "second"}"\n'
    program.configure(second, **sources)
    for _ in range(3):
        program.ok("backup", "--quiet")
    program.configure(second + RULES + "3\n", **sources)
    yield program
    for address in sources.values():
        drop_database(servers(17).address, address.database)


def counted(program: Program, *words: str) -> dict[tuple[str, str], int]:
    """What a run deletes, or would, by store and source."""
    told = program.ok("prune", *words, "--json").json
    return {(one["store"], one["source"]): sum(not verdict["keep"] for verdict in one["verdicts"]) for one in told}


def there(program: Program) -> int:
    return sum(len(program.ok("list", "--json", "--store", store).json) for store in ("local", "second"))


@pytest.mark.slow
def test_f12_most_is_of_all_that_one_run_deletes(stocked: Program) -> None:
    assert there(stocked) == 12
    assert counted(stocked, "two", "--store", "second") == {("second", "two"): 2}, "a run of one by itself"
    first = {("local", "one"): 2, ("local", "two"): 1, ("second", "one"): 0, ("second", "two"): 0}
    assert counted(stocked) == first, "what is said is what --apply does"
    said = stocked.ok("prune").out
    assert said.count("for a later run: one run deletes at most 3, and has deleted 3 of other sources") == 4
    assert said.count("for a later run: one run deletes at most 3, and has deleted 2 of other sources") == 1
    assert counted(stocked, "--apply") == first and there(stocked) == 9
    assert counted(stocked, "--apply") == {
        ("local", "one"): 0, ("local", "two"): 1, ("second", "one"): 2, ("second", "two"): 0,
    }  # fmt: skip
    assert there(stocked) == 6
    assert sum(counted(stocked, "--apply").values()) == 2 and there(stocked) == 4
    assert sum(counted(stocked, "--apply").values()) == 0
