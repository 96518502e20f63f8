"""Recorded events → labelled examples, as the learner would have built them at the time.

Building takes minutes for a long recording, so the examples of a recording are kept in the
temporary folder and read from there the next time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np

from models.actions import EVENT_TOPICS, MEDIA_EVENT_TOPIC_OF, action_in
from models.events import (
    DAY_MS,
    MEDIA_TOPIC,
    InvalidEventError,
    Media,
    MediaEvent,
    parse_event,
    parse_media,
)
from models.examples.examples import Examples
from models.examples.from_events import ExampleBuilder, ExampleConfig
from models.examples.waiting_events import Observed
from models.feature_schema import FEATURE_VERSION
from models.ig2vec.model import Ig2Vec
from models.world import World
from streams.clock import now_ms
from streams.log.replay import read_fixture
from streams.recorded.recording import RecordingError, read_recording

#: Counts up whenever the examples of a recording change though the declared features do not.
_CACHE_VERSION: Final = 2
_BATCH: Final = 20_000


def stream_start(path: Path, first_days: int) -> int:
    """Event time in ms: `first_days` after the times of a recording begin to be real."""
    recording = read_recording(path)
    first_ms = min(steps[0].ts_ms for steps in recording.steps.values())
    return max(first_ms, recording.stream_from_ms) + first_days * DAY_MS


def recorded_examples(path: Path, vectors_until_ms: int) -> Examples:
    """The examples of a recording in order of time; negatives are sampled as the learner does.

    Args:
        path: as :func:`streams.recorded.recording.read_recording` takes it.
        vectors_until_ms: account vectors are fitted on what came before and stay as they are.

    Raises:
        RecordingError: there is nothing to learn from, or the folder cannot be read.
        FixtureError: the file cannot be read, or a line is no record.
    """
    cached = _cache_path(path, vectors_until_ms)
    if cached.exists():
        return _load(cached)
    world = World()
    media, events = _kuairand(path) if path.is_dir() else _fixture(path)
    world.apply_media(media)
    histories = read_recording(path).histories(vectors_until_ms)
    model = Ig2Vec.fit(histories.corpus(), hard_negatives=histories.hard_negatives())
    world.apply_embeddings("bench", *model.vectors())
    builder = ExampleBuilder(world, ExampleConfig())
    for start in range(0, len(events), _BATCH):
        builder.observe(events[start : start + _BATCH], now_ms())
    builder.flush()
    built = builder.take()
    examples = built.take(np.argsort(built.ts_n, kind="stable"))
    _save(cached, examples)
    return examples


def _fixture(path: Path) -> tuple[list[Media], list[Observed]]:
    media: list[Media] = []
    events: list[Observed] = []
    for line in read_fixture(path):
        try:
            if line.topic == MEDIA_TOPIC:
                media.append(parse_media(line.value, now_ms()))
            elif line.topic in EVENT_TOPICS:
                event = parse_event(line.topic, line.value, now_ms())
                action = (
                    action_in(line.topic, event.long) if isinstance(event, MediaEvent) else None
                )
                events.append((action, event))
        except InvalidEventError as error:
            raise RecordingError(
                f"{path} has a record of {line.topic} that cannot be applied: {error}"
            ) from error
    events.sort(key=lambda observed: observed[1].ts)
    return media, events


def _kuairand(folder: Path) -> tuple[list[Media], list[Observed]]:
    return list(_kuairand_media(folder)), list(_kuairand_events(folder))


def _kuairand_media(folder: Path) -> Iterator[Media]:
    from pyarrow import parquet

    columns = ["media_id", "author_id", "created_ts", "tags"]
    table = parquet.read_table(folder / "media.parquet", columns=columns).to_pydict()
    for media, author, created, tags in zip(*(table[name] for name in columns), strict=True):
        if author is not None:
            topics = tuple(tags.split(",")) if tags else ()
            yield Media(f"m{media}", f"a{author}", int(created or 0), topics=topics)


def _kuairand_events(folder: Path) -> Iterator[Observed]:
    from pyarrow import parquet

    columns = ["ts", "viewer_id", "media_id", "author_id", "action", "long_view"]
    table = parquet.read_table(folder / "events.parquet", columns=columns)
    table = table.sort_by([("ts", "ascending")])
    rows: Sequence[list[object]] = [table[name].to_pylist() for name in columns]
    for number, (ts, viewer, media, author, action, long) in enumerate(zip(*rows, strict=True)):
        code = action_in(MEDIA_EVENT_TOPIC_OF[str(action)], bool(long))
        author_id = None if author is None else f"a{author}"
        yield code, MediaEvent(f"{number}", f"v{viewer}", f"m{media}", int(str(ts)), author_id)


def _cache_path(path: Path, vectors_until_ms: int) -> Path:
    # By content: copies of a recording share their examples, whenever they were made.
    digest = blake2b(
        f"{_CACHE_VERSION} {FEATURE_VERSION} {vectors_until_ms} {path.is_dir()}".encode(),
        digest_size=8,
    )
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        digest.update(file.read_bytes())
    name = digest.hexdigest()
    return Path(tempfile.gettempdir()) / f"freshgrid-examples-{name}.npz"


def _load(path: Path) -> Examples:
    with np.load(path, allow_pickle=False) as arrays:
        return Examples.from_arrays(arrays)


def _save(path: Path, examples: Examples) -> None:
    part = path.with_suffix(".part.npz")
    np.savez(part, allow_pickle=False, **examples.to_arrays())
    part.replace(path)
