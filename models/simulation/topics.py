"""Topics and languages of the simulated world: names that a person can judge a grid by."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

#: Topics that lie near each other stand together.
GROUPS: Final = (
    ("Arabic calligraphy", "brush lettering", "watercolour", "pottery"),
    ("model trains", "ship models", "clockwork", "vintage radios"),
    ("slime", "soap cutting", "kinetic sand", "marble runs"),
    ("Devon Rex cats", "rescue dogs", "aquascaping", "bird watching"),
    ("sourdough", "street food", "latte art", "cake decorating"),
    ("bouldering", "trail running", "surfing", "parkour"),
    ("street fashion", "sneakers", "nail art", "hair styling"),
    ("ambient music", "jazz guitar", "choirs", "breakdance"),
)
TOPICS: Final = tuple(topic for group in GROUPS for topic in group)
LANGUAGES: Final = ("en", "ar", "es", "hi", "ja")
#: Share of the accounts and viewers that speak each.
LANGUAGE_SHARES: Final = (0.5, 0.12, 0.16, 0.12, 0.1)
#: How much of an interest in a topic goes to each other one of its group.
NEARNESS: Final = 0.45


def nearness() -> NDArray[np.float64]:
    """How near topics are, nearness_tt: 1 for the same, 0 for those of different groups."""
    group_t = np.repeat(np.arange(len(GROUPS)), [len(group) for group in GROUPS])
    near_tt = np.where(group_t[:, None] == group_t, NEARNESS, 0.0)
    np.fill_diagonal(near_tt, 1.0)
    return near_tt
