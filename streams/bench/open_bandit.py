"""The Open Bandit data that ships inside the package ``obp``: two policies logged side by side.

10,000 rows each of a uniform policy and of a Thompson policy, in three campaigns (Saito et al.,
"Open Bandit Dataset and Pipeline", NeurIPS 2021). The value of the Thompson policy is known from
its own rows, as is what it showed.
"""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from infra.errors import FreshgridError
from models.off_policy.logged import Floats, Logged
from models.off_policy.outcome import cross_fitted

CAMPAIGNS: Final = ("all", "men", "women")
POSITIONS: Final = 3
#: A prior of the mean reward of an item, in rows.
_RIDGE: Final = 200.0


class OpenBanditError(FreshgridError):
    """The package is not there, or has other files."""


class Rows(NamedTuple):
    """One policy's rows: item, position from 0, whether it was clicked, and its chance."""

    item_n: NDArray[np.int64]
    position_n: NDArray[np.int64]
    click_n: Floats
    chance_n: Floats


def package_folder() -> Path:
    """Where ``obp`` is; nothing of it is imported.

    Raises:
        OpenBanditError: it is not installed.
    """
    found = find_spec("obp")
    if found is None or not found.submodule_search_locations:
        raise OpenBanditError(
            "the Open Bandit data is not there: pip install 'freshgrid[open-bandit]'"
        )
    return Path(found.submodule_search_locations[0])


def read_rows(folder: Path, policy: str, campaign: str) -> Rows:
    """The rows of ``random`` or ``bts`` in a campaign.

    Raises:
        OpenBanditError: the file cannot be read or has other columns.
    """
    path = folder / "dataset" / "obd" / policy / campaign / f"{campaign}.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [
                (int(row["item_id"]), int(row["position"]), float(row["click"]),
                 float(row["propensity_score"]))
                for row in csv.DictReader(file)
            ]  # fmt: skip
    except (OSError, KeyError, ValueError) as error:
        raise OpenBanditError(f"{path} is no file of the Open Bandit data: {error}") from error
    item, position, click, chance = (np.array(column) for column in zip(*rows, strict=True))
    # Positions are numbered in another way in each file; their order is what counts.
    _, place_n = np.unique(position, return_inverse=True)
    return Rows(item, place_n, click, chance)


def served_chances(rows: Rows, items: int) -> Floats:
    """Share of each item of what a policy showed at each position, (items, positions).

    The Thompson policy went on learning while it was logged, so it is not the one of the priors
    that the package tells: chances by those and what it showed correlate by 0.56 to 0.84 over items
    and positions. What it showed says what it was, on average over
    the days whose clicks are the truth; nothing of the clicks is read for it.
    """
    count_ip = np.zeros((items, POSITIONS))
    np.add.at(count_ip, (rows.item_n, rows.position_n), 1.0)
    shares_ip: Floats = count_ip / np.maximum(count_ip.sum(axis=0), 1.0)
    return shares_ip


def as_logged(rows: Rows, target_ip: Floats) -> Logged:
    """Rows of the uniform policy as a log to judge another by, with a model of clicks.

    The model is the mean click of each item and position, drawn to the mean of all.
    """
    items, positions = target_ip.shape
    count = len(rows.item_n)
    mean = float(rows.click_n.mean())
    features_nf = np.zeros((count, items + positions))
    features_nf[np.arange(count), rows.item_n] = 1.0
    features_nf[np.arange(count), items + rows.position_n] = 1.0
    grid_n = np.arange(count)
    predicted_n, expected_n = np.zeros(count), np.zeros(count)
    for of_n, weights_f in cross_fitted(features_nf, rows.click_n - mean, grid_n, _RIDGE):
        predicted_n[of_n] = mean + features_nf[of_n] @ weights_f
        of_p = mean + target_ip.T @ weights_f[:items] + weights_f[items:]
        expected_n[of_n] = of_p[rows.position_n[of_n]]
    return Logged.of(
        grid_n,
        rows.click_n,
        rows.chance_n,
        target_ip[rows.item_n, rows.position_n],
        predicted_n,
        expected_n,
    )


def package_estimates(rows: Rows, target_ip: Floats) -> dict[str, float]:
    """What the package's own estimators say of the same rows; empty where it cannot be imported."""
    try:
        from obp.ope import (
            DirectMethod,
            DoublyRobust,
            InverseProbabilityWeighting,
            RegressionModel,
            SelfNormalizedDoublyRobust,
            SelfNormalizedInverseProbabilityWeighting,
            SwitchDoublyRobust,
        )
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        return {}
    items, positions = target_ip.shape
    count = len(rows.item_n)
    action_dist = np.tile(target_ip, (count, 1, 1))
    model: Any = RegressionModel(
        n_actions=items, len_list=positions, base_model=LogisticRegression(max_iter=1000, C=1.0)
    )
    predicted = model.fit_predict(
        context=np.ones((count, 1)), action=rows.item_n, reward=rows.click_n,
        pscore=rows.chance_n, position=rows.position_n, action_dist=action_dist,
        n_folds=3, random_state=7,
    )  # fmt: skip
    given = {
        "reward": rows.click_n, "action": rows.item_n, "position": rows.position_n,
        "pscore": rows.chance_n, "action_dist": action_dist,
    }  # fmt: skip
    modelled = {**given, "estimated_rewards_by_reg_model": predicted}
    estimators: dict[str, tuple[Any, dict[str, Any]]] = {
        "ips": (InverseProbabilityWeighting(), given),
        "self_normalised": (SelfNormalizedInverseProbabilityWeighting(), given),
        "direct": (DirectMethod(), modelled),
        "doubly_robust": (DoublyRobust(), modelled),
        "self_normalised_doubly_robust": (SelfNormalizedDoublyRobust(), modelled),
        "switch_doubly_robust": (SwitchDoublyRobust(), modelled),
    }
    return {
        name: float(estimator.estimate_policy_value(**data))
        for name, (estimator, data) in estimators.items()
    }
