"""Media that look like these."""

from __future__ import annotations

import numpy as np

from models.columns import UNKNOWN
from models.igql.execution import Execution
from models.igql.library.registered import operators
from models.igql.registry import Arguments, Cost, SetType, count
from models.igql.sets import ColumnSet


@operators.register(
    takes=SetType.MEDIA,
    gives=SetType.MEDIA,
    parameters=(count("max_num_to_retrieve", default=100, most=5000),),
    # Pictures are scanned: this is for a hundred thousand of them.
    cost=lambda rows, arguments: Cost(arguments["max_num_to_retrieve"], 300.0 + 700.0 * rows),
    source=True,
    limit="max_num_to_retrieve",
)
def similar_image(execution: Execution, media: ColumnSet, arguments: Arguments) -> ColumnSet:
    """Media whose pictures look most like those of these, by cosine, each under its likest."""
    images = execution.world.images
    if not len(images):
        execution.note("no media has an image vector")
        return ColumnSet.empty(SetType.MEDIA)
    vectors_nd, known_n = images.vectors_of(media.row_n)
    media = media.where(known_n)
    most = arguments["max_num_to_retrieve"]
    # One more than asked: a picture is most like itself.
    near_nk, cosine_nk = images.nearest(vectors_nd[known_n], min(most + 1, len(images)))
    at_n, column_n = np.nonzero((near_nk != UNKNOWN) & (near_nk != media.row_n[:, None]))
    # How many vectors are multiplied at once shows in the last digits of a product.
    score_n = cosine_nk[at_n, column_n].round(5)
    order_n = np.lexsort((-score_n, media.viewer_n[at_n]))
    at_n, column_n = at_n[order_n], column_n[order_n]
    found = execution.distinct(
        media.derive(at_n, SetType.MEDIA, near_nk[at_n, column_n], score_n=score_n[order_n])
    )
    return found.ranked().first(most, len(execution.viewers))
