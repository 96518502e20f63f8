"""Recorded events as histories and sessions, for judging account vectors without any server.

A recording is a file of events as fixtures have them (:mod:`streams.log.replay`), or a folder of
KuaiRand-Pure (``events.parquet``, ``media.parquet``; needs the extra ``fixture``). Labels are the
topics of its accounts.

Errors::

    FreshgridError
    └── RecordingError   a recording cannot be read, or has no events that say anything
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec

from infra.errors import FreshgridError
from models.actions import MEDIA_EVENT_TOPIC_OF, MEDIA_EVENT_TOPICS, Action, action_in
from models.events import (
    ACCOUNTS_TOPIC,
    MEDIA_TOPIC,
    InvalidEventError,
    MediaEvent,
    parse_account,
    parse_event,
    parse_media,
)
from models.ig2vec.histories import Histories, Step
from streams.clock import now_ms
from streams.log.replay import read_fixture


class RecordingError(FreshgridError):
    """A recording cannot be read, or has no events that say anything."""


class Recording(msgspec.Struct):
    """What viewers did, and what is known of the accounts.

    Attributes:
        steps: viewer → steps, oldest first; views that were not long are left out.
        topics: account → its first human label.
        stream_from_ms: event times are real from here on, so that sessions can be cut; what came
            before is history, of which only the order is known.
    """

    steps: dict[str, list[Step]]
    topics: dict[str, str]
    stream_from_ms: int

    @property
    def end_ms(self) -> int:
        """Just after the last step."""
        return max(steps[-1].ts_ms for steps in self.steps.values()) + 1

    def histories(self, until_ms: int | None = None) -> Histories:
        """What the learner remembers before `until_ms`, or after everything; nothing is new."""
        histories = Histories()
        for viewer, steps in self.steps.items():
            before = [s for s in steps if until_ms is None or s.ts_ms < until_ms]
            if before:
                histories.add(viewer, before)
        histories.take_new()
        return histories

    def sessions(
        self, from_ms: int, until_ms: int, gap_ms: int
    ) -> list[tuple[str, Sequence[Step]]]:
        """Viewer and steps of sessions that ended in the time given, in order of their end."""
        found = [
            (session[-1].ts_ms, viewer, session)
            for viewer, steps in self.steps.items()
            for session in _sessions(steps, gap_ms)
            if from_ms <= session[-1].ts_ms < until_ms
        ]
        return [(viewer, session) for _, viewer, session in sorted(found)]


def _sessions(steps: Sequence[Step], gap_ms: int) -> Iterator[Sequence[Step]]:
    cuts = [n for n, (a, b) in enumerate(pairwise(steps), 1) if b.ts_ms - a.ts_ms > gap_ms]
    for start, end in pairwise([0, *cuts, len(steps)]):
        yield steps[start:end]


def read_recording(path: Path) -> Recording:
    """Read a file of events or a folder of KuaiRand-Pure.

    Raises:
        RecordingError: there is nothing to learn from in it, or the folder cannot be read.
        FixtureError: the file cannot be read, or a line is no record.
    """
    recording = _kuairand(path) if path.is_dir() else _fixture(path)
    if not recording.steps:
        raise RecordingError(
            f"{path} has no long view and no action other than a view; record more events"
        )
    return recording


def _fixture(path: Path) -> Recording:
    topics: dict[str, str] = {}
    authors: dict[str, str] = {}
    events: list[tuple[MediaEvent, Action]] = []
    for line in read_fixture(path):
        try:
            if line.topic == MEDIA_TOPIC:
                media = parse_media(line.value, now_ms())
                authors[media.media_id] = media.author_id
            elif line.topic == ACCOUNTS_TOPIC:
                account = parse_account(line.value)
                if account.topics:
                    topics[account.account_id] = account.topics[0]
            elif line.topic in MEDIA_EVENT_TOPICS:
                event = parse_event(line.topic, line.value, now_ms())
                assert isinstance(event, MediaEvent)
                events.append((event, action_in(line.topic, event.long)))
        except InvalidEventError as error:
            raise RecordingError(
                f"{path} has a record of {line.topic} that cannot be applied: {error}"
            ) from (error)
    undone = {(e.viewer_id, e.media_id, action) for e, action in events if e.undo}
    steps: defaultdict[str, list[Step]] = defaultdict(list)
    done: set[tuple[str, str, Action]] = set()
    for event, action in events:
        what = (event.viewer_id, event.media_id, action)
        author = event.author_id or authors.get(event.media_id)
        # Who does the same again teaches nothing new, here as in a closed session.
        counts = what not in undone and what not in done
        if author is not None and action is not Action.VIEW and counts:
            done.add(what)
            steps[event.viewer_id].append(Step(author, action, event.ts))
    return _ordered(steps, topics, stream_from_ms=0)


def _kuairand(folder: Path) -> Recording:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise RecordingError(
            f"{folder} holds Parquet: pip install 'freshgrid[fixture]', or give a file of events"
        ) from error
    columns = ["ts", "viewer_id", "author_id", "action", "ts_real", "long_view"]
    try:
        events = parquet.read_table(folder / "events.parquet", columns=columns).to_pydict()
        # Other columns are averages over the whole period and leak the future.
        media = parquet.read_table(
            folder / "media.parquet", columns=["author_id", "topic"]
        ).to_pydict()
    except (OSError, ValueError) as error:
        raise RecordingError(f"{folder} is no folder of KuaiRand-Pure: {error}") from error
    steps: defaultdict[str, list[Step]] = defaultdict(list)
    for ts, viewer, author, action, is_long in zip(
        *(events[name] for name in columns if name != "ts_real"), strict=True
    ):
        code = action_in(MEDIA_EVENT_TOPIC_OF[str(action)], bool(is_long))
        if code is not Action.VIEW and author is not None:
            steps[f"v{viewer}"].append(Step(f"a{author}", code, ts))
    tags: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for author, topic in zip(media["author_id"], media["topic"], strict=True):
        if topic is not None:
            tags[author][str(topic)] += 1
    # Of topics that are equally frequent the one that comes first in the alphabet.
    topics = {f"a{a}": max(sorted(counts), key=counts.__getitem__) for a, counts in tags.items()}
    real = [ts for ts, is_real in zip(events["ts"], events["ts_real"], strict=True) if is_real]
    return _ordered(steps, topics, stream_from_ms=min(real, default=0))


def _ordered(
    steps: Mapping[str, list[Step]], topics: dict[str, str], *, stream_from_ms: int
) -> Recording:
    for of_viewer in steps.values():
        of_viewer.sort(key=lambda step: (step.ts_ms, step))
    return Recording(dict(steps), topics, stream_from_ms)
