"""Everything remembered about one viewer, and the fold that keeps it.

The fold commutes: topics and partitions interleave differently on every run, and records arrive
late or twice, yet the same set of events always ends in the same state.

* A lane (strong actions, views) is a set of entries ordered by (ts, undo, event key) and cut to
  its newest entries, so it does not matter which came first.
* Counters add integers (:mod:`models.interactions`).
* Suppressions and relations are last-writer-wins registers in event time.
* An undo takes back the newest earlier action of its kind on its media. Actions and undos are
  matched again inside the lane when either arrives, so it does not matter which came first.

Events that fall out of the lanes are remembered in short, for their media and to recognise copies
of them. Within the caps of :class:`FoldConfig` all this holds exactly. Of an event older than
everything remembered of a viewer with more events than that, a second copy can no longer be
recognised.

The encoded state is MessagePack, documented for other languages in ``docs/contracts.md``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

import msgspec

from models.events import Action, FollowEvent, MediaEvent, Relation
from models.interactions import Counter

SCHEMA: Final = 1


class FoldConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Caps and time constants of the fold. Part of the state: changing them needs a rebuild."""

    half_life_ms: int = 7 * 24 * 3600 * 1000
    max_strong: int = 200
    max_views: int = 100
    max_older: int = 1000
    max_authors: int = 500
    max_suppressed: int = 500
    max_relations: int = 1000


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """One event in a lane."""

    ts: int
    undo: int
    key: int
    action: int
    media_id: str
    author_id: str


class Older(msgspec.Struct, array_like=True, frozen=True):
    """What is left of an event that fell out of its lane; an undo has no media."""

    ts: int
    key: int
    media_id: str


# (ts, undo, key): the newest wins, and at equal times an undo beats what it undoes.
Register = tuple[int, int, int]


class ViewerState(msgspec.Struct, array_like=True):
    """State of one viewer; mutable, folded in place.

    Attributes:
        strong: likes, saves and see-fewers with their undos, oldest first.
        views: views and long views, oldest first.
        authors: author → action code → counter.
        suppressed: media the viewer wants fewer of → register.
        relations: author → relation → register.
        older: newest of the events that fell out of the lanes, oldest first.
        applied: topic code → next offset to apply; valid only for the log `log_id`.
        log_id: identity of the Kafka cluster whose offsets `applied` holds.
        sessions_sent: end of the newest session that was sent on as closed.
    """

    schema: int = SCHEMA
    strong: list[Entry] = []
    views: list[Entry] = []
    authors: dict[str, dict[int, Counter]] = {}
    suppressed: dict[str, Register] = {}
    relations: dict[str, dict[str, Register]] = {}
    older: list[Older] = []
    applied: dict[int, int] = {}
    log_id: str = ""
    sessions_sent: int = 0

    def newest_ts(self) -> int:
        """Event time of the newest entry in ms, 0 for a viewer without events."""
        return max(self.strong[-1].ts if self.strong else 0, self.views[-1].ts if self.views else 0)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ViewerState)


def encode(state: ViewerState) -> bytes:
    """The state as MessagePack."""
    return _encoder.encode(state)


def decode(data: bytes) -> ViewerState:
    """The state that :func:`encode` wrote.

    Raises:
        msgspec.DecodeError: the bytes are no viewer state.
    """
    return _decoder.decode(data)


