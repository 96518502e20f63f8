"""Benchmarks: commands that measure and give figures; nothing is asserted."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, Final

from infra.config import Settings
from infra.errors import SettingsError

#: Name → what it measures. The module of the same name has ``run(settings, **options) -> figures``;
#: its keyword-only arguments are the options that the benchmark takes.
BENCHES: Final = {
    "ingest": "events per second through one worker, stock Faust and aiokafka alone",
    "growth": "events per second of one worker at 10,000 and at 1,000,000 viewers in Redis",
    "memory": "bytes in Redis per viewer and per grid, and keys without a time to live",
    "freshness": "like → changed grid readable in Redis, idle or under a steady load",
    "igql": "the default query: one viewer, a batch, ten times the media, and plain Python",
    "grid": "viewer state → 25 ranked items: one viewer, a batch, and beside the networks alone",
    "funnel": "what the first two passes keep of the final pass's best, on recorded events",
    "embeddings": "account vectors learned from the stream beside full fits and gensim, by topic",
    "quality": "grids of the bundled events beside baselines, static, with a fixed seed",
    "retrieval": "searches of the account index against a scan, and while it changes",
    "training": "the final pass learning from a stream beside frozen and simple ones; its speed",
    "demo": "seconds until the first grid of the demo's stack, start of the servers included",
}


def run_bench(
    name: str, settings: Settings, options: Mapping[str, int | str | Path | None] = {}
) -> dict[str, Any]:
    """Run one of :data:`BENCHES`.

    Args:
        options: what to measure otherwise than by default; None where nothing was asked for.

    Raises:
        SettingsError: the benchmark does not take one of the options.
    """
    run = import_module(f"streams.bench.{name}").run
    given = {option: value for option, value in options.items() if value is not None}
    taken = [p.name for p in signature(run).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for option in given:
        if option not in taken:
            raise SettingsError(
                f"benchmark {name} does not take {_flag(option)}"
                f"; its options are {', '.join(map(_flag, taken)) or 'none'}"
            )
    figures: dict[str, Any] = run(settings, **given)
    return {"bench": name, "figures": figures, "machine": machine()}


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


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
