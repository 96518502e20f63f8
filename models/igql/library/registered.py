"""The registry that the modules of this package fill."""

from typing import Final

from models.igql.registry import Registry

#: The built-in operators.
operators: Final = Registry()
