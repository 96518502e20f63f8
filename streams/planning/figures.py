"""Figures of a machine, out of what ``freshgrid bench NAME --json`` printed: one object a line.

::

    for name in memory sessions ingest grid start http learner; do
        freshgrid bench $name --json | tail -1 >> figures.jsonl
    done
    freshgrid plan … --figures figures.jsonl

Of a benchmark that stands there twice the last one counts. Errors::

    FreshgridError
    └── FiguresError    a file cannot be read, or lacks a figure
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from infra.errors import FreshgridError, reason_of

#: Those that come with Freshgrid; what they are from stands in each.
SHIPPED: Final = Path(__file__).with_name("figures.jsonl")


class FiguresError(FreshgridError):
    """A file of figures cannot be read, or lacks one."""


class Bench(msgspec.Struct, frozen=True):
    """A line of such a file: figures by the keys of docs/operations.md, and the machine."""

    bench: str
    figures: dict[str, Any]
    machine: dict[str, Any] = {}


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What one core does, and what one thing takes.

    Attributes:
        fold_per_core_s: events that a worker folds per second of processor time.
        store_per_core_s: events that Redis stores per second of processor time.
        broker_per_core_s: events that the broker takes and gives per second of processor time.
        close_per_core_s: viewers with a closed session that a worker looks at per second.
        grids_per_core_s: grids that a ranker makes per second.
        pages_per_core_s: ready pages that a ranker answers per second.
        follow_per_core_s: records that a ranker takes into its world per second.
        learn_pages_per_s: labelled pages that the learner takes in per second.
        learn_events_per_s: events that it makes examples of per second; None where no benchmark
            says.
        event_bytes: of an event in Kafka, with its key.
        page_record_bytes: of a labelled page in Kafka.
        viewer_bytes: of a viewer's state in Redis, key and tables included.
        state_bytes: of its value alone, which each write sends.
        grid_bytes: of a ready grid in Redis.
        media_bytes: of a media in a ranker's memory.
        worker_bytes: of a worker's memory at most.
        machine: what they are from.
    """

    fold_per_core_s: float
    store_per_core_s: float
    broker_per_core_s: float
    close_per_core_s: float
    grids_per_core_s: float
    pages_per_core_s: float
    follow_per_core_s: float
    learn_pages_per_s: float
    learn_events_per_s: float | None
    event_bytes: float
    page_record_bytes: float
    viewer_bytes: float
    state_bytes: float
    grid_bytes: float
    media_bytes: float
    worker_bytes: float
    machine: str


def read_figures(path: Path = SHIPPED) -> Figures:
    """The figures in a file.

    Raises:
        FiguresError: it cannot be read, or a benchmark that is needed is not in it.
    """
    try:
        lines = [line for line in path.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise FiguresError(f"{path} cannot be read: {reason_of(error)}") from error
    benches: dict[str, Bench] = {}
    for number, line in enumerate(lines, start=1):
        try:
            bench = msgspec.json.decode(line, type=Bench)
        except msgspec.DecodeError as error:
            raise FiguresError(
                f"{path}:{number} is not what `freshgrid bench NAME --json` prints: {error}"
            ) from error
        benches[bench.bench] = bench
    read = _Reader(path, benches)
    events = read("ingest", "events")
    learner = benches.get("learner")
    return Figures(
        fold_per_core_s=events / read("ingest", "worker_cpu_s"),
        store_per_core_s=events / read("ingest", "redis_cpu_s"),
        broker_per_core_s=events / read("ingest", "broker_cpu_s"),
        close_per_core_s=read("sessions", "closing_viewers_per_s"),
        # One by one, as they are made for who acted; in batches they take less.
        grids_per_core_s=1000 / read("grid", "p50_ms"),
        pages_per_core_s=read("http", "requests_per_s_1"),
        follow_per_core_s=(read("start", "media") + read("start", "events"))
        / read("start", "start_s_full"),
        learn_pages_per_s=read("learner", "pages_per_s"),
        learn_events_per_s=learner.figures.get("events_per_s") if learner else None,
        event_bytes=read("ingest", "bytes_per_event"),
        page_record_bytes=read("learner", "record_bytes"),
        viewer_bytes=read("memory", "redis_bytes_per_viewer"),
        state_bytes=read("memory", "value_bytes_mean"),
        grid_bytes=read("memory", "grid_bytes"),
        media_bytes=read("start", "snapshot_bytes_per_media"),
        worker_bytes=read("ingest", "max_rss_mb") * 2**20,
        machine=_named({name: bench.machine for name, bench in benches.items()}),
    )


class _Reader:
    def __init__(self, path: Path, benches: dict[str, Bench]) -> None:
        self._path, self._benches = path, benches

    def __call__(self, bench: str, key: str) -> float:
        found = self._benches.get(bench)
        value = None if found is None else found.figures.get(key)
        if not isinstance(value, int | float) or value <= 0:
            raise FiguresError(
                f"{self._path} has no {key} of the benchmark {bench}: append what `freshgrid bench "
                f"{bench} --json` prints"
            )
        return float(value)


def _named(machines: dict[str, dict[str, Any]]) -> str:
    names = {
        ", ".join(str(of[key]) for key in ("cpus", "cpu", "python") if of.get(key))
        for of in machines.values()
    }
    return "; ".join(sorted(name for name in names if name)) or "a machine that is not named"
