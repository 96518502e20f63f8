"""Columns by name, and predicates on them as masks."""

from __future__ import annotations

import operator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.arrays.id_table import hash_id
from models.arrays.types import Mask
from models.events import HOUR_MS
from models.features.assembly import Assembly
from models.features.candidates import Candidates
from models.igql.execution import Execution
from models.igql.registry import SetType
from models.igql.sets import ColumnSet
from models.igql.tree import AllOf, AnyOf, Comparison, Not, Predicate, Text

_COMPARE: Final = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
#: No row, code or hash: what no id compares equal to.
_NOTHING: Final = -2


def column(execution: Execution, rows: ColumnSet, name: str) -> NDArray[Any]:
    """The values of a column: numbers, or the codes that texts and ids stand for."""
    if name in rows.columns:
        return rows.columns[name].value_n
    catalog, row_n = execution.world.catalog, rows.row_n
    match name, rows.type:
        case "user_id", SetType.VIEWER:
            hash_v = np.array([viewer.viewer_hash for viewer in execution.viewers], np.int64)
            return hash_v[row_n]
        case "user_id", SetType.MEDIA:
            return execution.authors(rows)
        case ("media_id", _) | ("user_id", _):
            return row_n
        case "seed", _:
            return rows.seed_n
        case "score", _:
            return rows.score_n
        case "rank", _:
            return rows.rank_n
        case "source", _:
            return rows.source_n
        case "media_age_hours", _:
            return np.maximum(execution.now_ms - catalog.created_ts_n[row_n], 0) / HOUR_MS
        case "language", _:
            return catalog.language_n[row_n]
        case "topic", _:
            return catalog.topic_n[row_n]
        case "nsfw", _:
            return catalog.nsfw_n[row_n]
        case "spam", _:
            return catalog.spam_n[row_n]
        case "misinformation", _:
            return catalog.misinformation_n[row_n]
        case _:
            return assembly(execution, rows).column(name)


def assembly(execution: Execution, media: ColumnSet) -> Assembly:
    """Features of media, of each for its viewer."""
    viewers = execution.viewers
    sizes_v = np.diff(media.bounds(len(viewers)))
    found = candidates(execution, media, slice(None))
    return Assembly.of(viewers, found, sizes_v, execution.world, execution.now_ms)


def candidates(execution: Execution, media: ColumnSet, span: slice) -> Candidates:
    """The rows of `span` as candidates, with how each was found."""
    return Candidates(
        media.row_n[span],
        media.source_n[span],
        media.seed_n[span],
        media.score_n[span],
        media.rank_n[span],
        tuple(execution.sources),
    )


def holds(execution: Execution, media: ColumnSet, predicate: Predicate) -> Mask:
    """Where a predicate is true."""
    match predicate:
        case Not(of=part):
            return ~holds(execution, media, part)
        case AllOf(parts=parts):
            every: Mask = np.all([holds(execution, media, part) for part in parts], axis=0)
            return every
        case AnyOf(parts=parts):
            some: Mask = np.any([holds(execution, media, part) for part in parts], axis=0)
            return some
        case Comparison(left=left, sign=sign, right=right):
            value = (
                _code(execution, media, left.value, right.value)
                if isinstance(right, Text)
                else right.value
            )
            found: Mask = _COMPARE[sign](column(execution, media, left.value), value)
            return found


def _code(execution: Execution, media: ColumnSet, name: str, text: str) -> int:
    """What a text stands for in a column; a number that no row has where it is unknown."""
    catalog = execution.world.catalog
    if name in media.columns:
        name = media.columns[name].means
    match name:
        case "language":
            return catalog.language_code(text)
        case "topic":
            return catalog.topic_code(text)
        case "source":
            return execution.sources.index(text) if text in execution.sources else _NOTHING
        case "media_id":
            code = int(catalog.media_rows([text])[0])
        case "viewer":
            return hash_id(text)
        case _:
            code = int(catalog.author_rows([text])[0])
    return code if code >= 0 else _NOTHING
