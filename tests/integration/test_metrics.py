"""What an operator sees of a worker."""

from __future__ import annotations

import re

import httpx

from infra.supervisor import free_port
from streams.topology import FLOWS, WORKER_GROUP


def scrape(port: int) -> dict[str, float]:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).raise_for_status().text
    return {name: float(value) for name, value in re.findall(r"^(freshgrid\S+) (\S+)$", text, re.M)}


def test_a_worker_tells_what_it_did(pipeline):
    port = free_port()
    assert pipeline.stop_worker() == 0
    pipeline.start_worker(METRICS_PORT=str(port))
    viewer = pipeline.new_viewer()
    pipeline.send("events.like", pipeline.event(viewer, "m1", author_id="a"), viewer)
    pipeline.send("events.like", b"not JSON", viewer)
    pipeline.send("events.like", pipeline.event(viewer, f"never-{viewer}"), viewer)
    pipeline.wait(lambda: pipeline.liked(viewer) == ["m1"])
    pipeline.wait(lambda: scrape(port)['freshgrid_events_total{topic="events.like"}'] == 3)
    told = scrape(port)
    assert told['freshgrid_slices_total{stored="appended"}'] == 1
    assert told['freshgrid_dead_letters_total{error="bad_json"}'] == 1
    assert 1 <= told["freshgrid_event_age_seconds_count"] <= 3
    assert told["freshgrid_event_age_seconds_sum"] < 60
    pipeline.wait(lambda: scrape(port)["freshgrid_parked_media"] == 1)

    def lag() -> dict[str, float]:
        return {name: n for name, n in scrape(port).items() if name.startswith("freshgrid_lag")}

    # Every partition of every topic that a worker reads, and all of it committed in the end.
    topics = {t for flow in FLOWS if flow.group == WORKER_GROUP for t in flow.reads}
    assert len(lag()) == len(topics) * pipeline.settings.partitions
    pipeline.wait(lambda: not any(lag().values()))
