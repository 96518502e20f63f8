"""Factors of viewers whom nothing was learned of are noise, and score nothing."""

from __future__ import annotations

import numpy as np
import pytest

from models.actions import Action
from models.evaluation.baselines.factors import als, bpr
from models.evaluation.baselines.protocol import Baseline, requests_of
from models.evaluation.event_log import EventLog

VIEWERS, MEDIA = 31, 10


def a_log() -> EventLog:
    """Thirty viewers like media of two tastes, media 0 and 5 most; the last viewer comes later."""
    rows = [(v, v, (v % 2) * 5 + m) for v in range(30) for m in range(1 + v % 5)]
    rows.append((1_000, 30, 7))
    ts_n, viewer_n, media_n = (np.array(column) for column in zip(*rows, strict=True))
    return EventLog(
        ts_n=ts_n.astype(np.int64),
        viewer_n=viewer_n.astype(np.int32),
        media_n=media_n.astype(np.int32),
        action_n=np.full(len(rows), Action.LIKE, np.int8),
        undo_n=np.zeros(len(rows), np.bool_),
        standing_n=np.ones(len(rows), np.bool_),
        viewers=VIEWERS,
        author_m=np.arange(MEDIA, dtype=np.int32),
        created_m=np.zeros(MEDIA, np.int64),
    )


# The command sets the threads of the linear algebra; a test has those of its process.
@pytest.mark.filterwarnings("ignore:OpenBLAS is configured:RuntimeWarning")
@pytest.mark.parametrize("baseline", [als(), bpr()], ids=lambda one: one.name)
def test_who_came_after_the_fit_gets_what_is_popular(baseline: Baseline) -> None:
    log = a_log()
    fitted = baseline.fit(log, 500, baseline.sweep[0])
    viewer_g, ts_g = np.array([0, 30], np.int32), np.full(2, 2_000, np.int64)
    scores_gm = fitted.score(requests_of(log.by_viewer(log.of()), viewer_g, ts_g))
    counted_m = np.bincount(log.media_n[:-1], minlength=MEDIA)
    assert (np.diff(scores_gm[1][np.argsort(-counted_m, kind="stable")]) <= 0).all()
    assert not np.allclose(scores_gm[0], scores_gm[1])
