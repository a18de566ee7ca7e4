"""Errors of 3D poses. Pure functions of prediction and target (..., J, 3) metres, root-relative -> (...) metres."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def mpjpe(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean per-joint position error of each frame (protocol #1)."""
    return (prediction - target).norm(dim=-1).mean(dim=-1)


def n_mpjpe(prediction: Tensor, target: Tensor) -> Tensor:
    """MPJPE after the scale of each frame that fits the target best in least squares."""
    product = (prediction * target).sum(dim=(-1, -2), keepdim=True)
    square = (prediction**2).sum(dim=(-1, -2), keepdim=True)
    scale = torch.where(square > 0, product / square.clamp_min(torch.finfo(square.dtype).tiny), 0)
    return mpjpe(scale * prediction, target)


def p_mpjpe(prediction: Tensor, target: Tensor) -> Tensor:
    """MPJPE of each frame after the rotation, translation and scale that fit the target best (protocol #2; Procrustes).

    A prediction whose joints are all in one point is left with scale 0.
    """
    mean_p, mean_t = prediction.mean(dim=-2, keepdim=True), target.mean(dim=-2, keepdim=True)
    p, t = prediction - mean_p, target - mean_t  # (..., J, 3)
    u, s, vh, mirror = _rotation_parts(p, t)
    rotation = (u * mirror[..., None, :]) @ vh
    square = (p**2).sum(dim=(-1, -2))
    scale = torch.where(square > 0, (s * mirror).sum(dim=-1) / square.clamp_min(torch.finfo(square.dtype).tiny), 0)
    return mpjpe(scale[..., None, None] * p @ rotation + mean_t, target)


def best_rotation(prediction: Tensor, target: Tensor) -> Tensor:
    """The rotations (..., 3, 3) for which prediction @ rotation fits the target best; both (..., J, 3) have the
    mean 0.
    """
    u, _, vh, mirror = _rotation_parts(prediction, target)
    return (u * mirror[..., None, :]) @ vh


def _rotation_parts(p: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """u, s, vh of p.mT @ t (..., 3, 3), and the signs (..., 3) of s with which u vh is a rotation and no reflection."""
    u, s, vh = torch.linalg.svd(p.mT @ t)
    mirror = torch.ones_like(s)
    mirror[..., 2] = torch.linalg.det(u @ vh).sign()
    return u, s, vh, mirror


PCK_THRESHOLD = 0.15
"""Metres from its place within which a joint counts as found."""
AUC_THRESHOLDS = tuple(millimetres / 1000 for millimetres in range(0, 151, 5))
"""The thresholds, in metres, of the area under the curve of PCK."""


def pck(prediction: Tensor, target: Tensor, threshold: float = PCK_THRESHOLD) -> Tensor:
    """The share (0..1) of the joints of each frame that are less than `threshold` metres from their place -> (...)."""
    return ((prediction - target).norm(dim=-1) < threshold).double().mean(dim=-1)


def auc(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean of `pck` over AUC_THRESHOLDS -> (...).

    Nothing is less than 0 from its place, so that a perfect prediction has 30 of 31.
    """
    distance = (prediction - target).norm(dim=-1, keepdim=True)  # (..., J, 1)
    return (distance < distance.new_tensor(AUC_THRESHOLDS)).double().mean(dim=(-1, -2))


def change_rows(consecutive: Tensor, order: int) -> Tensor:
    """Which differences of `order` (1: velocity, 2: acceleration) span frames that follow each other -> (N - order,)
    bool.

    consecutive: (N - 1,) bool, whether row i + 1 is the frame after row i of the same sequence.
    """
    return consecutive if order == 1 else consecutive[1:] & consecutive[:-1]


def change_error(prediction: Tensor, target: Tensor, rows: Tensor, order: int) -> Tensor:
    """Mean per-joint error of velocity (order 1: MPJVE, metres per frame) or acceleration (order 2, metres per
    frame^2).

    prediction, target: (N, J, 3) in time order. rows: (N - order,) bool, of `change_rows` -> (M,).
    """
    return mpjpe(prediction.diff(n=order, dim=0)[rows], target.diff(n=order, dim=0)[rows])


class ErrorTable:
    """Errors by action: adds up samples, gives the mean of each action and the mean over the actions present, in
    millimetres.

    pooled: the mean over all samples instead, whatever their action. unit: what one of a sample is in the means: 1000
    for metres that become millimetres, 100 for shares that become per cent.
    """

    def __init__(self, names: Sequence[str], pooled: bool = False, unit: float = 1000) -> None:
        self._names, self._pooled, self._unit = list(names), pooled, unit
        self._sum = torch.zeros(len(names), dtype=torch.float64)
        self._count = torch.zeros(len(names), dtype=torch.int64)

    def add(self, actions: Tensor, errors: Tensor) -> None:
        """For each of n samples the number of its action in `names` and its error: both (n,)."""
        self._sum += torch.bincount(actions, errors.double(), minlength=len(self._names))
        self._count += torch.bincount(actions, minlength=len(self._names))

    @property
    def counts(self) -> dict[str, int]:
        """How many samples each action has, by name; actions without one are left out."""
        return {name: n for name, n in zip(self._names, self._count.tolist(), strict=True) if n}

    @property
    def actions(self) -> dict[str, float]:
        """The mean error of each action, by name; actions without a sample are left out."""
        return {
            name: self._unit * total / n
            for name, total, n in zip(self._names, self._sum.tolist(), self._count.tolist(), strict=True)
            if n
        }

    @property
    def mean(self) -> float | None:
        """The mean over the actions, or over all samples; None where nothing was added."""
        means = self.actions.values()
        if self._pooled and means:
            return self._unit * self._sum.sum().item() / self._count.sum().item()
        return sum(means) / len(means) if means else None
