"""What is like other things: accounts near accounts, media near what somebody did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Protocol

import msgspec
from fastapi import Query, Response
from pydantic import BaseModel, Field

from infra.http.catalogue import ACCOUNT, MEDIA, MediaRecord, Neighbour, json
from infra.http.parameters import Id, Ids, Limit
from infra.http.problems import ProblemError
from infra.http.routes import Routes, example_of
from models.actions import Action

#: Actions of a session that are looked at.
MOST_ACTIONS: Final = 200
#: The end of the year 9999.
MOST_TS_MS: Final = 253_402_300_799_000


class SessionAction(BaseModel):
    """Something that somebody did; who it was nobody needs to know."""

    action: Annotated[str, Field(description="One of the table of actions: `like`, `view` …")]
    media_id: Id
    author_id: Id | None = None
    ts: Annotated[
        int | None,
        Field(ge=0, le=MOST_TS_MS, description="Epoch ms; the order of the list by default."),
    ] = None


class Session(BaseModel):
    """What somebody did of late, the oldest first."""

    model_config = example_of(
        {
            "actions": [
                {"action": "view", "media_id": "m7"},
                {"action": "like", "media_id": "m8", "author_id": "a3", "ts": 1700000000000},
            ],
            "limit": 10,
        }
    )

    actions: Annotated[list[SessionAction], Field(min_length=1, max_length=MOST_ACTIONS)]
    limit: Annotated[int, Field(ge=1, le=100)] = 25


class SimilarMedia(msgspec.Struct, frozen=True):
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


class SimilarMediaList(msgspec.Struct, frozen=True):
    """Media like others, the most alike first."""

    media: list[SimilarMedia]


class SimilarAccountList(msgspec.Struct, frozen=True):
    """Accounts near others, the nearest first."""

    accounts: list[Neighbour]


class Likeness(Protocol):
    """Where likeness is looked up. LookupError: nothing of what was named is known."""

    def accounts(self, ids: Sequence[str], limit: int) -> SimilarAccountList:
        """Accounts nearest to the mean of these."""
        ...

    def media(self, ids: Sequence[str], limit: int) -> SimilarMediaList:
        """Media like all of these together."""
        ...

    def accounts_of_session(self, session: Session) -> SimilarAccountList:
        """Accounts nearest to those that somebody engaged with."""
        ...

    def media_of_session(self, session: Session) -> SimilarMediaList:
        """Media that who did this may like."""
        ...


_ACCOUNTS: Final = {"accounts": [{"account": ACCOUNT, "score": 0.871}]}
_MEDIA: Final = {"media": [{"media": MEDIA, "score": 0.62, "source": "alike", "seed": None}]}
_WORDS: Final = {action.word for action in Action}

SomeAccounts = Annotated[Ids, Query(min_length=1)]
SomeMedia = Annotated[Ids, Query(min_length=1)]


def similar_routes(likeness: Likeness) -> Routes:
    """Accounts and media like others."""
    routes = Routes("similar")
    accounts = routes.answers(SimilarAccountList, _ACCOUNTS, 404, 422)
    media = routes.answers(SimilarMediaList, _MEDIA, 404, 422)

    @routes.get("/v1/similar/accounts", response_class=Response, responses=accounts)
    async def similar_accounts(account_id: SomeAccounts, limit: Limit = 25) -> Response:
        """Accounts nearest to these by the account vectors, these themselves left out."""
        return _found(lambda: likeness.accounts(account_id, limit))

    @routes.get("/v1/similar/media", response_class=Response, responses=media)
    async def similar_media(media_id: SomeMedia, limit: Limit = 25) -> Response:
        """Media that who likes these may like: what viewers with the same tastes like, and more."""
        return _found(lambda: likeness.media(media_id, limit))

    @routes.post("/v1/similar/accounts", response_class=Response, responses=accounts)
    async def session_accounts(session: Session) -> Response:
        """Accounts near those of a session: what somebody did of late, without a viewer's id."""
        return _found(lambda: likeness.accounts_of_session(_checked(session)))

    @routes.post("/v1/similar/media", response_class=Response, responses=media)
    async def session_media(session: Session) -> Response:
        """Media for a session: what somebody did of late, without an id; nothing is kept."""
        return _found(lambda: likeness.media_of_session(_checked(session)))

    return routes


def _checked(session: Session) -> Session:
    for at, action in enumerate(session.actions):
        if action.action not in _WORDS:
            raise ProblemError(
                422,
                f"there is no action {action.action!r} (#/actions/{at}); the actions are "
                f"{', '.join(one.word for one in Action)}",
            )
    return session


def _found(look: Any) -> Response:
    try:
        return json(look())
    except LookupError as error:
        raise ProblemError(404, str(error)) from error
