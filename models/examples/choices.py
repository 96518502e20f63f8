"""What a viewer chose among the candidates that the query found just before.

Exposures tell what viewers did with what another system showed them; most candidates were never
shown. A choice is a whole candidate set as the funnel meets it, labelled by what the viewer did
next, wherever that was seen: it tells which candidates a viewer will engage with, needs no
exposures, and knows the media that nobody was shown. Candidates that were not chosen are sampled;
each stands for `weights_n` of them, and training corrects for it.

It must not be read as "liked when shown": whoever was not shown a media did not choose it either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import HEADS, STRONG_POSITIVE, Action
from models.arrays.id_table import hash_id
from models.arrays.stored import ANY, Arrays, number_of, taken
from models.explore.pipeline import find
from models.explore.treatment import Treatment
from models.feature_schema import DENSE_NAMES, SPARSE_NAMES, FeatureMatrix
from models.features.assembly import Assembly
from models.features.candidates import Candidates
from models.viewers.context import ViewerContext
from models.world import World

#: Newest share of choices that no training learns from.
HELD: Final = 0.15
_STRONG: Final = [h for h, head in enumerate(HEADS) if head in STRONG_POSITIVE]
#: Candidates of viewers at a time, and where each viewer's end.
Find = Callable[[Sequence[ViewerContext], int], tuple[Candidates, NDArray[np.int64]]]


def finder(world: World, treatment: Callable[[], Treatment]) -> Find:
    """The query of whatever treatment is asked for at each call."""

    def found(
        viewers: Sequence[ViewerContext], now_ms: int
    ) -> tuple[Candidates, NDArray[np.int64]]:
        candidates, bounds = find(viewers, world, treatment(), now_ms).executed.all_candidates()
        return candidates, bounds[1:]

    return found


class ChoiceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How choices are sampled.

    Attributes:
        rate, strong_rate: share of the viewers' minutes with a positive that a choice is made of,
            in the long run, and of those with one that the viewer meant, which are rarer and worth
            more; at first all of them, so that there is something to train on.
        first: after so many the rate begins to fall.
        others: candidates kept of those that were not chosen.
        keep: choices kept, the newest, of either kind.
    """

    rate: float = 0.02
    strong_rate: float = 0.2
    first: int = 300
    others: int = 80
    keep: int = 4_000


