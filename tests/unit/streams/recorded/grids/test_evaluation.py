"""Both protocols from end to end on a log of a few hundred events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from infra.config import Settings
from models.actions import HEAD_NAMES, Action
from models.rankers.value import Weights
from streams.learning import ranker_judge
from streams.recorded.dataset import Dataset, DatasetError
from streams.recorded.grids.evaluation import evaluate_grids
from streams.recorded.grids.report import as_html, as_markdown, write_report
from streams.recorded.grids.run import Options, split_of
from streams.recorded.grids.task import TASKS, TaskError, task_of
from streams.recorded.reading import read_dataset

T0 = 1_600_000_000_000
HOUR = 3_600_000
DAY = 24 * HOUR
NEEDED = (
    "ndcg", "recall", "recall_500", "best_baseline", "best_baseline_name", "best_recall_500",
    "ratio", "ndcg_prior", "ndcg_uncut",
)  # fmt: skip


def log_file(tmp_path: Path, lines: list[str], name: str = "log.csv") -> Path:
    path = tmp_path / name
    path.write_text("ts,viewer_id,media_id,action\n" + "\n".join(lines) + "\n")
    mapping = tmp_path / "log.toml"
    mapping.write_text('[events]\naction = "action"\n')
    return path


def a_log(tmp_path: Path, *, views: bool = True, viewers: int = 30) -> Dataset:
    """Two tastes: each viewer likes media of one half, and views some of the other."""
    rng, lines = np.random.default_rng(5), []
    for viewer in range(viewers):
        taste = viewer % 2
        for step in range(14):
            ts = T0 + step * 8 * HOUR + viewer * 60_000
            media = int(rng.integers(0, 20)) + 20 * taste
            if views:
                other = int(rng.integers(0, 20)) + 20 * (1 - taste)
                long = "long_view" if rng.random() < 0.5 else "view"
                lines += [f"{ts},{viewer},{media},{long}", f"{ts + 1},{viewer},{other},view"]
            if rng.random() < 0.6:
                lines.append(f"{ts},{viewer},{media},like")
            elif rng.random() < 0.2:
                lines.append(f"{ts},{viewer},{media},see_fewer")
    return read_dataset(log_file(tmp_path, lines), tmp_path / "log.toml")


def evaluate(data: Dataset, **options: Any) -> dict[str, Any]:
    found = evaluate_grids(data, Settings(), Options(small=True, **options))
    return {name: found[name] for name in ("data", "protocol", "task", "figures")}


def figures(data: Dataset, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = evaluate(data, **options)["figures"]
    return found


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Equal but for how long it took and where it came from."""
    drop = ("seconds", "reused")
    return {k: v for k, v in a.items() if k not in drop} == {
        k: v for k, v in b.items() if k not in drop
    }


@pytest.mark.parametrize("protocol", ["static", "prequential"])
def test_figures_are_whole_and_the_same_again(tmp_path: Path, protocol: str) -> None:
    data = a_log(tmp_path)
    found = figures(data, protocol=protocol)
    for name in NEEDED:
        assert found[name] is not None
    assert 0 < found["ndcg"] <= 1
    assert found["ndcg_low"] <= found["ndcg"] <= found["ndcg_high"]
    assert found["recall"] <= found["recall_second"] <= found["recall_first"]
    assert found["recall_first"] <= found["recall_500"]
    by_source = [one["recall_500"] for one in found["sources"].values()]
    assert sum(by_source) == pytest.approx(found["recall_500"])
    assert sum(one["share_of_grid"] for one in found["sources"].values()) == pytest.approx(1)
    assert found["best_baseline"] == max(one["ndcg"] for one in found["baselines"].values())
    assert found["ratio"] == pytest.approx(found["ndcg"] / found["best_baseline"])
    assert same(found, figures(data, protocol=protocol))
    msgspec.json.encode(found)


