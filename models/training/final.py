"""Training of the final pass: a multi-task multi-label network in torch.

Rows are weighted by 1 / keep probability, so the loss estimates that over all exposures and the
probabilities need no further correction for sampled negatives. (The shift by ln r that corrects a
uniformly sampled binary label is not exact here: a row kept for its save is still a negative of
the like head.)
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.examples import LABELS, Examples
from models.feature_schema import ID_BUCKETS, SHORT_TERM
from models.final_pass import AUTHOR, HEADS, IDS, FinalPass, inputs
from models.networks import Embeddings, Float, Mlp, Standardizer
from models.training.calibration import logistic, platt
from models.training.loop import TrainingDataError, export, fit, stack, usable_device
from models.training.rows import RowAdam

#: Base rate that a head without any positive starts from.
MIN_RATE: Final = 1e-5
#: Positives from which on a head begins as a regression.
MIN_LINEAR_POSITIVES: Final = 50
#: Where that regression ends: the network goes on from there.
LINEAR_TOLERANCE: Final = 1e-3


class FinalConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and schedule of the final pass.

    Attributes:
        embedding_dim: width of the learnt vector of each sparse column.
        embedding_rows: rows of a column at most; larger columns share rows by hash.
        trunk: widths of the shared layers.
        tower: hidden width of each head.
        head_weights: weight of each label's loss, in the order of `LABELS`.
        embedding_dropout: share of rows that train without their learnt vectors, so that the
            network also knows what to do with ids it has never seen.
        positions: places on a page that are told apart.
        linear_start: begin as a logistic regression, see :func:`start_linear`.
    """

    embedding_dim: int = 8
    embedding_rows: int = 16384
    trunk: tuple[int, ...] = (96, 48)
    tower: int = 16
    head_weights: tuple[float, ...] = (1.0, 2.0, 3.0, 0.1)
    embedding_dropout: float = 0.3
    positions: int = 100
    linear_start: bool = True
    epochs: int = 2
    batch: int = 256
    learning_rate: float = 5e-4
    weight_decay: float = 1e-4


class FinalNetwork(nn.Module):
    """The torch twin of :class:`models.final_pass.FinalPass`, with the auxiliary heads."""

    def __init__(self, config: FinalConfig, rates_h: Float) -> None:
        super().__init__()
        self.config = config
        self.sizes_s = np.minimum(np.array(ID_BUCKETS, np.int64), config.embedding_rows)
        self.table = nn.Embedding(int(self.sizes_s.sum()), config.embedding_dim)
        nn.init.zeros_(self.table.weight)
        heads = len(rates_h)
        self.trunk = stack((inputs(config.embedding_dim), *config.trunk))
        self.towers = nn.Linear(config.trunk[-1], heads * config.tower)
        self.out_ht = nn.Parameter(torch.randn(heads, config.tower) / config.tower**0.5)
        # Starting at the base rates spares the first epoch from learning that likes are rare.
        self.bias_h = nn.Parameter(torch.from_numpy(np.log(rates_h / (1 - rates_h))))
        # What a place on the page adds, whatever stands there; see `logits`.
        self.position_ph = nn.Parameter(torch.zeros(config.positions + 1, heads))

    def forward(
        self, dense_nf: Tensor, rows_ns: Tensor, known_nl: Tensor, positions_n: Tensor
    ) -> Tensor:
        """Log-odds (n, heads); see :meth:`logits`, `rows_ns` are rows of the table."""
        return self.logits(dense_nf, self.table(rows_ns), known_nl, positions_n)

    def logits(
        self, dense_nf: Tensor, vectors_nsd: Tensor, known_nl: Tensor, positions_n: Tensor
    ) -> Tensor:
        """Log-odds (n, heads).

        Position bias is a term of its own, added while training and left out when serving, so
        that the rest learns what a media is worth wherever it stands (Zhao et al., Recommending
        What Video to Watch Next, 2019). Position 0 is "not known" and adds nothing.

        Args:
            dense_nf: standardised.
            vectors_nsd: learnt vectors of the ids.
            known_nl: 1 where there is an author whom the viewer liked, 0 where there is none.
            positions_n: from 1.
        """
        ids_nid, liked_nld = vectors_nsd[:, :IDS], vectors_nsd[:, IDS:]
        short_nd = _mean(liked_nld[:, :SHORT_TERM], known_nl[:, :SHORT_TERM])
        long_nd = _mean(liked_nld, known_nl)
        author_nd = ids_nid[:, AUTHOR]
        learnt = (
            ids_nid.flatten(1), short_nd, long_nd, author_nd * short_nd, author_nd * long_nd,
        )  # fmt: skip
        learnt_ne = torch.cat(learnt, dim=1)
        if self.training and self.config.embedding_dropout > 0:
            chance_n1 = torch.rand(len(dense_nf), 1, device=dense_nf.device)
            learnt_ne = learnt_ne * (chance_n1 >= self.config.embedding_dropout)
        hidden_nd = torch.relu(self.trunk(torch.cat((dense_nf, learnt_ne), dim=1)))
        tower_nht = torch.relu(self.towers(hidden_nd)).view(-1, *self.out_ht.shape)
        known_n = positions_n.clamp_max(self.config.positions)
        bias_nh = self.position_ph[known_n] * (known_n > 0).unsqueeze(1)
        logits_nh: Tensor = (tower_nht * self.out_ht).sum(dim=2) + self.bias_h + bias_nh
        return logits_nh


