"""What the HTTP API takes and answers, and its calls: generated from its OpenAPI document.

``make generate`` writes it (docs/generate_clients.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict
from urllib.parse import quote


class Accepted(TypedDict):
    """What became of a batch of records.

    Attributes:
        accepted: acknowledged by every replica of Kafka that is in step.
        refused: never sent; all others were.
    """

    accepted: int
    refused: list[Refusal]


class Account(TypedDict):
    """One account of the catalogue."""

    account_id: str
    topics: NotRequired[list[str]]
    private: NotRequired[bool]
    disabled: NotRequired[bool]
    language: NotRequired[str | None]


class AccountList(TypedDict):
    """Some accounts; `next` is the `after` of the following ones, null where there are no more."""

    accounts: list[AccountRecord]
    next: NotRequired[str | None]


class AccountProfile(TypedDict):
    """An account with some of its posts and the accounts nearest to it, the nearest first."""

    account: AccountRecord
    posts: list[MediaRecord]
    neighbours: list[Neighbour]


class AccountRecord(TypedDict):
    """One account, as this ranker knows it.

    Attributes:
        listed: whether the account catalogue has it; others only post or are acted on.
        deleted: it was taken out of the catalogue.
        has_vector: whether it has a place among the account vectors, and so neighbours.
        counts: decayed counts of what everybody did to its media, by action.
    """

    account_id: str
    topics: list[str]
    language: str | None
    private: bool
    disabled: bool
    deleted: bool
    listed: bool
    has_vector: bool
    counts: dict[str, float]


class ActiveViewer(TypedDict):
    """A viewer who was active of late."""

    viewer_id: str
    arm: str
    reflects_ts: int
    history: HistoryLength


class Asked(TypedDict):
    """A query and for whom to run it."""

    viewer_id: str
    query: str


class Back(TypedDict):
    """Which version to go back to."""

    to: NotRequired[str | None]


class Changed(TypedDict):
    """An experiment to put in the place of the one that stands."""

    experiment: dict[str, Any]
    who: NotRequired[str]


class ChangedWeights(TypedDict):
    """New weights of an arm; those not named stay."""

    weights: dict[str, float | str]
    arm: NotRequired[str]
    who: NotRequired[str]


class Check(TypedDict):
    """Something that this process depends on, as ``freshgrid doctor`` checks it."""

    what: str
    ok: bool
    says: str


class Done(TypedDict):
    """One action of a viewer that was not taken back; `ts` in epoch ms."""

    action: str
    media_id: str
    author_id: str
    ts: int


class FollowEvent(TypedDict):
    """A follow, block or mute of an author, as it stands on the wire."""

    event_id: str
    viewer_id: str
    author_id: str
    kind: Relation
    ts: int
    undo: NotRequired[bool]


class Funnel(TypedDict):
    """Of grids audited: media best by the final pass, and those that an earlier pass had cut."""

    best: int
    lost: dict[str, int]


class GridFigures(TypedDict):
    """What this ranker knows of its grids; counts are since it started.

    Attributes:
        event_to_grid: from a viewer's newest event to the stored grid with it, in the last minute;
            null where nobody did anything.
        making: to make one grid, in the last minute.
        by_source: media in the grids, by the source that brought them.
        stale_reads: ready grids answered that are not of what is live; null where that is not
            counted.
    """

    made: int
    failed: int
    waiting: int
    event_to_grid: Spread | None
    making: Spread | None
    by_source: dict[str, int]
    funnel: Funnel
    stale_reads: int | None


class GridItem(TypedDict):
    """One media of a grid.

    Attributes:
        seed: the account that led to it, null for a global source.
        propensity: probability with which it was shown: below 1 for a new media that was drawn
            for its place, or where the grid is in random order, 1 for all that the ranking chose.
    """

    position: int
    media_id: str
    author_id: str
    value: float
    probabilities: Probabilities
    source: str
    seed: str | None
    stages: ItemStages
    propensity: NotRequired[float]


class GroupLag(TypedDict):
    """Records of a topic that a consumer group of a role has not committed."""

    role: str
    group: str
    topic: str
    records: int


class HistoryLength(TypedDict):
    """How much of a viewer is kept.

    Attributes:
        actions: other than views, undos included.
        views: likewise.
        older: what fell out of both, of which only the media is known.
    """

    actions: int
    views: int
    older: int


class IgqlReference(TypedDict):
    """Operators in the order of their declaration, and the live queries: name → text."""

    operators: list[OperatorRecord]
    queries: dict[str, str]


class Imported(TypedDict):
    """What became of the lines of a file.

    Attributes:
        lines: that were no blank ones.
        accepted: acknowledged by every replica of Kafka that is in step.
        refused: never sent; all others were.
        refusals: the first thousand of those; `index` counts the lines that are not blank, from 0.
    """

    lines: int
    accepted: int
    refused: int
    refusals: list[Refusal]


class Integrity(TypedDict):
    """Scores of the integrity classifiers, each in [0, 1]."""

    nsfw: NotRequired[float]
    spam: NotRequired[float]
    misinformation: NotRequired[float]


class ItemStages(TypedDict):
    """How one item came through the passes: scores, and ranks from 0.

    Attributes:
        source_rank: rank within its source.
        candidate_rank: rank among all candidates.
        penalty: value taken off for see-fewers on the same author.
    """

    source_rank: int
    candidate_rank: int
    first_score: float
    first_rank: int
    second_score: float
    second_rank: int
    penalty: float


class LogState(TypedDict):
    """The log, as the broker tells of it."""

    topics: list[TopicRecords]
    lag: list[GroupLag]


class MapOfAccounts(TypedDict):
    """A map of the account vectors; columns are of equal length, an account to each position.

    Attributes:
        version: of the map.
        ig2vec: the version of the account vectors that it was drawn of.
        live: the version of the account vectors that is live.
        made_ms: when it was drawn.
        before_ms: when the map was drawn that `moved_x` and `moved_y` begin at: a day before, or
            the oldest kept; null for the first map.
        topics: names of topics; the first one stands for none.
        account_id: the accounts, without those that no grid may show.
        x: from 0 to 65,535.
        y: from 0 to 65,535.
        moved_x: how far `x` came since `before_ms`; 0 for accounts that were not on that map.
        moved_y: likewise.
        topic: position of the account's first topic in `topics`.
    """

    version: str
    ig2vec: str
    live: str
    made_ms: int
    before_ms: int | None
    topics: list[str]
    account_id: list[str]
    x: list[int]
    y: list[int]
    moved_x: list[int]
    moved_y: list[int]
    topic: list[int]


class Media(TypedDict):
    """One media of the catalogue; the newest record of a `media_id` replaces the older ones."""

    media_id: str
    author_id: str
    created_ts: int
    integrity: NotRequired[Integrity]
    topics: NotRequired[list[str]]
    language: NotRequired[str | None]
    image_url: NotRequired[str | None]
    image_embedding: NotRequired[list[float] | None]
    deleted: NotRequired[bool]


class MediaList(TypedDict):
    """Some media; `next` is the `after` of the following ones, null where there are no more."""

    media: list[MediaRecord]
    next: NotRequired[str | None]


class MediaRecord(TypedDict):
    """One media, as this ranker knows it.

    Attributes:
        author_id: null for a media that only events have named so far.
        topics: all of the catalogue's.
        counts: decayed counts of what everybody did to it, by action; half of it every 3 days.
        score: what it is popular by: those counts, weighed.
        available: whether a grid may show it at all: not deleted, its author not hidden.
    """

    media_id: str
    author_id: str | None
    created_ts: int
    topics: list[str]
    language: str | None
    integrity: Integrity
    image_url: str | None
    deleted: bool
    available: bool
    counts: dict[str, float]
    score: float


class Memory(TypedDict):
    """Of the store's server, in bytes; `limit_bytes` is null where it has none."""

    used_bytes: int
    limit_bytes: int | None


