"""The page where the API asks for a key: it is asked for, told when wrong, kept for the tab."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

import httpx
import pytest
from kafka import KafkaProducer
from playwright.sync_api import Locator, Page, expect

from infra.config import Settings
from streams.clock import now_ms
from streams.local.stack import Stack, role_argv, starting_stack
from streams.topology import LEARNER
from tests.browser.conftest import WAIT_MS, OpenPage, assert_accessible, keep, tiles

API_KEY = "marked-api-key-7c1e-7c1e-7c1e-7c1e-7c1e"
WRONG = "marked-but-wrong-key-0000-0000-0000-0000"
MEDIA = 30
VIEWER = "ann"


def without_learner(role: str) -> tuple[str, ...]:
    """What is new is shown without anything learned."""
    idle = "import signal; print('ready', flush=True); signal.pause()"
    return (sys.executable, "-c", idle) if role == LEARNER else role_argv(role)


@pytest.fixture(scope="module")
def stack(chromium: str) -> Iterator[Stack]:
    """One that asks for keys, with a catalogue."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("API_KEY", API_KEY)
        with starting_stack(Settings(), http_port=0, argv_of=without_learner) as started:
            started.wait_ready()
            producer = KafkaProducer(bootstrap_servers=started.endpoints.kafka)
            for number in range(MEDIA):
                media = {"media_id": f"m{number}", "author_id": f"a{number}"}
                told = json.dumps(media | {"created_ts": now_ms()}).encode()
                producer.send("catalog.media", told, media["media_id"].encode())
            producer.close()
            until = time.monotonic() + WAIT_MS / 1000
            while asked(started, "GET", "/v1/status")["media"] < MEDIA:
                started.check()
                assert time.monotonic() < until
                time.sleep(0.05)
            yield started
            started.check()


@pytest.fixture(scope="module")
def address(stack: Stack) -> str:
    """Where the page is."""
    return stack.endpoints.http


def asked(stack: Stack, method: str, path: str, body: object = None) -> dict[str, object]:
    """What the API answers to who has the key."""
    answer = httpx.request(
        method, f"{stack.endpoints.http}{path}", json=body, trust_env=False, timeout=30,
        headers={"Authorization": f"Bearer {API_KEY}"},
    )  # fmt: skip
    told: dict[str, object] = answer.raise_for_status().json()
    return told


def give(page: Page, key: str) -> Locator:
    """Type a key where it is asked for; returns what asks."""
    dialog = page.get_by_role("dialog", name="This Freshgrid asks for a key")
    field = dialog.get_by_role("textbox", name="Key")
    expect(field).to_be_focused()
    field.fill(key)
    page.keyboard.press("Enter")
    return dialog


def test_the_key_is_asked_for_and_a_wrong_one_is_told(open_page: OpenPage, stack: Stack) -> None:
    page = open_page(f"explore?viewer={VIEWER}")
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    dialog = page.get_by_role("dialog", name="This Freshgrid asks for a key")
    expect(dialog).to_contain_text("send a key")
    assert dialog.get_by_role("textbox").get_attribute("type") == "password"
    assert page.locator(".tile .picture").count() == 0
    assert_accessible(page)
    keep(page, "key")
    give(page, WRONG)
    expect(dialog).to_contain_text("is not valid")
    give(page, API_KEY)
    assert len(tiles(page)) == 25
    expect(dialog).to_have_count(0)
    # For this tab it is known: after a reload nobody asks.
    page.reload()
    assert len(tiles(page)) == 25
    expect(dialog).to_have_count(0)
    # It went by a header, and stands nowhere else.
    assert any("/v1/" in address for address in addresses)
    logs = {path.stem: path.read_text() for path in stack.run_dir.glob("*.log")}
    assert "ranker" in logs
    kept = page.evaluate("JSON.stringify({...localStorage}) + document.cookie")
    for key in (API_KEY, WRONG):
        assert key not in f"{page.url} {addresses} {kept} {page.content()} {logs}"
    # Another tab is another one who asks.
    other = page.context.new_page()
    other.goto(page.url)
    asking = other.get_by_role("dialog", name="This Freshgrid asks for a key")
    expect(asking).to_be_visible()
    # Who has none is left alone, and told what to do.
    other.keyboard.press("Escape")
    expect(asking).to_have_count(0)
    expect(other.locator("#toasts")).to_contain_text("send a key")


def test_a_token_shows_the_grid_of_its_viewer_alone(open_page: OpenPage, stack: Stack) -> None:
    token = asked(stack, "POST", "/v1/tokens", {"viewer_id": VIEWER, "seconds": 60})["token"]
    page = open_page(f"explore?viewer={VIEWER}")
    dialog = give(page, str(token))
    assert len(tiles(page)) == 25
    expect(dialog).to_have_count(0)
    page.goto(f"{stack.endpoints.http}/#/explore?viewer=somebody-else")
    expect(page.locator("#toasts")).to_contain_text("this token is good for the grid, the stream")
    assert page.locator(".tile .picture").count() == 0
