"""The gate of the rankers, and the drift of what they predict."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from models.actions import HEADS
from models.evaluation.grid_gate import MIN_SETS, grid_figures
from models.evaluation.ranker_gate import (
    CALIBRATED,
    CALIBRATION_MARGIN,
    MIN_POSITIVES,
    HeadFigures,
    RankerDecision,
    RankerFigures,
    decide_rankers,
    measurable,
    ranker_figures,
)
from models.evaluation.score_drift import REFERENCE, ScoreDrift
from models.ig2vec.gate import GateError
from tests.unit.models.training.test_rankers import LOG_ODDS_H, exposures

GOOD = HeadFigures(auc=0.8, normalised_entropy=0.8, calibration_error=0.01, positives=100)


def figures(**changed: float | None) -> RankerFigures:
    like = msgspec.structs.replace(GOOD, **changed)
    return RankerFigures(
        heads={"like": like, "save": GOOD, "see_fewer": GOOD}, examples=500, newest_ts=9
    )


class Predicts:
    """Predicts with the features that the labels follow, and some noise."""

    def __init__(self, noise: float = 0.0, bias: float = 0.0) -> None:
        self._noise, self._bias = noise, bias

    def score(self, features):
        rng = np.random.default_rng(0)
        logits_nh = features.dense_nf[:, : len(HEADS)] * 1.5 + LOG_ODDS_H + self._bias
        logits_nh = logits_nh + self._noise * rng.normal(size=logits_nh.shape)
        return (1 / (1 + np.exp(-logits_nh))).astype(np.float32)


def test_without_a_live_version_a_candidate_is_promoted() -> None:
    assert decide_rankers(figures(), None).promote


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (
            {"auc": 0.79},
            "like AUC 0.7900 against 0.8000 of the live version loses 0.0100, more than 0.005",
        ),
        (
            {"normalised_entropy": 0.82},
            "like normalised entropy 0.8200 against 0.8000 of the live version gains 2.5%, "
            "more than 1%",
        ),
        (
            {"calibration_error": 0.03},
            "like calibration error 0.0300 against 0.0100 of the live version, at most 0.0200",
        ),
        ({"auc": None}, "like gives no figures"),
    ],
)
def test_a_worse_candidate_is_refused_and_told_why(changed, reason) -> None:
    decision = decide_rankers(figures(**changed), figures())
    assert not decision.promote
    assert reason in decision.reason


@pytest.mark.parametrize(
    "changed", [{}, {"auc": 0.796}, {"auc": 0.9}, {"calibration_error": 0.019}]
)
def test_one_as_good_is_promoted_with_its_figures(changed) -> None:
    decision = decide_rankers(figures(**changed), figures())
    assert decision.promote
    assert decision.candidate == figures(**changed)
    assert decision.live == figures()
    assert "like AUC" in decision.reason


def test_a_head_with_few_positives_does_not_decide() -> None:
    few = {"positives": MIN_POSITIVES - 1}
    assert decide_rankers(figures(auc=0.1, **few), figures(**few)).promote
    nothing = RankerFigures(
        heads={head: msgspec.structs.replace(GOOD, positives=3) for head in HEADS},
        examples=500,
        newest_ts=9,
    )
    decision = decide_rankers(nothing, nothing)
    assert not decision.promote
    assert "wait for more labels" in decision.reason


def test_figures_that_cannot_be_compared() -> None:
    with pytest.raises(GateError, match="measure both on the same"):
        decide_rankers(figures(), msgspec.structs.replace(figures(), examples=499))
    with pytest.raises(GateError, match="margin 2"):
        decide_rankers(figures(), figures(), 2)


def test_a_head_that_guesses_is_refused_even_where_nothing_is_live() -> None:
    guesses = decide_rankers(figures(auc=0.48), None)
    assert not guesses.promote
    assert guesses.reason == "like AUC 0.4800 against 0.5 of guessing loses 0.0200"
    assert decide_rankers(figures(auc=0.5), None).promote
    few = figures(auc=0.1, positives=MIN_POSITIVES - 1)
    assert decide_rankers(few, None).promote


def test_the_best_of_the_last_versions_is_no_less_asked_for_than_the_live_one() -> None:
    decision = decide_rankers(figures(auc=0.79), figures(auc=0.792), best=figures(auc=0.8))
    assert not decision.promote
    assert decision.reason == (
        "like AUC 0.7900 against 0.8000 of the best version loses 0.0100, more than 0.005"
    )
    assert decision.best == figures(auc=0.8)
    with pytest.raises(GateError, match="the best version on 499"):
        decide_rankers(figures(), None, best=msgspec.structs.replace(figures(), examples=499))


def test_grids_speak_where_no_head_can_be_measured_and_against_what_the_heads_say() -> None:
    nothing = RankerFigures(
        heads={"like": msgspec.structs.replace(GOOD, positives=0)}, examples=0, newest_ts=0
    )
    level = np.full(MIN_SETS, 0.2)
    good = grid_figures(level, {"live": level, "prior": level - 0.1}, 0.01)
    bad = grid_figures(level - 0.1, {"live": level}, 0.01)
    unknown = grid_figures(level[1:], {"live": level[1:]}, 0.01)
    assert decide_rankers(nothing, nothing, grids=good).promote
    assert not decide_rankers(figures(), figures(), grids=bad).promote
    assert decide_rankers(figures(), figures(), grids=unknown).promote
    undecided = decide_rankers(nothing, nothing, grids=unknown)
    assert not undecided.promote
    assert "grids not measured: 29 choices held out, 30 are needed" in undecided.reason
    first = decide_rankers(nothing, None, grids=unknown)
    assert first.promote
    assert "not measured" in first.reason


def test_a_decision_of_before_there_were_grids_still_decodes() -> None:
    before = (
        b'{"promote":true,"reason":"like AUC 0.8 against 0.8","margin":0.005,"candidate":{"heads":'
        b'{"like":{"auc":0.8,"normalised_entropy":0.8,"calibration_error":0.01,"positives":100}},'
        b'"examples":500,"newest_ts":9},"live":null}'
    )
    decision = msgspec.json.decode(before, type=RankerDecision)
    assert (decision.promote, decision.best, decision.grids) == (True, None, None)
    grids = grid_figures(np.full(MIN_SETS, 0.2), {"prior": np.full(MIN_SETS, 0.1)}, 0.01)
    now = decide_rankers(figures(), figures(), best=figures(), grids=grids)
    assert msgspec.json.decode(msgspec.json.encode(now), type=RankerDecision) == now


def test_real_figures_tell_a_good_pass_from_a_noisy_and_from_a_biased_one() -> None:
    rows = exposures(4000)
    assert measurable(rows)
    assert not measurable(exposures(5))
    good, noisy, biased = (
        ranker_figures(made, rows) for made in (Predicts(), Predicts(noise=2.0), Predicts(bias=1.0))
    )
    assert decide_rankers(good, good).promote
    assert "AUC" in decide_rankers(noisy, good).reason
    assert not decide_rankers(noisy, good).promote
    assert "calibration error" in decide_rankers(biased, good).reason
    assert not decide_rankers(biased, good).promote


def test_few_rows_do_not_fail_one_that_is_right_but_one_that_is_wrong() -> None:
    errors, promoted = [], []
    for seed in range(10, 50):
        rows = exposures(1000, seed)
        right, wrong = (ranker_figures(Predicts(bias=of), rows) for of in (0.0, 0.7))
        live = ranker_figures(Predicts(), rows)
        errors.append(right.heads["like"].calibration_error)
        against = msgspec.structs.replace(live, heads=lucky(live))
        promoted.append(decide_rankers(right, against).promote)
        assert "calibration error" in decide_rankers(wrong, live).reason
    assert max(errors) > CALIBRATED + CALIBRATION_MARGIN
    # Three heads, each further than chance is thought to go now and then: one in ten is refused.
    assert sum(promoted) >= 30


def lucky(figures: RankerFigures) -> dict[str, HeadFigures]:
    """As if the live version fitted these rows by accident."""
    return {
        head: msgspec.structs.replace(of, calibration_error=0.0)
        for head, of in figures.heads.items()
    }


def predictions(shift: float, seed: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    logits_nh = rng.normal(-3.0, 1.0, (n, len(HEADS)))
    logits_nh[:, 0] += shift
    return 1 / (1 + np.exp(-logits_nh))


def test_drift_is_told_of_the_head_that_drifted() -> None:
    watch = ScoreDrift()
    watch.add("one", predictions(0.0, 1, REFERENCE))
    assert watch.drift() == {}
    watch.add("one", predictions(0.0, 2, 2 * REFERENCE))
    assert max(watch.drift().values()) < 0.02
    for seed in range(3, 9):
        watch.add("one", predictions(1.5, seed, REFERENCE))
    drift = watch.drift()
    assert drift["like"] > 0.5
    assert drift["save"] < 0.02
    # Another version has its own reference.
    watch.add("two", predictions(1.5, 10, REFERENCE))
    assert watch.drift() == {}


def test_broken_predictions_do_not_break_the_watch() -> None:
    watch = ScoreDrift()
    watch.add("one", predictions(0.0, 1, REFERENCE))
    watch.add("one", np.full((REFERENCE, len(HEADS)), np.nan))
    assert all(np.isfinite(value) and value > 1 for value in watch.drift().values())
    watch.add("one", np.zeros((0, len(HEADS))))
