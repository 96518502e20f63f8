"""The operators of IGQL once more, one candidate at a time in plain Python.

This is the definition that the kernels are held to
(``tests/property/models/igql/test_execution.py``) and what they are timed against (``freshgrid
bench igql``). It shares with them what both only read: neighbours from the index, neighbours by
co-engagement, item weights, popularity and the viewer's state.

A source without a definition here is asked by its own kernel, for one viewer and for all it has;
what becomes of its candidates is defined here nevertheless.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from models.actions import NEGATIVE, STRONG_POSITIVE, WEAK_POSITIVE, Action
from models.arrays.types import NO_ROWS, UNKNOWN
from models.igql.checked import CheckedBlend, CheckedCall, CheckedChain, CheckedQuery
from models.igql.execution import Execution
from models.igql.sets import Bound, ColumnSet
from models.igql.tree import AllOf, AnyOf, Comparison, Not, Predicate
from models.rankers.prior import PriorRankers
from models.viewers.context import ViewerContext
from models.world import World

_COMPARE: Final = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_WEEK_MS: Final = 7 * 24 * 3600 * 1000
_PASSED: Final = ("let", "rank", "diversify_by")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One media or account that a query holds, with where it came from."""

    row: int
    source: str = ""
    seed: int = UNKNOWN
    score: float = 0.0
    rank: int = 0
    bound: dict[str, Any] = field(default_factory=dict)


