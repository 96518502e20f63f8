"""``freshgrid versions``: what is stored and live, and making another version live.

Running processes follow ``explore.versions`` by themselves. All vectors of a version of ig2vec are
sent before the record that makes it live, in a space of their own, so grids never miss them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec

from infra.artifacts import Artifact, ArtifactError, ArtifactStore
from infra.batch_sender import Outbox
from infra.config import Settings
from infra.errors import FreshgridError
from infra.kafka import prepare_cluster
from models.ig2vec.saved_vectors import saved_account_vectors
from models.rankers.bundle import RankerBundle
from streams.clock import now_ms
from streams.learning.promotion import go_live, new_space
from streams.serving.live_items import stored_items
from streams.versions import (
    IG2VEC,
    ITEMS,
    KINDS,
    LIVE_NOTE,
    RANKERS,
    Live,
    Version,
    announce,
    earlier,
    listed,
    live_versions,
)


class VersionError(FreshgridError):
    """A version that cannot be made live; the live one stays."""


class _Opened(NamedTuple):
    artifacts: ArtifactStore
    outbox: Outbox
    live: dict[str, Version]


async def list_versions(settings: Settings, kind: str | None) -> dict[str, Any]:
    """Everything stored, with what is live.

    Raises:
        VersionError: there is no such kind.
        UnreachableError: Kafka does not answer.
    """
    kinds = KINDS if kind is None else (_known(kind),)
    live = await live_versions(settings, await prepare_cluster(settings))
    artifacts = ArtifactStore(settings.artifacts_url)
    return {
        "versions": await asyncio.to_thread(listed, artifacts, live, kinds),
        "live": {name: of.version for name, of in live.items() if name in kinds},
    }


async def promote(
    settings: Settings, kind: str, version: str, why: str = "promoted by command"
) -> dict[str, Any]:
    """Make a stored version the live one; `why` stands in the list of versions.

    Raises:
        VersionError: it is live already, missing, damaged or of no use to this release.
        UnreachableError: Kafka does not answer.
    """
    async with _opened(settings, kind) as opened:
        live = opened.live.get(kind)
        if live is not None and live.version == version:
            raise VersionError(f"{kind} {version} is live already")
        previous = "" if live is None else live.version
        return await _make_live(settings, opened, kind, version, previous, why)


async def rollback(settings: Settings, kind: str, to: str | None) -> dict[str, Any]:
    """Make the version live that was live before, or the one named of those that were.

    Raises:
        VersionError: there is none before, `to` was not live before, or it cannot be loaded.
        UnreachableError: Kafka does not answer.
    """
    async with _opened(settings, kind) as opened:
        live = opened.live.get(kind)
        if live is None:
            raise VersionError(f"no version of {kind} is live: there is nothing to roll back")
        back = await asyncio.to_thread(lambda: list(earlier(opened.artifacts, live)))
        target = to or next(iter(back), None)
        if target is None:
            raise VersionError(
                f"{kind} {live.version} has none before it: see `freshgrid versions list {kind}`, "
                f"then `freshgrid versions promote {kind} VERSION`"
            )
        if target not in back:
            raise VersionError(
                f"{kind} {target} was not live before {live.version}: "
                f"{', '.join(back) or 'none'} were; `versions promote` takes any version"
            )
        # The way further back stays what it was when that version was live.
        note = opened.artifacts.read_note(kind, target, LIVE_NOTE, Live)
        previous = "" if note is None else note.previous
        reason = f"rolled back from {live.version}"
        return await _make_live(settings, opened, kind, target, previous, reason)


async def _make_live(
    settings: Settings, opened: _Opened, kind: str, version: str, previous: str, reason: str
) -> dict[str, Any]:
    artifacts = opened.artifacts
    try:
        artifact = await asyncio.to_thread(artifacts.get, kind, version)
        usable = await asyncio.to_thread(_USABLE[kind], artifact)
    except (ArtifactError, ValueError) as error:
        raise VersionError(f"{kind} {version} is refused, the live one stays: {error}") from error
    told = Version(
        kind=kind,
        version=version,
        announced_ms=now_ms(),
        metrics=artifact.meta.get("metrics", {}),
        previous=previous,
        reason=reason,
    )
    if kind == IG2VEC:
        told = msgspec.structs.replace(told, space=new_space(version))
        told = await go_live(artifacts, opened.outbox, told, usable, settings.keep_versions)
    else:
        await announce(artifacts, opened.outbox, told, settings.keep_versions)
    before = opened.live.get(kind)
    return {
        "kind": kind,
        "version": version,
        "replaced": None if before is None else before.version,
        "previous": previous or None,
        "space": told.space or None,
        "accounts": told.accounts if kind == IG2VEC else None,
    }


def _rankers(artifact: Artifact) -> RankerBundle:
    return RankerBundle.from_arrays(artifact.arrays, artifact.meta)


#: Kind → what makes use of an artifact, so that nothing is announced that rankers would refuse.
_USABLE: dict[str, Callable[[Artifact], Any]] = {
    IG2VEC: lambda artifact: saved_account_vectors(artifact.arrays),
    RANKERS: _rankers,
    ITEMS: stored_items,
}


@asynccontextmanager
async def _opened(settings: Settings, kind: str) -> AsyncIterator[_Opened]:
    _known(kind)
    live = await live_versions(settings, await prepare_cluster(settings))
    outbox = Outbox(settings)
    await outbox.start()
    try:
        yield _Opened(ArtifactStore(settings.artifacts_url), outbox, live)
    finally:
        await outbox.stop()


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise VersionError(f"there is no kind {kind!r}; the kinds are {', '.join(KINDS)}")
    return kind
