"""``freshgrid embed-images``: pictures → vectors, for ``image_embedding`` of ``catalog.media``.

No process of the stack fetches pictures. Whoever sends the catalogue embeds them with this command
or with a model of their own.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from infra.errors import FreshgridError, SettingsError
from streams.cli.common import load_settings
from streams.cli.paths import file_to_read, to_read
from streams.clock import now_ms

if TYPE_CHECKING:
    from infra.config import Settings
    from models.inventory.image import ImageEmbedder

BATCH: Final = 16
#: Digits of a number in JSON; float32 has about seven, and cosines do not need more than four.
DIGITS: Final = 5

logger = logging.getLogger(__name__)


class ImageCommandError(FreshgridError):
    """What was asked to be embedded cannot be read."""


class Picture(NamedTuple):
    """A picture to embed.

    Attributes:
        url: a path or anything that fsspec opens.
        record: what its vector is added to.
    """

    url: str
    record: dict[str, Any]


def embed_images(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(callback=to_read, help="Pictures, or folders of them."),
    ] = None,
    media: Annotated[
        Path | None,
        typer.Option(
            callback=file_to_read,
            help="Instead: records of catalog.media, JSON lines, embedded by image_url.",
        ),
    ] = None,
    send: Annotated[
        bool, typer.Option("--send", help="Send the records to catalog.media.")
    ] = False,
) -> None:
    """Embed pictures; prints JSON lines with image_embedding, or sends them. Extra: images."""
    if bool(paths) == bool(media) or (send and media is None):
        raise SettingsError("give pictures, or --media FILE (with or without --send)")
    out = None if send else sys.stdout
    if media is None:
        counts = write_embedded(load_settings(), pictures_of_paths(paths or ()), out)
    else:
        with media.open(encoding="utf-8") as lines:
            counts = write_embedded(load_settings(), pictures_of_media(lines, str(media)), out)
    print(f"{counts['embedded']} of {counts['records']} embedded", file=sys.stderr)


def pictures_of_paths(paths: Iterable[Path]) -> Iterator[Picture]:
    """Files, and all files directly in folders."""
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if file.is_file():
                yield Picture(str(file), {"path": str(file)})


def pictures_of_media(lines: Iterable[str], name: str) -> Iterator[Picture]:
    """Records of ``catalog.media`` with an ``image_url``, one JSON object a line; others are kept.

    Raises:
        ImageCommandError: a line is no such record.
    """
    import msgspec

    from models.events import InvalidEventError, parse_media

    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            media = parse_media(line.encode(), now_ms())
        except InvalidEventError as error:
            raise ImageCommandError(f"{name}:{number} is no media: {error}") from error
        yield Picture(media.image_url or "", msgspec.json.decode(line))


def embed(pictures: Iterable[Picture], embedder: ImageEmbedder) -> Iterator[dict[str, Any]]:
    """The records with ``image_embedding``; without it where there is no picture, or a bad one."""
    waiting = iter(pictures)
    while batch := list(islice(waiting, BATCH)):
        found: list[tuple[dict[str, Any], bytes]] = []
        for picture in batch:
            picture.record.pop("image_embedding", None)
            data = _read(picture.url) if picture.url else None
            if data is not None:
                found.append((picture.record, data))
        _add_vectors(found, embedder)
        for picture in batch:
            yield picture.record


def _add_vectors(found: list[tuple[dict[str, Any], bytes]], embedder: ImageEmbedder) -> None:
    from models.inventory.image import ImageError

    try:
        vectors_nd = embedder.embed([data for _, data in found])
    except ImageError as error:
        if len(found) == 1:
            logger.warning("%s is left without a vector: %s", found[0][0], error)
            return
        # One by one, so that a bad one costs the others nothing.
        for one in found:
            _add_vectors([one], embedder)
        return
    for (record, _), vector_d in zip(found, vectors_nd, strict=True):
        record["image_embedding"] = [round(value, DIGITS) for value in vector_d.tolist()]


def _read(url: str) -> bytes | None:
    import fsspec

    try:
        with fsspec.open(url, "rb") as file:
            data: bytes = file.read()
            return data
    except (OSError, ValueError, ImportError) as error:
        logger.warning("%s cannot be read: %s", url, error)
        return None


def write_embedded(
    settings: Settings,
    pictures: Iterable[Picture],
    out: IO[str] | None,
    embedder: ImageEmbedder | None = None,
) -> dict[str, int]:
    """Embed, and write JSON lines to `out`, or send them to ``catalog.media`` where it is None.

    Raises:
        ImageCommandError: a record cannot be sent or read.
        MissingExtraError: the extra ``images`` is not installed.
        UnreachableError: Kafka does not answer.
    """
    import asyncio

    import msgspec

    if embedder is None:
        from infra.efficientnet import EfficientNetLite0

        embedder = EfficientNetLite0()
    counts = {"records": 0, "embedded": 0}

    def counted() -> Iterator[dict[str, Any]]:
        for record in embed(pictures, embedder):
            counts["records"] += 1
            counts["embedded"] += "image_embedding" in record
            yield record

    if out is not None:
        for record in counted():
            print(msgspec.json.encode(record).decode(), file=out)
    else:
        asyncio.run(_send(settings, counted()))
    return counts


async def _send(settings: Settings, records: Iterable[dict[str, Any]]) -> None:
    import msgspec

    from infra.batch_sender import send_in_batches
    from infra.kafka import Message, prepare_cluster
    from models.events import MEDIA_TOPIC

    await prepare_cluster(settings)
    messages = (
        Message(MEDIA_TOPIC, record["media_id"], msgspec.json.encode(record)) for record in records
    )
    await send_in_batches(settings, messages)
