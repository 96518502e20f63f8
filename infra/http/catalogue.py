"""The catalogue as it is served: accounts and media, alone, by id, and browsed."""

from __future__ import annotations

from typing import Annotated, Any, Final, Protocol

import msgspec
from fastapi import Query, Response

from infra.http.parameters import AfterText, Ids, Limit, MaybeId, PathId
from infra.http.problems import ProblemError
from infra.http.routes import JSON, Routes
from models.account_index.space import NEIGHBOURS
from models.events import Integrity

#: Posts of an account in one answer at most.
MOST_POSTS: Final = 100


class MediaRecord(msgspec.Struct, frozen=True, kw_only=True):
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


class AccountRecord(msgspec.Struct, frozen=True, kw_only=True):
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


class Neighbour(msgspec.Struct, frozen=True):
    """An account near another one; `score` is the cosine of their vectors, at most 1."""

    account: AccountRecord
    score: float


class AccountProfile(msgspec.Struct, frozen=True):
    """An account with some of its posts and the accounts nearest to it, the nearest first."""

    account: AccountRecord
    posts: list[MediaRecord]
    neighbours: list[Neighbour]


class MediaList(msgspec.Struct, frozen=True):
    """Some media; `next` is the `after` of the following ones, null where there are no more."""

    media: list[MediaRecord]
    next: str | None = None


class AccountList(msgspec.Struct, frozen=True):
    """Some accounts; `next` is the `after` of the following ones, null where there are no more."""

    accounts: list[AccountRecord]
    next: str | None = None


class Browse(msgspec.Struct, frozen=True, kw_only=True):
    """Which records to look for.

    Attributes:
        topic: their first topic.
        author: whose media.
        prefix: what their ids begin with.
        after: id of the last one before; None to begin.
        limit: most of them.
    """

    topic: str | None = None
    author: str | None = None
    prefix: str = ""
    after: str | None = None
    limit: int = 25


class Directory(Protocol):
    """Where the catalogue is looked up. LookupError: nobody ever told of this id."""

    def profile(
        self, account_id: str, posts: int, popular: bool, neighbours: int
    ) -> AccountProfile:
        """An account with its newest or most popular posts and its neighbours."""
        ...

    def media(self, media_id: str) -> MediaRecord:
        """One media, deleted or not."""
        ...

    def accounts_of(self, ids: list[str]) -> AccountList:
        """Those of these accounts that are known."""
        ...

    def media_of(self, ids: list[str]) -> MediaList:
        """Those of these media that are known."""
        ...

    def browse_accounts(self, browse: Browse) -> AccountList:
        """Accounts, those first that were told of last."""
        ...

    def browse_media(self, browse: Browse) -> MediaList:
        """Media that are not deleted, the newest of an author or those told of last first."""
        ...


_COUNTS: Final = {
    "like": 12.5, "save": 1.2, "see_fewer": 0.0, "view": 210.0, "long_view": 31.0,
    "share": 0.7, "comment": 2.0,
}  # fmt: skip
MEDIA: Final[dict[str, Any]] = {
    "media_id": "m7",
    "author_id": "a3",
    "created_ts": 1699990000000,
    "topics": ["travel"],
    "language": "pt",
    "integrity": {"nsfw": 0.01, "spam": 0.0, "misinformation": 0.0},
    "image_url": "https://pictures.example/m7.jpg",
    "deleted": False,
    "available": True,
    "counts": _COUNTS,
    "score": 23.4,
}
ACCOUNT: Final[dict[str, Any]] = {
    "account_id": "a3",
    "topics": ["travel"],
    "language": "pt",
    "private": False,
    "disabled": False,
    "deleted": False,
    "listed": True,
    "has_vector": True,
    "counts": _COUNTS,
}
_NEIGHBOUR: Final = {"account": {**ACCOUNT, "account_id": "a6492026"}, "score": 0.871}
_PROFILE: Final = {"account": ACCOUNT, "posts": [MEDIA], "neighbours": [_NEIGHBOUR]}

Topic = Annotated[
    str | None, Query(max_length=256, description="The first topic of what is looked for.")
]
Prefix = Annotated[str, Query(max_length=128, description="What the ids begin with.")]
Posts = Annotated[int, Query(ge=0, le=MOST_POSTS, description="Most posts.")]
Popular = Annotated[bool, Query(description="The most popular posts instead of the newest.")]
Neighbours = Annotated[int, Query(ge=0, le=NEIGHBOURS, description="Most neighbours.")]


def json(answer: msgspec.Struct) -> Response:
    """A response with a described answer."""
    return Response(msgspec.json.encode(answer), media_type=JSON)


def catalogue_routes(directory: Directory) -> Routes:
    """Accounts and media of the catalogue."""
    routes = Routes("catalogue")

    @routes.get(
        "/v1/accounts/{account_id:path}",
        response_class=Response,
        responses=routes.answers(AccountProfile, _PROFILE, 404, 422),
    )
    async def account(
        account_id: PathId, posts: Posts = 12, popular: Popular = False, neighbours: Neighbours = 12
    ) -> Response:
        """An account: its record, some of its posts, and the accounts nearest to it."""
        try:
            return json(directory.profile(account_id, posts, popular, neighbours))
        except LookupError as error:
            raise ProblemError(404, str(error)) from error

    @routes.get(
        "/v1/media/{media_id:path}",
        response_class=Response,
        responses=routes.answers(MediaRecord, MEDIA, 404, 422),
    )
    async def media(media_id: PathId) -> Response:
        """One media, deleted or not, with what everybody did to it."""
        try:
            return json(directory.media(media_id))
        except LookupError as error:
            raise ProblemError(404, str(error)) from error

    @routes.get(
        "/v1/accounts",
        response_class=Response,
        responses=routes.answers(AccountList, {"accounts": [ACCOUNT], "next": "a3"}, 422),
    )
    async def accounts(
        account_id: Ids = [],  # noqa: B006
        topic: Topic = None,
        prefix: Prefix = "",
        after: AfterText = None,
        limit: Limit = 25,
    ) -> Response:
        """Accounts by their ids, or those that fit, the ones told of last first.

        A page may have fewer than `limit` while there are more: go by `next`. The order is that in
        which this process was told, so another process has another one.
        """
        if account_id:
            return json(directory.accounts_of(account_id))
        browse = Browse(topic=topic, prefix=prefix, after=after, limit=limit)
        return json(_browsed(directory.browse_accounts, browse))

    @routes.get(
        "/v1/media",
        response_class=Response,
        responses=routes.answers(MediaList, {"media": [MEDIA], "next": "m7"}, 422),
    )
    async def media_list(
        media_id: Ids = [],  # noqa: B006
        topic: Topic = None,
        author_id: MaybeId = None,
        prefix: Prefix = "",
        after: AfterText = None,
        limit: Limit = 25,
    ) -> Response:
        """Media by their ids, or those that fit: an author's newest first, else told of last first.

        A page may have fewer than `limit` while there are more: go by `next`. The order is that in
        which this process was told, so another process has another one.
        """
        if media_id:
            return json(directory.media_of(media_id))
        browse = Browse(topic=topic, author=author_id, prefix=prefix, after=after, limit=limit)
        return json(_browsed(directory.browse_media, browse))

    return routes


def _browsed(look: Any, browse: Browse) -> Any:
    try:
        return look(browse)
    except LookupError as error:
        raise ProblemError(422, str(error)) from error
