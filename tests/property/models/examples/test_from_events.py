"""A builder that was stored and read on is one that never stopped, wherever it is cut."""

from __future__ import annotations

import io
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.actions import Action
from models.arrays.stored import StoredArraysError, content_hash, packed
from models.events import FollowEvent, Media, MediaEvent, Relation
from models.examples.choices import ChoiceConfig, Choices
from models.examples.examples import Examples
from models.examples.from_events import ExampleBuilder, ExampleConfig
from models.examples.waiting_events import Observed
from models.features.candidates import Candidates
from models.item_to_item.fit import ItemToItemConfig
from models.viewers.context import ViewerContext
from models.viewers.forgotten import Forgotten, ForgottenViewers
from models.viewers.state import FoldConfig
from models.world import World, WorldConfig

MINUTE = 60_000
T0 = 1_700_000_040_000 - 1_700_000_040_000 % MINUTE
NOW = T0 + 10**9
MEDIA = 9
VIEWERS = ("v0", "v1", "v2", "v3")
#: Little room, so that all that is bounded runs over, and fits all the time.
CONFIG = ExampleConfig(
    window_ms=5 * MINUTE,
    negative_rate=0.5,
    max_viewers=3,
    max_pending=12,
    choices=ChoiceConfig(rate=0.3, strong_rate=0.5, first=3, others=4),
    items=ItemToItemConfig(first=4, viewers=1, growth=0.1),
    fold=FoldConfig(max_strong=3, max_views=2, max_authors=2, max_relations=2),
)


def world() -> World:
    made = World()
    made.apply_media([Media(f"m{n}", f"a{n % 4}", T0 - n * MINUTE) for n in range(MEDIA)])
    return made


def every_media(viewers: Sequence[ViewerContext], now_ms: int) -> tuple[Candidates, np.ndarray]:
    rows = np.tile(np.arange(MEDIA, dtype=np.int32), len(viewers))
    return Candidates.of(rows), np.arange(1, len(viewers) + 1) * MEDIA


@st.composite
def observed(draw: st.DrawFn) -> Observed:
    viewer, ts = draw(st.sampled_from(VIEWERS)), T0 + draw(st.integers(0, 40 * MINUTE))
    event_id, undo = f"e{draw(st.integers(0, 60))}", draw(st.integers(0, 4)) == 0
    if draw(st.integers(0, 5)) == 0:
        author, kind = f"a{draw(st.integers(0, 3))}", draw(st.sampled_from(list(Relation)))
        return None, FollowEvent(event_id, viewer, author, kind, ts, undo=undo)
    # One media that the catalogue does not know, and events that do not name the author.
    media = draw(st.integers(0, MEDIA))
    author_id = f"a{media % 4}" if draw(st.booleans()) else None
    action = draw(st.sampled_from(list(Action)))
    return action, MediaEvent(event_id, viewer, f"m{media}", ts, author_id, undo=undo)


logs = st.lists(st.lists(observed(), max_size=8), max_size=12)
#: Arrays as a file has them, and JSON.
Snapshot = tuple[dict[str, bytes], bytes]


def builder_of(made: World) -> ExampleBuilder:
    return ExampleBuilder(made, CONFIG, every_media)


def stored(builder: ExampleBuilder) -> Snapshot:
    built, of_built = builder.to_arrays()
    known, of_known = builder.world.to_arrays()
    files = {}
    for part, arrays in (("builder", packed(built)), ("world", World.stored(known))):
        for name, array in arrays.items():
            np.save(file := io.BytesIO(), array, allow_pickle=False)
            files[f"{part}/{name}"] = file.getvalue()
    return files, msgspec.json.encode({"builder": of_built, "world": of_known})


def restored(snapshot: Snapshot, forgotten: ForgottenViewers, made_ms: int = 0) -> ExampleBuilder:
    files, meta = snapshot[0], msgspec.json.decode(snapshot[1])
    parts: dict[str, dict[str, np.ndarray]] = {"builder": {}, "world": {}}
    for path, data in files.items():
        part, _, name = path.partition("/")
        parts[part][name] = np.load(io.BytesIO(data), allow_pickle=False)
    known = World.from_arrays(
        parts["world"], meta["world"], WorldConfig(), forgotten.marks(), made_ms
    )
    builder = builder_of(known)
    builder.load(parts["builder"], meta["builder"], forgotten.gone_since(made_ms))
    return builder


