"""Off-policy estimates beside what is true: in a simulated world, and on the Open Bandit data."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from infra.config import Settings
from models.off_policy.estimators import ESTIMATORS
from streams.bench import open_bandit
from streams.bench.progress import say
from streams.simulated.estimates import coverage, small_world

#: The estimator that is relied on.
RELIED_ON = "shrunken"


def run(
    settings: Settings,
    *,
    grids: Annotated[int, Meta(ge=400, description="Randomised grids of each run.")] = 4000,
    runs: Annotated[int, Meta(ge=1, description="How often a log is drawn.")] = 100,
) -> dict[str, Any]:
    """Coverage of five weightings nothing was logged by, and errors on Open Bandit."""
    say("simulated world …")
    simulated = coverage(small_world(7), grids, runs)
    say("Open Bandit …")
    try:
        bandit: dict[str, Any] = _open_bandit()
    except open_bandit.OpenBanditError as error:
        bandit = {"left_out": str(error)}
    return {
        "coverage": simulated["coverage"][RELIED_ON],
        "obd_relative_error": bandit.get("relative_error", {}).get(RELIED_ON),
        "obd_relative_error_of_package": bandit.get("best_of_package"),
        "simulated": {**simulated, "grids": grids, "runs": runs},
        "open_bandit": bandit,
    }


def _open_bandit() -> dict[str, Any]:
    """Means over the campaigns of how far estimates are off the Thompson policy's own rows."""
    folder = open_bandit.package_folder()
    campaigns: dict[str, Any] = {}
    for campaign in open_bandit.CAMPAIGNS:
        own = open_bandit.read_rows(folder, "bts", campaign)
        truth = float(own.click_n.mean())
        rows = open_bandit.read_rows(folder, "random", campaign)
        items = int(max(own.item_n.max(), rows.item_n.max())) + 1
        target_ip = open_bandit.served_chances(own, items)
        logged = open_bandit.as_logged(rows, target_ip)
        estimates = {kind: of(logged) for kind, of in ESTIMATORS.items()}
        campaigns[campaign] = {
            "truth": truth,
            "uniform": float(rows.click_n.mean()),
            "estimates": {
                kind: {
                    "value": of.value, "low": of.low, "high": of.high,
                    "effective": round(of.effective), "holds": of.holds(truth),
                    "relative_error": abs(of.value - truth) / truth,
                }
                for kind, of in estimates.items()
            },
            "package": {
                kind: {"value": of, "relative_error": abs(of - truth) / truth}
                for kind, of in open_bandit.package_estimates(rows, target_ip).items()
            },
        }  # fmt: skip
    ours = _mean_errors([of["estimates"] for of in campaigns.values()])
    theirs = _mean_errors([of["package"] for of in campaigns.values()])
    return {
        "relative_error": ours,
        "package_relative_error": theirs,
        "best_of_package": min(theirs.values()) if theirs else None,
        "campaigns": campaigns,
    }


def _mean_errors(campaigns: list[dict[str, Any]]) -> dict[str, float]:
    kinds = campaigns[0] if campaigns else {}
    return {
        kind: float(np.mean([of[kind]["relative_error"] for of in campaigns])) for kind in kinds
    }
