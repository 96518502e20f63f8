"""Baselines against brute force on logs of a few viewers and media."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.actions import POSITIVE, Action
from models.evaluation.baselines.ease import Ease, ease_weights
from models.evaluation.baselines.item_knn import ItemKnn
from models.evaluation.baselines.popularity import (
    OwnAuthors,
    own_authors,
    popularity,
    recent_popularity,
    task_popularity,
)
from models.evaluation.baselines.protocol import (
    Exclusions,
    Requests,
    best,
    counts,
    positive_pairs,
    requests_of,
)
from models.evaluation.event_log import EventLog
from models.events import DAY_MS
from tests.event_logs import Row, event_log, rows


def everybody(log: EventLog, now: int) -> Requests:
    viewers = np.arange(log.viewers, dtype=np.int32)
    return requests_of(log.by_viewer(log.of()), viewers, np.full(len(viewers), now, np.int64))


@given(rows(), st.integers(0, 13), st.floats(0, 50))
def test_item_knn_adds_up_shrunk_cosines(told: list[Row], until: int, shrink: float) -> None:
    log = event_log(told)
    by = {m: {v for ts, v, n, a in told if n == m and ts < until and a in POSITIVE}
          for m in range(log.media)}  # fmt: skip
    scores = ItemKnn(log, until, shrink, 0).score(everybody(log, until))
    for viewer in range(log.viewers):
        mine = {m for m in by if viewer in by[m]}
        for m in range(log.media):
            wanted = sum(
                len(by[m] & by[n]) / (math.sqrt(len(by[m]) * len(by[n])) + shrink)
                for n in mine
                if n != m and by[m] & by[n]
            )
            assert scores[viewer, m] == pytest.approx(wanted, rel=1e-4, abs=1e-4)


@given(rows(), st.integers(1, 3))
def test_item_knn_keeps_the_nearest(told: list[Row], neighbours: int) -> None:
    log = event_log(told)
    every = ItemKnn(log, 13, 1.0, 0)._likeness_mm.toarray()
    kept = ItemKnn(log, 13, 1.0, neighbours)._likeness_mm.toarray()
    for m in range(log.media):
        assert sorted(kept[m])[::-1][:neighbours] == pytest.approx(
            sorted(every[m])[::-1][:neighbours]
        )
        assert np.count_nonzero(kept[m]) <= neighbours


@settings(max_examples=50)
@given(rows(), st.floats(0.5, 50))
def test_ease_solves_ridge_regression_with_a_zero_diagonal(told: list[Row], ridge: float) -> None:
    ones = positive_pairs(event_log(told), 13).toarray().astype(np.float64)
    weights = ease_weights(ones.T @ ones, ridge)
    for m in range(ones.shape[1]):
        others = np.delete(np.arange(ones.shape[1]), m)
        x = ones[:, others]
        gram = x.T @ x + ridge * np.eye(len(others))
        assert weights[others, m] == pytest.approx(
            np.linalg.solve(gram, x.T @ ones[:, m]), rel=1e-3, abs=1e-3
        )
        assert weights[m, m] == 0.0


@given(rows())
def test_ease_scores_only_media_that_some_acted_on(told: list[Row]) -> None:
    log = event_log(told)
    scores = Ease(log, 13, 10.0, most=3).score(everybody(log, 13))
    assert scores.shape == (log.viewers, log.media)
    assert np.isfinite(scores).all()
    few = np.flatnonzero(np.asarray(positive_pairs(log, 13).sum(axis=0)).ravel() < 2)
    assert (scores[:, few] <= 1e-5).all()


@given(rows(), st.integers(0, 13))
def test_popularity_counts_positives(told: list[Row], until: int) -> None:
    log = event_log(told)
    asked = everybody(log, until)

    def count(m: int, actions: tuple[Action, ...], since: int = 0) -> int:
        return sum(n == m and since <= ts < until and a in actions for ts, _, n, a in told)

    every = popularity().fit(log, until, {}).score(asked)
    likes = task_popularity((Action.LIKE,)).fit(log, until, {}).score(asked)
    late = recent_popularity().fit(log, until, {"days": 3 / DAY_MS}).score(asked)
    for m in range(log.media):
        assert every[:, m] == pytest.approx(count(m, POSITIVE))
        assert likes[:, m] == pytest.approx(count(m, (Action.LIKE,)), abs=1e-5)
        assert late[:, m] == pytest.approx(count(m, POSITIVE, until - 3), abs=1e-5)


@given(rows(), st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_own_authors_come_first(told: list[Row], authors: list[int]) -> None:
    log = event_log(told, 6, authors)
    scores = OwnAuthors(log, 13).score(everybody(log, 13))
    assert own_authors().fit(log, 13, {}).score(everybody(log, 13)) == pytest.approx(scores)
    for viewer in range(log.viewers):
        own = {authors[m] for ts, v, m, a in told if v == viewer and a in POSITIVE}
        mine = [scores[viewer, m] for m in range(6) if authors[m] in own]
        others = [scores[viewer, m] for m in range(6) if authors[m] not in own]
        if mine and others:
            assert min(mine) > max(others)


@given(rows(), st.lists(st.integers(0, 2), min_size=6, max_size=6), st.integers(1, 7))
def test_lists_hold_the_best_of_what_is_left(told: list[Row], authors: list[int], k: int) -> None:
    log = event_log(told, 6, authors)
    viewers = np.arange(log.viewers, dtype=np.int32)
    now_g = np.full(len(viewers), 8, np.int64)
    score_m = counts(log, 0, 8)
    exclusions = Exclusions(log)
    for rule, of in (("none", None), ("seen", exclusions.seen), ("grid", exclusions.grid)):
        excluded = None if of is None else of(viewers, now_g)
        found = best(np.tile(score_m, (len(viewers), 1)), excluded, now_g, log, k)
        for viewer in viewers:
            met = {m for ts, v, m, _ in told if v == viewer and ts < 8}
            own = {authors[m] for ts, v, m, a in told if v == viewer and ts < 8 and a in POSITIVE}
            left = [
                m
                for m in range(6)
                if rule == "none" or (m not in met and (rule == "seen" or authors[m] not in own))
            ]
            wanted = sorted(left, key=lambda m: (-score_m[m], m))[:k]
            assert [m for m in found[viewer].tolist() if m >= 0] == wanted


def test_what_came_later_is_no_part_of_a_list() -> None:
    log = event_log([(1, 0, 0, Action.LIKE), (5, 1, 1, Action.LIKE)])
    log.created_m[:] = [1, 5]
    now_g = np.array([5], np.int64)
    lists = best(np.array([[1.0, 9.0]], np.float32), None, now_g, log, 2)
    assert lists.tolist() == [[0, -1]]
