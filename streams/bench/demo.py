"""Seconds until the demo shows its first grid."""

from __future__ import annotations

import time
from typing import Any

from infra.config import Settings
from streams.local.bundled import Bundled
from streams.local.scenario import get_json, replay_fixture, wait_trained
from streams.local.stack import starting_stack


def run(settings: Settings) -> dict[str, Any]:
    """Start a stack, replay, train, and ask for one grid, as the demo does."""
    started = time.monotonic()
    figures: dict[str, Any] = {}

    def mark(name: str) -> None:
        figures[name] = round(time.monotonic() - started, 1)

    viewer_id = Bundled().to_show().viewer_id
    with starting_stack(settings, http_port=0) as stack:
        sent = replay_fixture(stack)
        mark("replayed_s")
        stack.wait_ready()
        mark("ready_s")
        status = wait_trained(stack, sent)
        mark("trained_s")
        grid = get_json(f"{stack.endpoints.http}/v1/explore/{viewer_id}")
        mark("first_grid_s")
        figures["items"] = len(grid["items"])
        figures["accounts_with_vector"] = status["accounts"]
    return figures
