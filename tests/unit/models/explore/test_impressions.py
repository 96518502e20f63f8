"""Features as served: packed and read bit for bit, refused where they are none."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.actions import Action
from models.events import Media, MediaEvent
from models.examples.from_events import ExampleBuilder, ExampleConfig
from models.explore.grid import to_json
from models.explore.impressions import (
    ServedFeaturesError,
    StoredGrid,
    pack_features,
    stored_grid,
    unpack_features,
)
from models.explore.pipeline import ExploreConfig, explore, find, funnel
from models.explore.treatment import Treatment
from models.feature_schema import DENSE_NAMES, FEATURE_VERSION, SPARSE_NAMES, FeatureMatrix
from models.features.assembly import assemble
from models.features.candidates import Candidates
from models.viewers.context import ViewerContext
from models.viewers.state import ViewerState
from models.world import World

T0 = 1_700_000_040_000
MINUTE = 60_000


def matrix(seed: int, n: int) -> FeatureMatrix:
    rng = np.random.default_rng(seed)
    return FeatureMatrix(
        rng.normal(size=(n, len(DENSE_NAMES))).astype(np.float32),
        rng.integers(0, 2**31 - 1, (n, len(SPARSE_NAMES))).astype(np.int32),
    )


@given(st.integers(0, 1000), st.integers(0, 30))
def test_packed_features_come_back_bit_for_bit(seed: int, n: int) -> None:
    features = matrix(seed, n)
    back = unpack_features(pack_features(features), n, FEATURE_VERSION)
    assert back.dense_nf.tobytes() == features.dense_nf.tobytes()
    assert back.sparse_ns.tobytes() == features.sparse_ns.tobytes()


def broken() -> dict[str, str]:
    good = pack_features(matrix(1, 3))
    raw = zlib.decompress(base64.b64decode(good))
    nan = np.full(len(raw) // 4, np.nan, "<f4").tobytes()
    return {
        "not base64": "?" + good[1:],
        "not zlib": base64.b64encode(b"features").decode(),
        "cut": base64.b64encode(zlib.compress(raw[:-1])).decode(),
        "too long": base64.b64encode(zlib.compress(raw + b"x")).decode(),
        "NaN": base64.b64encode(zlib.compress(nan)).decode(),
        "empty": "",
    }


@pytest.mark.parametrize("what", broken())
def test_what_is_no_features_is_refused(what: str) -> None:
    with pytest.raises(ServedFeaturesError):
        unpack_features(broken()[what], 3, FEATURE_VERSION)


def test_features_of_another_version_are_refused() -> None:
    with pytest.raises(ServedFeaturesError, match="'older'"):
        unpack_features(pack_features(matrix(1, 3)), 3, "older")


def catalogue() -> World:
    world = World()
    world.apply_media(
        [Media(f"m{n}", f"a{n % 40}", T0 - n * MINUTE, topics=(str(n % 3),)) for n in range(400)]
    )
    rng = np.random.default_rng(3)
    vectors_nd = rng.normal(size=(40, 8)).astype(np.float32)
    vectors_nd /= np.linalg.norm(vectors_nd, axis=1, keepdims=True)
    world.apply_embeddings("s", [f"a{n}" for n in range(40)], vectors_nd)
    return world


def replayed(until: int, count: int = 120) -> tuple[World, ViewerContext]:
    """World and viewer as the log up to `until` gives them, built from nothing."""
    rng = np.random.default_rng(11)
    world = catalogue()
    builder = ExampleBuilder(world, ExampleConfig(negative_rate=1.0))
    events = []
    for n in range(count):
        action, media = Action(int(rng.integers(5))), int(rng.integers(60))
        at = T0 + n * 20_000
        event = MediaEvent(f"e{n}", f"v{n % 4}", f"m{media}", at, f"a{media % 40}")
        events.append((action, event))
    builder.observe([of for of in events if of[1].ts < until], until)
    builder.flush()
    states = dict(builder.viewers())
    return world, ViewerContext.from_state("v1", states["v1"], world, until)


def test_served_features_equal_those_recomputed_from_the_log() -> None:
    """Served in a batch at some time, and assembled one page at a time from the log up to then."""
    now, config = T0 + 45 * MINUTE, ExploreConfig()
    world, viewer = replayed(now)
    others = [ViewerContext.from_state(name, ViewerState(), world, now) for name in ("x", "y")]
    traces = funnel(find([others[0], viewer, others[1]], world, Treatment(), now), world, config)
    grid, stored = traces[1].grid, stored_grid(traces[1].grid, world)
    assert len(stored.items) == 25
    assert min(item.propensity for item in stored.items) < 1.0  # one is new, and drawn

    later, same_viewer = replayed(now)
    again = stored_grid(explore(same_viewer, later, Treatment(), config, now), later)
    assert again.features == stored.features

    # The shown items alone, as training assembles exposures.
    rows = later.catalog.media_rows([item.media_id for item in stored.items])
    candidates = Candidates.of(rows)
    recomputed = assemble(
        same_viewer,
        Candidates(
            rows,
            grid.candidates.source_n,
            later.catalog.author_rows([item.seed or "" for item in stored.items]),
            candidates.score_n,
            candidates.rank_n,
            grid.candidates.sources,
        ),
        later,
        now,
    )
    assert pack_features(recomputed) == stored.features
    served = unpack_features(stored.features, len(rows), stored.versions["features"])
    assert served.dense_nf.tobytes() == recomputed.dense_nf.tobytes()
    assert served.sparse_ns.tobytes() == recomputed.sparse_ns.tobytes()
    assert np.ptp(served.dense_nf, axis=0).astype(bool).sum() > 10

    # One event less in the log, and they differ.
    before, less_known = replayed(now, 119)
    without = stored_grid(explore(less_known, before, Treatment(), config, now), before)
    assert without.features != stored.features


def test_a_stored_grid_is_a_grid_with_features() -> None:
    now = T0 + 45 * MINUTE
    world, viewer = replayed(now)
    grid = explore(viewer, world, Treatment(), ExploreConfig(size=5), now)
    stored = stored_grid(grid, world)
    assert isinstance(stored, StoredGrid)
    assert b'"features":"' in to_json(stored)
    assert b'"features":"' + stored.features.encode() not in to_json(grid.document(world))
