"""The declared features and the matrix that carries them.

One list for every consumer: serving assembles it, training learns from it, and
``FEATURE_VERSION`` ties a trained artifact to the declarations it was trained on.
:mod:`models.features.assembly` fills the matrix.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import ACTION_NAMES, HEAD_NAMES

#: Candidate sources by code. Code 0 is a media that no source retrieved, e.g. a logged exposure
#: of another surface: its one-hot columns are all zero.
SOURCES: Final = (
    "logged", "account_nn", "followed", "popular", "fresh", "co_engaged", "similar_image", "alike",
    "evergreen",
)  # fmt: skip

#: Newest positives that make up what a viewer likes: in the long run, and now.
LONG_TERM: Final = 30
SHORT_TERM: Final = 5

#: Counted of viewers, authors and media; and of these, what is told per view as well.
ACTION_COLUMNS: Final = ACTION_NAMES
RATE_COLUMNS: Final = HEAD_NAMES


class Feature(msgspec.Struct, frozen=True):
    """One declared column.

    Attributes:
        name: unique name, the column's key everywhere.
        kind: ``dense`` (float32, roughly in [−1, 5]) or ``sparse`` (int32 bucket id).
        source: which part of the world the value is read from.
        meaning: one sentence for people.
        buckets: number of bucket ids of a sparse feature; id 0 means "unknown".
        places: columns of a sequence, one for each place; 1 for a single value.
        like: the sparse feature whose learnt vectors a sequence is read with.
    """

    name: str
    kind: Literal["dense", "sparse"]
    source: str
    meaning: str
    buckets: int = 0
    places: int = 1
    like: str = ""


def _dense(name: str, source: str, meaning: str) -> Feature:
    return Feature(name, "dense", source, meaning)


FEATURES: Final[tuple[Feature, ...]] = (
    # Affinity: the viewer's behaviour against the author's vector.
    _dense(
        "seed_similarity", "index", "largest cosine of the author to a recent positive's author"
    ),
    _dense("short_similarity", "index", "cosine of the author to the mean of the last 5 positives"),
    _dense("long_similarity", "index", "cosine of the author to the mean of the last 30 positives"),
    _dense(
        "see_fewer_similarity", "index", "largest decayed cosine to an author of a recent see-fewer"
    ),
    _dense("topic_affinity", "viewer", "share of the recent positives with the media's topic"),
    _dense("topic_aversion", "viewer", "share of the recent see-fewers with the media's topic"),
    _dense("author_vector_missing", "index", "1 where the author has no vector yet"),
    _dense("viewer_vector_missing", "index", "1 where no recent positive author has a vector"),
    _dense(
        "image_similarity", "images", "cosine of the picture to the mean of the last 30 positives'"
    ),
    _dense("image_missing", "images", "1 where the media's picture has no vector"),
    # The viewer's history against the media, by fitted item weights.
    _dense("likeness", "items", "log1p of 10 × the item weights from all of the positives, summed"),
    _dense("likeness_recent", "items", "log1p of 10 × those from the last 5 positives"),
    _dense("likeness_share", "items", "likeness before the logarithm, of the viewer's highest"),
    _dense("appeal", "items", "log-odds that it is chosen, by likeness and worth, / 3"),
    # Viewer × author history.
    *(
        _dense(f"viewer_author_{name}", "viewer", f"log1p of the viewer's decayed {name} count")
        for name in ACTION_COLUMNS
    ),
    _dense("viewer_author_recency", "viewer", "2^(−days/7) since the last positive on the author"),
    _dense(
        "viewer_author_aversion", "viewer", "2^(−days/7) since the last see-fewer on the author"
    ),
    _dense("follows_author", "viewer", "1 where the viewer follows the author"),
    # Popularity of the author, then of the media, decayed.
    *(
        column
        for entity in ("author", "media")
        for column in (
            *(
                _dense(f"{entity}_{name}s", "popularity", f"log1p of its decayed {name}s, / 3")
                for name in ACTION_COLUMNS
            ),
            *(
                _dense(
                    f"{entity}_{name}_rate",
                    "popularity",
                    f"log of the smoothed {name}s per view against everybody's, / 2",
                )
                for name in RATE_COLUMNS
            ),
        )
    ),
    *(
        _dense(f"media_trend_{name}", "popularity", f"log1p of its worth, half-life {time}, / 3")
        for name, time in (("short", "12 hours"), ("long", "60 days"))
    ),
    # The media against what the viewer liked last: who likes the new or the known goes on so.
    *(
        _dense(f"{name}_gap", "viewer", f"media_{name} less that of the last 5 positives, / 3")
        for name in ("trend_short", "trend_long", "age")
    ),
    # The media itself.
    _dense("media_age", "catalog", "log1p of hours since it was posted, / 3"),
    _dense("media_freshness", "catalog", "2^(−days/7) since it was posted"),
    _dense("nsfw", "catalog", "integrity score in [0, 1]"),
    _dense("spam", "catalog", "integrity score in [0, 1]"),
    _dense("misinformation", "catalog", "integrity score in [0, 1]"),
    # The viewer alone.
    *(
        _dense(f"viewer_{name}s", "viewer", f"log1p of the viewer's decayed {name}s, / 3")
        for name in ACTION_COLUMNS
    ),
    *(
        _dense(
            f"viewer_{name}_rate",
            "viewer",
            f"log of the viewer's smoothed {name}s per view against everybody's, / 2",
        )
        for name in RATE_COLUMNS
    ),
    _dense("viewer_idle", "viewer", "log1p of hours since the viewer's newest event, / 3"),
    # Where the candidate came from.
    *(
        _dense(f"source_{name}", "candidate", f"1 where {name} retrieved it")
        for name in SOURCES[1:]
    ),
    # Hashed ids.
    Feature("author_id", "sparse", "catalog", "the author, hashed", 1 << 15),
    Feature("media_id", "sparse", "catalog", "the media, hashed", 1 << 16),
    Feature("seed_id", "sparse", "index", "the seed author behind seed_similarity", 1 << 15),
    Feature("viewer_id", "sparse", "viewer", "the viewer, hashed", 1 << 15),
    Feature("topic", "sparse", "catalog", "the media's first topic, hashed", 1 << 10),
    Feature("language", "sparse", "catalog", "the media's language, hashed", 1 << 8),
    Feature("hour", "sparse", "time", "hour of the day in UTC, from 1", 25),
    # What the viewer does, one after the other.
    Feature(
        "liked_authors", "sparse", "viewer", "authors of the last 30 positives, newest first",
        1 << 15, LONG_TERM, "author_id",
    ),
)  # fmt: skip

_SPARSE: Final = tuple(f for f in FEATURES if f.kind == "sparse")

DENSE_NAMES: Final = tuple(f.name for f in FEATURES if f.kind == "dense")
#: Columns of ids, single ones first, then every place of a sequence.
SPARSE_NAMES: Final = tuple(
    f.name if f.places == 1 else f"{f.name}_{place}"
    for f in _SPARSE
    for place in range(1, f.places + 1)
)
SPARSE_BUCKETS: Final = tuple(f.buckets for f in _SPARSE for _ in range(f.places))
#: Single ids, each with learnt vectors of its own.
ID_NAMES: Final = tuple(f.name for f in _SPARSE if not f.like)
ID_BUCKETS: Final = tuple(f.buckets for f in _SPARSE if not f.like)
#: For each column of ids, whose learnt vectors it is read with: a position in `ID_NAMES`.
VECTORS_OF: Final = tuple(
    ID_NAMES.index(f.like or f.name) for f in _SPARSE for _ in range(f.places)
)
DENSE_INDEX: Final = {name: column for column, name in enumerate(DENSE_NAMES)}
ALL_COLUMNS: Final = tuple(range(len(DENSE_NAMES)))

#: What the distilled first pass looks at: cheap, and most of what decides. Of authors nothing but
#: what the viewer did there: their vectors and counts cost the most, and wait for the second pass.
MINIMAL: Final = (
    "likeness",
    "likeness_recent",
    "likeness_share",
    "appeal",
    "topic_affinity",
    "viewer_author_like",
    "viewer_author_long_view",
    "viewer_author_see_fewer",
    "media_views",
    "media_likes",
    "media_saves",
    "media_long_views",
    "media_like_rate",
    "media_save_rate",
    "media_see_fewer_rate",
    "media_long_view_rate",
    "media_trend_short",
    "media_trend_long",
    "media_age",
)
MINIMAL_COLUMNS: Final = tuple(DENSE_INDEX[name] for name in MINIMAL)

#: Changes with any declaration: a model trained on other features is refused, not misread.
FEATURE_VERSION: Final = blake2b(
    msgspec.json.encode((FEATURES, MINIMAL)), digest_size=8
).hexdigest()


class FeatureMatrix:
    """Features of n candidates (or rows of a training batch).

    Args:
        dense_nf: float32, one column per entry of `columns`, all finite.
        sparse_ns: int32 bucket ids, one column per :data:`SPARSE_NAMES`; none where not wanted.
        columns: which dense columns there are, in order; by default all.
    """

    __slots__ = ("columns", "dense_nf", "sparse_ns")

    def __init__(
        self,
        dense_nf: NDArray[np.float32],
        sparse_ns: NDArray[np.int32],
        columns: tuple[int, ...] = ALL_COLUMNS,
    ) -> None:
        self.dense_nf = dense_nf
        self.sparse_ns = sparse_ns
        self.columns = columns

    def __len__(self) -> int:
        return len(self.dense_nf)

    def take(self, rows: NDArray[np.integer] | slice) -> FeatureMatrix:
        """The matrix of these rows, in this order."""
        return FeatureMatrix(self.dense_nf[rows], self.sparse_ns[rows], self.columns)

    def column(self, name: str) -> NDArray[np.float32]:
        """One dense column by name, as a view."""
        at = DENSE_INDEX[name]
        return self.dense_nf[:, at if self.columns is ALL_COLUMNS else self.columns.index(at)]

    def select(self, columns: tuple[int, ...]) -> NDArray[np.float32]:
        """These dense columns, in this order."""
        if columns == self.columns:
            return self.dense_nf
        return self.dense_nf[:, [self.columns.index(column) for column in columns]]

    @classmethod
    def concatenate(cls, parts: list[FeatureMatrix]) -> FeatureMatrix:
        """The rows of all parts, in order; all have the same columns."""
        if not parts:
            return cls.empty()
        return cls(
            np.concatenate([part.dense_nf for part in parts]),
            np.concatenate([part.sparse_ns for part in parts]),
            parts[0].columns,
        )

    @classmethod
    def empty(cls, n: int = 0) -> FeatureMatrix:
        """A matrix of n rows of zeros."""
        return cls(
            np.zeros((n, len(DENSE_NAMES)), np.float32),
            np.zeros((n, len(SPARSE_NAMES)), np.int32),
        )
