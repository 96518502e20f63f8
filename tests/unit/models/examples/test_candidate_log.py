"""Whole candidate sets: logged as they were ranked, and kept, whatever the topic holds."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.events import DAY_MS, InvalidEventError
from models.examples.candidate_log import CandidateLog, LoggedCandidates, logged_candidates
from models.explore.audit import Uncut, rank_uncut
from models.explore.impressions import pack_features, unpack_features
from models.explore.pipeline import ExploreConfig, find
from models.explore.treatment import Treatment
from models.feature_schema import FEATURE_VERSION, FeatureMatrix
from models.features.assembly import assemble
from models.queries import explore_plan
from models.rankers.prior import PriorRankers
from models.rankers.protocol import Pass, Rankers
from models.viewers.context import ViewerContext
from models.world import World
from tests.unit.models.explore.test_impressions import MINUTE, T0, broken, matrix, replayed

NOW = T0 + 45 * MINUTE
#: Of 400 media, so that every pass cuts.
CONFIG = ExploreConfig(first=60, second=40)


def ranked(
    world: World, viewer: ViewerContext, now: int = NOW, rankers: Rankers | None = None
) -> Uncut:
    treatment = Treatment(rankers=rankers or PriorRankers())
    return rank_uncut(find([viewer], world, treatment, now), world, CONFIG)


class Recorded:
    """The prior passes, and what each was given."""

    def __init__(self) -> None:
        prior = PriorRankers()
        self.version = prior.version
        self.seen: dict[str, list[FeatureMatrix]] = {"first": [], "second": [], "final": []}
        self.first = self._recording("first", prior.first)
        self.second = self._recording("second", prior.second)
        self.final = self._recording("final", prior.final)
        self.interest = prior.interest

    def _recording(self, name: str, inner: Pass) -> Pass:
        seen = self.seen[name]

        class Recording:
            columns = inner.columns

            def score(self, features: FeatureMatrix) -> Any:
                seen.append(features)
                return inner.score(features)

        return Recording()


def same(left: FeatureMatrix, right: FeatureMatrix) -> bool:
    return (
        left.dense_nf.tobytes() == right.dense_nf.tobytes()
        and left.sparse_ns.tobytes() == right.sparse_ns.tobytes()
    )


def test_what_is_logged_is_what_the_passes_read() -> None:
    world, viewer = replayed(NOW)
    rankers = Recorded()
    ranking = ranked(world, viewer, rankers=rankers)
    record, trace = logged_candidates(ranking), ranking.trace
    assert record.candidates == len(trace.candidates) > 200
    logged = unpack_features(record.features, record.candidates, record.versions["features"])
    first, second, final = (rankers.seen[name][0] for name in ("first", "second", "final"))
    # Behind those that passed, what may be drawn goes through the passes beside them.
    second, final = second.take(np.arange(60)), final.take(np.arange(40))
    assert len(first) == len(logged) and len(trace.first_k) == 60 and len(trace.kept_m) == 40
    assert first.dense_nf.tobytes() == logged.select(first.columns).tobytes()
    passed = logged.take(trace.first_k)
    assert second.dense_nf.tobytes() == passed.select(second.columns).tobytes()
    assert same(final, logged.take(trace.kept_m))


def test_what_is_logged_equals_what_the_log_of_events_gives_at_that_time() -> None:
    record = logged_candidates(ranked(*replayed(NOW)))
    assert (record.viewer_id, record.ranked_ms) == ("v1", NOW)
    assert record.versions["query"] == explore_plan().version

    later, viewer = replayed(NOW)
    found = find([viewer], later, Treatment(), NOW).executed.candidates()
    recomputed = assemble(viewer, found, later, NOW)
    assert record.features == pack_features(recomputed)
    logged = unpack_features(record.features, record.candidates, record.versions["features"])
    assert same(logged, recomputed)

    # One event less in the log, and they differ.
    assert logged_candidates(ranked(*replayed(NOW, 119))).features != record.features


def record(viewer: str = "v", at: int = 1, n: int = 3, **changes: Any) -> LoggedCandidates:
    versions = {"features": FEATURE_VERSION, "query": "q"}
    features = pack_features(matrix(at, n))
    made = LoggedCandidates(
        viewer_id=viewer, ranked_ms=at, candidates=n, features=features, versions=versions
    )
    return msgspec.structs.replace(made, **changes)


def kept(log: CandidateLog) -> list[bytes]:
    return sorted(features.dense_nf.tobytes() for features in log.found_by(["q"]))


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 30)), max_size=25, unique_by=lambda r: r[1]
    ),
    st.randoms(use_true_random=False),
)
def test_the_newest_of_each_viewer_is_kept_in_whatever_order_they_come(
    records: list[tuple[int, int]], random: Any
) -> None:
    log, keep = CandidateLog(4), 4
    arriving = [*records, *records[:5]]
    random.shuffle(arriving)
    for viewer, at in arriving:
        assert log.add(msgspec.json.encode(record(f"v{viewer}", at)), NOW) == "read"
    newest = {viewer: max(at for one, at in records if one == viewer) for viewer, _ in records}
    expected = sorted(newest.values())[-keep:]
    assert kept(log) == sorted(matrix(at, 3).dense_nf.tobytes() for at in expected)


def damaged() -> dict[str, bytes | None]:
    def text(**changes: Any) -> bytes:
        return msgspec.json.encode(record(**changes))

    return {
        "no value": None,
        "no JSON": b"{",
        "no UTF-8": b'{"viewer_id": "\xff"}',
        "no object": b"[]",
        "a field less": b'{"viewer_id": "v", "ranked_ms": 1}',
        "nobody": text(viewer_id=""),
        "from the future": text(ranked_ms=NOW + 2 * DAY_MS),
        "no candidates": text(candidates=0),
        "fewer": text(candidates=-3),
        "one more than there are": text(candidates=4),
        "more than memory": text(candidates=2**62),
        **{name: text(features=features) for name, features in broken().items()},
    }


@pytest.mark.parametrize("what", damaged())
def test_a_damaged_record_loses_nothing_else(what: str) -> None:
    log = CandidateLog(4)
    log.add(msgspec.json.encode(record("before", 1)), NOW)
    log.add(msgspec.json.encode(record("v", 2)), NOW)
    before = kept(log)
    with pytest.raises(InvalidEventError):
        log.add(damaged()[what], NOW)
    assert kept(log) == before
    assert log.add(msgspec.json.encode(record("after", 3)), NOW) == "read"
    assert len(log) == 3


def test_sets_of_other_features_or_queries_are_left_out() -> None:
    log = CandidateLog(4)
    other = {"features": "other", "query": "q"}
    assert log.add(msgspec.json.encode(record(versions=other)), NOW) == "other_features"
    assert log.add(msgspec.json.encode(record(versions={})), NOW) == "other_features"
    assert len(log) == 0
    for at, query in enumerate(("live", "arm", "gone")):
        versions = {"features": FEATURE_VERSION, "query": query}
        log.add(msgspec.json.encode(record(query, at, at + 1, versions=versions)), NOW)
    assert [len(features) for features in log.found_by({"live", "arm"})] == [1, 2]
    assert log.found_by([]) == []
