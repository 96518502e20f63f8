"""The sweep chooses on one half of the accounts and reports on the other."""

from __future__ import annotations

import numpy as np
import pytest

from models.actions import Action
from models.ig2vec.histories import Step
from models.ig2vec.quality import split_topics
from streams.recorded import evaluate_embeddings, tune_embeddings
from streams.recorded.evaluate_embeddings import EvaluationError, evaluate_recording
from streams.recorded.recording import Recording
from streams.recorded.tune_embeddings import SEEDS, Trial, tune


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Viewers who each like accounts of one of two topics."""
    rng = np.random.default_rng(1)
    steps = {
        f"v{viewer}": [
            Step(f"a{2 * author + viewer % 2}", Action.LIKE, ts)
            for ts, author in enumerate(rng.integers(0, 60, 12).tolist())
        ]
        for viewer in range(300)
    }
    return Recording(steps, {f"a{n}": f"t{n % 2}" for n in range(120)}, 0)


def test_an_offline_evaluation_tells_the_topics(recording: Recording) -> None:
    report = evaluate_recording(recording, recording.topics)
    assert report["macro_f1"] > 0.9 > report["random_f1"]
    assert (report["accounts"], report["topics"]) == (120, 2)


def test_too_few_topics_are_one_sentence(recording: Recording) -> None:
    with pytest.raises(EvaluationError, match=r"cannot measure 120 accounts .* 1 labelled"):
        evaluate_recording(recording, {"a1": "t1"})
    nothing = Recording({"v": [Step("a", Action.LIKE, 1)]}, {}, 0)
    with pytest.raises(EvaluationError, match="cannot fit"):
        evaluate_recording(nothing, {"a": "t"})


def test_a_sweep_reports_on_accounts_it_did_not_choose_on(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose, report = split_topics(recording.topics)
    asked: list[set[str]] = []
    measured = evaluate_embeddings.measured

    def spy(sets, topics, config=None):  # type: ignore[no-untyped-def]
        asked.append(set(topics))
        return measured(sets, topics, config)

    monkeypatch.setattr(tune_embeddings, "measured", spy)
    done: list[tuple[int, int]] = []
    found = tune(
        recording,
        recording.topics,
        sweep={"epochs": (1, 2)},
        on_progress=lambda *at: done.append(at),
    )
    assert [trial["setting"] for trial in found["trials"]] == ["seed"] * SEEDS + ["epochs"] * 2
    assert done[-1] == (SEEDS + 2, SEEDS + 2)
    assert found["left_out"] == 0
    assert asked == [set(choose)] * (SEEDS + 2) + [set(report)]
    assert found["report"]["defaults"]["accounts"] == len(report)


def test_a_budget_of_time_leaves_out_trials_but_never_the_defaults(recording: Recording) -> None:
    found = tune(recording, recording.topics, seconds=0, sweep={"epochs": (1, 2)})
    assert len(found["trials"]) == SEEDS
    assert found["left_out"] == 2


def test_only_what_is_above_noise_is_chosen_and_the_best_of_it() -> None:
    trials = [
        Trial(setting=setting, value=value, macro_f1=f1, purity=0.1, fit_s=1.0)
        for setting, value, f1 in (
            ("window", 5, 0.14),
            ("window", 20, 0.15),
            ("epochs", 5, 0.12),
            ("alpha", 0.1, 0.13),
        )
    ]
    assert tune_embeddings._best(trials, above=0.12) == {"window": 20, "alpha": 0.1}
