"""The order of candidates before anything was trained, and where training begins.

Most of it is appeal, which is weighed by what viewers of this log chose, likeness and popularity
alike (:mod:`models.item_to_item.appeal`). The other coefficients are those of one linear model of
choices on the training periods of three logs (``docs/evaluation.md``), rounded.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from models.actions import HEAD_NAMES, HEADS
from models.arrays.types import Float
from models.feature_schema import FeatureMatrix

#: Dense columns that :func:`wanted` reads.
READ: Final = (
    "appeal", "seed_similarity", "short_similarity", "topic_affinity", "viewer_author_like",
)  # fmt: skip
#: What a head's rate of a media counts, where there is traffic; it is 0 where there is none.
RATE: Final = np.float32(1.4)


def prior_order(features: FeatureMatrix) -> Float:
    """Scores_nh that order candidates for each head before anything was trained.

    Of heads that viewers want less of, 0: nothing orders by them.
    """
    wanted_n, _ = wanted(features)
    score_nh = np.zeros((len(features), len(HEADS)), np.float32)
    for h, (name, head) in enumerate(zip(HEAD_NAMES, HEADS, strict=True)):
        if head.row.polarity > 0:
            score_nh[:, h] = wanted_n + RATE * features.column(f"media_{name}_rate")
    return score_nh


def wanted(features: FeatureMatrix) -> tuple[Float, Float]:
    """What everybody and the viewer's history say together, and the second alone, (n,) each."""
    column = features.column
    personal_n = (
        0.3 * column("seed_similarity")
        + 0.5 * column("short_similarity")
        + 0.3 * column("topic_affinity")
        + 0.5 * column("viewer_author_like")
    )
    wanted_n: Float = 3 * column("appeal") + personal_n
    return wanted_n, personal_n
