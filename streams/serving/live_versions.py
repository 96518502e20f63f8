"""Which versions are live for a viewer's arm, and since when: stored grids are compared with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from models.explore.stamp import digest_of
from models.explore.treatment import Treatment
from models.world import World

#: How long an answer is believed.
LOOK_MS: Final = 200


class Live(NamedTuple):
    """What is live.

    Attributes:
        digest: of the versions (:func:`models.explore.stamp.digest_of`).
        since_ms: when this process began to serve them, epoch ms.
    """

    digest: str
    since_ms: int


class LiveVersions:
    """Follows what each arm gives.

    Args:
        treatment_of: what a viewer's arm gives her.
        arm_of: that arm's name, which every page read asks for.
    """

    def __init__(
        self,
        world: World,
        treatment_of: Callable[[str], Treatment],
        arm_of: Callable[[str], str],
    ) -> None:
        self._world = world
        self._treatment_of, self._arm_of = treatment_of, arm_of
        self._known: dict[str, tuple[Live, int]] = {}

    def of(self, viewer_id: str, now_ms: int) -> Live:
        """What is live for a viewer, as it was at most :data:`LOOK_MS` ago."""
        arm = self._arm_of(viewer_id)
        known = self._known.get(arm)
        if known is not None and now_ms - known[1] < LOOK_MS:
            return known[0]
        digest = digest_of(self._treatment_of(viewer_id).versions(self._world))
        same = known is not None and known[0].digest == digest
        live = known[0] if known is not None and same else Live(digest, now_ms)
        self._known[arm] = live, now_ms
        return live
