"""Closed sessions → account vectors, learned while the stream runs.

The first fit waits until enough sessions have closed and no more are coming in (a stream that is
being replayed is read to its end first). From then on every few seconds the sessions that closed
since are learned incrementally, and only vectors that changed are sent on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from infra.artifacts import ArtifactStore
from infra.config import Settings
from models.events import ACTION_NAMES
from models.ig2vec import Ig2Vec, Ig2VecError
from models.sentences import sentence
from streams.clock import now_ms
from streams.ingest import Sender
from streams.ranking import Finish
from streams.sessions import ClosedSession
from streams.world_feed import Version, embedding_messages, version_message

KIND: Final = "ig2vec"
#: Sessions that closed are learned this often: a compromise of freshness and batch efficiency.
UPDATE_INTERVAL_S: Final = 2.0
#: The first fit begins when no session came in for this long …
QUIET_S: Final = 1.0
#: … or when this many wait, on a stream that is never quiet.
BOOTSTRAP_AT_MOST: Final = 20_000
#: A copy of the model is kept every so many updates; a restart goes on from the last copy.
SAVE_EVERY: Final = 20

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
        self._waiting: list[list[str]] = []
        self._unfinished: list[Finish] = []
        self._arrived_s = time.monotonic()
        self.model: Ig2Vec | None = None
        if live is not None:
            artifact = artifacts.get(KIND, live)
            self.model = Ig2Vec.load_arrays(artifact.arrays, artifact.meta)

    def closed(self, values: Sequence[bytes], finish: Finish) -> None:
        """Take in closed sessions; calls `finish` when what they changed has been sent on.

        What is too short to learn from is left out.
        """
        self._unfinished.append(finish)
        for value in values:
            steps = _session.decode(value).steps
            words = sentence((author, _CODES[action]) for author, action, _ in steps)
            if words:
                self._waiting.append(words)
        self._arrived_s = time.monotonic()

    async def run(self) -> None:
        """Fit once there is enough, then update, until cancelled."""
        while True:
            await asyncio.sleep(QUIET_S / 4 if self.model is None else UPDATE_INTERVAL_S)
            if self.model is None:
                await self._bootstrap()
            elif self._unfinished:
                await self._update(self.model)

    async def _bootstrap(self) -> None:
        quiet = time.monotonic() - self._arrived_s >= QUIET_S
        enough = len(self._waiting) >= self._settings.bootstrap_sessions
        if not (enough and quiet) and len(self._waiting) < BOOTSTRAP_AT_MOST:
            return
        sentences, finishes = self._take()
        try:
            model = await asyncio.to_thread(Ig2Vec.fit, sentences)
        except Ig2VecError as error:
            logger.warning("no account vectors yet: %s", error)
            self._waiting, self._unfinished = sentences + self._waiting, finishes + self._unfinished
            return
        self.model = model
        await self._save(model, {"sessions": len(sentences), "accounts": len(model)})
        await self._tell(model, None, finishes)

    async def _update(self, model: Ig2Vec) -> None:
        sentences, finishes = self._take()
        changed = await asyncio.to_thread(model.update, sentences)
        await self._tell(model, changed, finishes)
        if changed and model.updates % SAVE_EVERY == 0:
            await self._save(model, {"sessions": len(sentences), "accounts": len(model)})

    def _take(self) -> tuple[list[list[str]], list[Finish]]:
        taken = self._waiting, self._unfinished
        self._waiting, self._unfinished = [], []
        return taken

    async def _tell(self, model: Ig2Vec, changed: list[str] | None, finishes: list[Finish]) -> None:
        ids, vectors_nd = model.vectors(changed)
        vectors_nd = vectors_nd.astype(np.float32)
        await self._sender.send(embedding_messages(model.space_id, ids, vectors_nd))
        for finish in finishes:
            finish()

    async def _save(self, model: Ig2Vec, metrics: dict[str, float]) -> None:
        arrays, meta = model.save_arrays()
        version = await asyncio.to_thread(self._artifacts.put, KIND, arrays, meta)
        await self._sender.send([version_message(Version(KIND, version, now_ms(), metrics))])
