"""Parameters that several routes take, checked and bounded."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import Path, Query
from pydantic import AfterValidator

from models.events import MAX_ID_BYTES

#: Ids named in one request at most.
MOST_IDS: Final = 100


def _an_id(text: str) -> str:
    """Refuse what no event may carry."""
    if not 0 < len(text.encode()) <= MAX_ID_BYTES:
        raise ValueError(f"an id has 1 to {MAX_ID_BYTES} bytes; this one has {len(text.encode())}")
    return text


def _maybe_an_id(text: str | None) -> str | None:
    return text if text is None else _an_id(text)


_IS: Final = f"1 to {MAX_ID_BYTES} bytes, URL-encoded."

#: Of a body.
Id = Annotated[str, AfterValidator(_an_id)]
PathId = Annotated[str, Path(description=f"The id, {_IS}"), AfterValidator(_an_id)]
ViewerQuery = Annotated[
    str,
    Query(alias="viewer_id", description=f"The viewer's id, {_IS}"),
    AfterValidator(_an_id),
]
MaybeId = Annotated[str | None, Query(description=f"An id, {_IS}"), AfterValidator(_maybe_an_id)]
Ids = Annotated[
    list[Id],
    Query(max_length=MOST_IDS, description=f"Ids, the parameter once for each; up to {MOST_IDS}."),
]
#: All that there is of a page, or the media ids without what decided them.
Fields = Annotated[
    Literal["all", "ids"],
    Query(description="`ids`: the media ids alone, without what decided them."),
]
CursorText = Annotated[
    str | None,
    Query(max_length=2048, description="`next` of the page before; none for the first page."),
]
AfterText = Annotated[
    str | None,
    Query(
        max_length=MAX_ID_BYTES,
        description="`next` of the page before; none for the first page.",
    ),
]
Limit = Annotated[int, Query(ge=1, le=100, description="Most of them in one answer.")]
