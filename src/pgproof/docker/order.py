"""In which order containers are stopped and started: who depends on another goes first, and comes back last."""

import graphlib
from collections.abc import Iterable, Sequence

from pgproof.docker.nouns import Container


def stop_order(containers: Iterable[Container], services: Sequence[str] = ()) -> list[Container]:
    """Dependants before what they need: by Compose's `depends_on` within a project; `services`, names of
    containers, before all that are not among them, in the order given. A circle is broken, not refused.
    """
    every = sorted(containers, key=lambda one: _place(one, services))
    graph: dict[str, set[str]] = {one.id: set() for one in every}  # id: those which must be stopped before
    for needed in every:
        for other in every:
            if _needs(other, needed) and not _reaches(graph, other.id, needed.id):
                graph[needed.id].add(other.id)
    by_id = {one.id: one for one in every}
    sorter, order = graphlib.TopologicalSorter(graph), []
    sorter.prepare()
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=lambda id_: _place(by_id[id_], services))
        order += [by_id[id_] for id_ in ready]
        sorter.done(*ready)
    return order


def _place(one: Container, services: Sequence[str]) -> tuple[int, str]:
    return (services.index(one.name) if one.name in services else len(services), one.name)


def _needs(one: Container, other: Container) -> bool:
    same = one.id != other.id and one.project != "" and one.project == other.project
    return same and other.service in one.depends_on


def _reaches(graph: dict[str, set[str]], start: str, goal: str) -> bool:
    """Whether `goal` must already be stopped before `start`."""
    waiting, seen = [start], set[str]()
    while waiting:
        at = waiting.pop()
        if at == goal:
            return True
        if at not in seen:
            seen.add(at)
            waiting += graph[at]
    return False
