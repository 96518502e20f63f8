"""Events of as many viewers as asked for, distributed as the bundled ones are.

Every viewer of a population lives through the two weeks of one viewer of the fixture, again and
again, from a moment of their own. So the mix of topics, the bursts within a viewer's session and
the share of each viewer in the traffic are the fixture's, and viewers interleave in time as they
do in a real stream, instead of one copy of the fixture following the other. A population of N
viewers acts at N times the rate of one: the same number of events of more viewers spans less time.

The same arguments give the same events.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.kafka import Message
from models.actions import EVENT_TOPICS, MEDIA_EVENT_TOPICS
from streams.local.scenario import FIXTURE
from streams.log.replay import read_fixture

#: Actions on media: 99 % of the fixture's events.
TOPICS: Final = tuple(MEDIA_EVENT_TOPICS)
#: Viewers are numbered from here on: ids as long as the fixture's longer ones, and none of them.
FIRST_NUMBER: Final = 100_000
#: A window that turns out to hold too few events is made this much longer.
WIDEN: Final = 1.1

_decoder = msgspec.json.Decoder(dict[str, object])
_encoder = msgspec.json.Encoder()


class Template(NamedTuple):
    """One event of the fixture without what differs between the viewers who repeat it.

    Attributes:
        viewer: position of its viewer among the fixture's viewers.
        before_ts: bytes of the record between the viewer's id and the time.
        after_ts: bytes behind the time.
    """

    topic: str
    viewer: int
    ts: int
    before_ts: bytes
    after_ts: bytes

    def message(self, viewer_id: str, number: int, ts: int) -> Message:
        """The event as this viewer's, with an id made of `number`."""
        value = b'{"event_id":"kr-%012x","viewer_id":"%s%s%d%s' % (
            number,
            viewer_id.encode(),
            self.before_ts,
            ts,
            self.after_ts,
        )
        return Message(self.topic, viewer_id, value)


class Population:
    """The fixture's events of some topics, and streams of many viewers made of them.

    Attributes:
        templates: the fixture's events in time order.
        fixture_viewers: ids of the viewers in the fixture, whichever topics they are on.
        first_ts: when the first of them happened, ms.
        span_ms: time that the fixture covers.
    """

    def __init__(self, topics: Collection[str] = TOPICS, fixture: Path = FIXTURE) -> None:
        positions: dict[str, int] = {}
        self.templates: list[Template] = []
        for line in read_fixture(fixture):
            if line.topic in EVENT_TOPICS:
                # By all of their events: a viewer has the same number whichever topics are asked.
                viewer = positions.setdefault(line.key.decode(), len(positions))
                if line.topic in topics:
                    self.templates.append(_template(line.topic, viewer, line.value))
        self.templates.sort(key=lambda template: template.ts)
        self.fixture_viewers = list(positions)
        self.first_ts = self.templates[0].ts
        self.span_ms = self.templates[-1].ts - self.first_ts + 1
        self._viewer_e = np.array([t.viewer for t in self.templates], np.int64)
        self._ts_e = np.array([t.ts - self.first_ts for t in self.templates], np.int64)

    def viewers_for(self, events: int) -> int:
        """How many viewers give so many events when each repeats the fixture once."""
        return math.ceil(events * len(self.fixture_viewers) / len(self.templates))

    def lasts(self, viewers: int, events: int) -> float:
        """How long it takes so many viewers to act so often, ms."""
        return events / viewers * self.span_ms * len(self.fixture_viewers) / len(self.templates)

    def stream(
        self,
        viewers: int,
        events: int,
        *,
        start_ts: int | None = None,
        first_event: int = 0,
        every: int = 1,
        seed: int = 7,
    ) -> Iterator[Message]:
        """The first `events` events of a population of `viewers`, in time order.

        Args:
            start_ts: when the stream begins, ms; by default when the fixture does.
            first_event: number of the first event, from which its id is made.
            every: the viewers are each so-manieth one of a larger population.
        """
        begin = self.first_ts if start_ts is None else start_ts
        ts_n, template_n, viewer_n = self._first(viewers, events, seed)
        names: dict[int, str] = {}
        columns = zip(ts_n.tolist(), template_n.tolist(), viewer_n.tolist(), strict=True)
        for number, (ts, template, viewer) in enumerate(columns, start=first_event):
            name = names.get(viewer)
            if name is None:
                name = names[viewer] = viewer_name(viewer * every)
            yield self.templates[template].message(name, number, begin + ts)

    def _first(self, viewers: int, events: int, seed: int) -> tuple[NDArray[np.int64], ...]:
        """Time since the beginning, template and viewer of the first events, in time order."""
        phase_n = np.random.default_rng(seed).integers(0, self.span_ms, viewers)
        window_ms = self.lasts(viewers, events)
        while True:
            window_ms *= WIDEN
            found = self._window(phase_n, math.ceil(window_ms))
            if len(found[0]) >= events:
                break
        # Viewer and template break ties.
        order = np.lexsort((found[1], found[2], found[0]))[:events]
        return tuple(column[order] for column in found)

    def _window(self, phase_n: NDArray[np.int64], window_ms: int) -> tuple[NDArray[np.int64], ...]:
        """Everything that happens before `window_ms`, in no order."""
        parts: list[tuple[NDArray[np.int64], ...]] = []
        for first in range(0, len(phase_n), len(self.fixture_viewers)):
            # The last copy of the fixture's viewers may be a part of them.
            there_e = np.flatnonzero(self._viewer_e < len(phase_n) - first)
            viewer_e = self._viewer_e[there_e] + first
            ts_e = (self._ts_e[there_e] + phase_n[viewer_e]) % self.span_ms
            for lap_ms in range(0, window_ms, self.span_ms):
                within = np.flatnonzero(ts_e < window_ms - lap_ms)
                parts.append((ts_e[within] + lap_ms, there_e[within], viewer_e[within]))
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def viewer_name(number: int) -> str:
    """Id of a viewer of a population, counted from 0."""
    return f"v{FIRST_NUMBER + number}"


def _template(topic: str, viewer: int, value: bytes) -> Template:
    record = _decoder.decode(value)
    ts = record["ts"]
    assert isinstance(ts, int)
    fields = [(n, v) for n, v in record.items() if n not in ("event_id", "viewer_id", "ts")]
    # As the fixture has it: ids before the time, the rest behind it.
    ids = b"".join(_field(n, v) for n, v in fields if n in ("media_id", "author_id"))
    rest = b"".join(_field(n, v) for n, v in fields if n not in ("media_id", "author_id"))
    return Template(topic, viewer, ts, b'"' + ids + b',"ts":', rest + b"}")


def _field(name: str, value: object) -> bytes:
    return b"," + _encoder.encode(name) + b":" + _encoder.encode(value)