class Neighbour(TypedDict):
    """An account near another one; `score` is the cosine of their vectors, at most 1."""

    account: AccountRecord
    score: float


class Operations(TypedDict):
    """How the installation is doing, seen from one ranker. What cannot be known is null.

    Attributes:
        at_ms: when it was looked, epoch ms; asked for again at once, the same is answered.
        headline: whether anything is wrong, and what to do first.
        troubles: worst first.
        dead_letters: not redriven yet, of the newest.
        work: replays and rebuilds that are under way.
    """

    at_ms: int
    headline: str
    troubles: list[Trouble]
    roles: list[RoleState]
    log: LogState | None
    grids: GridFigures
    memory: Memory | None
    dead_letters: int | None
    work: list[Work]
    checks: list[Check]


class OperatorRecord(TypedDict):
    """One operator.

    Attributes:
        takes: types of the sets it may stand after: viewer, accounts, media.
        gives: the type it gives; null where it gives the one that it took.
        summary: one sentence.
    """

    name: str
    takes: list[str]
    gives: str | None
    summary: str
    parameters: list[ParameterRecord]


class Page(TypedDict):
    """A page of a viewer's grid, as readers get it.

    Attributes:
        request_id: names the page; events that come of it may carry it. A page that is asked for
            again keeps its name, so a retry does not count as another impression.
        page: number of the page in its series, from 0.
        next: cursor of the page after it.
    """

    viewer_id: str
    items: list[GridItem]
    generated_at_ms: int
    reflects_ts: int
    candidates: int
    dropped: dict[str, int]
    versions: dict[str, str]
    schema: NotRequired[Literal[1]]
    relaxed: NotRequired[list[str]]
    reflects_offsets: NotRequired[dict[str, int]]
    request_id: NotRequired[str]
    page: NotRequired[int]
    next: NotRequired[str | None]


class ParameterRecord(TypedDict):
    """One parameter of an operator.

    Attributes:
        wants: what it accepts, in words: ``a whole number``.
        default: used where it is left out; null for none.
        choices: all values it accepts, where they can be told.
    """

    name: str
    wants: str
    required: bool
    default: NotRequired[bool | int | float | str | None]
    choices: NotRequired[list[str]]


class Place(TypedDict):
    """One of several mistakes, and where it is.

    Attributes:
        detail: one sentence.
        pointer: JSON Pointer into the body, as a URI fragment: ``#/weights/like``.
        parameter: name of a parameter of path or query.
        reason: a stable word, where the record's own check gave one.
    """

    detail: str
    pointer: NotRequired[str | None]
    parameter: NotRequired[str | None]
    reason: NotRequired[str | None]


class Probabilities(TypedDict):
    """What the final pass predicts for one item, by head."""

    like: NotRequired[float]
    save: NotRequired[float]
    see_fewer: NotRequired[float]
    long_view: NotRequired[float]
    share: NotRequired[float]
    comment: NotRequired[float]


