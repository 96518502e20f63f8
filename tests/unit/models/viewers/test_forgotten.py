"""Who is forgotten is refused, until allowed, and what was before stays so."""

from __future__ import annotations

import itertools

from models.ig2vec.histories import Histories, Step
from models.inventory.viewer_marks import pseudonym
from models.viewers.forgotten import Forgotten, ForgottenViewers


def test_any_order_of_what_was_said_ends_the_same() -> None:
    said = [
        Forgotten.of("ann", 10),
        Forgotten.of("ann", 20, allowed=True),
        Forgotten.of("ann", 30),
        Forgotten.of("ann", 40, allowed=True),
    ]
    for order in itertools.permutations(said):
        viewers = ForgottenViewers()
        for one in order:
            viewers.hear(one)
        assert [viewers.refuses("ann", ts) for ts in (0, 40, 41)] == [True, True, False]
        assert not viewers.refuses("bob", 0)


def test_it_is_told_who_is_newly_forgotten() -> None:
    viewers = ForgottenViewers()
    assert viewers.hear(Forgotten.of("ann", 10))
    assert not viewers.hear(Forgotten.of("ann", 11))
    assert viewers.is_forgotten("ann")
    assert not viewers.hear(Forgotten.of("ann", 12, allowed=True))
    assert not viewers.is_forgotten("ann")
    assert viewers.hear(Forgotten.of("ann", 13))


def test_an_id_is_not_said() -> None:
    assert "ann" not in repr(Forgotten.of("ann", 10))
    assert pseudonym("ann") != pseudonym("ann ")


def test_histories_of_the_forgotten_are_gone() -> None:
    histories = Histories()
    for viewer in ("ann", "bob"):
        histories.add(viewer, [Step(f"a of {viewer}", 0, 1), Step(f"b of {viewer}", 0, 2)])
    histories.forget(lambda viewer: viewer == "ann")
    assert len(histories) == 1
    assert "ann" not in repr(histories.corpus())
    assert "ann" not in repr(histories.lesson())
