"""Draws a map of the accounts of a stored version of ig2vec, in a process of its own.

``python -m streams.learning.map_drawing`` reads an order from its input and prints the name
of the map. The library that projects, and what it needs while it works, goes with the process; the
learner holds neither.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from typing import Final

import msgspec

from infra.artifacts import ArtifactError, ArtifactStore
from models.ig2vec.projection import drawn
from models.ig2vec.saved_vectors import saved_account_vectors
from streams.account_maps import (
    MAP_NOTE,
    MAPS,
    About,
    MapNote,
    StoredMap,
    about_maps,
    map_of,
    stored_map,
)
from streams.clock import now_ms
from streams.learning.account_maps import Order
from streams.versions import IG2VEC

DAY_MS: Final = 24 * 3600 * 1000
#: Maps kept beside those of stored versions: those of a day, drawn hourly, and one before it.
KEEP: Final = 26
#: Whoever serves goes first, and the learner as well.
NICENESS: Final = 19


def draw(artifacts: ArtifactStore, ig2vec: str, now: int) -> str:
    """Draw the map of a version, store it beside the version, and return its name.

    Args:
        now: epoch ms.

    Raises:
        ArtifactError: the version cannot be read, or the store does not take the map.
    """
    began = time.monotonic()
    vectors = saved_account_vectors(artifacts.get(IG2VEC, ig2vec).arrays)
    told = about_maps(artifacts)
    # Movement is told from the map of a day ago, or from the oldest while there is none.
    old = [name for name, about in told if about.made_ms <= now - DAY_MS]
    earlier = _first_whole(artifacts, [name for name, _ in reversed(told)])
    day = _first_whole(artifacts, [*reversed(old), *(name for name, _ in told)])
    accounts = drawn(
        vectors,
        None if earlier is None else earlier.accounts,
        None if day is None else day.accounts,
    )
    about = About(
        ig2vec=ig2vec,
        made_ms=now,
        before_ms=None if day is None else day.about.made_ms,
        seconds=round(time.monotonic() - began, 1),
    )
    name = artifacts.put(MAPS, accounts.arrays(), msgspec.to_builtins(about))
    artifacts.write_note(IG2VEC, ig2vec, MAP_NOTE, MapNote(name))
    of_versions = {map_of(artifacts, version) for version in artifacts.list(IG2VEC)}
    artifacts.sweep(MAPS)
    artifacts.prune(MAPS, KEEP, {one for one in of_versions if one is not None})
    return name


def _first_whole(artifacts: ArtifactStore, names: Iterable[str]) -> StoredMap | None:
    """The first of these maps that is not damaged."""
    for name in names:
        try:
            return stored_map(artifacts, name)
        except ArtifactError as error:
            print(f"a map is left out: {error}", file=sys.stderr)
    return None


def main() -> None:
    """Draw what the input orders."""
    os.nice(NICENESS)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    try:
        print(draw(ArtifactStore(order.artifacts_url), order.ig2vec, now_ms()))
    except (ArtifactError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
