"""How the models of the paper are trained: a recipe is a value, one per family."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from common.losses import mixste_loss, mpjpe_loss


@dataclass(frozen=True)
class Recipe:
    """Loss, optimizer and seed; learning rate, epochs and decay come from the flags.

    loss: (prediction, target) (B, F, J, 3) -> scalar. optimizer: parameters, lr -> optimizer. seed: unless --seed says otherwise.
    """

    name: str
    loss: Callable[[Tensor, Tensor], Tensor]
    optimizer: Callable[[Iterable[nn.Parameter], float], torch.optim.Optimizer]
    seed: int


def _adamw(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=0.1)


def _adam(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=lr, amsgrad=True)


MIXSTE = Recipe("mixste", mixste_loss, _adamw, seed=1126)
MHFORMER = Recipe("mhformer", mpjpe_loss, _adam, seed=1)


def next_learning_rate(lr: float, epoch: int, decay: float, decay_large: float, decay_epoch: int) -> float:
    """The learning rate of the epoch after `epoch` (counted from 1): every `decay_epoch`-th is followed by the large step."""
    return lr * (decay_large if epoch % decay_epoch == 0 else decay)


@dataclass(frozen=True)
class Published:
    """One command of the paper's README and its MPJPE on Human3.6M with CPN 2D input, in mm."""

    model: str
    sizes: tuple[tuple[str, int], ...]
    stride: int
    mpjpe: float


PUBLISHED = (
    Published("mixste.mixste", (("frames", 243), ("channel", 512), ("d_hid", 1024)), 243, 40.9),
    Published("mixste.hot_mixste", (("frames", 243), ("channel", 512), ("token_num", 81), ("layer_index", 3)), 243, 41.0),
    Published("mixste.tpc_mixste", (("frames", 243), ("channel", 512), ("token_num", 61), ("layer_index", 7)), 1, 39.9),
    Published("mhformer.mhformer", (("frames", 351), ("channel", 512), ("d_hid", 1024)), 1, 43.0),
)


def published_mpjpe(model: str, sizes: dict[str, object], stride: int) -> float | None:
    """The paper's MPJPE (mm) for this model, these sizes and this test stride on Human3.6M; None for any other command."""
    for row in PUBLISHED:
        if (row.model, row.stride) == (model, stride) and all(sizes.get(size) == value for size, value in row.sizes):
            return row.mpjpe
    return None
