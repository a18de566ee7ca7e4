"""Which frames stay: selectors are pure functions that return frame numbers, `gather_frames` applies them.

Every selector returns (B, K) int64, sorted in time, without a gradient and without chance: equal input gives equal frames.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gather_frames(x: Tensor, frames: Tensor) -> Tensor:
    """Rows `frames` (B, K) of x (B, F, ...) along time -> (B, K, ...)."""
    index = frames.reshape(*frames.shape, *[1] * (x.ndim - 2))  # (B, K, 1, ...)
    return torch.take_along_dim(x, index, dim=1)


@torch.no_grad()
def select_by_cluster(features: Tensor, keep: int, always: Tensor | None = None) -> Tensor:
    """The `keep` frames that represent the sequence best, by density-peaks clustering (HoT, CVPR 2024, section 3.2: TPC).

    features: (B, F, D). always: (B, F) bool, the frames that must stay, whatever their score. Returns (B, keep) sorted frame
    numbers.

    With d the distance scaled by 1 / sqrt(D): density = exp(-mean of the k = 2 smallest d^2, the frame itself included);
    parent distance = the smallest d to a denser frame (the densest frame: the largest d of all); the frames with the largest
    density x parent distance stay. Of two equal densities the earlier frame counts as denser, of two equal scores the
    earlier frame is kept.
    """
    precision = torch.float32 if features.device.type == "mps" else torch.float64
    with torch.autocast(features.device.type, enabled=False):
        x = features.to(precision)
        x = x - x.mean(dim=1, keepdim=True)  # a Gram matrix of centred points loses far fewer digits
        gram = x @ x.mT  # (B, F, F)
        square = gram.diagonal(dim1=1, dim2=2)  # (B, F)
        distance = (square[:, :, None] + square[:, None, :] - (gram + gram.mT)) / x.shape[-1]  # (B, F, F), squared
        # The Gram matrix leaves rounding where frames are equal; below its noise a distance is zero, so that ties are ties.
        noise = 1e3 * torch.finfo(precision).eps * square.amax(dim=1)[:, None, None] / x.shape[-1]  # (B, 1, 1)
        distance = distance.masked_fill(distance <= noise, 0)
        count = x.shape[1]
        itself = torch.eye(count, dtype=torch.bool, device=x.device)
        # The point itself is one of the two nearest, at distance zero: the mean is half of its nearest neighbour's.
        nearest = distance.masked_fill(itself, torch.inf).amin(dim=2) if count > 1 else torch.zeros_like(square)
        log_density = -nearest / 2  # (B, F); logarithms cannot underflow
        number = torch.arange(count, device=x.device)
        ours, theirs = log_density[:, :, None], log_density[:, None, :]
        denser = (theirs > ours) | ((theirs == ours) & (number[None, :] < number[:, None]))  # (B, F, F)
        parent = distance.masked_fill(~denser, torch.inf).amin(dim=2)  # (B, F), squared; inf for the densest
        largest = distance.masked_fill(itself, 0).amax(dim=(1, 2))  # (B,)
        parent = torch.where(parent.isinf(), largest[:, None], parent)
        score = parent.log() / 2 + log_density
        return _largest(score, keep, always)


def _largest(score: Tensor, keep: int, always: Tensor | None) -> Tensor:
    """The `keep` largest of score (B, F), the frames of `always` first, ties to the earlier frame -> (B, keep), sorted."""
    if always is not None:
        score = score.masked_fill(always, torch.inf)
    order = score.sort(dim=1, descending=True, stable=True).indices  # (B, F)
    return order[:, :keep].sort(dim=1).values


SELECTORS = {"cluster": select_by_cluster}
