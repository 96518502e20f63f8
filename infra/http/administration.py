"""Versions of what was learned, and the experiment: what is stored and what is live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Protocol

import msgspec
from fastapi import Query, Response
from pydantic import BaseModel, Field

from infra.http.problems import ProblemError
from infra.http.routes import JSON, Routes, example_of, objects

#: Of the document of an experiment.
MOST_BYTES: Final = 64 * 1024


class Changed(BaseModel):
    """An experiment to put in the place of the one that stands."""

    model_config = example_of(
        {
            "experiment": {"arms": {"control": {"share": 0.9}, "saves": {"weights": {"save": 4}}}},
            "who": "ann",
        }
    )

    experiment: Annotated[dict[str, Any], Field(description="Arms by name, and the salt.")]
    who: Annotated[str, Field(max_length=200, description="Who changes it, for the history.")] = (
        "http"
    )


class Office(Protocol):
    """Where versions and the experiment are kept."""

    async def versions(self, kind: str | None) -> dict[str, Any]:
        """What is stored and what is live; ValueError: there is no such kind."""
        ...

    def experiment(self) -> dict[str, Any]:
        """The experiment that is served here, and why a newer one is not."""
        ...

    async def set_experiment(self, who: str, document: bytes) -> dict[str, Any]:
        """Replace the experiment; ValueError says what is wrong with it."""
        ...

    async def history(self, most: int) -> list[Mapping[str, Any]]:
        """The newest changes of the experiment, newest first."""
        ...

    def outcomes(self) -> dict[str, Any]:
        """What came of the arms, as it was found last; it is found anew behind the answer."""
        ...


_VERSION: Final[dict[str, Any]] = {
    "kind": "rankers",
    "version": "rankers-3d5aee48b7cd",
    "created_ms": 1700000000000,
    "bytes": 812345,
    "live": True,
    "previous": None,
    "announced_ms": 1700000001000,
    "reason": "first",
    "decision": None,
    "figures": {"auc_like": 0.71},
}
_VERSIONS: Final = {"versions": [_VERSION], "live": {"rankers": "rankers-3d5aee48b7cd"}}
_ARMS: Final[dict[str, Any]] = {
    "salt": "explore",
    "arms": {"control": {"share": 0.9}, "saves": {"share": 0.1, "weights": {"save": 4}}},
}
_HISTORY: Final = {"changes": [{"at_ms": 1700000000000, "who": "ann", "old": None, "new": _ARMS}]}
_RATE: Final = {"count": 812, "rate": 0.0203, "low": 0.0189, "high": 0.0218}
_OUTCOMES: Final = {
    "outcomes": {
        "at_ms": 1700000000000,
        "since_ms": 1699395200000,
        "arms": {
            "control": {
                "arm": {"share": 0.9},
                "viewers": 3610,
                "impressions": 40025,
                "explored": 1611,
                "like": _RATE,
            },
            "saves": {
                "arm": {"share": 0.1, "weights": {"save": 4}},
                "viewers": 402,
                "impressions": 4475,
                "explored": 180,
                "like": {
                    "count": 95,
                    "rate": 0.0212,
                    "low": 0.0172,
                    "high": 0.0261,
                    "against_control": {"difference": 0.0009, "low": -0.0034, "high": 0.006},
                },
            },
        },
        "unmatched": 12,
        "skipped": 0,
        "refused": None,
    },
    "reading_since_ms": None,
    "problem": None,
}

Kind = Annotated[str | None, Query(description="`ig2vec`, `rankers` or `items`; all by default.")]
Most = Annotated[int, Query(ge=1, le=1000, description="Most changes told.")]


def administration_routes(office: Office) -> Routes:
    """Versions of what was learned, and the experiment."""
    routes = Routes("administration")

    @routes.get("/v1/versions", response_class=Response, responses=objects(_VERSIONS, 422))
    async def versions(kind: Kind = None) -> Response:
        """Every stored version with the figures of its gate, and which ones are live."""
        try:
            return _answer(await office.versions(kind))
        except ValueError as error:
            raise ProblemError(422, str(error)) from error

    @routes.get(
        "/v1/experiments",
        response_class=Response,
        responses=objects({"experiment": _ARMS, "refused": None}),
    )
    async def experiments() -> Response:
        """The experiment as it is served here, and why a newer one is not, if so."""
        return _answer(office.experiment())

    @routes.put("/v1/experiments", response_class=Response, responses=objects(_ARMS, 400, 422))
    async def set_experiments(changed: Changed) -> Response:
        """Replace the experiment; every ranker follows within a second."""
        document = msgspec.json.encode(changed.experiment)
        if len(document) > MOST_BYTES:
            raise ProblemError(413, f"an experiment has at most {MOST_BYTES} bytes")
        try:
            return _answer(await office.set_experiment(changed.who, document))
        except ValueError as error:
            raise ProblemError(400, str(error)) from error

    @routes.get(
        "/v1/experiments/history", response_class=Response, responses=objects(_HISTORY, 422)
    )
    async def experiments_history(most: Most = 20) -> Response:
        """The newest changes of the experiment, its weights included, newest first."""
        return _answer({"changes": await office.history(most)})

    @routes.get("/v1/experiments/outcomes", response_class=Response, responses=objects(_OUTCOMES))
    async def experiments_outcomes() -> Response:
        """What came of what each arm showed in the last 7 days: rates with 95 % intervals.

        Read from the log behind the answer: ask again while `reading_since_ms` is not null.
        """
        return _answer(office.outcomes())

    return routes


def _answer(told: Any) -> Response:
    return Response(msgspec.json.encode(told), media_type=JSON)
