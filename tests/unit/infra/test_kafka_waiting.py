from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    NodeNotReadyError,
    TopicAuthorizationFailedError,
)

from infra import kafka_waiting
from infra.errors import UnreachableError
from infra.kafka_waiting import connect, once_there

AWAY = (
    KafkaConnectionError("closed"),
    NodeNotReadyError(),
    ConnectionRefusedError(111, "refused"),
    TimeoutError(),
    UnreachableError("no broker answers"),
)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_waiting, "FIRST_PAUSE_S", 0.0)


def failing(*errors: Exception) -> Callable[[], Awaitable[str]]:
    left = list(errors)

    async def attempt() -> str:
        if left:
            raise left.pop(0)
        return "there"

    return attempt


async def test_whatever_says_that_kafka_is_away_is_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await once_there(failing(*AWAY)) == "there"
    [said] = caplog.messages  # once in ten seconds
    assert said.startswith("waiting for Kafka: ")


async def test_what_has_no_text_is_named(caplog: pytest.LogCaptureFixture) -> None:
    await once_there(failing(TimeoutError()))
    assert caplog.messages == ["waiting for Kafka: TimeoutError()"]


@pytest.mark.parametrize(
    "error", [TopicAuthorizationFailedError("no"), ValueError("no"), PermissionError("no")]
)
async def test_what_no_waiting_helps_against_is_raised(error: Exception) -> None:
    with pytest.raises(type(error)):
        await once_there(failing(error))


async def test_a_wait_can_be_interrupted() -> None:
    async def never() -> str:
        raise KafkaConnectionError

    waiting = asyncio.ensure_future(once_there(never))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


class Starting:
    """A client whose start asks a broker, and is done when that answers."""

    def __init__(self) -> None:
        self.answer = asyncio.Event()
        self.seen = ""

    async def start(self) -> None:
        try:
            await self.answer.wait()
            self.seen = "started"
        except asyncio.CancelledError:
            self.seen = "cut off"
            raise


async def test_a_start_that_is_given_up_is_finished_first() -> None:
    client = Starting()
    connecting = asyncio.ensure_future(connect(client))
    await asyncio.sleep(0)
    connecting.cancel()
    await asyncio.sleep(0)
    assert not connecting.done()
    client.answer.set()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert client.seen == "started"


async def test_but_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_waiting, "START_OVER_S", 0.01)
    client = Starting()
    connecting = asyncio.ensure_future(connect(client))
    await asyncio.sleep(0)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert client.seen == "cut off"


async def test_a_start_that_fails_says_so() -> None:
    class Failing:
        async def start(self) -> None:
            raise KafkaConnectionError("closed")

    with pytest.raises(KafkaConnectionError):
        await connect(Failing())
