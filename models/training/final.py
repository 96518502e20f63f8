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

from models.actions import HEAD_NAMES, HEADS
from models.arrays.types import Float
from models.examples.examples import Examples
from models.feature_schema import DENSE_INDEX, SHORT_TERM
from models.rankers.final_pass import AUTHOR, BODY, IDS, FinalPass, inputs, table_sizes
from models.rankers.networks import EmbeddingTable, Standardizer
from models.training.bodies import network_of
from models.training.body import BodyNetwork
from models.training.calibration import MIN_POSITIVES, Calibration, calibrate, logistic
from models.training.loop import TrainingDataError, fit, usable_device
from models.training.optimisers import RowAdam

#: Dense features that say nothing of what happens when a media is shown. Appeal is learned of all
#: media; among those that another system showed it stands for whatever that one showed them for.
_UNREAD: Final = (DENSE_INDEX["appeal"],)
#: Base rate that a head without any positive starts from.
MIN_RATE: Final = 1e-5
#: Where that regression ends: the network goes on from there.
LINEAR_TOLERANCE: Final = 1e-3


class FinalConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and schedule of the final pass.

    Attributes:
        embedding_dim: width of the learnt vector of each sparse column.
        embedding_rows: rows of a column at most; larger columns share rows by hash.
        members: networks of the ensemble.
        hidden: widths of a member's hidden layers, one at least; all heads share them.
        dropout: share of the inputs that each member does without in a step.
        loss_weights: of each head's loss, in the order of :data:`models.actions.HEADS`.
        positions: places on a page that are told apart.
    """

    embedding_dim: int = 16
    embedding_rows: int = 16384
    members: int = 4
    hidden: tuple[int, ...] = (64, 32)
    dropout: float = 0.3
    loss_weights: tuple[float, ...] = tuple(head.row.loss for head in HEADS)
    positions: int = 100
    epochs: int = 2
    batch: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4


class FinalNetwork(nn.Module):
    """The torch twin of :class:`models.rankers.final_pass.FinalPass`.

    Args:
        body: of :func:`models.rankers.final_pass.inputs` inputs, one output a label.
        sizes_s: rows of each id's part of the table.
        config: its width of learnt vectors and its places on a page.
    """

    def __init__(
        self, body: BodyNetwork[Any], sizes_s: NDArray[np.int64], config: FinalConfig
    ) -> None:
        super().__init__()
        self.body = body
        self.sizes_s = sizes_s
        self.table = nn.Embedding(int(sizes_s.sum()), config.embedding_dim)
        nn.init.zeros_(self.table.weight)
        # What a place on the page adds, whatever stands there; see `logits`.
        self.position_ph = nn.Parameter(torch.zeros(config.positions + 1, len(HEADS)))

    @classmethod
    def new(cls, config: FinalConfig) -> FinalNetwork:
        """A network of these sizes that has learnt nothing."""
        widths = (inputs(config.embedding_dim), *config.hidden, len(HEADS))
        body = network_of(BODY).new(config.members, widths, config.dropout)
        return cls(body, table_sizes(config.embedding_rows), config)

    def forward(
        self, dense_nf: Tensor, rows_ns: Tensor, known_nl: Tensor, positions_n: Tensor
    ) -> Tensor:
        """Log-odds (members, n, labels); see :meth:`logits`, `rows_ns` are rows of the table."""
        return self.logits(dense_nf, self.table(rows_ns), known_nl, positions_n)

    def logits(
        self, dense_nf: Tensor, vectors_nsd: Tensor, known_nl: Tensor, positions_n: Tensor
    ) -> Tensor:
        """Log-odds of each member, (members, n, labels); their mean is what is served.

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
        parts = (
            dense_nf, ids_nid.flatten(1), short_nd, long_nd, author_nd * short_nd,
            author_nd * long_nd,
        )  # fmt: skip
        logits_knh: Tensor = self.body(torch.cat(parts, dim=1))
        known_n = positions_n.clamp_max(len(self.position_ph) - 1)
        return logits_knh + self.position_ph[known_n] * (known_n > 0).unsqueeze(1)


def _mean(vectors_nld: Tensor, known_nl: Tensor) -> Tensor:
    share_nl = known_nl / known_nl.sum(dim=1, keepdim=True).clamp_min(1.0)
    mean_nd: Tensor = torch.bmm(share_nl.unsqueeze(1), vectors_nld)[:, 0]
    return mean_nd


def known(sparse_ns: NDArray[np.int32]) -> Float:
    """1 where there is an author whom the viewer liked, as :class:`FinalNetwork` reads it."""
    return (sparse_ns[:, IDS:] > 0).astype(np.float32)


