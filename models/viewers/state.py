"""Everything remembered about one viewer, and the fold that keeps it.

The fold commutes: topics and partitions interleave differently on every run, and records arrive
late or twice, yet the same set of events always ends in the same state.

* Two action logs (:mod:`models.viewers.action_log`), one for strong actions and one for views, are
  sets of records in a total order: it does not matter which came first. Counters, suppressions and
  what an undo took back are read from the action logs, so that folding an event is one insertion.
* An action log that has grown past its cap is cut to the newest records. What falls out is added to
  a residue: integers (:mod:`models.viewers.decayed_counter`), last-writer-wins registers, and a
  short memory of each event to know its media as seen and copies of it as copies.
* Relations to authors are last-writer-wins registers in event time.

An action log may hold some records more than its cap, so that it need not be cut at each event;
:func:`settle` cuts it exactly. Within the caps of :class:`FoldConfig` all this holds exactly. Of
an event older than everything remembered of a viewer with more events than that, a second copy can
no longer be recognised.

The encoded state is documented for other languages in ``docs/contracts.md``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from models.actions import NEGATIVE, TOPIC_CODES, VIEWS, Action
from models.events import DAY_MS, FollowEvent, MediaEvent, Relation
from models.viewers.action_log import (
    ActionLog,
    Entry,
    FallenLog,
    check_fallen,
    check_records,
    did,
    event_key,
    pack,
    standing,
)
from models.viewers.decayed_counter import DecayedCounter

SCHEMA: Final = 2
#: Schema, log, places, records and bytes of both action logs, end of the last session sent.
HEADER: Final = struct.Struct(">B8sHHIHIIH")
PLACE: Final = struct.Struct(">3sIH")
NO_LOG: Final = bytes(8)
#: Records that an action log may hold beyond its cap.
SLACK: Final = 32


class FoldConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Caps and time constants of the fold. Part of the state: changing them needs a rebuild."""

    half_life_ms: int = 7 * DAY_MS
    max_strong: int = 200
    max_views: int = 100
    max_older: int = 1000
    max_authors: int = 500
    max_suppressed: int = 500
    max_relations: int = 1000


class StateError(ValueError):
    """Bytes that are no viewer state of this release."""


_ACTIONS: Final = frozenset(map(int, Action))
_TOPIC_OF: Final = {code: topic for topic, code in TOPIC_CODES.items()}

# (ts, undo, key): the newest wins, and at equal times an undo beats what it undoes.
Register = tuple[int, int, bytes]
Counters = dict[str, dict[int, DecayedCounter]]


@dataclass(slots=True)
class ViewerState:
    """State of one viewer; mutable, folded in place.

    Attributes:
        strong: actions that are no views, with their undos.
        views: views and long views.
        authors: counters of the actions that fell out of the action logs.
        suppressed: media of see-fewers that fell out of the action log → newest register.
        relations: author → relation → register.
        older: newest of the events that fell out of the action logs.
        applied: place in the log (3 bytes, see :func:`place`) → next offset to apply.
        log: which log `applied` is about (:func:`log_key`).
        sessions_sent: end of the newest session that was sent on as closed, in ms.
    """

    strong: ActionLog = field(default_factory=ActionLog)
    views: ActionLog = field(default_factory=ActionLog)
    authors: Counters = field(default_factory=dict)
    suppressed: dict[str, Register] = field(default_factory=dict)
    relations: dict[str, dict[str, Register]] = field(default_factory=dict)
    older: FallenLog = field(default_factory=FallenLog)
    applied: dict[bytes, int] = field(default_factory=dict)
    log: bytes = NO_LOG
    sessions_sent: int = 0

    def newest_ts(self) -> int:
        """Event time of the newest action in ms, 0 for a viewer without any."""
        return max(self.strong.newest_ts(), self.views.newest_ts())

    def reflects_ts(self) -> int:
        """Event time of the newest thing known in ms: an action, or a change of a relation."""
        changes = (r[0] for registers in self.relations.values() for r in registers.values())
        return max(self.newest_ts(), max(changes, default=0))

    def reflects_offsets(self) -> dict[str, int]:
        """``TOPIC/PARTITION`` → offset: the viewer's events before it are applied, none after."""
        return {
            f"{_TOPIC_OF[at[0]]}/{int.from_bytes(at[1:], 'big')}": offset
            for at, offset in self.applied.items()
            if at[0] in _TOPIC_OF
        }


