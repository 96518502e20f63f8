"""Media that look like these."""

from __future__ import annotations

from models.arrays.types import UNKNOWN
from models.igql.execution import Execution
from models.igql.library.registered import operators
from models.igql.registry import Arguments, Cost, SetType, count
from models.igql.sets import ColumnSet, best_of_each


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
    there_nk = (near_nk != UNKNOWN) & (near_nk != media.row_n[:, None])
    at_n, near_n = there_nk.nonzero()[0], near_nk[there_nk]
    # How many vectors are multiplied at once shows in the last digits of a product.
    score_n = cosine_nk[there_nk].round(5)
    best = best_of_each(media.viewer_n.take(at_n), near_n, score_n, most, len(execution.viewers))
    return media.derive(
        at_n.take(best), SetType.MEDIA, near_n.take(best), score_n=score_n.take(best)
    )
