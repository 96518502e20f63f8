"""Grids kept for a store that is away: how many, whose, and for how long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.serving.kept_grids import KeptGrids

WITHIN_S = 10.0

actions = st.tuples(
    st.sampled_from(["keep", "replace", "drop", "of", "wait"]),
    st.sampled_from("abcdef"),
    st.integers(0, 900),
)


@given(st.lists(actions, max_size=60), st.integers(0, 4000))
def test_never_more_bytes_nor_older_than_stated(
    done: list[tuple[str, str, int]], most_bytes: int
) -> None:
    clock_s = 0.0
    kept = KeptGrids(most_bytes, WITHIN_S, lambda: clock_s)
    newest: dict[str, tuple[bytes, float]] = {}
    for action, viewer, number in done:
        json = b"x" * number
        if action == "keep" or (action == "replace" and kept.of(viewer) is not None):
            newest[viewer] = json, clock_s
        if action == "keep":
            kept.keep(viewer, json)
        elif action == "replace":
            kept.replace(viewer, json)
        elif action == "drop":
            kept.drop(viewer)
            newest.pop(viewer, None)
        elif action == "wait":
            clock_s += number / 100
        assert kept.bytes <= most_bytes
        assert (kept.bytes == 0) == (len(kept) == 0)
        for name in "abcdef":
            if (found := kept.of(name)) is not None:
                json, since_s = newest[name]
                assert (found.json, found.age_s) == (json, clock_s - since_s)
                assert found.age_s <= WITHIN_S


def test_the_longest_unused_makes_room() -> None:
    kept = KeptGrids(2 * 1400, WITHIN_S)
    for viewer in "aba":
        kept.keep(viewer, b"x" * 1000)
    kept.keep("c", b"x" * 1000)
    assert [viewer for viewer in "abc" if kept.of(viewer)] == ["a", "c"]
    kept.keep("d", b"x" * 5000)
    assert len(kept) == 0, "one that is larger than all room is not kept"
