"""``freshgrid tune embeddings``: which hyper-parameters of ig2vec suit recorded events.

Labelled accounts fall into two halves by a hash of their id. Each setting is varied alone around
the defaults and judged on the first half; what is best there together is judged on the second,
beside the defaults: no choice was made on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from models.ig2vec.config import Ig2VecConfig
from models.ig2vec.model import Ig2Vec, Ig2VecError
from models.ig2vec.quality import AccountVectors, split_topics
from models.ig2vec.topic_probe import ProbeConfig
from streams.recorded.evaluate_embeddings import EvaluationError, measured
from streams.recorded.recording import Recording

#: What is tried of each setting beside its default.
SWEEP: Final[Mapping[str, Sequence[float]]] = {
    "dimension": (16, 64),
    "epochs": (5, 20),
    "window": (5, 20),
    "sample": (0.0, 1e-4),
    "ns_exponent": (-0.5, 0.0, 0.5, 1.0),
    "negative": (2, 10),
    "alpha": (0.025, 0.1),
}
#: Fits of the defaults with other seeds: the spread says which differences are noise.
SEEDS: Final = 3

Progress = Callable[[int, int], None]
Change = Mapping[str, float]


class Trial(msgspec.Struct, kw_only=True):
    """One configuration on the first half of the labelled accounts.

    Attributes:
        fit_s: CPU seconds of the fit.
    """

    setting: str
    value: float
    macro_f1: float
    purity: float
    fit_s: float


def tune(
    recording: Recording,
    topics: Mapping[str, str],
    *,
    seconds: float | None = None,
    sweep: Mapping[str, Sequence[float]] = SWEEP,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Sweep, choose, and judge the choice on accounts that had no part in it.

    Args:
        topics: account → topic.
        seconds: no further trial begins after so long; those left are counted in the report.
        sweep: setting of :class:`Ig2VecConfig` → values to try beside the default.

    Raises:
        EvaluationError: too few accounts are labelled, or there is nothing to fit on.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    corpus = recording.histories().corpus()
    choose, report = split_topics(topics)
    changes: list[Change] = [{"seed": Ig2VecConfig().seed + n} for n in range(SEEDS)]
    changes += [{name: value} for name, values in sweep.items() for value in values]
    trials: list[Trial] = []
    for change in changes:
        if len(trials) >= SEEDS and deadline is not None and time.monotonic() > deadline:
            break
        trials.append(_trial(corpus, choose, change))
        if on_progress is not None:
            on_progress(len(trials), len(changes))
    defaults, varied = trials[:SEEDS], trials[SEEDS:]
    mean = float(np.mean([trial.macro_f1 for trial in defaults]))
    noise = float(np.std([trial.macro_f1 for trial in defaults], ddof=1))
    best = _best(varied, mean + 2 * noise)
    return {
        "defaults": _settings_of(Ig2VecConfig()),
        "macro_f1": mean,
        "noise": noise,
        "trials": [
            {**msgspec.to_builtins(trial), "gain": trial.macro_f1 - mean} for trial in trials
        ],
        "left_out": len(changes) - len(trials),
        "chosen": best,
        "report": _compare(corpus, report, best),
    }


def _settings_of(config: Ig2VecConfig) -> dict[str, float]:
    return {name: getattr(config, name) for name in SWEEP}


def _trial(corpus: list[list[str]], topics: Mapping[str, str], change: Change) -> Trial:
    vectors, fit_s = _fit(corpus, change)
    [figures] = measured([vectors], topics, ProbeConfig(bootstrap=0))
    [(setting, value)] = change.items()
    return Trial(
        setting=setting,
        value=value,
        macro_f1=figures.macro_f1,
        purity=figures.purity,
        fit_s=fit_s,
    )


def _best(trials: Sequence[Trial], above: float) -> dict[str, float]:
    """Of each setting the value with the highest macro-F1, if that is above `above`."""
    best: dict[str, Trial] = {}
    for trial in trials:
        if trial.macro_f1 > max(
            above, best[trial.setting].macro_f1 if trial.setting in best else 0
        ):
            best[trial.setting] = trial
    return {setting: trial.value for setting, trial in best.items()}


def _compare(
    corpus: list[list[str]], topics: Mapping[str, str], best: Mapping[str, float]
) -> dict[str, Any]:
    """Defaults and choice on the accounts that the choice was not made on, mean over seeds."""
    seeds = [Ig2VecConfig().seed + n for n in range(SEEDS)]
    configs: dict[str, Change] = {"defaults": {}, **({"chosen": best} if best else {})}
    found = {}
    for name, change in configs.items():
        sets = [_fit(corpus, {**change, "seed": seed})[0] for seed in seeds]
        figures = measured(sets, topics)
        found[name] = {
            "macro_f1": float(np.mean([f.macro_f1 for f in figures])),
            "noise": float(np.std([f.macro_f1 for f in figures], ddof=1)),
            "low": figures[0].low,
            "high": figures[0].high,
            "purity": float(np.mean([f.purity for f in figures])),
            "accounts": figures[0].accounts,
            "topics": figures[0].topics,
        }
    return found


def _fit(corpus: list[list[str]], change: Mapping[str, float]) -> tuple[AccountVectors, float]:
    """Vectors under the defaults with `change`, and the CPU seconds that took."""
    config = msgspec.convert({**msgspec.to_builtins(Ig2VecConfig()), **change}, Ig2VecConfig)
    started = time.process_time()
    try:
        model = Ig2Vec.fit(corpus, config)
    except Ig2VecError as error:
        raise EvaluationError(f"cannot fit with {dict(change)}: {error}") from error
    return AccountVectors(*model.vectors()), time.process_time() - started
