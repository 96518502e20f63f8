"""ig2vec: account embeddings from sessions, word2vec over account ids (Instagram 2019).

Skip-gram with negative sampling by gensim. A full :meth:`Ig2Vec.fit` is the reference; between
fits :meth:`Ig2Vec.update` learns from the sessions that closed since. What gensim leaves open for
online use is settled here:

* admission: gensim counts only the sentences of one call, so an account seen once in each of many
  calls would never get in. Counts are carried over until `min_count` is reached.
* subsampling and the table of negatives: both are computed anew from all counts so far. gensim's
  own update takes the frequencies within the call, which in a small batch makes every account
  look frequent and drops most of it.
* new accounts start at the mean of the accounts near them in their sessions, not at random.
* the learning rate of an update is its own setting and does not continue the fit's decay.

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
from typing import Any, Final

import msgspec
import numpy as np
from gensim.models import Word2Vec
from numpy.typing import NDArray

from models.id_arrays import pack_ids, unpack_ids

Sentence = list[str]
# gensim cuts longer sentences without a word.
MAX_WORDS: Final = 10_000
_TABLE_END: Final = 2**31 - 1
_TINY: Final = 1e-12


class Ig2VecConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Hyper-parameters of fit and update.

    The defaults come from a small sweep on KuaiRand-Pure (long views, likes and saves of two weeks,
    66 thousand words, one sentence a viewer, `min_count` 3), scored by macro-F1 of the topic probe
    over 31 topics; random vectors score 0.020, differences below 0.01 are noise:

    * window 5 / 10 / 20: 0.104 / 0.114 / 0.112
    * alpha 0.025 / 0.05 / 0.1: 0.104 / 0.108 / 0.104
    * epochs 10 / 30 / 60 (window 10, alpha 0.05): 0.109 / 0.117 / 0.117
    * ns_exponent −0.5 / 0 / 0.5 / 0.75 / 1: 0.099 / 0.103 / 0.108 / 0.104 / 0.102, no effect here
    * sample 1e-4 / 1e-3 / none: 0.072 / 0.104 / 0.098; negative 5 / 10: 0.104 / 0.099

    `min_count` 2 instead of 3 trades a little quality for a fifth more accounts with a vector.

    Attributes:
        dimension: of the vectors.
        window: context words on either side.
        epochs: passes of a fit.
        ns_exponent: negatives are drawn in proportion to count ** ns_exponent.
        negative: negatives per word pair.
        sample: accounts above this share of all words are thinned out; 0 keeps all.
        min_count: an account with fewer words gets no vector.
        alpha: first learning rate of a fit.
        min_alpha: last learning rate of a fit.
        update_alpha: first and last learning rate of an update.
        update_epochs: passes of an update.
        max_waiting: accounts below `min_count` whose counts are remembered between updates.
        seed: equal input and seed give equal vectors.
    """

    dimension: int = 32
    window: int = 10
    epochs: int = 30
    ns_exponent: float = 0.75
    negative: int = 5
    sample: float = 1e-3
    min_count: int = 2
    alpha: float = 0.05
    min_alpha: float = 1e-4
    update_alpha: float = 0.025
    update_epochs: int = 3
    max_waiting: int = 100_000
    seed: int = 7


class Ig2VecError(ValueError):
    """Nothing to learn from, or arrays that are no saved model."""


