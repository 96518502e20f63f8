"""Arms and what came of what they showed: joins, and intervals of rates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.actions import Action
from models.evaluation.experiment_metrics import Difference, Rate, design_effect, difference, rate
from models.events import MediaEvent
from streams.recorded.experiment_report import WINDOW_MS, ArmOutcomes

T = 1_700_000_000_000


def page(viewer: str, request: str, arm: str, media: list[str], drawn: int = 0) -> bytes:
    items = [{"media_id": m, "propensity": 0.1 if i < drawn else 1.0} for i, m in enumerate(media)]
    return msgspec.json.encode(
        {"viewer_id": viewer, "request_id": request, "items": items, "versions": {"arm": arm}}
    )


def act(
    outcomes: ArmOutcomes, viewer: str, media: str, ts: int, action: Action = Action.LIKE,
    **fields: Any,
) -> None:  # fmt: skip
    event = MediaEvent(f"{viewer}{media}{ts}", viewer, media, ts, **fields)
    outcomes.act(action, event)


def counts(outcomes: ArmOutcomes) -> dict[str, tuple[int, int, int, int]]:
    return {
        arm: (of["impressions"], of["like"]["count"], of["save"]["count"], of["see_fewer"]["count"])
        for arm, of in outcomes.by_arm("a").items()
    }


def test_actions_are_joined_with_the_page_that_showed_the_media() -> None:
    outcomes = ArmOutcomes()
    outcomes.show(page("v1", "r1", "a", ["m1", "m2"], drawn=1), T)
    outcomes.show(page("v1", "r1", "a", ["m1", "m2"], drawn=1), T + 5)  # asked for again
    outcomes.show(page("v2", "r2", "b", ["m1", "m3"]), T)
    act(outcomes, "v1", "m1", T + 10)
    act(outcomes, "v1", "m1", T + 11, Action.SAVE)
    act(outcomes, "v2", "m3", T + 10, Action.SEE_FEWER)
    act(outcomes, "v2", "m2", T + 10)  # never shown to her
    act(outcomes, "v2", "m1", T - 1)  # before it was shown
    act(outcomes, "v2", "m1", T + WINDOW_MS + 1)  # too late
    outcomes.show(b"{", T)
    assert counts(outcomes) == {"a": (2, 1, 1, 0), "b": (2, 0, 0, 1)}
    assert (outcomes.unmatched, outcomes.skipped) == (3, 1)
    report = outcomes.by_arm("a")
    assert (report["a"]["explored"], report["b"]["explored"]) == (1, 0)
    assert report["b"]["like"]["against_a"]["difference"] == -0.5
    assert "against_a" not in report["a"]["like"]


def test_the_page_that_an_action_names_comes_first_then_the_newest_before_it() -> None:
    outcomes = ArmOutcomes()
    outcomes.show(page("v", "r2", "b", ["m"]), T + 100)
    outcomes.show(page("v", "r1", "a", ["m"]), T)
    act(outcomes, "v", "m", T + 200, request_id="r1")
    act(outcomes, "v", "m", T + 200, Action.SAVE)
    act(outcomes, "v", "m", T + 50, Action.SEE_FEWER, request_id="another page")
    assert counts(outcomes) == {"b": (1, 0, 1, 0), "a": (1, 1, 0, 1)}


def test_an_action_counts_once_and_not_when_it_was_taken_back() -> None:
    outcomes = ArmOutcomes()
    outcomes.show(page("v", "r", "a", ["m", "n"]), T)
    act(outcomes, "v", "m", T + 30, undo=True)
    act(outcomes, "v", "m", T + 10)
    act(outcomes, "v", "n", T + 10)
    act(outcomes, "v", "n", T + 10)
    assert counts(outcomes) == {"a": (2, 1, 0, 0)}


@given(
    shown=st.lists(st.integers(1, 50), max_size=30),
    seed=st.integers(0, 99),
    chance=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
)
def test_a_rate_lies_in_its_interval(shown: list[int], seed: int, chance: float) -> None:
    shown_v = np.array(shown, np.int64)
    acted_v = np.random.default_rng(seed).binomial(shown_v, chance)
    found = rate(shown_v, acted_v)
    assert 0.0 <= found.low <= found.rate + 1e-12 and found.rate - 1e-12 <= found.high <= 1.0
    assert found.low < found.high
    assert design_effect(shown_v, acted_v) >= 1.0


def test_wilson_is_wilson() -> None:
    found = rate(np.ones(100, np.int64), np.arange(100) < 10)
    # The values of the textbook formula for 10 of 100.
    assert (found.low, found.high) == (
        pytest.approx(0.0552, abs=5e-4),
        pytest.approx(0.1744, abs=5e-4),
    )
    assert rate(np.ones(20, np.int64), np.zeros(20, np.int64)).high == pytest.approx(
        0.161, abs=1e-3
    )
    assert rate(np.zeros(0, np.int64), np.zeros(0, np.int64)) == Rate(0, 0.0, 0.0, 1.0)


def test_intervals_hold_the_truth_as_often_as_they_say_though_viewers_differ() -> None:
    rng, inside, narrow, runs = np.random.default_rng(5), 0, 0, 400
    for _ in range(runs):
        shown_v = rng.integers(5, 60, 150)
        acted_v = rng.binomial(shown_v, rng.beta(0.5, 4.5, 150))
        found = rate(shown_v, acted_v)
        inside += found.low <= 0.1 <= found.high
        alone = rate(np.ones(shown_v.sum(), np.int64), np.arange(shown_v.sum()) < acted_v.sum())
        narrow += alone.low <= 0.1 <= alone.high
    assert inside / runs > 0.92
    assert narrow / runs < 0.75


def test_a_difference_has_the_sign_and_width_of_its_parts() -> None:
    low, high = Rate(10, 0.1, 0.05, 0.17), Rate(30, 0.3, 0.22, 0.39)
    found = difference(high, low, 0.05)
    assert found.difference == pytest.approx(0.2)
    assert 0.05 < found.low < 0.2 < found.high < 0.34
    back = difference(low, high, 0.05)
    assert (back.low, back.high) == (pytest.approx(-found.high), pytest.approx(-found.low))
    assert back.always_low == pytest.approx(-found.always_high)
    assert found.always_low < found.low < found.high < found.always_high


def arms_day_by_day(seed: int, lift: float) -> Iterator[Difference]:
    """Two arms of viewers who come again, looked at every day for three weeks."""
    rng, viewers = np.random.default_rng(seed), 120
    chance_av = rng.beta(2.0, 18.0, (2, viewers))
    chance_av[0] = np.minimum(chance_av[0] + lift, 1.0)
    shown_av, acted_av = np.zeros((2, 2, viewers), np.int64)
    for _ in range(21):
        today_av = rng.integers(1, 6, (2, viewers))
        acted_av += rng.binomial(today_av, chance_av)
        shown_av += today_av
        arm, against = (rate(shown_av[a], acted_av[a]) for a in (0, 1))
        yield difference(arm, against, 0.02)


def test_who_looks_every_day_is_not_fooled_by_arms_that_are_alike() -> None:
    always, once = 0, 0
    for seed in range(150):
        looks = list(arms_day_by_day(seed, 0.0))
        always += any(look.decided is not None for look in looks)
        once += any(not look.low <= 0.0 <= look.high for look in looks)
    assert always / 150 <= 0.05
    # What an interval for one look says when it is looked at every day.
    assert once / 150 > 0.1


def test_a_real_difference_is_decided_for_the_right_arm() -> None:
    found = [list(arms_day_by_day(seed, 0.08))[-1].decided for seed in range(20)]
    assert "lower" not in found
    assert found.count("higher") >= 18


def test_what_is_decided_says_which_arm_is_ahead() -> None:
    few, many = Rate(100, 0.1, 0.09, 0.11), Rate(300, 0.3, 0.28, 0.32)
    assert difference(many, few, 0.01).decided == "higher"
    assert difference(few, many, 0.01).decided == "lower"
    assert difference(few, few, 0.01).decided is None
