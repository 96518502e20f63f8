"""Topics → the world in memory: catalogue, popularity and account vectors.

Rankers and the learner read these topics whole, each for itself. What cannot be parsed is skipped
here: the ingest worker dead-letters it, or the learner where the topic is one of Freshgrid's own.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, Self, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.config import Settings
from infra.kafka import Message
from infra.metrics import HELD_BACK, IMAGES_REFUSED, UNCATALOGUED, UNCATALOGUED_DROPPED
from infra.topics import EMBEDDINGS_TOPIC, VERSIONS_TOPIC
from models.account_index.index import AccountIndexError
from models.actions import Action, action_in
from models.arrays.newest_told import NewestTold
from models.arrays.stored import Arrays, StoredArraysError, content_hash, part_of, prefixed
from models.arrays.types import Rows
from models.events import (
    ACCOUNTS_TOPIC,
    MEDIA_TOPIC,
    Id,
    InvalidEventError,
    MediaEvent,
    check,
    check_ids,
    decode_value,
    parse_account,
    parse_event,
    parse_media,
)
from models.inventory.viewer_marks import NOBODY, ForgottenMarks
from models.world import World, WorldConfig
from streams.clock import now_ms
from streams.records import Record, Refuse, read_records, skip
from streams.versions import IG2VEC, NewestVersions, versions

logger = logging.getLogger(__name__)


class Embedding(msgspec.Struct):
    """A changed account vector, as ``explore.embeddings`` carries it.

    Attributes:
        space: what all descends from one fit, and can be compared with each other.
        vector: little-endian float32, base64.
    """

    account_id: Id
    space: Id
    vector: str


class ToldVector(NamedTuple):
    """An account vector as it was told, of finite numbers that are not all zero."""

    account_id: str
    space: str
    vector_d: NDArray[np.float32]


#: More numbers than any account vector has.
_MOST_DIMENSIONS: Final = 4096
#: Counts up whenever what a feed stores beside its world changes; others are refused.
FORMAT: Final = 1

T = TypeVar("T")
_embedding = msgspec.json.Decoder(Embedding)
_json = msgspec.json.Encoder()


def parse_embedding(value: bytes | None, now_ms: int) -> ToldVector:
    """Read one record of ``explore.embeddings``.

    Raises:
        InvalidEventError: it holds no vector of an account.
    """
    told = decode_value(_embedding, value)
    check_ids(told, "account_id")
    try:
        vector_d = np.frombuffer(base64.b64decode(told.vector, validate=True), "<f4")
    except (binascii.Error, ValueError) as error:
        raise InvalidEventError(
            "bad_field", f"vector is no base64 of float32 numbers: {error}"
        ) from error
    d = len(vector_d)
    check(1 <= d <= _MOST_DIMENSIONS, "vector", f"has {d} numbers, not 1 to {_MOST_DIMENSIONS}")
    check(bool(np.isfinite(vector_d).all()), "vector", "is not finite")
    check(bool(vector_d.any()), "vector", "has length zero")
    return ToldVector(told.account_id, told.space, vector_d)


def embedding_messages(
    space: str, ids: Sequence[str], vectors_nd: NDArray[np.float32]
) -> Iterator[Message]:
    """The records that tell of changed vectors."""
    for account_id, vector_d in zip(ids, vectors_nd.astype("<f4"), strict=True):
        text = base64.b64encode(vector_d.tobytes()).decode()
        value = _json.encode(Embedding(account_id, space, text))
        yield Message(EMBEDDINGS_TOPIC, _embedding_key(space, account_id), value)


def removal_messages(space: str, ids: Iterable[str]) -> Iterator[Message]:
    """The records that tell that accounts have no vector any more."""
    for account_id in ids:
        yield Message(EMBEDDINGS_TOPIC, _embedding_key(space, account_id), None)


def _embedding_key(space: str, account_id: str) -> str:
    # With the space in it, compaction keeps the live space whole while another one is being sent.
    return f"{space}:{account_id}"


class Told(NamedTuple, Generic[T]):
    """What a record says of its key (nothing: that it is deleted), and when it was written."""

    content: T | None
    written_ms: int


def world_config(settings: Settings, *, details: bool = False) -> WorldConfig:
    """The world as these settings want it, in every process.

    Args:
        details: whether what only people ask for is kept.
    """
    return WorldConfig(
        image_dimension=settings.image_dimension,
        remembered=settings.remembered_actions,
        details=details,
    )


class WorldFeed:
    """Applies batches of records to a world.

    Where it ends is a function of the newest record of each key: whoever reads the topics from
    their beginning, whenever, and their partitions in whatever order, ends in the same world.
    What cannot be parsed is no record of its key.

    Args:
        refuse: what to do with a record of Freshgrid's own topics that says nothing.
    """

    def __init__(self, world: World, refuse: Refuse = skip) -> None:
        self.world = world
        self._refuse = refuse
        self._media_told = NewestTold()
        self._accounts_told = NewestTold()
        #: By space.
        self._vectors_told: defaultdict[str, NewestTold] = defaultdict(NewestTold)
        self._versions_told = NewestVersions(refuse)
        self._dropped = 0

    def apply(self, topic: str, records: Sequence[Record]) -> None:
        """Apply records of one partition: the catalogue, events on media, vectors or versions."""
        if not records:
            return
        if topic == MEDIA_TOPIC:
            self._media(records)
        elif topic == ACCOUNTS_TOPIC:
            self._accounts(records)
        elif topic == EMBEDDINGS_TOPIC:
            self._embeddings(records)
        elif topic == VERSIONS_TOPIC:
            for version in versions(self.newest_versions(records)):
                if version.kind == IG2VEC and version.space:
                    self.world.name_space(version.space, version.accounts)
        else:
            self.world.apply_events(list(media_events(topic, records)))

    def newest_versions(self, records: Sequence[Record]) -> list[Record]:
        """Those of records of ``explore.versions`` that no other partition has newer ones for."""
        return self._versions_told.take(records)

    def polled(self, lag: int) -> None:
        """Tell how many records the topics have that were not given yet."""
        waiting = self.world.uncatalogued
        UNCATALOGUED.set(len(waiting))
        UNCATALOGUED_DROPPED.inc(waiting.dropped - self._dropped)
        self._dropped = waiting.dropped
        HELD_BACK.set(len(self.world.held_accounts(now_ms())))
        if lag == 0:
            self.world.settle()

    def to_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """The world, and which records were the newest of their keys, as arrays and JSON.

        As :meth:`models.world.World.to_arrays` gives them. Which versions are live is not in it:
        that topic is small, and read whole by everybody.
        """
        arrays, meta = self.world.to_arrays()
        arrays = prefixed("world", arrays)
        told = {"media": self._media_told, "accounts": self._accounts_told}
        told |= {f"vectors.{at}": of for at, of in enumerate(self._vectors_told.values())}
        for name, of in told.items():
            arrays |= prefixed(f"told.{name}", of.to_arrays())
        return arrays, {"format": FORMAT, "world": meta, "told_spaces": list(self._vectors_told)}

    @staticmethod
    def stored(arrays: Arrays, forgotten: ForgottenMarks = NOBODY) -> dict[str, NDArray[Any]]:
        """Arrays of :meth:`to_arrays` as an artifact takes them, without what these viewers did."""
        told = prefixed("told", part_of(arrays, "told"))
        return told | prefixed("world", World.stored(part_of(arrays, "world"), forgotten))

    @classmethod
    def from_arrays(
        cls,
        arrays: Arrays,
        meta: Mapping[str, Any],
        config: WorldConfig,
        forgotten: ForgottenMarks = NOBODY,
        made_ms: int = 0,
        refuse: Refuse = skip,
    ) -> Self:
        """A feed of what :meth:`stored` gave, as :meth:`models.world.World.from_arrays` makes one.

        Raises:
            StoredArraysError: as there.
        """
        if meta.get("format") != FORMAT:
            raise StoredArraysError(
                f"it has format {meta.get('format')!r}, this build reads {FORMAT}"
            )
        of_world, spaces = meta.get("world"), meta.get("told_spaces")
        if not isinstance(of_world, dict) or not isinstance(spaces, list):
            raise StoredArraysError("it is not described")
        world = World.from_arrays(part_of(arrays, "world"), of_world, config, forgotten, made_ms)
        feed = cls(world, refuse)
        told = {"media": feed._media_told, "accounts": feed._accounts_told}
        told |= {f"vectors.{at}": feed._vectors_told[str(name)] for at, name in enumerate(spaces)}
        for name, of in told.items():
            of.load(part_of(arrays, f"told.{name}"))
        return feed

    def content_hash(self) -> str:
        """Hash of all that :meth:`to_arrays` gives: two feeds that go on alike."""
        arrays, meta = self.to_arrays()
        return content_hash(self.stored(arrays), meta)

    def _media(self, records: Sequence[Record]) -> None:
        now = now_ms()
        told = _told(records, lambda value: parse_media(value, now), lambda media: media.media_id)
        rows = self.world.catalog.intern_media(list(told))
        newest = _newest(told, rows, self._media_told, records[0].partition)
        refused = self.world.apply_media([of for of in newest.values() if of is not None])
        for reason in refused:
            IMAGES_REFUSED.inc()
            logger.warning("image vector refused: %s", reason)
        self.world.delete_media([name for name, of in newest.items() if of is None])

    def _accounts(self, records: Sequence[Record]) -> None:
        told = _told(records, parse_account, lambda account: account.account_id)
        rows = self.world.catalog.intern_accounts(list(told))
        newest = _newest(told, rows, self._accounts_told, records[0].partition)
        self.world.apply_accounts([account for account in newest.values() if account is not None])
        self.world.remove_accounts([name for name, of in newest.items() if of is None])

    def _embeddings(self, records: Sequence[Record]) -> None:
        told: defaultdict[str, dict[str, Told[NDArray[np.float32]]]] = defaultdict(dict)
        for record in records:
            if record.value is None:
                space, _, account_id = _key(record).partition(":")
                if account_id:
                    told[space][account_id] = Told(None, record.timestamp)
                continue
            for said in read_records(EMBEDDINGS_TOPIC, [record], parse_embedding, self._refuse):
                told[said.space][said.account_id] = Told(said.vector_d, record.timestamp)
        newest: dict[tuple[str, str], NDArray[np.float32] | None] = {}
        for space, of_space in told.items():
            rows = self.world.catalog.intern_accounts(list(of_space))
            taken = _newest(of_space, rows, self._vectors_told[space], records[0].partition)
            newest.update(((space, name), of) for name, of in taken.items())
        removed: dict[str, list[str]] = {}
        # Vectors of different lengths cannot be stacked, nor compared.
        changed: dict[tuple[str, int], dict[str, NDArray[np.float32]]] = {}
        for (space, name), of in newest.items():
            if of is None:
                removed.setdefault(space, []).append(name)
            else:
                changed.setdefault((space, len(of)), {})[name] = of
        for space, names in removed.items():
            self.world.remove_embeddings(space, names)
        for (space, _), vectors in changed.items():
            try:
                self.world.apply_embeddings(space, list(vectors), np.stack(list(vectors.values())))
            except AccountIndexError as error:
                logger.warning("vectors of space %s refused: %s", space, error)


def _told(
    records: Sequence[Record], parse: Callable[[bytes], T], name_of: Callable[[T], str]
) -> dict[str, Told[T]]:
    """The last record of each key of the catalogue, None where it takes the key out.

    What cannot be parsed is no record of its key; the ingest worker sends its letter.
    """
    told: dict[str, Told[T]] = {}
    for record in records:
        if record.value is None:
            if name := _key(record):
                told[name] = Told(None, record.timestamp)
            continue
        try:
            of = parse(record.value)
        except InvalidEventError:
            continue
        told[name_of(of)] = Told(of, record.timestamp)
    return told


def _newest(
    told: Mapping[str, Told[T]], rows_n: Rows, known: NewestTold, partition: int
) -> dict[str, T | None]:
    """What counts of records of one partition: those that no other partition has newer ones for.

    Args:
        told: by id, the last record of each.
        rows_n: of the ids.
        known: what was told of them before.
    """
    written_ms_n = np.fromiter((record.written_ms for record in told.values()), np.int64, len(told))
    newest_n = known.take(rows_n, partition, written_ms_n).tolist()
    return {
        name: record.content
        for (name, record), newest in zip(told.items(), newest_n, strict=True)
        if newest
    }


def _key(record: Record) -> str:
    return (record.key or b"").decode("utf-8", "replace")


def deleted_accounts(records: Sequence[Record]) -> list[str]:
    """Accounts that records of the account catalogue delete."""
    return [_key(record) for record in records if record.value is None and record.key]


def media_events(topic: str, records: Sequence[Record]) -> Iterator[tuple[Action, MediaEvent]]:
    """The valid events among records of a topic of :data:`MEDIA_EVENT_TOPICS`."""
    now = now_ms()
    for record in records:
        try:
            event = parse_event(topic, record.value, now)
        except InvalidEventError:
            continue
        if isinstance(event, MediaEvent):
            yield action_in(topic, event.long), event