@pytest.fixture
def ungated(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few viewers teach less than the prior knows: trained rankers serve all the same."""
    monkeypatch.setattr(ranker_judge, "MIN_SETS", 10**9)


def test_what_few_choices_teach_stays_near_the_prior(tmp_path: Path) -> None:
    found = figures(a_log(tmp_path, viewers=60), seed=1)
    assert found["notes"]["rankers"].startswith(("rankers-", "prior: rankers refused: "))
    assert found["ndcg"] >= 0.9 * found["ndcg_prior"] > 0


@pytest.mark.usefixtures("ungated")
def test_trained_rankers_serve_and_other_seeds_train_others(tmp_path: Path) -> None:
    data = a_log(tmp_path, viewers=60)
    found = figures(data, seed=1)
    assert found["notes"]["rankers"].startswith("rankers-")
    assert found["notes"]["rankers"] != figures(data, seed=2)["notes"]["rankers"]
    assert set(found["shown"]) == {*HEAD_NAMES, "media_rate"}


def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    data, cache = a_log(tmp_path), tmp_path / "cache"
    first = figures(data, cache=cache)
    assert first["reused"] == []
    again = figures(data, cache=cache)
    assert {"examples", "rankers", "grids", "baseline-ease"} <= set(again["reused"])
    assert same(first, again)
    next(cache.glob("grids-*")).unlink()
    assert same(first, figures(data, cache=cache))
    other = figures(data, cache=cache, task="long_view")
    assert other["reused"] == ["examples"]


@pytest.mark.usefixtures("ungated")
def test_the_long_view_task_sorts_by_its_own_head(tmp_path: Path) -> None:
    found = figures(a_log(tmp_path, viewers=60), task="long_view")
    assert found["notes"]["rankers"].startswith("rankers-")
    assert set(found["shown"]) == {*HEAD_NAMES, "media_rate"}
    assert task_of("long_view").positives == (Action.LONG_VIEW,)
    assert TASKS["like"].weights == Weights()
    with pytest.raises(TaskError, match="like, long_view"):
        task_of("nothing")


@pytest.mark.usefixtures("ungated")
def test_without_views_rankers_learn_from_choices(tmp_path: Path) -> None:
    found = figures(a_log(tmp_path, views=False))
    assert found["notes"]["rankers"].startswith("rankers-")
    assert found["ndcg"] > 0


def test_with_next_to_nothing_the_prior_serves_and_says_why(tmp_path: Path) -> None:
    found = figures(a_log(tmp_path, views=False, viewers=2))
    assert found["notes"]["rankers"].startswith("prior: ")
    assert found["ndcg"] == found["ndcg_prior"]
    assert found["shown"] == {}


def test_one_viewer_has_a_grid_and_no_interval_beyond_it(tmp_path: Path) -> None:
    found = figures(a_log(tmp_path, viewers=1))
    assert (found["viewers"], found["grids"]) == (1, 1)
    assert found["ndcg_low"] == found["ndcg"] == found["ndcg_high"]


def test_a_test_period_without_positives_is_said(tmp_path: Path) -> None:
    lines = [f"{T0 + n * HOUR},v,m{n},{'like' if n < 5 else 'view'}" for n in range(10)]
    data = read_dataset(log_file(tmp_path, lines), tmp_path / "log.toml")
    with pytest.raises(
        DatasetError, match="no viewer has a like or save or share or comment on a media not seen"
    ):
        evaluate(data)


def test_times_that_say_nothing_are_said(tmp_path: Path) -> None:
    lines = [f"{T0},v{n % 3},m{n},like" for n in range(10)]
    data = read_dataset(log_file(tmp_path, lines), tmp_path / "log.toml")
    with pytest.raises(DatasetError, match="all have the same time"):
        evaluate(data)
    data = a_log(tmp_path)
    with pytest.raises(DatasetError, match="earlier --split"):
        split_of(data, "2030-01-01")
    with pytest.raises(DatasetError, match="later --split"):
        split_of(data, "2015-01-01")


def test_a_prequential_grid_knows_nothing_of_its_positive(tmp_path: Path) -> None:
    """Nobody but the viewer ever met the media: whatever ranks it high has looked ahead."""
    lines = [f"{T0 + n * HOUR},a,m{n % 7},like" for n in range(20)]
    lines += [f"{T0 + 30 * HOUR},b,only,view", f"{T0 + 30 * HOUR},b,only,like"]
    data = read_dataset(log_file(tmp_path, lines), tmp_path / "log.toml")
    found = figures(data, protocol="prequential", split=str(T0 + 25 * HOUR))
    assert (found["grids"], found["ndcg"], found["recall_500"]) == (1, 0.0, 0.0)
    assert all(one["ndcg"] == 0.0 for one in found["baselines"].values())


def test_the_report_names_every_way_and_needs_nothing_else(tmp_path: Path) -> None:
    found = evaluate(a_log(tmp_path))
    paths = write_report([found], tmp_path / "report")
    assert [path.name for path in paths] == ["grids.md", "grids.html"]
    markdown, html = as_markdown([found]), as_html([found])
    for name in ("grid", *found["figures"]["baselines"]):
        assert f"| {name} |" in markdown
        assert f"<td>{name}</td>" in html
    assert html.count("<svg") == 2
    for outside in ("src=", 'href="http', "@import", "<script"):
        assert outside not in html
    assert markdown.count("\n## ") == 1
