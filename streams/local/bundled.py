"""Viewers of the bundled events: what each did, and whom the demo shows.

The demo replays all bundled events before it asks for a grid, so whatever is read here came before
everything that it shows.
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from math import sqrt
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from models.actions import (
    MEDIA_EVENT_TOPICS,
    POSITIVE,
    STRONG_POSITIVE,
    VIEWS,
    WEAK_POSITIVE,
    Action,
    action_in,
)
from models.events import MEDIA_TOPIC
from streams.local.scenario import FIXTURE, ScenarioError

#: Likes of a viewer whose grid is full of their seeds: what benchmarks act as.
MANY_LIKES: Final = 5
#: Likes to trace a grid to.
SOME_LIKES: Final = 3
#: Media shown to a viewer from which on it is known how often they like what they are shown.
OFTEN_SHOWN: Final = 30
#: Viewers that two likes must share before their cosine says much.
SHRINK: Final = 50.0


class Act(NamedTuple):
    """Something that a viewer did to a media because they want more of it."""

    action: Action
    media_id: str
    author_id: str


class BundledViewer(NamedTuple):
    """One viewer of the bundled events.

    Attributes:
        shown: media that were shown to the viewer.
        acts: what the viewer meant to do (liked, saved) first, then what was watched long; both
            newest first, as sources of candidates take them, and each once.
    """

    viewer_id: str
    shown: int
    acts: tuple[Act, ...]

    def likes(self) -> list[str]:
        """The media that the viewer liked."""
        return [act.media_id for act in self.acts if act.action is Action.LIKE]


class Bundled:
    """All bundled viewers.

    Attributes:
        viewers: by id.
        topics: of each media, those that the catalogue tells.

    Raises:
        ScenarioError: the bundled events cannot be read.
    """

    def __init__(self, fixture: Path = FIXTURE) -> None:
        self.topics: dict[str, list[str]] = {}
        shown: dict[str, int] = defaultdict(int)
        acts: dict[str, list[Act]] = defaultdict(list)
        for line in _lines(fixture):
            topic = line["topic"]
            if topic == MEDIA_TOPIC:
                self.topics[line["media_id"]] = line.get("topics", [])
            elif topic in MEDIA_EVENT_TOPICS:
                action = action_in(topic, line.get("long", False))
                shown[line["viewer_id"]] += action in VIEWS
                acts[line["viewer_id"]].append(Act(action, line["media_id"], line["author_id"]))
        self.viewers: Mapping[str, BundledViewer] = {
            viewer_id: BundledViewer(viewer_id, count, _wanted(acts[viewer_id]))
            for viewer_id, count in shown.items()
        }

    def like_rate(self) -> float:
        """Likes of all viewers per media that was shown to them."""
        viewers = self.viewers.values()
        return sum(len(one.likes()) for one in viewers) / max(sum(one.shown for one in viewers), 1)

    def who_like(self) -> list[str]:
        """Viewers with many likes, the one who was shown most first."""
        many = [one for one in self.viewers.values() if len(one.likes()) >= MANY_LIKES]
        many.sort(key=lambda one: (-one.shown, one.viewer_id))
        return [one.viewer_id for one in many]

    def to_show(self) -> BundledViewer:
        """The viewer of the demo: often shown something, some likes, and those most alike.

        Who is picked for many likes likes nearly everything, and so do the probabilities in their
        grid. So many likes are not asked for, but that there were enough media to like: then the
        likes are a choice. Of such viewers the one is taken whose likes have most to do with each
        other (:meth:`alike`), for there a grid has something to go by. What the viewer would do
        with the grid is not known here, and not asked.

        Raises:
            ScenarioError: there is no such viewer.
        """
        enough = [
            one
            for one in self.viewers.values()
            if one.shown >= OFTEN_SHOWN and len(one.likes()) >= SOME_LIKES
        ]
        if not enough:
            raise ScenarioError(
                f"no bundled viewer was shown {OFTEN_SHOWN} media and liked {SOME_LIKES}; "
                "build the bundled events again (tests/fixtures/README.md)"
            )
        return min(enough, key=lambda one: (-self.alike(one), one.viewer_id))

    def alike(self, viewer: BundledViewer) -> float:
        """How much a viewer's likes have in common: mean over pairs of them.

        Of a pair it is the shrunk cosine of item weights (:mod:`models.item_to_item.fit`), by what
        all other viewers liked, saved and watched long: common / (√(one · other) + shrink).
        """
        likes = viewer.likes()
        fans: dict[str, set[str]] = {media_id: set() for media_id in likes}
        for one in self.viewers.values():
            if one is not viewer:
                for act in one.acts:
                    if act.media_id in fans:
                        fans[act.media_id].add(one.viewer_id)
        pairs = list(combinations(fans.values(), 2))
        return sum(
            len(one & other) / (sqrt(len(one) * len(other)) + SHRINK) for one, other in pairs
        ) / max(len(pairs), 1)


def _wanted(acts: Iterable[Act]) -> tuple[Act, ...]:
    """The positives among what a viewer did in order of time, as sources take them."""
    newest = [act for act in reversed(list(acts)) if act.action in POSITIVE]
    kinds = (STRONG_POSITIVE, WEAK_POSITIVE)
    return tuple(dict.fromkeys(act for kind in kinds for act in newest if act.action in kind))


def _lines(fixture: Path) -> Iterator[dict[str, Any]]:
    decoder = msgspec.json.Decoder(dict[str, Any])
    try:
        with gzip.open(fixture) as lines:
            yield from map(decoder.decode, lines)
    except OSError as error:
        raise ScenarioError(
            f"the bundled events cannot be read from {fixture} ({error.strerror or error}); "
            "run it from a clone of the repository"
        ) from error
