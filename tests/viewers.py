"""What a test asks of a viewer's state."""

from __future__ import annotations

from models.viewers.state import ViewerState, history


def seen_media(state: ViewerState) -> set[str]:
    """Media the viewer viewed or acted on, as far back as the caps reach."""
    known = history(state)
    return {entry.media_id for entry in known.done}.union(known.older)
