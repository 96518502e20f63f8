"""Arms of viewers, and what each arm is to get: value weights, query, rankers, feed mode.

This is the one definition of who gets what. Without an experiment there is one arm, `control`, and
its weights are everybody's.
"""

from __future__ import annotations

import math
import re
from hashlib import blake2b
from typing import Any, Final

import msgspec

from models.rankers.value import WEIGHTS_ARE, Weights

CONTROL: Final = "control"
MAX_ARMS: Final = 20
#: Numbers of an arm that may be null, and the most that they may be.
_MOST: Final = {"author_penalty": 1.0, "exploration_share": 0.5}
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class InvalidExperimentError(ValueError):
    """An experiment that cannot be run: the message says which part, and what would be right."""


class Arm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the viewers of one arm get. What is left out is as in the first arm.

    Attributes:
        share: of the viewers, relative to the shares of the other arms.
        weights: of the value.
        query: name of the query that finds candidates; the default one if empty in the first arm.
        rankers: a stored version; the live one if empty in the first arm.
        feed: in order of value alone: no diversity, no rules, no exploration.
        author_penalty: see :class:`models.explore.diversity.DiversityConfig`; its default if null
            in the first arm.
        exploration_share: of a grid's positions that new media are drawn for; that of the settings
            if null in the first arm.
    """

    share: float = 1.0
    weights: Weights | None = None
    query: str = ""
    rankers: str = ""
    feed: bool = False
    author_penalty: float | None = None
    exploration_share: float | None = None


class Experiment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arms, the first of which is what the others are compared with.

    Attributes:
        arms: by name.
        salt: another one deals the viewers anew, independently of how they were dealt before.

    Raises:
        InvalidExperimentError: no arms or too many, or a name, share or salt that cannot be used.
    """

    arms: dict[str, Arm] = msgspec.field(default_factory=lambda: {CONTROL: Arm(weights=Weights())})
    salt: str = "explore"

    def __post_init__(self) -> None:
        if not 1 <= len(self.arms) <= MAX_ARMS:
            raise InvalidExperimentError(
                f"there are {len(self.arms)} arms; give 1 to {MAX_ARMS}, the first to compare with"
            )
        if not 1 <= len(self.salt.encode()) <= blake2b.MAX_KEY_SIZE:
            raise InvalidExperimentError(
                f"salt {self.salt!r} has {len(self.salt.encode())} bytes; "
                f"give 1 to {blake2b.MAX_KEY_SIZE}"
            )
        for name, arm in self.arms.items():
            if not _NAME.fullmatch(name):
                raise InvalidExperimentError(
                    f"an arm cannot be called {name!r}; "
                    "give 1 to 64 letters, digits, dots, dashes or underscores"
                )
            if not (math.isfinite(arm.share) and arm.share > 0.0):
                raise InvalidExperimentError(
                    f"arm {name} has a share of {arm.share}; give a finite number above 0"
                )
            for field, most in _MOST.items():
                part = getattr(arm, field)
                if part is not None and not 0.0 <= part <= most:
                    raise InvalidExperimentError(
                        f"arm {name} has {field} {part}; give a number from 0 to {most}, or null"
                    )

    @property
    def first(self) -> str:
        """The arm that others are compared with."""
        return next(iter(self.arms))

    def arm(self, name: str) -> Arm:
        """An arm with everything that it leaves out filled in.

        Raises:
            InvalidExperimentError: there is no such arm.
        """
        if name not in self.arms:
            raise InvalidExperimentError(
                f"there is no arm {name!r}; the arms are {', '.join(self.arms)}"
            )
        own, first = self.arms[name], self.arms[self.first]
        return msgspec.structs.replace(
            own,
            weights=own.weights or first.weights or Weights(),
            query=own.query or first.query,
            rankers=own.rankers or first.rankers,
            **{name: getattr(first if getattr(own, name) is None else own, name) for name in _MOST},
        )

    def with_weights(self, name: str, changes: dict[str, Any]) -> Experiment:
        """The experiment with some weights of one arm replaced.

        Raises:
            InvalidExperimentError: there is no such arm.
            models.rankers.value.InvalidWeightsError: a change cannot be made.
        """
        weights = self.arm(name).weights
        assert weights is not None
        changed = msgspec.structs.replace(self.arms[name], weights=weights.changed(changes))
        return msgspec.structs.replace(self, arms={**self.arms, name: changed})

    def arm_of(self, viewer_id: str) -> str:
        """The arm of a viewer: the same in every process, for as long as salt and shares are."""
        if len(self.arms) == 1:
            return self.first
        # Keyed, not a CRC of salt and id: CRCs under two salts differ by a constant, and the arms
        # of one experiment would follow from those of another.
        digest = blake2b(viewer_id.encode(), digest_size=8, key=self.salt.encode()).digest()
        at = int.from_bytes(digest, "big") / 2.0**64 * sum(a.share for a in self.arms.values())
        for name, arm in self.arms.items():
            at -= arm.share
            if at < 0.0:
                return name
        return name


def parse(data: bytes) -> Experiment:
    """JSON → experiment.

    Raises:
        InvalidExperimentError: it is none; the message names the place and the valid names.
    """
    try:
        return msgspec.json.decode(data, type=Experiment)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidExperimentError(
            f"{error}; an experiment has arms and a salt, an arm share, weights, query, rankers, "
            f"feed, author_penalty and exploration_share; {WEIGHTS_ARE}"
        ) from error
