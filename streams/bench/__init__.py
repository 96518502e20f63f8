"""Benchmarks: commands that measure and give figures.

They must not know which figures are good enough: nothing is asserted. Only the command line imports
them.

A benchmark is a module here and a line in :data:`BENCHES`. The module has a function
``run(settings, **options) -> figures``. Keyword-only arguments are the options of its command, each
annotated with a :class:`msgspec.Meta`: ``description`` is the help, ``ge`` the least value.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

#: Name of the benchmark and, with underscores, of its module → what it measures.
BENCHES: Final = {
    "ingest": "events per second through one worker, stock Faust and aiokafka alone",
    "growth": "events per second of one worker at 10,000 and at 1,000,000 viewers in Redis",
    "memory": "bytes in Redis per viewer and per grid, and keys without a time to live",
    "freshness": "like → changed grid readable in Redis, idle or under a steady load",
    "http": "ready grids over HTTP, asked by wrk, beside an empty answer of the same size",
    "takedown": "seconds until what must not be shown is gone from 10,000 ready grids",
    "igql": "the default query: one viewer, a batch, ten times the media, and plain Python",
    "grid": "viewer state → 25 ranked items: one viewer, a batch, and beside the networks alone",
    "funnel": "what the first two passes keep of the final pass's best, on recorded events",
    "embeddings": "account vectors learned from the stream beside full fits and gensim, by topic",
    "quality": "grids of the bundled events beside baselines, static, with a fixed seed",
    "retrieval": "searches of the account index against a scan, and while it changes",
    "training": "the final pass learning from a stream beside frozen and simple ones; its speed",
    "learner": "labelled pages per second that a learner with a full room takes in",
    "sessions": "viewers per second that one worker looks at for sessions that have closed",
    "start": "a ranker's start from a snapshot of its world beside reading everything",
    "simulator": "steps per second of the closed loop in a simulated world, in one process",
    "tune": "what a search of settings finds beside a dense grid, where the truth is known",
    "off-policy": "estimates of weightings from random orders beside the truth; Open Bandit",
    "page": "first paint of the page, and like → changed tiles on the screen, in Chromium",
    "demo": "seconds until the first grid of the demo's stack, start of the servers included",
}


def load(name: str) -> Callable[..., dict[str, Any]]:
    """The ``run`` of one of :data:`BENCHES`. Its module imports all that it measures."""
    module = import_module(f"streams.bench.{name.replace('-', '_')}")
    run: Callable[..., dict[str, Any]] = module.run
    return run


def machine() -> dict[str, Any]:
    """What a figure depends on beside the code."""
    return {
        "cpus": os.cpu_count(),
        "cpu": _cpu_model(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }


def _cpu_model() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            names = (line.partition(":")[2].strip() for line in lines if "model name" in line)
            return next(names, platform.processor())
    except OSError:
        return platform.processor()
