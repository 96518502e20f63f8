"""The catalogue as people look at it: records, profiles, and every record browsed once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.http.catalogue import Browse
from models.actions import Action
from models.events import Account, Integrity, Media, MediaEvent
from models.world import World, WorldConfig
from streams.serving import directory as directories
from streams.serving.directory import Directory

NOW = 1_700_000_000_000


def world_of(media: list[Media], accounts: list[Account]) -> World:
    world = World(WorldConfig(details=True))
    world.apply_accounts(accounts)
    world.apply_media(media)
    return world


@pytest.fixture
def world() -> World:
    """Account a0 with ten posts, the seventh of which is liked; a1 near it, a2 disabled."""
    world = world_of(
        [Media(f"m{n}", "a0", NOW - n * 1000, topics=("sea", "sun")) for n in range(10)]
        + [
            Media("told", "a1", NOW, Integrity(0.5), ("city",), "pt", "https://pictures.example/1"),
            Media("hidden", "a2", NOW),
            Media("gone", "a1", NOW, deleted=True),
        ],
        [Account("a0", ("sea",)), Account("a2", disabled=True), Account("a3", private=True)],
    )
    vectors = np.array([[1, 0], [1, 0.1]], np.float32)
    world.apply_embeddings("s", ["a0", "a1"], vectors)
    world.apply_events([(Action.LIKE, MediaEvent("e", "v", "m6", NOW, "a0"))])
    return world


def test_a_media_is_told_as_the_catalogue_told_it(world: World) -> None:
    told = Directory(world).media("told")
    assert (told.author_id, told.created_ts, told.topics) == ("a1", NOW, ["city"])
    assert (told.language, told.image_url) == ("pt", "https://pictures.example/1")
    assert told.integrity == Integrity(nsfw=0.5)
    assert (told.deleted, told.available) == (False, True)
    plain = Directory(world).media("m6")
    assert (plain.topics, plain.language, plain.image_url) == (["sea", "sun"], None, None)
    assert plain.counts["like"] > plain.counts["save"] == 0.0
    assert plain.score > 0.0


def test_what_is_not_shown_says_so(world: World) -> None:
    directory = Directory(world)
    gone, hidden = directory.media("gone"), directory.media("hidden")
    assert (gone.deleted, gone.available) == (True, False)
    assert (hidden.deleted, hidden.available) == (False, False)
    world.apply_events([(Action.LIKE, MediaEvent("e2", "v", "only liked", NOW))])
    unknown = directory.media("only liked")
    assert (unknown.author_id, unknown.deleted, unknown.available) == (None, True, False)


def test_a_profile_has_posts_and_neighbours(world: World) -> None:
    newest = Directory(world).profile("a0", 3, False, 5)
    assert [post.media_id for post in newest.posts] == ["m0", "m1", "m2"]
    assert [near.account.account_id for near in newest.neighbours] == ["a1"]
    assert 0.9 < newest.neighbours[0].score < 1.0
    popular = Directory(world).profile("a0", 1, True, 0)
    assert [post.media_id for post in popular.posts] == ["m6"]
    assert popular.neighbours == []
    assert newest.account.has_vector
    assert newest.account.topics == ["sea"]


def test_accounts_say_what_became_of_them(world: World) -> None:
    world.remove_accounts(["a0"])
    told = {
        one.account_id: one
        for one in Directory(world).accounts_of(["a3", "a2", "a1", "a0"]).accounts
    }
    says = {name: (a.listed, a.private, a.disabled, a.deleted) for name, a in told.items()}
    assert list(says.items()) == [
        ("a3", (True, True, False, False)),
        ("a2", (True, False, True, False)),
        ("a1", (False, False, False, False)),
        ("a0", (False, False, False, True)),
    ]


def test_ids_that_nobody_told_of_are_said(world: World) -> None:
    directory = Directory(world)
    for ask in (
        lambda: directory.media("x"),
        lambda: directory.profile("x", 1, False, 1),
        lambda: directory.browse_media(Browse(author="x")),
        lambda: directory.browse_media(Browse(after="x")),
        lambda: directory.browse_accounts(Browse(after="x")),
        lambda: directory.browse_media(Browse(author="a1", after="m1")),
    ):
        with pytest.raises(LookupError, match=r"x|m1"):
            ask()
    assert directory.media_of(["x", "m1", "m1"]).media == [directory.media("m1")]


@given(
    st.lists(
        st.tuples(st.text("ab", max_size=3), st.sampled_from("AB"), st.sampled_from("st")),
        max_size=40, unique_by=lambda row: row[0],
    ),
    st.sampled_from([None, "s", "t", "u"]), st.sampled_from([None, "A"]),
    st.text("ab", max_size=2), st.integers(1, 5), st.integers(1, 7), st.sets(st.integers(0, 39)),
)  # fmt: skip
def test_browsing_finds_each_that_fits_once(
    rows: list[tuple[str, str, str]], topic: str | None, author: str | None, prefix: str,
    limit: int, step: int, deleted: set[int],
) -> None:  # fmt: skip
    media = [
        Media(f"m{name}", of, NOW + n, topics=(about,), deleted=n in deleted)
        for n, (name, of, about) in enumerate(rows)
    ]
    directory = Directory(world_of(media, [Account("A", ("s",))]))
    wanted = [
        one.media_id
        for n, one in reversed(list(enumerate(media)))
        if n not in deleted and one.media_id.startswith(f"m{prefix}")
        and topic in (None, one.topics[0]) and author in (None, one.author_id)
    ]  # fmt: skip
    found, after = list[str](), None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directories, "MOST_COMPARED", step)
        patch.setattr(directories, "MOST_NAMED", step)
        for _ in range(100):
            page = directory.browse_media(
                Browse(topic=topic, author=author, prefix=f"m{prefix}", after=after, limit=limit)
            )
            assert len(page.media) <= limit
            found += [one.media_id for one in page.media]
            after = page.next
            if after is None:
                break
    assert found == wanted


def test_accounts_are_browsed_by_topic_and_prefix() -> None:
    accounts = [Account(f"a{n}", ("sea" if n % 2 else "sun",)) for n in range(30)]
    directory = Directory(world_of([], accounts))
    page = directory.browse_accounts(Browse(topic="sea", prefix="a1", limit=4))
    assert [one.account_id for one in page.accounts] == ["a19", "a17", "a15", "a13"]
    rest = directory.browse_accounts(Browse(topic="sea", prefix="a1", limit=4, after=page.next))
    assert [one.account_id for one in rest.accounts] == ["a11", "a1"]
    assert rest.next is None
