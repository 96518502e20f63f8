"""Topics → the world in memory: catalogue, popularity and account vectors.

Rankers and the learner read these topics whole, each for itself. What cannot be parsed is skipped
here: the ingest worker dead-letters it.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.kafka import EMBEDDINGS_TOPIC, VERSIONS_TOPIC, Message
from models.account_index import AccountIndexError
from models.events import (
    ACCOUNTS_TOPIC,
    MEDIA_EVENT_TOPICS,
    MEDIA_TOPIC,
    Action,
    InvalidEventError,
    Media,
    MediaEvent,
    action_of,
    parse_account,
    parse_event,
    parse_media,
)
from models.world import World
from streams.clock import now_ms

logger = logging.getLogger(__name__)

FEED_TOPICS: Final = (MEDIA_TOPIC, ACCOUNTS_TOPIC, *MEDIA_EVENT_TOPICS, EMBEDDINGS_TOPIC)


class Record(Protocol):
    """What is read of a Kafka record."""

    @property
    def key(self) -> bytes | None:
        """Its key."""
        ...

    @property
    def value(self) -> bytes | None:
        """Its value."""
        ...


class Embedding(msgspec.Struct):
    """A changed account vector, as ``explore.embeddings`` carries it.

    Attributes:
        space: the fit whose vectors can be compared with each other.
        vector: little-endian float32, base64.
    """

    account_id: str
    space: str
    vector: str


class Version(msgspec.Struct):
    """The live version of an artifact, as ``explore.versions`` carries it."""

    kind: str
    version: str
    announced_ms: int
    metrics: dict[str, float] = {}


_embedding = msgspec.json.Decoder(Embedding)
_version = msgspec.json.Decoder(Version)
_json = msgspec.json.Encoder()


def embedding_messages(
    space: str, ids: Sequence[str], vectors_nd: NDArray[np.float32]
) -> Iterator[Message]:
    """The records that tell of changed vectors."""
    for account_id, vector_d in zip(ids, vectors_nd.astype("<f4"), strict=True):
        text = base64.b64encode(vector_d.tobytes()).decode()
        value = _json.encode(Embedding(account_id, space, text))
        yield Message(EMBEDDINGS_TOPIC, account_id, value)


def removal_messages(space: str, ids: Iterable[str]) -> Iterator[Message]:
    """The records that tell that accounts have no vector any more."""
    for account_id in ids:
        yield Message(EMBEDDINGS_TOPIC, account_id, None)


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


class WorldFeed:
    """Applies batches of records to a world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def apply(self, topic: str, records: Sequence[Record]) -> None:
        """Apply records of one of :data:`FEED_TOPICS`."""
        if topic == MEDIA_TOPIC:
            # The newest record of a media within the batch is the only one that counts.
            newest: dict[str, Media | None] = {}
            for record in records:
                if record.value is None:
                    newest[_key(record)] = None
                    continue
                try:
                    media = parse_media(record.value)
                except InvalidEventError:
                    continue
                newest[media.media_id] = media
            self.world.apply_media([media for media in newest.values() if media is not None])
            self.world.catalog.delete_media([name for name, of in newest.items() if of is None])
        elif topic == ACCOUNTS_TOPIC:
            accounts = []
            for record in records:
                try:
                    accounts.append(parse_account(record.value))
                except InvalidEventError:
                    continue
            self.world.apply_accounts(accounts)
        elif topic == EMBEDDINGS_TOPIC:
            self._embeddings(records)
        else:
            self.world.apply_events(list(media_events(topic, records)))

    def _embeddings(self, records: Sequence[Record]) -> None:
        # The newest record of an account within the batch is the only one that counts.
        newest: dict[str, tuple[str, NDArray[np.float32]] | None] = {}
        for record in records:
            if record.value is None:
                newest[_key(record)] = None
                continue
            try:
                told = _embedding.decode(record.value)
                vector_d = np.frombuffer(base64.b64decode(told.vector, validate=True), "<f4")
            except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
                logger.warning("vector of account %s refused: %s", _key(record), error)
                continue
            newest[told.account_id] = told.space, vector_d
        self.world.remove_embeddings([name for name, of in newest.items() if of is None])
        # Vectors of different lengths cannot be stacked; the world refuses the wrong ones.
        spaces: dict[tuple[str, int], dict[str, NDArray[np.float32]]] = {}
        for name, of in newest.items():
            if of is not None:
                spaces.setdefault((of[0], len(of[1])), {})[name] = of[1]
        for (space, _), vectors in spaces.items():
            try:
                self.world.apply_embeddings(space, list(vectors), np.stack(list(vectors.values())))
            except AccountIndexError as error:
                logger.warning("vectors of space %s refused: %s", space, error)


def _key(record: Record) -> str:
    return (record.key or b"").decode("utf-8", "replace")


def media_events(topic: str, records: Sequence[Record]) -> Iterator[tuple[Action, MediaEvent]]:
    """The valid events among records of a topic of :data:`MEDIA_EVENT_TOPICS`."""
    now = now_ms()
    for record in records:
        try:
            event = parse_event(topic, record.value, now)
        except InvalidEventError:
            continue
        if isinstance(event, MediaEvent):
            yield action_of(topic, event), event