def _mean(vectors_nld: Tensor, known_nl: Tensor) -> Tensor:
    share_nl = known_nl / known_nl.sum(dim=1, keepdim=True).clamp_min(1.0)
    mean_nd: Tensor = torch.bmm(share_nl.unsqueeze(1), vectors_nld)[:, 0]
    return mean_nd


def known(sparse_ns: NDArray[np.int32]) -> Float:
    """1 where there is an author whom the viewer liked, as :class:`FinalNetwork` reads it."""
    return (sparse_ns[:, IDS:] > 0).astype(np.float32)


def train_final(
    train: Examples, calibrate: Examples, config: FinalConfig, device: str = "cpu"
) -> FinalPass:
    """Fit on `train`, calibrate each head on `calibrate` (later rows than `train`).

    Call inside :func:`models.training.loop.reproducible`.

    Args:
        device: of torch, where the training runs.

    Raises:
        TrainingDataError: no training rows.
        TrainingDeviceError: there is no such device.
        TrainingDivergedError: the loss is not finite.
    """
    if not len(train):
        raise TrainingDataError("final pass: no training examples; observe more events first")
    on = usable_device(device)
    standardizer = Standardizer.fit(train.features.dense_nf)
    weights_n = train.weights_n / train.weights_n.mean()
    rates_h = np.clip(
        (train.labels_nh * weights_n[:, None]).mean(axis=0), MIN_RATE, 1 - MIN_RATE
    ).astype(np.float32)
    network = FinalNetwork(config, rates_h)
    rows = Embeddings(network.table.weight.detach().numpy(), network.sizes_s).rows
    if config.linear_start:
        start_linear(network, standardizer(train.features.dense_nf), train.labels_nh, weights_n)

    def tensor(array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(on)

    network.to(on)
    table_rd = network.table.weight.requires_grad_(False).detach()
    vectors = RowAdam(table_rd, config.learning_rate)
    dense_nf = tensor(standardizer(train.features.dense_nf))
    rows_ns = tensor(rows(train.features.sparse_ns))
    known_nl = tensor(known(train.features.sparse_ns))
    positions_n = tensor(train.positions_n.astype(np.int64))
    labels_nh = tensor(train.labels_nh)
    weights_nh = tensor(weights_n[:, None] * np.array(config.head_weights, np.float32))

    def loss_of(batch: Tensor) -> Tensor:
        at = batch.to(on)
        vectors_nsd = vectors.look_up(rows_ns[at])
        logits_nh = network.logits(dense_nf[at], vectors_nsd, known_nl[at], positions_n[at])
        return weighted_loss(logits_nh, labels_nh[at], weights_nh[at])

    fit(
        network,
        loss_of,
        len(train),
        what="final pass",
        epochs=config.epochs,
        batch=config.batch,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        vectors=vectors,
    )
    network.to("cpu")
    raw = freeze(network, standardizer, [(1.0, 0.0)] * len(HEADS))
    if not len(calibrate):
        return raw
    logits_nh = raw.logits(calibrate.features)
    return freeze(
        network,
        standardizer,
        [
            platt(logits_nh[:, h], calibrate.labels_nh[:, LABELS.index(head)], calibrate.weights_n)
            for h, head in enumerate(HEADS)
        ],
    )


@torch.no_grad()
def start_linear(
    network: FinalNetwork, dense_nf: Float, labels_nh: Float, weights_n: Float
) -> None:
    """Make the network predict as a logistic regression on the dense features, for each head.

    Some thousand examples tell a regression more than they tell a network, which finds what the
    regression cannot say only with many. Beginning there, the network is the better of the two
    soon. A head's log-odds z travel through the layers as relu(z) and relu(−z); all other units of
    the towers begin without a say.

    Args:
        dense_nf: standardised training rows.
        labels_nh: of all heads; one with few positives begins at its base rate.
        weights_n: of the rows.
    """
    heads, tower = network.out_ht.shape
    linear = [layer for layer in network.trunk if isinstance(layer, nn.Linear)]
    if tower < 2 or min(layer.out_features for layer in linear) < 2 * heads:
        return  # too narrow to carry them
    network.out_ht.zero_()
    for h in range(heads):
        weights_f = np.zeros(dense_nf.shape[1], np.float32)
        # Broken weights are told of by the loss.
        if labels_nh[:, h].sum() >= MIN_LINEAR_POSITIVES and np.isfinite(weights_n).all():
            fitted = logistic(dense_nf, labels_nh[:, h], weights_n, LINEAR_TOLERANCE)
            weights_f = fitted[:-1].astype(np.float32)
            network.bias_h[h] = float(fitted[-1])
        for sign, unit in ((1.0, 2 * h), (-1.0, 2 * h + 1)):
            before = torch.zeros(linear[0].in_features)
            before[: len(weights_f)] = sign * torch.from_numpy(weights_f)
            linear[0].weight[unit], linear[0].bias[unit] = before, 0.0
            for layer in linear[1:]:
                layer.weight[unit], layer.bias[unit] = 0.0, 0.0
                layer.weight[unit, unit] = 1.0
            at = h * tower + unit % 2
            network.towers.weight[at], network.towers.bias[at] = 0.0, 0.0
            network.towers.weight[at, unit] = 1.0
            network.out_ht[h, unit % 2] = sign


def weighted_loss(logits_nh: Tensor, labels_nh: Tensor, weights_nh: Tensor) -> Tensor:
    """Mean over rows of the heads' weighted cross entropies."""
    loss_nh = nn.functional.binary_cross_entropy_with_logits(
        logits_nh, labels_nh, weights_nh, reduction="none"
    )
    return loss_nh.sum() / len(labels_nh)


def freeze(
    network: FinalNetwork, standardizer: Standardizer, platt_h: list[tuple[float, float]]
) -> FinalPass:
    """The network as NumPy weights, the served heads only, calibration folded in."""
    heads, tower = len(HEADS), network.config.tower
    kept = heads * tower
    last_kh = np.zeros((kept, heads), np.float32)
    last_h = np.zeros(heads, np.float32)
    for h, (slope, shift) in enumerate(platt_h):
        last_kh[h * tower : (h + 1) * tower, h] = slope * network.out_ht[h].detach().numpy()
        last_h[h] = slope * float(network.bias_h[h].detach()) + shift
    trunk = export(network.trunk).layers
    towers_dk, towers_k = export(network.towers).layers[0]
    towers = np.ascontiguousarray(towers_dk[:, :kept]), towers_k[:kept].copy()
    return FinalPass(
        standardizer,
        Embeddings(network.table.weight.detach().numpy().copy(), network.sizes_s),
        Mlp([*trunk, towers, (last_kh, last_h)]),
    )


def thaw(final: FinalPass, config: FinalConfig) -> FinalNetwork:
    """A network that gives the log-odds of `final` on its heads, to learn on from.

    The sizes are those of `final`; heads that are not stored begin anew, where they add nothing.
    """
    trunk_layers, towers, last = final.mlp.layers[:-2], final.mlp.layers[-2], final.mlp.layers[-1]
    sizes_s, table_rd = final.embeddings.sizes_s, final.embeddings.table_rd
    heads, tower = len(HEADS), towers[1].size // len(HEADS)
    config = msgspec.structs.replace(
        config,
        embedding_dim=table_rd.shape[1],
        embedding_rows=int(sizes_s.max()),
        trunk=tuple(bias_o.size for _, bias_o in trunk_layers),
        tower=tower,
    )
    rates_h = np.full(len(LABELS), 0.5, np.float32)
    network = FinalNetwork(config, rates_h)
    with torch.no_grad():
        network.table.weight.copy_(torch.tensor(table_rd))
        linear = [layer for layer in network.trunk if isinstance(layer, nn.Linear)]
        for layer, (weights_io, bias_o) in zip(linear, trunk_layers, strict=True):
            layer.weight.copy_(torch.tensor(weights_io.T))
            layer.bias.copy_(torch.tensor(bias_o))
        kept = heads * tower
        network.towers.weight[:kept].copy_(torch.tensor(towers[0].T))
        network.towers.bias[:kept].copy_(torch.tensor(towers[1]))
        for h in range(heads):
            block_t = last[0][h * tower : (h + 1) * tower, h]
            network.out_ht[h].copy_(torch.tensor(block_t))
            network.bias_h[h] = float(last[1][h])
    return network.eval()
