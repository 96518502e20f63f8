"""``python -m tests.chaos.reliability``: chaos until enough faults were injected, then one table.

What was seen of each run is kept in ``.cache/reliability``, so that it may be done in pieces: each
call goes on where the last one stopped. Bad input and the soak add what they saw, and the page is
written from all of it.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tests.chaos.__main__ import show, tell
from tests.chaos.bad_input import bad_input as send_malformed
from tests.chaos.reliability_page import Seen, page
from tests.chaos.run import Options, run
from tests.kafka.apache_kafka import apache_kafka_missing
from tests.paths import ROOT

KEPT: Final = ROOT / ".cache" / "reliability"
PAGE: Final = ROOT / "docs" / "reliability.md"
#: Each run has every fault once, and so many events among them.
EVENTS: Final = 12_000
LONGEST_AWAY_S: Final = 3.0
#: What a run needs before its first fault and after its last.
AROUND_S: Final = 90.0


def keep(name: str, report: dict[str, Any]) -> Path:
    """Keep what was seen of a run, for the page; a later run of the name replaces it."""
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"{name}.json"
    path.write_text(json.dumps(report, indent=1))
    return path


def kept() -> Seen:
    """Everything that was kept."""

    def of(pattern: str) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(KEPT.glob(pattern))]

    return Seen(of("chaos-*.json"), of("bad_input*.json"), of("soak*.json"))


def injected(seen: Seen) -> int:
    """How many faults the runs had."""
    return sum(of["injected"] for run in seen.runs for of in run["faults"].values())


def reliability(
    faults: Annotated[int, typer.Option(min=1, help="Faults in all, those kept included.")] = 300,
    minutes: Annotated[
        float, typer.Option(min=3, help="No further run begins after; go on by another call.")
    ] = 240.0,
    bad_input: Annotated[
        int, typer.Option(min=0, help="Malformed records to send, unless as many were; 0: none.")
    ] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what was kept.")] = False,
) -> None:
    """Break everything again and again, and write docs/reliability.md from what was seen."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    if fresh:
        shutil.rmtree(KEPT, ignore_errors=True)
    missing = apache_kafka_missing(tell)
    if missing is not None:
        tell(f"{missing}; on the embedded broker alone, without the faults that end it")
    broker = "embedded" if missing else "apache"
    until = time.monotonic() + minutes * 60
    failed = 0
    while (done := injected(kept())) < faults and time.monotonic() + AROUND_S < until:
        seed = 1 + max((run["seed"] for run in kept().runs), default=0)
        tell(f"{done} of {faults} faults; a run from seed {seed}")
        left_s = until - time.monotonic() - AROUND_S
        report = run(Options(broker, seed, EVENTS, 0, 1, LONGEST_AWAY_S, left_s), tell)
        keep(f"chaos-{broker}-{seed:04}", report)
        failed += not report["ok"]
        if not report["ok"]:
            show(report)
    if bad_input > max((of["malformed"] for of in kept().bad_inputs), default=0):
        found = send_malformed(broker, 1, bad_input, tell)
        keep("bad_input", found)
        failed += not found["ok"]
    write()
    raise typer.Exit(1 if failed else 0)


def write() -> None:
    """Write the page from what was kept."""
    PAGE.write_text(page(kept()), encoding="utf-8")
    tell(f"{PAGE.relative_to(ROOT)} says what was seen")


if __name__ == "__main__":
    typer.run(reliability)
