"""The Explore page as a person meets it: looks, likes, scrolls, asks why."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import (
    HOSTILE,
    HOSTILE_ACCOUNT,
    OpenPage,
    assert_accessible,
    keep,
    tiles,
)

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}


def tile(page: Page, media_id: str):
    return page.locator(f'.tile[data-media="{media_id}"]')


def act(page: Page, media_id: str, name: str) -> None:
    one = tile(page, media_id)
    one.hover()
    one.locator(f'[data-act="{name}"]').click()


def served_weights(address: str) -> object:
    return httpx.get(f"{address}/v1/weights", trust_env=False).json()


def until(page: Page, condition: Callable[[], bool]) -> None:
    """Wait for what the page does not show: every ranker follows within a second."""
    for _ in range(50):
        if condition():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it did not come to be")


def answered(page: Page) -> None:
    """Wait until a grid that knows of what was done is shown."""
    expect(page.locator(".toasts")).to_contain_text("grid answered in")


def test_a_grid_of_pictures(open_page: OpenPage) -> None:
    page = open_page()
    shown = tiles(page)
    assert len(shown) == len(set(shown)) >= 25
    expect(page.locator(".tile .ghost")).to_have_count(0)
    # Painted, not blank: a canvas has many colours.
    colours = page.locator(".tile canvas").first.evaluate(
        """canvas => new Set(new Uint32Array(canvas.getContext("2d")
            .getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"""
    )
    assert colours > 20
    expect(page.locator(".fresh")).to_have_text("live")
    keep(page, "explore")
    assert_accessible(page)


def test_equal_ids_have_equal_pictures_and_others_have_others(open_page: OpenPage) -> None:
    page = open_page()
    tiles(page)
    drawn = page.evaluate(
        """async () => {
            const { paint } = await import("/assets/js/art/art.js");
            const of = (media, account, topic) => {
                const canvas = document.createElement("canvas");
                canvas.width = canvas.height = 60;
                paint(canvas, { media, account, topic });
                return canvas.toDataURL();
            };
            const all = [];
            for (let topic = 0; topic < 40; topic++) all.push(of("m", "a", String(topic)));
            const first = of("m", "a", "t"), again = of("m", "a", "t");
            return [first, again, of("n", "a", "t"), of("m", "b", "t"), ...all];
        }"""
    )
    same, again, *others = drawn
    assert same == again
    assert len({same, *others}) == len(others) + 1


def test_a_like_changes_the_grid_and_is_taken_back(open_page: OpenPage) -> None:
    page = open_page("explore?viewer=liker")
    before = tiles(page)[:25]
    act(page, before[2], "like")
    answered(page)
    expect(tile(page, before[2])).to_have_count(0)
    after = tiles(page)[:25]
    assert after != before
    assert int(page.locator(".fresh").get_attribute("data-ms") or 0) > 0
    expect(page.locator(".shelf button")).to_have_count(1)
    keep(page, "after a like")
    page.keyboard.press("u")
    expect(page.locator(".shelf button")).to_have_count(0)
    expect(tile(page, before[2])).to_have_count(1)


def test_saved_and_shared(open_page: OpenPage) -> None:
    page = open_page("explore?viewer=saver")
    saved, shared, *_ = tiles(page)
    act(page, saved, "save")
    answered(page)
    act(page, shared, "share")
    expect(page.locator(".shelf button")).to_have_count(2)


def test_what_is_not_wanted_goes_at_once(open_page: OpenPage) -> None:
    page = open_page("explore?viewer=choosy")
    before = tiles(page)
    act(page, before[1], "see_fewer")
    expect(tile(page, before[1])).to_have_count(0, timeout=2000)
    answered(page)
    assert before[1] not in tiles(page)
    # Also in what comes later, and in a new visit.
    page.reload()
    assert before[1] not in tiles(page)


def test_what_could_not_be_said_comes_back(open_page: OpenPage) -> None:
    page = open_page("explore?viewer=unheard")
    before = tiles(page)
    refusal = '{"detail": "not today"}'
    page.route("**/v1/events", lambda route: route.fulfill(status=400, body=refusal))
    act(page, before[1], "see_fewer")
    expect(page.locator(".toasts .bad")).to_have_text("not today")
    expect(tile(page, before[1])).to_have_count(1)
    expect(page.locator(".shelf button")).to_have_count(0)


def test_an_account_of_no_interest_goes_with_all_it_has(open_page: OpenPage) -> None:
    page = open_page("explore?viewer=muter")
    tiles(page)
    page.locator(".tile .open").first.click()
    author = page.locator(".panel .top a").inner_text()
    page.get_by_role("button", name="Not interested in this account").click()
    answered(page)
    assert author not in page.locator(".mosaic").inner_text()


def test_ten_pages_without_a_repeat(open_page: OpenPage) -> None:
    page = open_page("explore?viewer=scroller")
    tiles(page)
    for _ in range(60):
        if page.locator(".tile").count() >= 250:
            break
        page.mouse.wheel(0, 4000)
        page.wait_for_timeout(150)
    shown = tiles(page)
    assert len(shown) == len(set(shown)) >= 250


def test_why_is_this_here(open_page: OpenPage) -> None:
    page = open_page()
    tiles(page)
    page.locator(".tile .open").nth(3).click()
    panel = page.locator(".panel")
    for heading in ("How it was found", "Its rank, pass by pass", "What it is worth"):
        expect(panel.get_by_role("heading", name=heading)).to_be_visible()
    assert panel.locator(".path li").count() >= 2
    expect(panel.locator(".passes")).to_contain_text("First pass")
    expect(panel.locator(".bars")).to_contain_text("Like")
    expect(panel.locator(".losses")).to_contain_text("kept by the second pass")
    panel.get_by_text("Versions that made this grid").click()
    expect(panel.locator(".versions")).to_contain_text("rankers-")
    keep(page, "why")
    assert_accessible(page)
    # Why is another one not there?
    panel.get_by_label("Id of a media").fill("m-unheard-of")
    page.keyboard.press("Enter")
    expect(page.locator(".panel .note.bad").first).to_contain_text("lost at inventory")


def test_what_if_actions_were_worth_something_else(open_page: OpenPage, address: str) -> None:
    page = open_page()
    tiles(page)
    weights = served_weights(address)
    page.locator(".tile .open").nth(3).click()
    panel = page.locator(".panel")
    panel.get_by_text("What if actions were worth something else?").click()
    expect(panel.locator(".whatif .picture").first).to_be_visible()
    panel.locator("#weight-long_view").fill("10")
    panel.locator("#weight-like").fill("0")
    expect(panel.get_by_text("Nothing is changed yet")).to_be_visible()
    expect(panel.locator(".whatif small").first).to_be_visible()
    panel.locator(".whatif").scroll_into_view_if_needed()
    keep(page, "what if")
    assert_accessible(page)
    assert served_weights(address) == weights
    # Applied, and taken back.
    panel.get_by_role("button", name="Apply for everyone").click()
    undo = page.locator(".toasts").get_by_role("button", name="Undo")
    expect(undo).to_be_visible()
    until(page, lambda: served_weights(address) != weights)
    undo.click()
    until(page, lambda: served_weights(address) == weights)


def test_an_account_with_its_posts_and_who_is_near(open_page: OpenPage) -> None:
    page = open_page()
    tiles(page)
    page.locator(".tile .open").first.click()
    name = page.locator(".panel .top a")
    account = name.inner_text()
    name.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(account)
    assert tiles(page)
    keep(page, "account")
    assert_accessible(page)


def test_the_keyboard_alone(open_page: OpenPage) -> None:
    page = open_page("explore?viewer=typist")
    before = tiles(page)
    while page.evaluate("!document.activeElement.closest('.tile')"):
        page.keyboard.press("Tab")
    here = "document.activeElement.closest('.tile')?.dataset.media"
    assert page.evaluate(here) == before[0]
    page.keyboard.press("ArrowRight")
    assert page.evaluate(here) == before[1]
    page.keyboard.press("ArrowDown")
    assert page.evaluate(here) == before[2]
    page.keyboard.press("Enter")
    expect(page.locator(".panel .path")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".panel")).to_have_count(0)
    assert page.evaluate(here) == before[2]
    page.keyboard.press("l")
    answered(page)
    # The liked one is gone; the keyboard is still in the grid.
    assert page.evaluate(here) in tiles(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("go from tile to tile")


def test_another_viewer_and_a_new_one(open_page: OpenPage) -> None:
    page = open_page()
    tiles(page)
    page.locator("#viewer").click()
    dialog = page.get_by_role("dialog")
    assert_accessible(page)
    dialog.get_by_role("button", name="New viewer").click()
    expect(page.locator("#viewer")).to_contain_text("guest-")
    assert tiles(page)


def test_on_a_phone_in_the_dark(open_page: OpenPage) -> None:
    page = open_page(color_scheme="dark", **PHONE)
    tiles(page)
    keep(page, "phone")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = [page.locator(".tile").nth(at).bounding_box() for at in range(3)]
    large, small, below = (box for box in boxes if box)
    assert large["width"] > 1.9 * small["width"]
    assert small["x"] == below["x"] > large["x"]
    assert_accessible(page)
    page.locator(".tile .open").nth(1).tap()
    expect(page.locator(".panel .path")).to_be_visible()
    keep(page, "phone why")
    assert_accessible(page)


def test_on_a_phone_all_that_can_be_done_is_at_hand(open_page: OpenPage) -> None:
    page = open_page("explore?viewer=thumb", **PHONE)
    unwanted = tiles(page)[1]
    one = tile(page, unwanted)
    for name in ("save", "share", "see_fewer"):
        expect(one.locator(f'[data-act="{name}"]')).to_be_hidden()
    one.get_by_role("button", name="More actions").tap()
    for name in ("like", "save", "share", "see_fewer"):
        expect(one.locator(f'[data-act="{name}"]')).to_be_in_viewport()
    keep(page, "phone actions")
    assert_accessible(page)
    one.locator('[data-act="see_fewer"]').tap()
    expect(tile(page, unwanted)).to_have_count(0)


def test_who_wants_calm_gets_it(open_page: OpenPage) -> None:
    page = open_page("explore?viewer=calm", reduced_motion="reduce")
    first, *_ = tiles(page)
    act(page, first, "like")
    answered(page)
    moving = "document.getAnimations().filter(one => one.effect.getTiming().duration > 1).length"
    assert page.evaluate(moving) == 0


def test_a_refused_stream_is_asked_for_again(open_page: OpenPage) -> None:
    refused: list[str] = []

    def refuse_once(route: Route) -> None:
        if refused:
            route.continue_()
            return
        refused.append(route.request.url)
        route.fulfill(status=400, body="{}")

    page = open_page("workbench?viewer=patient")
    page.route("**/v1/live?*", refuse_once)
    page.get_by_role("link", name="Explore").click()
    expect(page.locator(".fresh")).to_have_text("waiting for Freshgrid")
    assert tiles(page)
    expect(page.locator(".fresh")).to_have_text("live")
    assert refused


def test_ids_are_strangers_text(open_page: OpenPage, address: str) -> None:
    page = open_page()
    tiles(page)
    page.evaluate(
        "id => { location.hash = `#/account?${new URLSearchParams({ id, viewer: id })}` }",
        HOSTILE_ACCOUNT,
    )
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE_ACCOUNT)
    assert tiles(page) == [HOSTILE]
    page.locator(".tile .open").click()
    expect(page.locator(".panel h2")).to_have_text(HOSTILE)
    assert page.title().endswith("Freshgrid")
    assert page.locator("main img, .panel img").count() == 0