class Choices(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Candidate sets with what was chosen; n rows of some sets.

    Attributes:
        dense_nf: dense features, all columns, float16: they are kept in numbers.
        sparse_ns: hashed ids, all columns, int32.
        labels_nh: uint8 0 or 1, columns :data:`models.actions.HEAD_NAMES`.
        weights_n: float32, candidates that a row stands for; 1 for a chosen one.
        groups_n: int64, equal for the rows of one set; ascending in time.
        ts_n: int64, event time in ms of the choice.
    """

    dense_nf: NDArray[np.float16]
    sparse_ns: NDArray[np.int32]
    labels_nh: NDArray[np.uint8]
    weights_n: NDArray[np.float32]
    groups_n: NDArray[np.int64]
    ts_n: NDArray[np.int64]

    def __len__(self) -> int:
        """Sets."""
        return len(np.unique(self.groups_n))

    def features(self) -> FeatureMatrix:
        """The features of all rows, as passes read them."""
        return FeatureMatrix(self.dense_nf.astype(np.float32), self.sparse_ns)

    def take(self, rows: NDArray[np.integer[Any]] | NDArray[np.bool_]) -> Self:
        """These rows, in this order."""
        return type(self)(**{name: getattr(self, name)[rows] for name in self.__struct_fields__})

    def split(self, held: float) -> tuple[Self, Self]:
        """The older sets, and the newest share of them, one at least."""
        groups_g = np.unique(self.groups_n)
        if not len(groups_g):
            return self, self
        newest_n = self.groups_n >= groups_g[-max(round(len(groups_g) * held), 1)]
        return self.take(~newest_n), self.take(newest_n)

    def newest(self, sets: int) -> Self:
        """The newest sets in which something was meant and the newest others, so many of each."""
        groups_g, at_n = np.unique(self.groups_n, return_inverse=True)
        meant_n = self.labels_nh[:, _STRONG].any(axis=1)
        meant_g = np.bincount(at_n, meant_n, minlength=len(groups_g)) > 0
        kept_g = np.zeros(len(groups_g), np.bool_)
        for kind_g in (meant_g, ~meant_g):
            kept_g[np.flatnonzero(kind_g)[-sets:]] = True
        return self if kept_g.all() else self.take(kept_g[at_n])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The columns by name, as a file stores them."""
        return {name: getattr(self, name) for name in self.__struct_fields__}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """What :meth:`to_arrays` gave.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        rows = len(taken(arrays, "ts_n", np.int64, ANY))
        return cls(
            **{
                name: taken(arrays, name, column.dtype, rows, *column.shape[1:])
                for name, column in cls.empty().to_arrays().items()
            }
        )

    @classmethod
    def empty(cls) -> Self:
        """No choices, with all columns."""
        return cls(
            dense_nf=np.zeros((0, len(DENSE_NAMES)), np.float16),
            sparse_ns=np.zeros((0, len(SPARSE_NAMES)), np.int32),
            labels_nh=np.zeros((0, len(HEADS)), np.uint8),
            weights_n=np.zeros(0, np.float32),
            groups_n=np.zeros(0, np.int64),
            ts_n=np.zeros(0, np.int64),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Choices]) -> Self:
        """The rows of all parts, in order."""
        return cls(
            **{
                name: np.concatenate([getattr(part, name) for part in (*parts, cls.empty())])
                for name in cls.__struct_fields__
            }
        )


class ChoiceSampler:
    """Makes choices of viewers at the moment before they acted.

    Args:
        world: as it is then; whoever calls keeps it so.
        find: the query.
        config: how choices are sampled.
    """

    def __init__(self, world: World, find: Find, config: ChoiceConfig | None = None) -> None:
        self.config = config or ChoiceConfig()
        self._world, self._find = world, find
        self._asked = {True: 0, False: 0}
        self._made = 0
        self._parts: list[Choices] = []

    def wanted(self, viewer_id: str, moment: int, strong: bool) -> bool:
        """Whether a viewer's moment is sampled; the same for a log that is read again.

        Args:
            strong: the viewer does something then that is meant.
        """
        self._asked[strong] += 1
        long_run = self.config.strong_rate if strong else self.config.rate
        rate = max(long_run, min(1.0, self.config.first / self._asked[strong]))
        share: float = (hash_id(f"{viewer_id} {moment}") & 0xFFFFFF) / float(1 << 24)
        return share < rate

    def make(
        self,
        viewers: Sequence[ViewerContext],
        done: Sequence[Mapping[str, set[Action]]],
        now_ms: int,
    ) -> None:
        """Find the viewers' candidates, and label them with what each did next.

        Args:
            done: of each viewer media id → actions. Who chose nothing that was found gives no set.
        """
        found, ends_v = self._find(viewers, now_ms)
        chosen: list[NDArray[np.int64]] = []
        labels: list[NDArray[np.uint8]] = []
        weights: list[NDArray[np.float32]] = []
        kept_viewers: list[ViewerContext] = []
        start = 0
        for viewer, actions, end in zip(viewers, done, ends_v.tolist(), strict=True):
            rows = np.arange(start, end)
            start = end
            label_kh = self._labels(found.media_n[rows], actions)
            done_k = label_kh.any(axis=1)
            if not done_k.any():
                continue
            others = np.flatnonzero(~done_k)
            seed = hash_id(f"{viewer.viewer_id} {now_ms}") & 0xFFFFFFFF
            picked = np.random.default_rng(seed).permutation(others)[: self.config.others]
            kept = np.sort(np.append(np.flatnonzero(done_k), picked))
            weight_k = np.full(len(rows), len(others) / max(len(picked), 1), np.float32)
            weight_k[done_k] = 1.0
            chosen.append(rows[kept])
            labels.append(label_kh[kept])
            weights.append(weight_k[kept])
            kept_viewers.append(viewer)
        if not chosen:
            return
        sizes_v = [len(rows) for rows in chosen]
        candidates = found.take(np.concatenate(chosen))
        assembly = Assembly.of(kept_viewers, candidates, sizes_v, self._world, now_ms)
        features = assembly.matrix()
        groups_v = np.arange(self._made, self._made + len(chosen))
        self._made += len(chosen)
        self._parts.append(
            Choices(
                dense_nf=features.dense_nf.astype(np.float16),
                sparse_ns=features.sparse_ns,
                labels_nh=np.concatenate(labels),
                weights_n=np.concatenate(weights),
                groups_n=groups_v.repeat(sizes_v),
                ts_n=np.full(sum(sizes_v), now_ms, np.int64),
            )
        )

    def counts(self) -> dict[str, int]:
        """How many moments were asked about and choices made: what the next ones depend on."""
        return {"strong": self._asked[True], "other": self._asked[False], "made": self._made}

    def load(self, counts: Mapping[str, Any]) -> None:
        """Go on from what :meth:`counts` gave.

        Raises:
            StoredArraysError: it is not such.
        """
        self._asked = {True: number_of(counts, "strong"), False: number_of(counts, "other")}
        self._made = number_of(counts, "made")

    def take(self) -> Choices:
        """The choices made since the last call."""
        parts, self._parts = self._parts, []
        return Choices.concatenate(parts)

    def _labels(
        self, media_k: NDArray[np.int32], actions: Mapping[str, set[Action]]
    ) -> NDArray[np.uint8]:
        label_kh = np.zeros((len(media_k), len(HEADS)), np.uint8)
        rows = self._world.catalog.media_rows(list(actions))
        for row, of_media in zip(rows.tolist(), actions.values(), strict=True):
            here = np.flatnonzero(media_k == row)
            for action in of_media:
                label_kh[here, HEADS.index(action)] = 1
        return label_kh
