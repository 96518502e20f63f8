"""Closed sessions → account vectors, learned while the stream runs.

The first fit waits until enough sessions have closed and no more are coming in (a stream that is
being replayed is read to its end first), and whenever the number of sessions has doubled everything
is fitted anew. A fit takes each viewer's sessions together as one sentence: where viewers come
seldom, single sessions hold too few accounts to learn from
(``docs/decisions/0005-first-fit-of-ig2vec.md``). Between fits the sessions that closed are learned
incrementally every few seconds, and only vectors that changed are sent on. Both look back as far as
a window in the stream's own time: a fit leaves out what is older, and an account that nothing was
heard of since loses its vector.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from infra.artifacts import ArtifactError, ArtifactStore
from infra.config import Settings
from models.events import ACTION_NAMES
from models.ig2vec import HardNegative, Ig2Vec, Ig2VecError
from models.sentences import hard_negatives, sentence
from streams.clock import now_ms
from streams.ingest import Sender
from streams.ranking import Finish
from streams.sessions import ClosedSession
from streams.world_feed import Version, embedding_messages, removal_messages, version_message

KIND: Final = "ig2vec"
#: Sessions that closed are learned this often: a compromise of freshness and batch efficiency.
UPDATE_INTERVAL_S: Final = 2.0
#: A fit begins when no session came in for this long …
QUIET_S: Final = 2.0
#: … or when this many times the needed sessions wait, on a stream that is never quiet.
NEVER_QUIET: Final = 4
#: A fit takes this much of each viewer's history, and this many viewers, the newest of both.
MAX_STEPS: Final = 500
MAX_VIEWERS: Final = 200_000
#: A copy of the model is kept every so many updates, without the accounts that expired; a restart
#: goes on from the last copy.
SAVE_EVERY: Final = 20

#: (author_id, action code), time in ms
Step = tuple[tuple[str, int], int]

_CODES: Final = {name: code for code, name in enumerate(ACTION_NAMES)}
_session = msgspec.json.Decoder(ClosedSession)
logger = logging.getLogger(__name__)


class Embeddings:
    """Owns the ig2vec model of a learner."""

    def __init__(
        self, settings: Settings, artifacts: ArtifactStore, sender: Sender, live: str | None
    ) -> None:
        self._settings = settings
        self._artifacts = artifacts
        self._sender = sender
        # Newest steps of recently active viewers, what a fit learns from; least recent first.
        self._histories: OrderedDict[str, deque[Step]] = OrderedDict()
        self._sessions = 0
        self._sessions_at_fit = 0
        self._waiting: list[list[str]] = []
        self._waiting_negatives: list[HardNegative] = []
        self._stream_ms = 0  # when the newest session ended
        self._unfinished: list[Finish] = []
        self._arrived_s = time.monotonic()
        self.model: Ig2Vec | None = None
        if live is not None:
            self._resume(live)

    def _resume(self, version: str) -> None:
        try:
            artifact = self._artifacts.get(KIND, version)
            self.model = Ig2Vec.load_arrays(artifact.arrays, artifact.meta)
        except (ArtifactError, Ig2VecError) as error:
            logger.warning(
                "ig2vec %s cannot be loaded, a new one will be fitted: %s", version, error
            )
            return
        # What the histories held is gone: the next fit waits for as much again.
        self._sessions = self._sessions_at_fit = int(artifact.meta.get("sessions", 0))

    def closed(self, values: Sequence[bytes], finish: Finish) -> None:
        """Take in closed sessions; calls `finish` when what they changed has been sent on.

        What is too short to learn from is left out.
        """
        self._unfinished.append(finish)
        for value in values:
            try:
                session = _session.decode(value)
                steps = [((author, _CODES[action]), ts) for author, action, ts in session.steps]
            except (msgspec.DecodeError, KeyError) as error:
                logger.warning("a record of closed sessions is skipped: %r", error)
                continue
            history = self._histories.setdefault(session.viewer_id, deque(maxlen=MAX_STEPS))
            history.extend(steps)
            self._histories.move_to_end(session.viewer_id)
            self._sessions += 1
            self._stream_ms = max(self._stream_ms, session.ended_ts)
            if self.model is not None:
                actions = [action for action, _ in steps]
                self._waiting.append(sentence(actions))
                self._waiting_negatives += hard_negatives(actions)
        while len(self._histories) > MAX_VIEWERS:
            self._histories.popitem(last=False)
        self._arrived_s = time.monotonic()

    async def run(self) -> None:
        """Fit once there is enough and whenever it has doubled; else update. Never ends."""
        while True:
            await asyncio.sleep(UPDATE_INTERVAL_S)
            if self._is_fit_due():
                await self._fit()
            elif self.model is not None and self._unfinished:
                await self._update(self.model)

    def _is_fit_due(self) -> bool:
        quiet = time.monotonic() - self._arrived_s >= QUIET_S
        fresh = self._sessions - self._sessions_at_fit
        enough = max(self._settings.bootstrap_sessions, self._sessions_at_fit)
        return fresh >= enough and (quiet or fresh >= NEVER_QUIET * enough)

    async def _fit(self) -> None:
        histories = [self._within_window(history) for history in self._histories.values()]
        corpus = [sentence(actions) for actions in histories]
        negatives = [pair for actions in histories for pair in hard_negatives(actions)]
        finishes, self._unfinished = self._unfinished, []
        self._waiting.clear()  # part of the histories
        self._waiting_negatives.clear()
        self._sessions_at_fit = sessions = self._sessions
        started = time.monotonic()
        try:
            model = await asyncio.to_thread(
                Ig2Vec.fit, corpus, hard_negatives=negatives, now_ms=self._stream_ms
            )
        except Ig2VecError as error:
            logger.warning("no account vectors yet: %s", error)
            self._unfinished = finishes + self._unfinished
            return
        self.model = model
        logger.info(
            "fitted ig2vec on %d sessions in %.1f s: %d accounts",
            sessions, time.monotonic() - started, len(model),
        )  # fmt: skip
        await self._save(model, {"sessions": sessions, "accounts": len(model)})
        await self._tell(model, None, finishes)

    async def _update(self, model: Ig2Vec) -> None:
        corpus, self._waiting = self._waiting, []
        negatives, self._waiting_negatives = self._waiting_negatives, []
        finishes, self._unfinished = self._unfinished, []
        changed = await asyncio.to_thread(
            model.update, corpus, hard_negatives=negatives, now_ms=self._stream_ms
        )
        await self._tell(model, changed, finishes)
        if changed and model.updates % SAVE_EVERY == 0:
            gone = await asyncio.to_thread(model.expire, self._window_start_ms())
            await self._sender.send(removal_messages(model.space_id, gone))
            await self._save(model, {"sessions": len(corpus), "accounts": len(model)})

    def _window_start_ms(self) -> int:
        return self._stream_ms - self._settings.embedding_window_ms

    def _within_window(self, history: deque[Step]) -> list[tuple[str, int]]:
        start_ms = self._window_start_ms()
        return [action for action, ts in history if ts >= start_ms]

    async def _tell(self, model: Ig2Vec, changed: list[str] | None, finishes: list[Finish]) -> None:
        ids, vectors_nd = model.vectors(changed)
        vectors_nd = vectors_nd.astype(np.float32)
        await self._sender.send(embedding_messages(model.space_id, ids, vectors_nd))
        for finish in finishes:
            finish()

    async def _save(self, model: Ig2Vec, metrics: dict[str, float]) -> None:
        arrays, meta = model.save_arrays()
        meta = {**meta, "sessions": self._sessions_at_fit}
        version = await asyncio.to_thread(self._artifacts.put, KIND, arrays, meta)
        await self._sender.send([version_message(Version(KIND, version, now_ms(), metrics))])
