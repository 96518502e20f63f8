"""Viewers who are to be forgotten: known by a pseudonym alone, and refused until allowed again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Annotated, Final, NamedTuple

import msgspec
import numpy as np

from models.arrays.id_table import hash_id
from models.events import HOUR_MS
from models.inventory.viewer_marks import ForgottenMarks, ViewerKeys, pseudonym, viewer_keys

#: Later than anything that anybody does.
_FOR_EVER_MS: Final = 2**62

#: Tells whether somebody is forgotten, by viewer id.
IsForgotten = Callable[[str], bool]


class Forgotten(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A viewer is to be forgotten, or is allowed again.

    Attributes:
        viewer: :func:`models.inventory.viewer_marks.pseudonym`.
        group: a 31-bit hash of the id, by which examples of a viewer are found.
        changed_ms: when this was said, epoch ms; of two the later counts.
        allowed_ms: since when the viewer is allowed again; null while not. What happened until
            then stays forgotten.
    """

    viewer: str
    group: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    changed_ms: int
    allowed_ms: int | None = None

    @classmethod
    def of(cls, viewer_id: str, now_ms: int, *, allowed: bool = False) -> Forgotten:
        """What is to be said of a viewer now."""
        return cls(
            viewer=pseudonym(viewer_id),
            group=hash_id(viewer_id),
            changed_ms=now_ms,
            allowed_ms=now_ms if allowed else None,
        )


class Gone(NamedTuple):
    """Viewers whose traces are to leave what was kept before they were forgotten.

    Attributes:
        keys: theirs (:func:`models.inventory.viewer_marks.viewer_keys`).
        groups: of their examples.
    """

    keys: frozenset[int]
    groups: frozenset[int]

    @property
    def viewer_f(self) -> ViewerKeys:
        """Their keys as an array."""
        return np.array(sorted(self.keys), np.int64)

    def covers(self, viewer_id: str) -> bool:
        """Whether this is one of them."""
        return bool(self.keys) and int(viewer_keys([viewer_id])[0]) in self.keys


NOBODY_GONE: Final = Gone(frozenset(), frozenset())


class ForgottenViewers:
    """Who is forgotten, as far as was heard."""

    def __init__(self) -> None:
        self._said: dict[str, Forgotten] = {}

    def __len__(self) -> int:
        return len(self._said)

    def hear(self, said: Forgotten) -> bool:
        """Take in what was said; returns whether a viewer is to be forgotten who was not before."""
        known = self._said.get(said.viewer)
        if known is not None and known.changed_ms > said.changed_ms:
            return False
        self._said[said.viewer] = said
        was = known is not None and known.allowed_ms is None
        return said.allowed_ms is None and not was

    def refuses(self, viewer_id: str, ts: float) -> bool:
        """Whether what a viewer did at a time (epoch ms) is not to be known."""
        # Nobody pays for a hash while nobody is forgotten.
        if not self._said:
            return False
        said = self._said.get(pseudonym(viewer_id))
        return said is not None and (said.allowed_ms is None or ts <= said.allowed_ms)

    def marks(self) -> ForgottenMarks:
        """Whose marks are to be taken out of what is kept, and until when they were made."""
        return marks_of(self._said.values())

    def gone_since(self, made_ms: int) -> Gone:
        """Of whom something may be left in what was stored at this time.

        Those who are forgotten now, and those who were allowed again later than that: what was
        stored since then has been taken in without what is to be forgotten. Clocks may be an hour
        off.
        """
        late = [
            one
            for one in self._said.values()
            if one.allowed_ms is None or one.allowed_ms >= made_ms - HOUR_MS
        ]
        keys = frozenset(marks_of(late).viewer_f.tolist())
        return Gone(keys, frozenset(one.group for one in late))

    def is_forgotten(self, viewer_id: str) -> bool:
        """Whether a viewer is not to be known now."""
        return self.refuses(viewer_id, math.inf)


def marks_of(said: Iterable[Forgotten]) -> ForgottenMarks:
    """The marks of viewers that are to be taken out of what is kept."""
    return ForgottenMarks.of(
        {one.viewer: _FOR_EVER_MS if one.allowed_ms is None else one.allowed_ms for one in said}
    )