class _Rest(msgspec.Struct, array_like=True):
    """The parts of a state that most viewers do not have."""

    authors: Counters = {}
    suppressed: dict[str, Register] = {}
    relations: dict[str, dict[str, Register]] = {}
    older: bytes = b""
    older_size: int = 0


_encoder = msgspec.msgpack.Encoder()
_rest_decoder = msgspec.msgpack.Decoder(_Rest)


def place(topic_code: int, partition: int) -> bytes:
    """Key of a topic's partition in `ViewerState.applied`."""
    return (topic_code << 16 | partition).to_bytes(3, "big")


def log_key(log_id: str) -> bytes:
    """Eight bytes for the identity of a log (a Kafka cluster's id)."""
    return blake2b(log_id.encode(), digest_size=8).digest()


def encode(state: ViewerState) -> bytes:
    """The state as bytes, which :func:`decode` reads."""
    strong, views, sent = state.strong, state.views, state.sessions_sent
    parts = [
        HEADER.pack(
            *(SCHEMA, state.log, len(state.applied), strong.size, len(strong.data)),
            *(views.size, len(views.data), sent >> 16, sent & 0xFFFF),
        ),
        *(PLACE.pack(at, offset >> 16, offset & 0xFFFF) for at, offset in state.applied.items()),
        strong.data,
        views.data,
    ]
    if state.authors or state.suppressed or state.relations or state.older.size:
        rest = (state.authors, state.suppressed, state.relations, state.older.data)
        parts.append(_encoder.encode((*rest, state.older.size)))
    return b"".join(parts)


def decode(data: bytes) -> ViewerState:
    """The state that :func:`encode` wrote, all of it checked: whoever reads on may rely on it.

    Raises:
        StateError: the bytes are no viewer state, or that of another release.
    """
    try:
        schema, log, places, *logs, sent_high, sent_low = HEADER.unpack_from(data)
        if schema != SCHEMA:
            raise StateError(
                f"a viewer state has schema {schema}, this release reads {SCHEMA}: "
                "run `freshgrid rebuild --force`"
            )
        strong_at = HEADER.size + places * PLACE.size
        applied = {
            at: high << 16 | low
            for at, high, low in PLACE.iter_unpack(data[HEADER.size : strong_at])
        }
        strong_size, strong_bytes, views_size, views_bytes = logs
        views_at = strong_at + strong_bytes
        rest_at = views_at + views_bytes
        if rest_at > len(data):
            raise StateError(f"a viewer state is cut: {len(data)} bytes, at least {rest_at} needed")
        strong, views = data[strong_at:views_at], data[views_at:rest_at]
        check_records(strong, strong_size)
        check_records(views, views_size)
        rest = _rest_decoder.decode(data[rest_at:]) if len(data) > rest_at else _Rest()
        check_fallen(rest.older, rest.older_size)
        if not all(code in _ACTIONS for of in rest.authors.values() for code in of):
            raise StateError("a viewer state counts an action that this release does not know")
    except StateError:
        raise
    except (struct.error, msgspec.DecodeError, ValueError) as error:
        raise StateError(f"not a viewer state: {error}") from error
    return ViewerState(
        strong=ActionLog(strong, strong_size),
        views=ActionLog(views, views_size),
        authors=rest.authors,
        suppressed=rest.suppressed,
        relations=rest.relations,
        older=FallenLog(rest.older, rest.older_size),
        applied=applied,
        log=log,
        sessions_sent=sent_high << 16 | sent_low,
    )


def fold_media_event(
    state: ViewerState, action: Action, event: MediaEvent, author_id: str, config: FoldConfig
) -> bool:
    """Apply one action on a media; returns whether the state changed."""
    record = pack(event.ts, action, event.event_id, event.media_id, author_id, event.undo)
    return fold_record(state, action in VIEWS, record, config)


