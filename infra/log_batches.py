"""Batches of records as brokers send them, those that the client library cannot read as well.

aiokafka ends a reading for ever at a batch that it cannot read: damaged on a disk, or compressed in
a way that it does not know. And it knows logs in which a transaction was aborted, but not those
in which compaction has emptied the marker of that: the batch is there, its record is not. Both are
repaired here, for every consumer of the process, by putting :class:`ReadableBatches` in the place
of the library's class: there is no other way in.

A batch that cannot be read twice becomes one record with an :class:`models.events.Unreadable`
value, at the batch's last offset. It goes the way of every record that cannot be applied: skipped,
or dead-lettered with where it stands.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.structs import ConsumerRecord

from infra.metrics import BATCHES_UNREADABLE
from models.events import Unreadable

#: gzip, snappy, lz4 and zstd, as a batch's attributes name them.
KAFKAS_CODECS: Final = range(1, 5)
#: Batches remembered as having been unreadable once.
MOST_REFUSED: Final = 10_000

logger = logging.getLogger(__name__)
#: Partition and first offset of batches that could not be read. A second attempt fetches them anew,
#: in case that only their way from the broker damaged them.
_refused: set[tuple[TopicPartition, int]] = set()


class ReadableBatches(fetcher.PartitionRecords):  # type: ignore[misc]
    """What one fetch brought of a partition."""

    _records: Any

    def _unpack_records(self) -> Iterator[ConsumerRecord[bytes, bytes]]:
        fetched = self._records
        while fetched.has_next():
            batch = fetched.next_batch()
            self._records = _Single(batch)
            try:
                yield from super()._unpack_records()
            except UnsupportedCodecError as error:
                if batch.compression_type in KAFKAS_CODECS:
                    # Nothing is wrong with the batch: to pass it over would lose what is in it.
                    raise UnsupportedCodecError(
                        f"{error.args[0]}: install cramjam "
                        "(`pip install 'aiokafka[lz4,snappy,zstd]'`)"
                    ) from error
                if not (yield from self._passed_over(batch, error)):
                    return
            except Exception as error:
                # Whatever a codec raises at damaged bytes: each has errors of its own.
                if not (yield from self._passed_over(batch, error)):
                    return

    def _passed_over(
        self, batch: Any, error: Exception
    ) -> Generator[ConsumerRecord[bytes, bytes], None, bool]:
        """Give a record for a batch that cannot be read; false if it is to be fetched again."""
        at = self._tp, batch.base_offset
        if at not in _refused:
            if len(_refused) >= MOST_REFUSED:
                _refused.clear()
            _refused.add(at)
            return False
        yield self._unreadable(batch, error)
        self.next_fetch_offset = batch.next_offset
        return True

    def _unreadable(self, batch: Any, error: Exception) -> ConsumerRecord[bytes, bytes]:
        first, last = max(batch.base_offset, self.next_fetch_offset), batch.next_offset - 1
        what = (
            f"the batch of offsets {first} to {last} of {self._tp.topic}[{self._tp.partition}] "
            f"cannot be read ({error!r}); send again what its producer sent then"
        )
        BATCHES_UNREADABLE.labels(self._tp.topic).inc()
        logger.error("%s", what)
        value = Unreadable(what.encode())
        return ConsumerRecord(
            *self._tp, last, batch.max_timestamp, batch.timestamp_type,
            None, value, None, -1, len(value), (),
        )  # fmt: skip

    def _contains_abort_marker(self, batch: Any) -> bool:
        """Whether a transaction of the batch's producer that was aborted ends here."""
        try:
            return bool(super()._contains_abort_marker(batch))
        except CorruptRecordException:
            raise
        except fetcher.Errors.KafkaError:
            # Emptied by compaction. Of one producer one transaction is open at a time, so any
            # marker of it ends an aborted one.
            return True


class _Single:
    """One batch, as the library takes them."""

    def __init__(self, batch: Any) -> None:
        self._batches = [batch]

    def has_next(self) -> bool:
        return bool(self._batches)

    def next_batch(self) -> Any:
        return self._batches.pop()


fetcher.PartitionRecords = ReadableBatches


def stable_end(highwater: int | None, last_stable: int | None) -> int | None:
    """The end of what can be read; what a transaction that is still open has written comes after.

    Args:
        highwater: the end of the partition, None where it is not known yet.
        last_stable: the first offset of an open transaction; None or -1 from a broker without any.
    """
    if highwater is None or last_stable is None or last_stable < 0:
        return highwater
    return min(highwater, last_stable)


def readable_end(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """:func:`stable_end` of an assigned partition, as its last fetch told; None before one."""
    return stable_end(consumer.highwater(partition), consumer.last_stable_offset(partition))
