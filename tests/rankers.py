"""Rankers with random weights, and features to score."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from models.arrays.types import Float
from models.feature_schema import DENSE_NAMES, FEATURE_VERSION, SPARSE_BUCKETS, FeatureMatrix
from models.rankers.bundle import RankerBundle
from models.rankers.early_passes import FirstPass, SecondPass
from models.rankers.final_pass import FinalPass
from models.rankers.networks import DensePass, Mlp, Standardizer

META = {"feature_version": FEATURE_VERSION}


def normal(rng: np.random.Generator, *shape: int) -> Float:
    return rng.normal(size=shape).astype(np.float32)


def mlp(rng: np.random.Generator, *widths: int) -> Mlp:
    return Mlp(
        [(normal(rng, a, b) / np.float32(a**0.5), normal(rng, b)) for a, b in pairwise(widths)]
    )


def standardizer(rng: np.random.Generator, width: int) -> Standardizer:
    return Standardizer(normal(rng, width), np.abs(normal(rng, width)))


def dense_pass(kind: type[DensePass], seed: int) -> DensePass:
    rng = np.random.default_rng(seed)
    width = len(kind.columns)
    return kind(standardizer(rng, width), mlp(rng, width, 8, 1))


def final_pass(seed: int) -> FinalPass:
    rng = np.random.default_rng(seed)
    return FinalPass.random(rng, embedding_dim=4, embedding_rows=50, members=3, hidden=(16, 8))


def matrix(n: int, seed: int = 0) -> FeatureMatrix:
    rng = np.random.default_rng(seed)
    sparse_ns = np.stack([rng.integers(0, size, n) for size in SPARSE_BUCKETS], axis=1)
    return FeatureMatrix(normal(rng, n, len(DENSE_NAMES)), sparse_ns.astype(np.int32))


def bundle(seed: int = 1, **metrics: float) -> RankerBundle:
    return RankerBundle(
        first=FirstPass.from_arrays(dense_pass(FirstPass, seed).to_arrays(), META),
        second=SecondPass.from_arrays(dense_pass(SecondPass, seed).to_arrays(), META),
        final=final_pass(seed),
        metrics=metrics,
        trained_ts=42,
    )
