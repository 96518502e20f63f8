"""What this process has measured of its grids, from its own metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import REGISTRY, Metric
from prometheus_client.samples import Sample

from infra.http.operations import Funnel, GridFigures
from infra.metrics import FUNNEL_BEST, FUNNEL_LOST, GRID_ITEMS, GRIDS, GRIDS_FAILED
from streams.grid_figures import EVENT_TO_GRID_LATELY, MAKING_LATELY

#: Counted by releases that answer a grid first and make it anew behind the answer.
STALE_READS: Final = "freshgrid_stale_read_seconds_count"


def grid_figures(waiting: int) -> GridFigures:
    """The figures of now.

    Args:
        waiting: viewers who wait for a grid.
    """
    stale = REGISTRY.get_sample_value(STALE_READS)
    return GridFigures(
        made=_total(GRIDS.collect()),
        failed=_total(GRIDS_FAILED.collect()),
        waiting=waiting,
        event_to_grid=EVENT_TO_GRID_LATELY.spread(),
        making=MAKING_LATELY.spread(),
        by_source=_by_label(GRID_ITEMS.collect(), "source"),
        funnel=Funnel(
            _total(FUNNEL_BEST.collect()), _by_label(FUNNEL_LOST.collect(), "ranking_pass")
        ),
        stale_reads=None if stale is None else int(stale),
    )


def _counts(families: Iterable[Metric]) -> Iterator[Sample]:
    for family in families:
        yield from (sample for sample in family.samples if sample.name.endswith("_total"))


def _total(families: Iterable[Metric]) -> int:
    return int(sum(sample.value for sample in _counts(families)))


def _by_label(families: Iterable[Metric], label: str) -> dict[str, int]:
    """Label → its count, the largest first."""
    found = {sample.labels[label]: int(sample.value) for sample in _counts(families)}
    return dict(sorted(found.items(), key=lambda one: one[1], reverse=True))
