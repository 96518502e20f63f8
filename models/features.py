"""The ONE assembly of features, used by serving and by training alike."""

from __future__ import annotations

from models.feature_schema import (
    DENSE_INDEX,
    DENSE_NAMES,
    FEATURE_VERSION,
    FEATURES,
    MINIMAL,
    MINIMAL_COLUMNS,
    SOURCES,
    SPARSE_BUCKETS,
    SPARSE_NAMES,
    Feature,
    FeatureMatrix,
)

__all__ = [
    "DENSE_INDEX",
    "DENSE_NAMES",
    "FEATURES",
    "FEATURE_VERSION",
    "MINIMAL",
    "MINIMAL_COLUMNS",
    "SOURCES",
    "SPARSE_BUCKETS",
    "SPARSE_NAMES",
    "Feature",
    "FeatureMatrix",
]
