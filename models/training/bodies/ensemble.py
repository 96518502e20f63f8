"""The torch twin of :mod:`models.rankers.ensemble`: members learn apart, each on its own view.

Every member sees the rows with other inputs left out (dropout, Srivastava et al. 2014). What few
inputs tell is so not learnt by heart, and the members come to rely on different ones, which is
what makes their mean better than each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn

from models.arrays.types import Float
from models.rankers.ensemble import Ensemble
from models.training.body import BodyNetwork


class EnsembleNetwork(BodyNetwork[Ensemble]):
    """Linear terms and the members beside them.

    Args:
        members: how many networks.
        widths: of the inputs, the hidden layers and the outputs of a member.
        dropout: share of the inputs that is left out in training.

    The members' last layers begin at zero, so that the linear terms begin alone.
    """

    body = Ensemble

    def __init__(self, members: int, widths: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.members = members
        self.dropout = dropout
        self.linear_io = nn.Parameter(torch.zeros(widths[0], widths[-1]))
        self.bias_o = nn.Parameter(torch.zeros(widths[-1]))
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for inputs, outputs in pairwise(widths):
            bound = inputs**-0.5
            self.weights.append(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
            self.biases.append(torch.empty(members, 1, outputs).uniform_(-bound, bound))
        nn.init.zeros_(self.weights[-1])
        nn.init.zeros_(self.biases[-1])

    @classmethod
    def new(cls, members: int, widths: Sequence[int], dropout: float) -> Self:
        """Members that have learnt nothing, see the class."""
        return cls(members, widths, dropout)

    @torch.no_grad()
    def begin(self, weights_fo: Float, bias_o: Float) -> None:
        """Set the linear terms; the members have no say yet."""
        self.linear_io[: len(weights_fo)] = torch.from_numpy(weights_fo)
        self.bias_o.copy_(torch.from_numpy(bias_o))

    def forward(self, x_ni: Tensor) -> Tensor:
        """Outputs of each member with the linear terms, (members, n, outputs)."""
        x_kni = x_ni.expand(self.members, *x_ni.shape)
        x_kni = nn.functional.dropout(x_kni, self.dropout, self.training)
        linear_kno = x_kni @ self.linear_io + self.bias_o
        for weights_kio, bias_k1o in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x_kni = torch.relu(torch.baddbmm(bias_k1o, x_kni, weights_kio))
        return torch.baddbmm(self.biases[-1], x_kni, self.weights[-1]) + linear_kno

    @torch.no_grad()
    def freeze(self) -> Ensemble:
        """A copy of the weights in NumPy, to serve with."""
        return Ensemble(
            (self.linear_io.numpy().copy(), self.bias_o.numpy().copy()),
            [
                (weights.numpy().copy(), bias.numpy()[:, 0].copy())
                for weights, bias in zip(self.weights, self.biases, strict=True)
            ],
        )

    @classmethod
    @torch.no_grad()
    def thaw(cls, body: Ensemble, dropout: float) -> Self:
        """The network with these weights, to learn on from."""
        widths = [body.inputs, *(bias_ko.shape[1] for _, bias_ko in body.layers)]
        network = cls(body.members, widths, dropout)
        network.linear_io.copy_(torch.tensor(body.linear[0]))
        network.bias_o.copy_(torch.tensor(body.linear[1]))
        for number, (weights_kio, bias_ko) in enumerate(body.layers):
            network.weights[number].copy_(torch.tensor(weights_kio))
            network.biases[number].copy_(torch.tensor(bias_ko).unsqueeze(1))
        return network
