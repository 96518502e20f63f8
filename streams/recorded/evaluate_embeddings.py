"""``freshgrid evaluate embeddings``: how good a version of the account vectors is.

Errors::

    FreshgridError
    └── EvaluationError   there is nothing to measure, or it cannot be measured
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from infra.artifacts import ArtifactError, ArtifactStore
from infra.config import Settings
from infra.errors import FreshgridError
from infra.kafka import prepare_cluster
from infra.log_reader import LogReader
from models.arrays.newest_told import NewestById
from models.events import ACCOUNTS_TOPIC, Account, Id, InvalidEventError, parse_account
from models.ig2vec.gate import MARGIN, GateError, QualityFigures, decide
from models.ig2vec.model import Ig2Vec, Ig2VecError
from models.ig2vec.quality import AccountVectors, QualityError, drift, measure
from models.ig2vec.topic_probe import ProbeConfig, ProbeError
from streams.recorded.recording import Recording

KIND: Final = "ig2vec"


class EvaluationError(FreshgridError):
    """There is nothing to measure, or it cannot be measured."""


def versions_to_measure(
    artifacts: ArtifactStore, kind: str, version: str | None, against: str | None
) -> list[str]:
    """The version to measure, the newest stored if None, and the one to compare it with, if any.

    Raises:
        EvaluationError: none is stored.
    """
    if version is None:
        stored = artifacts.list(kind)
        if not stored:
            raise EvaluationError(
                f"no version of {kind} is stored in {artifacts.url}; let a learner run, or set "
                "ARTIFACTS_URL"
            )
        version = stored[-1]
    return [version] if against is None else [version, against]


class _Labels(msgspec.Struct):
    account_id: Id
    topics: tuple[str, ...] = ()


_labels = msgspec.json.Decoder(_Labels)


def measured(
    sets: Sequence[AccountVectors], topics: Mapping[str, str], config: ProbeConfig | None = None
) -> list[QualityFigures]:
    """:func:`models.ig2vec.quality.measure`, with an error a person may see.

    Raises:
        EvaluationError: the vectors or the labels do not allow it.
    """
    try:
        return measure(sets, topics, config)
    except (QualityError, ProbeError) as error:
        known = set().union(*(found.ids for found in sets))
        raise EvaluationError(
            f"cannot measure {len(known)} accounts with a vector by {len(topics)} labelled ones: "
            f"{error}"
        ) from error


def evaluate_versions(
    settings: Settings, topics: Mapping[str, str], version: str | None, against: str | None
) -> dict[str, Any]:
    """Figures of a stored version, and of another on the same accounts.

    Args:
        topics: account → topic.
        version: the newest stored if None.

    Raises:
        ArtifactError: a version does not exist or is damaged.
        EvaluationError: a version cannot be measured.
    """
    artifacts = ArtifactStore(settings.artifacts_url)
    names = versions_to_measure(artifacts, KIND, version, against)
    sets = [_stored(artifacts, name) for name in names]
    figures = measured(sets, topics)
    report = {"version": names[0], **msgspec.to_builtins(figures[0])}
    if against is not None:
        report["against"] = {"version": against, **msgspec.to_builtins(figures[1])}
        try:
            report["drift"] = msgspec.to_builtins(drift(sets[1], sets[0]))
            decision = decide(figures[0], figures[1], MARGIN)
        except (QualityError, GateError) as error:
            raise EvaluationError(f"{names[0]} cannot be compared with {against}: {error}") from (
                error
            )
        report["promote"], report["reason"] = decision.promote, decision.reason
    return report


def _stored(artifacts: ArtifactStore, version: str) -> AccountVectors:
    artifact = artifacts.get(KIND, version)
    try:
        return AccountVectors(*Ig2Vec.load_arrays(artifact.arrays, artifact.meta).vectors())
    except Ig2VecError as error:
        raise ArtifactError(f"{KIND} {version}: {error}") from error


def evaluate_recording(recording: Recording, topics: Mapping[str, str]) -> dict[str, Any]:
    """Figures of vectors fitted on a recording, each viewer's history one sentence.

    Raises:
        EvaluationError: there is too little to fit on or to measure.
    """
    try:
        histories = recording.histories()
        model = Ig2Vec.fit(histories.corpus(), hard_negatives=histories.hard_negatives())
    except Ig2VecError as error:
        raise EvaluationError(f"cannot fit on the events: {error}") from error
    [figures] = measured([AccountVectors(*model.vectors())], topics)
    return {"version": model.space_id, **msgspec.to_builtins(figures)}


def read_labels(path: Path) -> dict[str, str]:
    """Account → first topic, of a file of ``{"account_id": …, "topics": […]}`` lines.

    Raises:
        EvaluationError: the file cannot be read, or a line is no label; names file and line.
    """
    topics = {}
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise EvaluationError(f"cannot read labels {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                labels = _labels.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise EvaluationError(f"{path}:{number} is no label: {error}") from error
            if labels.topics:
                topics[labels.account_id] = labels.topics[0]
    return topics


async def logged_labels(settings: Settings) -> dict[str, str]:
    """Account → first topic, of ``catalog.accounts`` as it stands now.

    Raises:
        UnreachableError: Kafka does not answer.
        LogReadError: the topic cannot be read to its end.
    """
    topics: dict[str, str] = {}
    told = NewestById()
    partitions = (await prepare_cluster(settings)).partitions[ACCOUNTS_TOPIC]
    async with LogReader(settings) as reader:
        spans = await reader.spans([(ACCOUNTS_TOPIC, number) for number in range(partitions)])
        async for batch in reader.read(spans):
            for record in batch.records:
                if record.value is None:
                    account = Account((record.key or b"").decode(errors="replace"))
                else:
                    try:
                        account = parse_account(record.value)
                    except InvalidEventError:
                        continue  # dead-lettered where it is applied
                name = account.account_id
                if told.take([name], record.partition, [record.timestamp]).all():
                    topics.pop(name, None)
                    topics.update((name, label) for label in account.topics[:1])
    return topics
