"""The torch twins of the bodies of the final pass, one a module: each module here is imported.

A twin must not know heads, losses or examples: it turns inputs into outputs.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from models.rankers.body import Body
from models.training.body import BodyNetwork

for _module in iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)


def network_of(body: type[Body]) -> type[BodyNetwork[Any]]:
    """The torch twin of a body.

    Raises:
        LookupError: no module here has one.
    """
    for network in BodyNetwork.__subclasses__():
        if network.body is body:
            return network
    raise LookupError(f"nothing trains {body.__name__}: add its twin to models/training/bodies")
