"""A process that notes, at the client libraries, what it reads, writes and stores.

``python -m tests.integration.recording FILE role ROLE`` or ``… FILE command ARGUMENTS`` appends to
the file, one JSON list a line: ``["reads", topic, consumer group or null]``, ``["writes", topic]``
or ``["stores", key]``.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import aiokafka
from redis.asyncio.client import Pipeline

from infra.redis_bulk import BulkConnection
from infra.redis_store import DRAFT

#: Commands that change nothing, and those that belong to the connection.
READING = {
    *("GET", "EXISTS", "LRANGE", "ZSCORE", "ZRANGEBYSCORE", "ZCARD", "HGETALL", "HMGET", "TTL"),
    *("DUMP", "PTTL"),
    *("SCAN", "FUNCTION", "WATCH"),
}
NAMES = (
    (r"(viewer|grid|damaged):\{.*\}", r"\1:{VIEWER}"),
    (r"pages:\{.*\}:[0-9a-f]+", "pages:{VIEWER}:SERIES"),
    (r"(author|parked):\{.*\}", r"\1:{MEDIA}"),
    (r"letters:sent:\{.*\}", "letters:sent:{LOG}"),
)


def noted(file: Path) -> set[tuple[str, ...]]:
    """What a process has noted so far."""
    return {tuple(json.loads(line)) for line in file.read_text().splitlines()}


def record(file: Path) -> None:
    """Note from here on what the client libraries of this process are asked for."""
    noted: set[tuple] = set()
    out = file.open("a")

    def note(*what) -> None:
        if what not in noted:
            noted.add(what)
            print(json.dumps(what), file=out, flush=True)

    def before(owner, name, look) -> None:
        call = getattr(owner, name)

        def noting(self, *args, **kwargs):
            look(self, *args, **kwargs)
            return call(self, *args, **kwargs)

        setattr(owner, name, noting)

    def subscribed(consumer, topics=(), **_) -> None:
        for topic in topics:
            note("reads", topic, consumer._group_id)

    def assigned(consumer, partitions) -> None:
        subscribed(consumer, {partition.topic for partition in partitions})

    def command(_, name, *args, **__) -> None:
        if name.upper() in READING:
            return
        keys = args[2 : 2 + args[1]] if name == "FCALL" else args[:1]
        if name == "UNLINK":
            keys = args
        if name == "COPY":
            keys = args[:2]
        if name in ("EXPIRE", "PERSIST", "LTRIM", "PUBLISH"):
            keys = ()
        for key in keys:
            text = key.decode() if isinstance(key, bytes) else key
            text = text.removeprefix(DRAFT)
            for pattern, named in NAMES:
                text = re.sub(f"^{pattern}$", named, text)
            note("stores", text)

    def exchanged(connection, commands) -> None:
        for name, *args in commands:
            command(connection, name, *args)

    before(aiokafka.AIOKafkaConsumer, "subscribe", subscribed)
    before(aiokafka.AIOKafkaConsumer, "assign", assigned)
    before(aiokafka.AIOKafkaProducer, "send", lambda _, topic, *a, **k: note("writes", topic))
    before(
        aiokafka.AIOKafkaProducer,
        "send_batch",
        lambda _, batch, topic, **k: note("writes", topic),
    )
    before(BulkConnection, "exchange", exchanged)
    before(Pipeline, "execute_command", command)


if __name__ == "__main__":
    file, what, *arguments = sys.argv[1:]
    record(Path(file))
    if what == "role":
        from streams.app import run

        raise SystemExit(run(arguments[0]))
    from streams.cli import main

    sys.argv[1:] = arguments
    main()
