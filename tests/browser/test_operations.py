"""The page of operations: what is wrong is told, and mended, by somebody who only looks at it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from kafka import KafkaProducer
from playwright.sync_api import Page, expect

from streams.clock import now_ms
from tests.browser.conftest import WAIT_MS, OpenPage, assert_accessible, keep

PARTS = ("Processes", "Grids", "Topics", "Versions", "Dead letters", "Experiment")
#: Ids and messages of records are strangers' text.
HOSTILE = '<img src=x onerror="document.title=4">'

Send = Callable[[bytes], None]


@pytest.fixture
def send(kafka_address: str) -> Iterator[Send]:
    """Sends a record to the topic of likes, as a producer would."""
    producer = KafkaProducer(bootstrap_servers=kafka_address)

    def sending(value: bytes) -> None:
        producer.send("events.like", value, key=HOSTILE.encode()).get(30)

    yield sending
    producer.close()


def shown(page: Page) -> None:
    """Wait until every part has its figures."""
    for name in PARTS:
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    expect(page.locator("table tbody tr").first).to_contain_text("events.like")
    expect(page.locator(".badge.good", has_text="live").first).to_be_visible()
    expect(page.get_by_text("answers; has read all there is")).to_be_visible()
    expect(page.locator(".shares dd").first).to_contain_text("%")
    expect(page.get_by_role("img", name=re.compile("Redis memory.*MB"))).to_be_visible()


def test_all_parts_are_shown_and_can_be_read_by_everybody(open_page: OpenPage) -> None:
    page = open_page("operations", color_scheme="light")
    shown(page)
    # What was sent before the ranker had read the catalogue waited; that is over in a minute.
    expect(page.locator(".headline")).to_have_text("All well.", timeout=90_000)
    # Rates need two looks.
    expect(page.get_by_role("img", name=re.compile(r"Events: events .* .s$"))).to_be_visible()
    keep(page, "operations")
    assert_accessible(page)
    dark = open_page("operations", color_scheme="dark")
    shown(dark)
    keep(dark, "operations dark")
    assert_accessible(dark)


def test_a_dead_letter_is_told_of_edited_and_gone(open_page: OpenPage, send: Send) -> None:
    page = open_page("operations")
    shown(page)
    event = {"event_id": "poison", "viewer_id": HOSTILE, "media_id": "m", "author_id": "a"}
    send(json.dumps({**event, "ts": "yesterday"}).encode())
    expect(page.locator(".headline")).to_contain_text(
        "1 record could not be applied", timeout=WAIT_MS
    )
    letter = page.locator("[data-letter]")
    expect(letter).to_contain_text("bad_field", timeout=WAIT_MS)
    expect(letter).to_contain_text(HOSTILE)
    letter.focus()
    page.keyboard.press("Enter")
    field = page.get_by_label("The record")
    expect(field).to_be_focused()
    assert "yesterday" in field.input_value()
    keep(page, "operations dead letter")
    assert_accessible(page)
    again = page.get_by_role("button", name="Send again")
    again.click()
    expect(page.locator("dialog .note.bad")).to_contain_text("it would die again")
    field.fill(json.dumps({**event, "ts": now_ms()}))
    again.click()
    expect(page.locator("dialog")).to_have_count(0)
    expect(letter).to_have_count(0)
    expect(page.get_by_text("1 of the newest 1 were sent again.")).to_be_visible()
    expect(page.locator(".headline")).to_have_text("All well.", timeout=WAIT_MS)
    assert page.title() == "Operations · Freshgrid"


def test_it_fits_a_phone(open_page: OpenPage) -> None:
    page = open_page("operations", viewport={"width": 375, "height": 780})
    shown(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    keep(page, "operations phone")
    assert_accessible(page)
