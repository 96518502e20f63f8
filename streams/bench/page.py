"""The page as a person waits for it: first paint, and like → changed tiles, in a browser."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
from msgspec import Meta

from infra.config import Settings
from infra.errors import FreshgridError
from streams.bench.freshness import wait_idle
from streams.local.bundled import Bundled
from streams.local.demo import page_address
from streams.local.scenario import replay_fixture, wait_trained
from streams.local.stack import starting_stack

if TYPE_CHECKING:
    from playwright.sync_api import Page

LIKES: Final = 50
#: Each in a browser that has nothing of the page yet.
VISITS: Final = 5
CHROMIUMS: Final = ("chromium", "chromium-browser", "google-chrome")
WAIT_MS: Final = 20_000

_FIRST_PAINT: Final = """() => new Promise(told => new PerformanceObserver(list => {
    const [first] = list.getEntriesByName("first-contentful-paint");
    if (first) told(first.startTime);
}).observe({ type: "paint", buffered: true }))"""
#: When the first tile had its picture, from the start of the visit.
_FIRST_TILE: Final = """() => new Promise(told => {
    const look = () => document.querySelector(".tile .picture")
        ? told(performance.now()) : requestAnimationFrame(look);
    look();
})"""
#: Bytes of everything but answers of the API, headers left out.
_WEIGHT: Final = """() => performance.getEntriesByType("resource")
    .filter(one => one.name.includes("/assets/"))
    .reduce((sum, one) => sum + one.decodedBodySize, 0)
    + performance.getEntriesByType("navigation")[0].decodedBodySize"""


class NoBrowserError(FreshgridError):
    """There is nothing to look with."""


def run(
    settings: Settings,
    *,
    likes: Annotated[int, Meta(ge=1, description="Likes to time.")] = LIKES,
) -> dict[str, Any]:
    """Start the demo's stack, open its page in Chromium, and like the first tile again and again.

    A like takes from the press of the button until the changed grid is on the screen, as the page
    itself measures and tells it.

    Raises:
        NoBrowserError: Chromium or its driver is missing.
    """
    path = chromium()
    from playwright.sync_api import sync_playwright

    viewer_id = Bundled().to_show().viewer_id
    with starting_stack(settings, http_port=0) as stack:
        sent = replay_fixture(stack)
        stack.wait_ready()
        wait_trained(stack, sent)
        wait_idle(stack)
        address = page_address(stack.endpoints.http, viewer_id)
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=path, args=arguments)
            paints, tiles = [], []
            for _ in range(VISITS):
                page = browser.new_context().new_page()
                page.goto(address)
                paints.append(page.evaluate(_FIRST_PAINT))
                tiles.append(page.evaluate(_FIRST_TILE))
            weight = page.evaluate(_WEIGHT)
            taken = [_like(page) for _ in range(likes)]
            browser.close()
    return {
        "first_paint_ms": round(float(np.median(paints))),
        "first_tile_ms": round(float(np.median(tiles))),
        "like_to_tile_p50_ms": round(float(np.percentile(taken, 50))),
        "like_to_tile_p99_ms": round(float(np.percentile(taken, 99))),
        "likes": likes,
        "page_bytes": weight,
    }


def chromium() -> str:
    """Where Chromium is.

    Raises:
        NoBrowserError: it or its driver is missing.
    """
    path = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if path is None or find_spec("playwright") is None:
        raise NoBrowserError(
            "no Chromium or no driver of it: run .ci/browser as root, and install freshgrid[dev]"
        )
    return path


def _like(page: Page) -> float:
    """Like the first tile; the ms until the changed grid was on the screen."""
    page.evaluate('() => { delete document.querySelector(".fresh").dataset.ms; }')
    page.locator(".tile").first.hover()
    page.locator('.tile [data-act="like"]').first.click()
    page.wait_for_selector(".fresh[data-ms]", timeout=WAIT_MS)
    taken = float(page.locator(".fresh").get_attribute("data-ms") or "nan")
    print(f"{taken:.0f} ms", file=sys.stderr)
    # The next one meets a page at rest.
    page.wait_for_timeout(600)
    return taken
