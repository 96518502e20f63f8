"""Logs as real clusters leave them: gaps, transactions, markers that compaction emptied, damage."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import given
from hypothesis import strategies as st

from infra.log_batches import ReadableBatches, stable_end
from models.events import InvalidEventError, Unreadable, parse_event

ATTRIBUTES = struct.calcsize(">qiibI")
TRANSACTIONAL, CONTROL = 0x10, 0x20
GZIP, ZSTD, UNKNOWN_CODEC = 1, 4, 7
NO_PRODUCER = -1
_partitions = itertools.count()


class Batch(NamedTuple):
    """A batch, and what a reader should find in it.

    Attributes:
        offsets: how many it takes.
        expected: what is read of it: distance from its first offset, and value.
        aborted: of a producer whose transaction is aborted from here on.
    """

    data: bytes
    offsets: int
    expected: Sequence[tuple[int, bytes | None]] = ()
    aborted: int = NO_PRODUCER


def built(
    values: Sequence[bytes | None], *, producer: int = NO_PRODUCER, control: bytes = b""
) -> bytes:
    """A batch of these values; None leaves a gap, as compaction does."""
    transactional = producer != NO_PRODUCER
    builder = DefaultRecordBatchBuilder(2, 0, transactional, producer, 0, -1, 1 << 20)
    for offset, value in enumerate(values):
        if value is not None:
            builder.append(offset, 1, control or None, value, [])
    data = bytearray(builder.build())
    data[ATTRIBUTES + 2 : ATTRIBUTES + 6] = struct.pack(">i", len(values) - 1)
    return bytes(data)


def with_attributes(data: bytes, more: int) -> bytes:
    [attributes] = struct.unpack_from(">h", data, ATTRIBUTES)
    return data[:ATTRIBUTES] + struct.pack(">h", attributes | more) + data[ATTRIBUTES + 2 :]


def sealed(data: bytes, base: int) -> bytes:
    """The batch at this offset, with the checksum that it should have."""
    crc = struct.pack(">I", calc_crc32c(data[ATTRIBUTES:]))
    return struct.pack(">q", base) + data[8 : ATTRIBUTES - 4] + crc + data[ATTRIBUTES:]


def marker(producer: int, kind: int, emptied: bool) -> Batch:
    data = built(
        [None if emptied else b"\0\0\0\0\0\0"],
        producer=producer,
        control=struct.pack(">hh", 0, kind),
    )
    return Batch(with_attributes(data, CONTROL), 1)


def plain(values: Sequence[bytes | None]) -> list[Batch]:
    found = [(at, value) for at, value in enumerate(values) if value is not None]
    return [Batch(built(values), len(values), found)]


def transaction(
    producer: int, values: Sequence[bytes | None], commit: bool, emptied: bool
) -> list[Batch]:
    found = [(at, value) for at, value in enumerate(values) if value is not None]
    data = built(values, producer=producer)
    if commit:
        return [Batch(data, len(values), found), marker(producer, 1, emptied)]
    return [Batch(data, len(values), (), producer), marker(producer, 0, emptied)]


def damaged(values: Sequence[bytes], how: int) -> list[Batch]:
    data = with_attributes(built(values), how)
    return [Batch(data, len(values), [(len(values) - 1, None)])]


value = st.binary(min_size=1, max_size=8)
gaps = st.lists(st.one_of(value, st.none()), min_size=1, max_size=5)
batches = st.lists(
    st.one_of(
        st.builds(plain, gaps),
        st.builds(transaction, st.integers(1, 2), gaps, st.booleans(), st.booleans()),
        st.builds(damaged, st.lists(value, min_size=1, max_size=3),
                  st.sampled_from([GZIP, ZSTD, UNKNOWN_CODEC])),
    ),
    max_size=8,
).map(lambda parts: [batch for part in parts for batch in part])  # fmt: skip


@given(batches, st.data())
def test_whatever_a_log_is_like_it_is_read_to_its_end(log, data):
    starts = [0, *itertools.accumulate(batch.offsets for batch in log)]
    end, places = starts.pop(), list(zip(starts, log, strict=True))
    aborted = [(batch.aborted, base) for base, batch in places if batch.aborted != NO_PRODUCER]
    tp = TopicPartition("t", next(_partitions))
    position = data.draw(st.integers(0, end))
    expected = [
        (base + at, content)
        for base, batch in places
        for at, content in batch.expected
        if base + at >= position
    ]
    found = []
    for _ in range(2 * len(log) + 1):
        if position == end:
            break
        # As a broker does: from the beginning of the batch that the position is in.
        fetched = [(base, batch) for base, batch in places if base + batch.offsets > position]
        still = [(producer, base) for producer, base in aborted if base >= fetched[0][0]]
        records = fetcher.PartitionRecords(
            tp,
            MemoryRecords(b"".join(sealed(batch.data, base) for base, batch in fetched)),
            still + _open_at(aborted, places, fetched[0][0]),
            position, None, None, True, fetcher.READ_COMMITTED,
        )  # fmt: skip
        found += [
            (record.offset, None if isinstance(record.value, Unreadable) else record.value)
            for record in records
        ]
        position = records.next_fetch_offset
    assert position == end
    assert found == expected


def _open_at(aborted, places, offset):
    """Aborted transactions that began before an offset and end at or after it."""
    at = [base for base, _ in places]
    return [(p, base) for p, base in aborted if base < offset <= at[at.index(base) + 1]]


def test_a_codec_that_is_not_installed_is_named_and_costs_nothing(monkeypatch):
    monkeypatch.setattr("aiokafka.codec.cramjam", None)
    tp = TopicPartition("t", next(_partitions))
    [batch] = damaged([b"x"], ZSTD)
    for _ in range(2):
        records = fetcher.PartitionRecords(
            tp, MemoryRecords(sealed(batch.data, 0)), [], 0, None, None, True,
            fetcher.READ_COMMITTED,
        )  # fmt: skip
        with pytest.raises(UnsupportedCodecError, match=r"zstd .* install cramjam"):
            list(records)
        assert records.next_fetch_offset == 0


def test_every_consumer_reads_by_it():
    assert fetcher.PartitionRecords is ReadableBatches


def test_a_batch_with_a_wrong_checksum_is_fetched_again_before_it_is_given_up(caplog):
    tp = TopicPartition("events.like", next(_partitions))
    whole = sealed(built([b"first", b"second"]), 5)
    broken = whole[:-1] + bytes([whole[-1] ^ 1])

    def read(data: bytes) -> tuple[list, int]:
        records = fetcher.PartitionRecords(
            tp, MemoryRecords(data), [], 5, None, None, True, fetcher.READ_COMMITTED
        )
        return list(records), records.next_fetch_offset

    assert read(broken) == ([], 5)
    records, position = read(whole)
    assert ([record.value for record in records], position) == ([b"first", b"second"], 7)
    [record], position = read(broken)
    assert (record.offset, position) == (6, 7)
    assert "offsets 5 to 6 of events.like" in caplog.text
    with pytest.raises(InvalidEventError, match="offsets 5 to 6") as refused:
        parse_event("events.like", record.value, 0)
    assert refused.value.reason == "unreadable"


@pytest.mark.parametrize(
    ("highwater", "stable", "end"),
    [(9, 4, 4), (9, 9, 9), (9, -1, 9), (9, None, 9), (None, 3, None)],
)
def test_what_an_open_transaction_wrote_is_beyond_the_end(highwater, stable, end):
    assert stable_end(highwater, stable) == end
