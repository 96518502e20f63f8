"""What a process that ranks or learns knows of media and accounts, and how updates reach it.

One event-loop thread owns a world: an update is complete before the next grid is computed, so
there are no locks and no half-applied batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.account_index.space import AccountSpace
from models.account_index.spaces import AccountSpaces
from models.actions import POSITIVE, Action
from models.arrays.stored import (
    ANY,
    Arrays,
    StoredArraysError,
    content_hash,
    packed,
    part_of,
    prefixed,
    taken,
)
from models.arrays.types import UNKNOWN, Rows
from models.events import DAY_MS, HOUR_MS, MINUTE_MS, Account, Media, MediaEvent
from models.inventory.acts import Acts
from models.inventory.catalog import Catalog
from models.inventory.co_engagement import CoEngagement, CoEngagementConfig
from models.inventory.counted_once import Changes, CountedOnce
from models.inventory.details import Details
from models.inventory.held_back import Held, HeldBack, HoldingConfig
from models.inventory.image import DIMENSION, ImageError, image_vector
from models.inventory.image_space import ImageSpace
from models.inventory.popularity import Popularity, PopularityConfig
from models.inventory.trend import Trend
from models.inventory.uncatalogued import Uncatalogued
from models.inventory.viewer_marks import NOBODY, ForgottenMarks, ViewerKeys
from models.item_to_item.histories import PositiveLog
from models.item_to_item.weights import ItemWeights

#: By code, whether media that a viewer does it to belong together.
_CO_ENGAGES_X: Final = np.array([action.row.co_engages for action in Action])
_POSITIVE_X: Final = np.array([action in POSITIVE for action in Action])
#: Of pairs of viewer and account so many times fewer are remembered than of viewer and media.
_PAIRS_LESS: Final = 4
#: By part, counts up whenever its arrays or what they mean change: others are refused.
FORMATS: Final[Mapping[str, int]] = {
    "catalog": 1,
    "details": 1,
    "popularity": 1,
    "trends": 1,
    "co_engagement": 1,
    "counted": 1,
    "held_back": 1,
    "uncatalogued": 1,
    "referred": 1,
    "images": 1,
    "spaces": 1,
}


class WorldConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the world.

    Attributes:
        popularity: half-life and weights of popularity.
        trends_ms: half-lives of the trends, see :attr:`World.trends`.
        co_engagement: bounds and half-life of the counts of media acted on together.
        holding: when accounts that many asked for fewer of are held back.
        image_dimension: length of image vectors.
        waiting: media without a record of the catalogue that have a row, and events on others that
            wait for theirs.
        remembered: actions, views apart, of which it is known at least that they were counted.
        details: keep what only people ask for, see :attr:`World.details`.
    """

    popularity: PopularityConfig = PopularityConfig()
    trends_ms: tuple[int, ...] = (12 * HOUR_MS, 60 * DAY_MS)
    co_engagement: CoEngagementConfig = CoEngagementConfig()
    holding: HoldingConfig = HoldingConfig()
    image_dimension: int = DIMENSION
    remembered: int = 1 << 20
    details: bool = False
    waiting: int = 50_000


