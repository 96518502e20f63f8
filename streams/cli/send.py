"""``freshgrid send``: one event by hand."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from infra.errors import FreshgridError
from models.actions import FOLLOW_TOPIC, MEDIA_EVENT_TOPIC_OF
from models.events import Relation
from streams.cli.common import Json, load_settings, show

if TYPE_CHECKING:
    from infra.config import Settings

RELATIONS: Final = tuple(Relation)
ACTIONS: Final = (*MEDIA_EVENT_TOPIC_OF, *RELATIONS)
#: A broker that takes longer to acknowledge one record is not there.
ACKNOWLEDGED_TIMEOUT_S: Final = 15.0


class RefusedEventError(FreshgridError):
    """The event would be dead-lettered."""

    exit_code = 2


def send(
    action: Annotated[str, typer.Argument(help=", ".join(ACTIONS))],
    viewer: Annotated[str, typer.Option(help="Who does it.")],
    media: Annotated[str | None, typer.Option(help="To which media.")] = None,
    author: Annotated[
        str | None, typer.Option(help="Its author, if the catalogue does not know; whom to follow.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the action back.")] = False,
    json: Json = False,
) -> None:
    """Send one event, as a producer would."""
    if action not in ACTIONS:
        raise RefusedEventError(f"there is no event {action!r}; send {', '.join(ACTIONS)}")
    relation = action in RELATIONS
    sent = send_event(
        load_settings(),
        FOLLOW_TOPIC if relation else MEDIA_EVENT_TOPIC_OF[action],
        viewer,
        media_id=media,
        author_id=author,
        kind=action if relation else None,
        undo=undo,
    )
    show(sent, as_json=json)


def send_event(settings: Settings, topic: str, viewer_id: str, **fields: Any) -> dict[str, Any]:
    """Send one event that happens now; returns it and where it stands in the log.

    Raises:
        RefusedEventError: the event is not valid.
        UnreachableError: no broker takes it.
    """
    import msgspec
    from kafka.errors import KafkaError

    from infra.kafka_clients import plain_producer
    from infra.refusals import kafka_unreachable
    from models.events import InvalidEventError, parse_event
    from streams.clock import now_ms

    event = {
        "event_id": uuid.uuid4().hex,
        "viewer_id": viewer_id,
        "ts": now_ms(),
        **{name: value for name, value in fields.items() if value},
    }
    value = msgspec.json.encode(event)
    try:
        parse_event(topic, value, now_ms())
    except InvalidEventError as error:
        raise RefusedEventError(str(error)) from error
    try:
        producer = plain_producer(settings, acks="all", max_request_size=settings.max_message_bytes)
        try:
            future = producer.send(topic, key=viewer_id.encode(), value=value)
            sent = future.get(ACKNOWLEDGED_TIMEOUT_S)
        finally:
            producer.close()
    except (KafkaError, OSError) as error:
        raise kafka_unreachable(settings, "does not take the event", error) from error
    return {"topic": topic, "partition": sent.partition, "offset": sent.offset, "event": event}