Keep = Callable[[Candidate], bool]


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of the query; `by_author` ones may judge accounts."""

    call: CheckedCall
    by_author: bool


class ReferenceWorld:
    """A world as Python lists; made once, like the columns."""

    def __init__(self, world: World, now_ms: int) -> None:
        catalog = world.catalog
        self.world = world
        self.now_ms = now_ms
        self.author = catalog.author_n.tolist()
        self.deleted = catalog.deleted_n.tolist()
        self.hidden = catalog.hidden_account_a.tolist()
        self.created = catalog.created_ts_n.tolist()
        self.scores = {
            "nsfw": catalog.nsfw_n.tolist(),
            "spam": catalog.spam_n.tolist(),
            "misinformation": catalog.misinformation_n.tolist(),
        }
        self.topic = [catalog.topic_name(code) for code in catalog.topic_n.tolist()]
        self.language = catalog.language_n.tolist()

    @cached_property
    def posts(self) -> dict[int, list[int]]:
        """Live media of each author, newest first."""
        found: dict[int, list[int]] = {}
        for row in range(len(self.author)):
            if not self.deleted[row]:
                found.setdefault(self.author[row], []).append(row)
        for rows in found.values():
            rows.sort(key=lambda row: (-self.created[row], -row))
        return found

    @cached_property
    def newest(self) -> list[tuple[int, float]]:
        """Live media and scores, newest first."""
        rows = [row for row in range(len(self.author)) if not self.deleted[row]]
        rows.sort(key=lambda row: (-self.created[row], row))
        return [(r, 2 ** (-max(self.now_ms - self.created[r], 0) / _WEEK_MS)) for r in rows]

    @cached_property
    def popular(self) -> list[tuple[int, float]]:
        """Media with a score above 0, the highest first."""
        popularity = self.world.popularity
        rows = popularity.most_popular(len(self.author))
        return list(zip(rows.tolist(), popularity.score(rows, self.now_ms).tolist(), strict=True))


def run(query: CheckedQuery, viewer: ViewerContext, world: ReferenceWorld) -> list[Candidate]:
    """The candidates of one viewer, best first."""
    return _Reference(viewer, world).chain(query.chain, [], None, None)


class _Reference:
    def __init__(self, viewer: ViewerContext, world: ReferenceWorld) -> None:
        self.viewer = viewer
        self.world = world
        self._seen = set(viewer.seen.tolist())
        self._suppressed = set(viewer.suppressed.tolist())
        self._blocked = set(viewer.blocked.tolist())
        self._followed = set(viewer.followed.tolist())
        self._events = list(
            zip(
                viewer.media_e.tolist(),
                viewer.author_e.tolist(),
                viewer.action_e.tolist(),
                strict=True,
            )
        )
        hated = [author for _, author, action in self._events if action in NEGATIVE]
        self._unwanted = self._blocked | set([a for a in hated if a != UNKNOWN][:40])

    # The shape of a query.

    def chain(
        self, chain: CheckedChain, filters: list[Filter], cut: int | None, asked: int | None
    ) -> list[Candidate]:
        return self._upto(chain, len(chain.calls), filters, cut, asked)

    def _upto(
        self,
        chain: CheckedChain,
        length: int,
        filters: list[Filter],
        cut: int | None,
        asked: int | None,
        shown: bool = True,
    ) -> list[Candidate]:
        """The first `length` calls with filters from behind; is what they give `shown`?"""
        if length == 0:
            if isinstance(chain.head, CheckedBlend):
                branches = [
                    (branch.weight, self.chain(branch.query, filters, cut, asked))
                    for branch in chain.head.branches
                ]
                found = _blend([(weight, rows) for weight, rows in branches if weight])[:cut]
                if cut is None or len(found) < cut:
                    there = {one.row for one in found}
                    others = _blend([(1.0, rows) for weight, rows in branches if not weight])
                    found = [*found, *(one for one in others if one.row not in there)][:cut]
                return found
            return [Candidate(0)]
        call = chain.calls[length - 1]
        name = call.operator.name
        if call.operator.removes_only:
            one = Filter(call, name in ("exclude_own_accounts", "exclude_followed"))
            return self._upto(chain, length - 1, [one, *filters], cut, asked, shown)
        if name == "take" and call.gives.value == "media":
            most = call.arguments["count"]
            within = most if cut is None or filters else min(most, cut)
            found = self._upto(chain, length - 1, [], within, within, shown)[:most]
            return [one for one in found if self._all(filters)(one)]
        if name in _PASSED and call.gives.value == "media":
            made = {n for n, _ in call.arguments["bindings"]} if name == "let" else set[str]()
            made |= {"score"} if name == "rank" else set()
            stays = [f for f in filters if made & set(_names(f.call.arguments.get("predicates")))]
            moves = [f for f in filters if f not in stays]
            only = cut if name == "let" and not stays else None
            found = self._order(call, self._upto(chain, length - 1, moves, only, asked, shown))
            return [one for one in found if self._all(stays)(one)]
        if call.operator.depth:
            earlier = [one.call for one in filters if one.by_author]
            accounts = self._upto(chain, length - 1, [], None, None, False)
            keep_author = self._all_authors(earlier)
            accounts = [one for one in accounts if keep_author(one)]
            later = [one for one in filters if not one.by_author]
            keep = self._shown(later) if shown else self._all(later)
            deeper = 1.25 if shown or later else 1.0
            return self._posted(call, accounts, keep, deeper, asked)[:cut]
        below = self._upto(chain, length - 1, [], None, None, False)
        keep = self._shown(filters) if shown else self._all(filters)
        if call.operator.limit:
            wanted = int(call.arguments[call.operator.limit])
            return self._first(
                self._source(call, below), keep, wanted if cut is None else min(wanted, cut)
            )
        return [one for one in self._source(call, below) if keep(one)][:cut]

    @staticmethod
    def _first(found: Iterable[Candidate], keep: Keep, wanted: int) -> list[Candidate]:
        kept: list[Candidate] = []
        for one in found:
            if len(kept) == wanted:
                break
            if keep(one):
                kept.append(one)
        return kept

    # Sources.

    def _source(self, call: CheckedCall, below: list[Candidate]) -> Iterable[Candidate]:
        name, arguments = call.operator.name, call.arguments
        if name == "authors":
            return self._authors(below)
        if not below:
            return []
        bound = below[0].bound
        match name:
            case "liked":
                return self._acted(name, bound, [(Action.LIKE,)], arguments)
            case "saved":
                return self._acted(name, bound, [(Action.SAVE,)], arguments)
            case "engaged":
                kinds = [STRONG_POSITIVE, WEAK_POSITIVE]
                return self._acted(name, bound, kinds, arguments)
            case "followed":
                rows = [r for r in self.viewer.followed.tolist() if r not in self._unwanted]
                rows = rows[: arguments["max_num_to_retrieve"]]
                return [Candidate(r, name, r, 1.0, i, bound) for i, r in enumerate(rows)]
            case "popular" | "fresh":
                found = self.world.popular if name == "popular" else self.world.newest
                return (
                    Candidate(row, name, UNKNOWN, float(np.float32(score)), place, bound)
                    for place, (row, score) in enumerate(found)
                )
            case "co_engaged":
                return self._co_engaged(below)
            case "alike":
                return self._alike(below)
            case "similar_image":
                return self._similar_image(below)
            case "account_nn":
                return self._account_nn(below, arguments["max_num_to_retrieve"])
            case "let":
                return self._order(call, below)
            case "take":
                return below[: arguments["count"]]
        if call.operator.source:
            return self._by_kernel(call, below)
        raise NotImplementedError(name)

    def _by_kernel(self, call: CheckedCall, below: list[Candidate]) -> Iterator[Candidate]:
        """What a source's own kernel gives for these, all of it where it has a limit."""
        world, name = self.world.world, call.operator.name
        arguments = dict(call.arguments)
        if call.operator.limit:
            arguments[call.operator.limit] = max(world.catalog.media_count, 1)
        rows_n = np.array([one.row for one in below], np.int32)
        # Rides along and tells which of those below each row comes from; no query names it so.
        places = {"": Bound("rank", np.arange(len(below)))}
        given = ColumnSet(
            call.takes,
            np.zeros_like(rows_n),
            rows_n,
            np.zeros(len(below), np.int16),
            np.array([one.seed for one in below], np.int32),
            np.array([one.score for one in below], np.float32),
            np.array([one.rank for one in below], np.int32),
            places,
        )
        execution = Execution(
            world, [self.viewer], PriorRankers(), self.world.now_ms, [NO_ROWS], (name,)
        )
        found = call.operator.kernel(execution, given, arguments)
        if not len(found):
            return
        columns = found.row_n, found.seed_n, found.score_n, found.rank_n, found.columns[""].value_n
        for row, seed, score, rank, at in zip(*(c.tolist() for c in columns), strict=True):
            yield Candidate(row, name, seed, score, rank, below[at].bound)

    def _acted(
        self,
        name: str,
        bound: dict[str, Any],
        kinds: Sequence[Sequence[Action]],
        arguments: Any,
    ) -> list[Candidate]:
        found: list[Candidate] = []
        there: set[int] = set()
        for kind in kinds:
            for media, author, action in self._events:
                if action not in kind or author == UNKNOWN or media in there:
                    continue
                there.add(media)
                if media != UNKNOWN and author not in self._unwanted:
                    found.append(Candidate(media, name, author, 1.0, len(found), bound))
        return found[: arguments["max_num_to_retrieve"]]

    def _authors(self, below: list[Candidate]) -> list[Candidate]:
        found: dict[int, Candidate] = {}
        for one in below:
            author = self.world.author[one.row]
            author = one.seed if author == UNKNOWN else author
            if author != UNKNOWN and author not in found:
                seed = author if one.seed == UNKNOWN else one.seed
                found[author] = replace(one, row=author, seed=seed)
        return list(found.values())

    def _account_nn(self, below: list[Candidate], most: int) -> list[Candidate]:
        space = self.world.world.space
        if space is None or not len(space):
            return []
        each = min(-(-most // len(below)), 64)
        rows = np.array([one.row for one in below], np.int32)
        near_sk, cosine_sk = (found[:, :each] for found in space.neighbours_of(rows, 64))
        pairs = [
            (cosine, row, one)
            for one, near, cosines in zip(below, near_sk.tolist(), cosine_sk.tolist(), strict=True)
            for row, cosine in zip(near, cosines, strict=True)
            if row != UNKNOWN
        ]
        pairs.sort(key=lambda pair: -pair[0])
        return _best_of(pairs, "account_nn")[:most]

    def _co_engaged(self, below: list[Candidate]) -> list[Candidate]:
        rows = np.array([one.row for one in below], np.int32)
        world = self.world
        near_sk, score_sk = world.world.co_engagement.neighbours(rows, world.now_ms)
        pairs = [
            (score, row, one)
            for one, near, scores in zip(below, near_sk.tolist(), score_sk.tolist(), strict=True)
            for row, score in zip(near, scores, strict=True)
            if row != UNKNOWN
        ]
        pairs.sort(key=lambda pair: -pair[0])
        return _best_of(pairs, "co_engaged")

    def _alike(self, below: list[Candidate]) -> list[Candidate]:
        world = self.world.world
        weights = world.item_weights
        if weights is None:
            return []
        total: dict[int, float] = {}
        heaviest: dict[int, tuple[float, Candidate]] = {}
        for one in below:
            near, weight = weights.neighbours_of(one.row)
            for row, added in zip(near.tolist(), weight.tolist(), strict=True):
                total[row] = total.get(row, 0.0) + added
                if row not in heaviest or added > heaviest[row][0]:
                    heaviest[row] = added, one
        there = {one.row for one in below}
        summed = {row: float(np.float32(one)) for row, one in total.items() if row not in there}
        if (appeal := weights.appeal) is not None:
            for row in summed:
                worth_np = world.worth(np.array([row], np.int32), self.world.now_ms)
                summed[row] = float(np.float32(summed[row]) * appeal.lift(worth_np)[0])
        pairs = [(score, row, heaviest[row][1]) for row, score in summed.items()]
        pairs.sort(key=lambda pair: (-pair[0], pair[1]))
        return _best_of(pairs, "alike")

    def _similar_image(self, below: list[Candidate]) -> list[Candidate]:
        images = self.world.world.images
        vectors_sd, known_s = images.vectors_of(np.array([one.row for one in below], np.int32))
        pairs = []
        for one, vector_d, known in zip(below, vectors_sd, known_s.tolist(), strict=True):
            if known:
                near_1k, score_1k = images.nearest(vector_d[None], len(images))
                pairs += [
                    (score, row, one)
                    for row, score in zip(
                        near_1k[0].tolist(), score_1k[0].round(5).tolist(), strict=True
                    )
                    if row not in (one.row, UNKNOWN)
                ]
        pairs.sort(key=lambda pair: -pair[0])
        return _best_of(pairs, "similar_image")

    def _posted(
        self,
        call: CheckedCall,
        accounts: list[Candidate],
        keep: Keep,
        deeper: float,
        asked: int | None,
    ) -> list[Candidate]:
        each = call.arguments["max_media_per_account"]
        depth = math.ceil(deeper * each)
        while True:
            kept: list[Candidate] = []
            more, place = False, 0
            for account in accounts:
                posts = self.world.posts.get(account.row, [])[:depth]
                of_account: list[Candidate] = []
                for row in posts:
                    one = replace(account, row=row, rank=place)
                    place += 1
                    if keep(one):
                        of_account.append(one)
                more |= len(posts) == depth and len(of_account) < each
                kept.extend(of_account[:each])
            if asked is None or len(kept) >= asked or not more:
                return kept
            depth *= 2

    # Filters.

    def _shown(self, filters: Sequence[Filter]) -> Keep:
        keep = self._all(filters)

        def shown(one: Candidate) -> bool:
            world = self.world
            return (
                not world.deleted[one.row] and not world.hidden[world.author[one.row]] and keep(one)
            )

        return shown

    def _all(self, filters: Sequence[Filter]) -> Keep:
        tests = [self._test(one.call) for one in filters]
        return lambda one: all(test(one) for test in tests)

    def _test(self, call: CheckedCall) -> Keep:
        world = self.world
        match call.operator.name:
            case "filter":
                return self._filter(call.arguments)
            case "exclude_seen":
                return lambda one: one.row not in self._seen
            case "exclude_suppressed":
                return lambda one: (
                    one.row not in self._suppressed and world.author[one.row] not in self._blocked
                )
            case "exclude_followed" | "exclude_own_accounts" if call.takes.value == "media":
                authors = self._excluded(call)
                return lambda one: world.author[one.row] not in authors
            case "exclude_followed" | "exclude_own_accounts":
                return self._all_authors([call])
        raise NotImplementedError(call.operator.name)

    def _all_authors(self, calls: Sequence[CheckedCall]) -> Keep:
        excluded = [self._excluded(call) for call in calls]
        return lambda account: all(account.row not in authors for authors in excluded)

    def _excluded(self, call: CheckedCall) -> set[int]:
        if call.operator.name == "exclude_followed":
            return self._followed
        return self._own(call.arguments["newest"])

    def _own(self, newest: int) -> set[int]:
        own = {self.viewer.own_author}
        for kind in (STRONG_POSITIVE, WEAK_POSITIVE):
            rows = [a for _, a, action in self._events if action in kind and a != UNKNOWN]
            own.update(rows[:newest])
        return own

    def _filter(self, arguments: Any) -> Keep:
        world, predicate = self.world, arguments["predicates"]
        bounds = {
            name: min(
                (
                    b
                    for b in (arguments[name], arguments["non_recommendable_model_threshold"])
                    if b is not None
                ),
                default=None,
            )
            for name in world.scores
        }
        limits = [
            (world.scores[name], float(np.float32(bound)))
            for name, bound in bounds.items()
            if bound is not None
        ]
        language = arguments["language"]
        code = None if language is None else world.world.catalog.language_code(language)
        hours = arguments["max_age_hours"]
        oldest = -math.inf if hours is None else world.now_ms - hours * 3_600_000

        def keep(one: Candidate) -> bool:
            return (
                all(scores[one.row] <= most for scores, most in limits)
                and (code is None or world.language[one.row] == code)
                and world.created[one.row] >= oldest
                and (predicate is None or self._holds(one, predicate))
            )

        return keep

    def _holds(self, one: Candidate, predicate: Predicate) -> bool:
        match predicate:
            case Not(of=of):
                return not self._holds(one, of)
            case AllOf(parts=parts):
                return all(self._holds(one, part) for part in parts)
            case AnyOf(parts=parts):
                return any(self._holds(one, part) for part in parts)
            case Comparison(left=left, sign=sign, right=right):
                value = self._value(one, left.value)
                return bool(_COMPARE[sign](value, right.value))

    def _value(self, one: Candidate, name: str) -> Any:
        world = self.world
        if name in one.bound:
            return one.bound[name]
        match name:
            case "media_age_hours":
                return max(world.now_ms - world.created[one.row], 0) / 3_600_000
            case "topic":
                return world.topic[one.row]
            case "user_id":
                return world.author[one.row]
            case "media_id":
                return one.row
            case "nsfw" | "spam" | "misinformation":
                return world.scores[name][one.row]
            case "seed" | "score" | "rank" | "source":
                return getattr(one, name)
        raise NotImplementedError(name)

    # Order.

    def _order(self, call: CheckedCall, found: list[Candidate]) -> list[Candidate]:
        arguments = call.arguments
        match call.operator.name:
            case "let":
                return [
                    replace(
                        one,
                        bound={
                            **one.bound,
                            **{
                                name: "viewer"
                                if call.takes.value == "viewer"
                                else self._value(one, of)
                                for name, of in arguments["bindings"]
                            },
                        },
                    )
                    for one in found
                ]
            case "rank":
                if arguments["ranking_model"] != "source_score":
                    raise NotImplementedError(arguments["ranking_model"])
                return sorted(found, key=lambda one: -one.score)
            case "diversify_by":
                return self._diversify(found, arguments)
        raise NotImplementedError(call.operator.name)

    def _diversify(self, found: list[Candidate], arguments: Any) -> list[Candidate]:
        turns: dict[Any, int] = {}
        first: dict[Any, int] = {}
        keyed: list[tuple[Any, int]] = []
        back = 0.1 * arguments["strength"] * len(found)
        for place, one in enumerate(found):
            value = self._value(one, arguments["column"])
            turn = turns.get(value, 0)
            turns[value] = turn + 1
            first.setdefault(value, place)
            if arguments["method"] == "round_robin":
                keyed.append(((turn, first[value]), place))
            elif arguments["method"] == "penalty":
                keyed.append((round(1000.0 * (place + back * turn)), place))
            else:
                raise NotImplementedError(arguments["method"])
        keyed.sort(key=lambda pair: pair[0])
        return [found[place] for _, place in keyed]


def _best_of(pairs: Sequence[tuple[float, int, Candidate]], source: str) -> list[Candidate]:
    """Each row once, under the candidate that leads to it first."""
    found: dict[int, Candidate] = {}
    for score, row, one in pairs:
        if row not in found:
            found[row] = Candidate(row, source, one.seed, score, len(found), one.bound)
    return list(found.values())


def _names(predicate: Predicate | None) -> list[str]:
    match predicate:
        case None:
            return []
        case Comparison(left=left):
            return [left.value]
        case Not(of=of):
            return _names(of)
        case AllOf(parts=parts) | AnyOf(parts=parts):
            return [name for part in parts for name in _names(part)]


def _blend(branches: Sequence[tuple[float, list[Candidate]]]) -> list[Candidate]:
    best: dict[int, tuple[bool, int]] = {}
    for number, (_, found) in enumerate(branches):
        for one in found:
            claim = one.seed == UNKNOWN, number
            best[one.row] = min(best.get(one.row, claim), claim)
    due: list[tuple[float, Candidate]] = []
    for number, (weight, found) in enumerate(branches):
        turn = 0.5
        for one in found:
            if best[one.row] == (one.seed == UNKNOWN, number):
                due.append((turn / weight, one))
                turn += 1.0
    due.sort(key=lambda entry: entry[0])
    return [one for _, one in due]
