"""Defaults that settings show and models use: numbers alone.

Who reads settings loads nothing by that, and a process that needs no models starts without them.
"""

from __future__ import annotations

from typing import Final

#: AUC of a head that new rankers may lose at their gate (:mod:`models.evaluation.ranker_gate`).
RANKER_MARGIN: Final = 0.005
#: Macro-F1 that new account vectors may lose at theirs (:mod:`models.ig2vec.gate`): about twice
#: what two fits of one log differ by.
EMBEDDING_MARGIN: Final = 0.02
#: Length of the image vectors of the implementation that comes with Freshgrid.
IMAGE_DIMENSION: Final = 256
