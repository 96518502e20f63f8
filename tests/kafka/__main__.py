"""Runs a command with an Apache Kafka of its own, named in ``KAFKA_BOOTSTRAP_SERVERS``.

$ python -m tests.kafka freshgrid bench freshness --background 5000 --json
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.kafka.apache_kafka import ApacheKafka, apache_kafka_missing


def main(command: list[str]) -> int:
    """Run the command to its end; returns its exit code."""
    if not command:
        print("say what to run: python -m tests.kafka COMMAND…", file=sys.stderr)
        return 2
    if reason := apache_kafka_missing(lambda line: print(line, file=sys.stderr)):
        print(f"Apache Kafka cannot be had: {reason}", file=sys.stderr)
        return 1
    with (
        tempfile.TemporaryDirectory(prefix="freshgrid-kafka-") as folder,
        ApacheKafka(Path(folder)) as kafka,
    ):
        env = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
        return subprocess.run(command, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
