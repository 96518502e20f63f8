"""Stands in for a role of the stack: says what it was given, then does what it was told."""

import os
import sys
import time
from pathlib import Path

role, folder, behaviour = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
names = ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "HTTP_PORT", "ARTIFACTS_URL", "PARTITIONS")
given = "\n".join(f"{name}={os.environ.get(name)}" for name in (*names, "OMP_NUM_THREADS"))
(folder / role).write_text(f"{os.getpid()}\n{given}\n")
if behaviour == f"{role} fails":
    sys.exit(f"{role} cannot work")
print("ready", flush=True)
time.sleep(600)
