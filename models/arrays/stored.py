"""Columns as the arrays of an artifact, and back: what is stored is checked before it is believed.

Names of arrays are paths: ``catalog.media.author`` is the column ``author`` of a part of a part.
Texts are arrays of objects here, which no artifact takes: :func:`packed` makes two of each,
``NAME.text`` and ``NAME.ends``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

from models.arrays.packed_ids import pack_blobs, pack_ids, unpack_blobs, unpack_ids

Arrays = Mapping[str, NDArray[Any]]
#: Any length.
ANY: Final = -1
#: Bytes copied at once, references to texts among them: other threads may have to wait meanwhile.
_AT_ONCE: Final = 1 << 18


class StoredArraysError(ValueError):
    """Arrays that are not those of the object that is to be made of them."""


def prefixed(part: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """The arrays of a part, by the names that they have in the whole."""
    return {f"{part}.{name}": array for name, array in arrays.items()}


def part_of(arrays: Arrays, part: str) -> dict[str, NDArray[Any]]:
    """The arrays of a part, by the names that they have in it."""
    prefix = f"{part}."
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def taken(
    arrays: Arrays, name: str, dtype: DTypeLike, *shape: int, rows: int | None = None
) -> NDArray[Any]:
    """An array that is there, of this type and shape.

    Args:
        shape: :data:`ANY` where any length will do.
        rows: it holds rows or codes of a table of so many, or −1.

    Raises:
        StoredArraysError: it is not.
    """
    array = arrays.get(name)
    if array is None:
        raise StoredArraysError(f"array {name!r} is missing")
    fits = array.ndim == len(shape) and all(
        wanted in (ANY, found) for wanted, found in zip(shape, array.shape, strict=True)
    )
    if array.dtype != np.dtype(dtype) or not fits:
        raise StoredArraysError(
            f"array {name!r} is {array.dtype} {array.shape}, not {np.dtype(dtype)} "
            f"{tuple(shape)}".replace(f"{ANY}", "n")
        )
    if rows is not None and array.size and (array.min() < -1 or array.max() >= rows):
        raise StoredArraysError(f"array {name!r} names rows that a table of {rows} does not have")
    return array


def copied(array: NDArray[Any]) -> NDArray[Any]:
    """A copy, made in steps between which other threads have their turn."""
    copy = np.empty_like(array)
    step = max(_AT_ONCE * len(array) // max(array.nbytes, 1), 1)
    for start in range(0, len(array), step):
        copy[start : start + step] = array[start : start + step]
    return copy


def packed(arrays: Arrays) -> dict[str, NDArray[Any]]:
    """The arrays with texts as numbers; None is an empty text."""
    found: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        if array.dtype == object:
            found[f"{name}.text"], found[f"{name}.ends"] = pack_ids(array)
        else:
            found[name] = array
    return found


def texts(arrays: Arrays, name: str, count: int | None = None) -> list[str]:
    """Texts that :func:`packed` packed.

    Raises:
        StoredArraysError: they are not there, are damaged, or are not `count`.
    """
    blob = taken(arrays, f"{name}.text", np.uint8, ANY)
    ends_n = taken(arrays, f"{name}.ends", np.int64, ANY if count is None else count)
    try:
        return unpack_ids(blob, ends_n)
    except ValueError as error:
        raise StoredArraysError(f"texts {name!r} cannot be read: {error}") from error


def packed_bytes(name: str, blobs: Sequence[bytes]) -> dict[str, NDArray[Any]]:
    """Many bytes, as :func:`packed` makes texts two arrays."""
    blob, ends_n = pack_blobs(blobs)
    return {f"{name}.bytes": blob, f"{name}.ends": ends_n}


def bytes_of(arrays: Arrays, name: str, count: int | None = None) -> list[bytes]:
    """What :func:`packed_bytes` packed.

    Raises:
        StoredArraysError: they are not there, are damaged, or are not `count`.
    """
    blob = taken(arrays, f"{name}.bytes", np.uint8, ANY)
    ends_n = taken(arrays, f"{name}.ends", np.int64, ANY if count is None else count)
    try:
        return unpack_blobs(blob, ends_n)
    except ValueError as error:
        raise StoredArraysError(f"bytes {name!r} cannot be read: {error}") from error


def number_of(meta: Mapping[str, Any], name: str) -> int:
    """A whole number, 0 or more, of what describes arrays.

    Raises:
        StoredArraysError: it is not there.
    """
    number = meta.get(name)
    if not isinstance(number, int) or number < 0:
        raise StoredArraysError(f"{name!r} is {number!r}, not a whole number")
    return number


def described(meta: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What describes the arrays of a part.

    Raises:
        StoredArraysError: it is not there.
    """
    told = meta.get(name)
    if not isinstance(told, dict):
        raise StoredArraysError(f"{name!r} is not described")
    return told


def content_hash(arrays: Arrays, meta: Mapping[str, Any]) -> str:
    """Hash of arrays of numbers and of the JSON beside them, to the bit."""
    digest = blake2b(msgspec.json.encode(meta, order="deterministic"), digest_size=16)
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def as_objects(values: Iterable[object]) -> NDArray[Any]:
    """Values as an array of references; NumPy itself would take texts for characters."""
    listed = list(values)
    array = np.empty(len(listed), object)
    array[:] = listed
    return array


def as_texts(values: Iterable[str | None]) -> NDArray[Any]:
    """Texts as :func:`packed` takes them."""
    return as_objects(values)
