"""The catalogue in, and files in and out: what comes out goes in again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.http import bodies, writing
from infra.http.routes import Routes
from infra.http.writing import writing_routes
from models.events import Account, Integrity, Media, parse_account, parse_media
from models.world import World, WorldConfig
from streams.clock import now_ms
from streams.serving.catalogue_export import CatalogueExport
from streams.serving.directory import Directory
from streams.serving.intake import Intake
from tests.http import client_of
from tests.unit.infra.http.test_events import NDJSON, Broker, event

MEDIA = {"media_id": "m", "author_id": "a", "created_ts": 1}


def world_of(media: list[Media], accounts: list[Account]) -> World:
    world = World(WorldConfig(details=True))
    world.apply_accounts(accounts)
    world.apply_media(media)
    return world


def routes(broker: Broker, world: World) -> Routes:
    return writing_routes(Intake(broker.send), CatalogueExport(world, Directory(world)))


def client(broker: Broker, world: World | None = None) -> httpx.AsyncClient:
    return client_of(routes(broker, world or world_of([], [])))


async def test_records_are_put_under_their_ids() -> None:
    broker = Broker()
    async with client(broker) as at:
        one = await at.put("/v1/catalogue/media", json=MEDIA)
        two = await at.put("/v1/catalogue/accounts", json=[{"account_id": "a"}, {"account": "b"}])
        bad = await at.put("/v1/catalogue/media", json={**MEDIA, "created_ts": "now"})
    assert (one.status_code, two.status_code, bad.status_code) == (202, 202, 422)
    assert [(one["index"], one["reason"]) for one in two.json()["refused"]] == [(1, "bad_field")]
    assert [(r.topic, r.key) for r in broker.records] == [
        ("catalog.media", "m"), ("catalog.accounts", "a"),
    ]  # fmt: skip


def lines() -> list[bytes]:
    good = [
        {"topic": "catalog.media", **MEDIA},
        {"topic": "events.like", **event()},
        {"topic": "catalog.accounts", "account_id": "a"},
    ]
    bad = [{"topic": "explore.touched"}, {"topic": "events.like"}, {**event()}]
    return [json.dumps(line).encode() for line in (*good, *bad, *good)]


async def test_a_file_is_taken_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "CHUNK", 2)
    broker = Broker()
    body = b"\n\n".join(lines())

    async def bytes_one_by_one() -> AsyncIterator[bytes]:
        for at in range(len(body)):
            yield body[at : at + 1]

    async with client(broker) as at:
        told = await at.post(
            "/v1/import", content=bytes_one_by_one(), headers={"Content-Type": NDJSON}
        )
    assert told.status_code == 200
    answer = told.json()
    assert (answer["lines"], answer["accepted"], answer["refused"]) == (9, 6, 3)
    assert [(one["index"], one["reason"]) for one in answer["refusals"]] == [
        (3, "unknown_topic"), (4, "bad_field"), (5, "unknown_topic"),
    ]  # fmt: skip
    assert len(broker.records) == 6


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [(b"\n \n", NDJSON, 400), (b"{}", "application/json", 415), (b"x" * 5000, NDJSON, 413)],
    ids=["nothing", "another type", "a long line"],
)
async def test_a_file_that_is_none(
    body: bytes, kind: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MOST_LINE_BYTES", 4000)
    async with client(Broker()) as at:
        told = await at.post("/v1/import", content=body, headers={"Content-Type": kind})
    assert told.status_code == status


@pytest.mark.parametrize(("pause_s", "status"), [(0.15, 200), (5.0, 503)])
async def test_the_time_begins_anew_with_each_part_of_a_body(pause_s: float, status: int) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for line in lines()[:3]:
            yield line + b"\n"
            await asyncio.sleep(pause_s)

    broker = Broker()
    async with client_of(routes(broker, world_of([], [])), limit_s=0.3) as at:
        told = await at.post("/v1/import", content=slowly(), headers={"Content-Type": NDJSON})
    assert told.status_code == status


NAMES = st.text("ab/ü\n", min_size=1, max_size=3)
TOPICS = st.lists(st.text("st", min_size=1, max_size=2), max_size=2).map(tuple)
MEDIA_RECORDS = st.builds(
    Media,
    media_id=NAMES,
    author_id=NAMES,
    created_ts=st.integers(0, now_ms()),
    # As the catalogue keeps them.
    integrity=st.builds(Integrity, nsfw=st.floats(0, 1, width=32)),
    topics=TOPICS,
    language=st.none() | NAMES,
    image_url=st.none() | NAMES,
)
ACCOUNT_RECORDS = st.builds(
    Account, account_id=NAMES, topics=TOPICS, private=st.booleans(), disabled=st.booleans(),
    language=st.none() | NAMES,
)  # fmt: skip


@given(
    st.lists(MEDIA_RECORDS, unique_by=lambda one: one.media_id),
    st.lists(ACCOUNT_RECORDS, unique_by=lambda one: one.account_id),
)
async def test_what_is_exported_can_be_imported(
    media: list[Media], accounts: list[Account]
) -> None:
    broker = Broker()
    async with client(broker, world_of(media, accounts)) as at:
        for kind in ("media", "accounts"):
            file = await at.get(f"/v1/export/{kind}")
            assert file.status_code == 200
            told = await at.post(
                "/v1/import", content=file.content, headers={"Content-Type": NDJSON}
            )
            assert told.status_code == (200 if file.content else 400)
    out = [parse_media(r.value, now_ms()) for r in broker.records if r.topic == "catalog.media"]
    of = [parse_account(r.value) for r in broker.records if r.topic == "catalog.accounts"]
    assert (out, of) == (media, accounts)
