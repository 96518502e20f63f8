"""Answered pages are logged behind the answers, each once, and no more wait than have room."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from models.explore.stamp import Stamp
from streams.serving import impression_log
from streams.serving.impression_log import ImpressionLog


def stored(number: int) -> bytes:
    stamp = Stamp(number.to_bytes(4, "big"), "0" * 16, 1_700_000_000_000).text()
    return b'{"page":%d,"features":"","stamp":"%s"}' % (number, stamp.encode())


async def drained(log: ImpressionLog) -> None:
    running = asyncio.ensure_future(log.run())
    while log._waiting:
        await asyncio.sleep(0)
    running.cancel()


async def test_each_page_of_a_viewer_is_logged_once() -> None:
    sent: list[tuple[str, int]] = []

    async def post(viewer_id: str, value: bytes) -> None:
        record = msgspec.json.decode(value)
        assert record["served_ms"] > 1_700_000_000_000
        sent.append((viewer_id, record["page"]))

    log = ImpressionLog(post)
    for viewer_id, number in [("v", 0), ("v", 0), ("w", 0), ("v", 1), ("v", 0)]:
        log.shown(viewer_id, stored(number))
    assert not sent
    await drained(log)
    assert sent == [("v", 0), ("w", 0), ("v", 1)]


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(impression_log, "MAX_WAITING", 3)
    monkeypatch.setattr(impression_log, "MAX_REMEMBERED", 2)
    sent: list[bytes] = []

    async def post(_: str, value: bytes) -> None:
        sent.append(value)

    log = ImpressionLog(post)
    for number in range(10):
        log.shown("v", stored(number))
    await drained(log)
    assert len(sent) == 3
    assert len(log._logged) == 2
    # What was dropped is logged when it is answered again.
    log.shown("v", stored(9))
    await drained(log)
    assert len(sent) == 4
