"""A computed grid, as columns and as the document that readers get."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import HEAD_NAMES
from models.arrays.types import UNKNOWN, Rows
from models.events import Count, Id, Offset, Probability, Rank
from models.explore.randomisation import Pool
from models.feature_schema import FeatureMatrix
from models.features.candidates import Candidates
from models.inventory.catalog import Catalog
from models.world import World

#: A chance that something was shown: what had none was not shown.
Propensity = Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]


class _Probabilities(msgspec.Struct, frozen=True):
    def by_head(self) -> dict[str, float]:
        """Head → probability, in the order of :data:`models.actions.HEADS`."""
        return {name: getattr(self, name) for name in HEAD_NAMES}


if TYPE_CHECKING:

    class Probabilities(_Probabilities, frozen=True):
        """See below: its fields are the heads of the table of actions."""

        def __init__(self, *probabilities: float) -> None: ...

else:
    #: A document from before there was a head says 0 of it.
    Probabilities = msgspec.defstruct(
        "Probabilities",
        [(name, Probability, 0.0) for name in HEAD_NAMES],
        bases=(_Probabilities,),
        module=__name__,
        namespace={"__doc__": "What the final pass predicts for one item, by head."},
        frozen=True,
    )


class ItemStages(msgspec.Struct, frozen=True):
    """How one item came through the passes: scores, and ranks from 0.

    Attributes:
        source_rank: rank within its source.
        candidate_rank: rank among all candidates.
        penalty: value taken off for see-fewers on the same author.
    """

    source_rank: Rank
    candidate_rank: Rank
    first_score: float
    first_rank: Rank
    second_score: float
    second_rank: Rank
    penalty: float


class GridItem(msgspec.Struct, frozen=True):
    """One media of a grid.

    Attributes:
        seed: the account that led to it, null for a global source.
        propensity: probability with which it was shown: below 1 for a new media that was drawn
            for its place, or where the grid is in random order, 1 for all that the ranking chose.
    """

    position: Count
    media_id: Id
    author_id: Id
    value: float
    probabilities: Probabilities
    source: str
    seed: str | None
    stages: ItemStages
    propensity: Propensity = 1.0


class GridDocument(msgspec.Struct, frozen=True):
    """The grid as it is stored and served.

    Attributes:
        generated_at_ms: when it was computed.
        reflects_ts: event time of the newest event of the viewer that it knows, 0 for none.
        reflects_offsets: ``TOPIC/PARTITION`` → offset before which it knows the viewer's events.
        candidates: media ranked by the first pass.
        dropped: media that each filter took out before.
        versions: live version of everything the grid depends on.
        relaxed: exclusions of the query that gave way, in order, because too little was found.
    """

    viewer_id: Id
    items: list[GridItem]
    generated_at_ms: int
    reflects_ts: int
    candidates: Count
    dropped: dict[str, Count]
    versions: dict[str, str]
    schema: Literal[1] = 1
    relaxed: list[str] = []
    reflects_offsets: dict[str, Offset] = {}


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(GridDocument)


def to_json(document: GridDocument) -> bytes:
    """The document as UTF-8 JSON, which :func:`from_json` reads."""
    return _encoder.encode(document)


def from_json(data: bytes) -> GridDocument:
    """The document that :func:`to_json` wrote.

    Raises:
        msgspec.DecodeError: the bytes are no grid.
    """
    return _decoder.decode(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The k items of a grid in order, with everything that decided them.

    Attributes:
        candidates: provenance of each item.
        features: each item's features as served, for the impression log.
        author_n: author rows.
        candidate_rank_n: position among all candidates.
        first_score_n, first_rank_n, second_score_n, second_rank_n: of the passes.
        probabilities_nh: columns :data:`models.actions.HEADS`.
        expected_nh: what the value is made of, see :mod:`models.rankers.interest`.
        value_n: final values, `penalty_n` already taken off.
        propensity_n: probability with which each was shown.
        candidate_count: media ranked by the first pass.
        dropped: media taken out by each filter.
        relaxed: exclusions that gave way, in order.
        pool: what the grid is a random order of; None where the ranking orders it.
    """

    viewer_id: str
    candidates: Candidates
    features: FeatureMatrix
    author_n: Rows
    candidate_rank_n: NDArray[np.int64]
    first_score_n: NDArray[np.floating]
    first_rank_n: NDArray[np.int64]
    second_score_n: NDArray[np.floating]
    second_rank_n: NDArray[np.int64]
    probabilities_nh: NDArray[np.floating]
    expected_nh: NDArray[np.floating]
    value_n: NDArray[np.float64]
    penalty_n: NDArray[np.float64]
    propensity_n: NDArray[np.float64]
    candidate_count: int
    generated_at_ms: int
    reflects_ts: int
    reflects_offsets: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    relaxed: tuple[str, ...] = ()
    pool: Pool | None = None

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def media_n(self) -> Rows:
        """Catalogue rows of the grid's media, best first."""
        return self.candidates.media_n

    def document(self, world: World) -> GridDocument:
        """The document of this grid; `world` is the one it was computed in."""
        return GridDocument(
            viewer_id=self.viewer_id,
            items=self._items(world.catalog),
            generated_at_ms=self.generated_at_ms,
            reflects_ts=self.reflects_ts,
            reflects_offsets=self.reflects_offsets,
            candidates=self.candidate_count,
            dropped=self.dropped,
            versions=self.versions,
            relaxed=list(self.relaxed),
        )

    def _items(self, catalog: Catalog) -> list[GridItem]:
        found = self.candidates
        known_n = found.seed_n != UNKNOWN
        seeds = iter(catalog.author_ids(found.seed_n[known_n]))
        stages = (
            found.rank_n,
            self.candidate_rank_n,
            self.first_score_n,
            self.first_rank_n,
            self.second_score_n,
            self.second_rank_n,
            self.penalty_n,
        )
        return list(
            map(
                GridItem,
                range(len(self)),
                catalog.media_ids(found.media_n),
                catalog.author_ids(self.author_n),
                self.value_n.tolist(),
                map(Probabilities, *self.probabilities_nh.T.tolist()),
                [found.sources[code] for code in found.source_n.tolist()],
                [next(seeds) if known else None for known in known_n.tolist()],
                map(ItemStages, *(column_n.tolist() for column_n in stages)),
                self.propensity_n.tolist(),
            )
        )
