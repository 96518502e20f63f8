"""Cursors: what is given comes back, what was not given is refused, and nothing else happens."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.redis_store import _pages_key
from models.arrays.id_table import hash_id
from models.explore.cursor import MAX_PAGES, Cursor, CursorError
from models.explore.cursor import _signature as signature

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)
PAGES = st.binary(max_size=50)
MEDIA = st.lists(IDS, max_size=25)
NUMBERS = st.integers(1, MAX_PAGES)
KEY, OTHER_KEY = bytes(32), bytes(31) + b"\1"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def at(page: bytes, media_ids: list[str], number: int) -> Cursor:
    return Cursor.first("v", page, media_ids)._replace(number=number)


@given(PAGES, MEDIA, NUMBERS)
def test_round_trip_in_characters_that_need_no_encoding(page, media_ids, number):
    cursor = at(page, media_ids, number)
    assert set(cursor.text("v", KEY)) <= set(ALPHABET)
    assert Cursor.parse(cursor.text("v", KEY), "v", KEY) == cursor
    assert cursor.shown_hashes().tolist() == [hash_id(name) for name in media_ids]
    assert len(cursor.text("v", KEY)) < 175


@given(PAGES, MEDIA, st.integers(0, 255).filter(lambda n: not 1 <= n <= MAX_PAGES))
def test_a_page_number_out_of_range_is_refused(page, media_ids, number):
    with pytest.raises(CursorError):
        Cursor.parse(at(page, media_ids, number).text("v", KEY), "v", KEY)


@given(st.one_of(st.text(), st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
def test_any_other_text_is_refused_in_one_sentence(text):
    with pytest.raises(CursorError, match="start without a cursor") as caught:
        Cursor.parse(text, "v", KEY)
    assert len(str(caught.value)) < 400


@given(st.binary(max_size=200))
@example(bytes(12) + hash_id("v").to_bytes(4, "little") + b"\1" + bytes(8))
def test_what_is_read_is_a_digest_a_number_and_hashes(raw):
    """A name that is more would lead into another viewer's keys."""
    try:
        cursor = Cursor.parse(encoded(raw + signature(raw, "v", KEY)), "v", KEY)
    except CursorError:
        return
    assert re.fullmatch("[0-9a-f]{24}", cursor.series)
    head = bytes.fromhex(cursor.series) + cursor.viewer.to_bytes(4, "little")
    assert head + bytes([cursor.number]) + cursor.shown == raw
    assert not len(cursor.shown) % 4


@given(st.data(), PAGES, MEDIA, NUMBERS)
def test_a_tampered_cursor_is_refused(data, page, media_ids, number):
    text = at(page, media_ids, number).text("v", KEY)
    place = data.draw(st.integers(0, len(text) - 1))
    others = (st.characters() | st.sampled_from(ALPHABET)).filter(lambda c: c != text[place])
    drawn = data.draw(others)
    with pytest.raises(CursorError):
        Cursor.parse(text[:place] + drawn + text[place + 1 :], "v", KEY)


@given(IDS, PAGES, MEDIA, NUMBERS)
def test_a_cursor_is_good_for_its_viewer_and_key_alone(viewer, page, media_ids, number):
    cursor = Cursor.first(viewer, page, media_ids)._replace(number=number)
    text = cursor.text(viewer, KEY)
    assert Cursor.parse(text, viewer, KEY) == cursor
    for other, key in ((viewer, OTHER_KEY), (viewer + "2", KEY)):
        with pytest.raises(CursorError):
            Cursor.parse(text, other, key)


@given(IDS, IDS, PAGES, PAGES)
def test_no_two_series_share_a_key(viewer, other, page, another):
    series = [
        (viewer, Cursor.first(viewer, page, []).series),
        (other, Cursor.first(other, another, []).series),
    ]
    assert (_pages_key(*series[0]) == _pages_key(*series[1])) == (series[0] == series[1])


@given(IDS, PAGES)
def test_no_viewer_has_a_key_in_another_ones_series(viewer, page):
    series = Cursor.first(viewer, page, []).series
    longer = f"{viewer}}}:{series}"
    assert _pages_key(longer, series) != _pages_key(viewer, series)