def told(builder: ExampleBuilder) -> str:
    arrays, meta = builder.to_arrays()
    return content_hash(packed(arrays), meta) + builder.world.content_hash()


@settings(max_examples=25, deadline=None)
@given(log=logs, data=st.data())
def test_a_snapshot_and_what_came_after_it_are_the_whole_log(log, data) -> None:
    nobody = ForgottenViewers()
    whole, cut = builder_of(world()), builder_of(world())
    examples: list[Examples] = []
    choices: list[Choices] = []
    for batch in log:
        whole.observe(batch, NOW)
        cut.observe(batch, NOW)
        examples.append(cut.take())
        choices.append(cut.take_choices())
        if data.draw(st.booleans()):
            before = told(cut)
            cut = restored(stored(cut), nobody)
            assert told(cut) == before
    for builder in (whole, cut):
        builder.flush()
    examples.append(cut.take())
    choices.append(cut.take_choices())
    same(Examples.concatenate(examples).to_arrays(), whole.take().to_arrays())
    same(Choices.concatenate(choices).to_arrays(), whole.take_choices().to_arrays())
    assert told(cut) == told(whole)
    assert not cut._labels and not cut._next


def same(some: dict[str, np.ndarray], whole: dict[str, np.ndarray]) -> None:
    for name, column in whole.items():
        np.testing.assert_array_equal(some[name], column, name)


@settings(max_examples=20, deadline=None)
@given(log=logs, at=st.integers(0, 12), data=st.data())
def test_who_was_forgotten_comes_back_from_no_snapshot(log, at, data) -> None:
    viewer, allowed = data.draw(st.sampled_from(VIEWERS)), data.draw(st.booleans())
    builder, forgotten = builder_of(world()), ForgottenViewers()
    for batch in log[:at]:
        builder.observe(batch, NOW)
    old = stored(builder)
    forgotten.hear(Forgotten.of(viewer, NOW, allowed=allowed))
    # Who goes on forgets as well.
    builder.world.forget(forgotten.marks())
    started = restored(old, forgotten, made_ms=NOW - 1)
    for batch in log[at:]:
        started.observe([one for one in batch if one[1].viewer_id != viewer], NOW)
    files, _ = stored(started)
    assert [name for name, data in files.items() if viewer.encode() in data] == []
    for items in (builder.items, started.items):
        assert int(forgotten.marks().viewer_f[0]) not in items.log.to_arrays()["viewer"]
    assert viewer not in started._next and viewer not in {name for name, _ in started._labels}


def a_snapshot() -> tuple[dict[str, np.ndarray], dict]:
    builder = builder_of(world())
    likes = [
        (Action.LIKE, MediaEvent(f"e{n}{m}", f"v{n}", f"m{m}", T0 + n * MINUTE, "a0"))
        for n in range(9)
        for m in range(3)
    ]
    builder.observe(likes, NOW)
    arrays, meta = builder.to_arrays()
    return packed(arrays), msgspec.json.decode(msgspec.json.encode(meta))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"format": 0}, "format 0, this build reads 1"),
        ({"made_with": {}}, "was made with {}, the settings here are"),
        ({"items": None}, "'items' is not described"),
        ({"newest_ts": -1}, "'newest_ts' is -1"),
    ],
)
def test_what_was_made_otherwise_is_refused(changed, reason) -> None:
    arrays, meta = a_snapshot()
    with pytest.raises(StoredArraysError, match=reason):
        builder_of(world()).load(arrays, meta | changed)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_arrays_that_do_not_fit_are_refused_and_nothing_else_happens(data) -> None:
    arrays, meta = a_snapshot()
    name = data.draw(st.sampled_from(sorted(arrays)))
    kind = data.draw(st.integers(0, 2))
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[name] = arrays[name][None]
    else:
        arrays[name] = arrays[name][:-1]
    with pytest.raises(StoredArraysError):
        builder_of(world()).load(arrays, meta)
