"""What viewers do, as the rankers learn it."""

from __future__ import annotations

from typing import Final

#: Columns of the labels. Long views only help the final pass to learn.
LABELS: Final = ("like", "save", "see_fewer", "long_view")
