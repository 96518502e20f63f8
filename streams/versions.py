"""Which versions of account vectors, rankers and item weights are live, and were before.

What is live stands on ``explore.versions``, one record a kind. That topic keeps only the newest,
so what a version replaced is noted beside the version in the artifact store: following the notes
leads back to what was live earlier (``docs/decisions/0015-versions-and-promotion.md``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec

from infra.artifacts import Artifact, ArtifactError, ArtifactMissingError, ArtifactStore
from infra.config import Settings
from infra.kafka import ClusterInfo, Message
from infra.log_reader import LogReader
from infra.metrics import VERSIONS
from infra.topics import VERSIONS_TOPIC
from models.arrays.newest_told import NewestById
from models.evaluation.ranker_gate import RankerDecision
from models.ig2vec.gate import Decision
from streams.records import Record, Sender

IG2VEC: Final = "ig2vec"
RANKERS: Final = "rankers"
#: Item weights.
ITEMS: Final = "items"
KINDS: Final = (IG2VEC, RANKERS, ITEMS)

Loaded = TypeVar("Loaded")
logger = logging.getLogger(__name__)


class Version(msgspec.Struct, frozen=True, omit_defaults=True):
    """The live version of an artifact, as ``explore.versions`` carries it.

    Attributes:
        metrics: figures by name.
        space: of ``ig2vec``: the live space of ``explore.embeddings``.
        accounts: of ``ig2vec``: how many vectors were sent before this record.
        previous: the version to roll back to; empty where there is none.
        reason: why it went live.
    """

    kind: str
    version: str
    announced_ms: int
    metrics: dict[str, float] = {}
    space: str = ""
    accounts: int = 0
    previous: str = ""
    reason: str = ""


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """Note beside a version that went live: when last, why, and what was live before."""

    announced_ms: int
    previous: str
    reason: str


LIVE_NOTE: Final = "live"
DECISION_NOTE: Final = "decision"
#: Kind → what its gate records with a version, where it has one.
_DECISIONS: Final[dict[str, type[Decision] | type[RankerDecision]]] = {
    IG2VEC: Decision,
    RANKERS: RankerDecision,
}

_version = msgspec.json.Decoder(Version)
_json = msgspec.json.Encoder()


def version_message(version: Version) -> Message:
    """The record that tells of a new live version."""
    return Message(VERSIONS_TOPIC, version.kind, _json.encode(version))


def versions(records: Sequence[Record]) -> list[Version]:
    """The versions that records of ``explore.versions`` tell of, oldest first."""
    told = []
    for record in records:
        if record.value is None:
            continue
        try:
            told.append(_version.decode(record.value))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            logger.warning("a record of %s is skipped: %s", VERSIONS_TOPIC, error)
    return told


class NewestVersions:
    """Of each kind, the newest record of ``explore.versions`` so far.

    Where partitions were added a kind may stand in several; see
    :class:`models.arrays.newest_told.NewestTold`.
    """

    def __init__(self) -> None:
        self._told = NewestById()

    def take(self, records: Sequence[Record]) -> list[Record]:
        """Those of the records of one partition that no other partition has newer ones for."""
        return [
            record
            for record in records
            for version in versions([record])
            if self._told.take([version.kind], record.partition, [record.timestamp]).all()
        ]


async def live_versions(settings: Settings, cluster: ClusterInfo) -> dict[str, Version]:
    """Kind → what ``explore.versions`` says is live now.

    Raises:
        UnreachableError: Kafka does not answer.
        LogReadError: the topic cannot be read to its end.
    """
    live: dict[str, Version] = {}
    newest = NewestVersions()
    places = [(VERSIONS_TOPIC, number) for number in range(cluster.partitions[VERSIONS_TOPIC])]
    async with LogReader(settings) as reader:
        async for batch in reader.read(await reader.spans(places)):
            live.update((told.kind, told) for told in versions(newest.take(batch.records)))
    return live


async def announce(artifacts: ArtifactStore, sender: Sender, version: Version, keep: int) -> None:
    """Make a version the live one, and delete versions that nobody can go back to any more.

    Kept are the live one, up to `keep` that were live before it, and the newest `keep`.
    """
    note = Live(announced_ms=version.announced_ms, previous=version.previous, reason=version.reason)
    await asyncio.to_thread(artifacts.write_note, version.kind, version.version, LIVE_NOTE, note)
    await sender.send([version_message(version)])
    VERSIONS.labels(version.kind, "promoted").inc()
    await asyncio.to_thread(prune, artifacts, version, keep)


def prune(artifacts: ArtifactStore, live: Version, keep: int) -> tuple[str, ...]:
    """Delete versions of a kind as :func:`announce` does; returns the deleted."""
    back = [name for name, _ in zip(earlier(artifacts, live), range(keep), strict=False)]
    try:
        return artifacts.prune(live.kind, keep, {live.version, *back})
    except OSError as error:
        # Nobody waits for this; the next version tries again.
        logger.warning("old versions of %s could not be deleted: %r", live.kind, error)
        return ()


def earlier(artifacts: ArtifactStore, live: Version) -> Iterator[str]:
    """What was live before `live`, newest first, each once."""
    seen, version = {live.version}, live.previous
    while version and version not in seen:
        yield version
        seen.add(version)
        note = artifacts.read_note(live.kind, version, LIVE_NOTE, Live)
        version = "" if note is None else note.previous


def last_good(
    artifacts: ArtifactStore, live: Version, load: Callable[[Artifact], Loaded]
) -> tuple[str, Loaded] | None:
    """The live version if it can be loaded, else the newest of those before it that can.

    Args:
        load: makes something of an artifact; raises ValueError if that cannot be done.

    Returns:
        Its name and what `load` made of it; None if there is none.
    """
    for version in (live.version, *earlier(artifacts, live)):
        try:
            return version, load(artifacts.get(live.kind, version, mapped=live.kind == RANKERS))
        except (ArtifactError, ValueError) as error:
            VERSIONS.labels(live.kind, "damaged").inc()
            logger.error("%s %s refused: %s", live.kind, version, error)
    return None


def listed(
    artifacts: ArtifactStore, live: dict[str, Version], kinds: Sequence[str] = KINDS
) -> list[dict[str, Any]]:
    """What is stored, oldest first: the rows of ``freshgrid versions list``."""
    rows = []
    for kind in kinds:
        for version in artifacts.list(kind):
            try:
                manifest = artifacts.manifest(kind, version)
            except ArtifactMissingError:
                continue  # pruned meanwhile
            decision = _decision(artifacts, kind, version)
            note = artifacts.read_note(kind, version, LIVE_NOTE, Live)
            rows.append(
                {
                    "kind": kind,
                    "version": version,
                    "created_ms": manifest.created_ns // 1_000_000,
                    "bytes": manifest.bytes,
                    "live": kind in live and live[kind].version == version,
                    "previous": None if note is None else note.previous or None,
                    "announced_ms": None if note is None else note.announced_ms,
                    "reason": None if note is None else note.reason or None,
                    "decision": None if decision is None else msgspec.to_builtins(decision),
                    "figures": _figures(manifest.meta, decision),
                }
            )
    return rows


def _decision(
    artifacts: ArtifactStore, kind: str, version: str
) -> Decision | RankerDecision | None:
    form = _DECISIONS.get(kind)
    return None if form is None else artifacts.read_note(kind, version, DECISION_NOTE, form)


def _figures(meta: dict[str, Any], decision: Decision | RankerDecision | None) -> dict[str, float]:
    if isinstance(decision, Decision) and decision.candidate is not None:
        return {"macro_f1": decision.candidate.macro_f1, "purity": decision.candidate.purity}
    if isinstance(decision, RankerDecision) and decision.candidate is not None:
        heads = decision.candidate.heads
        return {f"auc_{head}": of.auc for head, of in heads.items() if of.auc is not None}
    metrics: dict[str, float] = meta.get("metrics", {})
    return metrics
