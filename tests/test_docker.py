"""The room of Docker: order, and what is made of the engine's words, without an engine."""

from hypothesis import given
from hypothesis import strategies as st

from pgproof.docker import Container, stop_order

NAMES = ("a", "b", "c", "d", "e")


def container(name: str, needs: tuple[str, ...] = (), project: str = "p") -> Container:
    labels = {
        "com.docker.compose.project": project,
        "com.docker.compose.service": name,
        "com.docker.compose.depends_on": ",".join(f"{one}:service_started:false" for one in needs),
    }
    return Container(f"id-{name}", name, "image", "sha256:0", "running", labels=labels)


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES))), max_size=5, unique_by=lambda t: t[0])
)
def test_dependants_stop_first_whatever_the_names(drawn: list[tuple[str, set[str]]]) -> None:
    every = [container(name, tuple(one for one in needs if one > name)) for name, needs in drawn]  # no circles
    order = [one.name for one in stop_order(every)]
    assert sorted(order) == sorted(name for name, _ in drawn)
    for one in every:
        for needed in one.depends_on:
            assert needed not in order or order.index(one.name) < order.index(needed)


@given(st.permutations([container(name, tuple(set(NAMES) - {name})) for name in NAMES]))
def test_a_circle_is_broken_and_nothing_is_lost(every: list[Container]) -> None:
    assert sorted(one.name for one in stop_order(every)) == list(NAMES)


def test_named_services_stop_before_the_database_which_compose_knows_nothing_of() -> None:
    database, app, other = container("db", project=""), container("zapp", project=""), container("other", project="")
    assert [one.name for one in stop_order((database, app, other), ("zapp",))] == ["zapp", "db", "other"]
    both = (container("db"), container("web", ("db",)), container("cron", ("db",)))
    assert [one.name for one in stop_order(both, ("web",))] == ["web", "cron", "db"]


def test_what_a_container_needs_is_taken_from_composes_label() -> None:
    assert container("web", ("db", "cache")).depends_on == ("db", "cache")
    assert container("web").depends_on == ()


def test_secrets_in_an_environment_are_not_shown() -> None:
    made = Container("i", "n", "im", "sha256:0", "running", env={"POSTGRES_PASSWORD": "hidden-word"})
    assert "hidden-word" not in repr(made)
