"""Bodies of requests: read within bounds, and cut into records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import msgspec
from fastapi import Request

from infra.http.problems import ProblemError
from infra.http.routes import JSON

NDJSON: Final = "application/x-ndjson"
#: Of one request whose body is read whole.
MOST_BYTES: Final = 4 * 1024 * 1024
#: Records of one such request.
MOST_RECORDS: Final = 5_000
#: Of a file that is read as it comes: a valid record has less, and one that has more is told so.
MOST_LINE_BYTES: Final = 1024 * 1024

_array = msgspec.json.Decoder(list[msgspec.Raw])


async def read_body(request: Request, most_bytes: int = MOST_BYTES) -> bytes:
    """The whole body.

    Raises:
        ProblemError: it is larger than `most_bytes`.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most_bytes:
            raise ProblemError(413, f"the body has more than {most_bytes} bytes; send less at once")
        parts.append(part)
    return b"".join(parts)


async def lines_of(request: Request, most: int) -> AsyncIterator[list[bytes]]:
    """The lines of a body of NDJSON that are not blank, so many at once, as they come in.

    Raises:
        ProblemError: the body is of another type, or has a line too long to be a record.
    """
    kind = _kind(request)
    if kind != NDJSON:
        raise ProblemError(415, f"Content-Type {kind!r} is not taken; send {NDJSON}")
    left, lines = b"", list[bytes]()
    async for part in request.stream():
        *whole, left = (left + part).split(b"\n")
        lines += [line for line in whole if line.strip()]
        if len(left) > MOST_LINE_BYTES:
            raise ProblemError(
                413, f"a line has more than {MOST_LINE_BYTES} bytes; a record has one of its own"
            )
        while len(lines) >= most:
            yield lines[:most]
            lines = lines[most:]
    if left.strip():
        lines.append(left)
    if lines:
        yield lines


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_records(request: Request) -> list[bytes]:
    """The records of a body: a JSON object, a JSON array, or NDJSON, told by its type.

    They are cut, not checked: each may be anything but white space.

    Raises:
        ProblemError: the body is too large, of another type, empty, or no JSON array.
    """
    kind = _kind(request)
    if kind not in (JSON, NDJSON):
        raise ProblemError(
            415, f"Content-Type {kind!r} is not taken; send {JSON} (an object or an array) or "
            f"{NDJSON} (an object a line)",
        )  # fmt: skip
    body = (await read_body(request)).strip()
    if kind == NDJSON:
        records = [line for line in body.split(b"\n") if line.strip()]
    elif body.startswith(b"["):
        try:
            records = [bytes(raw) for raw in _array.decode(body)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ProblemError(400, f"the body is no JSON array: {error}") from error
    else:
        records = [body] if body else []
    if not 0 < len(records) <= MOST_RECORDS:
        raise ProblemError(
            413 if records else 400,
            f"the body has {len(records)} records; send 1 to {MOST_RECORDS} at once",
        )
    return records