class Problem(TypedDict):
    """Why a request was not answered with what it asked for (RFC 9457).

    Attributes:
        type: names the kind of problem: ``urn:freshgrid:problem:`` and a word.
        title: the kind in words, the same for all of a kind.
        status: of the response.
        detail: one sentence about this request: what is wrong, and what to do.
        errors: the places, where there are several or they can be named.
    """

    type: str
    title: str
    status: int
    detail: str
    errors: NotRequired[list[Place] | None]


class Promote(TypedDict):
    """Why a version is to be live."""

    why: NotRequired[str]


class Redrive(TypedDict):
    """A record to send again."""

    value: NotRequired[str | None]


class Refusal(TypedDict):
    """A record that was not taken.

    Attributes:
        index: which one, from 0 in the order of the body; blank lines do not count.
        reason: a stable word, as in dead letters: ``bad_ts``.
        detail: one sentence.
    """

    index: int
    reason: str
    detail: str


Relation = Literal["block", "follow", "mute"]


class Reranked(TypedDict):
    """The grid that a viewer would have by other weights.

    Attributes:
        weights: those that were tried, all of them.
        items: in the order that the grid would have.
        left: media of the grid by the live weights that would not be in it.
    """

    viewer_id: str
    arm: str
    weights: dict[str, float | str]
    generated_at_ms: int
    items: list[RerankedItem]
    left: list[str]


class RerankedItem(TypedDict):
    """One media of the grid as it would be.

    Attributes:
        position: from 0.
        before: its position in the grid by the live weights, null where that does not show it.
        value: what it would be sorted by, before diversity.
        terms: what that is made of, by action, signed, and `penalty`, which is taken off.
    """

    position: int
    media_id: str
    author_id: str | None
    before: int | None
    value: float
    terms: dict[str, float]


class RoleState(TypedDict):
    """A role, as far as it can be known from here.

    Attributes:
        state: ``up``: it answers. ``keeps_up``, ``behind``: by what its groups have committed.
            ``unknown``: nothing tells.
    """

    role: str
    state: Literal["behind", "keeps_up", "unknown", "up"]
    says: str


class SentMediaEvent(TypedDict):
    """An event on a media, and which one.

    Attributes:
        action: as `freshgrid send` calls it: ``like``.
    """

    event_id: str
    viewer_id: str
    media_id: str
    ts: int
    author_id: NotRequired[str | None]
    request_id: NotRequired[str | None]
    undo: NotRequired[bool]
    dwell_ms: NotRequired[int | None]
    long: NotRequired[bool]
    action: str


class Session(TypedDict):
    """What somebody did of late, the oldest first."""

    actions: list[SessionAction]
    limit: NotRequired[int]


class SessionAction(TypedDict):
    """Something that somebody did; who it was nobody needs to know."""

    action: str
    media_id: str
    author_id: NotRequired[str | None]
    ts: NotRequired[int | None]


class SimilarAccountList(TypedDict):
    """Accounts near others, the nearest first."""

    accounts: list[Neighbour]


class SimilarMedia(TypedDict):
    """A media that is like others.

    Attributes:
        score: of the source; of another source it means something else.
        source: the operator of IGQL that found it.
        seed: the account that led to it, null where none did.
    """

    media: MediaRecord
    score: float
    source: str
    seed: str | None


class SimilarMediaList(TypedDict):
    """Media like others, the most alike first."""

    media: list[SimilarMedia]


class Spread(TypedDict):
    """Durations of the last minute.

    Attributes:
        count: how many there were, of those that are kept.
        p50_ms, p99_ms: in milliseconds.
    """

    count: int
    p50_ms: float
    p99_ms: float


class TopicCount(TypedDict):
    """How many media (not deleted) and accounts have a topic as their first one."""

    topic: str
    media: int
    accounts: int


class TopicList(TypedDict):
    """Topics that anything has, those with the most media first."""

    topics: list[TopicCount]


class TopicRecords(TypedDict):
    """Records that were ever appended to a topic: what is more at the next look came meanwhile."""

    topic: str
    records: int


class TopicShelf(TypedDict):
    """A topic, with the media that are popular in it and those posted last."""

    topic: TopicCount
    popular: list[MediaRecord]
    fresh: list[MediaRecord]


class Trouble(TypedDict):
    """Something that is not as it should be.

    Attributes:
        severity: ``wrong`` is to be mended now, ``look`` can wait until somebody has time.
        what: a stable word.
        says: what is so, in a sentence.
        remedy: what to do first.
    """

    severity: Literal["look", "wrong"]
    what: str
    says: str
    remedy: str


class ViewerForgotten(TypedDict):
    """What was done to forget a viewer.

    Attributes:
        deleted: keys, and entries in keys that are shared with others.
        kept_until_ms: topic → when retention has taken the last record of the viewer from it, epoch
            ms; null where it never does, or the broker does not say.
    """

    viewer_id: str
    deleted: int
    kept_until_ms: dict[str, int | None]


class ViewerList(TypedDict):
    """Viewers who were active of late, the last one first."""

    viewers: list[ActiveViewer]


class ViewerRecord(TypedDict):
    """What serving knows of a viewer; all is empty for one never heard of.

    Attributes:
        arm: of the experiment.
        reflects_ts: event time of the newest thing known, 0 for nothing.
        actions: the newest first.
        followed, blocked, muted: authors.
        suppressed: media the viewer asked to see fewer of.
        waits: something happened that the ready grid does not show yet.
    """

    viewer_id: str
    arm: str
    reflects_ts: int
    history: HistoryLength
    actions: list[Done]
    followed: list[str]
    blocked: list[str]
    muted: list[str]
    suppressed: list[str]
    waits: bool


