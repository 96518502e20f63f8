"""Maps of the accounts as they are stored: beside the versions of ig2vec that they were drawn of.

The learner draws one (:mod:`streams.learning.map_drawing`), rankers show it. A note beside the
version of ig2vec names its map, so going back to a version is going back to its map; a version that
has none, such as those of releases before there were maps, is shown on the newest one there is.
"""

from __future__ import annotations

import contextlib
from typing import Final, NamedTuple

import msgspec

from infra.artifacts import ArtifactError, ArtifactStore
from models.ig2vec.account_map import AccountMap
from streams.versions import IG2VEC

#: The kind of the artifacts.
MAPS: Final = "account_maps"
#: Beside a version of ig2vec: which map is of it.
MAP_NOTE: Final = "map"


class MapNote(msgspec.Struct, frozen=True):
    """Names the map of a version of ig2vec."""

    map: str


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored with a map.

    Attributes:
        ig2vec: the version of the account vectors that it was drawn of.
        made_ms: when.
        before_ms: when the map was drawn that its movement is told from; None for the first map.
        seconds: what drawing it took.
    """

    ig2vec: str
    made_ms: int
    before_ms: int | None = None
    seconds: float = 0.0


class StoredMap(NamedTuple):
    """A map, and what was stored with it."""

    version: str
    about: About
    accounts: AccountMap


def stored_map(artifacts: ArtifactStore, version: str) -> StoredMap:
    """One map.

    Raises:
        ArtifactError: it is missing, damaged, or no map.
    """
    artifact = artifacts.get(MAPS, version)
    try:
        about = msgspec.convert(artifact.meta, About)
        return StoredMap(version, about, AccountMap.of_arrays(artifact.arrays))
    except ValueError as error:
        raise ArtifactError(f"{MAPS} {version}: {error}") from error


def about_maps(artifacts: ArtifactStore) -> list[tuple[str, About]]:
    """Names of all maps with what was stored with them, oldest first; damaged ones are left out.

    Raises:
        ArtifactError: the store cannot be read.
    """
    found = []
    for name in artifacts.list(MAPS):
        with contextlib.suppress(ArtifactError, msgspec.ValidationError):
            found.append((name, msgspec.convert(artifacts.manifest(MAPS, name).meta, About)))
    return sorted(found, key=lambda one: one[1].made_ms)


def map_of(artifacts: ArtifactStore, ig2vec: str) -> str | None:
    """Name of the map that was drawn of a version of ig2vec, None where none was."""
    note = artifacts.read_note(IG2VEC, ig2vec, MAP_NOTE, MapNote)
    return None if note is None else note.map


def map_shown(artifacts: ArtifactStore, ig2vec: str) -> str | None:
    """Name of the map to show while a version of ig2vec is live: its own, else the newest one.

    Raises:
        ArtifactError: the store cannot be read.
    """
    names = artifacts.list(MAPS)
    own = map_of(artifacts, ig2vec)
    return own if own in names else next(reversed(names), None)
