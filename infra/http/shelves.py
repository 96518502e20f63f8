"""What everybody sees: popular and fresh media, all of them or of a topic."""

from __future__ import annotations

from typing import Annotated, Final, Protocol

import msgspec
from fastapi import Path, Response

from infra.http.catalogue import MEDIA, MediaList, MediaRecord, Topic, json
from infra.http.parameters import Limit
from infra.http.problems import ProblemError
from infra.http.routes import Routes


class TopicCount(msgspec.Struct, frozen=True):
    """How many media (not deleted) and accounts have a topic as their first one."""

    topic: str
    media: int
    accounts: int


class TopicList(msgspec.Struct, frozen=True):
    """Topics that anything has, those with the most media first."""

    topics: list[TopicCount]


class TopicShelf(msgspec.Struct, frozen=True):
    """A topic, with the media that are popular in it and those posted last."""

    topic: TopicCount
    popular: list[MediaRecord]
    fresh: list[MediaRecord]


class Shelves(Protocol):
    """Where media for everybody are looked up."""

    def popular(self, topic: str | None, limit: int) -> MediaList:
        """Media that are recommendable, the most popular first."""
        ...

    def fresh(self, topic: str | None, limit: int) -> MediaList:
        """Media that are recommendable, the newest first."""
        ...

    async def topics(self) -> TopicList:
        """All topics that anything has."""
        ...

    async def topic(self, name: str, limit: int) -> TopicShelf:
        """One topic; LookupError: nothing has it."""
        ...


_LIST: Final = {"media": [MEDIA], "next": None}
_COUNT: Final = {"topic": "travel", "media": 812, "accounts": 95}
_SHELF: Final = {"topic": _COUNT, "popular": [MEDIA], "fresh": [MEDIA]}
TopicName = Annotated[str, Path(max_length=256, description="A topic, URL-encoded.")]


def shelves_routes(shelves: Shelves) -> Routes:
    """Popular, fresh and by topic."""
    routes = Routes("shelves")

    @routes.get(
        "/v1/popular", response_class=Response, responses=routes.answers(MediaList, _LIST, 422)
    )
    async def popular(topic: Topic = None, limit: Limit = 25) -> Response:
        """What everybody engages with now, of all media or of those with this first topic.

        Of a topic those are found that are among the 4,096 most popular media of all.
        """
        return json(shelves.popular(topic, limit))

    @routes.get(
        "/v1/fresh", response_class=Response, responses=routes.answers(MediaList, _LIST, 422)
    )
    async def fresh(topic: Topic = None, limit: Limit = 25) -> Response:
        """What was posted last, of all media or of those with this first topic.

        Of a topic those are found that are among the 4,096 newest media of all.
        """
        return json(shelves.fresh(topic, limit))

    @routes.get(
        "/v1/topics",
        response_class=Response,
        responses=routes.answers(TopicList, {"topics": [_COUNT]}),
    )
    async def topics() -> Response:
        """All first topics, with how many media and accounts have them."""
        return json(await shelves.topics())

    @routes.get(
        "/v1/topics/{topic:path}",
        response_class=Response,
        responses=routes.answers(TopicShelf, _SHELF, 404, 422),
    )
    async def topic_shelf(topic: TopicName, limit: Limit = 12) -> Response:
        """A topic: how many have it, and the popular and fresh media of it."""
        try:
            return json(await shelves.topic(topic, limit))
        except LookupError as error:
            raise ProblemError(404, str(error)) from error

    return routes
