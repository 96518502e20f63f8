"""A closed session as a sentence of accounts, the input of ig2vec.

One session tends to be about one topic, so the accounts a viewer engaged with in it are each
other's context, as words are in a sentence (Instagram 2019; session cut after Airbnb, KDD 2018).
An account she asked to see fewer of is what does not belong: a hard negative of the same session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

import msgspec

from models.actions import Action

#: Codes by how an account enters a sentence.
_WORDS: Final = frozenset(a for a in Action if a.row.ig2vec in ("word", "repeated_word"))
_REPEATED: Final = frozenset(a for a in Action if a.row.ig2vec == "repeated_word")
_UNWANTED: Final = frozenset(a for a in Action if a.row.ig2vec == "hard_negative")


class SentenceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a session becomes a sentence.

    Attributes:
        collapse_runs: a run of actions on one account becomes one word.
        repeats: how often the word of an account is said that was saved or shared, say.
        min_accounts: sessions with fewer different accounts give no sentence.
        max_words: of a longer session the newest words count, and as many hard negatives: one
            viewer who goes through thousands of accounts teaches no more than a busy one.
    """

    collapse_runs: bool = True
    repeats: int = 2
    min_accounts: int = 2
    max_words: int = 500


def sentence(actions: Iterable[tuple[str, int]], config: SentenceConfig | None = None) -> list[str]:
    """The accounts of one session in order, or ``[]`` if it says too little.

    What each action is in a sentence stands in :mod:`models.actions`. An account that the viewer
    wanted to see fewer of in this session is no word at all, even where it was liked.

    Args:
        actions: (author_id, code of :class:`models.actions.Action`), oldest first.
        config: defaults to ``SentenceConfig()``.

    >>> sentence([("a", Action.LIKE), ("a", Action.LONG_VIEW), ("b", Action.SAVE)])
    ['a', 'b', 'b']
    """
    config = config or SentenceConfig()
    session = list(actions)
    unwanted = _unwanted(session)
    positive = ((a, action) for a, action in session if action in _WORDS and a not in unwanted)
    words: list[tuple[str, int]] = []
    for author, action in positive:
        weight = config.repeats if action in _REPEATED else 1
        if config.collapse_runs and words and words[-1][0] == author:
            words[-1] = (author, max(words[-1][1], weight))
        else:
            words.append((author, weight))
    repeated = [author for author, weight in words for _ in range(weight)][-config.max_words :]
    return repeated if len(set(repeated)) >= config.min_accounts else []


def hard_negatives(
    actions: Iterable[tuple[str, int]], config: SentenceConfig | None = None
) -> list[tuple[str, str]]:
    """Pairs of an account that the viewer engaged with and one that she wanted to see fewer of.

    Args:
        actions: (author_id, code of :class:`models.actions.Action`) of one session, oldest first.
        config: defaults to ``SentenceConfig()``; at most its `max_words` pairs, of the newest.

    >>> hard_negatives([("a", Action.LIKE), ("b", Action.SEE_FEWER), ("c", Action.LIKE)])
    [('c', 'b'), ('a', 'b')]
    """
    config = config or SentenceConfig()
    session = list(actions)[::-1]
    unwanted = _unwanted(session)
    wanted = dict.fromkeys(a for a, action in session if action in _WORDS and a not in unwanted)
    pairs = ((account, other) for other in unwanted for account in wanted)
    return list(islice(pairs, config.max_words))


def _unwanted(session: list[tuple[str, int]]) -> dict[str, None]:
    """The accounts to see fewer of, each once, in order."""
    return dict.fromkeys(author for author, action in session if action in _UNWANTED)


def sentences(
    sessions: Iterable[Iterable[tuple[str, int]]], config: SentenceConfig | None = None
) -> Iterator[list[str]]:
    """The sentences of many sessions; those that say too little are left out."""
    for session in sessions:
        words = sentence(session, config)
        if words:
            yield words
