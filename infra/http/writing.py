"""The catalogue in: records put one by one or by the batch, and whole files in and out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Literal, Protocol

import msgspec
from fastapi import Request, Response
from starlette.responses import StreamingResponse

from infra.http.bodies import NDJSON, lines_of, read_records
from infra.http.events import Accepted, Refusal, taken
from infra.http.problems import ProblemError
from infra.http.routes import JSON, Routes, reference
from models.events import Account, Media

#: Lines of an import that are sent together.
CHUNK: Final = 1_000
#: Refusals told of one import.
MOST_REFUSALS: Final = 1_000

Kind = Literal["media", "accounts"]


class Imported(msgspec.Struct, frozen=True):
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


class CatalogueIntake(Protocol):
    """Where records of the catalogue go, and lines that name their topic."""

    async def put(self, kind: Kind, records: Sequence[bytes]) -> Accepted:
        """Check records and send the good ones; returns once the broker has them."""
        ...

    async def lines(self, lines: Sequence[bytes]) -> Accepted:
        """The same with lines of any topic that producers write, which each names."""
        ...


class Records(Protocol):
    """Where the catalogue is read whole."""

    def export(self, kind: Kind) -> AsyncIterator[bytes]:
        """Lines that an import takes, some at once."""
        ...


_MEDIA: Final[dict[str, Any]] = {
    "media_id": "m7",
    "author_id": "a3",
    "created_ts": 1699990000000,
    "topics": ["travel"],
    "integrity": {"nsfw": 0.01},
    "image_url": "https://pictures.example/m7.jpg",
}
_ACCOUNT: Final[dict[str, Any]] = {"account_id": "a3", "topics": ["travel"]}
_LIKE: Final = {
    "topic": "events.like", "event_id": "e1", "viewer_id": "v1", "media_id": "m7",
    "ts": 1700000000000,
}  # fmt: skip
_LINES: Final = "".join(
    msgspec.json.encode(line).decode() + "\n"
    for line in ({"topic": "catalog.media", **_MEDIA}, _LIKE)
)
_ACCEPTED: Final = {"accepted": 1, "refused": []}
_IMPORTED: Final = {"lines": 2, "accepted": 2, "refused": 0, "refusals": []}


def _body(of: type, example: dict[str, Any]) -> dict[str, Any]:
    one = reference(of)
    schema = {"anyOf": [one, {"type": "array", "items": one}]}
    line = msgspec.json.encode(example).decode() + "\n"
    content = {
        JSON: {"schema": schema, "example": example},
        NDJSON: {"schema": {"type": "string"}, "example": line},
    }
    return {"requestBody": {"required": True, "content": content}}


def writing_routes(intake: CatalogueIntake, records: Records) -> Routes:
    """Records of the catalogue in, and files in and out."""
    routes = Routes("catalogue")
    routes.described += [Media, Account]
    accepted = routes.answers(Accepted, _ACCEPTED, 400, 415, 422, status=202)

    @routes.put(
        "/v1/catalogue/media",
        status_code=202,
        response_class=Response,
        responses=accepted,
        openapi_extra=_body(Media, _MEDIA),
    )
    async def put_media(request: Request) -> Response:
        """Insert or replace media, each as a whole; `deleted` takes one out.

        One record, an array or lines. Rankers know of it a moment after this is answered.
        """
        return taken(await intake.put("media", await read_records(request)))

    @routes.put(
        "/v1/catalogue/accounts",
        status_code=202,
        response_class=Response,
        responses=accepted,
        openapi_extra=_body(Account, _ACCOUNT),
    )
    async def put_accounts(request: Request) -> Response:
        """Insert or replace accounts, each as a whole; `disabled` takes all of one out of grids."""
        return taken(await intake.put("accounts", await read_records(request)))

    @routes.post(
        "/v1/import",
        response_class=Response,
        responses=routes.answers(Imported, _IMPORTED, 400, 413, 415),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {NDJSON: {"schema": {"type": "string"}, "example": _LINES}},
            }
        },
    )
    async def import_lines(request: Request) -> Response:
        """Take a file of any length: one JSON object a line, with its `topic` beside its fields.

        That is the form of `freshgrid replay` and of the exports. Lines are sent as they come in,
        and no more is read before Kafka has them. Cut off, send the file again: what is known
        already changes nothing.
        """
        total = Imported(0, 0, 0, [])
        async for chunk in lines_of(request, CHUNK):
            told = await intake.lines(chunk)
            room = MOST_REFUSALS - len(total.refusals)
            later = [
                msgspec.structs.replace(one, index=one.index + total.lines)
                for one in told.refused[:room]
            ]
            total = Imported(
                total.lines + len(chunk),
                total.accepted + told.accepted,
                total.refused + len(told.refused),
                total.refusals + later,
            )
        if not total.lines:
            raise ProblemError(400, "the body has no lines; send one JSON object a line")
        return Response(msgspec.json.encode(total), media_type=JSON)

    for kind in ("media", "accounts"):
        _export(routes, records, kind)
    return routes


def _export(routes: Routes, records: Records, kind: Kind) -> None:
    topic = "catalog.media" if kind == "media" else "catalog.accounts"
    example = {"topic": topic, **(_MEDIA if kind == "media" else _ACCOUNT)}
    content = {
        NDJSON: {
            "schema": {"type": "string"},
            "example": msgspec.json.encode(example).decode() + "\n",
        }
    }

    @routes.get(
        f"/v1/export/{kind}",
        name=f"export_{kind}",
        response_class=Response,
        responses={200: {"description": "A record a line.", "content": content}},
        description=f"All {kind} that are not deleted, as lines that `/v1/import` takes, as this "
        "ranker knows them; vectors of pictures are left out.",
    )
    async def export() -> Response:
        return StreamingResponse(records.export(kind), media_type=NDJSON)
