"""Figures of lists against definitions worked out list by list."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.bootstrap import Bootstrap, Sums
from models.evaluation.grid_metrics import (
    author_share,
    coverage,
    intra_list_diversity,
    list_figures,
    novelty,
    recall,
    share_held,
)
from models.evaluation.targets import Targets

MEDIA = 9


def targets_of(wanted: list[set[int]]) -> Targets:
    pairs = [(g, m) for g, media in enumerate(wanted) for m in sorted(media)]
    n = len(wanted)
    return Targets(
        np.arange(n, dtype=np.int32),
        np.zeros(n, np.int64),
        np.array([g for g, _ in pairs], np.int64),
        np.array([m for _, m in pairs], np.int32),
        np.zeros(n, np.int64),
    )


LISTS = st.lists(
    st.tuples(st.permutations(range(MEDIA)), st.integers(0, 6), st.sets(st.integers(0, MEDIA - 1))),
    min_size=1,
    max_size=5,
)


@given(LISTS, st.integers(1, 6))
def test_figures_are_those_of_each_list(
    drawn: list[tuple[list[int], int, set[int]]], k: int
) -> None:
    lists_gk = np.full((len(drawn), 6), -1, np.int32)
    for g, (order, size, _) in enumerate(drawn):
        lists_gk[g, :size] = order[:size]
    targets = targets_of([wanted for _, _, wanted in drawn])
    figures = list_figures(lists_gk, targets, k)
    every = recall(lists_gk, targets)
    held = share_held(lists_gk, targets)
    for g, (order, size, wanted) in enumerate(drawn):
        shown = order[:size]
        assert (math.isnan(held[g]) if not shown else held[g]) == pytest.approx(
            True if not shown else len(set(shown) & wanted) / len(shown)
        )
        if not wanted:
            assert all(math.isnan(figures[name][g]) for name in figures)
            assert math.isnan(every[g])
            continue
        places = [at for at, m in enumerate(shown[:k]) if m in wanted]
        ideal = sum(1 / math.log2(at + 2) for at in range(min(k, len(wanted))))
        assert figures["ndcg"][g] == pytest.approx(
            sum(1 / math.log2(at + 2) for at in places) / ideal
        )
        assert figures["recall"][g] == pytest.approx(len(places) / len(wanted))
        assert figures["hit_rate"][g] == bool(places)
        assert figures["mrr"][g] == pytest.approx(1 / (places[0] + 1) if places else 0.0)
        assert every[g] == pytest.approx(len(set(shown) & wanted) / len(wanted))


@given(LISTS, st.data())
def test_lists_are_described_as_they_are(
    drawn: list[tuple[list[int], int, set[int]]], data: st.DataObject
) -> None:
    lists_gk = np.full((len(drawn), 6), -1, np.int32)
    for g, (order, size, _) in enumerate(drawn):
        lists_gk[g, :size] = order[:size]
    author_m = np.array(data.draw(st.lists(st.integers(0, 2), min_size=MEDIA, max_size=MEDIA)))
    count_m = np.array(data.draw(st.lists(st.integers(0, 5), min_size=MEDIA, max_size=MEDIA)))
    vectors_md = np.array(
        data.draw(
            st.lists(st.sampled_from([(1, 0), (0, 1), (-1, 0), (0, 0)]), min_size=MEDIA,
                     max_size=MEDIA)
        ), np.float64,
    )  # fmt: skip
    share, bits = author_share(lists_gk, author_m), novelty(lists_gk, count_m)
    apart = intra_list_diversity(lists_gk, vectors_md)
    shown_by_any = {m for order, size, _ in drawn for m in order[:size]}
    assert coverage(lists_gk, MEDIA) == pytest.approx(len(shown_by_any) / MEDIA)
    for g, (order, size, _) in enumerate(drawn):
        shown = order[:size]
        if not shown:
            assert math.isnan(share[g])
            assert math.isnan(bits[g])
            continue
        authors = author_m[shown].tolist()
        assert share[g] == pytest.approx(max(map(authors.count, authors)) / size)
        total = max(count_m.sum(), 1)
        assert bits[g] == pytest.approx(
            np.mean([-math.log2(max(count_m[m], 1) / total) for m in shown])
        )
        known = [vectors_md[m] for m in shown if vectors_md[m].any()]
        cosines = [a @ b for i, a in enumerate(known) for j, b in enumerate(known) if i != j]
        assert (math.isnan(apart[g]) if not cosines else apart[g]) == pytest.approx(
            True if not cosines else 1 - np.mean(cosines)
        )


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), min_size=1, max_size=20))
def test_intervals_hold_the_mean_of_all_grids(drawn: list[tuple[int, float]]) -> None:
    viewer_g = np.array([v for v, _ in drawn])
    value_g = np.array([x for _, x in drawn])
    sums = Sums.of(value_g, viewer_g)
    assert sums.mean == pytest.approx(value_g.mean())
    found = Bootstrap(len(np.unique(viewer_g)), 7, 200).mean(sums)
    assert found.mean is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low - 1e-9 <= found.high
    assert value_g.min() - 1e-9 <= found.low
    assert found.high <= value_g.max() + 1e-9
    assert Bootstrap(len(np.unique(viewer_g)), 7, 200).mean(sums) == found


def test_an_interval_covers_the_truth_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        # Grids of one viewer are alike: an interval over grids would be far too narrow.
        viewer_g = np.repeat(np.arange(60), 5)
        value_g = np.repeat(rng.normal(0.5, 0.2, 60), 5)
        found = Bootstrap(60, 3, 300).mean(Sums.of(value_g, viewer_g))
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.5 <= found.high
    assert 87 <= covered <= 99


def test_a_ratio_with_itself_is_one_and_of_nothing_is_unknown() -> None:
    sums = Sums.of(np.array([0.1, 0.5, 0.3]), np.arange(3))
    same = Bootstrap(3, 7).ratio(sums, sums)
    assert (same.mean, same.low, same.high) == (1.0, 1.0, 1.0)
    nothing = Sums.of(np.full(3, np.nan), np.arange(3))
    assert Bootstrap(3, 7).mean(nothing).mean is None
