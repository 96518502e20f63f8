"""Grids kept for a store that is away: how many, whose, and for how long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.serving.kept_grids import KeptGrids

WITHIN_S = 10.0

actions = st.tuples(
    st.sampled_from(["keep", "fill", "replace", "drop", "of", "wait"]),
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
        if action == "fill":
            before = len(kept)
            kept.fill(viewer, json)
            if len(kept) > before:
                newest[viewer] = json, clock_s
        elif action == "keep":
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


def test_what_was_found_at_the_start_goes_first_and_pushes_nobody_out() -> None:
    kept = KeptGrids(2 * 1400, WITHIN_S)
    kept.keep("asked", b"x" * 1000)
    kept.fill("asked", b"older")
    kept.fill("found", b"x" * 1000)
    kept.fill("too much", b"x" * 1000)
    assert [viewer for viewer in ("asked", "found", "too much") if kept.of(viewer)] == [
        "asked", "found",
    ]  # fmt: skip
    kept.keep("new", b"x" * 1000)
    assert kept.of("found") is None
    asked = kept.of("asked")
    assert asked is not None and len(asked.json) == 1000
