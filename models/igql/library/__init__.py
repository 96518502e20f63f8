"""The built-in operators, each declared and implemented in one place.

An operator must not know the query that it stands in.

``operators`` holds them all: what a module of this package registers is there. User code adds to
a copy of it::

    mine = operators.copy()

    @mine.register(takes=SetType.VIEWER, gives=SetType.MEDIA, source=True, ...)
    def nearby(execution, viewers, arguments): ...

A built-in one is a function in a module here and ``make generate``. A source that the features tell
apart stands in :data:`models.feature_schema.SOURCES`, too.
"""

from importlib import import_module
from pkgutil import iter_modules

from models.igql.library.registered import operators

__all__ = ["operators"]

for _module in iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)

operators.complete()
