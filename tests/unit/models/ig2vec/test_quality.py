"""Figures of account vectors: what they measure, and what cannot be measured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.ig2vec.quality import (
    AccountVectors,
    QualityError,
    aligned,
    drift,
    measure,
    nearest,
    purity,
    split_topics,
)
from models.ig2vec.topic_probe import ProbeConfig, ProbeError

FEW = ProbeConfig(bootstrap=10)


def clusters(noise: float, count: int = 200) -> tuple[AccountVectors, dict[str, str]]:
    rng = np.random.default_rng(3)
    topic_n = np.arange(count) % 4
    vectors_nd = np.eye(4, 8)[topic_n] + noise * rng.standard_normal((count, 8))
    ids = [f"a{n}" for n in range(count)]
    return AccountVectors(ids, vectors_nd.astype(np.float32)), {
        account: f"t{topic}" for account, topic in zip(ids, topic_n, strict=True)
    }


def turned(found: AccountVectors, seed: int = 1) -> AccountVectors:
    d = found.vectors_nd.shape[1]
    turn_dd, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))
    return AccountVectors(found.ids, (found.vectors_nd @ turn_dd).astype(np.float32))


def test_clear_vectors_score_above_noisy_ones_on_the_same_accounts() -> None:
    clear, topics = clusters(0.05)
    noisy, _ = clusters(2.0)
    first, second = measure([clear, noisy], topics, FEW)
    assert first.macro_f1 == first.purity == 1.0
    assert second.macro_f1 < first.macro_f1
    assert second.purity < first.purity
    assert first.purity_chance == second.purity_chance == pytest.approx(49 / 199)
    assert (first.accounts, first.covered, first.topics) == (200, 200, 4)


def test_an_account_that_one_set_lacks_counts_against_it() -> None:
    whole, topics = clusters(0.05)
    half = AccountVectors(whole.ids[:100], whole.vectors_nd[:100])
    [alone] = measure([half], topics, FEW)
    of_whole, of_half = measure([whole, half], topics, FEW)
    assert alone.macro_f1 == 1.0
    assert (of_half.accounts, of_half.covered) == (of_whole.accounts, 100) == (200, 100)
    assert of_half.macro_f1 < 0.8
    assert of_half.purity == pytest.approx((1 + of_half.purity_chance) / 2)


def test_labels_without_vectors_are_left_out_and_none_at_all_is_an_error() -> None:
    found, topics = clusters(0.05)
    [figures] = measure([found], topics | {"stranger": "t0"}, FEW)
    assert figures.accounts == 200
    with pytest.raises(ProbeError, match="0 topics"):
        measure([found], {"stranger": "t0"}, FEW)


def test_fewer_than_two_topics_are_an_error() -> None:
    found, topics = clusters(0.05)
    with pytest.raises(ProbeError, match="1 topics have 10 accounts"):
        measure([found], dict.fromkeys(topics, "t0"), FEW)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_no_numbers_are_refused(bad: float) -> None:
    found, topics = clusters(0.05)
    found.vectors_nd[7, 3] = bad
    with pytest.raises(
        QualityError, match="1 accounts hold NaN or infinity, the first that of 'a7'"
    ):
        measure([found], topics, FEW)
    with pytest.raises(QualityError, match="NaN"):
        drift(found, found)


def test_ids_and_vectors_that_do_not_match_are_refused() -> None:
    found, _ = clusters(0.05)
    with pytest.raises(QualityError, match="199 ids for vectors of shape"):
        aligned(AccountVectors(found.ids[1:], found.vectors_nd), ["a1"])


def test_a_rotation_is_no_drift_and_noise_is() -> None:
    found, _ = clusters(0.5)
    same = drift(found, turned(found))
    assert same.overlap > 0.99
    assert same.cosine == pytest.approx(1.0, abs=1e-4)
    assert (same.accounts, same.only_first, same.only_second) == (200, 0, 0)
    rng = np.random.default_rng(5)
    noise_nd = rng.standard_normal(found.vectors_nd.shape).astype(np.float32)
    other = drift(found, AccountVectors(found.ids, noise_nd))
    assert other.overlap < 0.2
    assert other.cosine is not None
    assert other.cosine < 0.6


def test_drift_is_over_the_accounts_in_both() -> None:
    found, _ = clusters(0.5)
    flat = AccountVectors(found.ids[50:150], found.vectors_nd[50:150, :5])
    moved = drift(found, flat, k=5)
    assert (moved.accounts, moved.only_first, moved.only_second) == (100, 100, 0)
    assert (moved.cosine, moved.neighbours) == (None, 5)
    with pytest.raises(QualityError, match="1 accounts are in both"):
        drift(found, AccountVectors(found.ids[:1], found.vectors_nd[:1]))


@settings(max_examples=40)
@given(st.integers(2, 40), st.integers(1, 50), st.integers(0, 2**32 - 1))
def test_neighbours_are_those_of_a_full_sort(n: int, k: int, seed: int) -> None:
    vectors_nd = np.random.default_rng(seed).standard_normal((n, 3)).astype(np.float32)
    similar_nn = vectors_nd @ vectors_nd.T
    near_nk = nearest(vectors_nd, k)
    assert near_nk.shape == (n, min(k, n - 1))
    for row, near_k in enumerate(near_nk):
        others = sorted((n for n in range(n) if n != row), key=lambda o: -similar_nn[row, o])
        worst = similar_nn[row, others[len(near_k) - 1]]
        assert row not in near_k
        assert len(set(near_k)) == len(near_k)
        assert (similar_nn[row, near_k] >= worst - 1e-5).all()


def test_purity_of_accounts_without_vectors_is_chance() -> None:
    zeros_md = np.zeros((20, 3), dtype=np.float32)
    pure, chance = purity(zeros_md, ["a", "b"] * 10, 5)
    assert pure == chance == pytest.approx(9 / 19)


@given(st.dictionaries(st.text(min_size=1), st.sampled_from("xyz")), st.text(min_size=1))
def test_halves_share_nothing_lack_nothing_and_do_not_depend_on_other_accounts(
    topics: dict[str, str], more: str
) -> None:
    choose, report = split_topics(topics)
    assert not choose.keys() & report.keys()
    assert choose | report == topics
    wider, _ = split_topics(topics | {more: "x"})
    assert choose.keys() <= wider.keys() | {more}
    assert wider.keys() - choose.keys() <= {more}
