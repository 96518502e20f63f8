"""Production on a recorded log: what its lists leave out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infra.config import Settings
from infra.errors import SettingsError
from streams.acted.serving import query_of
from streams.recorded.grids.production import Ranker
from streams.recorded.grids.task import task_of
from streams.recorded.reading import read_dataset

T0 = 1_600_000_000_000


def test_own_popularity_obeys_the_exclusions_of_baselines(tmp_path: Path) -> None:
    """Beside media that the viewer met, those of accounts acted on belong to the home feed."""
    liked = ["v,a1,a", "w,a1,a", "w,a2,a", "w,b1,b", "x,a2,a", "x,b1,b", "x,c1,c"]
    (tmp_path / "log.csv").write_text(
        "ts,viewer_id,media_id,author_id,action\n"
        + "".join(f"{T0 + at * 1000},{row},like\n" for at, row in enumerate(liked))
    )
    (tmp_path / "log.toml").write_text('[events]\naction = "action"\nauthor = "author_id"\n')
    data = read_dataset(tmp_path / "log.csv", tmp_path / "log.toml")
    viewer = np.array([data.viewer_ids.index("v")], np.int32)
    ranker = Ranker(data, Settings(), task_of("like"), viewer)
    ranker.advance(T0 + 3_600_000)
    made = ranker.make(viewer, T0 + 3_600_000)

    def names(list_gk: np.ndarray) -> set[str]:
        return {data.media_ids[m] for m in list_gk[0] if m >= 0}

    assert names(made.popular_all_gk) == {"a1", "a2", "b1", "c1"}
    assert names(made.popular_seen_gk) == {"a2", "b1", "c1"}
    assert names(made.popular_gk) == {"b1", "c1"}


def test_it_serves_by_the_query_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "mine.igql").write_text("user.popular(100)")
    settings = Settings(explore_query=str(tmp_path / "mine.igql"))
    assert query_of(settings).plan.version != query_of(Settings()).plan.version
    with pytest.raises(SettingsError, match="EXPLORE_QUERY"):
        query_of(Settings(explore_query=str(tmp_path / "none.igql")))
