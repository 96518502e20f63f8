"""Figures of evaluations as Markdown and as one HTML page with plots that needs nothing else."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from infra.errors import FreshgridError

Found = Mapping[str, Any]
_COLUMNS: Final = (
    ("ndcg", "NDCG@25"), ("recall", "recall@25"), ("hit_rate", "hit rate"), ("mrr", "MRR"),
    ("recall_500", "recall@500"), ("coverage", "coverage"), ("novelty", "novelty, bits"),
    ("intra_list_diversity", "diversity"), ("author_share", "share of an author"),
    ("see_fewer_rate", "see-fewer rate"), ("ndcg_seen_exclusions", "NDCG, seen excluded"),
    ("ndcg_no_exclusions", "NDCG, none excluded"),
)  # fmt: skip
_GRID: Final = "#c2410c"
_OTHERS: Final = "#64748b"
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
       color: #0f172a; background: #fff; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; font-size: 1.25rem; }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #e2e8f0; }
th:first-child, td:first-child { text-align: left; }
tr.grid td { font-weight: 600; color: #c2410c; }
figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; }
p.note { color: #475569; }
"""


class ReportError(FreshgridError):
    """The report cannot be drawn."""


def write_report(found: Sequence[Found], folder: Path) -> list[Path]:
    """Write ``grids.md`` and ``grids.html``; gives their paths.

    Raises:
        ReportError: the plots need a package that is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    markdown, html = folder / "grids.md", folder / "grids.html"
    markdown.write_text(as_markdown(found), encoding="utf-8")
    html.write_text(as_html(found), encoding="utf-8")
    return [markdown, html]


def as_markdown(found: Sequence[Found]) -> str:
    """The whole report as one Markdown text, without plots."""
    parts = ["# Grids on recorded logs\n"]
    for one in found:
        parts.append(f"## {_title(one)}\n\n{_summary(one)}\n")
        for heading, table in _tables(one):
            head, *rows = table
            lines = [f"### {heading}\n", _row(head), _row(["---", *["---:"] * (len(head) - 1)])]
            parts.append("\n".join([*lines, *map(_row, rows)]) + "\n")
        parts.append("\n".join(f"- {line}" for line in _notes(one)) + "\n")
    return "\n".join(parts)


def as_html(found: Sequence[Found]) -> str:
    """The report as one page."""
    parts = []
    for one in found:
        parts.append(f"<h2>{escape(_title(one))}</h2><p>{escape(_summary(one))}</p>")
        parts.append(f"<figure>{_bars(one)}</figure>")
        parts.append(f"<figure>{_slices_plot(one)}</figure>")
        for heading, table in _tables(one):
            parts.append(f"<h3>{escape(heading)}</h3>{_html_table(table)}")
        parts += [f'<p class="note">{escape(line)}</p>' for line in _notes(one)]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Grids on recorded logs</title>'
        f"<style>{_STYLE}</style></head><body><h1>Grids on recorded logs</h1>"
        f"{''.join(parts)}</body></html>\n"
    )


def _title(one: Found) -> str:
    return f"{one['data']}, {one['protocol']}, {one['task'].replace('_', ' ')}"


def _summary(one: Found) -> str:
    figures = one["figures"]
    return (
        f"{figures['grids']} grids of {figures['viewers']} viewers, {figures['positives']} "
        f"positives on media they had not seen. The grid has NDCG@25 {_number(figures['ndcg'])} "
        f"({_number(figures['ndcg_low'])} to {_number(figures['ndcg_high'])}), "
        f"{_number(figures['ratio'])} times the best baseline, "
        f"{figures['best_baseline_name']} ({_number(figures['best_baseline'])})."
    )


def _tables(one: Found) -> list[tuple[str, list[list[str]]]]:
    figures = one["figures"]
    ways = [["", *(label for _, label in _COLUMNS)]]
    for name, of in _ways(one):
        ways.append([name, *(_number(of.get(key)) for key, _ in _COLUMNS)])
    funnel = [["left", "recall"]]
    for label, key in (
        ("candidates", "recall_500"), ("after the first pass", "recall_first"),
        ("after the second pass", "recall_second"), ("grid", "recall"),
    ):  # fmt: skip
        funnel.append([label, _number(figures[key])])
    orders = [["order of the same candidates", "NDCG@25"]]
    for label, key in (
        ("grid", "ndcg"), ("final pass over all, no diversity", "ndcg_uncut"),
        ("untrained prior", "ndcg_prior"),
    ):  # fmt: skip
        orders.append([label, _number(figures[key])])
    sources = [["source", "recall@500", "share of candidates", "share of grid"]]
    for name, of in figures["sources"].items():
        sources.append([name, *(_number(value) for value in of.values())])
    slices = [["slice", "grids", "targets", "NDCG@25", "best baseline's", "recall@500"]]
    for name, of in figures["slices"].items():
        best = figures["slices_best_baseline"][name]
        slices.append(
            [name.replace("_", " "), str(of["grids"]), str(of["targets"]), _number(of.get("ndcg")),
             _number(best.get("ndcg")), _number(of.get("recall_500"))]
        )  # fmt: skip
    tables = [
        ("Ways to fill a grid", ways), ("Through the funnel", funnel), ("Orders", orders),
        ("Sources", sources), ("Slices", slices),
    ]  # fmt: skip
    heads = {k: v for k, v in figures.get("shown", {}).items() if "positives" in v}
    if heads:
        names = list(next(iter(heads.values())))
        rows = [[head, *(_number(of[name]) for name in names)] for head, of in heads.items()]
        labels = [name.replace("_", " ") for name in names]
        tables.append(("Heads on media that were shown", [["head", *labels], *rows]))
    return tables


def _ways(one: Found) -> list[tuple[str, Mapping[str, Any]]]:
    figures = one["figures"]
    ways = [("grid", figures), *figures["baselines"].items()]
    return sorted(ways, key=lambda way: -(way[1]["ndcg"] or 0.0))


def _notes(one: Found) -> list[str]:
    figures = one["figures"]
    parameters = "; ".join(
        f"{name} " + ", ".join(f"{key} {value:g}" for key, value in of["parameters"].items())
        for name, of in figures["baselines"].items()
        if of["parameters"]
    )
    seconds = ", ".join(f"{name} {value:g}" for name, value in figures["seconds"].items())
    lines = [f"{name}: {note}" for name, note in figures["notes"].items() if note]
    return [
        *lines,
        f"Tuned on the end of the training period: {parameters or 'nothing'}.",
        f"Seconds: {seconds}. Seed {figures['seed']}, split at {figures['split_ms']} ms.",
    ]


def _number(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, int) or (value == int(value) and abs(value) >= 10):
        return str(int(value))
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _html_table(table: list[list[str]]) -> str:
    head, *rows = table
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        f"<tr{' class=grid' if row[0] == 'grid' else ''}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"


def _bars(one: Found) -> str:
    """NDCG of each way with its interval."""
    ways = [way for way in _ways(one) if way[1]["ndcg"] is not None][::-1]
    figure, axes = _figure(0.32 * len(ways) + 0.9)
    values = [of["ndcg"] for _, of in ways]
    errors = [
        [of["ndcg"] - of["ndcg_low"] for _, of in ways],
        [of["ndcg_high"] - of["ndcg"] for _, of in ways],
    ]
    colours = [_GRID if name == "grid" else _OTHERS for name, _ in ways]
    axes.barh([name for name, _ in ways], values, xerr=errors, color=colours, ecolor="#0f172a")
    axes.set_xlabel("NDCG@25, 95 % over viewers")
    return _svg(figure)


def _slices_plot(one: Found) -> str:
    """NDCG of the grid and of the best baseline, by slice."""
    figures = one["figures"]
    names = [name for name, of in figures["slices"].items() if of["grids"]]
    figure, axes = _figure(2.8)
    for shift, colour, label, slices in (
        (-0.2, _GRID, "grid", figures["slices"]),
        (0.2, _OTHERS, figures["best_baseline_name"], figures["slices_best_baseline"]),
    ):
        values = [slices[name].get("ndcg") or 0.0 for name in names]
        at = [place + shift for place in range(len(names))]
        axes.bar(at, values, width=0.4, color=colour, label=label)
    axes.set_xticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.set_ylabel("NDCG@25")
    axes.legend(frameon=False)
    return _svg(figure)


def _figure(height: float) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ReportError("plots need matplotlib: pip install 'freshgrid[evaluate]'") from error
    figure = Figure(figsize=(9, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Any) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
