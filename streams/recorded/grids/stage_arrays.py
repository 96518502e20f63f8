"""What stages give as named arrays, and back: vectors, item weights, examples, choices, grids."""

from __future__ import annotations

import numpy as np

from models.examples.choices import Choices
from models.item_to_item.weights import ItemWeights
from streams.acted.serving import Vectors
from streams.recorded.grids.production import Made
from streams.recorded.grids.stages import Arrays


def vectors_arrays(vectors: Vectors | None) -> Arrays:
    """Ids and their vectors; no ids where there are no vectors."""
    if vectors is None:
        return {"ids": np.zeros(0, "U1"), "vectors": np.zeros((0, 1), np.float32)}
    return {"ids": np.array(vectors[0]), "vectors": vectors[1]}


def vectors_of(arrays: Arrays) -> Vectors | None:
    """What was given to :func:`vectors_arrays`, from what it gave."""
    if not len(arrays["ids"]):
        return None
    return [str(name) for name in arrays["ids"]], arrays["vectors"]


def items_arrays(items: ItemWeights | None) -> Arrays:
    """Item weights under names that begin with ``items.``; no media where there are none."""
    if items is None:
        return {"items.media": np.zeros(0, np.int32)}
    stored = {f"items.{name}": array for name, array in items.to_arrays([]).items()}
    return {"items.media": items.media_s, **stored}


def items_of(arrays: Arrays) -> ItemWeights | None:
    """What was given to :func:`items_arrays`, from what it gave."""
    media_s = arrays["items.media"]
    if not len(media_s):
        return None
    stored = {name.removeprefix("items."): array for name, array in arrays.items()}
    return ItemWeights.from_arrays(stored, media_s, "")


def choices_arrays(choices: Choices) -> Arrays:
    """Choices under names that begin with ``choices.``."""
    return {f"choices.{name}": getattr(choices, name) for name in Choices.__struct_fields__}


def choices_of(arrays: Arrays) -> Choices:
    """What was given to :func:`choices_arrays`, from what it gave."""
    return Choices(**{name: arrays[f"choices.{name}"] for name in Choices.__struct_fields__})


def made_arrays(made: Made) -> Arrays:
    """Lists of media, a row a grid, under the names of their fields."""
    return {name: getattr(made, name) for name in Made.__dataclass_fields__}


def made_of(arrays: Arrays) -> Made:
    """What was given to :func:`made_arrays`, from what it gave."""
    return Made(**{name: arrays[name] for name in Made.__dataclass_fields__})
