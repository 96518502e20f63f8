"""What `freshgrid top` shows of what a ranker tells."""

from __future__ import annotations

import io
from typing import Any

import msgspec
from rich.console import Console

from infra.http.operations import _EXAMPLE, LogState, Operations, TopicRecords
from streams.operations.terminal_view import Look, frame, rates

TOLD = msgspec.convert(_EXAMPLE, Operations)


def told(**fields: Any) -> Operations:
    return msgspec.structs.replace(TOLD, **fields)


def log(**records: int) -> LogState:
    return LogState([TopicRecords(topic, count) for topic, count in records.items()], [])


def shown(before: Operations, now: Operations, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width)
    versions = {"ig2vec": "v1", "rankers": None}
    console.print(frame(Look("http://r", before, versions), Look("http://r", now, versions)))
    written: Any = console.file
    return str(written.getvalue())


def test_a_frame_shows_what_the_page_shows() -> None:
    later = told(at_ms=TOLD.at_ms + 2000, log=log(likes=61334))
    frame_text = shown(told(log=log(likes=61234)), later)
    for part in (
        "Redis is 93% full: raise its maxmemory", "worker", "keeps up", "likes", "50.0", "61,334",
        "31.0 ms, 84.5 ms", "4.2 ms, 9.1 ms", "89.8%", "account_nn", "v1", "none", "dead letters",
        "887 MiB, 93% of what it may", "nothing waits", "22:13:22 UTC",
    ):  # fmt: skip
        assert part in frame_text, part
    assert "freshgrid-worker" in shown(TOLD, TOLD)


def test_what_cannot_be_known_is_not_made_up() -> None:
    nothing = told(log=None, memory=None, dead_letters=None)
    grids = msgspec.structs.replace(TOLD.grids, event_to_grid=None, making=None, by_source={})
    text = shown(nothing, msgspec.structs.replace(nothing, grids=grids), 80)
    assert text.count("–") >= 5
    assert "%" not in text.partition("maxmemory")[2].replace("93%", "")


def test_rates_are_of_the_time_between_two_looks() -> None:
    before, after = told(log=log(a=10, b=10)), told(at_ms=TOLD.at_ms + 4000, log=log(a=30, b=1))
    assert rates(before, after) == {"a": 5.0, "b": 0.0}
    assert rates(after, before) == {}
    assert rates(told(log=None), after) == {}
