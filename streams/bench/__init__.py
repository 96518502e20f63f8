"""Benchmarks: commands that measure and give figures; nothing is asserted."""

from __future__ import annotations

import os
import platform
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from infra.config import Settings

#: Name → what it measures. The module of the same name has ``run(settings) -> figures``.
BENCHES: Final = {
    "freshness": "like → changed grid readable in Redis, over 200 likes on an idle stack",
    "demo": "seconds until the first grid of the demo's stack, start of the servers included",
}


def run_bench(name: str, settings: Settings) -> dict[str, Any]:
    """Run one of :data:`BENCHES`."""
    figures: dict[str, Any] = import_module(f"streams.bench.{name}").run(settings)
    return {"bench": name, "figures": figures, "machine": machine()}


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
