"""Hashed ids of rows: what the final pass reads learnt vectors by."""

from __future__ import annotations

import numpy as np

from models.arrays.types import UNKNOWN, Rows
from models.features.dense import alike
from models.features.hashed_ids import OF_MEDIA, HashedIds, buckets, hash_of, hash_of_code
from models.features.rows import FeatureRows


def sparse_ids(rows: FeatureRows) -> HashedIds:
    """Buckets_ns of all columns, 0 for an id that is not known."""
    catalog, media_n = rows.world.catalog, rows.media_n
    hash_5n = np.array(
        (
            hash_of(catalog.account_hash_a, rows.author_n),
            catalog.media_hash_n[media_n],
            hash_of(catalog.account_hash_a, seeds(rows)),
            hash_of_code(catalog.topic_hash_t, catalog.topic_n[media_n]),
            hash_of_code(catalog.language_hash_l, catalog.language_n[media_n]),
        )
    )
    ids_ns = rows.batch.ids_vs[rows.viewer_n]
    ids_ns[:, OF_MEDIA] = buckets(hash_5n, OF_MEDIA).T
    return ids_ns


def seeds(rows: FeatureRows) -> Rows:
    """The author behind ``seed_similarity``, the newest of equal ones; −1 for none."""
    vectors_nd, liked_lv = rows.vectors_nd, rows.batch.liked_lv
    cosine_nl = np.zeros((len(rows), len(liked_lv)), np.float32)
    for _, taste, span, met in rows.of_viewers:
        p = len(taste.liked_p)
        np.matmul(vectors_nd[span], taste.to_md[:p].T, out=cosine_nl[span, :p])
        alike(cosine_nl[span, :p].T, taste.liked_p, rows.author_n[span], met)
    nearest_n = cosine_nl.argmax(axis=1)
    alike_n = cosine_nl[np.arange(len(rows)), nearest_n] > 0.0
    return np.where(alike_n, liked_lv[nearest_n, rows.viewer_n], np.int32(UNKNOWN))
