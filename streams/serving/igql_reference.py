"""Operators and live queries, as an editor wants them."""

from __future__ import annotations

from infra.http.igql import IgqlReference, OperatorRecord, ParameterRecord
from models.igql.registry import Operator, Parameter
from streams.serving.live_queries import LiveQueries


class Language:
    """What queries may be made of in this process.

    Args:
        queries: those that serve, and the operators they may name.
    """

    def __init__(self, queries: LiveQueries) -> None:
        self._queries = queries

    def reference(self) -> IgqlReference:
        """Operators and live queries, as they are now."""
        return IgqlReference(
            [_operator(one) for one in self._queries.operators], self._queries.texts()
        )


def _operator(operator: Operator) -> OperatorRecord:
    return OperatorRecord(
        name=operator.name,
        takes=[one.value for one in (operator.takes, *operator.keeps)],
        gives=None if operator.keeps else operator.gives.value,
        summary=operator.summary,
        parameters=[_parameter(one) for one in operator.parameters],
    )


def _parameter(parameter: Parameter) -> ParameterRecord:
    default = parameter.default
    return ParameterRecord(
        name=parameter.name,
        wants=parameter.kind.value,
        required=parameter.required,
        default=default if isinstance(default, bool | int | float | str) else None,
        choices=list(parameter.choices),
    )
