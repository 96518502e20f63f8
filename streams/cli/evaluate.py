"""``freshgrid evaluate``: is a model any good, are the grids."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import SettingsError
from streams.cli.common import Json, console, load_settings, show, text_of
from streams.cli.paths import folder_to_write, to_read
from streams.cli.recorded import Data, Labels, Mapping, Split, TaskName

if TYPE_CHECKING:
    from infra.config import Settings

evaluate = typer.Typer(no_args_is_help=True, help="Measure how good a version of a model is.")

Events = Annotated[
    Path | None,
    typer.Option(
        callback=to_read,
        help="Recorded events: a fixture (JSON lines, .gz is fine), or a folder of KuaiRand-Pure.",
    ),
]


@evaluate.command("embeddings")
def evaluate_embeddings(
    version: Annotated[
        str | None, typer.Option(help="Which stored version; the newest by default.")
    ] = None,
    against: Annotated[str | None, typer.Option(help="Compare with this version.")] = None,
    labels: Labels = None,
    events: Events = None,
    json: Json = False,
) -> None:
    """How well account vectors tell the topics of accounts.

    Labels come from FILE, else from the recording, else from catalog.accounts in Kafka. With
    --events vectors are fitted on the recording instead of read from the artifact store.
    """
    settings = load_settings()
    if events is None:
        from streams.recorded.evaluate_embeddings import evaluate_versions

        report = evaluate_versions(settings, _topics(settings, labels), version, against)
    elif version is None and against is None:
        from streams.recorded.evaluate_embeddings import evaluate_recording
        from streams.recorded.recording import read_recording

        recording = read_recording(events)
        topics = recording.topics if labels is None else _topics(settings, labels)
        report = evaluate_recording(recording, topics)
    else:
        raise SettingsError("--events fits vectors of its own: leave out --version and --against")
    if json:
        show(report, as_json=True)
    else:
        _print_evaluation(report)


@evaluate.command("rankers")
def evaluate_rankers(
    version: Annotated[
        str | None, typer.Option(help="Which stored version; the newest by default.")
    ] = None,
    against: Annotated[str | None, typer.Option(help="Compare with this version.")] = None,
    events: Events = None,
    json: Json = False,
) -> None:
    """How well the final pass predicts actions that it has not learned.

    Measured on the labelled pages in Kafka that are newer than the version. With --events a final
    pass is trained on the older part of the recording and measured on the rest.
    """
    import asyncio

    from streams.recorded.evaluate_rankers import (
        evaluate_recorded,
        evaluate_stored,
        logged_examples,
    )

    settings = load_settings()
    if events is None:
        examples = asyncio.run(logged_examples(settings))
        report = evaluate_stored(settings, examples, version, against)
    elif version is None and against is None:
        report = evaluate_recorded(events)
    else:
        raise SettingsError("--events trains rankers of its own: leave out --version and --against")
    if json:
        show(report, as_json=True)
    else:
        _print_rankers(report)


class Protocol(StrEnum):
    """When a grid is made."""

    STATIC = "static"
    PREQUENTIAL = "prequential"


@evaluate.command("grids")
def evaluate_grids(
    data: Data,
    protocol: Annotated[
        Protocol,
        typer.Option(help="One fit at the split, or everything learns on and is asked as it goes."),
    ] = Protocol.STATIC,
    task: Annotated[
        TaskName, typer.Option(help="Likes and saves by the live weights, or long views alone.")
    ] = TaskName.LIKE,
    mapping: Mapping = None,
    split: Split = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 7,
    report: Annotated[
        Path | None,
        typer.Option(
            callback=folder_to_write, help="Write grids.md and grids.html into this folder."
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            callback=folder_to_write,
            help="Where finished stages are kept; by default in the temporary folder.",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Take no stage from there.")] = False,
    json: Json = False,
) -> None:
    """How good the served grids are on a real log, beside tuned baselines.

    The production code folds, fits and trains on what came before the split, and makes the grids
    of the viewers who liked something new after it. A run that was stopped goes on where it was.
    """
    from infra.threads import use_one_thread

    use_one_thread()
    import tempfile

    from streams.cli.progress import showing_stages
    from streams.recorded.grids.evaluation import evaluate_grids as evaluated
    from streams.recorded.grids.run import Options
    from streams.recorded.reading import read_dataset

    settings = load_settings()
    folder = cache or Path(tempfile.gettempdir()) / "freshgrid-evaluate"
    options = Options(
        protocol=protocol.value,
        task=task.value,
        split=split or "",
        seed=seed,
        cache=None if fresh else folder,
    )
    with showing_stages("evaluate") as progress:
        progress("reading", 0, 1)
        found = evaluated(read_dataset(data, mapping), settings, options, progress)
    if report is not None:
        from streams.recorded.grids.report import write_report

        for path in write_report([found], report):
            print(f"freshgrid: wrote {path}", file=sys.stderr)
    if json:
        show(found, as_json=True)
    else:
        _print_grids(found)


def _topics(settings: Settings, labels: Path | None) -> dict[str, str]:
    import asyncio

    from streams.recorded.evaluate_embeddings import logged_labels, read_labels

    return asyncio.run(logged_labels(settings)) if labels is None else read_labels(labels)


def _print_evaluation(report: dict[str, Any]) -> None:
    from rich.table import Table

    columns = [report, report["against"]] if "against" in report else [report]
    table = Table("", *(column["version"] for column in columns), box=None, pad_edge=False)
    for label, name in (
        ("macro-F1 of the topic probe", "macro_f1"),
        ("  95 % from", "low"),
        ("  to", "high"),
        ("  of random vectors", "random_f1"),
        ("  of the majority topic", "majority_f1"),
        ("accuracy", "accuracy"),
        (f"purity of {report['neighbours']} neighbours", "purity"),
        ("  by chance", "purity_chance"),
        ("accounts measured", "accounts"),
        ("labelled with a vector", "covered"),
        ("topics", "topics"),
    ):
        table.add_row(label, *(text_of(column[name]) for column in columns))
    out = console()
    out.print(table)
    if "drift" in report:
        drift = report["drift"]
        cosine = "different dimensions" if drift["cosine"] is None else text_of(drift["cosine"])
        out.print(
            f"\n{drift['accounts']} accounts in both, {drift['only_second']} only in "
            f"{report['version']}, {drift['only_first']} only in {report['against']['version']}; "
            f"{drift['neighbours']} neighbours shared {text_of(drift['overlap'])}, cosine after "
            f"the best rotation {cosine}"
        )
        out.print(f"{'promote' if report['promote'] else 'refuse'}: {report['reason']}")


def _print_rankers(report: dict[str, Any]) -> None:
    from rich.table import Table

    columns = [report, report["against"]] if "against" in report else [report]
    heads = list(report["heads"])
    table = Table("", *heads * len(columns), box=None, pad_edge=False)
    for name in report["heads"][heads[0]]:
        row = [column["heads"][head][name] for column in columns for head in heads]
        table.add_row(name, *("" if value is None else f"{value:.4g}" for value in row))
    out = console()
    out.print(" against ".join(column["version"] for column in columns))
    out.print(table)
    out.print(f"{report['examples']} examples, the newer half of them measured")


def _print_grids(report: dict[str, Any]) -> None:
    from rich.table import Table

    figures = report["figures"]
    table = Table("", "NDCG@25", "95 %", "recall@25", "hit rate", "MRR", "recall@500", box=None)
    rows = [("grid", figures), *figures["baselines"].items()]
    for name, one in sorted(rows, key=lambda row: -(row[1]["ndcg"] or 0.0)):
        interval = f"{text_of(one['ndcg_low'])}–{text_of(one['ndcg_high'])}" if one["ndcg"] else ""
        table.add_row(
            name,
            text_of(one["ndcg"] or 0.0),
            interval,
            *(text_of(one[k] or 0.0) for k in ("recall", "hit_rate", "mrr", "recall_500")),
        )
    out = console()
    out.print(f"{report['data']}, {report['protocol']}, {report['task']}")
    out.print(table)
    out.print(
        f"\n{figures['grids']} grids of {figures['viewers']} viewers, {figures['positives']} "
        f"positives; the prior alone {text_of(figures['ndcg_prior'] or 0.0)}, without cuts and "
        f"diversity {text_of(figures['ndcg_uncut'] or 0.0)}; "
        f"{text_of(figures['ratio'] or 0.0)} times {figures['best_baseline_name']}"
    )
    for name, note in figures["notes"].items():
        if note:
            out.print(f"{name}: {note}")
