"""``freshgrid evaluate rankers``: how good the final pass predicts what viewers do.

A stored version is measured on the labelled pages of ``explore.examples`` that came after what it
has learned. With a recording, a final pass is trained on the older part of it and measured on the
rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from infra.artifacts import ArtifactError, ArtifactStore
from infra.config import Settings
from infra.kafka import prepare_cluster
from infra.log_reader import LogReader
from infra.topics import EXAMPLES_TOPIC
from models.evaluation.ranker_gate import measurable
from models.evaluation.ranker_quality import ranker_quality
from models.examples.examples import Examples
from models.examples.from_events import ExampleConfig
from models.examples.from_pages import page_examples, parse_labelled_page
from models.explore.impressions import ServedFeaturesError
from models.rankers.bundle import RankerBundle
from streams.recorded.evaluate_embeddings import EvaluationError, versions_to_measure
from streams.recorded.examples import recorded_examples, stream_start
from streams.records import read_records
from streams.versions import RANKERS

#: Of a recording, the part that is learned; half of the rest chooses thresholds.
LEARNED_SHARE: Final = 0.7


def evaluate_stored(
    settings: Settings, examples: Examples, version: str | None, against: str | None
) -> dict[str, Any]:
    """Figures of a stored version, and of another on the same examples.

    Args:
        examples: labelled; those that a version has learned are left out.
        version: the newest stored if None.

    Raises:
        ArtifactError: a version does not exist, is damaged or of another feature version.
        EvaluationError: there is too little to measure on.
    """
    artifacts = ArtifactStore(settings.artifacts_url)
    names = versions_to_measure(artifacts, RANKERS, version, against)
    bundles = [_stored(artifacts, name) for name in names]
    newest_ts = max(bundle.trained_ts for bundle in bundles)
    unseen = examples.take(np.flatnonzero(examples.ts_n > newest_ts))
    report = _report(names[0], bundles[0], unseen)
    if against is not None:
        report["against"] = _report(against, bundles[1], unseen)
    return report


def evaluate_recorded(path: Path) -> dict[str, Any]:
    """Figures of a final pass trained on the older part of a recording, on the rest.

    Raises:
        EvaluationError: there is too little to train or to measure on.
        RecordingError, FixtureError: the recording cannot be read.
    """
    # Imported here: what measures a stored version needs no torch.
    from models.training.final import FinalConfig, train_final
    from models.training.loop import reproducible
    from models.training.rankers import TrainingConfig, split_by_time

    examples = recorded_examples(path, stream_start(path, 1))
    cut = int(len(examples) * LEARNED_SHARE)
    known, unseen = examples.take(np.arange(cut)), examples.take(np.arange(cut, len(examples)))
    config = TrainingConfig()
    try:
        train, calibrate, test = split_by_time(known, config)
        with reproducible(config.seed, config.threads):
            final = train_final(
                train, Examples.concatenate([calibrate, test]), FinalConfig(), config.device
            )
    except (ValueError, ArithmeticError) as error:
        raise EvaluationError(f"cannot train on {path}: {error}") from error
    return {
        "version": "trained on the recording",
        "examples": len(unseen),
        "heads": ranker_quality(final, unseen),
    }


async def logged_examples(settings: Settings) -> Examples:
    """The examples of all labelled pages in Kafka, in order of time.

    Raises:
        UnreachableError: Kafka does not answer.
        LogReadError: the topic cannot be read to its end.
    """
    parts: list[Examples] = []
    rate = ExampleConfig().negative_rate
    partitions = (await prepare_cluster(settings)).partitions[EXAMPLES_TOPIC]
    async with LogReader(settings) as reader:
        spans = await reader.spans([(EXAMPLES_TOPIC, number) for number in range(partitions)])
        async for batch in reader.read(spans):
            for page in read_records(EXAMPLES_TOPIC, batch.records, parse_labelled_page):
                try:
                    parts.append(page_examples(page, rate))
                except ServedFeaturesError:
                    continue  # served by another build, or damaged
    examples = Examples.concatenate(parts)
    return examples.take(np.argsort(examples.ts_n, kind="stable"))


def _stored(artifacts: ArtifactStore, name: str) -> RankerBundle:
    artifact = artifacts.get(RANKERS, name)
    try:
        return RankerBundle.from_arrays(artifact.arrays, artifact.meta)
    except ValueError as error:
        raise ArtifactError(f"{RANKERS} {name}: {error}") from error


def _report(version: str, bundle: RankerBundle, examples: Examples) -> dict[str, Any]:
    if not measurable(examples):
        raise EvaluationError(
            f"{len(examples)} labelled examples are newer than what {version} has learned, and "
            "too few have an action other than a view to measure by; wait for more, or give "
            "--events"
        )
    heads = ranker_quality(bundle.final, examples)
    return {"version": version, "examples": len(examples), "heads": heads}
