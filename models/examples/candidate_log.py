"""Whole candidate sets as they were ranked: logged by who serves, kept by who learns."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, Final, Literal

import msgspec

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
