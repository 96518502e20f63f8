"""``freshgrid experiments``: arms, and what viewers did with what each showed them.

Read once from the log: the pages of ``explore.impressions``, then the actions, views apart, that
came of them. An action belongs to the page that it names by its ``request_id``, if that page
showed the media, otherwise to the last page before it that showed the viewer the media.

``python -m streams.recorded.experiment_report`` prints the report of the last days as JSON, for
processes that must not be held up by it.
"""

from __future__ import annotations

import asyncio
import bisect
import os
import sys
from collections import defaultdict
from typing import Any, Final

import msgspec
import numpy as np

from infra.config import Settings, settings
from infra.errors import FreshgridError
from infra.open_stores import open_stores
from infra.stores import ExperimentError
from models.actions import STRONG_HEADS, Action
from models.evaluation.experiment_metrics import difference, rate
from models.events import DAY_MS, InvalidEventError, MediaEvent, decode_value
from streams.clock import now_ms
from streams.recorded.shown_and_done import read_shown_and_done
from streams.serving.weights import stored

DEFAULT_DAYS: Final = 7
#: An action so long after its impression is not of it.
WINDOW_MS: Final = DAY_MS
#: Of the usual rate of an action, the difference between arms that is looked for. Fixed before any
#: log is read, as intervals that hold at every look demand.
USUAL: Final = 0.1
#: Whoever serves on the same machine goes first.
NICENESS: Final = 19
#: What is counted of each arm: views are what it is counted on.
ACTIONS: Final = {head.word: head for head in STRONG_HEADS}


class _Item(msgspec.Struct):
    media_id: str
    propensity: float = 1.0


class _Page(msgspec.Struct):
    """What is needed of an impression."""

    viewer_id: str
    request_id: str
    items: list[_Item]
    versions: dict[str, str]


_page: Final = msgspec.json.Decoder(_Page)


class ArmOutcomes:
    """Joins pages and actions, and counts by arm and viewer.

    Args:
        window_ms: an action that names no page and comes so long after one is not of it.

    Attributes:
        skipped: records that could not be read.
        unmatched: actions on media that no page in the window had shown.
    """

    def __init__(self, window_ms: int = WINDOW_MS) -> None:
        self._window_ms = window_ms
        self._seen: set[str] = set()
        #: Viewer and media → (shown at, request, arm), oldest first.
        self._shown: dict[tuple[str, str], list[tuple[int, str, str]]] = defaultdict(list)
        self._items: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._explored: dict[str, int] = defaultdict(int)
        #: (viewer, media, action) → request → when it was last done or taken back, and which.
        self._acts: dict[tuple[str, str, Action], dict[str, tuple[int, bool, str]]] = defaultdict(
            dict
        )
        self.skipped = 0
        self.unmatched = 0

    def show(self, value: bytes, at_ms: int) -> None:
        """Count a page served at `at_ms`; one that was asked for again counts once."""
        try:
            page = decode_value(_page, value)
        except InvalidEventError:
            self.skipped += 1
            return
        if page.request_id in self._seen:
            return
        self._seen.add(page.request_id)
        arm = page.versions.get("arm", "")
        self._items[arm][page.viewer_id] += len(page.items)
        for item in page.items:
            self._explored[arm] += item.propensity < 1.0
            bisect.insort(
                self._shown[page.viewer_id, item.media_id],
                (at_ms, page.request_id, arm),
            )

    def act(self, action: Action, event: MediaEvent) -> None:
        """Join an action with its page; all pages must have been shown before."""
        shown = self._shown.get((event.viewer_id, event.media_id), ())
        named = [page for page in shown if page[1] == event.request_id]
        before = [page for page in shown if page[0] <= event.ts <= page[0] + self._window_ms]
        if not named and not before:
            self.unmatched += 1
            return
        _, request, arm = (named or before)[-1]
        acts = self._acts[event.viewer_id, event.media_id, action]
        newest = acts.get(request)
        if newest is None or (event.ts, event.undo) >= newest[:2]:
            acts[request] = (event.ts, event.undo, arm)

    def by_arm(self, first: str) -> dict[str, dict[str, Any]]:
        """Arm → what was shown and done; differences are to the arm `first`."""
        done: dict[tuple[str, Action], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for (viewer_id, _, action), of_requests in self._acts.items():
            for _, undone, arm in of_requests.values():
                if not undone:
                    done[arm, action][viewer_id] += 1
        rates = {}
        for arm, shown in self._items.items():
            viewers = list(shown)
            shown_v = np.array([shown[viewer] for viewer in viewers], np.int64)
            rates[arm] = {
                name: rate(shown_v, np.array([done[arm, action][v] for v in viewers], np.int64))
                for name, action in ACTIONS.items()
            }
        report: dict[str, dict[str, Any]] = {}
        for arm, shown in self._items.items():
            report[arm] = {
                "viewers": len(shown),
                "impressions": sum(shown.values()),
                "explored": self._explored[arm],
                **{name: msgspec.to_builtins(of) for name, of in rates[arm].items()},
            }
            if arm != first and first in rates:
                for name in ACTIONS:
                    usual = USUAL * ACTIONS[name].row.rate
                    found = difference(rates[arm][name], rates[first][name], usual)
                    report[arm][name][f"against_{first}"] = msgspec.to_builtins(found)
        return report


async def experiment_report(settings: Settings, since_ms: int) -> dict[str, Any]:
    """The arms as they are stored, and what came of the impressions since a time.

    Raises:
        UnreachableError: the store or Kafka does not answer.
        LogReadError: the log cannot be read to its end.
    """
    async with open_stores(settings) as stores:
        try:
            experiment, refused = await stored(stores.experiments), None
        except ExperimentError as error:
            experiment, refused = None, str(error)
    outcomes = ArmOutcomes()
    topics = [action.row.topic for action in ACTIONS.values()]
    await read_shown_and_done(settings, since_ms, topics, outcomes)
    first = "" if experiment is None else experiment.first
    found = outcomes.by_arm(first)
    arms: dict[str, Any] = {}
    for name in dict.fromkeys([*(() if experiment is None else experiment.arms), *found]):
        arm = None if experiment is None or name not in experiment.arms else experiment.arm(name)
        arms[name] = {"arm": msgspec.to_builtins(arm), **found.get(name, {})}
    return {
        "since_ms": since_ms,
        "arms": arms,
        "unmatched": outcomes.unmatched,
        "skipped": outcomes.skipped,
        "refused": refused,
    }


def main() -> None:
    """Print the report of the last days."""
    os.nice(NICENESS)
    try:
        since_ms = now_ms() - DEFAULT_DAYS * DAY_MS
        report = asyncio.run(experiment_report(settings(), since_ms))
    except FreshgridError as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(msgspec.json.encode(report))


if __name__ == "__main__":
    main()
