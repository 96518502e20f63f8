"""What viewers did lately, and what a model of accounts learns from it.

A fit reads every viewer's history as one sentence. An update must not read the new steps alone:
where viewers come seldom most sessions hold a single account, whose company stands in earlier
sessions; and a model that learns only what is new forgets what it knew (catastrophic interference,
McCloskey and Cohen 1989). So an update reads the histories of the viewers who came back, with the
histories of others among them, in turn: rehearsal (Robins 1995).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays.counted_ids import CountedIds
from models.arrays.stored import (
    Arrays,
    StoredArraysError,
    as_objects,
    as_texts,
    bytes_of,
    packed,
    packed_bytes,
    taken,
    texts,
)
from models.ig2vec.sentences import SentenceConfig, hard_negatives, sentence

Sentence = list[str]
_ANY: Final = SentenceConfig(min_accounts=1)
#: A step in memory: time, row of its account, action. As objects it would take 170 bytes.
_STEP: Final = struct.Struct("<qIB")
_STEP_COLUMNS: Final = np.dtype([("ts", "<i8"), ("row", "<u4"), ("action", "u1")])


class Step(NamedTuple):
    """One action of a viewer: account, code of :class:`models.actions.Action`, time."""

    author: str
    action: int
    ts_ms: int


class HistoriesConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds, and how an update is put together.

    Attributes:
        max_steps: newest steps kept of a viewer.
        max_viewers: viewers kept, those who came last.
        company: steps of a viewer who came back that an update reads before the new ones.
        rehearsal: words of other viewers that an update reads per new word.
        max_rehearsed: but no more than so many, nor much more than there are; putting a lesson
            together takes up to half a second then.
        seed: of the order in which others are rehearsed.
    """

    max_steps: int = 500
    max_viewers: int = 200_000
    company: int = 20
    rehearsal: float = 50.0
    max_rehearsed: int = 150_000
    seed: int = 7


class Lesson(NamedTuple):
    """What an update learns from.

    Attributes:
        sentences: in random order, new and rehearsed ones.
        words: the new words alone, of which the counts go up.
        hard_negatives: of the new steps (:func:`models.ig2vec.sentences.hard_negatives`).
    """

    sentences: list[Sentence]
    words: list[str]
    hard_negatives: list[tuple[str, str]]