def train_final(
    train: Examples, later: Examples, config: FinalConfig, device: str = "cpu"
) -> FinalPass:
    """Fit on `train`, calibrate each head on `later` rows, if there are any.

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
    standardizer = Standardizer.fit(train.features.dense_nf).without(_UNREAD)
    weights_n = train.weights_n / train.weights_n.mean()
    network = FinalNetwork.new(config)
    rows = EmbeddingTable(network.table.weight.detach().numpy(), network.sizes_s).rows
    start_linear(network.body, standardizer(train.features.dense_nf), train.labels_nh, weights_n)

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
    weights_nh = tensor(weights_n[:, None] * np.array(config.loss_weights, np.float32))

    def loss_of(batch: Tensor) -> Tensor:
        at = batch.to(on)
        vectors_nsd = vectors.look_up(rows_ns[at])
        logits_knh = network.logits(dense_nf[at], vectors_nsd, known_nl[at], positions_n[at])
        return weighted_loss(logits_knh, labels_nh[at], weights_nh[at])

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
    raw = freeze(network, standardizer)
    unseen_h = np.flatnonzero(~train.labels_nh.any(axis=0))
    raw = raw.constant(unseen_h, MIN_RATE)
    # By its own log-odds alone: a regression on the features is what the network began as.
    nothing_nf = np.zeros((len(later), 0), np.float32)
    return raw.calibrated(calibrations(raw.logits(later.features), nothing_nf, later))


def calibrations(logits_nh: Float, x_nf: Float, rows: Examples) -> list[Calibration]:
    """What calibrates each head of :data:`models.actions.HEADS`.

    Args:
        logits_nh: log-odds of `rows` from before they were learned.
        x_nf: standardised features of `rows`, or none.
    """
    return [
        calibrate(logits_nh[:, h], x_nf, rows.label(head), rows.weights_n)
        for h, head in enumerate(HEAD_NAMES)
    ]


def start_linear(
    body: BodyNetwork[Any], dense_nf: Float, labels_nh: Float, weights_n: Float
) -> None:
    """Make a new network predict as a logistic regression on the dense features, for each label.

    Some thousand examples tell a regression more than they tell a network, which finds what the
    regression cannot say only with many. Beginning there, the network is the better of the two
    soon.

    Args:
        dense_nf: standardised training rows.
        labels_nh: of all labels; one with few positives begins at its base rate.
        weights_n: of the rows, 1 in the mean.
    """
    rates_h = np.clip((labels_nh * weights_n[:, None]).mean(axis=0), MIN_RATE, 1 - MIN_RATE)
    linear_fh = np.zeros((dense_nf.shape[1], len(rates_h)), np.float32)
    bias_h = np.log(rates_h / (1 - rates_h)).astype(np.float32)
    for h in range(len(rates_h)):
        # Broken weights are told of by the loss.
        if labels_nh[:, h].sum() >= MIN_POSITIVES and np.isfinite(weights_n).all():
            fitted = logistic(dense_nf, labels_nh[:, h], weights_n, LINEAR_TOLERANCE)
            linear_fh[:, h], bias_h[h] = fitted[:-1], fitted[-1]
    body.begin(linear_fh, bias_h)


def weighted_loss(logits_knh: Tensor, labels_nh: Tensor, weights_nh: Tensor) -> Tensor:
    """Mean over members and rows of the labels' weighted cross entropies.

    Each member learns as if it were alone: the loss of their mean would let them lean on each
    other, and rows learnt by heart together are no better for it.
    """
    loss_knh = nn.functional.binary_cross_entropy_with_logits(
        logits_knh,
        labels_nh.expand_as(logits_knh),
        weights_nh.expand_as(logits_knh),
        reduction="none",
    )
    return loss_knh.sum(dim=2).mean()


def freeze(network: FinalNetwork, standardizer: Standardizer) -> FinalPass:
    """The network as NumPy weights."""
    return FinalPass(
        standardizer,
        EmbeddingTable(network.table.weight.detach().numpy().copy(), network.sizes_s),
        network.body.freeze(),
    )


def thaw(final: FinalPass, config: FinalConfig) -> FinalNetwork:
    """A network that gives the log-odds of `final`, to learn on from; its sizes are `final`'s."""
    table_rd = final.embeddings.table_rd
    config = msgspec.structs.replace(config, embedding_dim=table_rd.shape[1])
    body = network_of(type(final.body)).thaw(final.body, config.dropout)
    network = FinalNetwork(body, final.embeddings.sizes_s, config)
    with torch.no_grad():
        network.table.weight.copy_(torch.tensor(table_rd))
    return network.eval()
