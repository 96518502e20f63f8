"""Training: parity with NumPy, determinism, sampled negatives, calibration, divergence."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import msgspec
import numpy as np
import pytest
import torch

from models.actions import HEAD_NAMES, HEADS, STRONG_HEADS, Action
from models.evaluation.metrics import auc, calibration_error, survivors
from models.examples.examples import CandidateSets, Examples
from models.feature_schema import (
    DENSE_NAMES,
    ID_BUCKETS,
    SPARSE_BUCKETS,
    SPARSE_NAMES,
    FeatureMatrix,
)
from models.rankers.early_passes import FirstPass, SecondPass
from models.rankers.final_pass import FinalPass
from models.rankers.networks import EmbeddingTable, Standardizer
from models.training.calibration import MIN_POSITIVES, Calibration, calibrate, logistic
from models.training.distillation import FIRST, SECOND, DistillationConfig, distil, padded
from models.training.final import (
    FinalConfig,
    FinalNetwork,
    freeze,
    known,
    thaw,
    train_final,
)
from models.training.loop import (
    TrainingDataError,
    TrainingDeviceError,
    TrainingDivergedError,
    export,
    reproducible,
    stack,
    usable_device,
)
from models.training.rankers import TrainingConfig, split_by_time, train_rankers

SMALL = TrainingConfig(
    cuts=(30, 15, 5),
    final=FinalConfig(
        embedding_rows=64,
        members=3,
        hidden=(32, 16),
        dropout=0.1,
        epochs=4,
        batch=128,
        learning_rate=1e-2,
    ),
    second=msgspec.structs.replace(SECOND, hidden=(8,), top=5),
    first=msgspec.structs.replace(FIRST, hidden=(8,), top=5),
)


#: Of each label where its feature is 0; what is watched long is common.
LOG_ODDS_H = np.where(np.array(HEADS) == Action.LONG_VIEW, -1.0, -3.0)
LOG_ODDS_H[HEADS.index(Action.LIKE)] = -2.0


def matrix(rng: np.random.Generator, n: int) -> FeatureMatrix:
    sparse_ns = np.stack([rng.integers(0, size, n) for size in SPARSE_BUCKETS], axis=1)
    return FeatureMatrix(
        rng.normal(size=(n, len(DENSE_NAMES))).astype(np.float32), sparse_ns.astype(np.int32)
    )


def exposures(n: int, seed: int = 0) -> Examples:
    """Exposures whose labels follow a dense feature each."""
    rng = np.random.default_rng(seed)
    features = matrix(rng, n)
    logits_nh = features.dense_nf[:, : len(HEADS)] * 1.5 + LOG_ODDS_H
    labels_nh = rng.random((n, len(HEAD_NAMES))) < 1 / (1 + np.exp(-logits_nh))
    return Examples(
        features=features,
        labels_nh=labels_nh.astype(np.float32),
        weights_n=np.ones(n, np.float32),
        groups_n=rng.integers(0, 50, n),
        ts_n=np.arange(n, dtype=np.int64),
        positions_n=np.zeros(n, np.int16),
    )


def sampled(examples: Examples, rate: float, seed: int = 0) -> Examples:
    strong = [HEADS.index(head) for head in STRONG_HEADS]
    positive_n = examples.labels_nh[:, strong].any(axis=1)
    kept_n = positive_n | (np.random.default_rng(seed).random(len(examples)) < rate)
    weights_n = np.where(positive_n, 1.0, 1.0 / rate).astype(np.float32)
    return msgspec.structs.replace(examples, weights_n=weights_n).take(np.flatnonzero(kept_n))


def sets(groups: int = 24, size: int = 60, seed: int = 5) -> CandidateSets:
    rng = np.random.default_rng(seed)
    return CandidateSets(
        features=matrix(rng, groups * size),
        groups_n=np.repeat(np.arange(groups), size),
        logged_n=np.repeat(np.arange(groups) < groups // 2, size),
    )


def randomised_network(config: FinalConfig) -> FinalNetwork:
    rng = np.random.default_rng(2)
    sizes = {
        name: getattr(config, name)
        for name in ("embedding_dim", "embedding_rows", "members", "hidden")
    }
    return thaw(FinalPass.random(rng, **sizes), config)


def test_numpy_equals_torch() -> None:
    with reproducible(3, 1):
        network = randomised_network(FinalConfig(embedding_rows=100))
    features = matrix(np.random.default_rng(1), 500)
    standardizer = Standardizer.fit(features.dense_nf)
    frozen = freeze(network, standardizer)
    rows_ns = EmbeddingTable(network.table.weight.detach().numpy(), network.sizes_s).rows(
        features.sparse_ns
    )
    with torch.no_grad():
        logits_knh = network(
            torch.from_numpy(standardizer(features.dense_nf)),
            torch.from_numpy(rows_ns),
            torch.from_numpy(known(features.sparse_ns)),
            torch.zeros(len(rows_ns), dtype=torch.int64),
        )
    expected_nh = torch.sigmoid(logits_knh.mean(dim=0)).numpy()
    np.testing.assert_allclose(frozen.score(features), expected_nh, rtol=0, atol=1e-5)
    assert (expected_nh.std(axis=0) > 1e-3).all()


@pytest.mark.parametrize("kind", [FirstPass, SecondPass])
def test_numpy_equals_torch_in_the_dense_passes(kind: type[FirstPass | SecondPass]) -> None:
    features = matrix(np.random.default_rng(1), 500)
    columns_nf = kind.select(features)
    standardizer = Standardizer.fit(columns_nf)
    with reproducible(3, 1), torch.no_grad():
        network = stack((columns_nf.shape[1], 16, 8, 1))
        expected_n = network(torch.from_numpy(standardizer(columns_nf)))[:, 0].numpy()
    scores_n = kind(standardizer, export(network)).score(features)
    np.testing.assert_allclose(scores_n, expected_n, rtol=0, atol=1e-5)


def test_calibration_is_folded_into_the_weights() -> None:
    with reproducible(3, 1):
        network = randomised_network(FinalConfig(embedding_rows=100))
    features = matrix(np.random.default_rng(1), 50)
    standardizer = Standardizer.fit(features.dense_nf)
    raw = freeze(network, standardizer)
    rng = np.random.default_rng(2)
    slope_h, shift_h = rng.uniform(0.5, 2.0, len(HEADS)), rng.normal(size=len(HEADS))
    weights_hf = rng.normal(size=(len(HEADS), len(DENSE_NAMES))).astype(np.float32)
    calibrated = raw.calibrated(zip(slope_h, shift_h, weights_hf, strict=True))
    expected_nh = raw.logits(features) * slope_h + shift_h
    expected_nh += standardizer(features.dense_nf) @ weights_hf.T
    np.testing.assert_allclose(calibrated.logits(features), expected_nh, atol=1e-4)
    np.testing.assert_array_equal(raw.calibrated([]).logits(features), raw.logits(features))


def test_ids_never_trained_add_nothing() -> None:
    with reproducible(1, 1):
        final = train_final(exposures(300), Examples.empty(), SMALL.final)
    table_rd = final.embeddings.table_rd
    used_r = np.zeros(len(table_rd), np.bool_)
    used_r[final.embeddings.rows(exposures(300).features.sparse_ns)] = True
    assert used_r.any() and not used_r.all()
    assert not table_rd[~used_r].any()
    assert table_rd[used_r].any()


def test_whole_run_learns_and_is_reproducible() -> None:
    examples = sampled(exposures(5000), 0.5)
    rankers = train_rankers(examples, sets(), SMALL)
    metrics = rankers.metrics
    assert metrics["auc_like"] > metrics["auc_counters"] + 0.1
    assert metrics["auc_save"] > 0.6 and metrics["auc_see_fewer"] > 0.6
    assert metrics["ne_like"] < 0.95
    assert metrics["calibration_error_like"] < 0.07
    # By chance a quarter (15 of 60) would survive the second pass.
    assert metrics["survive_pass2"] > 0.6
    assert 0.0 < metrics["survive_funnel"] <= metrics["survive_pass1"]
    assert (metrics["candidate_sets"], metrics["logged_sets"]) == (24.0, 12.0)
    assert rankers.trained_ts == int(examples.ts_n.max())
    json.dumps(rankers.to_arrays()[1], allow_nan=False)

    again = train_rankers(examples, sets(), SMALL)
    assert again.version == rankers.version


def test_training_leaves_torch_as_it_was() -> None:
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    with reproducible(1, threads + 1):
        torch.rand(3)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)


def test_sampled_negatives_are_corrected() -> None:
    everything = exposures(8_000, seed=1)
    sample = sampled(everything, 0.2)
    assert len(sample) < 0.6 * len(everything)
    unseen = exposures(12_000, seed=2)
    with reproducible(1, 1):
        corrected = train_final(sample, Examples.empty(), SMALL.final)
        uncorrected = train_final(
            msgspec.structs.replace(sample, weights_n=np.ones(len(sample), np.float32)),
            Examples.empty(),
            SMALL.final,
        )
    base_h = unseen.labels_nh.mean(axis=0)
    np.testing.assert_allclose(corrected.score(unseen.features).mean(axis=0), base_h, rtol=0.15)
    strong = [HEADS.index(head) for head in STRONG_HEADS]
    too_high_h = uncorrected.score(unseen.features).mean(axis=0) / base_h
    assert (too_high_h[strong] > 1.3).all()


def test_a_weighted_sample_estimates_the_metrics_of_everything() -> None:
    everything = exposures(40_000, seed=3)
    sample = sampled(everything, 0.2)
    for metric in (auc, calibration_error):
        whole = metric(
            everything.label("like"), 1 / (1 + np.exp(-everything.features.dense_nf[:, 0]))
        )
        part = metric(
            sample.label("like"),
            1 / (1 + np.exp(-sample.features.dense_nf[:, 0])),
            sample.weights_n,
        )
        assert part == pytest.approx(whole, rel=0.03)


def scaled(logits_n, labels_n) -> Calibration:
    """Of log-odds alone, without features."""
    return calibrate(logits_n, np.zeros((len(logits_n), 0)), labels_n, np.ones(len(logits_n)))


def test_calibration_undoes_a_distortion() -> None:
    rng = np.random.default_rng(0)
    truth_n = rng.normal(-2, 1.5, 50_000)
    labels_n = (rng.random(50_000) < 1 / (1 + np.exp(-truth_n))).astype(np.float32)
    slope, shift, _ = scaled((truth_n / 2 - 1).astype(np.float32), labels_n)
    assert slope == pytest.approx(2.0, abs=0.1)
    assert shift == pytest.approx(2.0, abs=0.15)


def test_calibration_adds_what_the_log_odds_leave_out() -> None:
    rng = np.random.default_rng(0)
    x_nf = rng.normal(size=(50_000, 3))
    logits_n = -1 + x_nf[:, 0]
    truth_n = logits_n + 0.5 * x_nf[:, 1]
    labels_n = (rng.random(50_000) < 1 / (1 + np.exp(-truth_n))).astype(np.float32)
    slope, _, weights_f = calibrate(logits_n, x_nf, labels_n, np.ones(50_000))
    assert weights_f == pytest.approx([0.0, 0.5, 0.0], abs=0.05)
    assert slope == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("positives", [0, 1, 3])
def test_calibration_hardly_moves_on_few_positives(positives: int) -> None:
    logits_n = np.linspace(-8, -4, 400).astype(np.float32)
    labels_n = np.zeros(400, np.float32)
    labels_n[:positives] = 1.0
    slope, shift, _ = scaled(logits_n, labels_n)
    assert 0.1 <= slope <= 1.5 and abs(shift) < 1.0


@pytest.mark.parametrize(("positives", "learned"), [(MIN_POSITIVES - 1, 0), (MIN_POSITIVES, 3)])
def test_few_positives_tell_nothing_of_features(positives: int, learned: int) -> None:
    labels_n = np.zeros(4000, np.float32)
    labels_n[:positives] = 1.0
    x_nf = np.random.default_rng(0).normal(size=(4000, 3))
    weights_f = calibrate(np.full(4000, -3.0), x_nf, labels_n, np.ones(4000)).weights_f
    assert np.count_nonzero(weights_f) == learned


def test_calibration_without_rows() -> None:
    nothing = np.zeros(0, np.float32)
    slope, shift, weights_f = calibrate(nothing, np.zeros((0, 2)), nothing, nothing)
    assert (slope, shift, weights_f.tolist()) == (1.0, 0.0, [0.0, 0.0])


def test_calibration_never_flips_a_head() -> None:
    logits_n = np.linspace(-4, 4, 2000)
    assert scaled(logits_n, (logits_n < 0).astype(float)).slope > 0


def test_logistic_finds_the_weights() -> None:
    rng = np.random.default_rng(0)
    x_nf = rng.normal(size=(20_000, 2))
    labels_n = rng.random(20_000) < 1 / (1 + np.exp(-(x_nf @ [1.0, -2.0] - 1.0)))
    found_f = logistic(x_nf, labels_n.astype(float), np.ones(20_000))
    np.testing.assert_allclose(found_f, [1.0, -2.0, -1.0], atol=0.1)


def test_distillation_finds_the_teachers_best() -> None:
    learn, held = sets(), sets(seed=6)
    config = DistillationConfig(hidden=(8,), top=5)
    with reproducible(1, 1):
        student = distil(SecondPass, learn, learn.features.dense_nf[:, 3], config)
    kept = survivors(
        held.features.dense_nf[:, 3], student.score(held.features), held.groups_n, top=5, keep=10
    )
    # By chance a sixth (10 of 60) would be.
    assert kept > 0.7


def test_candidate_sets_of_different_sizes() -> None:
    rows_gk = padded(np.array([4, 2, 4, 4, 9]))
    np.testing.assert_array_equal(rows_gk, [[1, -1, -1], [0, 2, 3], [4, -1, -1]])
    uneven = sets().take(np.flatnonzero(np.arange(24 * 60) % 7 < 24 * 60 - np.arange(24 * 60)))
    uneven = uneven.take(np.arange(1000))
    with reproducible(1, 1):
        first = distil(FirstPass, uneven, uneven.features.dense_nf[:, 0], SMALL.first)
    assert np.isfinite(first.score(uneven.features)).all()


def test_a_diverging_run_is_refused() -> None:
    wild = msgspec.structs.replace(SMALL.final, learning_rate=1e30)
    with reproducible(1, 1), pytest.raises(TrainingDivergedError, match=r"learning rate 1e\+30"):
        train_final(exposures(600), Examples.empty(), wild)


def test_broken_weights_of_rows_are_refused() -> None:
    examples = exposures(600)
    examples.weights_n[17] = np.nan
    with reproducible(1, 1), pytest.raises(TrainingDivergedError, match="final pass: loss is nan"):
        train_final(examples, Examples.empty(), SMALL.final)


def test_broken_teacher_is_refused() -> None:
    candidates = sets()
    wild = msgspec.structs.replace(SMALL.first, learning_rate=1e30)
    with reproducible(1, 1), pytest.raises(TrainingDivergedError, match="first pass"):
        distil(FirstPass, candidates, candidates.features.dense_nf[:, 0], wild)


def test_a_device_that_is_there_is_taken() -> None:
    assert usable_device("cpu").type == "cpu"
    examples = exposures(300)
    with reproducible(1, 1):
        named = train_final(examples, Examples.empty(), SMALL.final, "cpu:0")
    with reproducible(1, 1):
        default = train_final(examples, Examples.empty(), SMALL.final)
    np.testing.assert_array_equal(named.score(examples.features), default.score(examples.features))


@pytest.mark.parametrize("name", ["abacus", "cuda:63", "meta"])
def test_a_device_that_is_not_there_is_told_with_the_remedy(name: str) -> None:
    with pytest.raises(TrainingDeviceError, match=f"device '{name}': .*; take cpu, or install"):
        train_final(exposures(300), Examples.empty(), SMALL.final, name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_cuda_trains_what_the_processor_trains() -> None:
    examples, unseen = exposures(5000), exposures(3000, 2)
    found = []
    for device in ("cpu", "cuda"):
        with reproducible(1, 1):
            final = train_final(examples, Examples.empty(), SMALL.final, device)
        found.append(auc(unseen.label("like"), final.score(unseen.features)[:, 0]))
    assert found[1] == pytest.approx(found[0], abs=0.02)


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(TrainingDataError, match="0 examples are too few"):
        train_rankers(Examples.empty(), sets(), SMALL)
    unlabelled = exposures(500)
    unlabelled.labels_nh[:] = 0.0
    with pytest.raises(TrainingDataError, match="none of 350 training examples"):
        train_rankers(unlabelled, sets(), SMALL)
    with pytest.raises(TrainingDataError, match="no candidate sets"):
        train_rankers(exposures(500), sets().take(np.arange(0)), SMALL)


def test_split_keeps_time_order() -> None:
    examples = exposures(100).take(np.random.default_rng(0).permutation(100))
    train, calibrate, test = split_by_time(examples, SMALL)
    assert (len(train), len(calibrate), len(test)) == (70, 15, 15)
    assert train.ts_n.max() < calibrate.ts_n.min() and calibrate.ts_n.max() < test.ts_n.min()


def test_embedding_rows_of_training_and_serving_agree() -> None:
    with reproducible(1, 1):
        network = randomised_network(FinalConfig(embedding_rows=10))
    sizes_s = np.minimum(ID_BUCKETS, 10)
    np.testing.assert_array_equal(network.sizes_s, sizes_s)
    table_rd = network.table.weight.detach().numpy()
    assert EmbeddingTable(table_rd, network.sizes_s).rows(
        np.full((1, len(SPARSE_NAMES)), 10**6, np.int32)
    ).max() < len(table_rd)


def test_serving_imports_no_torch() -> None:
    code = (
        "import sys, models.rankers.bundle, models.evaluation.metrics, "
        "models.examples.from_events, models.examples.candidate_sets; "
        "print('torch' in sys.modules, 'gensim' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["False", "False"]


def test_a_missing_label_gives_nan_metrics_only() -> None:
    examples = exposures(800)
    examples.labels_nh[:, HEAD_NAMES.index("see_fewer")] = 0.0
    rankers = train_rankers(examples, sets(), SMALL)
    assert math.isnan(rankers.metrics["auc_see_fewer"])
    assert rankers.final.score(examples.features)[:, 2].max() < 0.05
