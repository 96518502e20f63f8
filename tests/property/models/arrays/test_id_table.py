"""Ids against a dict."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.arrays import id_table as ids_module
from models.arrays.id_table import Hashes, Ids
from models.arrays.types import UNKNOWN

names = st.integers(0, 400).map(str) | st.text("aü", max_size=2)


def crowded(ids: Collection[str]) -> Hashes:
    """Hashes that all begin at the same slot, and many of which take the same steps."""
    return np.array([int.from_bytes(name.encode().rjust(4, b"\1")) << 24 for name in ids], np.int64)


@pytest.mark.parametrize("hashes", [ids_module._hashes, crowded])
@given(steps=st.lists(st.lists(names, max_size=60), max_size=8), asked=st.lists(names))
def test_ids_equal_a_dict(hashes, steps: list[list[str]], asked: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids_module, "_hashes", hashes)
        found, truth = Ids(), {}
        for step in steps:
            # New ids get the next rows, in the order in which they first stand there.
            rows = [truth.setdefault(name, len(truth)) for name in step]
            assert found.intern(step).tolist() == rows
            assert found.names(np.array(rows, np.int32)) == step
        assert len(found) == len(truth)
        assert found.rows(asked).tolist() == [truth.get(name, UNKNOWN) for name in asked]
        assert [found.row(name) for name in asked] == [truth.get(n, UNKNOWN) for n in asked]
