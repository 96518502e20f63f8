"""The loop is gensim's, the tables are ours."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from gensim.models import Word2Vec

from models.ig2vec.config import Ig2VecConfig
from models.ig2vec.skip_gram import MAX_WORDS, SkipGram

CONFIG = Ig2VecConfig(dimension=8, window=4, sample=0.01)


def corpus(sentences: int, words: int = 6, accounts: int = 40) -> list[list[str]]:
    rng = np.random.default_rng(0)
    return [
        [f"a{n}" for n in np.sort(rng.integers(0, accounts, words)).tolist()]
        for _ in range(sentences)
    ]


def tables(accounts: int, config: Ig2VecConfig = CONFIG) -> SkipGram:
    made = SkipGram(config)
    made.grow(accounts, np.random.RandomState(1))
    made.draw_by(np.ones(accounts))
    return made


@pytest.mark.parametrize("exponent", [0.75, -0.5])
def test_what_is_learned_is_what_word2vec_learns(exponent: float) -> None:
    sentences = corpus(300)
    theirs = Word2Vec(
        vector_size=8, window=4, sg=1, negative=5, ns_exponent=exponent, sample=0.01, min_count=1,
        workers=1, seed=1,
    )  # fmt: skip
    theirs.build_vocab(sentences)
    config = msgspec.structs.replace(CONFIG, ns_exponent=exponent)
    ours = SkipGram(config, theirs.wv.vectors.copy(), np.zeros_like(theirs.wv.vectors))
    counts_n = theirs.wv.expandos["count"].astype(np.float64)
    ours.draw_by(counts_n)
    ours.thin_out(np.arange(len(ours)), counts_n)
    np.testing.assert_allclose(ours.negatives_m, theirs.cum_table, atol=1)

    theirs.random = np.random.RandomState(3)
    theirs.train(
        sentences, total_examples=len(sentences), epochs=1, start_alpha=0.05, end_alpha=0.05
    )
    ours.train(sentences, theirs.wv.key_to_index, (0.05, 0.05), 1, np.random.RandomState(3))
    assert ours.vectors_nd.tobytes() == theirs.wv.vectors.tobytes()
    assert ours.contexts_nd.tobytes() == theirs.syn1neg.tobytes()


def test_every_word_of_a_long_corpus_is_learned() -> None:
    """More than gensim takes in one call, in sentences that do not fill a batch evenly."""
    accounts = MAX_WORDS * 3
    names = [f"a{n}" for n in range(accounts)]
    sentences = [names[start : start + 7] for start in range(0, accounts, 7)]
    config = msgspec.structs.replace(CONFIG, sample=0.0)
    made = tables(accounts, config)
    made.contexts_nd[:] = 1
    before_nd = made.vectors_nd.copy()
    rows = {name: row for row, name in enumerate(names)}
    made.train(sentences, rows, (0.05, 0.05), 1, np.random.RandomState(1))
    assert (made.vectors_nd != before_nd).any(axis=1).all()


def test_rows_that_are_added_and_taken_away_leave_the_others_alone() -> None:
    made = tables(5)
    before_nd = made.vectors_nd.copy()
    made.grow(2, np.random.RandomState(2))
    assert len(made) == 7
    assert np.array_equal(made.vectors_nd[:5], before_nd)
    assert not made.contexts_nd.any()
    made.keep(np.array([1, 3, 6]))
    assert np.array_equal(made.vectors_nd[:2], before_nd[[1, 3]])
    made.grow(1, np.random.RandomState(3))
    assert len(made) == len(made.contexts_nd) == 4


def test_forgotten_accounts_are_not_drawn_most_by_a_negative_exponent() -> None:
    made = tables(3, msgspec.structs.replace(CONFIG, ns_exponent=-1.0))
    made.draw_by(np.array([2.0, 1.0, 1e-9]))
    shares = np.diff(made.negatives_m / made.negatives_m[-1], prepend=0.0)
    assert shares.tolist() == pytest.approx([0.2, 0.4, 0.4])


def test_a_pair_is_pushed_apart_and_nobody_else() -> None:
    made = tables(4)
    made.contexts_nd[:] = made.vectors_nd
    before_nd = made.vectors_nd.copy()
    rows = {f"a{n}": n for n in range(4)}
    scores = np.einsum("nd,nd->n", made.vectors_nd[[0, 1]], made.contexts_nd[[1, 0]])
    pairs = [("a0", "a1"), ("a2", "unknown")]
    made.train([], rows, (0.05, 0.05), 3, np.random.RandomState(1), pairs)
    after = np.einsum("nd,nd->n", made.vectors_nd[[0, 1]], made.contexts_nd[[1, 0]])
    assert (after < scores).all()
    assert np.array_equal(made.vectors_nd[2:], before_nd[2:])
    assert np.array_equal(made.contexts_nd[2:], before_nd[2:])
