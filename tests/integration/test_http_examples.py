"""Every example of the page of the HTTP API does on a running stack what the page says."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import time
from typing import Any, NamedTuple

import httpx
import pytest

from infra.client import AsyncClient, Client, ProblemError
from streams.clock import now_ms
from tests.integration.conftest import Explore
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "http.md").read_text()
DRAWN_S = 120.0
SERVER = "http://127.0.0.1:8000"


class Example(NamedTuple):
    """A command of the page, and what it says of the answer."""

    title: str
    command: str
    status: int
    answer: str


EXAMPLES = [
    Example(title, command, int(status), answer)
    for title, command, status, answer in re.findall(
        r"^### (.*?)\n.*?^```sh\n(.*?)\n```\n\n(\d+):\n\n```\w+\n(.*?)\n```",
        PAGE,
        flags=re.MULTILINE | re.DOTALL,
    )
]


class Names(NamedTuple):
    """What stands on this stack for the names of the page."""

    viewer: str
    account: str
    media: str

    def put(self, text: str) -> str:
        """A text of the page with the names of this stack."""
        for there, here in (("v1", self.viewer), ("a3", self.account), ("m7", self.media)):
            # As a word of its own: not the version in a path.
            text = re.sub(rf"(?<![\w/]){there}(?!\w)|(?<=[a-z]/){there}(?!\w)", here, text)
        return text


@pytest.fixture(scope="module")
def names(explore: Explore) -> Names:
    accounts = explore.http.get("/v1/accounts", params={"limit": 100}).json()["accounts"]
    account = next(one["account_id"] for one in accounts if one["has_vector"])
    viewer = explore.new_viewer()
    media = explore.post(account, topics=["travel"])
    liked = explore.post("somebody")
    explore.act("events.like", explore.event(viewer, liked, author_id="somebody"))
    # What is popular and was seen is left out, as the examples say.
    seen = explore.page(explore.new_viewer()).json()["items"][0]
    view = explore.event(viewer, seen["media_id"], author_id=seen["author_id"])
    explore.act("events.view", view)
    # The learner draws it once account vectors are live, and lets all others go first.
    until = time.monotonic() + DRAWN_S
    while explore.http.get("/v1/map").status_code == 404:
        assert time.monotonic() < until, "no map of the accounts was drawn"
        time.sleep(0.5)
    return Names(viewer, account, media)


def asked(explore: Explore, command: str) -> httpx.Response:
    """What a curl command of the page is answered, the beginning of it for a stream."""
    words = shlex.split(command)
    assert words.pop(0) == "curl"
    method, headers, body, url = "GET", {}, None, ""
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "--data-binary":
            body = words.pop(0).encode()
        elif word != "-N":
            url = word.removeprefix(SERVER)
    with explore.http.stream(method, url, headers=headers, content=body) as answer:
        if answer.headers["Content-Type"].startswith("text/event-stream"):
            event = next(part for part in answer.iter_text() if "data: " in part)
            return httpx.Response(answer.status_code, text=event)
        answer.read()
    return answer


def shape(told: Any) -> Any:
    """Names of fields all the way down, of the first one of a list; whatever the partition is."""
    if isinstance(told, dict):
        return {re.sub(r"/\d+$", "/0", name): shape(value) for name, value in told.items()}
    return [shape(told[0])] if isinstance(told, list) and told else ()


def covers(here: Any, there: Any) -> bool:
    """Whether an answer has the fields of an example, where both have something."""
    if isinstance(here, dict) and isinstance(there, dict):
        # By names of things (weights, versions, arms): what there is differs.
        common = here.keys() & there.keys()
        return bool(common or not there or not here) and all(
            covers(here[n], there[n]) for n in common
        )
    if isinstance(here, list) and isinstance(there, list):
        return covers(here[0], there[0])
    return True


def test_the_page_has_an_example_of_every_route() -> None:
    titles = re.findall(r"^### (.*)$", PAGE, flags=re.MULTILINE)
    assert [example.title for example in EXAMPLES] == titles
    assert len(titles) > 30


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.title for example in EXAMPLES])
def test_an_example_is_answered_as_the_page_says(
    explore: Explore, names: Names, example: Example
) -> None:
    answer = asked(explore, names.put(example.command))
    assert answer.status_code == example.status, answer.text
    if example.answer.startswith("{") and "\n{" not in example.answer:
        if answer.headers["Content-Type"] == "application/json":
            told, there = answer.json(), json.loads(example.answer)
            assert told.keys() == there.keys()
            assert covers(shape(told), shape(there)), answer.text
    elif example.answer.startswith("id: "):
        id_line, name_line, data_line = answer.text.strip().split("\n")[:3]
        assert (id_line[:4], name_line, data_line[:6]) == ("id: ", "event: grid", "data: ")


def test_the_client_waits_and_is_told(explore: Explore, names: Names) -> None:
    with Client(explore.stack.endpoints.http) as client:
        with client.live(names.viewer) as grids:
            first = next(grids)
            item = first["items"][0]
            sent = client.send_events(
                {
                    "action": "like", "event_id": "from the client", "viewer_id": names.viewer,
                    "media_id": item["media_id"], "author_id": item["author_id"], "ts": now_ms(),
                }
            )  # fmt: skip
            assert sent["accepted"] == 1
            assert next(grids)["generated_at_ms"] > first["generated_at_ms"]
        assert client.explore(names.viewer)["viewer_id"] == names.viewer
        record = client.account(names.account, posts=1)
        assert record["account"]["account_id"] == names.account
        assert client.media_list(media_id=[names.media])["media"][0]["media_id"] == names.media
        lines = list(client.export("accounts"))
        told = client.import_lines(lines)
        assert (told["accepted"], told["refused"]) == (len(lines), 0)
        with pytest.raises(ProblemError, match="404: nobody ever told of media 'a/b'") as caught:
            client.media("a/b")
    assert caught.value.type == "urn:freshgrid:problem:not-found"


def test_the_client_for_coroutines_does_the_same(explore: Explore, names: Names) -> None:
    async def use() -> None:
        async with AsyncClient(explore.stack.endpoints.http) as client:
            async with client.live(names.viewer) as grids:
                assert (await anext(grids))["viewer_id"] == names.viewer
            pages = await asyncio.gather(*(client.explore(names.viewer) for _ in range(5)))
            assert len({page["request_id"] for page in pages}) == 1
            lines = [line async for line in client.export("media")]
            assert (await client.import_lines(lines))["accepted"] == len(lines) > 0
            with pytest.raises(ProblemError) as caught:
                await client.rerank({"viewer_id": names.viewer, "weights": {"lik": 1}})
            assert caught.value.status == 400

    asyncio.run(use())
