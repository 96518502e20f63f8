"""The table of actions: everything that the system knows of what a viewer can do to a media.

One row of :class:`Action` is one action. Topics, action logs, counters, features, labels, heads,
value weights, popularity, ig2vec, reports, schemas and pages of the documentation are derived from
the rows; no other module lists actions. Adding one is adding a row, and writing what is generated
(``make generate``).

What is persisted has explicit numbers: `code` stands in every stored record of an action, and
`topic_code` in every stored offset. Neither may ever be changed or used again. Codes count up from
0 without a gap, because what is counted per action in memory is an array indexed by code: an action
that is given up keeps its row.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, Literal, Self

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one action.

    Attributes:
        meaning: one sentence for people: what the viewer did.
        topic: the Kafka topic that carries it; an undo there takes back the newest action of the
            same topic on the same media that none has taken back yet.
        topic_code: of the topic, persisted. Actions of one topic have the same.
        long: it is the one that its topic carries where `long` is true.
        log: which of the viewer's two logs keeps it: views must never push the others out.
        polarity: 1 if the viewer wants more of such, −1 if less, 0 if it says neither.
        worth: default weight of its probability in the value, at least 0; the sign is the
            polarity's. None: the final pass does not predict it.
        loss: weight of its head in training.
        rate: how often it is done per view while no traffic says so: everybody's, and the prior's.
        popularity: what one adds to a media's popularity.
        co_engages: two media that a viewer does it to belong together.
        ig2vec: how its account enters a sentence: as a word, as a word said again, as what does
            not belong there, or not at all.
    """

    meaning: str
    topic: str
    topic_code: int
    long: bool = False
    log: Literal["strong", "views"] = "strong"
    polarity: Literal[-1, 0, 1]
    worth: float | None
    loss: float = 1.0
    rate: float = 0.0
    popularity: float
    co_engages: bool
    ig2vec: Literal["word", "repeated_word", "hard_negative", "none"]


class Action(IntEnum):
    """What a viewer did. The number is the code stored in a viewer's state."""

    row: Row

    def __new__(cls, code: int, row: Row | None = None) -> Self:
        """A member with its row; members are found by code, ``Action(3)``."""
        assert row is not None
        action = int.__new__(cls, code)
        action._value_ = code
        action.row = row
        return action

    LIKE = 0, Row(
        meaning="liked a media",
        topic="events.like", topic_code=0, polarity=1, worth=1.0, rate=0.02,
        popularity=1.0, co_engages=True, ig2vec="word",
    )  # fmt: skip
    SAVE = 1, Row(
        meaning="saved a media",
        topic="events.save", topic_code=1, polarity=1, worth=2.0, loss=2.0, rate=0.01,
        popularity=2.0, co_engages=True, ig2vec="repeated_word",
    )  # fmt: skip
    SEE_FEWER = 2, Row(
        meaning="asked to see fewer of a media",
        topic="events.see_fewer", topic_code=2, polarity=-1, worth=5.0, loss=3.0, rate=0.002,
        popularity=0.0, co_engages=False, ig2vec="hard_negative",
    )  # fmt: skip
    VIEW = 3, Row(
        meaning="saw a media",
        topic="events.view", topic_code=3, log="views", polarity=0, worth=None,
        popularity=0.0, co_engages=False, ig2vec="none",
    )  # fmt: skip
    LONG_VIEW = 4, Row(
        meaning="watched a media long enough to mean it",
        topic="events.view", topic_code=3, long=True, log="views",
        polarity=1, worth=0.0, loss=0.1, rate=0.25,
        popularity=0.25, co_engages=True, ig2vec="word",
    )  # fmt: skip
    SHARE = 5, Row(
        meaning="sent a media to somebody",
        topic="events.share", topic_code=5, polarity=1, worth=2.0, loss=2.0, rate=0.005,
        popularity=2.0, co_engages=True, ig2vec="repeated_word",
    )  # fmt: skip
    COMMENT = 6, Row(
        meaning="commented on a media",
        topic="events.comment", topic_code=6, polarity=1, worth=1.0, rate=0.005,
        popularity=1.0, co_engages=True, ig2vec="word",
    )  # fmt: skip

    @property
    def sent_as(self) -> str:
        """What people call its topic: ``view`` of a long view."""
        return self.row.topic.removeprefix("events.")

    @property
    def word(self) -> str:
        """Its name on the wire: of labels, heads, weights, counts and steps of a session."""
        return self.name.lower()


#: Names by code.
ACTION_NAMES: Final = tuple(action.word for action in Action)
#: Codes by name.
ACTION_CODES: Final = {action.word: action.value for action in Action}
#: What the viewer wants more of, by code.
POSITIVE: Final = tuple(action for action in Action if action.row.polarity > 0)
#: Kept in the log of views; a view with or without meaning it is one exposure.
VIEWS: Final = tuple(action for action in Action if action.row.log == "views")
#: Positives by the log that keeps them: what was meant, and what was only watched.
STRONG_POSITIVE: Final = tuple(action for action in POSITIVE if action not in VIEWS)
WEAK_POSITIVE: Final = tuple(action for action in POSITIVE if action in VIEWS)
NEGATIVE: Final = tuple(action for action in Action if action.row.polarity < 0)
#: What the final pass predicts, in the order of its columns; each is a label, too.
HEADS: Final = tuple(action for action in Action if action.row.worth is not None)
HEAD_NAMES: Final = tuple(head.word for head in HEADS)
#: Heads that are no views: an exposure with one of them is a positive example.
STRONG_HEADS: Final = tuple(head for head in HEADS if head not in VIEWS)
#: In the value.
SIGNS: Final = tuple(float(head.row.polarity) for head in HEADS)
NEGATIVE_HEADS: Final = tuple(HEAD_NAMES.index(action.word) for action in NEGATIVE)

#: A topic's records carry the action of `False`, or where `long` is true that of `True`.
_OF_TOPIC: Final[dict[str, dict[bool, Action]]] = {}
for _action in Action:
    _of = _OF_TOPIC.setdefault(_action.row.topic, {True: _action})
    _of[_action.row.long] = _action
#: Topic of actions on media → its code in stored offsets.
MEDIA_EVENT_TOPICS: Final = {action.row.topic: action.row.topic_code for action in Action}
#: The same topics by what people call them: ``like`` of ``events.like``.
MEDIA_EVENT_TOPIC_OF: Final = {action.sent_as: action.row.topic for action in Action}
#: Topics of views.
VIEW_TOPICS: Final = frozenset(action.row.topic for action in VIEWS)
FOLLOW_TOPIC: Final = "events.follow"
#: Every event topic → its code in stored offsets.
TOPIC_CODES: Final = {**MEDIA_EVENT_TOPICS, FOLLOW_TOPIC: 4}
EVENT_TOPICS: Final = tuple(TOPIC_CODES)


def action_in(topic: str, long: bool) -> Action:
    """The action that a record of `topic` stands for; `long` says what kind of view.

    Raises:
        KeyError: the topic carries no actions on media.
    """
    return _OF_TOPIC[topic][long]


def undo_kind(code: int) -> int:
    """Equal for actions that one undo takes back: those of one topic."""
    return _UNDO_KINDS[code]


_UNDO_KINDS: Final = tuple(action.row.topic_code for action in Action)
