"""Which versions of account vectors, rankers and item weights are live, and were before.

What is live stands on ``explore.versions``, one record a kind. That topic keeps only the newest,
so what a version replaced is noted beside the version in the artifact store: following the notes
leads back to what was live earlier (``docs/decisions/0015-versions-and-promotion.md``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec

from infra.artifacts import (
    Artifact,
    ArtifactError,
    ArtifactMissingError,
    ArtifactStore,
    is_plain_name,
)
from infra.config import Settings
from infra.kafka import ClusterInfo, Message
from infra.log_reader import LogReader
from infra.metrics import VERSIONS
from infra.topics import VERSIONS_TOPIC
from models.arrays.newest_told import NewestById
from models.evaluation.ranker_gate import RankerDecision
from models.events import (
    Count,
    InvalidEventError,
    Unreadable,
    check,
    check_times,
    decode_value,
)
from models.ig2vec.gate import Decision
from streams.records import Record, Refuse, Sender, read_records, skip

IG2VEC: Final = "ig2vec"
RANKERS: Final = "rankers"
#: Item weights.
ITEMS: Final = "items"
KINDS: Final = (IG2VEC, RANKERS, ITEMS)

#: Longer than any name of a space.
_MOST_SPACE_BYTES: Final = 256
#: What the artifact store did not take is offered to it again after so long: a full disk does not
#: get room in seconds, and making a version costs minutes of a core.
STORE_AGAIN_S: Final = 300.0

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
    accounts: Count = 0
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


def parse_version(value: bytes | None, now_ms: int) -> Version:
    """Read one record of ``explore.versions``.

    Raises:
        InvalidEventError: it names nothing that could be live.
    """
    told = decode_value(_version, value)
    check(told.kind in KINDS, "kind", f"{told.kind[:40]!r} is none of {', '.join(KINDS)}")
    check(is_plain_name(told.version), "version", f"{told.version[:40]!r} is no name of a version")
    check(
        not told.previous or is_plain_name(told.previous),
        "previous",
        f"{told.previous[:40]!r} is no name of a version",
    )
    check_times(told, now_ms, "announced_ms")
    check(
        len(told.space.encode()) <= _MOST_SPACE_BYTES,
        "space",
        f"{told.space[:40]!r}… has more than {_MOST_SPACE_BYTES} bytes",
    )
    return told


def versions(records: Iterable[Record], refuse: Refuse = skip) -> list[Version]:
    """The versions that records of ``explore.versions`` tell of, oldest first."""
    told = [record for record in records if record.value is not None]
    return read_records(VERSIONS_TOPIC, told, parse_version, refuse)


class NewestVersions:
    """Of each kind, the newest record of ``explore.versions`` so far that tells of a version.

    Where partitions were added a kind may stand in several; see
    :class:`models.arrays.newest_told.NewestTold`.

    Args:
        refuse: what to do with a record that is no version.
    """

    def __init__(self, refuse: Refuse = skip) -> None:
        self._refuse = refuse
        self._told = NewestById()

    def take(self, records: Iterable[Record]) -> list[Record]:
        """Those of the records of one partition that no other partition has newer ones for."""
        return [
            record
            for record in records
            for version in versions([record], self._refuse)
            if _is_newest(self._told, version.kind, record)
        ]


class Heard:
    """What ``explore.versions`` says, also where the newest record of a kind says nothing.

    Compaction keeps that record and takes the good one before it, so somebody has to say again
    what is live: the learner does.

    Attributes:
        live: kind → the newest version told of, in whichever partition.
        damaged: kinds whose newest record, in whichever partition, is no version.

    Args:
        refuse: what to do with a record that is no version.
    """

    def __init__(self, refuse: Refuse = skip) -> None:
        self._refuse = refuse
        self._versions = NewestVersions(self._refused)
        #: Of all records, damaged ones as well.
        self._told = NewestById()
        self.live: dict[str, Version] = {}
        self.damaged: set[str] = set()

    def hear(self, records: Iterable[Record]) -> None:
        """Take in records of one partition, in order."""
        for record in records:
            for told in versions(self._versions.take([record])):
                self.live[told.kind] = told
                if _is_newest(self._told, told.kind, record):
                    self.damaged.discard(told.kind)

    def _refused(self, topic: str, record: Record, error: InvalidEventError) -> None:
        named = {(record.key or b"").decode("utf-8", "replace")}
        # A batch that cannot be read has no key: it may have told of any kind.
        kinds = KINDS if isinstance(record.value, Unreadable) else named.intersection(KINDS)
        self.damaged.update(kind for kind in kinds if _is_newest(self._told, kind, record))
        self._refuse(topic, record, error)


def _is_newest(told: NewestById, kind: str, record: Record) -> bool:
    return bool(told.take([kind], record.partition, [record.timestamp]).all())


async def live_versions(
    settings: Settings, cluster: ClusterInfo, artifacts: ArtifactStore | None = None
) -> dict[str, Version]:
    """Kind → what ``explore.versions`` says is live now.

    Args:
        artifacts: where to look up what went live last of a kind of which the topic holds nothing
            but a damaged record.

    Raises:
        UnreachableError: Kafka does not answer.
        LogReadError: the topic cannot be read to its end.
    """
    heard = Heard()
    places = [(VERSIONS_TOPIC, number) for number in range(cluster.partitions[VERSIONS_TOPIC])]
    async with LogReader(settings) as reader:
        async for batch in reader.read(await reader.spans(places)):
            heard.hear(batch.records)
    if artifacts is not None:
        for kind in sorted(heard.damaged - heard.live.keys()):
            if (noted := await asyncio.to_thread(noted_live, artifacts, kind)) is not None:
                heard.live[kind] = noted
    return heard.live


def noted_live(artifacts: ArtifactStore, kind: str) -> Version | None:
    """The version that went live last by the notes beside the versions, None if none is noted.

    Its space is not noted.
    """
    try:
        names = artifacts.list(kind)
    except ArtifactError as error:
        logger.error("what was live of %s cannot be told: %s", kind, error)
        return None
    notes = {name: artifacts.read_note(kind, name, LIVE_NOTE, Live) for name in names}
    live = max(
        ((note.announced_ms, name, note) for name, note in notes.items() if note is not None),
        default=None,
    )
    if live is None:
        return None
    announced_ms, name, note = live
    return Version(kind, name, announced_ms, previous=note.previous, reason=note.reason)


async def announce(artifacts: ArtifactStore, sender: Sender, version: Version, keep: int) -> None:
    """Make a version the live one, and delete versions that nobody can go back to any more.

    Kept are the live one, up to `keep` that were live before it, and the newest `keep`.

    Raises:
        ArtifactError: the store does not take the note; nobody was told of the version.
    """
    await note_live(artifacts, version)
    await tell(artifacts, sender, version, keep)


async def note_live(artifacts: ArtifactStore, version: Version) -> None:
    """The first half of :func:`announce`: note beside the version that it is going live.

    Raises:
        ArtifactError: the store does not take the note.
    """
    note = Live(announced_ms=version.announced_ms, previous=version.previous, reason=version.reason)
    await asyncio.to_thread(artifacts.write_note, version.kind, version.version, LIVE_NOTE, note)


async def tell(artifacts: ArtifactStore, sender: Sender, version: Version, keep: int) -> None:
    """The second half of :func:`announce`, which does not fail for the store's sake."""
    await sender.send([version_message(version)])
    VERSIONS.labels(version.kind, "promoted").inc()
    await asyncio.to_thread(prune, artifacts, version, keep)


def prune(artifacts: ArtifactStore, live: Version, keep: int) -> tuple[str, ...]:
    """Delete versions of a kind as :func:`announce` does, and what crashes left of others.

    Returns:
        The deleted versions.
    """
    swept(artifacts, live.kind)
    back = [name for name, _ in zip(earlier(artifacts, live), range(keep), strict=False)]
    try:
        return artifacts.prune(live.kind, keep, {live.version, *back})
    except ArtifactError as error:
        # Nobody waits for this; the next version tries again.
        logger.warning("old versions of %s could not be deleted: %s", live.kind, error)
        return ()


def swept(artifacts: ArtifactStore, kind: str) -> None:
    """Delete what crashes left unfinished, where the store lets itself be reached."""
    try:
        gone = artifacts.sweep(kind)
    except ArtifactError as error:
        logger.error("what is stored of %s cannot be tidied: %s", kind, error)
        return
    if gone:
        logger.warning("unfinished %s deleted: %s", kind, ", ".join(gone))


def earlier(artifacts: ArtifactStore, live: Version) -> Iterator[str]:
    """What was live before `live`, newest first, each once; a damaged note ends it."""
    seen, version = {live.version}, live.previous
    while version and version not in seen and is_plain_name(version):
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