class World:
    """Catalogue, popularity, account vectors and vectors of pictures.

    Attributes:
        images: vectors of media's pictures.
        details: what records say beside what ranking reads; None where nobody looks.
        trends: popularity over other times than its own, the shortest first.
        item_weights: which media are liked by the same viewers; None before there are any.
        uncatalogued: events on more such media than have rows.
        positives: where it is noted who likes what, for those who fit item weights; None: nowhere.
    """

    def __init__(self, config: WorldConfig | None = None) -> None:
        self.config = config or WorldConfig()
        self.catalog = Catalog()
        self.details = Details() if self.config.details else None
        self.popularity = Popularity(self.config.popularity)
        self.co_engagement = CoEngagement(self.config.co_engagement)
        self.trends = [
            Trend(half_life_ms, self.config.popularity.worth_x)
            for half_life_ms in self.config.trends_ms
        ]
        self.item_weights: ItemWeights | None = None
        self.positives: PositiveLog | None = None
        self.uncatalogued = Uncatalogued(self.config.waiting)
        # Rows of media that only events named so far.
        self._referred: set[int] = set()
        self._counted = CountedOnce(self.config.remembered)
        self._held_back = HeldBack(
            self.config.holding,
            self.config.popularity.half_life_ms,
            self.config.remembered // _PAIRS_LESS,
        )
        self.images = ImageSpace(self.config.image_dimension)
        self._spaces = AccountSpaces()
        self._lifted: tuple[ItemWeights, int, NDArray[np.float32]] | None = None

    # Updates.

    def apply_media(self, media: Sequence[Media]) -> list[str]:
        """Insert, replace or (``deleted``) remove media.

        Returns:
            What is wrong with image vectors that are of no use; their media were applied without.
        """
        rows = self.catalog.upsert_media(media)
        if self.details is not None:
            self.details.put_media(rows, list({one.media_id: one for one in media}.values()))
        rows = np.unique(rows)
        self.popularity.attribute(rows, self.catalog.author_n[rows])
        self._referred.difference_update(rows.tolist())
        self._apply(Acts.of(self.uncatalogued.take(record.media_id for record in media)))
        if not len(self.images) and all(record.image_embedding is None for record in media):
            return []
        newest = {record.media_id: record for record in media}
        vectors: dict[str, NDArray[np.float32]] = {}
        refused: list[str] = []
        for record in newest.values():
            if record.image_embedding is None or record.deleted:
                continue
            try:
                vectors[record.media_id] = image_vector(
                    record.image_embedding, self.images.dimension
                )
            except ImageError as error:
                refused.append(f"media {record.media_id}: {error}")
        self.images.remove(self.catalog.media_rows([n for n in newest if n not in vectors]))
        if vectors:
            rows = self.catalog.media_rows(list(vectors))
            self.images.put(rows, np.stack(list(vectors.values())))
        return refused

    def delete_media(self, ids: Sequence[str]) -> None:
        """Delete media; unknown ids are ignored."""
        self.images.remove(self.catalog.delete_media(ids))
        self._apply(Acts.of(self.uncatalogued.take(ids)))

    def apply_accounts(self, accounts: Sequence[Account]) -> None:
        """Insert or replace accounts; the vector of one that is disabled is withheld."""
        rows = self.catalog.upsert_accounts(accounts)
        if self.details is not None:
            self.details.put_accounts(rows, list({a.account_id: a for a in accounts}.values()))
        if len(rows):
            self._sort_out(np.unique(rows))

    def remove_accounts(self, ids: Sequence[str]) -> None:
        """Delete accounts: nothing of them is shown and their vectors are withheld."""
        if ids:
            rows = np.unique(self.catalog.delete_accounts(ids))
            if self.details is not None:
                self.details.forget_accounts(rows)
            self._sort_out(rows)

    def _sort_out(self, rows: Rows) -> None:
        gone_n = self.catalog.gone_account_a[rows]
        gone, here = rows[gone_n], rows[~gone_n]
        for space in self._spaces.all():
            space.withhold(self.catalog.author_ids(gone), gone)
            space.give_back(self.catalog.author_ids(here), here)

    def apply_events(self, events: Sequence[tuple[Action, MediaEvent]]) -> None:
        """Count a batch of actions: popularity of media and authors, media acted on together.

        Each viewer counts once per media and action (:mod:`models.inventory.counted_once`). The
        catalogue's author of a media is believed over the event's; an event whose author nobody
        knows counts for its media alone. So many media that only events name have rows, and what is
        about others waits (:mod:`models.inventory.uncatalogued`).
        """
        if events:
            self._apply(Acts.of_events(events))

    def _apply(self, acts: Acts) -> None:
        if not acts:
            return
        catalog = self.catalog
        media_rows = catalog.media_rows(acts.media_ids)
        if (media_rows == UNKNOWN).any():
            media_rows = self._refer(acts.media_ids)
            strange = media_rows == UNKNOWN
            self.uncatalogued.add(acts.at(np.flatnonzero(strange)).each())
            known = np.flatnonzero(~strange)
            acts, media_rows = acts.at(known), media_rows[known]
            if not acts:
                return
        authorless = np.flatnonzero(self.popularity.authors_of(media_rows) == UNKNOWN).tolist()
        told: dict[int, str] = {}
        for at in authorless:
            if (author_id := acts.author_ids[at]) is not None:
                told.setdefault(int(media_rows[at]), author_id)
        self.popularity.attribute(
            np.array(list(told), np.int32), catalog.intern_accounts(list(told.values()))
        )
        self._held_back.add(
            acts.viewer_n,
            self.popularity.authors_of(media_rows),
            acts.action_n,
            acts.ts_n,
            acts.undo_n,
        )
        changes = self._counted.take(
            acts.viewer_n, media_rows, acts.action_n, acts.ts_n, acts.undo_n
        )
        self._count(changes, media_rows, acts.viewer_n)

    def _refer(self, media_ids: Sequence[str]) -> Rows:
        """Rows of media, new ones for those that only events name while there is room for them."""
        room = self.config.waiting - len(self._referred)
        unknown = self.catalog.media_rows(media_ids) == UNKNOWN
        names = dict.fromkeys(media_ids[at] for at in np.flatnonzero(unknown).tolist())
        self._referred.update(self.catalog.intern_media(list(names)[:room]).tolist())
        return self.catalog.media_rows(media_ids)

    def _count(self, changes: Changes, media_rows: Rows, viewer_n: ViewerKeys) -> None:
        """Count what changed; media and viewers are those of the events behind it."""
        at_c, action_c, ts_c, sign_c, moved_c, first_c = changes
        media_c = media_rows[at_c]
        self.popularity.add(media_c, action_c, ts_c, sign_c)
        for trend in self.trends:
            trend.add(media_c, action_c, ts_c, sign_c)
        together = np.flatnonzero(_CO_ENGAGES_X[action_c] & (sign_c > 0) & first_c)
        self.co_engagement.add(viewer_n[at_c[together]], media_c[together], ts_c[together])
        if self.positives is not None:
            liked = np.flatnonzero(_POSITIVE_X[action_c] & ~moved_c)
            self.positives.add(viewer_n[at_c[liked]], media_c[liked], sign_c[liked])

    def apply_embeddings(
        self, space: str, ids: Sequence[str], vectors_nd: NDArray[np.float32]
    ) -> None:
        """Add or change account vectors.

        Vectors of a space that is not live wait beside it until :meth:`name_space`.

        Raises:
            AccountIndexError: as :meth:`models.account_index.index.AccountIndex.upsert` does.
        """
        if not ids:
            return
        rows = self.catalog.intern_accounts(ids)
        self._spaces.upsert(space, ids, rows, vectors_nd, self.catalog.gone_account_a[rows])

    def remove_embeddings(self, space: str, ids: Sequence[str]) -> None:
        """Forget the vectors of accounts in one space; what is not there is ignored."""
        if ids:
            self._spaces.remove(space, ids, self.catalog.author_rows(ids))

    def name_space(self, name: str, complete_at: int = 0) -> None:
        """Say which space is live.

        The space that serves goes on doing so until the named one has `complete_at` accounts, or
        :meth:`settle` says that no more are on their way.
        """
        self._spaces.name(name, complete_at)

    def settle(self) -> None:
        """All that was told so far has been applied: the named space is live as it is."""
        self._spaces.settle()

    def forget(self, forgotten: ForgottenMarks) -> None:
        """Forget what viewers last acted on and liked, and what of them waits; sums stay.

        That they were counted is left out where it would leave this process: :meth:`stored`.
        """
        self.co_engagement.forget(forgotten.viewer_f)
        self.uncatalogued.forget(forgotten)
        if self.positives is not None:
            self.positives.forget(forgotten.viewer_f)

    def spaces(self) -> list[AccountSpace]:
        """The live space and those that wait or were left."""
        return self._spaces.all()

    # Arrays.

    def to_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Everything that updates made, but item weights and positives, and JSON that describes it.

        Numbers are copied and texts are not, so that it is quick and stays as it is; what comes of
        it goes through :meth:`stored` before it is written. Another thread may do it, as long as
        no update is applied meanwhile.
        """
        spaces, live = self._spaces.to_arrays(self.catalog.author_rows)
        parts: dict[str, Arrays] = {
            "catalog": self.catalog.to_arrays(),
            "details": {} if self.details is None else self.details.to_arrays(),
            "popularity": self.popularity.to_arrays(),
            "co_engagement": self.co_engagement.to_arrays(),
            "counted": self._counted.to_arrays(),
            "held_back": self._held_back.to_arrays(),
            "uncatalogued": self.uncatalogued.to_arrays(),
            "referred": {"media": np.array(sorted(self._referred), np.int32)},
            "images": self.images.to_arrays(),
            "spaces": spaces,
        }
        for at, trend in enumerate(self.trends):
            parts[f"trends.{at}"] = trend.to_arrays()
        arrays = {k: v for name, part in parts.items() for k, v in prefixed(name, part).items()}
        return arrays, {"formats": dict(FORMATS), "made_with": self._made_with(), **live}

    @staticmethod
    def stored(arrays: Arrays, forgotten: ForgottenMarks = NOBODY) -> dict[str, NDArray[Any]]:
        """Arrays of :meth:`to_arrays` as an artifact takes them, without what these viewers did."""
        counted = CountedOnce.without(part_of(arrays, "counted"), forgotten)
        held_back = HeldBack.without(part_of(arrays, "held_back"), forgotten)
        return packed(
            {**arrays, **prefixed("counted", counted), **prefixed("held_back", held_back)}
        )

    @classmethod
    def from_arrays(
        cls,
        arrays: Arrays,
        meta: Mapping[str, Any],
        config: WorldConfig,
        forgotten: ForgottenMarks = NOBODY,
        made_ms: int = 0,
    ) -> Self:
        """A world of what :meth:`stored` gave; the arrays are kept, not copied.

        Args:
            forgotten: viewers of whom the arrays may still tell; the world does not.
            made_ms: when the arrays were made, epoch ms.

        Raises:
            StoredArraysError: the arrays have other formats, were made with other settings, or are
                not such arrays.
        """
        world = cls(config)
        formats = meta.get("formats")
        if not isinstance(formats, dict) or formats != dict(FORMATS):
            told = formats if isinstance(formats, dict) else {}
            other = {k: told.get(k) for k in FORMATS if told.get(k) != FORMATS[k]} or formats
            raise StoredArraysError(f"it has format {other}, this build reads {dict(FORMATS)}")
        made_with = world._made_with()
        if meta.get("made_with") != made_with:
            raise StoredArraysError(
                f"it was made with {meta.get('made_with')}, the settings here are {made_with}"
            )
        parts = {name: part_of(arrays, name) for name in FORMATS}
        world.catalog = Catalog.from_arrays(parts["catalog"])
        if world.details is not None:
            world.details = Details.from_arrays(parts["details"])
        media, accounts = world.catalog.media_count, world.catalog.account_count
        world.popularity.load(parts["popularity"], accounts)
        for at, trend in enumerate(world.trends):
            trend.load(part_of(parts["trends"], str(at)))
        world.co_engagement.load(parts["co_engagement"], media)
        world._counted.load(CountedOnce.without(parts["counted"], forgotten))
        world._held_back.load(HeldBack.without(parts["held_back"], forgotten), accounts)
        world.uncatalogued.load(parts["uncatalogued"])
        referred = taken(parts["referred"], "media", np.int32, ANY, rows=media)
        world._referred = set(referred.tolist())
        world.images.load(parts["images"], media)
        world._spaces.load(parts["spaces"], meta, world.catalog.author_ids, accounts)
        if forgotten:
            world.uncatalogued.forget(forgotten)
            # What was last acted on has no time; whoever was forgotten before it was made is not
            # in it any more. Clocks may be an hour off.
            late_f = forgotten.until_ms_f >= made_ms - HOUR_MS
            world.co_engagement.forget(forgotten.viewer_f[late_f])
        return world

    def _made_with(self) -> dict[str, Any]:
        """What the content depends on beside updates, as JSON gives it back."""
        told = {"config": self.config, "actions": [action.name for action in Action]}
        made_with: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(told))
        return made_with

    def content_hash(self) -> str:
        """Hash of everything that updates made, to the bit: two worlds that go on alike."""
        arrays, meta = self.to_arrays()
        return content_hash(self.stored(arrays), meta)

    # Reads.

    def vectors_of(self, account_rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Unit vectors_nd of accounts (zeros where there is none) and whether each has one."""
        if self.space is None:
            return np.zeros((len(account_rows), 1), np.float32), np.zeros(
                len(account_rows), np.bool_
            )
        return self.space.vectors_of(account_rows)

    def worth(self, media_rows: Rows, now_ms: int) -> NDArray[np.float64]:
        """What media are worth to everybody, (n, p) for times from short to long."""
        shortest, *longer = self.trends
        told = [shortest.worth(media_rows, now_ms), self.popularity.score(media_rows, now_ms)]
        told += [trend.worth(media_rows, now_ms) for trend in longer]
        return np.stack(told, axis=1)

    def held_accounts(self, now_ms: int) -> Rows:
        """Accounts that are held back (:mod:`models.inventory.held_back`), ascending rows."""
        return self._held_back.accounts(self.catalog.account_count, now_ms)

    def why_held(self, account_row: int, now_ms: int) -> Held | None:
        """What an account is held back for; None where it is not."""
        return self._held_back.why(account_row, self.catalog.account_count, now_ms)

    def lift(self, weights: ItemWeights, now_ms: int) -> NDArray[np.float32] | None:
        """What the summed weights of each slot are multiplied by; None for nothing.

        Looked at once a minute: worth moves slowly beside one viewer's likes.
        """
        if weights.appeal is None:
            return None
        minute = now_ms // MINUTE_MS
        if self._lifted is None or self._lifted[:2] != (weights, minute):
            lift_s = weights.appeal.lift(self.worth(weights.media_s, now_ms))
            self._lifted = weights, minute, lift_s
        return self._lifted[2]

    @property
    def space(self) -> AccountSpace | None:
        """The live embedding space, None where it has no vectors."""
        return self._spaces.live

    @property
    def space_name(self) -> str:
        """Name of the live embedding space, empty where there is none."""
        return self.space.name if self.space is not None else ""

    def index_version(self) -> str:
        """Number of the account index within its space; every change of a vector counts it up."""
        return str(self.space.index.version) if self.space is not None else ""
