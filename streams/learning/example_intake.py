"""Labelled pages and observed exposures → the examples that a learner trains on.

Everything here is called in a thread: a page costs a tenth of a millisecond, and there may be
thousands a second.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from numpy.typing import NDArray

from infra.topics import EXAMPLES_TOPIC
from models.actions import HEADS, STRONG_HEADS
from models.arrays.stored import Arrays, as_texts, number_of, texts
from models.examples.examples import Examples
from models.examples.from_pages import page_examples, parse_labelled_page
from models.examples.newest import NewestExamples
from models.explore.impressions import OtherFeaturesError
from streams.records import Record, Refuse, read_records

#: Labelled pages remembered by request id: one sent twice is learned once.
MAX_PAGES: Final = 1_000_000

_STRONG: Final = [HEADS.index(head) for head in STRONG_HEADS]
logger = logging.getLogger(__name__)


class ExampleIntake:
    """Collects examples.

    Attributes:
        kept: the newest of all.
        fresh: of those the ones that were not learned on yet.
        positives: examples with an action other than a view that ever came in.

    Args:
        keep: examples kept at most.
        negative_rate: share of the items that only views came of that is kept.
        refuse: what to do with a record that says nothing.
    """

    def __init__(self, keep: int, negative_rate: float, refuse: Refuse) -> None:
        self._negative_rate = negative_rate
        self._refuse = refuse
        self._pages: OrderedDict[str, None] = OrderedDict()
        self.kept = NewestExamples(keep)
        self.fresh = NewestExamples(keep)
        self.positives = 0

    @property
    def pages(self) -> int:
        """How many labelled pages are remembered by request id."""
        return len(self._pages)

    def read(self, records: Sequence[Record]) -> None:
        """Take in records of ``explore.examples``."""
        found = read_records(EXAMPLES_TOPIC, records, self._page, self._refuse)
        self.add(Examples.concatenate(found))
        while len(self._pages) > MAX_PAGES:
            self._pages.popitem(last=False)

    def forget(self, groups: Collection[int]) -> None:
        """Forget the examples of viewers, by their groups."""
        self.kept.forget(groups)
        self.fresh.forget(groups)

    def to_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """What is kept and which pages were read, and JSON beside it.

        Which of the examples were learned on is not in it: who starts learns on from what is live,
        and that says up to when.
        """
        arrays = {"pages": as_texts(self._pages), **self.kept.all().to_arrays()}
        return arrays, {"positives": self.positives}

    def load(self, arrays: Arrays, meta: Mapping[str, Any]) -> None:
        """Go on from what :meth:`to_arrays` gave, once packed.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        examples = Examples.from_arrays(arrays)
        self._pages = OrderedDict.fromkeys(texts(arrays, "pages"))
        self.kept.add(examples)
        self.fresh.add(examples)
        self.positives = number_of(meta, "positives")

    def add(self, examples: Examples) -> None:
        """Take in examples of exposures, of whichever time."""
        self.kept.add(examples)
        self.fresh.add(examples)
        strong_n = (examples.labels_nh[:, _STRONG] > 0).any(axis=1)
        self.positives += int(strong_n.sum())

    def _page(self, value: bytes | None, now_ms: int) -> Examples:
        """What a labelled page teaches that was not learned before."""
        page = parse_labelled_page(value, now_ms)
        if page.request_id in self._pages:
            return Examples.empty()
        try:
            examples = page_examples(page, self._negative_rate)
        except OtherFeaturesError as error:
            logger.debug("page %s is not learned: %s", page.request_id, error)
            examples = Examples.empty()
        self._pages[page.request_id] = None
        return examples
