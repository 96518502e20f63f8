"""The gate of the account vectors: a new version is judged, stored and, if it passes, made live.

A candidate is judged beside the live version and beside the best of those that went live lately
(:mod:`streams.learning.kept_versions`). Vectors are sent before the record that makes their space
live, so nobody serves half a space, and vectors of a version that was refused are not sent at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.artifacts import Artifact, ArtifactError, ArtifactStore
from infra.config import Settings
from infra.metrics import VERSIONS
from models.ig2vec.gate import Decision, decide
from models.ig2vec.quality import AccountVectors, QualityError, measure
from models.ig2vec.saved_vectors import saved_account_vectors
from models.ig2vec.topic_probe import ProbeError
from models.world import World
from streams.clock import now_ms
from streams.learning.kept_versions import MOST, KeptVersions
from streams.records import Sender
from streams.serving.world_feed import embedding_messages
from streams.versions import (
    DECISION_NOTE,
    IG2VEC,
    Version,
    announce,
    earlier,
    note_live,
    tell,
)

#: Labelled accounts that versions are judged on: enough for a macro-F1 within a few points, few
#: enough that judging takes seconds.
MAX_LABELLED: Final = 5_000

_MACRO_F1: Final = "macro_f1"
logger = logging.getLogger(__name__)


class Saved(NamedTuple):
    """A model as it is stored."""

    arrays: Mapping[str, NDArray[Any]]
    meta: Mapping[str, Any]


class Promotion:
    """Judges versions of ig2vec and makes those live that pass.

    Attributes:
        live: the live version as this process knows it.
    """

    def __init__(
        self,
        settings: Settings,
        artifacts: ArtifactStore,
        sender: Sender,
        world: World,
        live: Version | None,
    ) -> None:
        self._settings = settings
        self._artifacts = artifacts
        self._sender = sender
        self._world = world
        self.live = live
        # What was promoted, with the vectors that it had then; the live one is the newest.
        self._kept: KeptVersions[AccountVectors] = KeptVersions()

    async def offer_fit(
        self, model: Saved, metrics: Mapping[str, float], against: AccountVectors | None
    ) -> str | None:
        """Judge a new fit; one that passes begins a space of its own.

        Args:
            against: the vectors that serve now, None if there are none.

        Returns:
            The new space, None if the fit was refused.

        Raises:
            ArtifactError: the store does not take it; what was live stays.
        """
        vectors = saved_account_vectors(model.arrays)
        decision, version = await self._judge(model, vectors, against)
        if not decision.promote:
            return None
        await self._go_live(
            Version(
                kind=IG2VEC,
                version=version,
                announced_ms=now_ms(),
                metrics=_with_figures(metrics, decision),
                space=version,
                previous="" if self.live is None else self.live.version,
                reason=decision.reason,
            ),
            vectors,
        )
        self._kept.add(version, vectors)
        return version

    async def offer_copy(self, model: Saved, metrics: Mapping[str, float]) -> bool:
        """Judge what the live version has become by learning on, against what it was.

        Its vectors have been sent as they changed, so one that passes is only told of. Returns
        whether it passed.

        Raises:
            ArtifactError: the store does not take it; what was live stays.
        """
        live = self.live
        if live is None:
            return True
        vectors = saved_account_vectors(model.arrays)
        against = await asyncio.to_thread(self._stored_vectors, live.version)
        if against is not None:
            # That accounts expired meanwhile does not count against it.
            against = _only(against, np.isin(against.ids, vectors.ids))
        decision, version = await self._judge(model, vectors, against)
        if decision.promote:
            copy = msgspec.structs.replace(
                live,
                version=version,
                announced_ms=now_ms(),
                metrics=_with_figures(metrics, decision),
                # Not the copy before this one: that would be a way back of some seconds.
                previous=began_with(live.space),
                reason=decision.reason,
            )
            await announce(self._artifacts, self._sender, copy, self._settings.keep_versions)
            self._kept.add(version, vectors)
            self.live = copy
        return decision.promote

    async def restore(self, version: str, vectors: AccountVectors, reason: str) -> str:
        """Make a stored version live again, all of its vectors in a new space, which it returns.

        Raises:
            ArtifactError: the store does not take a note of it.
        """
        back = [] if self.live is None else list(earlier(self._artifacts, self.live))
        if version in back:
            back = back[back.index(version) + 1 :]
        space = new_space(version)
        await self._go_live(
            Version(
                kind=IG2VEC,
                version=version,
                announced_ms=now_ms(),
                space=space,
                previous=next(iter(back), ""),
                reason=reason,
            ),
            vectors,
        )
        return space

    async def _go_live(self, version: Version, vectors: AccountVectors) -> None:
        keep = self._settings.keep_versions
        self.live = await go_live(
            self._artifacts, self._sender, version, self._present(vectors), keep
        )

    async def _judge(
        self, model: Saved, vectors: AccountVectors, against: AccountVectors | None
    ) -> tuple[Decision, str]:
        topics = self._world.catalog.labelled_accounts(MAX_LABELLED)
        margin = self._settings.embedding_margin
        if self.live is not None and self.live.version != self._kept.newest:
            # This process began, or somebody else decided: what was rolled back from is no example.
            self._kept.reset(await asyncio.to_thread(self._stored_kept, self.live))
        decision = await asyncio.to_thread(judge, vectors, against, topics, margin, self._kept)
        version = await asyncio.to_thread(self._artifacts.put, IG2VEC, model.arrays, model.meta)
        await asyncio.to_thread(
            self._artifacts.write_note, IG2VEC, version, DECISION_NOTE, decision
        )
        if decision.promote:
            logger.info("ig2vec %s passed: %s", version, decision.reason)
        else:
            VERSIONS.labels(IG2VEC, "refused").inc()
            logger.warning("ig2vec %s refused, the live one stays: %s", version, decision.reason)
        return decision, version

    def _stored_kept(self, live: Version) -> dict[str, AccountVectors]:
        """The live version and some of those before it, oldest first; what is damaged is not."""
        names = [live.version, *earlier(self._artifacts, live)][:MOST]
        found = {name: self._stored_vectors(name) for name in reversed(names)}
        return {name: vectors for name, vectors in found.items() if vectors is not None}

    def _stored_vectors(self, version: str) -> AccountVectors | None:
        try:
            return vectors_of_artifact(self._artifacts.get(IG2VEC, version))
        except ArtifactError as error:
            logger.error("nothing to compare with: %s", error)
            return None

    def _present(self, vectors: AccountVectors) -> AccountVectors:
        """Without accounts that are disabled or deleted."""
        catalog = self._world.catalog
        rows = catalog.author_rows(vectors.ids)
        gone_n = rows >= 0
        gone_n[gone_n] = catalog.gone_account_a[rows[gone_n]]
        if not gone_n.any():
            return vectors
        return _only(vectors, ~gone_n)


def _only(vectors: AccountVectors, wanted_n: NDArray[np.bool_]) -> AccountVectors:
    wanted = np.flatnonzero(wanted_n)
    return AccountVectors([vectors.ids[at] for at in wanted.tolist()], vectors.vectors_nd[wanted])


def _with_figures(metrics: Mapping[str, float], decision: Decision) -> dict[str, float]:
    figures = decision.candidate
    return dict(metrics) if figures is None else {**metrics, "macro_f1": figures.macro_f1}


def judge(
    candidate: AccountVectors,
    live: AccountVectors | None,
    topics: Mapping[str, str],
    margin: float,
    kept: KeptVersions[AccountVectors] | None = None,
) -> Decision:
    """Decide on a candidate by the topic probe; takes seconds for each set of vectors.

    Args:
        live: the vectors that serve now, None if there are none.
        kept: the versions that went live lately. Accounts that only they know expired meanwhile,
            which does not count against the candidate.
    """
    kept = kept or KeptVersions()
    sets = [candidate] if live is None else [candidate, live]
    known = list(set().union(*(of.ids for of in sets)))
    before = {name: _only(of, np.isin(of.ids, known)) for name, of in kept.all().items()}
    try:
        figures = measure([*sets, *before.values()], topics)
    except ProbeError:
        return decide(None, None, margin)
    except QualityError as error:
        return Decision(promote=False, reason=str(error), margin=margin, candidate=None, live=None)
    of_kept = dict(zip(before, figures[len(sets) :], strict=True))
    kept.measured(_MACRO_F1, {name: of.macro_f1 for name, of in of_kept.items()})
    best = kept.best(_MACRO_F1)
    return decide(
        figures[0],
        figures[1] if live is not None else None,
        margin,
        None if best is None else of_kept[best],
    )


async def go_live(
    artifacts: ArtifactStore, sender: Sender, version: Version, vectors: AccountVectors, keep: int
) -> Version:
    """Send all vectors of a space, then make it the live one.

    Raises:
        ArtifactError: the store does not take a note of it; nothing was sent.
    """
    ids, vectors_nd = vectors
    version = msgspec.structs.replace(version, accounts=len(ids))
    await note_live(artifacts, version)
    await sender.send(embedding_messages(version.space, ids, vectors_nd))
    await tell(artifacts, sender, version, keep)
    return version


def vectors_of_artifact(artifact: Artifact) -> AccountVectors:
    """The account vectors of a stored version.

    Raises:
        ArtifactError: it holds none.
    """
    try:
        return saved_account_vectors(artifact.arrays)
    except ValueError as error:
        raise ArtifactError(f"{artifact.kind} {artifact.version}: {error}") from error


def new_space(version: str) -> str:
    """A name for the space that begins when a stored version goes live again."""
    return f"{version}-{now_ms():x}"


def began_with(space: str) -> str:
    """The version that a space began with."""
    return space.partition("-")[0]
