"""Take the pictures of the docs: the page as it is, of a running demo.

``make pictures`` starts the demo's stack and takes them all; with ``ARGS="--http URL --kafka
HOST:PORT"`` they are taken of one that runs. It acts as the demo's viewer, sends a record that
cannot be applied, and sets two arms. Look at every picture before it is committed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

DOCS: Final = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

from kafka import KafkaProducer  # noqa: E402
from playwright.sync_api import Page, expect, sync_playwright  # noqa: E402

from infra.config import settings  # noqa: E402
from streams.bench.freshness import wait_idle  # noqa: E402
from streams.bench.page import chromium  # noqa: E402
from streams.local.bundled import Bundled  # noqa: E402
from streams.local.scenario import replay_fixture, wait_trained  # noqa: E402
from streams.local.stack import starting_stack  # noqa: E402

IMAGES: Final = DOCS / "images"
#: Of a file; pages of the docs load in a moment.
MOST_BYTES: Final = 200_000
QUALITIES: Final = (82, 72, 62, 52)
WIDTH: Final = 1280
HEIGHT: Final = 860
#: Of the panel, so that the value's bars are in sight.
TALL: Final = 1_120
WAIT_MS: Final = 60_000
#: The learner draws the map when it has nothing else to do.
MAP_S: Final = 600.0
#: Two arms; the outcomes are those of some viewers of the demo, who are shown a grid and act.
ARMS: Final = {"arms": {"control": {"share": 0.8}, "saves": {"share": 0.2, "weights": {"save": 4}}}}


def main() -> None:
    """Take all pictures, or those named."""
    parser = argparse.ArgumentParser(description="Take the pictures of the docs.")
    parser.add_argument("--http", help="address of a demo that runs")
    parser.add_argument("--kafka", help="and of its Kafka")
    parser.add_argument("names", nargs="*", metavar="PICTURE", help=", ".join(PICTURES))
    asked = parser.parse_args()
    viewer_id = Bundled().to_show().viewer_id
    with stack(asked.http, asked.kafka) as (http, kafka), browser() as opened:
        studio = Studio(http, kafka, viewer_id, opened)
        for name in asked.names or PICTURES:
            print(name, file=sys.stderr, flush=True)
            PICTURES[name](studio)


@contextmanager
def stack(http: str | None, kafka: str | None) -> Iterator[tuple[str, str]]:
    """Addresses of the API and of Kafka: those given, or of the demo's stack."""
    if http and kafka:
        yield http, kafka
        return
    with starting_stack(settings(), http_port=0) as started:
        sent = replay_fixture(started)
        started.wait_ready()
        wait_trained(started, sent)
        wait_idle(started)
        yield started.endpoints.http, started.endpoints.kafka


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium(), args=arguments)
        yield started
        started.close()