class Histories:
    """The newest steps of the viewers who came last.

    The `since_ms` of methods may stay or grow from call to call, never go back.
    """

    def __init__(self, config: HistoriesConfig | None = None) -> None:
        self.config = config or HistoriesConfig()
        self._accounts = CountedIds()
        # Steps of each viewer, packed one after the other, oldest first.
        self._steps: dict[str, bytes] = {}
        # Viewers in no order, and where each stands: one can be drawn, and taken out, at once.
        # Those before the turn were rehearsed in this round.
        self._viewers: list[str] = []
        self._place: dict[str, int] = {}
        self._turn = 0
        self._new: dict[str, int] = {}
        # Sentences that were asked for, with the time of their oldest step.
        self._sentences: dict[str, tuple[Sentence, int]] = {}
        self._random = np.random.default_rng(self.config.seed)

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def accounts(self) -> int:
        """How many accounts there are in the steps."""
        return len(self._accounts)

    def add(self, viewer_id: str, steps: Iterable[Step]) -> None:
        """Append steps of a viewer, oldest first; :meth:`lesson` will hold them as new."""
        known = self._steps.pop(viewer_id, None)
        if known is None:
            known = b""
            self._place[viewer_id] = len(self._viewers)
            self._viewers.append(viewer_id)
        take = self._accounts.take
        fresh = [_STEP.pack(ts_ms, take(author), action) for author, action, ts_ms in steps]
        packed = known + b"".join(fresh)
        beyond = max(len(packed) - self.config.max_steps * _STEP.size, 0)
        self._release(packed[:beyond])
        self._steps[viewer_id] = packed[beyond:]  # last in order
        self._sentences.pop(viewer_id, None)
        self._note_new(viewer_id, len(fresh))
        while len(self._steps) > self.config.max_viewers:
            self._drop(next(iter(self._steps)))

    def corpus(self, since_ms: int = 0) -> list[Sentence]:
        """What a fit reads: a sentence per viewer, of the steps since `since_ms`."""
        return [words for viewer in self._steps if (words := self._sentence(viewer, since_ms))]

    def hard_negatives(self, since_ms: int = 0) -> list[tuple[str, str]]:
        """The hard negatives of a fit."""
        return [
            pair
            for packed in self._steps.values()
            for pair in hard_negatives(self._acted(packed, since_ms))
        ]

    def take_new(self) -> dict[str, int]:
        """Take nothing as new any more, a fit reads it all; gives viewer → new steps until now."""
        taken, self._new = self._new, {}
        return taken

    def put_back(self, taken: dict[str, int]) -> None:
        """Take as new again what :meth:`take_new` gave: the fit came to nothing."""
        for viewer_id, new in taken.items():
            if viewer_id in self._steps:
                self._note_new(viewer_id, new)

    def _note_new(self, viewer_id: str, new: int) -> None:
        steps = len(self._steps[viewer_id]) // _STEP.size
        self._new[viewer_id] = min(self._new.get(viewer_id, 0) + new, steps)

    def lesson(self, since_ms: int = 0) -> Lesson:
        """What an update learns from; what was new is not new any more.

        Args:
            since_ms: older steps are left out.
        """
        came_back = self.take_new()
        sentences: list[Sentence] = []
        words: list[str] = []
        negatives: list[tuple[str, str]] = []
        for viewer_id, new in came_back.items():
            packed = self._steps[viewer_id]
            first = max(len(packed) - (new + self.config.company) * _STEP.size, 0)
            read = self._acted(packed[first:], since_ms)
            fresh = read[max(len(read) - new, 0) :]
            sentences.append(sentence(read))
            words += sentence(fresh, _ANY)
            negatives += hard_negatives(fresh)
        wanted = min(len(words) * self.config.rehearsal, self.config.max_rehearsed)
        sentences += self._rehearsed(wanted, since_ms)
        order_n = self._random.permutation(len(sentences))
        return Lesson([sentences[n] for n in order_n.tolist() if sentences[n]], words, negatives)

    def _rehearsed(self, wanted: float, since_ms: int) -> Iterator[Sentence]:
        """Histories of `wanted` words, or nearly all there are once.

        They come in random order, and none comes again before the others had their turn: drawn
        with replacement, a third of them would stay unread over a pass.
        """
        viewers, place = self._viewers, self._place
        for draw in self._random.random(min(int(wanted), len(viewers))).tolist():
            if wanted <= 0:
                return
            # One step of a shuffle (Fisher and Yates 1938): who stands before it had a turn.
            turn = self._turn if self._turn < len(viewers) else 0
            drawn = turn + int(draw * (len(viewers) - turn))
            viewer, other = viewers[drawn], viewers[turn]
            viewers[turn], viewers[drawn] = viewer, other
            place[other], place[viewer] = drawn, turn
            self._turn = turn + 1
            words = self._sentence(viewer, since_ms)
            wanted -= len(words)
            yield words

    def _sentence(self, viewer_id: str, since_ms: int) -> Sentence:
        """The sentence of a viewer's steps since `since_ms`; making it costs more than learning."""
        known = self._sentences.get(viewer_id)
        if known is None or known[1] < since_ms:
            packed = self._steps[viewer_id]
            times = (ts_ms for ts_ms, _, _ in _STEP.iter_unpack(packed) if ts_ms >= since_ms)
            oldest_ms = min(times, default=since_ms)
            known = sentence(self._acted(packed, since_ms)), oldest_ms
            self._sentences[viewer_id] = known
        return known[0]

    def _acted(self, packed: bytes, since_ms: int) -> list[tuple[str, int]]:
        """Account and action of steps since `since_ms`."""
        names = self._accounts
        return [
            (names[row], action)
            for ts_ms, row, action in _STEP.iter_unpack(packed)
            if ts_ms >= since_ms
        ]

    def _release(self, packed: bytes) -> None:
        for _, row, _ in _STEP.iter_unpack(packed):
            self._accounts.release(row)

    def forget(self, is_forgotten: Callable[[str], bool]) -> None:
        """Drop the steps of all viewers whose id `is_forgotten` says so of."""
        for viewer_id in [name for name in self._steps if is_forgotten(name)]:
            self._drop(viewer_id)

    def _drop(self, viewer_id: str) -> None:
        self._release(self._steps.pop(viewer_id))
        self._new.pop(viewer_id, None)
        self._sentences.pop(viewer_id, None)
        place, last = self._place.pop(viewer_id), self._viewers.pop()
        if last != viewer_id:
            self._viewers[place] = last
            self._place[last] = place

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All histories, those of viewers who came last behind the others.

        Steps are referred to and not copied, so that it is quick; nothing changes them. In which
        order others are rehearsed is not in it: that is drawn.
        """
        new_v = np.fromiter((self._new.get(name, 0) for name in self._steps), np.int64, len(self))
        return {
            "viewers": as_texts(self._steps),
            "steps": as_objects(self._steps.values()),
            "new": new_v,
            "accounts": as_texts(self._accounts.names()),
        }

    @staticmethod
    def stored(arrays: Arrays) -> dict[str, NDArray[Any]]:
        """Arrays of :meth:`to_arrays` as an artifact takes them."""
        packed_steps = packed_bytes("steps", arrays["steps"].tolist())
        texts_of = {name: array for name, array in arrays.items() if name != "steps"}
        return {**packed(texts_of), **packed_steps}

    @classmethod
    def from_arrays(
        cls,
        arrays: Arrays,
        config: HistoriesConfig | None = None,
        is_forgotten: Callable[[str], bool] = lambda _: False,
    ) -> Self:
        """Histories of what :meth:`stored` gave, without those of who is to be forgotten.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        histories = cls(config)
        viewers, accounts = texts(arrays, "viewers"), texts(arrays, "accounts")
        packed_v = bytes_of(arrays, "steps", len(viewers))
        new_v = taken(arrays, "new", np.int64, len(viewers)).tolist()
        if any(len(steps) % _STEP.size for steps in packed_v):
            raise StoredArraysError("a history is cut within a step")
        row_n = np.frombuffer(b"".join(packed_v), _STEP_COLUMNS)["row"]
        if len(row_n) and int(row_n.max()) >= len(accounts):
            raise StoredArraysError("a history names an account that is not there")
        taken_a = np.bincount(row_n, minlength=len(accounts)).tolist()
        histories._accounts = CountedIds.of(accounts, taken_a)
        histories._steps = dict(zip(viewers, packed_v, strict=True))
        histories._viewers = list(histories._steps)
        histories._place = {name: at for at, name in enumerate(histories._viewers)}
        for name, new in zip(viewers, new_v, strict=True):
            if new > 0:
                histories._note_new(name, new)
        histories.forget(is_forgotten)
        while len(histories) > histories.config.max_viewers:
            histories._drop(next(iter(histories._steps)))
        return histories
