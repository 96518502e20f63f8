"""Hyper-parameters of ig2vec; their defaults came out of the sweep in ``docs/ig2vec.md``."""

from __future__ import annotations

import msgspec

from models.events import DAY_MS


class Ig2VecConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Hyper-parameters of fit and update.

    The defaults come from a small sweep on KuaiRand-Pure (long views, likes and saves of two weeks,
    66 thousand words, one sentence a viewer, `min_count` 3), scored by macro-F1 of the topic probe
    over 31 topics; random vectors score 0.020, differences below 0.01 are noise:

    * window 5 / 10 / 20: 0.104 / 0.114 / 0.112
    * alpha 0.025 / 0.05 / 0.1: 0.104 / 0.108 / 0.104
    * epochs 10 / 30 / 60 (window 10, alpha 0.05): 0.109 / 0.117 / 0.117
    * ns_exponent −0.5 / 0 / 0.5 / 0.75 / 1: 0.099 / 0.103 / 0.108 / 0.104 / 0.102, no effect here
    * sample 1e-4 / 1e-3 / none: 0.072 / 0.104 / 0.098; negative 5 / 10: 0.104 / 0.099

    `min_count` 2 instead of 3 trades a little quality for a fifth more accounts with a vector.

    Attributes:
        dimension: of the vectors.
        window: context words on either side.
        epochs: passes of a fit.
        ns_exponent: negatives are drawn in proportion to count ** ns_exponent.
        negative: negatives per word pair.
        hard_negative_weight: of a pair of hard negatives, in negatives; 0 leaves them out.
        sample: accounts above this share of all words are thinned out; 0 keeps all.
        alpha: first learning rate of a fit.
        min_alpha: last learning rate of a fit.
        update_alpha: first and last learning rate of an update.
        update_epochs: passes of an update.
        average_passes: vectors are averages over as many words as there are in so many passes over
            all that is counted; 0 gives them as they learn.
        shrink_passes: between updates vectors and contexts shrink to 1/e over so many passes, to
            learn what is new as a fit from small vectors would; 0 leaves them as they are.
        min_count: an account with fewer words gets no vector.
        max_accounts: accounts there can be a vector of.
        max_waiting: accounts below `min_count` that are counted.
        count_half_life_ms: after this time a count is worth half.
        seed: equal input and seed give equal vectors.
    """

    dimension: int = 32
    window: int = 10
    epochs: int = 30
    ns_exponent: float = 0.75
    negative: int = 5
    hard_negative_weight: float = 1.0
    sample: float = 1e-3
    alpha: float = 0.05
    min_alpha: float = 1e-4
    update_alpha: float = 0.05
    update_epochs: int = 1
    average_passes: float = 4.0
    shrink_passes: float = 8.0
    min_count: int = 2
    max_accounts: int = 1_000_000
    max_waiting: int = 100_000
    count_half_life_ms: int = 30 * DAY_MS
    seed: int = 7
