"""The three passes of one version, stored and swapped as one.

A first pass distilled from another final pass would cut what that one likes; so they are never
mixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.actions import HEAD_NAMES
from models.feature_schema import FEATURE_VERSION
from models.rankers.early_passes import FirstPass, SecondPass
from models.rankers.final_pass import FinalPass
from models.rankers.interest import Interest
from models.rankers.networks import Arrays, Meta, ModelError

#: Counts up whenever the form of a network changes: weights of another form are refused.
#: Another body of the final pass needs no new form: its arrays have names of their own.
NETWORKS: Final = 3


class RankerBundle:
    """First, second and final pass that were trained together.

    Args:
        first: candidates → first cut.
        second: first cut → second cut.
        final: second cut → probabilities.
        interest: probabilities → what is expected of candidates.
        metrics: what was measured when they were trained, by name; stored with them.
        trained_ts: event time in ms of the newest training example, 0 where there was none.

    Attributes:
        version: name of this version, a hash of all weights and of the feature version.
    """

    def __init__(
        self,
        *,
        first: FirstPass,
        second: SecondPass,
        final: FinalPass,
        interest: Interest | None = None,
        metrics: Mapping[str, float] | None = None,
        trained_ts: int = 0,
    ) -> None:
        self.first = first
        self.second = second
        self.final = final
        self.interest = interest or Interest.none()
        self.metrics = dict(metrics or {})
        self.trained_ts = trained_ts
        digest = blake2b(FEATURE_VERSION.encode(), digest_size=6)
        for name, array in sorted(self._arrays().items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        self.version = f"rankers-{digest.hexdigest()}"

    def to_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Weights by name and JSON-able metadata, as an artifact stores them."""
        return self._arrays(), {
            "version": self.version,
            "feature_version": FEATURE_VERSION,
            "networks": NETWORKS,
            "heads": list(HEAD_NAMES),
            "metrics": {k: v for k, v in self.metrics.items() if np.isfinite(v)},
            "trained_ts": self.trained_ts,
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, meta: Meta) -> Self:
        """Rebuild from :meth:`to_arrays`.

        Raises:
            FeatureVersionError: trained on other features.
            ModelError: the networks have another form, a weight is missing, misshapen or not
                finite, the heads are others, or the weights are not those the metadata was
                written for.
        """
        if meta.get("networks") != NETWORKS:
            raise ModelError(
                f"rankers: networks of form {meta.get('networks')!r}, this build has {NETWORKS}; "
                "train them again or roll back to a build with that form"
            )
        bundle = cls(
            first=FirstPass.from_arrays(_part(arrays, "first"), meta),
            second=SecondPass.from_arrays(_part(arrays, "second"), meta),
            final=FinalPass.from_arrays(_part(arrays, "final"), meta),
            interest=Interest.from_arrays(_part(arrays, "interest")),
            metrics=dict(meta.get("metrics", {})),
            trained_ts=int(meta.get("trained_ts", 0)),
        )
        if tuple(meta.get("heads", ())) != HEAD_NAMES:
            raise ModelError(f"rankers: heads {meta.get('heads')}; this build has {HEAD_NAMES}")
        if meta.get("version") != bundle.version:
            raise ModelError(
                f"rankers: metadata of {meta.get('version')} with weights of {bundle.version}; "
                "fetch the artifact again"
            )
        return bundle

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            f"{part}.{name}": array
            for part, weights in (
                ("first", self.first.to_arrays()),
                ("second", self.second.to_arrays()),
                ("final", self.final.to_arrays()),
                ("interest", self.interest.to_arrays()),
            )
            for name, array in weights.items()
        }


def _part(arrays: Arrays, part: str) -> dict[str, NDArray[Any]]:
    prefix = f"{part}."
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
