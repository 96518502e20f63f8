"""Whole candidate sets as they were ranked: logged by who serves, kept by who learns."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays.stored import ANY, Arrays, StoredArraysError, as_texts, taken, texts
from models.events import Id, check_ids, check_times, decode_value
from models.explore.audit import Uncut
from models.explore.impressions import OtherFeaturesError, pack_features, unpack_features
from models.feature_schema import FeatureMatrix

#: More than any query finds: a broken record must not ask for more memory than a whole one.
_MOST: Final = 100_000

#: What became of a record: taken in, or of features that this build does not have.
Outcome = Literal["read", "other_features"]


class LoggedCandidates(msgspec.Struct, frozen=True, kw_only=True):
    """All candidates of a viewer, as ``explore.candidates`` carries them.

    Attributes:
        ranked_ms: when they were found and ranked.
        candidates: how many there are.
        features: of all of them as they were ranked, in the order in which the query found them,
            see :func:`models.explore.impressions.pack_features`; where one came from is among them.
        versions: as of a grid; ``features`` says of which columns, ``query`` what found them.
    """

    viewer_id: Id
    ranked_ms: int
    candidates: Annotated[int, msgspec.Meta(ge=1, le=_MOST)]
    features: str
    versions: dict[str, str]


def logged_candidates(ranking: Uncut) -> LoggedCandidates:
    """The record of a ranking that has candidates."""
    grid = ranking.trace.grid
    return LoggedCandidates(
        viewer_id=grid.viewer_id,
        ranked_ms=grid.generated_at_ms,
        candidates=grid.candidate_count,
        features=pack_features(ranking.scored_n.features),
        versions=grid.versions,
    )


class CandidateLog:
    """The newest logged candidate sets, one of each viewer.

    Args:
        keep: sets at most; 500 candidates take 228 kB.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._newest: dict[str, _Set] = {}

    def __len__(self) -> int:
        return len(self._newest)

    def add(self, value: bytes | None, now_ms: int) -> Outcome:
        """Take in a record of ``explore.candidates``, in any order of time.

        One of other features changes nothing.

        Raises:
            InvalidEventError: it is broken; nothing was changed.
        """
        record = decode_value(_record, value)
        check_ids(record, "viewer_id")
        # One from the future would be the newest of its viewer for ever.
        check_times(record, now_ms, "ranked_ms")
        version = record.versions.get("features", "")
        try:
            features = unpack_features(record.features, record.candidates, version)
        except OtherFeaturesError:
            return "other_features"
        known = self._newest.get(record.viewer_id)
        if known is None or known.ranked_ms <= record.ranked_ms:
            query = record.versions.get("query", "")
            self._newest[record.viewer_id] = _Set(record.ranked_ms, query, features)
        if len(self) > self._keep:
            del self._newest[min(self._newest, key=lambda viewer: self._newest[viewer].ranked_ms)]
        return "read"

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All sets that are kept, those of viewers that were heard of first before others."""
        sets = list(self._newest.values())
        features = FeatureMatrix.concatenate([FeatureMatrix.empty(), *(of.features for of in sets)])
        return {
            "viewer": as_texts(self._newest),
            "query": as_texts(of.query for of in sets),
            "ranked_ms": np.array([of.ranked_ms for of in sets], np.int64),
            "rows": np.array([len(of.features) for of in sets], np.int64),
            "dense": features.dense_nf,
            "sparse": features.sparse_ns,
        }

    def load(self, arrays: Arrays) -> None:
        """Keep what :meth:`to_arrays` gave, once packed.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        none = FeatureMatrix.empty()
        ranked_ms = taken(arrays, "ranked_ms", np.int64, ANY)
        rows_s = taken(arrays, "rows", np.int64, len(ranked_ms))
        rows = int(rows_s.sum())
        dense_nf = taken(arrays, "dense", np.float32, rows, none.dense_nf.shape[1])
        sparse_ns = taken(arrays, "sparse", np.int32, rows, none.sparse_ns.shape[1])
        if rows_s.min(initial=1) < 1:
            raise StoredArraysError("a logged candidate set has no candidates")
        viewers, queries = (texts(arrays, name, len(rows_s)) for name in ("viewer", "query"))
        ends_s = rows_s.cumsum().tolist()
        for at, (viewer_id, query) in enumerate(zip(viewers, queries, strict=True)):
            span = slice(ends_s[at] - int(rows_s[at]), ends_s[at])
            features = FeatureMatrix(dense_nf[span].copy(), sparse_ns[span].copy())
            self._newest[viewer_id] = _Set(int(ranked_ms[at]), query, features)

    def forget(self, is_forgotten: Callable[[str], bool]) -> None:
        """Forget the sets of viewers, by id."""
        for viewer_id in [name for name in self._newest if is_forgotten(name)]:
            del self._newest[viewer_id]

    def found_by(self, queries: Collection[str]) -> list[FeatureMatrix]:
        """The sets that queries of these versions found."""
        return [one.features for one in self._newest.values() if one.query in queries]


class _Set(msgspec.Struct, frozen=True):
    ranked_ms: int
    query: str
    features: FeatureMatrix


_record = msgspec.json.Decoder(LoggedCandidates)
