"""Pages in random order from the log, joined with what viewers did."""

import msgspec

from models.actions import Action
from models.events import Media, MediaEvent
from models.explore.grid import to_json
from models.explore.impressions import impression_of, stored_grid
from models.explore.pipeline import ExploreConfig, explore
from models.explore.randomisation import RandomisationConfig
from models.explore.treatment import Treatment
from models.viewers.context import ViewerContext
from models.viewers.state import ViewerState
from models.world import World
from streams.recorded.random_pages import RandomPages

NOW = 1_700_000_000_000
PLAIN = ExploreConfig(size=4, first=20, second=10)
RANDOM = msgspec.structs.replace(PLAIN, randomisation=RandomisationConfig(share=1.0))


def served(config: ExploreConfig) -> tuple[bytes, list[str], str]:
    """A record of ``explore.impressions``, what it shows, and its name."""
    world = World()
    world.apply_media([Media(f"m{n}", f"a{n}", NOW - n) for n in range(30)])
    viewer = ViewerContext.from_state("v", ViewerState(), world, NOW)
    page = stored_grid(explore(viewer, world, Treatment(), config, NOW), world)
    shown = [item.media_id for item in page.items]
    return impression_of(to_json(page), NOW), shown, page.request_id


def did(media_id: str, after_ms: int, *, request: str | None = None, undo: bool = False):
    return MediaEvent("e", "v", media_id, NOW + after_ms, request_id=request, undo=undo)


def test_actions_belong_to_the_page_that_showed_the_media() -> None:
    record, shown, request = served(RANDOM)
    found = RandomPages(window_ms=1000)
    found.show(record, NOW)
    found.show(record, NOW)
    found.act(Action.LIKE, did(shown[2], 10))
    found.act(Action.LIKE, did(shown[1], 5000))
    found.act(Action.SAVE, did(shown[3], 5000, request=request))
    found.act(Action.SAVE, did("another", 10))
    found.act(Action.SHARE, did(shown[0], 20, undo=True))
    found.act(Action.SHARE, did(shown[0], 10))
    [page] = found.pages()
    assert page.done == {Action.LIKE: {2}, Action.SAVE: {3}}
    assert page.media_ids == shown
    assert page.order.chance == 0.1


def test_other_pages_are_not_read_and_broken_ones_are_counted() -> None:
    found = RandomPages(window_ms=1000)
    found.show(served(PLAIN)[0], NOW)
    assert (len(found), found.skipped) == (0, 0)
    found.show(b'{"randomised":{"pool":7}}', NOW)
    assert (found.pages(), found.skipped) == ([], 1)
