"""The workbench: a wrong query told at its place, mended, run, and compared."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import VIEWER, OpenPage, assert_accessible, keep

WORKBENCH = f"workbench?viewer={VIEWER}"


def test_a_mistake_and_its_mending(open_page: OpenPage) -> None:
    page = open_page(WORKBENCH)
    field = page.get_by_label("Query in IGQL")
    expect(page.locator(".note.right")).to_be_visible()
    expect(page.locator(".plan")).to_contain_text("account_nn")
    page.once("console", lambda _: None)
    field.fill("user.popular(max_num_to_retrieve=50)\n  .take(40)\n  .exclude_sen()")
    wrong = page.locator(".mistakes button")
    expect(wrong).to_contain_text("3:4")
    expect(wrong).to_contain_text("did you mean exclude_seen?")
    expect(page.locator(".paper .wrong")).to_have_text("exclude_sen")
    keep(page, "workbench mistake")
    assert_accessible(page)
    wrong.click()
    page.keyboard.type("exclude_seen")
    expect(page.locator(".note.right")).to_be_visible()


def test_words_are_completed_where_they_fit(open_page: OpenPage) -> None:
    page = open_page(WORKBENCH)
    field = page.get_by_label("Query in IGQL")
    expect(page.locator(".note.right")).to_be_visible()
    field.fill("")
    field.type("user.pop")
    choices = page.get_by_role("option")
    expect(choices.first).to_contain_text("popular")
    page.keyboard.press("Enter")
    # A source of media stands after the viewer; what filters media does not.
    expect(choices.first).to_contain_text("max_num_to_retrieve")
    page.keyboard.press("Enter")
    page.keyboard.type("30)")
    assert field.input_value() == "user.popular(max_num_to_retrieve=30)"
    expect(page.locator(".note.right")).to_contain_text("30 candidates")


def test_what_it_finds_beside_the_live_query(open_page: OpenPage) -> None:
    page = open_page(WORKBENCH)
    expect(page.locator(".found").nth(1).locator(".picture").first).to_be_visible()
    expect(page.get_by_text("in both ·")).to_be_visible()
    keep(page, "workbench")
    assert_accessible(page)
    page.get_by_role("button", name="Keep to compare").click()
    expect(page.get_by_text("· 0 only in this query · 0 only in the other")).to_be_visible()
