"""Events in: one, a batch or lines, answered once Kafka has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec
from fastapi import Request, Response

from infra.http.bodies import NDJSON, read_records
from infra.http.door import caller_of
from infra.http.problems import Place, ProblemError
from infra.http.routes import JSON, Routes, reference
from infra.tracing import TRACEPARENT, well_formed
from models.events import FollowEvent, MediaEvent


class SentMediaEvent(MediaEvent, frozen=True, kw_only=True, gc=False):
    """An event on a media, and which one.

    Attributes:
        action: as `freshgrid send` calls it: ``like``.
    """

    action: str


class Refusal(msgspec.Struct, frozen=True):
    """A record that was not taken.

    Attributes:
        index: which one, from 0 in the order of the body; blank lines do not count.
        reason: a stable word, as in dead letters: ``bad_ts``.
        detail: one sentence.
    """

    index: int
    reason: str
    detail: str


class Accepted(msgspec.Struct, frozen=True):
    """What became of a batch of records.

    Attributes:
        accepted: acknowledged by every replica of Kafka that is in step.
        refused: never sent; all others were.
    """

    accepted: int
    refused: list[Refusal]


class Intake(Protocol):
    """Where the records of a body go."""

    async def take(
        self, records: Sequence[bytes], only: str | None = None, traceparent: str = ""
    ) -> Accepted:
        """Check records and send the good ones, of one viewer only where one is named."""
        ...


_LIKE: Final[dict[str, Any]] = {
    "action": "like",
    "event_id": "4f6c1a",
    "viewer_id": "v1",
    "media_id": "m7",
    "author_id": "a3",
    "ts": 1700000000000,
}
_FOLLOW: Final[dict[str, Any]] = {
    "kind": "follow",
    "event_id": "f1",
    "viewer_id": "v1",
    "author_id": "a3",
    "ts": 1700000000000,
}
_ONE: Final = {"anyOf": [reference(SentMediaEvent), reference(FollowEvent)]}
_BODY: Final = {
    "required": True,
    "content": {
        JSON: {
            "schema": {"anyOf": [*_ONE["anyOf"], {"type": "array", "items": _ONE}]},
            "examples": {"one": {"value": _LIKE}, "batch": {"value": [_LIKE, _FOLLOW]}},
        },
        NDJSON: {
            "schema": {"type": "string"},
            "example": "".join(msgspec.json.encode(e).decode() + "\n" for e in (_LIKE, _FOLLOW)),
        },
    },
}
_ACCEPTED: Final = {
    "accepted": 1,
    "refused": [
        {
            "index": 1,
            "reason": "bad_ts",
            "detail": "ts 1700000000 is before 2010: it looks like seconds; send milliseconds",
        }
    ],
}


def taken(accepted: Accepted) -> Response:
    """The answer to a batch of records.

    Raises:
        ProblemError: none of them was any good.
    """
    if not accepted.accepted and accepted.refused:
        places = [
            Place(detail=one.detail, reason=one.reason, pointer=f"#/{one.index}")
            for one in accepted.refused
        ]
        raise ProblemError(422, f"nothing was taken: {places[0].detail}", places)
    return Response(msgspec.json.encode(accepted), 202, media_type=JSON)


def events_routes(intake: Intake) -> Routes:
    """Events of viewers, as their topics take them."""
    routes = Routes("events")
    routes.described += [SentMediaEvent, FollowEvent]

    @routes.post(
        "/v1/events",
        status_code=202,
        response_class=Response,
        responses=routes.answers(Accepted, _ACCEPTED, 400, 415, 422, status=202),
        openapi_extra={"requestBody": _BODY},
    )
    async def send_events(request: Request) -> Response:
        """Send one event, an array of them, or lines; each is in Kafka when this is answered.

        Beside the fields of its schema an event on a media has `action`: which one. A follow,
        block or mute is told by its `kind`. An event that is sent again counts once, by its
        `event_id`: repeat what was not answered. Good records of a batch are taken whatever the
        others are. W3C `traceparent` of the request goes along with each of them.
        """
        only = caller_of(request.state).viewer_id
        trace = well_formed(request.headers.get(TRACEPARENT))
        return taken(await intake.take(await read_records(request), only, trace))

    return routes