def event_key(event_id: str, undo: bool = False) -> int:
    """A 64-bit key of an event; an undo may carry the id of the action it takes back."""
    digest = blake2b(event_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") ^ int(undo)


def fold_media_event(
    state: ViewerState, action: Action, event: MediaEvent, author_id: str, config: FoldConfig
) -> bool:
    """Apply one like, save, see-fewer or view; returns whether the state changed."""
    views = action >= Action.VIEW
    lane = state.views if views else state.strong
    entry = Entry(
        event.ts,
        int(event.undo),
        event_key(event.event_id, event.undo),
        int(action),
        event.media_id,
        author_id,
    )
    if any(known.key == entry.key for known in lane) or _is_older(state.older, entry):
        return False

    counters = state.authors.setdefault(author_id, {})
    counter = counters.get(int(action))
    if counter is None:
        counter = counters[int(action)] = Counter()
    counter.touch(entry.ts, config.half_life_ms)

    if entry.undo or any(e.undo and e.media_id == entry.media_id for e in lane):
        before = _active(lane, entry)
        _insert(lane, entry)
        _recount(state, before, _active(lane, entry), config)
    else:
        _insert(lane, entry)
        counter.add(entry.ts, config.half_life_ms)

    if action is Action.SEE_FEWER:
        register = (entry.ts, entry.undo, entry.key)
        if register > state.suppressed.get(entry.media_id, (0, 0, 0)):
            state.suppressed[entry.media_id] = register
            _trim_registers(state.suppressed, config.max_suppressed)

    cap = config.max_views if views else config.max_strong
    while len(lane) > cap:
        oldest = lane.pop(0)
        left = Older(oldest.ts, oldest.key, "" if oldest.undo else oldest.media_id)
        state.older.insert(bisect_left(state.older, (left.ts, left.key), key=_older_order), left)
    if len(state.older) > config.max_older:
        del state.older[: len(state.older) - config.max_older]
    while len(state.authors) > config.max_authors:
        del state.authors[min(state.authors, key=lambda a: (_last_ts(state.authors[a]), a))]
    return True


def fold_follow_event(state: ViewerState, event: FollowEvent, config: FoldConfig) -> bool:
    """Apply one follow, block or mute; returns whether the state changed."""
    registers = state.relations.setdefault(event.author_id, {})
    register = (event.ts, int(event.undo), event_key(event.event_id, event.undo))
    if register <= registers.get(event.kind.value, (0, 0, 0)):
        return False
    registers[event.kind.value] = register
    while len(state.relations) > config.max_relations:
        del state.relations[
            min(state.relations, key=lambda a: (max(state.relations[a].values()), a))
        ]
    return True


def entries(state: ViewerState) -> list[Entry]:
    """All actions still remembered and not undone, oldest first."""
    return sorted(
        (*_not_undone(state.strong), *_not_undone(state.views)), key=lambda e: (e.ts, e.key)
    )


def sessions(state: ViewerState, gap_ms: int) -> list[list[Entry]]:
    """The viewer's actions cut where `gap_ms` passed without one, oldest first."""
    cut: list[list[Entry]] = []
    last_ts = -gap_ms
    for entry in entries(state):
        if entry.ts - last_ts >= gap_ms or not cut:
            cut.append([])
        cut[-1].append(entry)
        last_ts = entry.ts
    return cut


def suppressed_media(state: ViewerState) -> set[str]:
    """Media the viewer asked to see fewer of and did not take back."""
    return {media for media, (_, undo, _) in state.suppressed.items() if not undo}


def related_authors(state: ViewerState, *kinds: Relation) -> set[str]:
    """Authors in any of these relations to the viewer."""
    return {
        author
        for author, registers in state.relations.items()
        if any((r := registers.get(kind.value)) is not None and not r[1] for kind in kinds)
    }


def seen_media(state: ViewerState) -> set[str]:
    """Media the viewer viewed or acted on, as far back as the caps reach."""
    seen = {e.media_id for e in (*state.strong, *state.views) if not e.undo}
    seen.update(event.media_id for event in state.older)
    seen.discard("")
    return seen


def digest(viewer_id: str, state: ViewerState) -> int:
    """A 256-bit hash of what the viewer did, without the bookkeeping of the log.

    Digests of viewers add up modulo 2^256 (:func:`combine`), so no order of viewers matters.
    """
    authors = [
        (
            author,
            [(a, c.count, c.last_ts, sorted(c.weights.items())) for a, c in sorted(cs.items())],
        )
        for author, cs in sorted(state.authors.items())
    ]
    relations = [(author, sorted(r.items())) for author, r in sorted(state.relations.items())]
    suppressed = sorted(state.suppressed.items())
    body = _encoder.encode(
        (state.schema, state.strong, state.views, authors, suppressed, relations, state.older)
    )
    name = viewer_id.encode()
    header = len(name).to_bytes(2, "big") + name
    return int.from_bytes(blake2b(header + body, digest_size=32).digest(), "big")


def combine(digests: Iterable[int]) -> str:
    """One hash, in hex, of all viewers' digests."""
    return f"{sum(digests) % (1 << 256):064x}"


def _kind(action: int) -> int:
    return Action.VIEW if action >= Action.VIEW else action


def _order(entry: Entry) -> Register:
    return (entry.ts, entry.undo, entry.key)


def _insert(lane: list[Entry], entry: Entry) -> None:
    if not lane or _order(lane[-1]) < _order(entry):
        lane.append(entry)
    else:
        lane.insert(bisect_left(lane, _order(entry), key=_order), entry)


def _older_order(event: Older) -> tuple[int, int]:
    return (event.ts, event.key)


def _is_older(older: list[Older], entry: Entry) -> bool:
    """Whether a copy of this event fell out of its lane before."""
    if not older or entry.ts > older[-1].ts:
        return False
    at = bisect_left(older, (entry.ts, entry.key), key=_older_order)
    return at < len(older) and (older[at].ts, older[at].key) == (entry.ts, entry.key)


def _match(group: Iterable[Entry]) -> list[Entry]:
    """Actions of one kind on one media, in order, less those that an undo took back."""
    stack: list[Entry] = []
    for entry in group:
        if not entry.undo:
            stack.append(entry)
        elif stack:
            stack.pop()
    return stack


def _active(lane: list[Entry], like: Entry) -> list[Entry]:
    kind = _kind(like.action)
    return _match(e for e in lane if e.media_id == like.media_id and _kind(e.action) == kind)


def _not_undone(lane: list[Entry]) -> Iterator[Entry]:
    undone = {(e.media_id, _kind(e.action)) for e in lane if e.undo}
    if not undone:
        yield from lane
        return
    groups: dict[tuple[str, int], list[Entry]] = {}
    for entry in lane:
        group = (entry.media_id, _kind(entry.action))
        if group in undone:
            groups.setdefault(group, []).append(entry)
        else:
            yield entry
    for members in groups.values():
        yield from _match(members)


def _recount(
    state: ViewerState, before: list[Entry], after: list[Entry], config: FoldConfig
) -> None:
    """Move the counters from the actions that counted to those that count now."""
    old, new = {e.key for e in before}, {e.key for e in after}
    for sign, changed in (
        (-1, [e for e in before if e.key not in new]),
        (1, [e for e in after if e.key not in old]),
    ):
        for entry in changed:
            counter = state.authors.get(entry.author_id, {}).get(entry.action)
            if counter is not None:
                counter.add(entry.ts, config.half_life_ms, sign)


def _last_ts(counters: dict[int, Counter]) -> int:
    return max((c.last_ts for c in counters.values()), default=0)


def _trim_registers(registers: dict[str, Register], cap: int) -> None:
    while len(registers) > cap:
        del registers[min(registers, key=lambda name: (registers[name], name))]
