"""What training needs of the torch twin of a body of the final pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar

from torch import Tensor, nn

from models.arrays.types import Float
from models.rankers.body import Body

BodyType = TypeVar("BodyType", bound=Body)


class BodyNetwork(nn.Module, ABC, Generic[BodyType]):
    """How a body learns. Another one is a subclass in a module of :mod:`models.training.bodies`."""

    #: The body that it learns for.
    body: ClassVar[type[Any]]

    @classmethod
    @abstractmethod
    def new(cls, members: int, widths: Sequence[int], dropout: float) -> Self:
        """A network that has learnt nothing.

        Args:
            members: networks of an ensemble.
            widths: of the inputs, the hidden layers and the outputs.
            dropout: share of the inputs that is left out in training.
        """

    @abstractmethod
    def begin(self, weights_fo: Float, bias_o: Float) -> None:
        """Make a new network give the first inputs times these weights, plus the bias."""

    @abstractmethod
    def forward(self, x_ni: Tensor) -> Tensor:
        """Outputs (members, n, outputs); their mean over the members is what is served."""

    @abstractmethod
    def freeze(self) -> BodyType:
        """A copy of the weights in NumPy, to serve with."""

    @classmethod
    @abstractmethod
    def thaw(cls, body: BodyType, dropout: float) -> Self:
        """The network with these weights, to learn on from."""
