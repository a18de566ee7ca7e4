"""How the models of the paper are trained: a recipe is a value, one per family."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from common.geometry.normalise import Normaliser
from common.training.losses import mixste_loss, mpjpe_loss, wild_loss
from common.wild import HEIGHT
from model import PoseTransformer, model_sizes
from model.layers import DropPath
from model.registry import PLAN

Parameters = Iterable[nn.Parameter] | Iterable[dict[str, Any]]


@dataclass(frozen=True)
class Recipe:
    """How a model is trained; learning rate, epochs and, where the schedule is by epochs, decay come from the flags.

    loss: (prediction, target) (B, F, J, 3) -> scalar. optimizer: parameters or groups of them, lr -> optimizer. seed:
    unless --seed says otherwise. normaliser: of a model that starts afresh; None: as --crop_uv says. warm_up: the part
    of all steps over which the learning rate rises, before it falls along a cosine; None: it falls by epochs. clip:
    largest norm of the gradient. ema: decay of the mean of the weights, which is what is tested and saved. batch_norm:
    whether batch norms look at the batch; if not they stay at mean 0 and variance 1, and training sees what testing
    sees. dropout: in place of the model's own. positions: size of sinusoids that learned positions start from, in place
    of the model's own start. last: the last weights are the result, not those that test best. defaults: of flags that
    are not given.
    """

    name: str
    loss: Callable[[Tensor, Tensor], Tensor]
    optimizer: Callable[[Parameters, float], torch.optim.Optimizer]
    seed: int
    normaliser: Normaliser | None = None
    warm_up: float | None = None
    clip: float | None = None
    ema: float | None = None
    batch_norm: bool = True
    dropout: float | None = None
    positions: float | None = None
    last: bool = False
    defaults: Mapping[str, object] = field(default_factory=dict)

    def settings(self) -> dict[str, object]:
        """What is saved with a run, so that it goes on by the same recipe."""
        names = ("name", "warm_up", "clip", "ema", "batch_norm", "dropout", "positions", "last")
        return {name: getattr(self, name) for name in names}


def _adamw(parameters: Parameters, lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=0.1, fused=True)


def _adam(parameters: Parameters, lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=lr, amsgrad=True, fused=True)


def _wild_adamw(parameters: Parameters, lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=0.05, betas=(0.9, 0.95), fused=True)


MIXSTE = Recipe("mixste", mixste_loss, _adamw, seed=1126)
MHFORMER = Recipe("mhformer", mpjpe_loss, _adam, seed=1)


# Short trainings on endless data: no two windows are the same, so that nothing has to keep the model from learning them
# by heart. The few windows of a batch are too alike for batch norms: with them MHFormer tested at many times its
# training error.
WILD = Recipe(
    "wild", wild_loss, _wild_adamw, seed=1, normaliser=Normaliser("box", in_channels=3, fps=25.0, height=HEIGHT),
    warm_up=0.03, clip=1.0, ema=0.998, batch_norm=False, dropout=0.0, positions=0.5, last=True,
    defaults={"dataset": "wild", "batch_size": 16, "lr": 1e-3, "stride": 4, "nepoch": 12},
)  # fmt: skip
RECIPES = {"wild": WILD}
"""What --recipe may name beside "published", the entry script's own."""


def prepare(model: PoseTransformer, recipe: Recipe, fresh: bool) -> None:
    """Give a model, before its training, the dropout and, where it is `fresh`, the first positions of the recipe."""
    if recipe.dropout is not None:
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = recipe.dropout
            elif isinstance(module, DropPath):
                module.rate = recipe.dropout
    if recipe.positions is not None and fresh:
        for positions in model.learned_positions():
            channel = positions.shape[-1]
            waves = sinusoids(positions.numel() // channel, channel)  # (F, K or J, C)
            positions.data.copy_(recipe.positions * waves.view(positions.shape))


def sinusoids(count: int, channel: int) -> Tensor:
    """`count` positions as sines and cosines, from a half wave per step down to one over 4 x count steps -> (count,
    channel).
    """
    rate = math.pi * torch.exp(torch.arange(0, channel, 2) / channel * -math.log(4 * count))  # (C / 2,)
    angle = torch.arange(count)[:, None] * rate  # (count, C / 2)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :channel]


def running_mean(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """An update for `AveragedModel`: the mean of the weights that forgets by `decay` a step, and faster at the
    beginning.
    """

    @torch.no_grad()
    def update(means: Sequence[Tensor], current: Sequence[Tensor], steps: Tensor | int) -> None:
        forget = 1 - min(decay, (1 + int(steps)) / (10 + int(steps)))
        for mean, value in zip(means, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, forget)
            else:
                mean.copy_(value)

    return update


def cosine(step: int, steps: int, warm_up: float) -> float:
    """The factor of the learning rate at `step` of `steps`: a straight rise over the first part `warm_up`, then half a
    cosine to 0.
    """
    at, rise = step / steps, max(warm_up, 1 / steps)
    return (step + 1) / (rise * steps + 1) if at < rise else (1 + math.cos(math.pi * (at - rise) / (1 - rise))) / 2


def next_learning_rate(lr: float, epoch: int, decay: float, decay_large: float, decay_epoch: int) -> float:
    """The learning rate of the epoch after `epoch` (counted from 1): every `decay_epoch`-th is followed by the large
    step.
    """
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
    Published(
        "mixste.hot_mixste", (("frames", 243), ("channel", 512), ("token_num", 81), ("layer_index", 3)), 243, 41.0
    ),
    Published("mixste.tpc_mixste", (("frames", 243), ("channel", 512), ("token_num", 61), ("layer_index", 7)), 1, 39.9),
    Published("mhformer.mhformer", (("frames", 351), ("channel", 512), ("d_hid", 1024)), 1, 43.0),
)


def published_mpjpe(model: str, sizes: dict[str, object], stride: int) -> float | None:
    """The paper's MPJPE (mm) for this model, these sizes and this test stride on Human3.6M; None for any other
    command.
    """
    own = model_sizes(model)
    if any(size in sizes and sizes[size] != own[size] for size in PLAN):
        return None
    for row in PUBLISHED:
        if (row.model, row.stride) == (model, stride) and all(sizes.get(size) == value for size, value in row.sizes):
            return row.mpjpe
    return None
