"""What is told to be wrong, what comes first, and that nothing is told where all is well."""

from __future__ import annotations

from typing import Any

import pytest

from infra.http.operations import (
    Check,
    Funnel,
    GridFigures,
    GroupLag,
    LogState,
    Memory,
    Trouble,
)
from infra.recent import Spread
from streams.operations.log_state import READ, role_states
from streams.operations.troubles import ALL_WELL, headline, troubles
from streams.topology import EXAMPLES_GROUP, LEARNER, LETTERS_GROUP, RANKER, WORKER

KEEPING_UP = LogState([], [])


def figures(**changed: Any) -> GridFigures:
    fields: dict[str, Any] = {
        "made": 10,
        "failed": 0,
        "waiting": 0,
        "event_to_grid": Spread(100, 30.0, 90.0),
        "making": None,
        "by_source": {},
        "funnel": Funnel(5000, {"first": 10, "second": 3}),
        "stale_reads": None,
    }
    return GridFigures(**{**fields, **changed})


def found(**changed: Any) -> list[Trouble]:
    fields: dict[str, Any] = {
        "log": KEEPING_UP,
        "grids": figures(),
        "memory": Memory(500, 1000),
        "dead_letters": 0,
        "checks": [Check("kafka", True, "there")],
        "refused": None,
        "caught_up": True,
    }
    return troubles(**{**fields, **changed})


def behind(records: int, role: str = WORKER) -> LogState:
    return LogState([], [GroupLag(role, "group", "events.like", records)])


def test_all_is_well() -> None:
    assert found() == []
    assert headline([]) == ALL_WELL
    # A server without a limit cannot be full, and nobody need do anything.
    assert found(memory=Memory(10**12, None), grids=figures(event_to_grid=None)) == []


@pytest.mark.parametrize(
    ("changed", "what", "severity"),
    [
        ({"checks": [Check("redis", False, "it is away; start it")]}, "redis", "wrong"),
        ({"memory": Memory(950, 1000)}, "redis_full", "wrong"),
        ({"memory": Memory(800, 1000)}, "redis_full", "look"),
        ({"memory": None}, "memory", "look"),
        ({"log": None}, "log", "look"),
        ({"log": behind(2_000)}, "lag", "look"),
        ({"log": behind(200_000)}, "lag", "wrong"),
        ({"log": behind(2_000, LEARNER)}, "lag", "look"),
        ({"grids": figures(waiting=20_000)}, "grids_wait", "wrong"),
        ({"grids": figures(failed=1)}, "grids_fail", "look"),
        ({"grids": figures(event_to_grid=Spread(9, 6_000.0, 9_000.0))}, "slow", "look"),
        ({"grids": figures(funnel=Funnel(5000, {"first": 600}))}, "funnel", "look"),
        ({"dead_letters": 3}, "dead_letters", "look"),
        ({"refused": "no such query"}, "experiment", "look"),
        ({"caught_up": False}, "reading", "look"),
    ],
)
def test_each_trouble_is_told_once_with_what_to_do(
    changed: dict[str, Any], what: str, severity: str
) -> None:
    [trouble] = found(**changed)
    assert (trouble.what, trouble.severity) == (what, severity)
    assert trouble.remedy
    assert trouble.says in headline([trouble])


def test_what_is_wrong_comes_before_what_can_wait() -> None:
    told = found(dead_letters=1, caught_up=False, memory=Memory(950, 1000))
    assert [trouble.what for trouble in told] == ["redis_full", "reading", "dead_letters"]
    first = headline(told)
    assert first.startswith("Redis is 95% full. Raise its maxmemory")
    assert first.endswith("2 more below.")


def test_a_role_is_only_told_of_as_far_as_it_is_known() -> None:
    states = {of.role: of.state for of in role_states(None, caught_up=True)}
    assert states == {RANKER: "up", WORKER: "unknown", LEARNER: "unknown"}
    states = {of.role: of.state for of in role_states(behind(5_000), caught_up=False)}
    assert states == {RANKER: "up", WORKER: "behind", LEARNER: "keeps_up"}


def test_groups_whose_offsets_wait_on_purpose_are_no_lag() -> None:
    groups = {group for _, group in READ}
    assert len(groups) == 3
    assert groups.isdisjoint({EXAMPLES_GROUP, LETTERS_GROUP})
