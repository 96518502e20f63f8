"""Labelled examples from the event stream, with features as they stood before each exposure.

This is for exposures of other surfaces and for a history without impressions. What Freshgrid served
itself is logged with its features, and :mod:`models.examples.from_pages` labels it: views that name
a page are left to it.

The builder reads the stream a little late: an event is folded when `window_ms` of event time has
passed since, so by then the labels of an exposure are known, and an exposure that sampling drops
costs no features. It keeps its own viewers and its own world (catalogue and vectors are applied
to that world by its owner, popularity by the builder); both stand exactly where they stood when
the exposure happened. Vectors do not wait, which leaks nothing as long as a session closes (30
minutes) later than the window.

Time is cut into slices of `slice_ms`. Exposures of one viewer within a slice are taken for one
served page: they share the viewer's state and the world as of the start of the slice, as media of
one grid do. The cut depends on event time alone, so the batches in which events arrive change
nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import HEADS, POSITIVE, STRONG_HEADS, STRONG_POSITIVE, VIEWS, Action
from models.arrays.id_table import hash_id
from models.arrays.stored import (
    Arrays,
    StoredArraysError,
    as_texts,
    bytes_of,
    described,
    number_of,
    packed_bytes,
    part_of,
    prefixed,
    texts,
)
from models.arrays.types import UNKNOWN
from models.events import FollowEvent, MediaEvent
from models.examples.choices import ChoiceConfig, Choices, ChoiceSampler, Find
from models.examples.draws import draws
from models.examples.examples import Examples
from models.examples.waiting_events import Observed, WaitingEvents
from models.feature_schema import FEATURE_VERSION
from models.features.assembly import assemble
from models.features.candidates import Candidates
from models.item_to_item.fit import ItemToItem, ItemToItemConfig
from models.viewers.action_log import event_key
from models.viewers.context import ViewerContext
from models.viewers.forgotten import NOBODY_GONE, Gone, IsForgotten
from models.viewers.state import (
    FoldConfig,
    StateError,
    ViewerState,
    decode,
    encode,
    fold_follow_event,
    fold_media_event,
)
from models.world import World

#: Counts up whenever what a builder stores changes; others are refused.
FORMAT: Final = 1


class ExampleConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How examples are joined and sampled.

    Attributes:
        window_ms: what the viewer meant to do counts for an exposure at most this long before it.
        slice_ms: exposures of one viewer within one slice share a state.
        negative_rate: share of the exposures that only views came of that is kept.
        max_viewers: states kept; the least recently active viewer starts anew.
        choices: how choices among candidates are sampled.
        items: how item weights are fitted.
        max_pending: events waiting for their labels at most; beyond, the oldest go early.
        fold: settings of the viewers' states.
    """

    window_ms: int = 10 * 60 * 1000
    slice_ms: int = 60 * 1000
    negative_rate: float = 0.1
    max_viewers: int = 100_000
    max_pending: int = 1_000_000
    choices: ChoiceConfig = ChoiceConfig()
    items: ItemToItemConfig = ItemToItemConfig()
    fold: FoldConfig = FoldConfig()

    def __post_init__(self) -> None:
        if not 0.0 < self.negative_rate <= 1.0:
            raise ValueError(
                f"negative_rate is {self.negative_rate}; give a share above 0 and at most 1"
            )


