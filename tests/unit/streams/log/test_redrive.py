"""What is refused to be sent again, without servers."""

from __future__ import annotations

import msgspec
import pytest

from infra.stores import Damaged
from streams.dead_letter import dead_letter_of_state, parse_dead_letter
from streams.log.dead_letters import DeadLetterId, StoredDeadLetter
from streams.log.redrive import RefusedError, _revive


@pytest.mark.parametrize("viewer", ["v", "a\\x00"])
@pytest.mark.parametrize("size", [10, 300_000])
async def test_a_damaged_state_is_no_record_to_send(viewer: str, size: int) -> None:
    letter = dead_letter_of_state(viewer, Damaged(bytes(size), "of no use"), 1)
    about = parse_dead_letter(letter.value)
    assert about is not None
    assert msgspec.json.decode(letter.value or b"")["truncated"] == (size > 262_144)
    stored = StoredDeadLetter(DeadLetterId(0, 0), viewer.encode(), about)
    with pytest.raises(RefusedError, match="about no record") as refused:
        await _revive(None, stored, None)
    assert refused.value.reason == "no_record"
