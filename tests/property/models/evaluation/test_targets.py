"""Targets and histories against their definitions, event by event."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.actions import POSITIVE, Action
from models.evaluation.targets import prequential_targets, static_targets
from tests.event_logs import Row, event_log, rows

LIKE = (Action.LIKE, Action.SAVE)


@given(rows(), st.integers(0, 13))
def test_a_static_target_is_a_positive_on_a_media_never_met_before_the_split(
    told: list[Row], split: int
) -> None:
    log = event_log(told)
    met = {(v, m) for ts, v, m, _ in told if ts < split}
    wanted = {(v, m) for ts, v, m, a in told if ts >= split and a in LIKE and (v, m) not in met}
    targets = static_targets(log, LIKE, split)
    found = list(zip(targets.viewer_g[targets.grid_p], targets.media_p, strict=True))
    assert set(found) == wanted
    assert len(found) == len(wanted)
    assert len(set(targets.viewer_g.tolist())) == len(targets) == len({v for v, _ in wanted})
    for viewer, history in zip(targets.viewer_g, targets.history_g, strict=True):
        assert history == sum(v == viewer and ts < split and a in POSITIVE for ts, v, _, a in told)


@given(rows(), st.integers(0, 13))
def test_a_prequential_target_is_a_first_positive_and_nothing_was_met_earlier(
    told: list[Row], split: int
) -> None:
    log = event_log(told)
    first = {}
    for ts, v, m, a in sorted(told, key=lambda row: row[0]):
        if ts >= split and a in LIKE:
            first.setdefault((v, m), ts)
    wanted = {
        (v, m, at)
        for (v, m), at in first.items()
        if not any(v == w and m == n and ts < at for ts, w, n, _ in told)
    }
    targets = prequential_targets(log, LIKE, split)
    found = set(zip(targets.viewer_g, targets.media_p, targets.ts_g, strict=True))
    assert found == wanted
    assert (np.diff(targets.ts_g) >= 0).all()


@given(rows(), st.integers(0, 13), st.one_of(st.none(), st.integers(1, 3)))
def test_a_history_holds_what_is_older(told: list[Row], now: int, newest: int | None) -> None:
    log = event_log(told)
    viewers = np.arange(log.viewers, dtype=np.int32)
    now_g = np.full(len(viewers), now, np.int64)
    found = log.by_viewer(log.of()).before(viewers, now_g, newest).toarray()
    for viewer in viewers:
        media = [m for ts, v, m, a in zip(
            log.ts_n, log.viewer_n, log.media_n, log.action_n, strict=True
        ) if v == viewer and ts < now and a in POSITIVE]  # fmt: skip
        media = media if newest is None else media[-newest:]
        assert set(np.flatnonzero(found[viewer])) == set(media)
        assert set(found[viewer]) <= {0.0, 1.0}


@given(rows(), st.integers(0, 13))
def test_taken_grids_keep_their_targets(told: list[Row], split: int) -> None:
    targets = static_targets(event_log(told), LIKE, split)
    taken = targets.take(np.arange(len(targets)) % 2 == 0)
    every = {(v, m) for v, m in zip(targets.viewer_g[targets.grid_p], targets.media_p, strict=True)}
    kept = set(taken.viewer_g.tolist())
    found = {(v, m) for v, m in zip(taken.viewer_g[taken.grid_p], taken.media_p, strict=True)}
    assert found == {(v, m) for v, m in every if v in kept}


@given(rows())
def test_a_first_time_is_nothing_that_its_viewer_did_before(told: list[Row]) -> None:
    log = event_log(told)
    done = list(
        zip(log.viewer_n.tolist(), log.media_n.tolist(), log.action_n.tolist(), strict=True)
    )
    expected = [what not in done[:at] for at, what in enumerate(done)]
    assert log.first_times().tolist() == expected
