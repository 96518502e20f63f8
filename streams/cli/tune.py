"""``freshgrid tune``: which hyper-parameters and weights suit recorded events."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.cli.common import Json, console, load_settings, show, text_of
from streams.cli.paths import file_to_read, file_to_write, to_read
from streams.cli.recorded import Data, Labels, Mapping, Split, TaskName
from streams.cli.tune_trade_offs import tune_log, tune_world

tune = typer.Typer(
    no_args_is_help=True, help="Find hyper-parameters and weights on recorded events."
)
tune.command("log")(tune_log)
tune.command("world")(tune_world)


@tune.command("embeddings")
def tune_embeddings(
    events: Annotated[
        Path,
        typer.Option(
            callback=to_read,
            help="Recorded events: a fixture (JSON lines, .gz is fine), or a folder of "
            "KuaiRand-Pure.",
        ),
    ],
    labels: Labels = None,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Begin no further trial after so long.")
    ] = None,
    json: Json = False,
) -> None:
    """Vary each setting of ig2vec alone; choose on half of the accounts, report on the rest."""
    from streams.cli.progress import showing_progress
    from streams.recorded.evaluate_embeddings import read_labels
    from streams.recorded.recording import read_recording
    from streams.recorded.tune_embeddings import tune as run_tune

    load_settings()
    recording = read_recording(events)
    topics = recording.topics if labels is None else read_labels(labels)
    with showing_progress("tune", "fits") as progress:
        report = run_tune(recording, topics, seconds=seconds, on_progress=progress)
    if json:
        show(report, as_json=True)
    else:
        _print_sweep(report)


@tune.command("query")
def tune_query(
    data: Data,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", callback=file_to_read, help="The query; by default the bundled one."
        ),
    ] = None,
    task: Annotated[
        TaskName, typer.Option(help="What candidates should hold: likes and saves, or long views.")
    ] = TaskName.LIKE,
    mapping: Mapping = None,
    split: Split = None,
    viewers: Annotated[
        int, typer.Option(min=2, help="At most; half of them to choose by, the others to judge.")
    ] = 2_000,
    trials: Annotated[int, typer.Option(min=1, help="Weights that are tried.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 7,
    write: Annotated[
        Path | None,
        typer.Option(
            callback=file_to_write, help="Write the query with the weights found into this file."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Weights of a query's blend that find most of what viewers engaged with next.

    Judged on the end of the training period; the test period is not read.
    """
    from infra.threads import use_one_thread

    use_one_thread()
    from models.queries import EXPLORE, explore_text
    from streams.cli.progress import showing_stages
    from streams.cli.query import read
    from streams.recorded.reading import read_dataset
    from streams.recorded.tune_query import TuneOptions
    from streams.recorded.tune_query import tune_query as tuned

    settings = load_settings()
    name, text = (EXPLORE, explore_text()) if file is None else (str(file), read(file))
    options = TuneOptions(
        task=task.value, split=split or "", viewers=viewers, trials=trials, seed=seed
    )
    with showing_stages("tune") as progress:
        progress("reading", 0, 1)
        log = read_dataset(data, mapping)
        report, written = tuned(log, settings, name, text, options, progress)
    if write is not None:
        write.write_text(written, encoding="utf-8")
        print(f"freshgrid: wrote {write}", file=sys.stderr)
    if json:
        show(report, as_json=True)
    else:
        _print_query(report)


def _print_query(report: dict[str, Any]) -> None:
    from rich.table import Table

    figures = report["figures"]
    out = console()
    table = Table("branch", "before", "after", box=None)
    for branch in figures["branches"]:
        table.add_row(branch["branch"], f"{branch['before']:.2f}", f"{branch['after']:.2f}")
    out.print(table)
    table = Table("", "before", "95 %", "after", "95 %", "gain", "95 %", box=None)
    for label, name in (("recall@500", "recall_500"), ("NDCG@25 in order", "ndcg_25")):
        cells = []
        for when in ("before", "after", "gain"):
            key = f"{name}_{when}"
            low, high = text_of(figures[f"{key}_low"]), text_of(figures[f"{key}_high"])
            cells += [text_of(figures[key]), f"{low} to {high}"]
        table.add_row(label, *cells)
    out.print(table)
    out.print(
        f"\n{report['data']}, query {report['query']}: {figures['viewers']} viewers with "
        f"{figures['positives']} positives, chosen on {figures['viewers_chosen_on']} others"
    )
    if figures["recall_500_gain_low"] <= 0:
        out.print("no better than chance: keep the weights, or give --viewers or --trials more")


def _print_sweep(report: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("setting", "value", "macro-F1", "gain", "purity", "fit s", box=None)
    for trial in report["trials"]:
        default = report["defaults"].get(trial["setting"])
        table.add_row(
            trial["setting"] + ("" if default is None else f" ({default:g})"),
            f"{trial['value']:g}",
            *(text_of(trial[name]) for name in ("macro_f1", "gain", "purity")),
            f"{trial['fit_s']:.1f}",
        )
    out = console()
    out.print(table)
    out.print(
        f"\ndefaults {text_of(report['macro_f1'])}, ± {text_of(report['noise'])} between seeds; "
        f"left out {report['left_out']}"
    )
    chosen = ", ".join(f"{name} {value:g}" for name, value in report["chosen"].items())
    out.print(f"better by more than twice that: {chosen or 'nothing'}")
    for name, found in report["report"].items():
        out.print(
            f"{name} on the other accounts: macro-F1 {text_of(found['macro_f1'])} "
            f"± {text_of(found['noise'])} between seeds, 95 % of one {text_of(found['low'])}–"
            f"{text_of(found['high'])}, {found['accounts']} accounts, {found['topics']} topics"
        )
