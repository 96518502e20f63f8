"""The map of the accounts: looked at, searched, and used without looking."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from streams.local.scenario import get_json
from tests.browser.conftest import OpenPage, assert_accessible, keep

#: Drawn of the tiny fixture by a process that lets all others go first.
DRAWN_MS = 120_000


@pytest.fixture
def atlas(open_page: OpenPage) -> Iterator[Page]:
    """The page once the map is drawn; looked at again every minute, so it is opened anew."""
    page = open_page("map")
    expect(page.get_by_role("heading", name="Map of the accounts")).to_be_visible()
    for _ in range(DRAWN_MS // 2_000):
        if page.locator(".sheet").is_visible():
            break
        page.wait_for_timeout(2_000)
        page.reload()
        page.wait_for_load_state("networkidle")
    expect(page.get_by_text("in sight")).to_be_visible()
    yield page


def colours(page: Page) -> int:
    """How many colours are on the canvas."""
    return page.locator(".sheet").evaluate(
        """canvas => new Set(new Uint32Array(canvas.getContext("2d")
            .getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"""
    )


def in_sight(page: Page) -> int:
    return int(re.sub(r"\D", "", page.get_by_text("in sight").inner_text()))


def fewer_in_sight(page: Page, than: int) -> None:
    """Wait until the page says that fewer accounts are seen: it does so once the map rests."""
    for _ in range(50):
        if in_sight(page) < than:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{than} accounts are in sight still")


def test_it_is_drawn_and_can_be_read_by_everybody(atlas: Page, open_page: OpenPage) -> None:
    assert colours(atlas) > 5
    expect(atlas.locator(".sheet")).to_have_attribute(
        "aria-label", re.compile(r"Map of [\d,]+ accounts of \d+ topics")
    )
    keep(atlas, "map")
    assert_accessible(atlas)
    dark = open_page("map", color_scheme="dark", viewport={"width": 390, "height": 844})
    expect(dark.get_by_text("in sight")).to_be_visible()
    assert dark.evaluate("document.documentElement.scrollWidth") <= 390
    keep(dark, "map phone dark")
    assert_accessible(dark)


def test_an_account_is_found_and_its_nearest_ones_told(atlas: Page, address: str) -> None:
    listed = get_json(f"{address}/v1/map")["account_id"]
    wanted = listed[len(listed) // 2]
    # By keys alone: the field, the first that was found, its nearest one.
    field = atlas.get_by_label("Find an account")
    field.focus()
    atlas.keyboard.type(wanted)
    found = atlas.locator(".atlas .people button", has_text=wanted).first
    expect(found).to_be_visible()
    found.focus()
    whole = in_sight(atlas)
    atlas.keyboard.press("Enter")
    card = atlas.locator(".atlas .card")
    expect(card.get_by_role("heading", name=wanted)).to_be_visible()
    nearest = card.locator(".people button")
    expect(nearest.first).to_contain_text("% alike")
    fewer_in_sight(atlas, whole)
    keep(atlas, "map account")
    assert_accessible(atlas)
    told = get_json(f"{address}/v1/accounts/{wanted}?posts=0&neighbours=1")
    expect(nearest.first).to_contain_text(told["neighbours"][0]["account"]["account_id"])
    card.get_by_role("link", name="Its posts").click()
    atlas.get_by_role("link", name="On the map").click()
    expect(card.get_by_role("heading", name=wanted)).to_be_visible()


def test_keys_and_pointer_move_it(atlas: Page) -> None:
    sheet = atlas.locator(".sheet")
    whole = in_sight(atlas)
    sheet.focus()
    for _ in range(5):
        atlas.keyboard.press("+")
    fewer_in_sight(atlas, whole)
    atlas.keyboard.press("0")
    expect(atlas.get_by_text(f"{whole:,} in sight")).to_be_visible()
    sheet.hover()
    atlas.mouse.wheel(0, -900)
    fewer_in_sight(atlas, whole)
    atlas.get_by_role("button", name="All of it").click()
    expect(atlas.get_by_text(f"{whole:,} in sight")).to_be_visible()
    sheet.focus()
    atlas.keyboard.press("Enter")
    expect(atlas.locator(".atlas .card h2")).to_be_visible()
    topic = atlas.locator(".topic").first
    before = colours(atlas)
    topic.click()
    expect(atlas.locator(".topic").first).to_have_attribute("aria-pressed", "true")
    atlas.wait_for_timeout(100)
    assert colours(atlas) != before


def test_a_hundred_thousand_accounts_that_moved(open_page: OpenPage) -> None:
    count = 100_000
    told = {
        "version": "m", "ig2vec": "v", "live": "v", "made_ms": 1, "before_ms": 0,
        "topics": ["", "sea", "sun"],
        "account_id": [f"account{number}" for number in range(count)],
        "x": [number * 7919 % 65_536 for number in range(count)],
        "y": [number * 104_729 % 65_536 for number in range(count)],
        "moved_x": [number % 900 for number in range(count)],
        "moved_y": [0] * count,
        "topic": [number % 3 for number in range(count)],
    }  # fmt: skip

    def answer(route: Route) -> None:
        route.fulfill(json=told)

    page = open_page("explore")
    page.route("**/v1/map", answer)
    page.route("**/v1/accounts/account*", lambda route: route.fulfill(json={"neighbours": []}))
    page.evaluate("location.hash = '#/map?viewer=v1'")
    expect(page.get_by_text("100,000 in sight")).to_be_visible()
    expect(page.get_by_role("heading", name=re.compile("Moved the most since"))).to_be_visible()
    page.get_by_role("button", name="Movement").click()
    keep(page, "map of many")
    milliseconds = page.evaluate(
        """async () => {
            const canvas = document.querySelector(".sheet"), begun = performance.now();
            for (let step = 0; step < 10; step += 1) {
                canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
                await new Promise(requestAnimationFrame);
                await new Promise((done) => setTimeout(done));
            }
            return (performance.now() - begun) / 10;
        }"""
    )
    # Generous: a busy machine without a graphics card. Paths instead of pixels take seconds.
    assert milliseconds < 600
    page.get_by_label("Find an account").fill("account99999")
    page.locator(".atlas .people button", has_text="account99999").click()
    expect(page.get_by_text(re.compile(r"^[\d,]{1,5} in sight"))).to_be_visible()
    keep(page, "map of many close")
