"""What an editor of queries is told."""

from __future__ import annotations

import msgspec

from infra.config import Settings
from infra.http.igql import IgqlReference, igql_routes
from models.igql.library import operators
from models.queries import explore_text
from streams.serving.igql_reference import Language
from streams.serving.live_queries import LiveQueries
from tests.http import client_of

LANGUAGE = Language(LiveQueries(Settings(), operators))


async def test_operators_and_live_queries_are_told_over_http() -> None:
    async with client_of(igql_routes(LANGUAGE)) as client:
        answer = await client.get("/v1/igql")
    told = msgspec.json.decode(answer.content, type=IgqlReference)
    assert [one.name for one in told.operators] == [one.name for one in operators]
    assert told.queries == {"explore": explore_text()}


def test_what_an_operator_takes_and_gives() -> None:
    named = {one.name: one for one in LANGUAGE.reference().operators}
    popular, take = named["popular"], named["take"]
    assert (popular.takes, popular.gives) == (["viewer"], "media")
    # It gives what it took.
    assert take.gives is None
    assert set(take.takes) == {"accounts", "media"}
    [parameter] = [one for one in popular.parameters if one.name == "max_num_to_retrieve"]
    assert parameter.wants == "a whole number"
    assert isinstance(parameter.default, int)
    [method] = [one for one in named["diversify_by"].parameters if one.name == "method"]
    assert "round_robin" in method.choices
