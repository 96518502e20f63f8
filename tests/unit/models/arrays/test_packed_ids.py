"""Ids survive as arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.arrays.packed_ids import pack_ids, unpack_ids


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_any_ids_come_back(ids: list[str]) -> None:
    assert unpack_ids(*pack_ids(ids)) == ids


@pytest.mark.parametrize("ends", [[], [2], [2, 4], [3, 1, 3], [-1, 3]])
def test_offsets_that_do_not_fit_are_refused(ends: list[int]) -> None:
    blob, _ = pack_ids(["abc"])
    with pytest.raises(ValueError, match="do not fit 3 bytes"):
        unpack_ids(blob, np.array(ends, dtype=np.int64))