class ViewerToken(TypedDict):
    """A token of one viewer: good for the grid and its stream, and for sending events.

    Attributes:
        scopes: those of the key that it was asked for with, `admin` left out.
    """

    token: str
    viewer_id: str
    scopes: list[str]
    expires_ms: int


class Wanted(TypedDict):
    """Whose token is wanted, and for how long."""

    viewer_id: str
    seconds: NotRequired[int]


class WhatIf(TypedDict):
    """Weights to try on a viewer's grid; those not named are as in the viewer's arm."""

    viewer_id: str
    weights: dict[str, float | str]


class Work(TypedDict):
    """Long work that is under way, as it told last.

    Attributes:
        what: in words.
        done: records, of `total`; null while that is not known.
        at_ms: when it told that, epoch ms.
    """

    what: str
    done: int | None
    total: int | None
    began_ms: int
    at_ms: int



class Calls:
    """The calls of the API, for code that waits for them."""

    def _call(
        self, method: str, path: str, query: Mapping[str, Any], body: Any
    ) -> Any:
        raise NotImplementedError

    def explore(
        self, viewer_id: str, *, cursor: str | None = None, fields: Literal["all", "ids"] = 'all',
    ) -> Page:
        """A page of the viewer's Explore grid; an unknown viewer gets a cold-start grid."""
        answer: Page = self._call("GET", "/v1/explore", {"viewer_id": viewer_id, "cursor": cursor, "fields": fields}, None)
        return answer

    def query(
        self, body: Asked,
    ) -> dict[str, Any]:
        """Run a query of candidates for a viewer: what it finds, and how it came to that."""
        answer: dict[str, Any] = self._call("POST", "/v1/query", {}, body)
        return answer

    def explain(
        self, viewer_id: str, *, media_id: str | None = None,
    ) -> dict[str, Any]:
        """Why each media of a grid made now is there, or what became of one media."""
        answer: dict[str, Any] = self._call("GET", "/v1/explain", {"viewer_id": viewer_id, "media_id": media_id}, None)
        return answer

    def send_events(
        self, body: SentMediaEvent | FollowEvent | list[SentMediaEvent | FollowEvent],
    ) -> Accepted:
        """Send one event, an array of them, or lines; each is in Kafka when this is answered.

        Beside the fields of its schema an event on a media has `action`: which one. A follow,
        block or mute is told by its `kind`. An event that is sent again counts once, by its
        `event_id`: repeat what was not answered. Good records of a batch are taken whatever the
        others are. W3C `traceparent` of the request goes along with each of them.
        """
        answer: Accepted = self._call("POST", "/v1/events", {}, body)
        return answer

    def put_media(
        self, body: Media | list[Media],
    ) -> Accepted:
        """Insert or replace media, each as a whole; `deleted` takes one out.

        One record, an array or lines. Rankers know of it a moment after this is answered.
        """
        answer: Accepted = self._call("PUT", "/v1/catalogue/media", {}, body)
        return answer

    def put_accounts(
        self, body: Account | list[Account],
    ) -> Accepted:
        """Insert or replace accounts, each as a whole; `disabled` takes all of one out of
        grids.
        """
        answer: Accepted = self._call("PUT", "/v1/catalogue/accounts", {}, body)
        return answer

    def account(
        self, account_id: str, *, posts: int = 12, popular: bool = False, neighbours: int = 12,
    ) -> AccountProfile:
        """An account: its record, some of its posts, and the accounts nearest to it."""
        answer: AccountProfile = self._call("GET", f"/v1/accounts/{_in_path(account_id)}", {"posts": posts, "popular": popular, "neighbours": neighbours}, None)
        return answer

    def media(
        self, media_id: str,
    ) -> MediaRecord:
        """One media, deleted or not, with what everybody did to it."""
        answer: MediaRecord = self._call("GET", f"/v1/media/{_in_path(media_id)}", {}, None)
        return answer

    def accounts(
        self, *, account_id: Sequence[str] = (), topic: str | None = None, prefix: str = '', after: str | None = None, limit: int = 25,
    ) -> AccountList:
        """Accounts by their ids, or those that fit, the ones told of last first.

        A page may have fewer than `limit` while there are more: go by `next`. The order is that in
        which this process was told, so another process has another one.
        """
        answer: AccountList = self._call("GET", "/v1/accounts", {"account_id": account_id, "topic": topic, "prefix": prefix, "after": after, "limit": limit}, None)
        return answer

    def media_list(
        self, *, media_id: Sequence[str] = (), topic: str | None = None, author_id: str | None = None, prefix: str = '', after: str | None = None, limit: int = 25,
    ) -> MediaList:
        """Media by their ids, or those that fit: an author's newest first, else told of last
        first.

        A page may have fewer than `limit` while there are more: go by `next`. The order is that in
        which this process was told, so another process has another one.
        """
        answer: MediaList = self._call("GET", "/v1/media", {"media_id": media_id, "topic": topic, "author_id": author_id, "prefix": prefix, "after": after, "limit": limit}, None)
        return answer

    def account_map(
        self,
    ) -> MapOfAccounts:
        """All accounts that have a vector, each with a place near those that it is alike.

        Drawn by the learner, of each new version of the account vectors and once an hour as they
        learn on, each map laid on the one before. Send `If-None-Match` to be told with 304 that
        nothing changed.
        """
        answer: MapOfAccounts = self._call("GET", "/v1/map", {}, None)
        return answer

    def similar_accounts(
        self, account_id: Sequence[str], *, limit: int = 25,
    ) -> SimilarAccountList:
        """Accounts nearest to these by the account vectors, these themselves left out."""
        answer: SimilarAccountList = self._call("GET", "/v1/similar/accounts", {"account_id": account_id, "limit": limit}, None)
        return answer

    def session_accounts(
        self, body: Session,
    ) -> SimilarAccountList:
        """Accounts near those of a session: what somebody did of late, without a viewer's id."""
        answer: SimilarAccountList = self._call("POST", "/v1/similar/accounts", {}, body)
        return answer

    def similar_media(
        self, media_id: Sequence[str], *, limit: int = 25,
    ) -> SimilarMediaList:
        """Media that who likes these may like: what viewers with the same tastes like, and
        more.
        """
        answer: SimilarMediaList = self._call("GET", "/v1/similar/media", {"media_id": media_id, "limit": limit}, None)
        return answer

    def session_media(
        self, body: Session,
    ) -> SimilarMediaList:
        """Media for a session: what somebody did of late, without an id; nothing is kept."""
        answer: SimilarMediaList = self._call("POST", "/v1/similar/media", {}, body)
        return answer

    def popular(
        self, *, topic: str | None = None, limit: int = 25,
    ) -> MediaList:
        """What everybody engages with now, of all media or of those with this first topic.

        Of a topic those are found that are among the 4,096 most popular media of all.
        """
        answer: MediaList = self._call("GET", "/v1/popular", {"topic": topic, "limit": limit}, None)
        return answer

    def fresh(
        self, *, topic: str | None = None, limit: int = 25,
    ) -> MediaList:
        """What was posted last, of all media or of those with this first topic.

        Of a topic those are found that are among the 4,096 newest media of all.
        """
        answer: MediaList = self._call("GET", "/v1/fresh", {"topic": topic, "limit": limit}, None)
        return answer

    def topics(
        self,
    ) -> TopicList:
        """All first topics, with how many media and accounts have them."""
        answer: TopicList = self._call("GET", "/v1/topics", {}, None)
        return answer

    def topic_shelf(
        self, topic: str, *, limit: int = 12,
    ) -> TopicShelf:
        """A topic: how many have it, and the popular and fresh media of it."""
        answer: TopicShelf = self._call("GET", f"/v1/topics/{_in_path(topic)}", {"limit": limit}, None)
        return answer

    def viewer(
        self, viewer_id: str, *, actions: int = 30,
    ) -> ViewerRecord:
        """What serving knows of a viewer: newest actions, relations, arm, length of the
        history.
        """
        answer: ViewerRecord = self._call("GET", f"/v1/viewers/{_in_path(viewer_id)}", {"actions": actions}, None)
        return answer

    def forget_viewer(
        self, viewer_id: str,
    ) -> ViewerForgotten:
        """Forget a viewer: state, grids and pages now, records in Kafka by retention.

        Events of the viewer are refused from now on, until `freshgrid viewer allow`.
        """
        answer: ViewerForgotten = self._call("DELETE", f"/v1/viewers/{_in_path(viewer_id)}", {}, None)
        return answer

    def active_viewers(
        self, *, limit: int = 25,
    ) -> ViewerList:
        """Viewers who were active of late, of those that this process ranks."""
        answer: ViewerList = self._call("GET", "/v1/viewers", {"limit": limit}, None)
        return answer

    def create_token(
        self, body: Wanted,
    ) -> ViewerToken:
        """A short-lived token with which a browser may ask for one viewer and act as that one.

        It ends with the key that asked for it.
        """
        answer: ViewerToken = self._call("POST", "/v1/tokens", {}, body)
        return answer

    def rerank(
        self, body: WhatIf,
    ) -> Reranked:
        """The grid that a viewer would have by other weights; nothing is stored or logged."""
        answer: Reranked = self._call("POST", "/v1/rerank", {}, body)
        return answer

    def weights(
        self,
    ) -> dict[str, Any]:
        """The value's weights as they are served here, by arm."""
        answer: dict[str, Any] = self._call("GET", "/v1/weights", {}, None)
        return answer

    def set_weights(
        self, body: ChangedWeights,
    ) -> dict[str, Any]:
        """Change weights in Redis; every ranker follows within a second."""
        answer: dict[str, Any] = self._call("PUT", "/v1/weights", {}, body)
        return answer

    def versions(
        self, *, kind: str | None = None,
    ) -> dict[str, Any]:
        """Every stored version with the figures of its gate, and which ones are live."""
        answer: dict[str, Any] = self._call("GET", "/v1/versions", {"kind": kind}, None)
        return answer

    def experiments(
        self,
    ) -> dict[str, Any]:
        """The experiment as it is served here, and why a newer one is not, if so."""
        answer: dict[str, Any] = self._call("GET", "/v1/experiments", {}, None)
        return answer

    def set_experiments(
        self, body: Changed,
    ) -> dict[str, Any]:
        """Replace the experiment; every ranker follows within a second."""
        answer: dict[str, Any] = self._call("PUT", "/v1/experiments", {}, body)
        return answer

    def experiments_history(
        self, *, most: int = 20,
    ) -> dict[str, Any]:
        """The newest changes of the experiment, its weights included, newest first."""
        answer: dict[str, Any] = self._call("GET", "/v1/experiments/history", {"most": most}, None)
        return answer

    def experiments_outcomes(
        self,
    ) -> dict[str, Any]:
        """What came of what each arm showed in the last 7 days: rates with 95 % intervals.

        Read from the log behind the answer: ask again while `reading_since_ms` is not null.
        """
        answer: dict[str, Any] = self._call("GET", "/v1/experiments/outcomes", {}, None)
        return answer

    def igql(
        self,
    ) -> IgqlReference:
        """Operators that queries may use, those added here included, and the live queries."""
        answer: IgqlReference = self._call("GET", "/v1/igql", {}, None)
        return answer

    def operations(
        self,
    ) -> Operations:
        """Whether anything is wrong and what to do first, with the figures that say so."""
        answer: Operations = self._call("GET", "/v1/operations", {}, None)
        return answer

    def dead_letters(
        self,
    ) -> dict[str, Any]:
        """The newest records that could not be applied, with reasons, newest first."""
        answer: dict[str, Any] = self._call("GET", "/v1/dead-letters", {}, None)
        return answer

    def dead_letter(
        self, dead_letter_id: str,
    ) -> dict[str, Any]:
        """One dead letter with the record as it was sent."""
        answer: dict[str, Any] = self._call("GET", f"/v1/dead-letters/{_in_path(dead_letter_id)}", {}, None)
        return answer

    def redrive_dead_letter(
        self, dead_letter_id: str, body: Redrive,
    ) -> dict[str, Any]:
        """Send the record to its topic again, edited or not; what would die again is refused."""
        answer: dict[str, Any] = self._call("POST", f"/v1/dead-letters/{_in_path(dead_letter_id)}/redrive", {}, body)
        return answer

    def promote_version(
        self, kind: str, version: str, body: Promote,
    ) -> dict[str, Any]:
        """Make a stored version live, whatever the gate said. Running processes follow."""
        answer: dict[str, Any] = self._call("POST", f"/v1/versions/{_in_path(kind)}/{_in_path(version)}/promote", {}, body)
        return answer

    def rollback_version(
        self, kind: str, body: Back,
    ) -> dict[str, Any]:
        """Make the version live again that was live before. Running processes follow."""
        answer: dict[str, Any] = self._call("POST", f"/v1/versions/{_in_path(kind)}/rollback", {}, body)
        return answer

    def status(
        self,
    ) -> dict[str, Any]:
        """Versions that are live, and whether the ranker has read all there is."""
        answer: dict[str, Any] = self._call("GET", "/v1/status", {}, None)
        return answer

    def index(
        self,
    ) -> dict[str, Any]:
        """The account index; processes with equal hashes hold the same accounts and vectors."""
        answer: dict[str, Any] = self._call("GET", "/v1/index", {}, None)
        return answer

    def healthz(
        self,
    ) -> dict[str, str]:
        """That the process runs; it asks nobody else."""
        answer: dict[str, str] = self._call("GET", "/healthz", {}, None)
        return answer

    def readyz(
        self,
    ) -> dict[str, Any]:
        """Able to answer requests for grids, and how far what they are made of is read."""
        answer: dict[str, Any] = self._call("GET", "/readyz", {}, None)
        return answer


