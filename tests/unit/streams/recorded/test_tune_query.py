"""Weights of a query from a log whose viewers engage with what others of their taste do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infra.config import Settings
from models.evaluation.targets import static_targets
from models.igql.library import operators
from models.igql.parser import parse
from models.igql.reweighting import outer_blend
from models.queries import CandidateQuery
from streams.recorded import tune_query as module
from streams.recorded.dataset import Dataset, DatasetError
from streams.recorded.grids.production import Ranker, learned_at
from streams.recorded.grids.task import task_of
from streams.recorded.reading import read_dataset
from streams.recorded.tune_query import TuneError, TuneOptions, tune_query

T0 = 1_600_000_000_000
HOUR = 3_600_000
#: Most places go to the newest media, which nobody here goes by.
QUERY = """# Ours.
blend(
  0.1: user.engaged(max_num_to_retrieve=40).alike(max_num_to_retrieve=60),  # same tastes
  0.85: user.fresh(max_num_to_retrieve=60),
  0.05: user.followed(max_num_to_retrieve=5).posted_media(max_media_per_account=5)
)
.exclude_seen()
.take(15)
"""


def a_log(folder: Path, *, later: int = 0) -> Dataset:
    """Four tastes: a viewer likes media of one, new ones to the end; `later` changes the test."""
    rng, lines = np.random.default_rng(3), []
    for viewer in range(60):
        liked = rng.permutation(30)[:20] + 30 * (viewer % 4)
        for step, media in enumerate(liked.tolist()):
            shift = later if step >= 18 else 0
            lines.append(
                f"{T0 + step * HOUR + viewer * 1000},{viewer},{(media + shift) % 120},like"
            )
    (folder / "log.csv").write_text("ts,viewer_id,media_id,action\n" + "\n".join(lines) + "\n")
    (folder / "log.toml").write_text('[events]\naction = "action"\n')
    return read_dataset(folder / "log.csv", folder / "log.toml")


def nobody(stage: str, done: int, total: int) -> None:
    pass


def options(trials: int = 40) -> TuneOptions:
    return TuneOptions(trials=trials, split=str(T0 + 18 * HOUR))


def test_weights_go_to_the_branch_that_finds_more(tmp_path: Path) -> None:
    data = a_log(tmp_path)
    report, written = tune_query(data, Settings(), "ours", QUERY, options(), nobody)
    figures = report["figures"]
    alike, fresh, followed = figures["branches"]
    assert alike["branch"] == "engaged.alike"
    assert (alike["before"], followed["after"]) == (0.1, 0.05)
    assert alike["after"] > 0.5 > fresh["after"]
    assert figures["recall_500_gain"] > 0.1
    assert figures["recall_500_gain_low"] > 0
    for name in ("recall_500_after", "ndcg_25_before"):
        assert figures[f"{name}_low"] <= figures[name] <= figures[f"{name}_high"]
    assert figures["recall_500_gain"] == pytest.approx(
        figures["recall_500_after"] - figures["recall_500_before"]
    )
    assert (figures["viewers"], figures["viewers_chosen_on"]) == (30, 30)
    blend = outer_blend(parse(written))
    assert blend is not None
    assert [b.weight.value for b in blend.branches] == [b["after"] for b in figures["branches"]]
    assert written.startswith("# Ours.\n")
    assert "# same tastes" in written
    assert tune_query(data, Settings(), "ours", QUERY, options(), nobody) == (report, written)


def test_the_test_period_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    found = tune_query(a_log(tmp_path), Settings(), "ours", QUERY, options(5), nobody)
    other = a_log(tmp_path / "other", later=60)
    assert tune_query(other, Settings(), "ours", QUERY, options(5), nobody) == found


def test_blending_what_branches_brought_gives_what_the_query_gives(tmp_path: Path) -> None:
    from models.evaluation.blend_search import BranchRows

    data, until_ms = a_log(tmp_path), T0 + 12 * HOUR
    plan, mix = module._planned("ours", QUERY, operators)
    viewers = np.arange(40, dtype=np.int32)
    ranker = Ranker(data, Settings(), task_of("like"), viewers)
    ranker.advance(until_ms)
    _, ranker.world.item_weights = learned_at(data, Settings(), 1, until_ms)
    targets = static_targets(data.log, task_of("like").positives, until_ms)
    targets = targets.take(np.arange(40))
    parts = module._branch_rows(
        ranker, plan, [branch for _, branch in mix.branches], targets, until_ms, nobody
    )
    lists_vk = BranchRows(parts, 40, 15).lists([weight for weight, _ in mix.branches])
    contexts = ranker.contexts(targets.viewer_g, until_ms)
    served = CandidateQuery(plan=plan).find(contexts, ranker.world, ranker.rankers, until_ms)
    for viewer in range(40):
        of_viewer = lists_vk[viewer]
        assert of_viewer[of_viewer >= 0].tolist() == served.candidates(viewer).media_n.tolist()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user.popular().take(5)", "query q does not begin with a blend.*give one that begins"),
        ("blend(1: user.popular()).take(5)", "query q weighs a single branch"),
        ("blend(1: user.populr(), 1: user.fresh())", r"q:1:\d+\n"),
        (
            "blend(1: user.followed(max_num_to_retrieve=5).posted_media(), 1: user.popular())"
            ".take(5)",
            "1 of 2 branches of query q bring media for the viewers of log",
        ),
    ],
)
def test_what_cannot_be_tuned_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TuneError, match=said):
        tune_query(a_log(tmp_path), Settings(), "q", text, options(2), nobody)


def test_a_window_without_viewers_is_said(tmp_path: Path) -> None:
    lines = [f"{T0 + n * HOUR},v,m{n},{'like' if n < 5 else 'view'}" for n in range(20)]
    (tmp_path / "log.csv").write_text("ts,viewer_id,media_id,action\n" + "\n".join(lines) + "\n")
    (tmp_path / "log.toml").write_text('[events]\naction = "action"\n')
    data = read_dataset(tmp_path / "log.csv", tmp_path / "log.toml")
    with pytest.raises(DatasetError, match=r"log: 0 viewers with positives.*give another --split"):
        tune_query(data, Settings(), "ours", QUERY, TuneOptions(), nobody)
