"""The account index: found among clustered vectors, against an exact scan, and while it changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final

import faiss as _faiss
import numpy as np
from msgspec import Meta

from infra.config import Settings
from models.account_index.index import AccountIndex
from models.account_index.neighbour_cache import NeighbourCache
from models.arrays.types import Vectors
from streams.bench.progress import say

# The stubs of FAISS do not know its overloads.
faiss: Any = _faiss

ACCOUNTS: Final = 1_000_000
DIMENSION: Final = 64
K: Final = 100
#: Clusters of this many accounts on average, and noise against the unit variance of their centres:
#: accounts of a cluster have a cosine of about 0.74, the fiftieth to hundredth neighbour of an
#: account are of other clusters.
CLUSTER: Final = 50
NOISE: Final = 0.6
#: A query is an account's vector with this much noise.
QUERY_NOISE: Final = 0.3
QUERIES: Final = 500
TIMED: Final = 300
TIMED_SCANS: Final = 40
BLOCKS: Final = 4
REMOVED: Final = 2000
INSERTS: Final = 200
#: Other accounts that change just before each insert.
STREAM: Final = 100
QUIET_S: Final = 20.0
#: Changes each second while the index is rebuilt.
CHANGES_PER_S: Final = 200
#: Neighbours kept for each account, seeds asked for at once, as a grid does.
NEIGHBOURS: Final = 40
SEEDS: Final = 30


def run(
    settings: Settings,
    *,
    accounts: Annotated[int, Meta(ge=1000, description="Accounts in the index.")] = ACCOUNTS,
) -> dict[str, Any]:
    """Search, change, remove and rebuild an index of `accounts`, all on one thread but the rebuild.

    ``speedup_over_exact`` compares medians of single searches, each taken in turn with a scan of
    FAISS' ``IndexFlatIP``; ``insert_visible_ms`` is the 99th percentile of the time from the call
    that changes a vector to the end of the search that finds it; ``swap_p99_ratio`` compares
    searches during a rebuild and its swap with searches before, under the same changes.
    """
    say(f"{accounts} clustered vectors × {DIMENSION} …")
    vectors_nd, queries_qd = clustered(accounts)
    figures: dict[str, Any] = {"accounts": accounts, "dimension": DIMENSION}

    tenth = accounts // 10
    say(f"an index of {tenth} …")
    small_vectors_nd, small_queries_qd = clustered(tenth)
    small, _ = _index(small_vectors_nd)
    say(f"an index of {accounts} …")
    index, build_s = _index(vectors_nd)
    figures["build_s"] = round(build_s, 1)
    figures |= _bytes(index)

    say("searches and scans …")
    figures |= _quality(index, vectors_nd, queries_qd)
    figures["recall_at_100_100k"] = _recall(small, small_vectors_nd, small_queries_qd)
    both = _medians((_search(small, small_queries_qd), TIMED), (_search(index, queries_qd), TIMED))
    figures["median_100k_ms"], figures["median_1m_ms"] = (round(1e3 * s, 3) for s in both)
    figures["growth_100k_1m"] = round(both[1] / both[0], 2)

    say("changes …")
    figures["insert_visible_ms"] = _insert_visible(index)
    figures |= _cached(index)
    say(f"{QUIET_S:g} s of searches under changes, then a rebuild and a swap …")
    figures |= _under_load(index, vectors_nd)
    return figures


def clustered(accounts: int) -> tuple[Vectors, Vectors]:
    """Unit vectors_nd in clusters and queries_qd near some of them."""
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((max(1, accounts // CLUSTER), DIMENSION), np.float32)
    vectors_nd = centres[rng.integers(0, len(centres), accounts)]
    vectors_nd += np.float32(NOISE) * rng.standard_normal(vectors_nd.shape, np.float32)
    vectors_nd /= np.linalg.norm(vectors_nd, axis=1, keepdims=True)
    return vectors_nd, _queries(vectors_nd)


def _queries(vectors_nd: Vectors) -> Vectors:
    rng = np.random.default_rng(8)
    queries_qd = vectors_nd[rng.integers(0, len(vectors_nd), QUERIES)]
    noise = rng.standard_normal(queries_qd.shape, np.float32) / np.float32(DIMENSION**0.5)
    return queries_qd + np.float32(QUERY_NOISE) * noise


def _name(number: int) -> str:
    return f"account-{number}"


def _index(vectors_nd: Vectors) -> tuple[AccountIndex, float]:
    index = AccountIndex(DIMENSION)
    for first in range(0, len(vectors_nd), 50_000):
        part = vectors_nd[first : first + 50_000]
        index.upsert([_name(first + n) for n in range(len(part))], part)
    began = time.perf_counter()
    index.rebuild()
    return index, time.perf_counter() - began


def _bytes(index: AccountIndex) -> dict[str, Any]:
    sizes = index.nbytes()
    per = {f"bytes_per_account_{part}": round(n / len(index), 1) for part, n in sizes.items()}
    return {"bytes_per_account": round(sum(sizes.values()) / len(index), 1), **per}


def _exact(vectors_nd: Vectors) -> Any:
    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatIP(DIMENSION)
    flat.add(vectors_nd)
    return flat


def _recall(index: AccountIndex, vectors_nd: Vectors, queries_qd: Vectors) -> float:
    # Accounts were added in order, so rows are their numbers.
    true_qk = _exact(vectors_nd).search(queries_qd, K)[1]
    found_qk, _ = index.search(queries_qd, K)
    hits = [len(np.intersect1d(f, t)) for f, t in zip(found_qk, true_qk, strict=True)]
    return round(float(np.mean(hits)) / min(K, len(index)), 4)


def _quality(index: AccountIndex, vectors_nd: Vectors, queries_qd: Vectors) -> dict[str, Any]:
    flat = _exact(vectors_nd)
    scan_s, search_s = _medians(
        (lambda q: flat.search(queries_qd[q : q + 1], K), TIMED_SCANS),
        (_search(index, queries_qd), TIMED),
    )
    return {
        "recall_at_100": _recall(index, vectors_nd, queries_qd),
        "exact_median_ms": round(1e3 * scan_s, 3),
        "speedup_over_exact": round(scan_s / search_s, 1),
    }


def _search(index: AccountIndex, queries_qd: Vectors) -> Callable[[int], object]:
    return lambda q: index.search(queries_qd[q % len(queries_qd)][None], K)


def _medians(*calls: tuple[Callable[[int], object], int]) -> list[float]:
    """Median processor seconds of each call, made so many times, all on this thread.

    Blocks of them in turn, so that all meet the same machine; processor time, because on a machine
    that others use a median of the clock's time says when they let go, not what a call takes.
    """
    taken: list[list[float]] = [[] for _ in calls]
    for block in range(BLOCKS):
        for times, (call, rounds) in zip(taken, calls, strict=True):
            # What another call left in the caches is not this one's doing.
            call(block)
            for q in range(block, rounds, BLOCKS):
                began = time.thread_time()
                call(q)
                times.append(time.thread_time() - began)
    return [float(np.median(times)) for times in taken]


def _insert_visible(index: AccountIndex) -> float:
    rng = np.random.default_rng(9)
    taken = []
    for number, others_sd in enumerate(_changes(rng, INSERTS)):
        vector_1d = rng.standard_normal((1, DIMENSION)).astype(np.float32)
        name = _name(int(rng.integers(0, len(index))))
        began = time.perf_counter()
        index.upsert([_name(int(n)) for n in rng.integers(0, len(index), STREAM)], others_sd)
        index.upsert([name], vector_1d)
        rows_1k, _ = index.search(vector_1d, 1)
        taken.append(1e3 * (time.perf_counter() - began))
        if index.ids_of(rows_1k[0]) != [name]:
            raise AssertionError(f"change {number} of {name} is not found: the index is wrong")
    return round(float(np.percentile(taken, 99)), 2)


def _changes(rng: np.random.Generator, rounds: int) -> Iterator[Vectors]:
    for _ in range(rounds):
        yield rng.standard_normal((STREAM, DIMENSION)).astype(np.float32)


def _cached(index: AccountIndex) -> dict[str, Any]:
    rng = np.random.default_rng(10)
    cache = NeighbourCache(index)
    seeds_rs = [rng.integers(0, len(index), SEEDS).astype(np.int32) for _ in range(20)]

    def seconds() -> float:
        taken = []
        for rows in seeds_rs:
            began = time.perf_counter()
            cache.neighbours_of(rows, NEIGHBOURS)
            taken.append(time.perf_counter() - began)
        return float(np.median(taken))

    first_s, again_s = seconds(), seconds()
    return {
        "neighbours_searched_ms": round(1e3 * first_s, 3),
        "neighbours_cached_ms": round(1e3 * again_s, 3),
        "neighbours_speedup": round(first_s / again_s, 1),
    }


class _Load:
    """Searches, each near a removed account, and a steady stream of changes between them."""

    def __init__(self, index: AccountIndex, vectors_nd: Vectors) -> None:
        self._index = index
        self._rng = np.random.default_rng(11)
        self._gone = self._rng.permutation(len(vectors_nd))[:REMOVED]
        self._queries_qd = vectors_nd[self._gone]
        self._gone_rows = index.row_of([_name(int(n)) for n in self._gone])
        self._staying = np.setdiff1d(np.arange(len(vectors_nd)), self._gone)
        index.remove([_name(int(n)) for n in self._gone])
        self.failed = 0
        self.removed_seen = 0
        self.searches = 0

    def p99_s(self, going_on: Callable[[], bool]) -> float:
        """99th percentile of searches for as long as asked for; of one at least."""
        taken: list[float] = []
        due = time.perf_counter()
        while going_on() or not taken:
            if time.perf_counter() >= due:
                due += 1 / CHANGES_PER_S
                name = _name(int(self._rng.choice(self._staying)))
                self._index.upsert([name], self._rng.standard_normal((1, DIMENSION)))
            query = self._queries_qd[self.searches % len(self._queries_qd)][None]
            began = time.perf_counter()
            try:
                rows_1k, _ = self._index.search(query, K)
            except Exception as error:
                say(f"a search failed: {error!r}")
                self.failed += 1
            else:
                self.failed += int((rows_1k < 0).any() and len(self._index) >= K)
                self.removed_seen += int(np.isin(rows_1k, self._gone_rows).sum())
            taken.append(time.perf_counter() - began)
            self.searches += 1
        return float(np.percentile(taken, 99))


def _under_load(index: AccountIndex, vectors_nd: Vectors) -> dict[str, Any]:
    load = _Load(index, vectors_nd)
    end = time.perf_counter() + QUIET_S
    quiet_s = load.p99_s(lambda: time.perf_counter() < end)
    began = time.perf_counter()
    builder = threading.Thread(target=index.rebuild)
    builder.start()
    busy_s = load.p99_s(builder.is_alive)
    builder.join()
    return {
        "swap_p99_ratio": round(busy_s / quiet_s, 2),
        "quiet_p99_ms": round(1e3 * quiet_s, 3),
        "swap_p99_ms": round(1e3 * busy_s, 3),
        "rebuild_under_load_s": round(time.perf_counter() - began, 1),
        "searches_under_load": load.searches,
        "removed_seen": load.removed_seen,
        "failed_lookups": load.failed,
    }
