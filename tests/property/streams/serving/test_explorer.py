"""Cursors: what is given comes back, what was not given is refused, and nothing else happens."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.serving.explorer import MAX_PAGES, Cursor, CursorError

VIEWERS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)
NUMBERS = st.integers(1, MAX_PAGES)


@given(VIEWERS, st.text(st.characters(exclude_categories=["Cs"])), NUMBERS)
def test_round_trip_in_characters_that_need_no_encoding(viewer, series, number):
    cursor = Cursor(viewer, series, number)
    text = cursor.text()
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert Cursor.parse(text, viewer) == cursor


@given(VIEWERS, VIEWERS, NUMBERS)
def test_nobody_uses_the_cursor_of_another(viewer, other, number):
    if viewer != other:
        with pytest.raises(CursorError, match="does not belong"):
            Cursor.parse(Cursor(viewer, "s", number).text(), other)


@given(st.integers().filter(lambda n: not 1 <= n <= MAX_PAGES))
def test_a_page_number_out_of_range_is_refused(number):
    raw = msgspec.json.encode(["v", "s", number])
    with pytest.raises(CursorError):
        Cursor.parse(base64.urlsafe_b64encode(raw).decode(), "v")


@given(st.one_of(st.text(), st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
def test_any_other_text_is_refused_in_one_sentence(text):
    with pytest.raises(CursorError, match="start without a cursor") as caught:
        Cursor.parse(text, "v")
    assert len(str(caught.value)) < 400


@given(st.data(), VIEWERS, NUMBERS)
def test_a_tampered_cursor_is_refused_or_one_of_this_viewer(data, viewer, number):
    text = Cursor(viewer, "1700000000000", number).text()
    at = data.draw(st.integers(0, len(text) - 1))
    tampered = text[:at] + data.draw(st.characters()) + text[at + 1 :]
    try:
        cursor = Cursor.parse(tampered, viewer)
    except CursorError:
        return
    assert cursor.viewer_id == viewer
    assert 1 <= cursor.number <= MAX_PAGES


@pytest.mark.parametrize("viewer", ["x" * 128, "ü" * 64, '"' * 128, "\x01" * 128])
def test_the_cursor_of_the_longest_id_fits_a_query(viewer):
    # A control character is six in JSON; the API takes 2048 characters.
    assert len(Cursor(viewer, str(10**13), MAX_PAGES).text()) <= 2048