def fold_record(state: ViewerState, view: bool, record: bytes, config: FoldConfig) -> bool:
    """Apply one packed action; returns whether the state changed.

    Args:
        view: it belongs to the action log of views.
    """
    actions, cap = (state.views, config.max_views) if view else (state.strong, config.max_strong)
    if state.older.has(record) or not actions.insert(record):
        return False
    if actions.size > cap + SLACK:
        _cut(state, actions, cap, config)
    return True


def fold_follow_event(state: ViewerState, event: FollowEvent, config: FoldConfig) -> bool:
    """Apply one follow, block or mute; returns whether the state changed."""
    registers = state.relations.setdefault(event.author_id, {})
    register = (event.ts, int(event.undo), event_key(event.event_id, event.undo))
    if register <= registers.get(event.kind.value, (0, 0, b"")):
        return False
    registers[event.kind.value] = register
    while len(state.relations) > config.max_relations:
        del state.relations[
            min(state.relations, key=lambda a: (max(state.relations[a].values()), a))
        ]
    return True


def settle(state: ViewerState, config: FoldConfig) -> None:
    """Cut the action logs to exactly their caps: equal events now mean equal states."""
    _cut(state, state.strong, config.max_strong, config)
    _cut(state, state.views, config.max_views, config)


class History(NamedTuple):
    """What a state tells of its viewer, in one reading.

    Attributes:
        done: all actions in the action logs that were not undone, oldest first.
        suppressed: media the viewer asked to see fewer of and did not take back.
        older: media of actions that fell out of the action logs; with those of `done`, all that
            were seen as far back as the caps reach.
    """

    done: list[Entry]
    suppressed: set[str]
    older: list[str]


def history(state: ViewerState) -> History:
    """Read a state's action logs."""
    strong, views = state.strong.entries(), state.views.entries()
    registers = dict(state.suppressed)
    for entry in strong:
        _suppress(registers, entry)
    done = sorted(standing(strong) + standing(views))
    # What was taken back leaves no trace: a see-fewer by mistake must not cost the media.
    suppressed = {media for media, (_, undo, _) in registers.items() if not undo}
    return History(done, suppressed, list(state.older.media_ids()))


def entries(state: ViewerState) -> list[Entry]:
    """All actions in the action logs that were not undone, oldest first."""
    return history(state).done


def sessions(state: ViewerState, gap_ms: int) -> list[list[Entry]]:
    """The viewer's actions cut where `gap_ms` passed without one, oldest first."""
    return _cut_sessions(entries(state), gap_ms)


def unsent_sessions(state: ViewerState, gap_ms: int) -> list[list[Entry]]:
    """Those of :func:`sessions` that ended after `sessions_sent`, without unpacking all others."""
    sent = state.sessions_sent
    if state.newest_ts() <= sent:
        return []
    # A session that ended after `sent` and has nothing in the gap before began after it.
    since = sent - gap_ms
    # An undo takes back the newest action before it, so older ones need not be known.
    found = sorted(
        standing(state.strong.entries_since(since)) + standing(state.views.entries_since(since))
    )
    cut = _cut_sessions(found, gap_ms)
    if found and sent and found[0].ts <= sent and cut[0][-1].ts > sent:
        # It goes on from one that was sent, who knows from when on.
        cut = sessions(state, gap_ms)
    return [session for session in cut if session[-1].ts > sent]


def first_times(state: ViewerState, session: Sequence[Entry]) -> list[Entry]:
    """A session without what the viewer did to the same media before, in it or earlier.

    What is learned from everybody's sessions counts a viewer once per media and action, as
    :mod:`models.inventory.counted_once` does, as far back as the action logs reach.
    """
    before_ts = session[0].ts
    views, strong = state.views.older(before_ts), state.strong.older(before_ts)
    first = {(entry.media_id, entry.action): entry for entry in reversed(session)}
    return [
        entry
        for entry in session
        if first[entry.media_id, entry.action] is entry
        and not did(views if entry.action in VIEWS else strong, entry)
    ]


