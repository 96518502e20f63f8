"""Skip-gram with negative sampling over rows that come and go: gensim's inner loop, our tables.

gensim's compiled loop (``train_batch_sg``) reads plain arrays. They are kept here, so that rows can
be added without a copy and taken away, which ``Word2Vec`` cannot; and the loop is called directly,
because ``Word2Vec.train`` starts two threads and a queue for each call, which costs more than to
learn a small batch. What is learned is what ``Word2Vec`` learns, bit by bit (there is a test).

An account that a viewer asked to see fewer of is a hard negative for the accounts of the same
session, as the rejected listing is at Airbnb (KDD 2018): after each pass, both are pushed away
from each other's contexts by steps of the size of any other negative's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
from gensim.models.word2vec_inner import MAX_WORDS_IN_BATCH, train_batch_sg
from numpy.typing import NDArray

from models.ig2vec.config import Ig2VecConfig
from models.ig2vec.vocabulary import with_room

Sentence = list[str]
#: gensim leaves out what is beyond this in one call.
MAX_WORDS: Final[int] = MAX_WORDS_IN_BATCH
#: Rows of a minibatch of hard negatives.
PAIRS: Final = 256
_TABLE_END: Final = 2**31 - 1
_KEEP_ALL: Final = 2**32 - 1


class SkipGram:
    """Vectors and contexts, one row per account, and how they learn.

    Attributes:
        vectors_nd: input vectors, float32, a view.
        contexts_nd: output vectors, float32, a view.
        negatives_m: cumulative table that negatives are drawn from, uint32; rows beyond its end
            are not drawn.
    """

    def __init__(
        self,
        config: Ig2VecConfig,
        vectors_nd: NDArray[np.float32] | None = None,
        contexts_nd: NDArray[np.float32] | None = None,
    ) -> None:
        self.config = config
        empty_nd = np.empty((0, config.dimension), dtype=np.float32)
        self._vectors = empty_nd if vectors_nd is None else vectors_nd.astype(np.float32)
        self._contexts = empty_nd if contexts_nd is None else contexts_nd.astype(np.float32)
        self._kept = np.full(len(self._vectors), _KEEP_ALL, dtype=np.uint32)
        self._size = len(self._vectors)
        self.negatives_m = np.empty(0, dtype=np.uint32)

    def __len__(self) -> int:
        return self._size

    @property
    def vectors_nd(self) -> NDArray[np.float32]:
        """Input vector of each row, (n, d): a view until :meth:`grow`."""
        return self._vectors[: self._size]

    @property
    def contexts_nd(self) -> NDArray[np.float32]:
        """Output vector of each row, (n, d): a view until :meth:`grow`."""
        return self._contexts[: self._size]

    def grow(self, rows: int, random: np.random.RandomState) -> None:
        """Add rows with small random vectors and contexts of zero."""
        start, end = self._size, self._size + rows
        self._vectors = with_room(self._vectors, end)
        self._contexts = with_room(self._contexts, end)
        self._kept = with_room(self._kept, end)
        dimension = self.config.dimension
        self._vectors[start:end] = random.uniform(-1, 1, (rows, dimension)) / dimension
        self._contexts[start:end] = 0
        self._kept[start:end] = _KEEP_ALL
        self._size = end

    def keep(self, rows_n: NDArray[np.int64]) -> None:
        """Take away all rows but these; the table of negatives must then be drawn up anew."""
        self._vectors, self._contexts = self._vectors[rows_n], self._contexts[rows_n]
        self._kept = self._kept[rows_n]
        self._size = len(rows_n)

    def shrink(self, rows_m: NDArray[np.int64], factors_m: NDArray[np.float64]) -> None:
        """Multiply vectors and contexts of rows by their factors."""
        factors_m1 = factors_m[:, np.newaxis].astype(np.float32)
        self._vectors[rows_m] *= factors_m1
        self._contexts[rows_m] *= factors_m1

    def draw_by(self, counts_n: NDArray[np.float64]) -> None:
        """Draw negatives by these counts of all rows."""
        # Counts decay, and with a negative exponent the forgotten ones would be drawn most.
        mass_n = np.cumsum(np.maximum(counts_n, 1.0) ** self.config.ns_exponent)
        self.negatives_m = np.round(mass_n / mass_n[-1:] * _TABLE_END).astype(np.uint32)

    def thin_out(self, rows_m: NDArray[np.int64], counts_n: NDArray[np.float64]) -> None:
        """Set by the counts of all rows how often the words of these rows are left out."""
        if self.config.sample:
            ratio_m = self.config.sample * counts_n.sum() / counts_n[rows_m]
            kept_m = np.minimum(np.sqrt(ratio_m) + ratio_m, 1.0)
            self._kept[rows_m] = (kept_m * _KEEP_ALL).astype(np.uint32)

    def train(
        self,
        sentences: Iterable[Sentence],
        row_of: Mapping[str, int],
        alphas: tuple[float, float],
        epochs: int,
        random: np.random.RandomState,
        hard_negatives: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Learn from sentences of at most :data:`MAX_WORDS` words.

        Args:
            row_of: words it does not hold are left out.
            alphas: first and last learning rate.
            hard_negatives: pairs of accounts that do not belong together.
        """
        start, end = alphas
        batches = list(_batches(sentences))
        words = sum(size for _, size in batches) * epochs
        tables = self._tables(row_of, random)
        work_d = np.zeros(self.config.dimension, dtype=np.float32)
        pairs_p2 = self._pairs(hard_negatives, row_of)
        done = 0
        for epoch in range(epochs):
            for batch, size in batches:
                train_batch_sg(tables, batch, start - (start - end) * done / words, work_d, False)
                done += size
            alpha = start - (start - end) * (epoch + 1) / epochs
            self._push_apart(random.permutation(pairs_p2), alpha)

    def _tables(self, row_of: Mapping[str, int], random: np.random.RandomState) -> Any:
        """What gensim's loop reads of a ``Word2Vec``."""
        keyed_vectors = SimpleNamespace(
            vectors=self.vectors_nd,
            vectors_lockf=np.ones(1, dtype=np.float32),
            vector_size=self.config.dimension,
            key_to_index=row_of,
            expandos={"sample_int": self._kept[: self._size]},
        )
        return SimpleNamespace(
            wv=keyed_vectors,
            syn1neg=self.contexts_nd,
            cum_table=self.negatives_m,
            random=random,
            negative=self.config.negative,
            window=self.config.window,
            sample=self.config.sample,
            shrink_windows=True,
            hs=0,
            cbow_mean=0,
            workers=1,
            running_training_loss=0.0,
        )

    def _pairs(
        self, hard_negatives: Sequence[tuple[str, str]], row_of: Mapping[str, int]
    ) -> NDArray[np.int64]:
        """Rows (pairs, 2) of those pairs that have both; none if they are to be left out."""
        if not self.config.hard_negative_weight:
            hard_negatives = ()
        rows = [(row_of.get(one, -1), row_of.get(other, -1)) for one, other in hard_negatives]
        pairs_p2 = np.array(rows, dtype=np.int64).reshape(-1, 2)
        return pairs_p2[(pairs_p2 >= 0).all(axis=1)]

    def _push_apart(self, pairs_p2: NDArray[np.int64], alpha: float) -> None:
        """One step away from each other's context for both of each pair."""
        step = alpha * self.config.hard_negative_weight
        for start in range(0, len(pairs_p2), PAIRS):
            pairs_b2 = pairs_p2[start : start + PAIRS]
            rows_b, other_b = pairs_b2.ravel(), pairs_b2[:, ::-1].ravel()
            vectors_bd, contexts_bd = self._vectors[rows_b], self._contexts[other_b]
            logits_b = np.einsum("bd,bd->b", vectors_bd, contexts_bd)
            # The logistic function, by way of tanh: it cannot overflow.
            slope_b1 = -step * (0.5 + 0.5 * np.tanh(0.5 * logits_b))[:, np.newaxis]
            most = 2 * self.config.window
            _add(self._vectors, rows_b, slope_b1 * contexts_bd, most)
            _add(self._contexts, other_b, slope_b1 * vectors_bd, most)


def _add(
    table_nd: NDArray[np.float32],
    rows_b: NDArray[np.int64],
    steps_bd: NDArray[np.float32],
    most: int,
) -> None:
    """Add its steps to each row, as far as `most` of them would go.

    The steps are all taken from one place and would overshoot. An account that is in a sentence
    once has at most twice the window of neighbours, so no more is undone at a time.
    """
    rows_m, which_b, times_m = np.unique(rows_b, return_inverse=True, return_counts=True)
    sums_md = np.zeros((len(rows_m), table_nd.shape[1]), dtype=np.float32)
    np.add.at(sums_md, which_b, steps_bd)
    sums_md /= np.maximum(times_m / most, 1)[:, np.newaxis]
    table_nd[rows_m] += sums_md


def _batches(sentences: Iterable[Sentence]) -> Iterator[tuple[list[Sentence], int]]:
    """Sentences as batches of at most :data:`MAX_WORDS` words, and how many words these are."""
    batch: list[Sentence] = []
    size = 0
    for words in sentences:
        if batch and size + len(words) > MAX_WORDS:
            yield batch, size
            batch, size = [], 0
        batch.append(words)
        size += len(words)
    if size:
        yield batch, size
