"""The built-in operators, each declared and implemented in one place.

``operators`` holds them all. User code adds to a copy of it::

    mine = operators.copy()

    @mine.register(takes=SetType.VIEWER, gives=SetType.MEDIA, source=True, ...)
    def nearby(execution, viewers, arguments): ...
"""

from models.igql.library import (
    accounts,
    actions,
    co_engaged,
    everybody,
    filters,
    ordering,
    similar_image,
)
from models.igql.library.registered import operators

operators.complete()

__all__ = [
    "accounts",
    "actions",
    "co_engaged",
    "everybody",
    "filters",
    "operators",
    "ordering",
    "similar_image",
]