def _cut_sessions(done: list[Entry], gap_ms: int) -> list[list[Entry]]:
    cut: list[list[Entry]] = []
    last_ts = -gap_ms
    for entry in done:
        if entry.ts - last_ts >= gap_ms or not cut:
            cut.append([])
        cut[-1].append(entry)
        last_ts = entry.ts
    return cut


def counters(state: ViewerState, half_life_ms: int) -> Counters:
    """Author → action code → counter, of everything the viewer did.

    Authors whose every action was undone are there, too, with a count of 0.
    """
    counted: Counters = {
        author_id: {
            action: DecayedCounter(counter.count, counter.last_ts, dict(counter.weights))
            for action, counter in of_author.items()
        }
        for author_id, of_author in state.authors.items()
    }
    for actions in (state.strong, state.views):
        done = actions.entries()
        _count(counted, done, standing(done), half_life_ms)
    return counted


def suppressed_media(state: ViewerState) -> set[str]:
    """Media the viewer asked to see fewer of and did not take back."""
    return history(state).suppressed


def related_authors(state: ViewerState, *kinds: Relation) -> set[str]:
    """Authors in any of these relations to the viewer."""
    return {
        author
        for author, registers in state.relations.items()
        if any((r := registers.get(kind.value)) is not None and not r[1] for kind in kinds)
    }


def digest(viewer_id: str, state: ViewerState, config: FoldConfig) -> int:
    """A 256-bit hash of what the viewer did, without the bookkeeping of the log.

    Digests of viewers add up modulo 2^256 (:func:`combine`), so no order of viewers matters.
    The state is settled.
    """
    settle(state, config)
    authors = [
        (
            author,
            [(a, c.count, c.last_ts, sorted(c.weights.items())) for a, c in sorted(cs.items())],
        )
        for author, cs in sorted(state.authors.items())
    ]
    relations = [(author, sorted(r.items())) for author, r in sorted(state.relations.items())]
    suppressed = sorted(state.suppressed.items())
    logs = (state.strong.data, state.views.data, state.older.data)
    body = _encoder.encode((SCHEMA, *logs, authors, suppressed, relations))
    name = viewer_id.encode()
    header = len(name).to_bytes(2, "big") + name
    return int.from_bytes(blake2b(header + body, digest_size=32).digest(), "big")


def combine(digests: Iterable[int]) -> str:
    """One hash, in hex, of all viewers' digests."""
    return f"{sum(digests) % (1 << 256):064x}"


def _cut(state: ViewerState, actions: ActionLog, cap: int, config: FoldConfig) -> None:
    """Move what is beyond an action log's cap into the residue."""
    if actions.size <= cap:
        return
    done = actions.entries()
    stand = set(standing(done))
    fallen = done[: actions.drop_oldest(cap)]
    _count(state.authors, fallen, [e for e in fallen if e in stand], config.half_life_ms)
    for entry in fallen:
        _suppress(state.suppressed, entry)
        state.older.add(entry)
    state.older.cut(config.max_older)
    while len(state.suppressed) > config.max_suppressed:
        registers = state.suppressed
        del registers[min(registers, key=lambda media: (registers[media], media))]
    while len(state.authors) > config.max_authors:
        del state.authors[min(state.authors, key=lambda a: (_last_ts(state.authors[a]), a))]


def _count(
    counted: Counters, done: Iterable[Entry], stand: Iterable[Entry], half_life_ms: int
) -> None:
    for entry in done:
        of_author = counted.setdefault(entry.author_id, {})
        counter = of_author.get(entry.action)
        if counter is None:
            counter = of_author[entry.action] = DecayedCounter()
        counter.touch(entry.ts, half_life_ms)
    for entry in stand:
        counted[entry.author_id][entry.action].add(entry.ts, half_life_ms)


def _suppress(registers: dict[str, Register], entry: Entry) -> None:
    if entry.action in NEGATIVE:
        register = (entry.ts, int(entry.undo), entry.key)
        registers[entry.media_id] = max(register, registers.get(entry.media_id, (0, 0, b"")))


def _last_ts(of_author: dict[int, DecayedCounter]) -> int:
    return max((c.last_ts for c in of_author.values()), default=0)