class ExampleBuilder:
    """Feeds on events in about time order and gives examples.

    Args:
        world: a world of its own; see the module's text.
        config: how examples are joined and sampled.
        find: the query whose candidates viewers choose among; without one no choices are made.

    Attributes:
        items: item weights of the world, fitted on what was folded.
        skipped: exposures of media that the catalogue does not know: no features, no example.
    """

    def __init__(
        self, world: World, config: ExampleConfig | None = None, find: Find | None = None
    ) -> None:
        self.world = world
        self.config = config or ExampleConfig()
        self.items = ItemToItem(self.config.items)
        world.positives = self.items.log
        self._choices = None if find is None else ChoiceSampler(world, find, self.config.choices)
        self.skipped = 0
        self._viewers: OrderedDict[str, ViewerState] = OrderedDict()
        self._waiting = WaitingEvents(self.config.slice_ms)
        # (viewer, media) → (ts, undo, action) of the labels waiting.
        self._labels: dict[tuple[str, str], list[tuple[int, bool, Action]]] = {}
        # Viewer → what the viewer does next: (ts, undo, action, media).
        self._next: dict[str, list[tuple[int, bool, Action, str]]] = {}
        # Number of the first slice that no events were folded of yet.
        self._unbuilt = 0
        self._newest_ts = 0
        self._parts: list[Examples] = []

    def observe(self, events: Sequence[Observed], now_ms: int) -> None:
        """Take in a batch; build what is old enough for its labels to be known.

        Args:
            events: action and event, a follow with None.
            now_ms: wall-clock time. Event times beyond it do not hurry the others.
        """
        newest = self._newest_ts
        for action, event in events:
            self._expect(action, event)
            self._waiting.add(action, event)
            newest = max(newest, event.ts)
        self._newest_ts = max(self._newest_ts, min(newest, now_ms))
        self._build_until(self._newest_ts - self.config.window_ms)
        while len(self._waiting) > self.config.max_pending:
            self._build_oldest()

    def _expect(self, action: Action | None, event: MediaEvent | FollowEvent) -> None:
        """Note what is known of an event before it is folded: what came of those before it."""
        if action is None or not isinstance(event, MediaEvent):
            return
        if action in STRONG_HEADS:
            label = (event.ts, event.undo, action)
            self._labels.setdefault((event.viewer_id, event.media_id), []).append(label)
        if self._choices is not None and action in HEADS:
            coming = (event.ts, event.undo, action, event.media_id)
            self._next.setdefault(event.viewer_id, []).append(coming)

    def flush(self) -> None:
        """Build everything that still waits, for the end of a recorded stream."""
        while self._waiting:
            self._build_oldest()

    def take(self) -> Examples:
        """The examples built since the last call."""
        parts, self._parts = self._parts, []
        return Examples.concatenate(parts)

    def viewers(self) -> Iterator[tuple[str, ViewerState]]:
        """The viewers remembered and their states, least recently active first."""
        yield from self._viewers.items()

    def forget(self, is_forgotten: IsForgotten) -> None:
        """Forget viewers, by id: their states, and what waits to be built of them."""
        for by_viewer in (self._viewers, self._next):
            for viewer_id in [name for name in by_viewer if is_forgotten(name)]:
                del by_viewer[viewer_id]
        for key in [key for key in self._labels if is_forgotten(key[0])]:
            del self._labels[key]
        self._waiting.forget(is_forgotten)

    def to_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """All that :meth:`observe` left here, without the world, and JSON that describes it.

        What :meth:`take` and :meth:`take_choices` would give is not in it.
        """
        items, told = self.items.to_arrays()
        states = list(self._viewers.values())
        arrays = {
            "viewers": as_texts(self._viewers),
            **packed_bytes("states", list(map(encode, states))),
            **prefixed("waiting", self._waiting.to_arrays()),
            **prefixed("items", items),
        }
        return arrays, {
            "format": FORMAT,
            "made_with": self._made_with(),
            "skipped": self.skipped,
            "unbuilt": self._unbuilt,
            "newest_ts": self._newest_ts,
            "choices": None if self._choices is None else self._choices.counts(),
            "items": told,
        }

    def load(self, arrays: Arrays, meta: Mapping[str, Any], gone: Gone = NOBODY_GONE) -> None:
        """Go on from what :meth:`to_arrays` gave, once packed, in the world that stood beside it.

        Args:
            gone: viewers of whom the arrays may still tell; the builder does not.

        Raises:
            StoredArraysError: the arrays have another format, were made with other settings, or
                are not such arrays; the builder is of no use then.
        """
        if meta.get("format") != FORMAT:
            raise StoredArraysError(
                f"it has format {meta.get('format')!r}, this build reads {FORMAT}"
            )
        if meta.get("made_with") != self._made_with():
            raise StoredArraysError(
                f"it was made with {meta.get('made_with')}, the settings here are "
                f"{self._made_with()}"
            )
        names = texts(arrays, "viewers")
        try:
            states = list(map(decode, bytes_of(arrays, "states", len(names))))
        except StateError as error:
            raise StoredArraysError(str(error)) from error
        self._viewers = OrderedDict(zip(names, states, strict=True))
        self._waiting.load(part_of(arrays, "waiting"))
        media = self.world.catalog.media_count
        self.items.load(part_of(arrays, "items"), described(meta, "items"), media)
        self.skipped, self._unbuilt = number_of(meta, "skipped"), number_of(meta, "unbuilt")
        self._newest_ts = number_of(meta, "newest_ts")
        if self._choices is not None:
            self._choices.load(described(meta, "choices"))
        self.forget(gone.covers)
        self.items.log.forget(gone.viewer_f)
        for action, event in self._waiting.each():
            self._expect(action, event)
        self.world.item_weights = self.items.weights

    def _made_with(self) -> dict[str, Any]:
        """What examples depend on beside events and the world, as JSON gives it back."""
        told = {"config": self.config, "features": FEATURE_VERSION}
        made_with: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(told))
        return made_with

    def _build_until(self, horizon_ms: int) -> None:
        slice_ms = self.config.slice_ms
        while (number := self._waiting.oldest()) is not None:
            if (number + 1) * slice_ms > horizon_ms:
                return
            self._build_oldest()

    def waiting(self) -> int:
        """How many events wait for their labels, at most `max_pending` between two batches."""
        return len(self._waiting)

    def _build_oldest(self) -> None:
        number = self._waiting.oldest()
        assert number is not None, "something waits"
        events = self._waiting.take(number)
        self._choose(number, events)
        # Everything of a page is read before anything of its slice is folded.
        pages: dict[str, _Page] = {}
        for action, event in events:
            if action in VIEWS and isinstance(event, MediaEvent):
                self._expose(pages, event, action)
        self._fold(events, pages)
        for page in pages.values():
            if page.rows:
                self._parts.append(self._assemble(page))
        self.world.apply_events(
            [
                (action, event)
                for action, event in events
                if action is not None and isinstance(event, MediaEvent)
            ]
        )
        if self.items.refit_if_due():
            self.world.item_weights = self.items.weights

    def _choose(self, number: int, events: Sequence[Observed]) -> None:
        """Make choices of sampled viewers who act in a slice, as of its start."""
        if self._choices is None:
            return
        start_ts = number * self.config.slice_ms
        acting: dict[str, bool] = {}
        # Late events and those that come again find a world that knows what came after them.
        for action, event in events if number >= self._unbuilt else ():
            if action in POSITIVE and isinstance(event, MediaEvent) and not event.undo:
                strong = acting.get(event.viewer_id, False) or action in STRONG_POSITIVE
                acting[event.viewer_id] = strong
        asked = [
            viewer_id
            for viewer_id, strong in acting.items()
            if self._choices.wanted(viewer_id, number, strong)
        ]
        if asked:
            viewers = ViewerContext.from_states(
                [(viewer_id, self._state(viewer_id)) for viewer_id in asked],
                self.world,
                start_ts,
                self.config.fold,
            )
            until_ts = start_ts + self.config.window_ms
            done = [self._done_next(viewer_id, until_ts) for viewer_id in asked]
            self._choices.make(viewers, done, start_ts)
            drawn = draws(viewers, done, self.world, start_ts)
            if drawn is not None:
                self.items.draws.add(drawn)
        self._unbuilt = max(self._unbuilt, number + 1)
        end_ts = start_ts + self.config.slice_ms
        for viewer_id in {event.viewer_id for _, event in events}:
            left = [coming for coming in self._next.get(viewer_id, ()) if coming[0] >= end_ts]
            if left:
                self._next[viewer_id] = left
            else:
                self._next.pop(viewer_id, None)

    def _done_next(self, viewer_id: str, until_ts: int) -> dict[str, set[Action]]:
        """Media → what the viewer does to it until then and does not take back."""
        done: dict[str, set[Action]] = {}
        for ts, undo, action, media_id in sorted(self._next.get(viewer_id, ())):
            if ts < until_ts and undo:
                done.get(media_id, set()).discard(action)
            elif ts < until_ts:
                done.setdefault(media_id, set()).add(action)
        return done

    def take_choices(self) -> Choices:
        """The choices made since the last call."""
        return Choices.empty() if self._choices is None else self._choices.take()

    def _expose(self, pages: dict[str, _Page], event: MediaEvent, view: Action) -> None:
        """Put a sampled exposure on its viewer's page."""
        # A view on a served page: its example comes with the features that were served
        # (:mod:`models.examples.from_pages`).
        if event.undo or event.request_id is not None:
            return
        happened = self._labels_of(event)
        positive = bool(happened)
        if not positive and sample_share(event.event_id) >= self.config.negative_rate:
            return
        row = int(self.world.catalog.media_rows([event.media_id])[0])
        if row == UNKNOWN:
            self.skipped += 1
            return
        page = pages.get(event.viewer_id)
        if page is None:
            state = self._state(event.viewer_id)
            viewer = ViewerContext.from_state(
                event.viewer_id, state, self.world, event.ts, self.config.fold
            )
            page = pages[event.viewer_id] = _Page(viewer=viewer, opened_ts=event.ts)
        page.rows[event.event_id] = _Exposure(
            media_row=row,
            ts=event.ts,
            labels=tuple(float(head is view or head in happened) for head in HEADS),
            weight=1.0 if positive else 1.0 / self.config.negative_rate,
        )

    def _fold(self, events: Sequence[Observed], pages: dict[str, _Page]) -> None:
        """Fold into the viewers' states; an exposure seen before leaves its page again."""
        folded: set[tuple[str, str]] = set()
        for action, event in events:
            state = self._state(event.viewer_id)
            if isinstance(event, FollowEvent):
                fold_follow_event(state, event, self.config.fold)
                continue
            if action is None:
                continue
            if action in STRONG_HEADS:
                self._forget_label(action, event)
            author_id = event.author_id or self.world.catalog.author_of(event.media_id)
            if author_id is None:
                continue
            exposure = event.viewer_id, event.event_id
            if fold_media_event(state, action, event, author_id, self.config.fold):
                folded.add(exposure)
            elif event.viewer_id in pages and exposure not in folded:
                pages[event.viewer_id].rows.pop(event.event_id, None)

    def _assemble(self, page: _Page) -> Examples:
        rows = list(page.rows.values())
        media_rows = np.array([row.media_row for row in rows], np.int32)
        return Examples(
            features=assemble(page.viewer, Candidates.of(media_rows), self.world, page.opened_ts),
            labels_nh=np.array([row.labels for row in rows], np.float32),
            weights_n=np.array([row.weight for row in rows], np.float32),
            groups_n=np.full(len(rows), hash_id(page.viewer.viewer_id), np.int64),
            ts_n=np.array([row.ts for row in rows], np.int64),
            positions_n=np.zeros(len(rows), np.int16),
        )

    def _state(self, viewer_id: str) -> ViewerState:
        state = self._viewers.get(viewer_id)
        if state is None:
            state = self._viewers[viewer_id] = ViewerState()
            if len(self._viewers) > self.config.max_viewers:
                self._viewers.popitem(last=False)
        else:
            self._viewers.move_to_end(viewer_id)
        return state

    def _labels_of(self, event: MediaEvent) -> set[Action]:
        """What the viewer did to the media within the window and did not take back."""
        until = event.ts + self.config.window_ms
        done: set[Action] = set()
        for ts, undo, action in sorted(self._labels.get((event.viewer_id, event.media_id), ())):
            if event.ts <= ts <= until:
                if undo:
                    done.discard(action)
                else:
                    done.add(action)
        return done

    def _forget_label(self, action: Action, event: MediaEvent) -> None:
        key = event.viewer_id, event.media_id
        labels = self._labels[key]
        labels.remove((event.ts, event.undo, action))
        if not labels:
            del self._labels[key]


class _Exposure(msgspec.Struct, frozen=True):
    """One exposure on a page."""

    media_row: int
    ts: int
    labels: tuple[float, ...]
    weight: float


class _Page(msgspec.Struct):
    """What one viewer was shown within a slice, and the viewer as of its start."""

    viewer: ViewerContext
    opened_ts: int
    rows: dict[str, _Exposure] = {}


def sample_share(event_id: str) -> float:
    """A number in [0, 1) that an event has for ever, spread evenly over events."""
    return int.from_bytes(event_key(event_id), "big") / 2.0**64
