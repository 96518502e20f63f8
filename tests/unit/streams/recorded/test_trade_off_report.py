"""A chosen point becomes an arm: with its share, in the history, and back."""

from pathlib import Path

import msgspec
import pytest

from infra.config import Settings
from infra.memory_store import MemoryExperiments
from models.evaluation.trade_offs import Goals, Tried
from models.explore.experiment import Arm, Experiment, InvalidExperimentError
from models.explore.pipeline import ExploreConfig
from models.explore.treatment import Treatment
from models.rankers.value import Weights
from streams.recorded.trade_off_report import (
    TradeOffError,
    apply,
    arm_of,
    plot,
    report_of,
    with_arm,
)

SETTING = {"save": 3.0, "author_penalty": 0.5, "exploration_share": 0.08}


def test_an_arm_has_what_was_chosen() -> None:
    arm = arm_of(SETTING, 0.1, "mine")
    assert arm == Arm(
        share=0.1, weights=Weights().changed({"save": 3.0}), query="mine",
        author_penalty=0.5, exploration_share=0.08,
    )  # fmt: skip


def test_an_arm_gets_its_share_of_all_and_the_others_keep_theirs() -> None:
    two = Experiment(arms={"control": Arm(share=3.0), "other": Arm(share=1.0)})
    new = with_arm(two, "tuned", arm_of(SETTING, 0.2))
    shares = {name: arm.share for name, arm in new.arms.items()}
    assert shares == pytest.approx({"control": 3.0, "other": 1.0, "tuned": 1.0})
    again = with_arm(new, "tuned", arm_of(SETTING, 0.5))
    assert again.arms["tuned"].share == pytest.approx(4.0)
    moved = [two.arm_of(f"v{n}") for n in range(300) if new.arm_of(f"v{n}") != two.arm_of(f"v{n}")]
    assert len(moved) < 150
    with pytest.raises(InvalidExperimentError, match="give another --arm"):
        with_arm(two, "control", arm_of(SETTING, 0.2))
    with pytest.raises(InvalidExperimentError, match="between 0 and 1"):
        with_arm(two, "tuned", arm_of(SETTING, 1.0))


async def test_applying_is_in_the_history_and_can_be_taken_back(tmp_path: Path) -> None:
    store = MemoryExperiments()
    settings = Settings(artifacts_url=str(tmp_path))
    await apply(store, settings, "ann", "tuned", arm_of(SETTING, 0.1))
    [change] = await store.history()
    assert change.who == "ann"
    assert change.new.arm("tuned").author_penalty == 0.5
    before = change.old
    assert before is not None
    await store.change("ann", 1, lambda _: before)
    assert "tuned" not in (await store.history())[0].new.arms
    with pytest.raises(TradeOffError, match="missing"):
        await apply(store, settings, "ann", "tuned", arm_of(SETTING, 0.1, "missing"))


def test_what_an_arm_sets_of_the_spread_is_what_its_grids_are_made_by() -> None:
    config = ExploreConfig()
    own = Treatment(author_penalty=0.5, exploration_share=0.2)
    rules = config.slate_rules(own)
    assert rules.diversity == msgspec.structs.replace(config.diversity, author_penalty=0.5)
    assert rules.exploration.share == 0.2
    assert config.slate_rules(Treatment()).diversity == config.diversity
    assert own._mode() == "diverse author_penalty=0.5 exploration_share=0.2"
    with pytest.raises(InvalidExperimentError, match=r"exploration_share 0\.9"):
        Experiment(arms={"a": Arm(exploration_share=0.9)})


def test_what_the_first_arm_sets_holds_for_those_that_say_nothing() -> None:
    experiment = Experiment(arms={"a": Arm(author_penalty=0.1), "b": Arm(), "c": SETS_NOTHING})
    assert [experiment.arm(name).author_penalty for name in "abc"] == [0.1, 0.1, 0.0]


SETS_NOTHING = Arm(author_penalty=0.0)


def test_a_report_and_its_plot_show_the_front() -> None:
    goals = Goals(more=("worth", "variety"))
    one = Tried(knobs={"save": 2.0}, figures={"worth": 1.0, "variety": 0.5}, kept=True)
    two = Tried(knobs={"save": 3.0}, figures={"worth": 0.5, "variety": 0.4}, kept=True)
    live = {"worth": 0.7, "variety": 0.4}
    report = report_of(live, [two, one], goals)
    assert report["chosen"]["knobs"] == {"save": 2.0}
    assert len(report["front"]) == 1
    assert "<svg" in plot(live, [two, one], goals)