class AsyncCalls:
    """The calls of the API, for coroutines."""

    async def _call(
        self, method: str, path: str, query: Mapping[str, Any], body: Any
    ) -> Any:
        raise NotImplementedError

    async def explore(
        self, viewer_id: str, *, cursor: str | None = None, fields: Literal["all", "ids"] = 'all',
    ) -> Page:
        """A page of the viewer's Explore grid; an unknown viewer gets a cold-start grid."""
        answer: Page = await self._call("GET", "/v1/explore", {"viewer_id": viewer_id, "cursor": cursor, "fields": fields}, None)
        return answer

    async def query(
        self, body: Asked,
    ) -> dict[str, Any]:
        """Run a query of candidates for a viewer: what it finds, and how it came to that."""
        answer: dict[str, Any] = await self._call("POST", "/v1/query", {}, body)
        return answer

    async def explain(
        self, viewer_id: str, *, media_id: str | None = None,
    ) -> dict[str, Any]:
        """Why each media of a grid made now is there, or what became of one media."""
        answer: dict[str, Any] = await self._call("GET", "/v1/explain", {"viewer_id": viewer_id, "media_id": media_id}, None)
        return answer

    async def send_events(
        self, body: SentMediaEvent | FollowEvent | list[SentMediaEvent | FollowEvent],
    ) -> Accepted:
        """Send one event, an array of them, or lines; each is in Kafka when this is answered.

        Beside the fields of its schema an event on a media has `action`: which one. A follow,
        block or mute is told by its `kind`. An event that is sent again counts once, by its
        `event_id`: repeat what was not answered. Good records of a batch are taken whatever the
        others are. W3C `traceparent` of the request goes along with each of them.
        """
        answer: Accepted = await self._call("POST", "/v1/events", {}, body)
        return answer

    async def put_media(
        self, body: Media | list[Media],
    ) -> Accepted:
        """Insert or replace media, each as a whole; `deleted` takes one out.

        One record, an array or lines. Rankers know of it a moment after this is answered.
        """
        answer: Accepted = await self._call("PUT", "/v1/catalogue/media", {}, body)
        return answer

    async def put_accounts(
        self, body: Account | list[Account],
    ) -> Accepted:
        """Insert or replace accounts, each as a whole; `disabled` takes all of one out of
        grids.
        """
        answer: Accepted = await self._call("PUT", "/v1/catalogue/accounts", {}, body)
        return answer

    async def account(
        self, account_id: str, *, posts: int = 12, popular: bool = False, neighbours: int = 12,
    ) -> AccountProfile:
        """An account: its record, some of its posts, and the accounts nearest to it."""
        answer: AccountProfile = await self._call("GET", f"/v1/accounts/{_in_path(account_id)}", {"posts": posts, "popular": popular, "neighbours": neighbours}, None)
        return answer

    async def media(
        self, media_id: str,
    ) -> MediaRecord:
        """One media, deleted or not, with what everybody did to it."""
        answer: MediaRecord = await self._call("GET", f"/v1/media/{_in_path(media_id)}", {}, None)
        return answer

    async def accounts(
        self, *, account_id: Sequence[str] = (), topic: str | None = None, prefix: str = '', after: str | None = None, limit: int = 25,
    ) -> AccountList:
        """Accounts by their ids, or those that fit, the ones told of last first.

        A page may have fewer than `limit` while there are more: go by `next`. The order is that in
        which this process was told, so another process has another one.
        """
        answer: AccountList = await self._call("GET", "/v1/accounts", {"account_id": account_id, "topic": topic, "prefix": prefix, "after": after, "limit": limit}, None)
        return answer

    async def media_list(
        self, *, media_id: Sequence[str] = (), topic: str | None = None, author_id: str | None = None, prefix: str = '', after: str | None = None, limit: int = 25,
    ) -> MediaList:
        """Media by their ids, or those that fit: an author's newest first, else told of last
        first.

        A page may have fewer than `limit` while there are more: go by `next`. The order is that in
        which this process was told, so another process has another one.
        """
        answer: MediaList = await self._call("GET", "/v1/media", {"media_id": media_id, "topic": topic, "author_id": author_id, "prefix": prefix, "after": after, "limit": limit}, None)
        return answer

    async def account_map(
        self,
    ) -> MapOfAccounts:
        """All accounts that have a vector, each with a place near those that it is alike.

        Drawn by the learner, of each new version of the account vectors and once an hour as they
        learn on, each map laid on the one before. Send `If-None-Match` to be told with 304 that
        nothing changed.
        """
        answer: MapOfAccounts = await self._call("GET", "/v1/map", {}, None)
        return answer

    async def similar_accounts(
        self, account_id: Sequence[str], *, limit: int = 25,
    ) -> SimilarAccountList:
        """Accounts nearest to these by the account vectors, these themselves left out."""
        answer: SimilarAccountList = await self._call("GET", "/v1/similar/accounts", {"account_id": account_id, "limit": limit}, None)
        return answer

    async def session_accounts(
        self, body: Session,
    ) -> SimilarAccountList:
        """Accounts near those of a session: what somebody did of late, without a viewer's id."""
        answer: SimilarAccountList = await self._call("POST", "/v1/similar/accounts", {}, body)
        return answer

    async def similar_media(
        self, media_id: Sequence[str], *, limit: int = 25,
    ) -> SimilarMediaList:
        """Media that who likes these may like: what viewers with the same tastes like, and
        more.
        """
        answer: SimilarMediaList = await self._call("GET", "/v1/similar/media", {"media_id": media_id, "limit": limit}, None)
        return answer

    async def session_media(
        self, body: Session,
    ) -> SimilarMediaList:
        """Media for a session: what somebody did of late, without an id; nothing is kept."""
        answer: SimilarMediaList = await self._call("POST", "/v1/similar/media", {}, body)
        return answer

    async def popular(
        self, *, topic: str | None = None, limit: int = 25,
    ) -> MediaList:
        """What everybody engages with now, of all media or of those with this first topic.

        Of a topic those are found that are among the 4,096 most popular media of all.
        """
        answer: MediaList = await self._call("GET", "/v1/popular", {"topic": topic, "limit": limit}, None)
        return answer

    async def fresh(
        self, *, topic: str | None = None, limit: int = 25,
    ) -> MediaList:
        """What was posted last, of all media or of those with this first topic.

        Of a topic those are found that are among the 4,096 newest media of all.
        """
        answer: MediaList = await self._call("GET", "/v1/fresh", {"topic": topic, "limit": limit}, None)
        return answer

    async def topics(
        self,
    ) -> TopicList:
        """All first topics, with how many media and accounts have them."""
        answer: TopicList = await self._call("GET", "/v1/topics", {}, None)
        return answer

    async def topic_shelf(
        self, topic: str, *, limit: int = 12,
    ) -> TopicShelf:
        """A topic: how many have it, and the popular and fresh media of it."""
        answer: TopicShelf = await self._call("GET", f"/v1/topics/{_in_path(topic)}", {"limit": limit}, None)
        return answer

    async def viewer(
        self, viewer_id: str, *, actions: int = 30,
    ) -> ViewerRecord:
        """What serving knows of a viewer: newest actions, relations, arm, length of the
        history.
        """
        answer: ViewerRecord = await self._call("GET", f"/v1/viewers/{_in_path(viewer_id)}", {"actions": actions}, None)
        return answer

    async def forget_viewer(
        self, viewer_id: str,
    ) -> ViewerForgotten:
        """Forget a viewer: state, grids and pages now, records in Kafka by retention.

        Events of the viewer are refused from now on, until `freshgrid viewer allow`.
        """
        answer: ViewerForgotten = await self._call("DELETE", f"/v1/viewers/{_in_path(viewer_id)}", {}, None)
        return answer

    async def active_viewers(
        self, *, limit: int = 25,
    ) -> ViewerList:
        """Viewers who were active of late, of those that this process ranks."""
        answer: ViewerList = await self._call("GET", "/v1/viewers", {"limit": limit}, None)
        return answer

    async def create_token(
        self, body: Wanted,
    ) -> ViewerToken:
        """A short-lived token with which a browser may ask for one viewer and act as that one.

        It ends with the key that asked for it.
        """
        answer: ViewerToken = await self._call("POST", "/v1/tokens", {}, body)
        return answer

    async def rerank(
        self, body: WhatIf,
    ) -> Reranked:
        """The grid that a viewer would have by other weights; nothing is stored or logged."""
        answer: Reranked = await self._call("POST", "/v1/rerank", {}, body)
        return answer

    async def weights(
        self,
    ) -> dict[str, Any]:
        """The value's weights as they are served here, by arm."""
        answer: dict[str, Any] = await self._call("GET", "/v1/weights", {}, None)
        return answer

    async def set_weights(
        self, body: ChangedWeights,
    ) -> dict[str, Any]:
        """Change weights in Redis; every ranker follows within a second."""
        answer: dict[str, Any] = await self._call("PUT", "/v1/weights", {}, body)
        return answer

    async def versions(
        self, *, kind: str | None = None,
    ) -> dict[str, Any]:
        """Every stored version with the figures of its gate, and which ones are live."""
        answer: dict[str, Any] = await self._call("GET", "/v1/versions", {"kind": kind}, None)
        return answer

    async def experiments(
        self,
    ) -> dict[str, Any]:
        """The experiment as it is served here, and why a newer one is not, if so."""
        answer: dict[str, Any] = await self._call("GET", "/v1/experiments", {}, None)
        return answer

    async def set_experiments(
        self, body: Changed,
    ) -> dict[str, Any]:
        """Replace the experiment; every ranker follows within a second."""
        answer: dict[str, Any] = await self._call("PUT", "/v1/experiments", {}, body)
        return answer

    async def experiments_history(
        self, *, most: int = 20,
    ) -> dict[str, Any]:
        """The newest changes of the experiment, its weights included, newest first."""
        answer: dict[str, Any] = await self._call("GET", "/v1/experiments/history", {"most": most}, None)
        return answer

    async def experiments_outcomes(
        self,
    ) -> dict[str, Any]:
        """What came of what each arm showed in the last 7 days: rates with 95 % intervals.

        Read from the log behind the answer: ask again while `reading_since_ms` is not null.
        """
        answer: dict[str, Any] = await self._call("GET", "/v1/experiments/outcomes", {}, None)
        return answer

    async def igql(
        self,
    ) -> IgqlReference:
        """Operators that queries may use, those added here included, and the live queries."""
        answer: IgqlReference = await self._call("GET", "/v1/igql", {}, None)
        return answer

    async def operations(
        self,
    ) -> Operations:
        """Whether anything is wrong and what to do first, with the figures that say so."""
        answer: Operations = await self._call("GET", "/v1/operations", {}, None)
        return answer

    async def dead_letters(
        self,
    ) -> dict[str, Any]:
        """The newest records that could not be applied, with reasons, newest first."""
        answer: dict[str, Any] = await self._call("GET", "/v1/dead-letters", {}, None)
        return answer

    async def dead_letter(
        self, dead_letter_id: str,
    ) -> dict[str, Any]:
        """One dead letter with the record as it was sent."""
        answer: dict[str, Any] = await self._call("GET", f"/v1/dead-letters/{_in_path(dead_letter_id)}", {}, None)
        return answer

    async def redrive_dead_letter(
        self, dead_letter_id: str, body: Redrive,
    ) -> dict[str, Any]:
        """Send the record to its topic again, edited or not; what would die again is refused."""
        answer: dict[str, Any] = await self._call("POST", f"/v1/dead-letters/{_in_path(dead_letter_id)}/redrive", {}, body)
        return answer

    async def promote_version(
        self, kind: str, version: str, body: Promote,
    ) -> dict[str, Any]:
        """Make a stored version live, whatever the gate said. Running processes follow."""
        answer: dict[str, Any] = await self._call("POST", f"/v1/versions/{_in_path(kind)}/{_in_path(version)}/promote", {}, body)
        return answer

    async def rollback_version(
        self, kind: str, body: Back,
    ) -> dict[str, Any]:
        """Make the version live again that was live before. Running processes follow."""
        answer: dict[str, Any] = await self._call("POST", f"/v1/versions/{_in_path(kind)}/rollback", {}, body)
        return answer

    async def status(
        self,
    ) -> dict[str, Any]:
        """Versions that are live, and whether the ranker has read all there is."""
        answer: dict[str, Any] = await self._call("GET", "/v1/status", {}, None)
        return answer

    async def index(
        self,
    ) -> dict[str, Any]:
        """The account index; processes with equal hashes hold the same accounts and vectors."""
        answer: dict[str, Any] = await self._call("GET", "/v1/index", {}, None)
        return answer

    async def healthz(
        self,
    ) -> dict[str, str]:
        """That the process runs; it asks nobody else."""
        answer: dict[str, str] = await self._call("GET", "/healthz", {}, None)
        return answer

    async def readyz(
        self,
    ) -> dict[str, Any]:
        """Able to answer requests for grids, and how far what they are made of is read."""
        answer: dict[str, Any] = await self._call("GET", "/readyz", {}, None)
        return answer


def _in_path(name: str) -> str:
    """An id as a part of a path."""
    return quote(name, safe="")
