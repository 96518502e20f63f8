"""The page as it is served: whole, small, its own, and without a way in for strangers' scripts."""

from __future__ import annotations

import re

import httpx
import pytest
from fastapi import FastAPI

from infra.page import STATIC, mount_page

MOST_BYTES = 500_000
FILES = sorted(path for path in STATIC.rglob("*") if path.is_file())
TEXTS = {path.relative_to(STATIC).as_posix(): path.read_text() for path in FILES}
IMPORT = re.compile(r"""(?:from|import)\s*\(?\s*"(\.[^"]+)\"""")
#: What names its files: the document, and styles.
NAMED = re.compile(r"""(?:href|src)="/assets/([^"#]+)|url\("([^"]+)"\)""")

#: How text becomes markup or script.
WAYS = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "srcdoc")


@pytest.fixture
def client() -> httpx.AsyncClient:
    api = FastAPI()
    mount_page(api)
    return httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://page")


async def test_the_page_and_its_files_are_served_safely(client: httpx.AsyncClient) -> None:
    for path in ("/", *(f"/assets/{name}" for name in TEXTS)):
        answer = await client.get(path)
        assert answer.status_code == 200
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        again = await client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == (200 if path == "/" else 304)
    assert (await client.get("/assets/../__init__.py")).status_code == 404
    assert (await client.get("/assets/nothing.js")).status_code == 404


async def test_scripts_are_served_as_such(client: httpx.AsyncClient) -> None:
    answer = await client.get("/assets/js/main.js")
    assert "javascript" in answer.headers["Content-Type"]


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in FILES) <= MOST_BYTES


@pytest.mark.parametrize("name", TEXTS)
def test_all_it_names_is_there(name: str) -> None:
    place = (STATIC / name).parent
    for module in IMPORT.findall(TEXTS[name]):
        assert (place / module).is_file(), module
    for served, relative in NAMED.findall(TEXTS[name]):
        assert (STATIC / served if served else place / relative).is_file()


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_comes_from_outside(name: str) -> None:
    outside = re.findall(r"https?://[^\s\"'`)]+", TEXTS[name])
    assert set(outside) <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("name", TEXTS)
def test_text_never_becomes_markup(name: str) -> None:
    for way in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "srcdoc",
    ):
        assert way not in TEXTS[name]
    assert not re.search(r"\bon\w+\s*=\s*[\"']|<script(?![^>]*src=)|style=\"", TEXTS["index.html"])
