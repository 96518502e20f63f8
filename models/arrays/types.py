"""Types of the arrays that pass between rooms, and what stands for nothing in them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

#: Rows of one table, by which every column of it is read.
Rows = NDArray[np.int32]
#: Positions within another array.
Positions = NDArray[np.int64]
#: Which rows of an array are meant.
Mask = NDArray[np.bool_]
#: What is computed: scores, features and weights.
Float = NDArray[np.float32]
#: Of accounts or images, one a row: (n, dimensions).
Vectors = NDArray[np.float32]

#: Row of an id that is not known.
UNKNOWN: Final = -1
NO_ROWS: Final[Rows] = np.empty(0, np.int32)
NO_POSITIONS: Final[Positions] = np.empty(0, np.int64)
