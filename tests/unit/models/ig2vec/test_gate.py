"""A version is promoted unless it loses more than the margin."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ig2vec.gate import Decision, GateError, QualityFigures, decide

MAJORITY = 0.01


def figures(macro_f1: float, accounts: int = 500, topics: int = 20) -> QualityFigures:
    return QualityFigures(
        macro_f1=macro_f1,
        low=macro_f1 - 0.02,
        high=macro_f1 + 0.02,
        accuracy=0.4,
        majority_f1=MAJORITY,
        random_f1=0.02,
        purity=0.2,
        purity_chance=0.1,
        neighbours=10,
        accounts=accounts,
        covered=accounts,
        topics=topics,
    )


def test_a_loss_within_the_margin_is_promoted_and_a_larger_one_is_not() -> None:
    kept = decide(figures(0.115), figures(0.12), 0.01)
    assert (kept.promote, kept.reason) == (
        True,
        "macro-F1 0.1150 against 0.1200 loses 0.0050, within the margin 0.01",
    )
    lost = decide(figures(0.10), figures(0.12), 0.01)
    assert (lost.promote, lost.reason) == (
        False,
        "macro-F1 0.1000 against 0.1200 loses 0.0200, more than the margin 0.01",
    )
    assert decide(figures(0.13), figures(0.12), 0.0).reason == (
        "macro-F1 0.1300 against 0.1200 (+0.0100)"
    )


shares = st.floats(0, 1)


@given(shares, shares, shares, shares)
def test_a_better_candidate_or_a_wider_margin_never_turns_a_yes_into_a_no(
    candidate: float, live: float, margin: float, more: float
) -> None:
    promoted = decide(figures(candidate), figures(live), margin).promote
    assert promoted == (candidate - live >= -margin and candidate >= MAJORITY)
    if promoted:
        assert decide(figures(max(candidate, more)), figures(live), margin).promote
        assert decide(figures(candidate), figures(live), max(margin, more)).promote


def test_the_best_and_the_commonest_topic_are_floors() -> None:
    sunk = decide(figures(0.50), figures(0.51), 0.02, figures(0.55))
    assert (sunk.promote, sunk.reason) == (
        False,
        "macro-F1 0.5000 against 0.5500 of the best of the last versions loses 0.0500, "
        "more than the margin 0.02",
    )
    assert sunk.best == figures(0.55)
    assert decide(figures(0.54), figures(0.51), 0.02, figures(0.55)).promote
    guesses = decide(figures(0.005), None)
    assert (guesses.promote, guesses.reason) == (
        False,
        "macro-F1 0.0050 against 0.0100 of always guessing the commonest topic loses 0.0050",
    )


def test_a_decision_of_before_there_was_a_best_still_decodes() -> None:
    before = b'{"promote":true,"reason":"","margin":0.02,"candidate":null,"live":null}'
    assert msgspec.json.decode(before, type=Decision).best is None


def test_what_cannot_be_compared_is_promoted_and_said() -> None:
    assert decide(figures(0.1), None).reason == "no live version to compare with"
    unmeasured = decide(None, figures(0.1))
    assert (unmeasured.promote, unmeasured.reason) == (
        True,
        "not measured: too few labelled accounts",
    )


def test_figures_of_different_accounts_are_refused() -> None:
    with pytest.raises(GateError, match="500 accounts of 20 topics, the live version on 499 of 20"):
        decide(figures(0.1), figures(0.1, accounts=499))
    with pytest.raises(GateError, match="500 of 19"):
        decide(figures(0.1), figures(0.1, topics=19))


@pytest.mark.parametrize("margin", [-0.1, 1.1, math.nan])
def test_a_margin_that_is_no_share_is_refused(margin: float) -> None:
    with pytest.raises(GateError, match="margin"):
        decide(figures(0.1), figures(0.1), margin)


def test_a_figure_that_is_no_number_is_refused() -> None:
    with pytest.raises(GateError, match="candidate's macro-F1 nan"):
        decide(figures(math.nan), figures(0.1))
    with pytest.raises(GateError, match="live version's macro-F1 nan"):
        decide(figures(0.1), figures(math.nan))


def test_a_decision_is_recorded_as_json() -> None:
    decision = decide(figures(0.1), figures(0.1))
    recorded = msgspec.json.encode(decision)
    assert msgspec.json.decode(recorded, type=Decision) == decision
