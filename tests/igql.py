"""Operators as the library declares them, without kernels: what queries are checked against."""

from typing import Any

from models.igql.environment import Environment
from models.igql.registry import (
    ColumnType,
    Cost,
    Kind,
    Operator,
    Parameter,
    Registry,
    SetType,
    choice,
    count,
    named,
    number,
)

V, A, M = SetType.VIEWER, SetType.ACCOUNTS, SetType.MEDIA
operators = Registry()


def _add(name: str, takes: SetType, gives: SetType, *parameters: Parameter, **more: Any) -> None:
    def cost(rows: float, arguments: Any) -> Cost:
        if name == "take":
            return Cost(min(rows, arguments["count"]), 5.0)
        if name == "account_nn":
            return Cost(arguments["max_num_to_retrieve"], 40 + 15 * rows)
        if name == "posted_media":
            return Cost(rows * arguments["max_media_per_account"], 30.0)
        return Cost(arguments.get("max_num_to_retrieve", rows), 20.0 + 0.1 * rows)

    def kernel(*_: Any) -> None: ...

    operators.add(Operator(name, takes, gives, parameters, cost, kernel, "An operator.", **more))


for source, default, most in [
    ("liked", 30, 300), ("saved", 30, 300), ("engaged", 30, 300),
    ("popular", 100, 10_000), ("fresh", 100, 10_000), ("two_tower", 100, 1000),
]:  # fmt: skip
    limit = count("max_num_to_retrieve", default=default, most=most)
    _add(source, V, M, limit, source=True)
_add("followed", V, A, count("max_num_to_retrieve", default=100, most=1000), source=True)
_add("authors", M, A)
_add(
    "account_nn", A, A, named("embedding_config", "embedding"),
    count("max_num_to_retrieve", default=400, most=5000), source=True,
)  # fmt: skip
_add("posted_media", A, M, count("max_media_per_account", default=10, most=1000))
_add("co_engaged", M, M, count("max_num_to_retrieve", default=200, most=5000), source=True)
_add("similar_image", M, M, count("max_num_to_retrieve", default=200, most=5000), source=True)
_add("let", M, M, Parameter("bindings", Kind.BINDINGS, required=True), keeps=(V, A))
_add(
    "filter", M, M, Parameter("predicates", Kind.PREDICATES),
    *(number(n, low=0.0, high=1.0) for n in (
        "non_recommendable_model_threshold", "nsfw", "spam", "misinformation")),
    Parameter("language", Kind.TEXT), number("max_age_hours", low=0.0), removes_only=True,
)  # fmt: skip
for name in ("exclude_seen", "exclude_suppressed", "exclude_followed"):
    _add(name, M, M, removes_only=True)
_add("exclude_own_accounts", M, M, count("newest", default=40, most=300), removes_only=True)
_add("take", M, M, count("count"), keeps=(A,))
_add("rank", M, M, named("ranking_model", "model"))
_add(
    "diversify_by", M, M,
    Parameter("column", Kind.COLUMN, required=True, column_types=(ColumnType.ID, ColumnType.TEXT)),
    choice("method", ("round_robin", "penalty", "mmr"), default="round_robin"),
    number("strength", default=0.5, low=0.0, high=1.0),
)  # fmt: skip

ENVIRONMENT = Environment(operators)
