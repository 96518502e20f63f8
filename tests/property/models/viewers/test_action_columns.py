"""Action logs read as columns against action logs read record by record."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.actions import Action
from models.events import MediaEvent
from models.viewers.action_columns import read_actions
from models.viewers.state import SLACK, FoldConfig, ViewerState, fold_media_event, history

CONFIG = FoldConfig(max_strong=8, max_views=6)

actions = st.lists(
    st.tuples(
        st.sampled_from(list(Action)),
        st.sampled_from(["m", "ü", "日本", "m\N{PILE OF POO}", "x" * 255]),
        st.sampled_from(["a", "ñ", "作者"]),
        st.integers(0, 5),
        st.booleans(),
    ),
    max_size=SLACK + 20,
)


def state_of(steps: list[tuple[Action, str, str, int, bool]]) -> ViewerState:
    state = ViewerState()
    for number, (action, media_id, author_id, ts, undo) in enumerate(steps):
        event = MediaEvent(
            event_id=f"e{number}", viewer_id="v", media_id=media_id, ts=1 << 40 | ts, undo=undo
        )
        fold_media_event(state, action, event, author_id, CONFIG)
    return state


@given(viewers=st.lists(actions, max_size=4))
def test_columns_equal_records(viewers: list[list[tuple[Action, str, str, int, bool]]]) -> None:
    states = [state_of(steps) for steps in viewers]
    read = read_actions(states)
    assert len(read.spans) == len(states)
    for state, span, undid in zip(states, read.spans, read.undid, strict=True):
        done = history(state).done[::-1]
        assert read.media_ids[span] == [entry.media_id for entry in done]
        assert read.author_ids[span] == [entry.author_id for entry in done]
        assert read.action_e[span].tolist() == [entry.action for entry in done]
        assert read.ts_e[span].tolist() == [entry.ts for entry in done]
        assert undid == any(e.undo for e in (*state.strong.entries(), *state.views.entries()))
