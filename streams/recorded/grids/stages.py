"""Finished stages of an evaluation, kept in a folder by what they were made of.

A stage's name carries a hash of the data, of its settings and of the source code it depends on, so
a run that was stopped goes on where it was, and a change of the code runs anew what it concerns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

import models
import streams

Arrays = dict[str, NDArray[Any]]

_LEARNING: Final = ("streams/learning", "streams/serving/explorer.py")
#: Rooms that decide examples and vectors; those that decide trained rankers; those of grids, of a
#: stream of them, and of baselines.
EXAMPLES: Final = (
    "models/actions.py", "models/arrays", "models/events.py", "models/feature_schema.py",
    "models/world.py", "models/account_index", "models/inventory", "models/ig2vec",
    "models/viewers", "models/features", "models/examples", "models/item_to_item", "models/igql",
    "models/queries", "streams/recorded/grids/static.py",
)  # fmt: skip
RANKERS: Final = (
    *EXAMPLES, "models/rankers", "models/training", *_LEARNING,
)  # fmt: skip
GRIDS: Final = ("models", "streams/recorded/grids/static.py", *_LEARNING)
STREAM: Final = ("models", "streams/recorded/grids/prequential.py", *_LEARNING)
BASELINES: Final = (
    "models/actions.py", "models/arrays", "models/events.py", "models/evaluation",
    "streams/recorded/grids/baselines.py",
)  # fmt: skip
#: What reads the log and acts production out belongs to each.
_HARNESS: Final = (
    "streams/acted", "streams/recorded/dataset.py", "streams/recorded/grids/production.py",
    "streams/recorded/grids/run.py", "streams/recorded/grids/stage_arrays.py",
    "streams/recorded/grids/task.py",
)  # fmt: skip


class Stages:
    """A folder of finished stages; without a folder nothing is kept.

    Attributes:
        reused: names of stages that were there already.
    """

    def __init__(self, folder: Path | None, key: Sequence[Any]) -> None:
        self._folder, self._key = folder, msgspec.json.encode(list(key))
        self.reused: list[str] = []
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def run(
        self, name: str, rooms: Sequence[str], settings: Sequence[Any], make: Callable[[], Arrays]
    ) -> Arrays:
        """What a stage gave, read from the folder or made now.

        Args:
            rooms: the source code it depends on, folders or files.
            settings: what else it depends on, as JSON goes.
        """
        if self._folder is None:
            return make()
        digest = blake2b(self._key, digest_size=8)
        digest.update(msgspec.json.encode(list(settings)))
        for room in (*rooms, *_HARNESS):
            digest.update(_source_digest(room))
        path = self._folder / f"{name}-{digest.hexdigest()}.npz"
        if path.exists():
            self.reused.append(name)
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        made = make()
        part = path.with_suffix(".part.npz")
        with part.open("wb") as file:
            np.savez(file, allow_pickle=False, **made)
        part.replace(path)
        return made


@cache
def _source_digest(room: str) -> bytes:
    package, _, inside = room.partition("/")
    root = Path(str({"models": models, "streams": streams}[package].__file__)).parent
    at = root / inside if inside else root
    files = sorted(at.rglob("*")) if at.is_dir() else [at]
    digest = blake2b(digest_size=16)
    for file in files:
        if file.suffix in (".py", ".igql"):
            digest.update(str(file.relative_to(root)).encode())
            digest.update(file.read_bytes())
    return digest.digest()
