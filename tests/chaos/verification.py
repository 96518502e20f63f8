"""Whether the state in Redis is what it must be, judged three times over.

* Its hash equals that of the whole log, read back from Kafka and folded into memory.
* It holds what the workload wrote down beforehand, counted without any of the code under test.
* Every bad record, of any topic, and nothing else, has become a dead letter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from infra.config import Settings
from infra.kafka import Ends, committed_offsets, prepare_cluster
from infra.log_reader import LogReader
from infra.memory_store import MemoryStore
from infra.open_stores import open_stores
from infra.topics import DEAD_LETTERS_TOPIC, TOUCHED_TOPIC
from models.actions import EVENT_TOPICS
from models.events import ACCOUNTS_TOPIC, MEDIA_TOPIC, Relation
from models.viewers.state import ViewerState, counters, related_authors
from streams.clock import now_ms
from streams.dead_letter import parse_dead_letter
from streams.ingest import Ingest
from streams.log.fold import Nowhere, fold_log
from streams.log.replay import state_hash
from streams.topology import RANKER_GROUP, WORKER_GROUP
from tests.chaos.workload import Expected, Workload
from tests.poison import LETTERED

Place = tuple[str, int, int]
#: (topic, partition) → records that retention took.
Truncated = Mapping[tuple[str, int], Sequence[Any]]

FOLDED_TOPICS: Final = (*EVENT_TOPICS, MEDIA_TOPIC, ACCOUNTS_TOPIC)
#: Differences named in the report; all of them are counted.
NAMED: Final = 20


class Findings(NamedTuple):
    """What was found; :attr:`differences` names the first of what should not be.

    Attributes:
        hash_stored: of the state in Redis.
        hash_log: of the log, folded again.
        viewers: with state in Redis.
        counted_viewers: those below the caps, whose counts must be exact.
        lost: events, relations and records that should be there and are not.
        double: events and relations that should not be there, or once too often.
        dead_letters: bad records that became dead letters.
        dead_letters_expected: bad records in the log, copies included.
        dead_letters_again: further dead letters of the same records. Not an error: a crash
            between a dead letter and the commit sends it again.
        parked: events that still wait for their media.
        stale_notes: media noted as waited for, of which nothing waits. Not an error: they are
            dropped when their time is over.
        in_log: records of event topics in the log.
    """

    hash_stored: str
    hash_log: str
    viewers: int
    counted_viewers: int
    lost: int
    double: int
    dead_letters: int
    dead_letters_expected: int
    dead_letters_again: int
    parked: int
    stale_notes: int
    in_log: int
    differences: list[str]

    @property
    def ok(self) -> bool:
        """Nothing lost, nothing double, nothing left over."""
        return self.hash_stored == self.hash_log and not self.parked and not self.differences


class _Differences:
    """Counts what is missing and what is too much, and keeps the first few in words."""

    def __init__(self) -> None:
        self.lost = 0
        self.double = 0
        self.named: list[str] = []

    def compare(self, what: str, expected: int, found: int) -> None:
        self.lost += max(expected - found, 0)
        self.double += max(found - expected, 0)
        if expected != found and len(self.named) < NAMED:
            self.named.append(f"{what}: {found} instead of {expected}")


async def backlog(settings: Settings) -> dict[str, str]:
    """Partitions that the workers have not committed to their end as it is now, with offsets."""
    return await _behind(settings, WORKER_GROUP, FOLDED_TOPICS)


async def unranked(settings: Settings) -> dict[str, str]:
    """Partitions of touches whose viewers do not all have a grid of them yet."""
    return await _behind(settings, RANKER_GROUP, [TOUCHED_TOPIC])


async def _behind(settings: Settings, group: str, topics: Iterable[str]) -> dict[str, str]:
    ends = await log_ends(settings, *topics)
    committed = await committed_offsets(settings, group, ends)
    return {
        f"{topic}[{partition}]": f"{committed[topic, partition]} of {end}"
        for (topic, partition), end in ends.items()
        if committed[topic, partition] < end
    }


async def log_ends(settings: Settings, *topics: str) -> Ends:
    """Where the partitions of these topics truly end now."""
    cluster = await prepare_cluster(settings)
    places = [(topic, n) for topic in topics for n in range(cluster.partitions[topic])]
    async with LogReader(settings) as reader:
        return {place: span.end for place, span in (await reader.spans(places)).items()}


async def without_letters(settings: Settings, workload: Workload) -> set[Place]:
    """Bad records that have no dead letter yet."""
    bad, letters, _ = await _bad_and_letters(settings, workload)
    return bad - set(letters)


async def verify(settings: Settings, workload: Workload, truncated: Truncated) -> Findings:
    """Compare the state in Redis with the log and with what the workload expects.

    Args:
        truncated: what the log held once.
    """
    differences = _Differences()
    folded = await _whole_log(settings, truncated)
    async with open_stores(settings) as (stored, *_):
        hash_stored, viewers = await state_hash(stored)
        hash_log, _ = await state_hash(folded)
        states = {viewer: state async for viewer, state in stored.scan()}
        noted = await stored.parked_media()
        # Asking for them drops those of which only the note is left.
        parked = sum(map(len, await stored.parked_since(now_ms(), noted)))
        stale = noted - await stored.parked_media()
    counted = _compare_states(settings, workload.expected, states, differences)
    events, dead, dead_expected, again = await _compare_log(
        settings, workload, truncated, differences
    )
    return Findings(
        hash_stored=hash_stored,
        hash_log=hash_log,
        viewers=viewers,
        counted_viewers=counted,
        lost=differences.lost,
        double=differences.double,
        dead_letters=dead,
        dead_letters_expected=dead_expected,
        dead_letters_again=again,
        parked=parked,
        stale_notes=stale,
        in_log=events,
        differences=differences.named,
    )


def _compare_states(
    settings: Settings,
    expected: Mapping[str, Expected],
    states: Mapping[str, ViewerState],
    differences: _Differences,
) -> int:
    """Compare counts and relations viewer by viewer; returns how many were below the caps."""
    counted = 0
    for viewer in {*expected, *states}:
        if viewer not in expected:
            differences.compare(f"viewer {viewer}", 0, 1)
            continue
        if viewer not in states:
            differences.compare(f"viewer {viewer}", 1, 0)
        wanted, state = expected[viewer], states.get(viewer, ViewerState())
        holds = {
            (author, kind.value) for kind in Relation for author in related_authors(state, kind)
        }
        for name in wanted.relations | holds:
            differences.compare(
                f"viewer {viewer} relation {name}", name in wanted.relations, name in holds
            )
        if wanted.strong > settings.max_strong or wanted.views > settings.max_views:
            continue
        counted += 1
        found = _counts(state, settings.half_life_ms)
        for name in {*wanted.counts, *found}:
            differences.compare(f"viewer {viewer} count {name}", wanted.counts[name], found[name])
    return counted


def _counts(state: ViewerState, half_life_ms: int) -> Counter[tuple[str, int]]:
    """(author, action) → events that count."""
    return Counter(
        {
            (author, int(action)): counter.count
            for author, of_author in counters(state, half_life_ms).items()
            for action, counter in of_author.items()
            if counter.count
        }
    )


async def _whole_log(settings: Settings, truncated: Truncated) -> MemoryStore:
    """The log folded from its first record on, those that it held once as well."""
    folded = MemoryStore(settings)
    if truncated:
        cluster = await prepare_cluster(settings)
        # The catalogue alone: an event finds its author there.
        catalogue = await log_ends(settings, MEDIA_TOPIC, ACCOUNTS_TOPIC)
        await fold_log(settings, folded, ends=catalogue)
        ingest = Ingest(folded, Nowhere(), settings.fold_config(), cluster.log_id)
        for (topic, partition), records in truncated.items():
            await ingest.events(topic, partition, records, now_ms())
    await fold_log(settings, folded)
    return folded


async def _compare_log(
    settings: Settings, workload: Workload, truncated: Truncated, differences: _Differences
) -> tuple[int, int, int, int]:
    """Compare the log with what was sent, and dead letters with bad records.

    Returns:
        Events in the log, bad records with a dead letter, bad records, further dead letters.
    """
    sent = Counter(message[:3] for message in (*workload.catalogue, *workload.records))
    bad, letters, log = await _bad_and_letters(settings, workload)
    events = 0
    for topic, _, record in log:
        sent.pop((topic, (record.key or b"").decode(), record.value), None)
        events += topic in EVENT_TOPICS
    for (topic, partition), records in truncated.items():
        for record in records:
            key = (record.key or b"").decode()
            sent.pop((topic, key, record.value), None)
            if (topic, key) in workload.poison:
                bad.add((topic, partition, record.offset))
        events += len(records)
    for topic, key, _ in sent:
        differences.compare(f"record {key} sent to {topic} in the log", 1, 0)
    for place in bad - set(letters):
        differences.compare(f"dead letter of {place}", 1, 0)
    for place in set(letters) - bad:
        differences.compare(f"dead letter of {place}, which is valid", 0, 1)
    return events, len(bad & set(letters)), len(bad), letters.total() - len(letters)


async def _bad_and_letters(
    settings: Settings, workload: Workload
) -> tuple[set[Place], Counter[Place], list[tuple[str, int, Any]]]:
    """Where there must be letters, of what there are how many, and the records that are folded."""
    cluster = await prepare_cluster(settings)
    bad = set(workload.letters)
    letters: Counter[Place] = Counter()
    log: list[tuple[str, int, Any]] = []
    topics = (*FOLDED_TOPICS, *LETTERED, DEAD_LETTERS_TOPIC)
    async with LogReader(settings) as reader:
        places = [(topic, n) for topic in topics for n in range(cluster.partitions[topic])]
        async for topic, partition, records in reader.read(await reader.spans(places)):
            for record in records:
                if topic == DEAD_LETTERS_TOPIC:
                    letter = parse_dead_letter(record.value)
                    if letter is not None:
                        letters[letter.topic, letter.partition, letter.offset] += 1
                    continue
                key = (record.key or b"").decode("utf-8", "replace")
                if (topic, key) in workload.poison:
                    bad.add((topic, partition, record.offset))
                if topic in FOLDED_TOPICS:
                    log.append((topic, partition, record))
    return bad, letters, log
