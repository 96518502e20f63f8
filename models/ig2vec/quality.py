"""Figures of a set of account vectors: topic probe, purity of neighbours, drift between two sets.

Everything is measured on labelled accounts. Where several sets are compared they are measured on
the same accounts, those that any of them knows; an account that one set does not know is a zero
vector there, so a set cannot gain by leaving out what it knows little of.

Errors::

    ValueError
    └── QualityError   vectors that cannot be measured
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.ig2vec.gate import QualityFigures
from models.ig2vec.topic_probe import ProbeConfig, probe

NEIGHBOURS: Final = 10
#: Rows whose similarities to all others are held at once.
_CHUNK: Final = 2048


class QualityError(ValueError):
    """Vectors that cannot be measured."""


class AccountVectors(NamedTuple):
    """Ids and their vectors, float32 (n, d)."""

    ids: Sequence[str]
    vectors_nd: NDArray[Any]


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """How far one set of vectors is from another, on the accounts that both know.

    Attributes:
        accounts: known to both.
        only_first: known to the first alone; `only_second` likewise.
        overlap: mean share of an account's `neighbours` nearest that both agree on.
        cosine: mean cosine after the rotation that fits best (orthogonal Procrustes), which no
            choice of axes changes; None where the dimensions differ.
    """

    accounts: int
    only_first: int
    only_second: int
    neighbours: int
    overlap: float
    cosine: float | None


def measure(
    sets: Sequence[AccountVectors],
    topics: Mapping[str, str],
    config: ProbeConfig | None = None,
    neighbours: int = NEIGHBOURS,
) -> list[QualityFigures]:
    """Figures of each set, all on the labelled accounts that at least one of them knows.

    Args:
        topics: account → topic. Accounts that no set knows are left out.
        config: of the probe.
        neighbours: k of the purity.

    Raises:
        QualityError: a vector holds NaN or infinity, or ids and vectors differ in number.
        ProbeError: too few labelled accounts have a vector, or too few topics.
    """
    config = config or ProbeConfig()
    known = set().union(*(found.ids for found in sets))
    accounts = sorted(known & topics.keys())
    names = [topics[account] for account in accounts]
    return [_figures(found, accounts, names, config, neighbours) for found in sets]


def _figures(
    found: AccountVectors,
    accounts: list[str],
    names: list[str],
    config: ProbeConfig,
    neighbours: int,
) -> QualityFigures:
    vectors_md = aligned(found, accounts)
    score = probe(vectors_md, names, config)
    pure, chance = purity(vectors_md, names, neighbours)
    return QualityFigures(
        macro_f1=score.macro_f1,
        low=score.low,
        high=score.high,
        accuracy=score.accuracy,
        majority_f1=score.majority_f1,
        random_f1=score.random_f1,
        purity=pure,
        purity_chance=chance,
        neighbours=neighbours,
        accounts=score.accounts,
        covered=len(set(found.ids) & set(accounts)),
        topics=score.topics,
    )


def aligned(found: AccountVectors, accounts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors (m, d) of `accounts` in order, zero where an account is not known.

    Raises:
        QualityError: a vector holds NaN or infinity, or ids and vectors differ in number.
    """
    ids, vectors_nd = found
    if vectors_nd.ndim != 2 or len(ids) != len(vectors_nd):
        raise QualityError(f"{len(ids)} ids for vectors of shape {vectors_nd.shape}; give one each")
    broken_n = ~np.isfinite(vectors_nd).all(axis=1)
    if broken_n.any():
        first = ids[int(broken_n.argmax())]
        raise QualityError(
            f"the vectors of {int(broken_n.sum())} accounts hold NaN or infinity, the first "
            f"that of {first!r}; fit again"
        )
    place = {account: n for n, account in enumerate(ids)}
    rows_m = np.array([place.get(account, -1) for account in accounts], dtype=np.int64)
    vectors_md = np.zeros((len(accounts), vectors_nd.shape[1]), dtype=np.float32)
    vectors_md[rows_m >= 0] = vectors_nd[rows_m[rows_m >= 0]]
    lengths_m1 = np.linalg.norm(vectors_md, axis=1, keepdims=True)
    vectors_md /= np.where(lengths_m1 > 0, lengths_m1, 1)
    return vectors_md


def purity(vectors_md: NDArray[np.float32], names: Sequence[str], k: int) -> tuple[float, float]:
    """Mean share of the k nearest (cosine) with an account's topic, and the share by chance.

    Accounts without a vector (zero) take part as nobody's neighbour and have chance's share.

    Args:
        vectors_md: unit vectors, or zero.
        k: at most; fewer where there are not so many others.
    """
    _, topic_m = np.unique(np.array(names, dtype=np.str_), return_inverse=True)
    same_m = (np.bincount(topic_m)[topic_m] - 1) / max(len(topic_m) - 1, 1)
    known_m = np.flatnonzero(np.any(vectors_md, axis=1))
    share_m = same_m.astype(np.float64)
    if len(known_m) > 1:
        near_nk = nearest(vectors_md[known_m], k)
        share_m[known_m] = (topic_m[known_m][near_nk] == topic_m[known_m][:, None]).mean(axis=1)
    return float(share_m.mean()), float(same_m.mean())


def nearest(vectors_nd: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Rows (n, min(k, n - 1)) of the nearest others by inner product, in no order."""
    n = len(vectors_nd)
    k = min(k, n - 1)
    near_nk = np.empty((n, k), dtype=np.int64)
    for start in range(0, n, _CHUNK):
        similar_cn = vectors_nd[start : start + _CHUNK] @ vectors_nd.T
        rows_c = np.arange(len(similar_cn))
        similar_cn[rows_c, start + rows_c] = -np.inf
        near_nk[start : start + _CHUNK] = np.argpartition(-similar_cn, k - 1, axis=1)[:, :k]
    return near_nk


def drift(first: AccountVectors, second: AccountVectors, k: int = NEIGHBOURS) -> Drift:
    """How far `second` is from `first`.

    Raises:
        QualityError: fewer than two accounts are known to both, or a vector holds NaN.
    """
    mine, theirs = set(first.ids), set(second.ids)
    common = sorted(mine & theirs)
    if len(common) < 2:
        raise QualityError(f"{len(common)} accounts are in both sets; drift needs two")
    a_md, b_md = aligned(first, common), aligned(second, common)
    k = min(k, len(common) - 1)
    shared = [
        len(np.intersect1d(a, b, assume_unique=True))
        for a, b in zip(nearest(a_md, k), nearest(b_md, k), strict=True)
    ]
    cosine = None
    if a_md.shape == b_md.shape:
        # Schönemann 1966: with a'b = u s v', the rotation is uv' and the trace of a'bR is sum(s).
        cosine = float(np.linalg.svd(a_md.T @ b_md, compute_uv=False).sum() / len(common))
    return Drift(
        accounts=len(common),
        only_first=len(mine - theirs),
        only_second=len(theirs - mine),
        neighbours=k,
        overlap=float(np.mean(shared) / k),
        cosine=cosine,
    )


def split_topics(
    topics: Mapping[str, str], salt: str = "probe"
) -> tuple[dict[str, str], dict[str, str]]:
    """Labelled accounts in two halves by a hash of their id: one to choose on, one to report on."""
    choose: dict[str, str] = {}
    report: dict[str, str] = {}
    for account, topic in topics.items():
        digest = blake2b(f"{salt} {account}".encode(), digest_size=8).digest()
        (choose if digest[0] % 2 else report)[account] = topic
    return choose, report
