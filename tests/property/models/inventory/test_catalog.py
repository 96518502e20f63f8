"""The catalogue and popularity against brute force under random updates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.arrays.growing import TopRows
from models.events import Account, Media
from models.inventory import catalog as catalog_module
from models.inventory.catalog import Catalog
from models.inventory.popularity import ACTIONS, Popularity, PopularityConfig

media_ids = st.sampled_from([f"m{i}" for i in range(12)])
author_ids = st.sampled_from([f"a{i}" for i in range(4)])
upserts = st.lists(
    st.builds(
        Media,
        media_id=media_ids,
        author_id=author_ids,
        created_ts=st.integers(0, 9),
        deleted=st.booleans(),
    ),
    max_size=6,
)
deletes = st.lists(media_ids, max_size=4)
steps = st.lists(st.one_of(upserts, deletes), max_size=12)


def apply(catalog: Catalog, truth: dict[str, Media], step: list[Media] | list[str]) -> None:
    if step and isinstance(step[0], str):
        catalog.delete_media(step)
        for name in step:
            truth.pop(name, None)
    elif step:
        catalog.upsert_media(step)
        for media in step:
            truth[media.media_id] = media
            if media.deleted:
                del truth[media.media_id]


def newest_first(catalog: Catalog, media: list[Media]) -> list[str]:
    def key(one: Media) -> tuple[int, int]:
        return (-one.created_ts, -int(catalog.media_rows([one.media_id])[0]))

    return [one.media_id for one in sorted(media, key=key)]


@pytest.mark.parametrize("bulk", [1, 3, 10_000])
@given(steps=steps, per_author=st.integers(1, 5))
def test_posts_of_authors_equal_brute_force(
    bulk: int, steps: list[list[Media] | list[str]], per_author: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog_module, "_BULK", bulk)
        catalog, truth = Catalog(), {}
        authors = [f"a{i}" for i in range(4)]
        rows = catalog.intern_accounts(authors)
        for step in steps:
            apply(catalog, truth, step)
            media, at = catalog.posted_by(rows, per_author)
            found = list(zip(at.tolist(), catalog.media_ids(media), strict=True))
            expected = [
                (position, name)
                for position, author in enumerate(authors)
                for name in newest_first(
                    catalog, [m for m in truth.values() if m.author_id == author]
                )[:per_author]
            ]
            assert found == expected
            assert catalog.live_media_count == len(truth)


@given(steps=steps, k=st.integers(1, 12))
def test_newest_media_equal_brute_force(steps: list[list[Media] | list[str]], k: int) -> None:
    catalog, truth = Catalog(), {}
    catalog._newest = TopRows(pool=3)
    for step in steps:
        apply(catalog, truth, step)
        rows = catalog.newest(k)
        times = [truth[name].created_ts for name in catalog.media_ids(rows)]
        assert times == sorted((m.created_ts for m in truth.values()), reverse=True)[:k]
        assert len(set(rows.tolist())) == len(rows)


@given(
    data=st.lists(
        st.lists(
            st.tuples(st.integers(0, 30), st.floats(-5, 5, allow_nan=False)), min_size=1, max_size=8
        ),
        max_size=10,
    ),
    k=st.integers(1, 10),
    pool=st.integers(1, 12),
)
def test_top_rows_equal_a_full_sort(data: list[list[tuple[int, float]]], k: int, pool: int) -> None:
    top, key_n = TopRows(pool), np.zeros(31)
    for changes in data:
        for row, key in changes:
            key_n[row] = key
        top.touch(np.array([row for row, _ in changes], np.int32))
        order = np.lexsort((np.arange(31), -key_n))
        assert top.best(key_n, k).tolist() == [row for row in order[:k] if key_n[row] > 0]


def test_a_media_only_referred_to_has_a_row_but_is_no_post() -> None:
    catalog = Catalog()
    (row,) = catalog.intern_media(["m"])
    assert catalog.deleted_n[row]
    assert catalog.author_of("m") is None
    catalog.upsert_media([Media("m", "a", 5)])
    assert catalog.author_of("m") == "a"
    assert catalog.media_rows(["m", "x"]).tolist() == [row, -1]
    assert catalog.newest(3).tolist() == [row]


def test_an_account_is_hidden_and_shown_again() -> None:
    catalog = Catalog()
    (row,) = catalog.upsert_accounts([Account("a", disabled=True, topics=("birds", "sky"))])
    assert catalog.hidden_account_a[row]
    assert catalog.topic_name(int(catalog.account_topic_a[row])) == "birds"
    catalog.upsert_accounts([Account("a", private=True), Account("a")])
    assert not catalog.hidden_account_a[row]


DAY = 86_400_000
NOW = 1_700_000_000_000
events = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.integers(0, ACTIONS - 1),
        st.integers(NOW - 30 * DAY, NOW),
    ),
    max_size=40,
)


def add(popularity: Popularity, batch: list[tuple[int, int, int]], sign: int = 1) -> None:
    columns = np.array(batch, np.int64).reshape(-1, 3).T
    popularity.add(columns[0].astype(np.int32), columns[1], columns[2], sign)


def attribute(popularity: Popularity, author_of: dict[int, int]) -> None:
    popularity.attribute(
        np.array(list(author_of), np.int32), np.array(list(author_of.values()), np.int32)
    )


authors_of = st.dictionaries(st.integers(0, 5), st.integers(0, 3))


@given(
    events=events,
    cut=st.integers(0, 40),
    shift=st.integers(0, 60 * DAY),
    before=authors_of,
    after=authors_of,
)
def test_popularity_equals_brute_force_in_any_batches(
    events: list[tuple[int, int, int]],
    cut: int,
    shift: int,
    before: dict[int, int],
    after: dict[int, int],
) -> None:
    config = PopularityConfig(half_life_ms=DAY)
    popularity = Popularity(config)
    # In reverse and in two batches, and the authors change between: none of it decides anything.
    attribute(popularity, before)
    add(popularity, events[::-1][:cut])
    attribute(popularity, after)
    add(popularity, events[::-1][cut:])
    author_of = before | after
    now = NOW + shift
    media, authors, total = np.zeros((6, ACTIONS)), np.zeros((4, ACTIONS)), np.zeros(ACTIONS)
    for m, action, ts in events:
        weight = 2.0 ** ((ts - now) / DAY)
        total[action] += weight
        media[m, action] += weight
        if m in author_of:
            authors[author_of[m], action] += weight
    np.testing.assert_allclose(popularity.decayed_media(np.arange(6), now), media, 1e-9)
    np.testing.assert_allclose(popularity.decayed_authors(np.arange(4), now), authors, 1e-9, 1e-12)
    np.testing.assert_allclose(popularity.decayed_total(now), total, 1e-9)
    score = popularity.score(np.arange(6, dtype=np.int32), now)
    best = popularity.most_popular(6)
    assert set(best.tolist()) == set(np.flatnonzero(score > 0).tolist())
    assert (np.diff(score[best]) <= 1e-9).all()


def test_popularity_survives_decades_and_moves_its_landmark() -> None:
    popularity = Popularity(PopularityConfig(half_life_ms=DAY))
    for year in range(30):
        add(popularity, [(year % 3, 0, NOW + year * 365 * DAY)])
    last = NOW + 29 * 365 * DAY
    assert popularity.decayed_media(np.array([2]), last)[0, 0] == pytest.approx(1.0)
    assert popularity.decayed_media(np.array([1]), last)[0, 0] == pytest.approx(0.0)
    assert popularity.most_popular(1).tolist() == [2]
    assert np.isfinite(popularity.decayed_authors(np.array([0, -1, 99]), NOW - 9999 * DAY)).all()


def test_an_undo_takes_an_action_back_and_never_reads_below_zero() -> None:
    popularity = Popularity(PopularityConfig(half_life_ms=DAY))
    attribute(popularity, {0: 0, 1: 0})
    add(popularity, [(0, 0, NOW), (1, 0, NOW)])
    add(popularity, [(0, 0, NOW)], sign=-1)
    assert popularity.decayed_media(np.array([0, 1]), NOW)[:, 0].tolist() == [0.0, 1.0]
    assert popularity.decayed_authors(np.array([0]), NOW)[0, 0] == 1.0
    assert popularity.most_popular(5).tolist() == [1]
    add(popularity, [(1, 0, NOW + DAY)], sign=-1)
    assert popularity.decayed_media(np.array([1]), NOW + DAY)[0, 0] == 0.0
