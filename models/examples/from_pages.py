"""Labelled pages (:mod:`models.examples.page_join`) → examples."""

from __future__ import annotations

import msgspec
import numpy as np

from models.actions import HEAD_NAMES, HEADS, STRONG_HEADS
from models.arrays.id_table import hash_id
from models.events import Count, Id, check, check_ids, check_times, decode_value
from models.examples.examples import Examples
from models.examples.from_events import sample_share
from models.explore.grid import Propensity
from models.explore.impressions import (
    LAST_POSITION,
    MOST_ITEMS,
    unpack_features,
)


class LabelledPage(msgspec.Struct, frozen=True, kw_only=True):
    """A served page with what came of it, as ``explore.examples`` carries it.

    Attributes:
        request_id: of the page; there is one record for each.
        served_ms: when it was served.
        feature_version, features: as served, of all items (:mod:`models.explore.impressions`).
        media_ids: of all items, in order.
        first_position: place of the first item in the viewer's series of pages, from 1.
        propensities: probability that each item was shown where it was.
        seen: positions within the page of the items that were seen.
        labels: action → positions within the page of the items it was done on.
        versions: live versions when the page was made.
    """

    viewer_id: Id
    request_id: Id
    served_ms: int
    feature_version: str
    features: str
    media_ids: list[str]
    first_position: int
    propensities: list[Propensity]
    seen: list[Count]
    labels: dict[str, list[Count]]
    versions: dict[str, str] = {}


def page_examples(page: LabelledPage, negative_rate: float) -> Examples:
    """The seen items of a page as examples, with the features of when they were served.

    Args:
        page: as it was labelled.
        negative_rate: share of the items that only views came of that is kept; the same
            ones every time.

    Raises:
        OtherFeaturesError: its features are of another version.
        ServedFeaturesError: they are broken.
    """
    features = unpack_features(page.features, len(page.media_ids), page.feature_version)
    labels_nh = np.zeros((len(page.media_ids), len(HEAD_NAMES)), np.float32)
    for h, name in enumerate(HEAD_NAMES):
        labels_nh[page.labels.get(name, []), h] = 1.0
    strong = [HEADS.index(head) for head in STRONG_HEADS]
    positive_n = labels_nh[:, strong].max(axis=1) > 0
    rows = np.array(
        [
            row
            for row in page.seen
            if positive_n[row] or sample_share(f"{page.request_id} {row}") < negative_rate
        ],
        np.int64,
    )
    n = len(rows)
    return Examples(
        features=features.take(rows),
        labels_nh=labels_nh[rows],
        weights_n=np.where(positive_n[rows], 1.0, 1.0 / negative_rate).astype(np.float32),
        groups_n=np.full(n, hash_id(page.viewer_id), np.int64),
        ts_n=np.full(n, page.served_ms, np.int64),
        positions_n=(page.first_position + rows).astype(np.int16),
    )


def parse_labelled_page(value: bytes | None, now_ms: int) -> LabelledPage:
    """Read one record of ``explore.examples``; its features are read by :func:`page_examples`.

    Raises:
        InvalidEventError: nothing can be learned from it.
    """
    page = decode_value(_page, value)
    check_ids(page, "viewer_id", "request_id")
    check_times(page, now_ms, "served_ms")
    n = len(page.media_ids)
    check(n <= MOST_ITEMS, "media_ids", f"are {n}; a page has at most {MOST_ITEMS}")
    last = page.first_position + n - 1
    check(
        page.first_position >= 1 and last <= LAST_POSITION,
        "first_position",
        f"{page.first_position} is not from 1 to {LAST_POSITION - n + 1}",
    )
    check(len(page.propensities) == n, "propensities", f"are not {n} numbers")
    for name, places in (("seen", page.seen), *page.labels.items()):
        check(
            all(place < n for place in places),
            name,
            f"names places that are not on a page of {n} items",
        )
        check(len(set(places)) == len(places), name, "names a place twice")
    return page


_page = msgspec.json.Decoder(LabelledPage)
