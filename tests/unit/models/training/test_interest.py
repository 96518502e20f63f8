"""Interest: the order of candidates from choices, beside probabilities of what is shown."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from models.actions import HEAD_NAMES, HEADS, NEGATIVE_HEADS, Action
from models.arrays.types import Float
from models.examples.choices import Choices
from models.examples.examples import CandidateSets, Examples
from models.feature_schema import (
    ALL_COLUMNS,
    DENSE_INDEX,
    DENSE_NAMES,
    SPARSE_BUCKETS,
    SPARSE_NAMES,
    FeatureMatrix,
)
from models.rankers.bundle import RankerBundle
from models.rankers.final_pass import FinalPass
from models.rankers.interest import Interest
from models.rankers.networks import ModelError
from models.rankers.prior_order import READ, prior_order
from models.rankers.value import Weights, value
from models.training.distillation import FIRST, SECOND
from models.training.interest import (
    MIN_SETS,
    InterestConfig,
    confirmed,
    prior_interest,
    scaled,
    train_interest,
)
from models.training.loop import TrainingDataError, TrainingDivergedError, reproducible
from models.training.rankers import TrainingConfig, interest_of, train_rankers, value_of

LIKE, SAVE = HEADS.index(Action.LIKE), HEADS.index(Action.SAVE)
SEE_FEWER = HEADS.index(Action.SEE_FEWER)
#: Dense column that decides what is liked, in :func:`choices`.
PREFERRED = 5
_OF_PRIOR = [DENSE_INDEX[name] for name in (*READ, *(f"media_{name}_rate" for name in HEAD_NAMES))]
RUN = TrainingConfig(
    cuts=(30, 15, 5),
    second=msgspec.structs.replace(SECOND, hidden=(8,), top=5),
    first=msgspec.structs.replace(FIRST, hidden=(8,), top=5),
)


def choices(groups: int = 400, size: int = 20, seed: int = 0) -> Choices:
    """Of each set one is liked, by one feature; every fifth set has a see-fewer, by another."""
    rng = np.random.default_rng(seed)
    dense_nf = rng.normal(size=(groups * size, len(DENSE_NAMES))).astype(np.float16)
    # Of what the prior reads nothing is known.
    dense_nf[:, _OF_PRIOR] = 0.0
    labels_nh = np.zeros((groups * size, len(HEADS)), np.uint8)
    for group in range(groups):
        rows = slice(group * size, (group + 1) * size)
        labels_nh[group * size + int(dense_nf[rows, PREFERRED].argmax()), LIKE] = 1
        if group % 5 == 0:
            labels_nh[group * size + int(dense_nf[rows, 6].argmax()), SEE_FEWER] = 1
    return Choices(
        dense_nf=dense_nf,
        sparse_ns=np.zeros((groups * size, len(SPARSE_NAMES)), np.int32),
        labels_nh=labels_nh,
        weights_n=np.where(labels_nh.any(axis=1), 1.0, 5.0).astype(np.float32),
        groups_n=np.arange(groups).repeat(size),
        ts_n=np.arange(groups).repeat(size).astype(np.int64),
    )


def matrix(n: int, seed: int = 0) -> FeatureMatrix:
    rng = np.random.default_rng(seed)
    sparse_ns = np.stack([rng.integers(0, size, n) for size in SPARSE_BUCKETS], axis=1)
    dense_nf = rng.normal(size=(n, len(DENSE_NAMES))).astype(np.float32)
    dense_nf[:, _OF_PRIOR] = 0.0
    return FeatureMatrix(dense_nf, sparse_ns.astype(np.int32))


def sets(groups: int = 24, size: int = 40) -> CandidateSets:
    return CandidateSets(
        features=matrix(groups * size, 3),
        groups_n=np.repeat(np.arange(groups), size),
        logged_n=np.zeros(groups * size, np.bool_),
    )


def trained(made: Choices, seed: int = 1) -> tuple[Interest, dict[str, float]]:
    with reproducible(seed, 1):
        return train_interest(made)


def shown(n: int, seed: int = 2) -> Float:
    probabilities_nh: Float = np.random.default_rng(seed).random((n, len(HEADS)), np.float32)
    return probabilities_nh


def test_a_planted_preference_is_learned_and_told() -> None:
    interest, figures = trained(choices())
    features = matrix(2000)
    score_n = interest.score(features)[:, LIKE]
    assert np.corrcoef(features.dense_nf[:, PREFERRED], np.log(score_n))[0, 1] > 0.8
    assert figures["choices"] == 400.0
    # By chance, the one of 20 stands at about 0.4.
    assert figures["interest_ndcg_like"] > 0.7
    assert "interest_ndcg_save" not in figures


def test_of_a_candidate_it_says_how_often_it_is_chosen() -> None:
    """The newest choices, in which each stands for several, calibrate it."""
    interest, _ = trained(choices())
    unseen = choices(seed=9)
    score_n = interest.score(unseen.features())[:, LIKE]
    rate = 400 / unseen.weights_n.sum()
    assert np.average(score_n, weights=unseen.weights_n) == pytest.approx(rate, rel=0.5)


def test_the_same_choices_give_the_same() -> None:
    one, other = (trained(choices(), seed)[0].to_arrays() for seed in (1, 2))
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])


def test_the_fewer_the_choices_the_nearer_to_the_order_of_the_prior() -> None:
    few, many = (
        train_interest(made, InterestConfig(penalty=penalty))[0]
        for made, penalty in ((choices(), 100.0), (choices(), 1e-3))
    )
    assert np.abs(few.weights_ih).max() < 0.05 < np.abs(many.weights_ih).max()


def test_a_loss_that_is_no_number_is_said() -> None:
    broken = choices()
    broken.weights_n[7] = np.nan
    with pytest.raises(TrainingDivergedError, match="loss is nan"):
        trained(broken)


def test_too_few_choices_are_refused() -> None:
    few = choices(MIN_SETS - 1)
    with reproducible(1, 1), pytest.raises(TrainingDataError, match=f"{MIN_SETS} are needed"):
        train_interest(few)
    assert interest_of(few, RUN) == (None, {})
    assert interest_of(None, RUN) == (None, {})


def test_what_is_unwanted_is_left_to_the_final_pass() -> None:
    interest, _ = trained(choices())
    features, probabilities_nh = matrix(50), shown(50)
    before_nh = probabilities_nh.copy()
    expected_nh = interest.expected(features, probabilities_nh)
    np.testing.assert_array_equal(probabilities_nh, before_nh)
    for h in range(len(HEADS)):
        same = np.array_equal(expected_nh[:, h], probabilities_nh[:, h])
        assert same is (h in NEGATIVE_HEADS), HEAD_NAMES[h]
    # See-fewers were chosen often enough to learn, and still are of no use here.
    every = interest.scaled(np.full(len(HEADS), 1e9, np.float32))
    wild_nh = every.expected(features, probabilities_nh)
    # Nothing is cut: what is wanted most keeps its place before the rest.
    assert (np.argsort(wild_nh[:, LIKE]) == np.argsort(expected_nh[:, LIKE])).all()
    unwanted = list(NEGATIVE_HEADS)
    np.testing.assert_array_equal(wild_nh[:, unwanted], probabilities_nh[:, unwanted])


def test_what_was_chosen_too_seldom_goes_by_the_prior_and_by_what_the_other_heads_tell() -> None:
    """What the final pass says of it was learned of what was shown, and of little of that."""
    made = choices()
    columns = [DENSE_INDEX[name] for name in ("appeal", "media_save_rate")]
    made.dense_nf[:, columns] = np.random.default_rng(5).normal(size=(len(made.dense_nf), 2))
    interest, _ = trained(made)
    features = matrix(200, 6)
    features.dense_nf[:, columns] = np.random.default_rng(7).normal(size=(200, 2))
    expected_nh = interest.expected(features, shown(200))
    log_save_n = np.log(expected_nh[:, SAVE])
    prior_n, preferred_n = prior_order(features)[:, SAVE], features.dense_nf[:, PREFERRED]
    assert np.corrcoef(log_save_n, prior_n)[0, 1] > 0.5
    assert np.corrcoef(log_save_n, preferred_n)[0, 1] > 0.1
    # Half of it, where one head alone is told of.
    np.testing.assert_allclose(
        interest.weights_ih[PREFERRED, SAVE] / interest.prior_h[SAVE],
        interest.weights_ih[PREFERRED, LIKE] / interest.prior_h[LIKE] / 2,
        rtol=0.05,
    )
    # Nothing is so wanted that all else is equal.
    assert expected_nh[:, SAVE].max() / np.median(expected_nh[:, SAVE]) > 20


def test_before_there_are_choices_the_order_is_that_of_the_prior() -> None:
    """However much exposures taught: they were chosen by what showed them."""
    found = sets()
    column = DENSE_INDEX["appeal"]
    found.features.dense_nf[:, column] = np.random.default_rng(5).normal(size=len(found))
    interest = scaled(prior_interest(found), found.features, shown(len(found)))
    expected_nh = interest.expected(found.features, shown(len(found)))
    prior_nh = prior_order(found.features)
    for h in set(range(len(HEADS))) - set(NEGATIVE_HEADS):
        assert (np.argsort(expected_nh[:, h]) == np.argsort(prior_nh[:, h])).all()


def test_none_decides_nothing() -> None:
    features, probabilities_nh = matrix(5), shown(5)
    none = Interest.none()
    np.testing.assert_array_equal(none.expected(features, probabilities_nh), probabilities_nh)
    assert none.expected(matrix(0), shown(0)).shape == (0, len(HEADS))
    assert none.columns == ALL_COLUMNS


def test_of_no_candidates_it_says_nothing() -> None:
    interest, _ = trained(choices())
    assert interest.score(matrix(0)).shape == (0, len(HEADS))
    assert interest.expected(matrix(0), shown(0)).shape == (0, len(HEADS))


def test_a_preference_of_some_viewers_alone_is_learned() -> None:
    """Who was away for long wants the old, all others the new: only a product can say so."""
    made = choices(600)
    idle, age = DENSE_INDEX["viewer_idle"], DENSE_INDEX["media_age"]
    sign_g = np.where(np.arange(600) % 2, 1, -1)
    made.dense_nf[:, idle] = sign_g.repeat(20)
    made.labels_nh[:] = 0
    best_g = (made.dense_nf[:, age].reshape(600, 20) * sign_g[:, None]).argmax(axis=1)
    made.labels_nh[np.arange(600) * 20 + best_g, LIKE] = 1
    _, figures = trained(made)
    assert figures["interest_ndcg_like"] > 0.7


def test_scaled_it_means_what_the_final_pass_means() -> None:
    interest, _ = trained(choices())
    features = matrix(3000, 4)
    probabilities_nh = shown(3000) * np.float32(0.1)
    found = scaled(interest, features, probabilities_nh)
    expected_nh = found.score(features) * found.scale_h
    assert expected_nh[:, LIKE].mean() == pytest.approx(
        float(probabilities_nh[:, LIKE].mean()), rel=1e-3
    )
    assert expected_nh[:, SAVE].mean() == pytest.approx(
        float(probabilities_nh[:, SAVE].mean()), rel=1e-3
    )
    assert found.scale_h[SEE_FEWER] == 0.0


def test_stored_weights_are_read_back_and_damaged_ones_refused() -> None:
    interest, _ = trained(choices())
    arrays, features = interest.to_arrays(), matrix(9)
    again = Interest.from_arrays(arrays)
    np.testing.assert_array_equal(again.score(features), interest.score(features))
    np.testing.assert_array_equal(again.scale_h, interest.scale_h)
    for name, array in arrays.items():
        with pytest.raises(ModelError):
            Interest.from_arrays({**arrays, name: np.full_like(array, np.nan)})
        with pytest.raises(ModelError):
            Interest.from_arrays({key: one for key, one in arrays.items() if key != name})
    with pytest.raises(ModelError, match="scales"):
        Interest.from_arrays({**arrays, "heads": -np.ones(len(HEADS), np.float32)})
    with pytest.raises(ModelError, match="scales"):
        Interest.from_arrays({**arrays, "heads": np.ones(1, np.float32)})


def test_without_any_exposure_choices_make_a_bundle() -> None:
    made = choices()
    bundle = train_rankers(Examples.empty(), sets(), RUN, made)
    assert bundle.trained_ts == int(made.ts_n.max())
    assert bundle.metrics["interest_ndcg_like"] > 0.6
    assert math.isfinite(bundle.metrics["survive_pass1"])
    rates_h = [head.row.rate for head in HEADS]
    np.testing.assert_allclose(bundle.final.score(matrix(20)), [rates_h] * 20, rtol=1e-4)
    # The order is that of interest, and the passes before it follow.
    features = matrix(400, 8)
    expected_nh = bundle.interest.expected(features, bundle.final.score(features))
    valued_n = value(expected_nh, Weights())
    # Here the prior's order, where training begins, is noise.
    assert np.corrcoef(valued_n, features.dense_nf[:, PREFERRED])[0, 1] > 0.4
    again = RankerBundle.from_arrays(*bundle.to_arrays())
    assert again.version == bundle.version
    assert train_rankers(Examples.empty(), sets(), RUN, made).version == bundle.version
    candidate_sets = sets()
    np.testing.assert_allclose(
        value_of(bundle.final, candidate_sets, RUN, bundle.interest),
        value(
            bundle.interest.expected(
                candidate_sets.features, bundle.final.score(candidate_sets.features)
            ),
            Weights(),
        ),
        rtol=1e-5,
    )


def test_without_exposures_and_without_choices_there_is_no_bundle() -> None:
    for none in (None, Choices.empty(), choices(MIN_SETS - 1)):
        with pytest.raises(TrainingDataError, match="0 examples are too few"):
            train_rankers(Examples.empty(), sets(), RUN, none)


def test_an_untrained_final_pass_gives_everybodys_rates() -> None:
    final = FinalPass.untrained()
    rates_h = np.array([head.row.rate for head in HEADS])
    np.testing.assert_allclose(final.score(matrix(7)), np.tile(rates_h, (7, 1)), rtol=1e-4)
    assert final.score(matrix(0)).shape == (0, len(HEADS))
    assert FinalPass.untrained().to_arrays().keys() == final.to_arrays().keys()


def test_what_choices_held_out_do_not_confirm_leaves_the_order_of_the_prior() -> None:
    made = choices(40)
    rng = np.random.default_rng(5)
    dense_nf = np.abs(rng.normal(0.5, 0.3, made.dense_nf.shape)).astype(np.float16)
    labels_nh = np.zeros_like(made.labels_nh)
    labels_nh[np.arange(40) * 20 + rng.integers(0, 20, 40), LIKE] = 1
    told_nothing = msgspec.structs.replace(made, dense_nf=dense_nf, labels_nh=labels_nh)
    # The newest, which are held out, chose what the prior has first: nothing can be better.
    order_gk = prior_order(told_nothing.features())[:, LIKE].reshape(40, 20)
    for group in range(30, 40):
        rows = slice(group * 20, (group + 1) * 20)
        labels_nh[rows, LIKE] = np.arange(20) == order_gk[group].argmax()
    interest, figures = trained(told_nothing)
    assert figures["interest_confirmed"] == 0.0
    features = told_nothing.features()
    prior_n, score_n = prior_order(features)[:, LIKE], interest.score(features)[:, LIKE]
    assert (np.diff(score_n[np.argsort(prior_n)]) >= 0).all()


def test_what_was_learned_is_believed_as_far_as_choices_held_out_allow() -> None:
    made = choices(100)
    told_h = np.arange(len(HEADS)) == LIKE
    rng = np.random.default_rng(3)
    nothing_nh = rng.normal(size=made.labels_nh.shape).astype(np.float32)
    right_nh = nothing_nh + 9 * made.labels_nh
    assert confirmed(made, nothing_nh, right_nh, told_h) == 1.0
    assert confirmed(made, right_nh, nothing_nh, told_h) == 0.0
    assert confirmed(made, nothing_nh, nothing_nh, told_h) == 0.0
    assert confirmed(made, nothing_nh, right_nh, np.zeros(len(HEADS), np.bool_)) == 0.0
    # Another order that knows nothing either.
    other_nh = rng.normal(size=made.labels_nh.shape).astype(np.float32)
    shares = [
        confirmed(made, *scores, told_h)
        for scores in ((nothing_nh, other_nh), (other_nh, nothing_nh))
    ]
    assert min(shares) == 0.0 < max(shares)
    # Six sets cannot confirm what a hundred can.
    few = made.groups_n < 6
    few_sets = msgspec.structs.replace(
        made, **{name: getattr(made, name)[few] for name in made.__struct_fields__}
    )
    assert confirmed(few_sets, nothing_nh[few], right_nh[few], told_h) == pytest.approx(6 / 30)
