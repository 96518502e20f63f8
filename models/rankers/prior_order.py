"""The order of candidates before anything was trained, and where training begins.

The coefficients are those of one linear model of choices on the training periods of three logs
(``docs/evaluation.md``), rounded: an order that is near popularity's where nothing is known of a
viewer, and moves with a first like.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from models.actions import HEAD_NAMES, HEADS, POSITIVE
from models.arrays.types import Float
from models.feature_schema import FeatureMatrix

#: Actions that make a media popular, and what each counts.
POPULAR: Final = {f"media_{action.word}s": action.row.popularity for action in POSITIVE}

#: Dense columns that :func:`wanted` reads.
READ: Final = (
    "likeness", "likeness_recent", "seed_similarity", "short_similarity", "topic_affinity",
    "viewer_author_like", *POPULAR,
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
    worth_n = sum(worth * np.expm1(3 * column(name)) for name, worth in POPULAR.items())
    personal_n = (
        0.4 * column("likeness")
        + 0.5 * column("likeness_recent")
        + 0.3 * column("seed_similarity")
        + 0.5 * column("short_similarity")
        + 0.3 * column("topic_affinity")
        + 0.5 * column("viewer_author_like")
    )
    wanted_n: Float = 1.3 * np.log1p(np.maximum(worth_n, 0.0)) + personal_n
    return wanted_n, personal_n
