"""``explore.versions`` says the same in whatever order its partitions are read."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from models.events import Unreadable
from streams.versions import KINDS, Heard, Version, version_message


class Record(NamedTuple):
    key: bytes | None
    value: bytes | None
    partition: int
    timestamp: int
    offset: int = 0


class Said(NamedTuple):
    """What was written: of a kind that it is live, or something damaged; no kind: a batch."""

    kind: str | None
    good: bool


said = st.one_of(
    st.builds(Said, st.sampled_from(KINDS), st.booleans()), st.just(Said(None, good=False))
)


def _record(number: int, of: Said, partition: int) -> Record:
    if of.kind is None:
        return Record(None, Unreadable(b"the batch cannot be read"), partition, number)
    value = version_message(Version(of.kind, f"v{number}", 1)).value if of.good else b"{"
    return Record(of.kind.encode(), value, partition, number)


@given(
    st.lists(st.tuples(said, st.integers(0, 3)), max_size=20),
    st.data(),
)
def test_what_is_live_and_what_is_damaged_is_told_by_the_newest_record(history, data):
    live: dict[str, str] = {}
    damaged: set[str] = set()
    log: defaultdict[int, list[Record]] = defaultdict(list)
    for number, (of, partition) in enumerate(history):
        log[partition].append(_record(number, of, partition))
        if of.good:
            live[of.kind] = f"v{number}"
            damaged.discard(of.kind)
        else:
            damaged.update(KINDS if of.kind is None else {of.kind})
    refused = []
    heard = Heard(lambda topic, record, error: refused.append(record))
    while log:
        partition = data.draw(st.sampled_from(sorted(log)))
        heard.hear([log[partition].pop(0)])
        if not log[partition]:
            del log[partition]
    assert {kind: told.version for kind, told in heard.live.items()} == live
    assert heard.damaged == damaged
    # Each damaged one is told of, once, also where a newer one stands elsewhere.
    assert sorted(record.timestamp for record in refused) == [
        number for number, (of, _) in enumerate(history) if not of.good
    ]
