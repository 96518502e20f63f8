"""Commands that connect to Kafka by themselves say that they wait, and do not wait for long."""

import os
import subprocess
import sys
import time

import pytest

from infra.supervisor import free_port
from tests.paths import ROOT

#: The command line, less patient. In a process of its own: the library leaves sockets open that it
#: could not connect.
PROGRAM = """
from infra import kafka_clients, kafka_waiting
from streams.cli import main
kafka_clients.CONNECT_TIMEOUT_S = 0.5
kafka_waiting.TELL_FIRST_S = 0.05
main()
"""


@pytest.mark.parametrize("arguments", ["send like --viewer v --media m --author a", "acls --apply"])
def test_an_absent_broker_is_waited_for_in_words_and_given_up(arguments: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments.split()],
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": address},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    # The library's own limit is half a minute.
    assert time.monotonic() - began < 25
    assert done.returncode == 1
    first, last = done.stderr.splitlines()
    assert first == f"waiting for Kafka at {address}, for 0.5 s at most"
    assert last.startswith("freshgrid: Kafka ")
    assert f"at {address} (" in last
    assert "check KAFKA_BOOTSTRAP_SERVERS" in last
