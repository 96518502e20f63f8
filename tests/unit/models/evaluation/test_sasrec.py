"""SASRec learns what follows what, from what is older alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from models.actions import Action
from models.evaluation.baselines.protocol import requests_of
from models.evaluation.baselines.sasrec import SasRec, sasrec
from models.evaluation.event_log import EventLog

MEDIA = 12


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices as small as these are not worth more threads, which wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def a_log(viewers: int = 24, length: int = 8) -> EventLog:
    """Each viewer goes round in a circle of media from a place of their own; likes come twice."""
    rows = [
        (step * 1_000 + viewer, viewer, (viewer + step) % MEDIA, again)
        for step in range(length)
        for viewer in range(viewers)
        for again in (0, 1)
    ]
    ts_n, viewer_n, media_n, again_n = (np.array(column) for column in zip(*rows, strict=True))
    return EventLog(
        ts_n=ts_n.astype(np.int64),
        viewer_n=viewer_n.astype(np.int32),
        media_n=media_n.astype(np.int32),
        action_n=np.where(again_n == 1, Action.SAVE, Action.LIKE).astype(np.int8),
        undo_n=np.zeros(len(rows), np.bool_),
        standing_n=np.ones(len(rows), np.bool_),
        viewers=viewers,
        author_m=np.arange(MEDIA, dtype=np.int32),
        created_m=np.zeros(MEDIA, np.int64),
    )


def test_the_next_in_the_circle_is_best_and_seeds_are_fixed() -> None:
    log, until_ms = a_log(), 6_000
    viewer_g = np.arange(12, dtype=np.int32)
    requests = requests_of(log.by_viewer(log.of()), viewer_g, np.full(12, until_ms, np.int64))
    fitted = SasRec(log, until_ms, 32, 0.01)
    scores_gm = fitted.score(requests)
    assert scores_gm.shape == (12, MEDIA)
    assert np.isfinite(scores_gm).all()
    assert (scores_gm.argmax(axis=1) == (viewer_g + 6) % MEDIA).mean() > 0.8
    assert (SasRec(log, until_ms, 32, 0.01).score(requests) == scores_gm).all()


def test_without_history_the_popular_come_first() -> None:
    log = a_log(viewers=20)
    viewer_g, ts_g = np.zeros(1, np.int32), np.zeros(1, np.int64)
    requests = requests_of(log.by_viewer(log.of()), viewer_g, ts_g)
    assert (SasRec(log, 0, 8, 0.01).score(requests) == 0).all()
    found_gm = sasrec().fit(log, 3_000, {"dimension": 8, "learning_rate": 0.01}).score(requests)
    counted_m = np.bincount(log.media_n[: log.before(3_000)], minlength=MEDIA)
    assert counted_m[found_gm[0].argmax()] == counted_m.max()


def test_newest_media_come_in_order() -> None:
    log = a_log()
    pairs = log.by_viewer(log.action_n == Action.LIKE)
    [before, nothing] = pairs.newest(np.array([3, 4], np.int32), np.array([4_000, 0]), 3)
    assert before.tolist() == [4, 5, 6]
    assert len(nothing) == 0
