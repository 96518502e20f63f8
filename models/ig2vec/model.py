"""ig2vec: account embeddings from sessions, word2vec over account ids (Instagram 2019).

Skip-gram with negative sampling. A full :meth:`Ig2Vec.fit` over a window of sessions is the
reference; between fits :meth:`Ig2Vec.update` learns from the sessions that closed since. What is
special about a stream:

* accounts come and go (:mod:`models.ig2vec.vocabulary`): they wait until they were seen often
  enough, start at the mean of the accounts near them in their sessions, and go when they expire.
* frequencies are those of the stream, decayed, and not those of one call. Words are thinned out by
  the newest; the table of negatives is drawn up anew once enough of them changed
  (:data:`STALE_SHARE`), which makes an update cost what its words cost, not what all accounts do.
* the learning rate of an update is its own setting and does not continue the fit's decay; it is
  high, vectors shrink between updates, and what is given are their averages
  (:mod:`models.ig2vec.averaging`).

Vectors of different fits live in different spaces: compare only where `space_id` is equal. This
module needs gensim; processes that only serve read the vectors it makes.

Errors::

    ValueError
    └── Ig2VecError   nothing to learn from, or arrays that are no saved model
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import chain
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays.packed_ids import pack_ids
from models.ig2vec.averaging import AveragedVectors
from models.ig2vec.config import Ig2VecConfig as Ig2VecConfig
from models.ig2vec.skip_gram import MAX_WORDS, Sentence, SkipGram
from models.ig2vec.vocabulary import Vocabulary, VocabularyError, by_frequency

#: An account of a session, and one that its viewer asked to see fewer of in it.
HardNegative = tuple[str, str]
#: The table of negatives is drawn up anew when this share of all counts has changed.
STALE_SHARE: Final = 0.02
_TINY: Final = 1e-12


class Ig2VecError(ValueError):
    """Nothing to learn from, or arrays that are no saved model."""


class Ig2Vec:
    """Account vectors that can go on learning. Make one by :meth:`fit` or :meth:`load_arrays`.

    Attributes:
        config: hyper-parameters.
        space_id: hash of the fit that all vectors descend from.
        updates: how many updates were learned since that fit.
    """

    def __init__(self, config: Ig2VecConfig, vocabulary: Vocabulary, skip_gram: SkipGram) -> None:
        self.config = config
        self.space_id = ""
        self.updates = 0
        self._vocabulary = vocabulary
        self._skip_gram = skip_gram
        self._averages = AveragedVectors(skip_gram.vectors_nd)

    @classmethod
    def fit(
        cls,
        sentences: Iterable[Sentence],
        config: Ig2VecConfig | None = None,
        *,
        hard_negatives: Sequence[HardNegative] = (),
        now_ms: int = 0,
    ) -> Ig2Vec:
        """Learn a new space from sentences of accounts (:func:`models.ig2vec.sentences.sentences`).

        Args:
            hard_negatives: see :func:`models.ig2vec.sentences.hard_negatives`.
            now_ms: the stream's time; all accounts count as seen now.

        Raises:
            Ig2VecError: no account reaches `min_count`.
        """
        config = config or Ig2VecConfig()
        corpus = _cut(sentences)
        counts = Counter(chain.from_iterable(corpus))
        self = cls(config, Vocabulary(config), SkipGram(config))
        # Frequent accounts in the first rows: what is read together lies together.
        if not len(self._vocabulary.count(by_frequency(counts), now_ms)):
            raise Ig2VecError(
                f"no account among {len(counts)} has {config.min_count} actions: fit on more "
                "sessions or lower min_count"
            )
        random = self._random()
        self._skip_gram.grow(len(self), random)
        self._skip_gram.thin_out(np.arange(len(self)), self._vocabulary.counts_n)
        self._draw_negatives()
        alphas, rows = (config.alpha, config.min_alpha), self._vocabulary.row_of
        self._skip_gram.train(corpus, rows, alphas, config.epochs, random, hard_negatives)
        self._averages = AveragedVectors(self._skip_gram.vectors_nd)
        self.space_id = self._hash()
        return self

    def update(
        self,
        sentences: Iterable[Sentence],
        *,
        counted: Iterable[str] | None = None,
        hard_negatives: Sequence[HardNegative] = (),
        now_ms: int = 0,
    ) -> list[str]:
        """Learn from sentences of newly closed sessions.

        Args:
            counted: the words that are new, where `sentences` hold others, too
                (:meth:`models.ig2vec.histories.Histories.lesson`); all of them if None.
            hard_negatives: see :func:`models.ig2vec.sentences.hard_negatives`.
            now_ms: the stream's time; one before the last is taken for the last.

        Returns:
            The accounts whose vector is new or changed, in order of their admission.
        """
        corpus = _cut(sentences)
        if not corpus and not hard_negatives:
            return []
        self.updates += 1
        vocabulary, skip_gram, random = self._vocabulary, self._skip_gram, self._random()
        words = Counter(chain.from_iterable(corpus))
        counts = words if counted is None else Counter(counted)
        rows_m = vocabulary.count(counts, now_ms)
        known = len(skip_gram)
        if len(self) > known:
            skip_gram.grow(len(self) - known, random)
            self._averages.grow(len(self) - known)
            self._place(known, corpus)
        skip_gram.thin_out(rows_m, vocabulary.counts_n)
        if vocabulary.churn > STALE_SHARE * vocabulary.counts_n.sum():
            self._draw_negatives()

        learned = chain(words, chain.from_iterable(hard_negatives))
        rows = {vocabulary.row_of.get(account, -1) for account in learned}
        rows_m = np.union1d(rows_m, np.array(sorted(rows - {-1}), dtype=np.int64))
        total = float(vocabulary.counts_n.sum())
        read = words.total() + len(hard_negatives)
        self._shrink(rows_m[rows_m < known], read, total)
        before_md = self._averages.vectors_nd[rows_m]
        alphas = self.config.update_alpha, self.config.update_alpha
        skip_gram.train(
            corpus, vocabulary.row_of, alphas, self.config.update_epochs, random, hard_negatives
        )
        self._averages.follow(
            rows_m,
            skip_gram.vectors_nd[rows_m],
            read,
            self.config.average_passes * total,
        )
        changed_m = (self._averages.vectors_nd[rows_m] != before_md).any(axis=1)
        changed_m |= rows_m >= known
        return [vocabulary.ids[row] for row in rows_m[changed_m].tolist()]

    def expire(self, before_ms: int) -> list[str]:
        """Forget accounts not seen since `before_ms`, and more if there are nearly too many.

        Returns:
            The forgotten accounts (:meth:`models.ig2vec.vocabulary.Vocabulary.expire`).
        """
        ids = self._vocabulary.ids
        stay_n = self._vocabulary.expire(before_ms)
        if len(stay_n) == len(ids):
            return []
        self._skip_gram.keep(stay_n)
        self._averages.keep(stay_n)
        self._draw_negatives()
        gone_n = np.delete(np.arange(len(ids)), stay_n)
        return [ids[row] for row in gone_n.tolist()]

    def vectors(self, accounts: Sequence[str] | None = None) -> tuple[list[str], NDArray[Any]]:
        """Ids and their unit vectors, float32 (n, dimension): all, or those known of `accounts`."""
        vocabulary = self._vocabulary
        known = vocabulary.ids if accounts is None else [a for a in accounts if a in self]
        rows_n = np.array([vocabulary.row_of[account] for account in known], dtype=np.int64)
        raw_nd = self._averages.vectors_nd[rows_n]
        norms_n1 = np.maximum(np.linalg.norm(raw_nd, axis=1, keepdims=True), _TINY)
        return list(known), raw_nd / norms_n1

    def __contains__(self, account: str) -> bool:
        return account in self._vocabulary.row_of

    def __len__(self) -> int:
        return len(self._vocabulary)

    def save_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Everything needed to go on learning, as plain arrays and JSON-able meta."""
        arrays, vocabulary_meta = self._vocabulary.save_arrays()
        arrays |= {
            "vectors": self._averages.vectors_nd.copy(),
            "averaged_at": self._averages.known_n.copy(),
            "learning": self._skip_gram.vectors_nd.copy(),
            "contexts": self._skip_gram.contexts_nd.copy(),
            "negatives": self._skip_gram.negatives_m.copy(),
        }
        meta = {
            "config": msgspec.to_builtins(self.config),
            "space_id": self.space_id,
            "updates": self.updates,
            "words": self._averages.words,
            "vocabulary": vocabulary_meta,
        }
        return arrays, meta

    @classmethod
    def load_arrays(cls, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> Ig2Vec:
        """The model that :meth:`save_arrays` wrote; it learns on exactly as the saved one would.

        Raises:
            Ig2VecError: the arrays or the meta are not of a saved model.
        """
        try:
            config = msgspec.convert(meta["config"], Ig2VecConfig)
            vocabulary = Vocabulary.load_arrays(arrays, meta["vocabulary"], config)
            vectors_nd, contexts_nd = arrays["learning"], arrays["contexts"]
            averages_nd, averaged_n = arrays["vectors"], arrays["averaged_at"]
            negatives_m = arrays["negatives"].astype(np.uint32)
            space_id, updates = str(meta["space_id"]), int(meta["updates"])
            words = float(meta["words"])
        except (KeyError, ValueError, VocabularyError) as error:
            raise Ig2VecError(f"not a saved ig2vec model: {error!r}; fit a new one") from error
        shape = (len(vocabulary), config.dimension)
        shapes = [array.shape for array in (averages_nd, vectors_nd, contexts_nd)]
        if shapes != [shape] * 3 or averaged_n.shape != shape[:1]:
            raise Ig2VecError(
                f"vectors, as served and as learning, and contexts {shapes} should all be {shape} "
                f"and averaged at {averaged_n.shape}; fit a new model"
            )
        # gensim reads the table unchecked: a wrong one would write outside the vectors.
        drawn = len(negatives_m)
        if (
            drawn > len(vocabulary)
            or (drawn == 0 and len(vocabulary))
            or ((np.diff(negatives_m.astype(np.int64)) < 0).any())
        ):
            raise Ig2VecError(
                f"a table of {drawn} negatives does not fit {len(vocabulary)} "
                "accounts; fit a new model"
            )
        self = cls(config, vocabulary, SkipGram(config, vectors_nd, contexts_nd))
        self._skip_gram.negatives_m = negatives_m
        self._averages = AveragedVectors(averages_nd, averaged_n, words)
        self.space_id, self.updates = space_id, updates
        return self

    def _draw_negatives(self) -> None:
        """Let the table of negatives follow the counts."""
        self._skip_gram.draw_by(self._vocabulary.counts_n)
        self._vocabulary.churn = 0.0

    def _shrink(self, rows_m: NDArray[np.int64], read: int, total: float) -> None:
        """Shrink rows for the words learned since each was read last, with the `read` ones now.

        Trained vectors are long: gradients saturate, and what is new moves them little. Networks
        that go on from old weights learn as well as fresh ones once these are shrunk (Ash and Adams
        2020). Only rows that are read now, so that an update costs what its words cost.
        """
        if self.config.shrink_passes:
            words_m = self._averages.words + read - self._averages.known_n[rows_m]
            self._skip_gram.shrink(rows_m, np.exp(-words_m / (self.config.shrink_passes * total)))

    def _place(self, first_new: int, corpus: list[Sentence]) -> None:
        """Start new accounts at the mean of the known accounts near them in their sentences."""
        vectors_nd, contexts_nd = self._skip_gram.vectors_nd, self._skip_gram.contexts_nd
        row_of, window = self._vocabulary.row_of, self.config.window
        new = set(self._vocabulary.ids[first_new:])
        company: dict[int, list[int]] = {}
        for words in corpus:
            if new.isdisjoint(words):
                continue
            rows = [row_of.get(word, -1) for word in words]
            for place, row in enumerate(rows):
                if row >= first_new:
                    near = rows[max(0, place - window) : place + window + 1]
                    company.setdefault(row, []).extend(r for r in near if 0 <= r < first_new)
        for row, near in company.items():
            if near:
                vectors_nd[row] = vectors_nd[near].mean(axis=0)
                contexts_nd[row] = contexts_nd[near].mean(axis=0)

    def _random(self) -> np.random.RandomState:
        """Random numbers of one call, its own: a loaded model learns on as the saved one."""
        return np.random.RandomState((self.config.seed + 7919 * self.updates) % 2**32)

    def _hash(self) -> str:
        digest = blake2b(msgspec.json.encode(self.config), digest_size=12)
        for array in pack_ids(self._vocabulary.ids):
            digest.update(array.tobytes())
        digest.update(self._skip_gram.vectors_nd.tobytes())
        return digest.hexdigest()


def _cut(sentences: Iterable[Sentence]) -> list[Sentence]:
    """The sentences in parts that gensim takes, without empty ones."""
    return [
        words[start : start + MAX_WORDS]
        for words in sentences
        for start in range(0, len(words), MAX_WORDS)
    ]
