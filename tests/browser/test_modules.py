"""Modules of the page that compute, in the browser, without a stack."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, sync_playwright

from infra.page import mount_page
from infra.supervisor import free_port
from tests.browser.conftest import launched


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as driver, launched(driver, chromium) as started:
        yield started


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """A document of the page's own origin that runs nothing."""
    api = FastAPI()
    mount_page(api)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(api, port=port, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    opened = browser.new_page()
    opened.goto(f"http://127.0.0.1:{port}/assets/icon.svg")
    yield opened
    opened.close()
    server.should_exit = True
    thread.join()


def run(page: Page, module: str, body: str) -> Any:
    return page.evaluate(f'async () => {{ const m = await import("/assets/js/{module}"); {body} }}')


PAGES = """
const pages = {
    a: { items: ["2", "3"], next: "b" }, b: { items: ["1", "2"], next: "c" },
    c: { items: ["4"], next: null },
};
const page = ({ items, next }) => ({ items: items.map(media_id => ({ media_id })), next });
const asked = [];
const feed = new m.Feed(async cursor => { asked.push(cursor); return page(pages[cursor]); });
const shown = () => feed.items.map(item => item.media_id).join("");
"""


def test_a_media_stands_once_however_pages_overlap(page: Page) -> None:
    told = run(
        page,
        "explore/feed.js",
        PAGES
        + """
        feed.replaceHead(page({ items: ["1", "2"], next: "a" }));
        const all = [shown()];
        for (let i = 0; i < 3; i++) { await feed.extend(); all.push(shown()); }
        return [all, asked, feed.more];""",
    )
    # Page b brought nothing new, so c was asked for as well.
    assert told == [["12", "123", "1234", "1234"], ["a", "b", "c"], False]


def test_a_new_grid_keeps_what_stands_below_it(page: Page) -> None:
    told = run(
        page,
        "explore/feed.js",
        PAGES
        + """
        feed.replaceHead(page({ items: ["1", "2"], next: "a" }));
        await feed.extend();
        feed.replaceHead(page({ items: ["5", "3"], next: "c" }));
        const replaced = shown();
        feed.remove(["5"]);
        const without = shown();
        feed.replaceHead(page({ items: ["5", "3"], next: "c" }));
        const stays = shown();
        feed.restore(["5"]);
        feed.replaceHead(page({ items: ["5", "3"], next: "c" }));
        return [replaced, without, stays, shown()];""",
    )
    assert told == ["53", "3", "3", "53"]


def test_a_page_of_an_older_grid_is_not_used(page: Page) -> None:
    told = run(
        page,
        "explore/feed.js",
        """
        const page = (ids, next) => ({ items: [...ids].map(media_id => ({ media_id })), next });
        let answer;
        const feed = new m.Feed(cursor => cursor === "old"
            ? new Promise(done => { answer = done; }) : Promise.resolve(page("9", null)));
        feed.replaceHead(page("12", "old"));
        const extending = feed.extend();
        feed.replaceHead(page("34", "new"));
        answer(page("78", null));
        await extending;
        return feed.items.map(item => item.media_id).join("");""",
    )
    assert told == "349"


def test_tokens_are_the_text_again(page: Page) -> None:
    text = 'user # all\n  .liked(x=1.5, y="a\\"b") é 💡 .take(3'
    told = run(page, "workbench/tokens.js", f"return m.tokens({text!r});")
    assert "".join(one["text"] for one in told) == text
    kinds = {one["text"]: one["kind"] for one in told}
    assert kinds["user"] == "word"
    assert (kinds["# all"], kinds["liked"], kinds["x"]) == ("comment", "operator", "parameter")


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("user.", "liked"),
        ("user.liked().", "near"),
        ("user.liked(", "most"),
        ("user.liked(most=3, ", "kind"),
        ("user.liked(kind=", "new"),
        ("blend(1: user.liked()).", "near"),
        ("us", "user"),
        ("user.liked() # .", None),
        ("user.nearer", None),
    ],
)
def test_what_may_stand_somewhere(page: Page, text: str, first: str | None) -> None:
    told = run(
        page,
        "workbench/tokens.js",
        f"""
        const operator = (name, takes, gives, parameters = []) =>
            [name, {{ name, takes, gives, parameters, summary: "" }}];
        const of = (name, choices = []) => ({{ name, choices, wants: "", default: null }});
        const operators = new Map([
            operator("liked", ["viewer"], "media", [of("most"), of("kind", ["new", "old"])]),
            operator("near", ["accounts"], "accounts"),
        ]);
        return m.completions({text!r}, operators)?.choices[0].text ?? null;""",
    )
    assert told == first


def test_mistakes_are_found_at_their_places(page: Page) -> None:
    detail = (
        "line 1, column 14: no operator\\n  user.liked().nn()\\n               ^^\\n"
        "line 2, column 2: what is this\\n  .foo()\\n   ^^^\\n2 mistakes"
    )
    text = "user.liked().nn()\\n.foo()"
    told = run(page, "workbench/mistakes.js", f'return m.mistakes("{detail}", "{text}");')
    assert [(one["from"], one["to"], one["message"]) for one in told] == [
        (13, 15, "no operator"),
        (19, 22, "what is this"),
    ]