class Ig2Vec:
    """Account vectors that can go on learning. Make one by :meth:`fit` or :meth:`load_arrays`.

    Attributes:
        config: hyper-parameters.
        space_id: hash of the fit that all vectors descend from.
        updates: how many updates were learned since that fit.
    """

    def __init__(self, config: Ig2VecConfig, model: Any, waiting: Counter[str]) -> None:
        self.config = config
        self.space_id = ""
        self.updates = 0
        self._model = model
        self._waiting = waiting

    @classmethod
    def fit(cls, sentences: Iterable[Sentence], config: Ig2VecConfig | None = None) -> Ig2Vec:
        """Learn a new space from sentences of account ids (:func:`models.sentences.sentences`).

        Raises:
            Ig2VecError: no account reaches `min_count`.
        """
        config = config or Ig2VecConfig()
        corpus = _cut(sentences)
        counts = Counter(word for words in corpus for word in words)
        admitted = {a: n for a, n in counts.items() if n >= config.min_count}
        if not admitted:
            raise Ig2VecError(
                f"no account among {len(counts)} has {config.min_count} actions: fit on more "
                "sessions or lower min_count"
            )
        model = _new_model(config)
        model.build_vocab_from_freq(admitted, corpus_count=len(corpus))
        waiting = Counter({a: n for a, n in counts.items() if n < config.min_count})
        self = cls(config, model, waiting)
        self._trim_waiting()
        self._refresh_tables()
        self._train(corpus, config.alpha, config.min_alpha, config.epochs)
        self.space_id = self._hash()
        return self

    def update(self, sentences: Iterable[Sentence]) -> list[str]:
        """Learn from sentences of newly closed sessions.

        Returns:
            The accounts whose vector is new or changed, in order of their first admission.
        """
        corpus = _cut(sentences)
        counts = Counter(word for words in corpus for word in words)
        if not counts:
            return []
        self.updates += 1
        wv = self._model.wv
        new = self._admit(counts)
        for account, count in counts.items():
            row = wv.key_to_index.get(account)
            if row is not None and row < len(wv) - len(new):
                wv.expandos["count"][row] += count
        self._refresh_tables()
        if new:
            self._place(new, corpus)

        rows_m = np.sort([wv.key_to_index[a] for a in counts if a in wv.key_to_index])
        rows_m = rows_m.astype(np.int64)
        before_md = wv.vectors[rows_m].copy()
        alpha = self.config.update_alpha
        self._train(corpus, alpha, alpha, self.config.update_epochs)
        changed_m = (wv.vectors[rows_m] != before_md).any(axis=1)
        changed_m |= rows_m >= len(wv) - len(new)
        return [wv.index_to_key[row] for row in rows_m[changed_m]]

    def vectors(self, accounts: Sequence[str] | None = None) -> tuple[list[str], NDArray[Any]]:
        """Ids and their unit vectors, float32 (n, dimension): all, or those known of `accounts`."""
        wv = self._model.wv
        known = wv.index_to_key if accounts is None else [a for a in accounts if a in self]
        raw_nd = wv.vectors[[wv.key_to_index[account] for account in known]]
        raw_nd = raw_nd.reshape(len(known), self.config.dimension)
        norms_n1 = np.maximum(np.linalg.norm(raw_nd, axis=1, keepdims=True), _TINY)
        return list(known), (raw_nd / norms_n1).astype(np.float32)

    def __contains__(self, account: str) -> bool:
        return account in self._model.wv.key_to_index

    def __len__(self) -> int:
        return len(self._model.wv)

    def save_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Everything needed to go on learning, as plain arrays and JSON-able meta."""
        wv = self._model.wv
        ids, ends_n = pack_ids(wv.index_to_key)
        waiting = sorted(self._waiting.items())
        waiting_ids, waiting_ends_w = pack_ids([account for account, _ in waiting])
        arrays = {
            "ids": ids,
            "ends": ends_n,
            "vectors": wv.vectors.copy(),
            "contexts": self._model.syn1neg.copy(),
            "counts": self._counts(),
            "waiting_ids": waiting_ids,
            "waiting_ends": waiting_ends_w,
            "waiting_counts": np.array([count for _, count in waiting], dtype=np.int64),
        }
        meta = {
            "config": msgspec.to_builtins(self.config),
            "space_id": self.space_id,
            "updates": self.updates,
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
            accounts = unpack_ids(arrays["ids"], arrays["ends"])
            waiting_ids = unpack_ids(arrays["waiting_ids"], arrays["waiting_ends"])
            waiting = Counter(
                dict(zip(waiting_ids, arrays["waiting_counts"].tolist(), strict=True))
            )
            frequencies = dict(zip(accounts, arrays["counts"].tolist(), strict=True))
            vectors_nd, contexts_nd = arrays["vectors"], arrays["contexts"]
            space_id, updates = str(meta["space_id"]), int(meta["updates"])
        except (KeyError, ValueError) as error:
            raise Ig2VecError(f"not a saved ig2vec model: {error!r}; fit a new one") from error
        shape = (len(accounts), config.dimension)
        if not accounts or vectors_nd.shape != shape or contexts_nd.shape != shape:
            raise Ig2VecError(
                f"vectors {vectors_nd.shape} and contexts {contexts_nd.shape} should both be "
                f"{shape}; fit a new model"
            )
        model = _new_model(config)
        model.sorted_vocab = 0
        model.build_vocab_from_freq(frequencies)
        model.wv.vectors[:] = vectors_nd
        model.syn1neg[:] = contexts_nd
        self = cls(config, model, waiting)
        self.space_id, self.updates = space_id, updates
        self._refresh_tables()
        return self

    def _admit(self, counts: Counter[str]) -> list[str]:
        """Give accounts that reached `min_count` a row; the others wait."""
        new: dict[str, int] = {}
        for account, count in counts.items():
            if account in self:
                continue
            total = self._waiting.pop(account, 0) + count
            if total >= self.config.min_count:
                new[account] = total
            else:
                self._waiting[account] = total
        self._trim_waiting()
        if new:
            self._grow(new)
        return list(new)

    def _grow(self, new: dict[str, int]) -> None:
        """Add rows to gensim's tables, as its ``build_vocab(update=True)`` does.

        Done here because gensim walks the whole vocabulary in Python at each call, which costs
        a hundred times the learning itself once there are many accounts.
        """
        model, wv = self._model, self._model.wv
        for account in new:
            wv.key_to_index[account] = len(wv.index_to_key)
            wv.index_to_key.append(account)
        shape = (len(new), self.config.dimension)
        start_md = self._random().uniform(-1, 1, shape) / self.config.dimension
        wv.vectors = np.vstack([wv.vectors, start_md.astype(np.float32)])
        wv.norms = None
        model.syn1neg = np.vstack([model.syn1neg, np.zeros(shape, dtype=np.float32)])
        counts_m = np.fromiter(new.values(), dtype=np.int64, count=len(new))
        wv.expandos["count"] = np.concatenate([wv.expandos["count"], counts_m])

    def _trim_waiting(self) -> None:
        if len(self._waiting) > self.config.max_waiting:
            # Dropping to half at once keeps the cost of sorting small per account.
            most = sorted(self._waiting.items(), key=lambda item: (-item[1], item[0]))
            self._waiting = Counter(dict(most[: self.config.max_waiting // 2]))

    def _counts(self) -> NDArray[np.int64]:
        counts_n: NDArray[np.int64] = self._model.wv.expandos["count"][: len(self)]
        return counts_n.astype(np.int64)

    def _refresh_tables(self) -> None:
        """Subsampling and the table of negatives from all counts so far."""
        counts_n = self._counts().astype(np.float64)
        keep_n = np.ones_like(counts_n)
        if self.config.sample:
            ratio_n = self.config.sample * counts_n.sum() / counts_n
            keep_n = np.minimum(np.sqrt(ratio_n) + ratio_n, 1.0)
        self._model.wv.expandos["sample_int"] = (keep_n * (2**32 - 1)).astype(np.uint32)
        mass_n = np.cumsum(counts_n**self.config.ns_exponent)
        self._model.cum_table = np.round(mass_n / mass_n[-1] * _TABLE_END).astype(np.uint32)

    def _place(self, new: list[str], corpus: list[Sentence]) -> None:
        """Start new accounts at the mean of the known accounts near them in their sentences."""
        wv, contexts_nd = self._model.wv, self._model.syn1neg
        first_new, window = len(wv) - len(new), self.config.window
        company: dict[int, list[int]] = {}
        for words in corpus:
            rows = [wv.key_to_index.get(word, -1) for word in words]
            for place, row in enumerate(rows):
                if row >= first_new:
                    near = rows[max(0, place - window) : place + window + 1]
                    company.setdefault(row, []).extend(r for r in near if 0 <= r < first_new)
        for row, near in company.items():
            if near:
                wv.vectors[row] = wv.vectors[near].mean(axis=0)
                contexts_nd[row] = contexts_nd[near].mean(axis=0)

    def _train(self, corpus: list[Sentence], start: float, end: float, epochs: int) -> None:
        model = self._model
        # A fresh stream of random numbers a call: a loaded model learns on as the saved one.
        model.random = self._random()
        model.min_alpha_yet_reached = start
        model.train(
            corpus,
            total_examples=len(corpus),
            epochs=epochs,
            start_alpha=start,
            end_alpha=end,
        )

    def _random(self) -> np.random.RandomState:
        return np.random.RandomState((self.config.seed + 7919 * self.updates) % 2**32)

    def _hash(self) -> str:
        digest = blake2b(msgspec.json.encode(self.config), digest_size=12)
        for array in pack_ids(self._model.wv.index_to_key):
            digest.update(array.tobytes())
        digest.update(self._model.wv.vectors.tobytes())
        return digest.hexdigest()


def _new_model(config: Ig2VecConfig) -> Any:
    model = Word2Vec(
        vector_size=config.dimension,
        window=config.window,
        sg=1,
        hs=0,
        negative=config.negative,
        ns_exponent=config.ns_exponent,
        sample=config.sample,
        min_count=1,
        workers=1,
        seed=config.seed,
    )
    # A diary of every call: without bound, and of no use here.
    model.lifecycle_events = None
    return model


def _cut(sentences: Iterable[Sentence]) -> list[Sentence]:
    return [
        words[start : start + MAX_WORDS]
        for words in sentences
        for start in range(0, len(words), MAX_WORDS)
    ]
