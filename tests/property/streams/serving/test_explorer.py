"""Cursors: what is given comes back, what was not given is refused, and nothing else happens."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.redis_store import _pages_key
from streams.serving.explorer import MAX_PAGES, Cursor, CursorError

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)
PAGES = st.binary(max_size=50)
NUMBERS = st.integers(1, MAX_PAGES)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")


@given(PAGES, NUMBERS)
def test_round_trip_in_characters_that_need_no_encoding(page, number):
    cursor = Cursor(Cursor.first(page).series, number)
    assert set(cursor.text()) <= set(ALPHABET)
    assert Cursor.parse(cursor.text()) == cursor
    assert len(cursor.text()) < 60


@given(PAGES, st.integers().filter(lambda n: not 1 <= n <= MAX_PAGES))
def test_a_page_number_out_of_range_is_refused(page, number):
    with pytest.raises(CursorError):
        Cursor.parse(encoded([Cursor.first(page).series, number]))


@given(st.one_of(st.text(), st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
def test_any_other_text_is_refused_in_one_sentence(text):
    with pytest.raises(CursorError, match="start without a cursor") as caught:
        Cursor.parse(text)
    assert len(str(caught.value)) < 400


@given(IDS, NUMBERS)
def test_a_series_is_nothing_but_a_digest(series, number):
    """A name that is more would lead into another viewer's keys."""
    for forged in (series, f"{series}}}:{'0' * 24}", "0" * 24 + "\n", "0" * 23 + ":"):
        with pytest.raises(CursorError):
            Cursor.parse(encoded([forged, number]))


@given(st.data(), PAGES, NUMBERS)
def test_a_tampered_cursor_is_refused_or_of_another_series(data, page, number):
    text = Cursor(Cursor.first(page).series, number).text()
    at = data.draw(st.integers(0, len(text) - 1))
    tampered = text[:at] + data.draw(st.characters() | st.sampled_from(ALPHABET)) + text[at + 1 :]
    try:
        cursor = Cursor.parse(tampered)
    except CursorError:
        return
    # There is one text for each cursor.
    assert cursor.text() == tampered
    assert 1 <= cursor.number <= MAX_PAGES


@given(IDS, IDS, PAGES, PAGES)
def test_no_two_series_share_a_key(viewer, other, page, another):
    series = [(viewer, Cursor.first(page).series), (other, Cursor.first(another).series)]
    assert (_pages_key(*series[0]) == _pages_key(*series[1])) == (series[0] == series[1])


@given(IDS, PAGES)
def test_no_viewer_has_a_key_in_another_ones_series(viewer, page):
    series = Cursor.first(page).series
    longer = f"{viewer}}}:{series}"
    assert _pages_key(longer, series) != _pages_key(viewer, series)
