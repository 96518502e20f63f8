"""The registry that the modules of this package fill, and what several of them declare."""

from typing import Final

from models.igql.registry import Arguments, Cost, Registry

#: The built-in operators.
operators: Final = Registry()


def cost_of_lists(rows: float, arguments: Arguments) -> Cost:
    """Of lists that stand ready: each viewer's are copied as far as is asked for."""
    found = rows * arguments["max_num_to_retrieve"]
    return Cost(found, 20.0 + 0.02 * found)
