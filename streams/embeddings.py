"""Closed sessions → account vectors, learned while the stream runs.

The first fit waits until enough sessions have closed and no more are coming in (a stream that is
being replayed is read to its end first), and whenever the number of sessions has doubled everything
is fitted anew. A fit takes each viewer's sessions together as one sentence: where viewers come
seldom, single sessions hold too few accounts to learn from
(``docs/decisions/0005-first-fit-of-ig2vec.md``). Between fits the sessions that closed are learned
incrementally every few seconds, in the company of what their viewers did before and of other
viewers' histories (:mod:`models.ig2vec.histories`), and only vectors that changed are sent on. Both
look back as far as a window in the stream's own time: a fit leaves out what is older, and an
account that nothing was heard of since loses its vector.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from numpy.typing import NDArray

from infra.artifacts import Artifact, ArtifactError, ArtifactStore
from infra.config import Settings
from infra.metrics import VERSIONS
from models.actions import ACTION_CODES
from models.arrays.stored import Arrays, number_of
from models.ig2vec.histories import Histories, Step
from models.ig2vec.model import Ig2Vec, Ig2VecError
from models.ig2vec.quality import AccountVectors
from models.viewers.forgotten import NOBODY_GONE, Gone, IsForgotten
from models.world import World
from streams.learning.promotion import Promotion, Saved
from streams.records import ClosedSession, Finish, Sender
from streams.serving.world_feed import embedding_messages, removal_messages
from streams.versions import IG2VEC, STORE_AGAIN_S, Version, last_good, version_message

#: Sessions that closed are learned this often: a compromise of freshness and batch efficiency.
UPDATE_INTERVAL_S: Final = 2.0
#: A fit begins when no session came in for this long …
QUIET_S: Final = 2.0
#: … or when this many times the needed sessions wait, on a stream that is never quiet.
NEVER_QUIET: Final = 4
#: A copy of the model is kept every so many updates, without the accounts that expired; a restart
#: goes on from the last copy.
SAVE_EVERY: Final = 20
#: … but not more often than this: judging one takes seconds of a core.
COPY_INTERVAL_S: Final = 300.0
#: A space that is not live is deleted after so long: until then it may be one that somebody is
#: still sending, or that a record on its way names.
SPACE_GRACE_S: Final = 600.0

logger = logging.getLogger(__name__)


class Embeddings:
    """Owns the ig2vec model of a learner.

    Attributes:
        settled: nothing is being learned.

    Args:
        live: what ``explore.versions`` says is live; learning goes on from there.
        world: catalogue and vectors as the topics tell them.
    """

    def __init__(
        self,
        settings: Settings,
        artifacts: ArtifactStore,
        sender: Sender,
        live: Version | None,
        world: World,
    ) -> None:
        self._settings = settings
        self._artifacts = artifacts
        self._sender = sender
        self._world = world
        self._promotion = Promotion(settings, artifacts, sender, world, live)
        self._histories = Histories()
        self._sessions_at_fit = 0
        self._fresh_sessions = 0
        self._stream_ms = 0  # when the newest session ended
        self._unfinished: list[Finish] = []
        self._arrived_s = self._copied_s = time.monotonic()
        self._store_again_s = -math.inf
        # Spaces that this process began or took over: what it says of them is no news to it.
        self._own_spaces: set[str] = set()
        self._asked: Version | None = None
        self._left: dict[str, float] = {}
        self._deleted: list[str] = []
        self.settled = True
        self.model: Ig2Vec | None = None
        if live is not None:
            self._asked = live
            self._own_spaces.add(live.space)

    def told(self, version: Version) -> None:
        """Take in a record of ``explore.versions``: somebody may have made another version live."""
        if version.kind == IG2VEC and version.space and version.space not in self._own_spaces:
            self._asked = version

    def live(self) -> list[Version]:
        """The live version as this process knows it; none while its vectors are on their way."""
        live = self._promotion.live
        return [live] if live is not None and live.space else []

    def deleted(self, accounts: Sequence[str]) -> None:
        """Take in accounts that were deleted: their vectors leave the topic."""
        self._deleted += accounts

    def to_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """All that was read, and JSON beside it; the model is stored as a version of its own.

        To be asked for while this is :attr:`settled`: then it agrees with what was given to
        :meth:`closed`.
        """
        told = {"fresh_sessions": self._fresh_sessions, "stream_ms": self._stream_ms}
        return self._histories.to_arrays(), told

    def load(self, arrays: Arrays, meta: Mapping[str, Any], gone: Gone = NOBODY_GONE) -> None:
        """Go on from what :meth:`to_arrays` gave, once stored.

        Args:
            gone: viewers of whom the arrays may still tell.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        self._histories = Histories.from_arrays(arrays, is_forgotten=gone.covers)
        self._fresh_sessions = number_of(meta, "fresh_sessions")
        self._stream_ms = number_of(meta, "stream_ms")

    def forget(self, is_forgotten: IsForgotten) -> None:
        """Forget the histories of viewers, by id."""
        self._histories.forget(is_forgotten)

    def closed(self, sessions: Iterable[ClosedSession], finish: Finish) -> None:
        """Take in closed sessions; calls `finish` when what they changed has been sent on."""
        self._unfinished.append(finish)
        for session in sessions:
            steps = [Step(author, ACTION_CODES[action], ts) for author, action, ts in session.steps]
            self._histories.add(session.viewer_id, steps)
            self._fresh_sessions += 1
            self._stream_ms = max(self._stream_ms, session.ended_ts)
        self._arrived_s = time.monotonic()

    async def run(self) -> None:
        """Fit once there is enough and whenever it has doubled; else update. Never ends."""
        while True:
            await self._take_over()
            await self._tidy()
            await asyncio.sleep(UPDATE_INTERVAL_S)
            self.settled = False
            try:
                if self._is_fit_due():
                    await self._fit()
                elif self.model is not None and self._unfinished:
                    await self._update(self.model)
            finally:
                self.settled = True

    async def _take_over(self) -> None:
        """Go on from the version that was made live, or the newest before it that is whole."""
        if self._asked is None or time.monotonic() < self._store_again_s:
            return
        live, self._asked = self._asked, None
        before = self._promotion.live
        if before is not None and before.version != live.version:
            # Where it cannot be loaded, what was live until now is the first to go back to.
            self._promotion.live = msgspec.structs.replace(live, previous=before.version)
        else:
            self._promotion.live = live
        version = await self._load(self._promotion.live)
        if version is None:
            return
        if version != live.version or not live.space:
            await self._restore(version, f"{live.version} cannot be loaded")
        elif live.space not in self._own_spaces:
            self._own_spaces.add(live.space)
            # The histories hold what made the version that was not wanted: a new fit waits.
            self._fresh_sessions = 0
            # Something of our own may have been told in between.
            await self._sender.send([version_message(live)])

    async def _load(self, live: Version) -> str | None:
        """Load `live` or the newest before it that is whole; returns which, None if none is."""
        found = await asyncio.to_thread(last_good, self._artifacts, live, _loaded)
        if found is None:
            logger.error("no version of ig2vec can be loaded, a new one will be fitted")
            return None
        version, (self.model, self._sessions_at_fit) = found
        return version

    async def _restore(self, version: str, reason: str) -> None:
        """Send all vectors of the loaded version in a new space."""
        if self.model is not None:
            vectors = AccountVectors(*self.model.vectors())
            try:
                self._own_spaces.add(await self._promotion.restore(version, vectors, reason))
            except ArtifactError as error:
                self._unstored(error)
                live = self._promotion.live
                if self._asked is None and live is not None:
                    # Whatever its space holds, it is sent again in a new one.
                    self._asked = msgspec.structs.replace(live, space="")

    def _unstored(self, error: ArtifactError) -> None:
        VERSIONS.labels(IG2VEC, "unstored").inc()
        logger.error("account vectors are not stored, the live ones stay: %s", error)
        self._store_again_s = time.monotonic() + STORE_AGAIN_S

    async def _tidy(self) -> None:
        """Take out of the topic what nobody needs: deleted accounts, spaces that were left."""
        deleted, self._deleted = self._deleted, []
        spaces = self._world.spaces()
        live = None if self._promotion.live is None else self._promotion.live.space
        for space in spaces if deleted else ():
            await self._sender.send(removal_messages(space.name, deleted))
        left = {s.name: s for s in spaces if s is not self._world.space and s.name != live}
        now = time.monotonic()
        self._left = {name: self._left.get(name, now) for name in left}
        for name, since in list(self._left.items()):
            if now - since >= SPACE_GRACE_S:
                await self._sender.send(removal_messages(name, left[name].account_ids()))
                del self._left[name]

    def _is_fit_due(self) -> bool:
        now = time.monotonic()
        if now < self._store_again_s:
            return False
        quiet = now - self._arrived_s >= QUIET_S
        fresh = self._fresh_sessions
        enough = max(self._settings.bootstrap_sessions, self._sessions_at_fit)
        return fresh >= enough and (quiet or fresh >= NEVER_QUIET * enough)

    async def _fit(self) -> None:
        corpus = self._histories.corpus(self._window_start_ms())
        negatives = self._histories.hard_negatives(self._window_start_ms())
        taken = self._histories.take_new()
        finishes, self._unfinished = self._unfinished, []
        fitted, self._fresh_sessions = self._fresh_sessions, 0
        self._sessions_at_fit += fitted
        started = time.monotonic()
        try:
            model = await asyncio.to_thread(
                Ig2Vec.fit, corpus, hard_negatives=negatives, now_ms=self._stream_ms
            )
        except Ig2VecError as error:
            logger.warning("no account vectors yet: %s", error)
            self._histories.put_back(taken)
            self._unfinished = finishes + self._unfinished
            return
        logger.info(
            "fitted ig2vec on %d sessions in %.1f s: %d accounts",
            self._sessions_at_fit, time.monotonic() - started, len(model),
        )  # fmt: skip
        await self._take_over()
        serving = None if self.model is None else AccountVectors(*self.model.vectors())
        try:
            space = await self._promotion.offer_fit(*self._saved(model), serving)
        except ArtifactError as error:
            self._unstored(error)
            self._sessions_at_fit -= fitted
            self._fresh_sessions += fitted
            space = None
        if space is None:
            # The live model goes on learning, also from these.
            self._histories.put_back(taken)
            self._unfinished = finishes + self._unfinished
            return
        self._own_spaces.add(space)
        self.model = model
        for finish in finishes:
            finish()

    async def _update(self, model: Ig2Vec) -> None:
        lesson = self._histories.lesson(self._window_start_ms())
        finishes, self._unfinished = self._unfinished, []
        changed = await asyncio.to_thread(
            model.update,
            lesson.sentences,
            counted=lesson.words,
            hard_negatives=lesson.hard_negatives,
            now_ms=self._stream_ms,
        )
        ids, vectors_nd = model.vectors(changed)
        live = self._promotion.live
        if live is not None and not live.space:
            live = None  # its vectors wait for the artifact store
        if live is not None:
            await self._sender.send(embedding_messages(live.space, ids, vectors_nd))
        for finish in finishes:
            finish()
        now = time.monotonic()
        due = model.updates % SAVE_EVERY == 0 and now - self._copied_s >= COPY_INTERVAL_S
        if changed and due and live is not None:
            self._copied_s = now
            gone = await asyncio.to_thread(model.expire, self._window_start_ms())
            await self._sender.send(removal_messages(live.space, gone))
            try:
                passed = await self._promotion.offer_copy(*self._saved(model))
            except ArtifactError as error:
                self._unstored(error)
                return
            if not passed and (version := await self._load(live)) is not None:
                await self._restore(version, "what was learned since was refused")

    def _window_start_ms(self) -> int:
        return self._stream_ms - self._settings.embedding_window_ms

    def _saved(self, model: Ig2Vec) -> tuple[Saved, dict[str, float]]:
        """A model as it is stored, and what is told of it."""
        arrays, meta = model.save_arrays()
        sessions = self._sessions_at_fit
        told = {"sessions": float(sessions), "accounts": len(model), "updates": model.updates}
        return Saved(arrays, {**meta, "sessions": sessions}), told


def _loaded(artifact: Artifact) -> tuple[Ig2Vec, int]:
    model = Ig2Vec.load_arrays(artifact.arrays, artifact.meta)
    return model, int(artifact.meta.get("sessions", 0))