class Studio:
    """Opens views of the page and keeps pictures of them."""

    def __init__(self, http: str, kafka: str, viewer_id: str, opened: Any) -> None:
        self.http, self.kafka, self.viewer_id, self._browser = http, kafka, viewer_id, opened

    def open(self, view: str, height: int = HEIGHT) -> Page:
        """A view in a browser that has seen nothing yet."""
        context = self._browser.new_context(
            viewport={"width": WIDTH, "height": height}, color_scheme="light"
        )
        page: Page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(f"{self.http}/#/{view}")
        return page

    def explore(self, height: int = HEIGHT) -> Page:
        """The viewer's grid, all pictures painted."""
        page = self.open(f"explore?viewer={self.viewer_id}", height)
        page.wait_for_selector(".tile .picture")
        expect(page.locator(".tile .ghost")).to_have_count(0)
        expect(page.locator(".fresh")).to_have_text("live")
        # A grid that is made anew meanwhile moves.
        page.wait_for_timeout(4_000)
        return page

    def operations(self, height: int = HEIGHT) -> Page:
        """The figures of operations, lines of some looks included."""
        page = self.open("operations", height)
        expect(page.locator("table tbody tr").first).to_contain_text("events.like")
        expect(page.locator(".badge.good", has_text="live").first).to_be_visible()
        page.wait_for_timeout(9_000)
        return page

    def keep(self, of: Any, name: str) -> None:
        """Keep what is seen of a page, or of an element, within the size a picture may have."""
        path = IMAGES / f"{name}.jpg"
        for quality in QUALITIES:
            of.screenshot(path=path, type="jpeg", quality=quality)
            if path.stat().st_size <= MOST_BYTES:
                return
        raise SystemExit(f"{path} has {path.stat().st_size} bytes; show less of the page")

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The API's answer."""
        request = urllib.request.Request(
            self.http + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        return json.load(urllib.request.urlopen(request, timeout=30))


def _act(page: Page, tile: int, name: str) -> None:
    one = page.locator(".tile").nth(tile)
    one.hover()
    one.locator(f'[data-act="{name}"]').click()
    expect(page.locator(".toasts")).to_contain_text("grid answered in")
    # What moved is at its place.
    page.wait_for_timeout(900)
    page.mouse.move(0, 0)


def explore(studio: Studio) -> None:
    """The grid."""
    studio.keep(studio.explore(1_000), "explore")


def why(studio: Studio) -> None:
    """Why a tile that something led to is there."""
    page = studio.explore(TALL)
    page.locator(".tile .open").nth(3).click()
    expect(page.locator(".panel .bars")).to_contain_text("Like")
    expect(page.locator(".panel .path .picture").first).to_be_visible()
    page.wait_for_timeout(600)
    studio.keep(page, "why")


def versions(studio: Studio) -> None:
    """Which versions made a grid, and which are live."""
    page = studio.explore()
    page.locator(".tile .open").nth(3).click()
    page.locator(".panel").get_by_text("Versions that made this grid").click()
    made = page.locator(".panel .made")
    expect(made.locator(".versions")).to_contain_text("rankers")
    made.scroll_into_view_if_needed()
    studio.keep(made, "made_by")
    page = studio.operations()
    studio.keep(page.locator("section", has=page.locator("#part-versions")), "versions")


def like(studio: Studio) -> None:
    """What a like changes, and how it is taken back."""
    page = studio.explore()
    _act(page, 2, "like")
    studio.keep(page, "like")
    page.keyboard.press("u")
    expect(page.locator(".shelf button")).to_have_count(0)
    expect(page.locator(".fresh[data-ms]")).to_be_visible()
    page.wait_for_timeout(900)
    studio.keep(page, "undo")


def workbench(studio: Studio) -> None:
    """The live query, its plan and what it finds."""
    page = studio.open(f"workbench?viewer={studio.viewer_id}", 1_000)
    expect(page.locator(".plan")).to_contain_text("account_nn")
    expect(page.locator(".found").nth(1).locator(".picture").first).to_be_visible()
    page.wait_for_timeout(1_500)
    studio.keep(page, "workbench")


def account_map(studio: Studio) -> None:
    """The map, once the learner has drawn it."""
    until_s = time.monotonic() + MAP_S
    page = studio.open("map")
    while not page.locator(".sheet").is_visible():
        if time.monotonic() > until_s:
            raise SystemExit(f"no map is drawn after {MAP_S:g} s; the learner's log says why")
        page.wait_for_timeout(2_000)
        page.reload()
        page.wait_for_load_state("networkidle")
    expect(page.get_by_text("in sight")).to_be_visible()
    page.wait_for_timeout(1_500)
    studio.keep(page, "map")


def operations(studio: Studio) -> None:
    """All well, with the lines of a like or two."""
    page = studio.explore()
    for _ in range(3):
        _act(page, 1, "save")
    page = studio.operations(1_000)
    studio.keep(page, "operations")


def trouble(studio: Studio) -> None:
    """A record that could not be applied: told, and looked at to be mended."""
    producer = KafkaProducer(bootstrap_servers=studio.kafka)
    event = {"event_id": "e81", "viewer_id": "ann", "media_id": "m3685", "author_id": "a31238"}
    record = json.dumps({**event, "ts": "yesterday"}).encode()
    producer.send("events.like", record, key=b"ann").get(30)
    producer.close()
    page = studio.operations(620)
    expect(page.locator(".headline")).to_contain_text("could not be applied")
    studio.keep(page, "trouble")
    page.locator("[data-letter]").first.click()
    expect(page.get_by_label("The record")).to_be_visible()
    page.wait_for_timeout(400)
    studio.keep(page, "mending")
    page.get_by_label("The record").fill(json.dumps({**event, "ts": int(time.time() * 1000)}))
    page.get_by_role("button", name="Send again").click()
    expect(page.locator("dialog")).to_have_count(0)


def arms(studio: Studio) -> None:
    """Two arms, and what came of them."""
    studio.ask("PUT", "/v1/experiments", {"experiment": ARMS, "who": "pictures"})
    viewers = studio.ask("GET", "/v1/viewers?limit=100")["viewers"]
    for number, viewer in enumerate(viewers):
        _look_and_act(studio, viewer["viewer_id"], number)
    page = studio.operations()
    saves = page.locator("table", has=page.get_by_role("columnheader", name="Viewers"))
    expect(saves.locator("tbody tr").nth(1)).to_contain_text("to", timeout=120_000)
    studio.keep(page.locator("section", has=page.locator("#part-experiment")), "arms")
    one = {"experiment": {"arms": {"control": {"share": 1.0}}}, "who": "pictures"}
    studio.ask("PUT", "/v1/experiments", one)


def _look_and_act(studio: Studio, viewer_id: str, number: int) -> None:
    """A viewer is shown a grid, and some save or like what stands in it."""
    page = studio.ask("GET", f"/v1/explore/{viewer_id}")
    acts = {"save": page["items"][: number % 4], "like": page["items"][4 : 4 + number % 3]}
    now_ms = int(time.time() * 1000)
    events = [
        {
            "action": action, "event_id": f"picture-{viewer_id}-{item['media_id']}", "ts": now_ms,
            "viewer_id": viewer_id, "media_id": item["media_id"], "author_id": item["author_id"],
            "request_id": page["request_id"],
        }
        for action, items in acts.items()
        for item in items
    ]  # fmt: skip
    if events:
        studio.ask("POST", "/v1/events", events)


#: In this order: the map takes the learner a while, and trouble is the last that shows.
PICTURES: Final[dict[str, Callable[[Studio], None]]] = {
    "explore": explore,
    "why": why,
    "like": like,
    "workbench": workbench,
    "versions": versions,
    "operations": operations,
    "arms": arms,
    "trouble": trouble,
    "map": account_map,
}


if __name__ == "__main__":
    main()
