"""A stack with pictures to look at, and Debian's Chromium to look with.

Screenshots of a run are kept in ``.cache/screenshots``: look at them after changing the page.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, sync_playwright

from infra.config import Settings
from streams.local import scenario
from streams.local.stack import Endpoints, starting_stack
from tests.kept import kept
from tests.paths import FIXTURES, ROOT

SCREENSHOTS: Final = ROOT / ".cache" / "screenshots"
CHROMIUMS: Final = ("chromium", "chromium-browser", "google-chrome")
#: What a viewer waits for is here within this, on a busy machine.
WAIT_MS: Final = 20_000
#: Beside the media of the tiny fixture: enough for more than ten pages.
MORE_MEDIA: Final = 400
#: Ids are strangers' text, and so are topics and addresses.
HOSTILE: Final = '<img src=x onerror="document.title=1">'
HOSTILE_ACCOUNT: Final = 'a/"><script>document.title=2</script>'
#: Those who were shown much and liked something.
VIEWER: Final = "v1540"


@pytest.fixture(scope="module")
def chromium() -> str:
    """The program; without it there is nothing to try."""
    path = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if path is None:
        pytest.skip("no Chromium here: .ci/browser installs it (Debian: apt-get install chromium)")
    return path


@pytest.fixture(scope="module")
def endpoints(
    request: pytest.FixtureRequest, chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> Endpoints:
    """Of a running stack, trained on the tiny fixture, with more to look at; all look at one."""

    def start() -> AbstractContextManager[Endpoints]:
        return running(fixture(tmp_path_factory.mktemp("events")))

    found: Endpoints = kept(request.node.nodeid, "stack", start)
    return found


@contextmanager
def running(events: Path) -> Iterator[Endpoints]:
    """A stack that has read these events, and learned from them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "ARTIFACTS_URL", "HTTP_PORT"):
            patch.delenv(name, raising=False)
        # Fitted once, and not again by what the tests do.
        patch.setenv("BOOTSTRAP_SESSIONS", "150")
        patch.setenv("BOOTSTRAP_POSITIVES", "5")
        patch.setattr(scenario, "FIXTURE", events)
        with starting_stack(Settings(), http_port=0) as stack:
            sent = scenario.replay_fixture(stack)
            stack.wait_ready()
            scenario.wait_trained(stack, sent)
            yield stack.endpoints
            stack.check()


@pytest.fixture(scope="module")
def address(endpoints: Endpoints) -> str:
    """Where the page is."""
    return endpoints.http


@pytest.fixture(scope="module")
def kafka_address(endpoints: Endpoints) -> str:
    """Where producers send to."""
    return endpoints.kafka


@contextmanager
def launched(driver: Playwright, chromium: str) -> Iterator[Browser]:
    """A browser of the driver's."""
    # Its sandbox does not work for root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    started = driver.chromium.launch(executable_path=chromium, args=arguments)
    yield started
    started.close()


@pytest.fixture(scope="module")
def browser(chromium: str, address: str) -> Iterator[Browser]:
    """A browser for the tests of a module; its driver runs the event loop, so it starts last."""
    with sync_playwright() as driver, launched(driver, chromium) as started:
        yield started


def fixture(folder: Path) -> Path:
    """The tiny fixture, more media of the large one, and media with hostile ids, gzipped."""
    tiny = (FIXTURES / "tiny.jsonl").read_text().splitlines()
    with gzip.open(FIXTURES / "kuairand.jsonl.gz", "rt") as lines:
        media = (line.strip() for line in lines if '"catalog.media"' in line)
        more = list(islice((line for line in media if line not in tiny), MORE_MEDIA))
    newest = max(json.loads(line).get("ts", 0) for line in tiny)
    hostile = {
        "topic": "catalog.media", "media_id": HOSTILE, "author_id": HOSTILE_ACCOUNT,
        "created_ts": newest - 1, "topics": [HOSTILE], "image_url": "javascript:document.title=3",
    }  # fmt: skip
    path = folder / "looked_at.jsonl"
    path.write_text("\n".join([*more, json.dumps(hostile), *tiny]) + "\n")
    return path


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[OpenPage]:
    """Opens a view in a browser of its own; what a script complains of fails the test."""
    opened: list[Any] = []
    complaints: list[str] = []

    def heard(said: ConsoleMessage) -> None:
        # The browser writes down what the API refuses, which the page tells in its own words.
        if said.type == "error" and not re.search("status of 40[0139]", said.text):
            complaints.append(said.text)

    def opening(view: str = f"explore?viewer={VIEWER}", **context: Any) -> Page:
        made = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | context)
        opened.append(made)
        page = made.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", heard)
        page.goto(f"{address}/#/{view}")
        return page

    yield opening
    for context in opened:
        context.close()
    assert complaints == []


def tiles(page: Page) -> list[str]:
    """Ids of the media that are shown, in order."""
    page.wait_for_selector(".tile .picture")
    found: list[str] = page.eval_on_selector_all(
        ".tile", "all => all.map(one => one.dataset.media)"
    )
    return found


def keep(page: Page, name: str) -> None:
    """Keep a screenshot of what is seen."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def assert_accessible(page: Page) -> None:
    """No rule of axe that matters is broken."""
    results = Axe().run(page)
    bad = [
        f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes']][:3]}"
        for one in results.response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert bad == []
