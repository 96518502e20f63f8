"""Write Grafana's dashboard of Freshgrid with the builders of Grafana's own SDK.

``python docs/generate_dashboard.py`` writes it; a unit test says when it is out of date.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import prometheus, timeseries
from grafana_foundation_sdk.builders.common import VizLegendOptions
from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef

TARGET: Final = Path(__file__).parents[1] / "infra" / "observability" / "grafana" / "freshgrid.json"
_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="prometheus")


class Panel(NamedTuple):
    """One picture.

    Attributes:
        unit: of Grafana: ``s``, ``ops``, ``short`` or ``percentunit``.
        queries: by the legend of each line.
    """

    title: str
    means: str
    unit: str
    queries: dict[str, str]


def _quantile(share: float, metric: str) -> str:
    return f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket[$__rate_interval])))"


def _rate(metric: str, *labels: str) -> str:
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"sum{by} (rate({metric}_total[$__rate_interval]))"


ROWS: Final[dict[str, list[Panel]]] = {
    "From event to grid": [
        Panel("Events", "Records whose effect is stored, a second.", "ops",
              {"{{topic}}": _rate("freshgrid_events", "topic")}),
        Panel("Age of events", "From Kafka to the viewer's state.", "s",
              {"median": _quantile(0.5, "freshgrid_event_age_seconds"),
               "99 %": _quantile(0.99, "freshgrid_event_age_seconds")}),
        Panel("Lag", "Records not committed yet.", "short",
              {"{{topic}}": "sum by (topic) (freshgrid_lag_records)"}),
        Panel("Grids", "Grids made and stored, a second; viewers who wait.", "short",
              {"made a second": _rate("freshgrid_grids"),
               "cannot be made": _rate("freshgrid_grids_failed"),
               "viewers who wait": "sum(freshgrid_grids_waiting)"}),
    ],
    "What is served": [
        Panel("From event to grid", "As the producer's clock has it.", "s",
              {"median": _quantile(0.5, "freshgrid_event_to_grid_seconds"),
               "99 %": _quantile(0.99, "freshgrid_event_to_grid_seconds")}),
        Panel("Take-down", "From the catalogue's record to no ready grid showing it.", "s",
              {"99 %": _quantile(0.99, "freshgrid_take_down_seconds")}),
        Panel("Lost in the funnel", "Of what the final pass likes best, what an earlier one cut.",
              "percentunit",
              {"{{ranking_pass}}":
               f"{_rate('freshgrid_funnel_lost', 'ranking_pass')} / on () group_left () "
               f"{_rate('freshgrid_funnel_best')}"}),
        Panel("Drift of predictions", "KL divergence since the rankers went live.", "short",
              {"{{head}}": "max by (head) (freshgrid_score_drift)"}),
        Panel("Sources left out", "Slow, failed or resting sources of candidates, a second.", "ops",
              {"{{source}} {{outcome}}": _rate("freshgrid_query_sources", "source", "outcome")}),
        Panel("Versions", "Trained versions by what became of them, in an hour.", "short",
              {"{{kind}} {{outcome}}":
               "sum by (kind, outcome) (increase(freshgrid_versions_total[1h]))"}),
    ],
    "What is learned": [
        Panel("Examples", "Examples learned and pages labelled, a second.", "ops",
              {"examples": _rate("freshgrid_examples_learned"),
               "pages": _rate("freshgrid_pages_labelled")}),
        Panel("Labels", "Pages and events that wait for each other.", "short",
              {"{{what}}": "sum by (what) (freshgrid_labels_waiting)"}),
        Panel("Sessions", "Sessions closed, viewers looked at, a second.", "ops",
              {"closed": _rate("freshgrid_sessions_closed"),
               "looked at": _rate("freshgrid_sessions_looked_at")}),
        Panel("Candidate sets", "Sampled for the first pass, a second.", "ops",
              {"{{outcome}}": _rate("freshgrid_candidate_sets", "outcome")}),
    ],
    "What goes wrong": [
        Panel("Dead letters", "By reason, a second.", "ops",
              {"{{error}}": _rate("freshgrid_dead_letters", "error")}),
        Panel("Failures, each tried again", "Of Redis and of Kafka, a second.", "ops",
              {"Redis": _rate("freshgrid_redis_failures"),
               "Kafka": _rate("freshgrid_kafka_send_failures")}),
        Panel("Parked", "Media that events wait for.", "short",
              {"media": "sum(freshgrid_parked_media)"}),
        Panel("Memory", "Resident memory of each process.", "bytes",
              {"{{instance}}": 'process_resident_memory_bytes{job="freshgrid"}'}),
    ],
}  # fmt: skip


def text() -> str:
    """The dashboard as Grafana reads it."""
    board = (
        Dashboard("Freshgrid").uid("freshgrid").tags(["freshgrid"]).refresh("10s").editable()
        .time("now-30m", "now")
    )  # fmt: skip
    numbers = count(1)
    for title, panels in ROWS.items():
        board = board.with_row(Row(title).id(next(numbers)))
        for panel in panels:
            board = board.with_panel(_built(panel).id(next(numbers)))
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def _built(panel: Panel) -> timeseries.Panel:
    built = (
        timeseries.Panel()
        .title(panel.title).description(panel.means).unit(panel.unit).datasource(_SOURCE)
        .min(0).span(6).height(8)
        .legend(
            VizLegendOptions().show_legend(True)
            .display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
        )
    )  # fmt: skip
    for legend, query in panel.queries.items():
        built = built.with_target(
            prometheus.Dataquery().expr(query).legend_format(legend).datasource(_SOURCE)
        )
    return built


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
