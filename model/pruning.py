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
        # A Gram matrix of centred points loses far fewer digits. Features of lower precision are widened in the same pass.
        x = features - features.mean(dim=1, keepdim=True, dtype=precision)  # (B, F, D)
        gram = x @ x.mT  # (B, F, F)
        square = gram.diagonal(dim1=1, dim2=2)  # (B, F)
        distance = (square[:, :, None] + square[:, None, :] - (gram + gram.mT)) / x.shape[-1]  # (B, F, F), squared
        # The Gram matrix leaves rounding where frames are equal; below its noise a distance is zero, so that ties are ties.
        noise = 1e3 * torch.finfo(precision).eps * square.amax(dim=1)[:, None, None] / x.shape[-1]  # (B, 1, 1)
        distance = distance * (distance > noise)  # its diagonal is exactly zero
        largest = distance.amax(dim=(1, 2))  # (B,)
        count = x.shape[1]
        distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
        # The point itself is one of the two nearest, at distance zero: the mean is half of its nearest neighbour's.
        nearest = distance.amin(dim=2) if count > 1 else torch.zeros_like(square)
        log_density = -nearest / 2  # (B, F); logarithms cannot underflow
        number = torch.arange(count, device=x.device)
        ours, theirs = log_density[:, :, None], log_density[:, None, :]
        denser = (theirs > ours) | ((theirs == ours) & (number[None, :] < number[:, None]))  # (B, F, F)
        parent = torch.where(denser, distance, torch.inf).amin(dim=2)  # (B, F), squared; inf for the densest
        parent = torch.where(parent.isinf(), largest[:, None], parent)
        score = parent.log() / 2 + log_density
        return _largest(score, keep, always)


def select_by_attention(scores: Tensor, keep: int, always: Tensor | None = None) -> Tensor:
    """The `keep` frames that receive the most temporal attention (H2OT, TPAMI 2025: TPA).

    scores: (B, F), `layers.attention_received`. always: as for `select_by_cluster`. Of equal scores the earlier frame is kept.
    """
    return _largest(scores.detach(), keep, always)


@torch.no_grad()
def select_by_motion(pose: Tensor, keep: int, always: Tensor | None = None) -> Tensor:
    """The `keep` frames with the largest motion of the input pose (H2OT, TPAMI 2025: TPMo).

    pose: (B, F, J, 2 or more), x and y first. The motion of a frame is the mean distance of its joints from where they were in the
    frame before; the first frame, which has none before, counts as the second. always: as for `select_by_cluster`.
    """
    if pose.shape[1] > 1:
        xy = pose[..., :2].to(torch.promote_types(pose.dtype, torch.float32))  # a score is no place
        step = xy.diff(dim=1).square().sum(dim=-1).sqrt().mean(dim=-1)  # (B, F - 1)
        score = torch.cat([step[:, :1], step], dim=1)  # (B, F)
    else:
        score = pose.new_zeros(pose.shape[:2])  # (B, 1)
    return _largest(score, keep, always)


@torch.no_grad()
def select_by_uniform(x: Tensor, keep: int, always: Tensor | None = None) -> Tensor:
    """`keep` frames evenly spaced from the first to the last, both included (H2OT, TPAMI 2025: TPS); one frame is the middle one.

    x: (B, F, ...), of which shape and device alone count. always: as for `select_by_cluster`; the samples that are nearest to a
    frame that must stay make room for it. Halves are rounded up.
    """
    batch, count = x.shape[:2]
    gaps = max(keep - 1, 1)
    first = torch.arange(keep, device=x.device) * 2 * (count - 1)  # whole numbers: no rounding to differ between devices
    sample = (first + gaps) // (2 * gaps) if keep > 1 else torch.full_like(first, (count - 1) // 2)  # (keep,)
    if always is None:
        return sample.expand(batch, -1)  # (B, keep)
    number = torch.arange(count, device=x.device)
    apart = (number[:, None] - number).abs()  # (F, F)
    score = apart.expand(batch, -1, -1).masked_fill(~always[:, None], count).amin(dim=2)  # (B, F): to the next frame that must stay
    score = score.masked_fill(~torch.isin(number, sample), -1)
    return _largest(score.float(), keep, always)


def _largest(score: Tensor, keep: int, always: Tensor | None) -> Tensor:
    """The `keep` largest of score (B, F), the frames of `always` first, ties to the earlier frame -> (B, keep), sorted."""
    if always is not None:
        score = score.masked_fill(always, torch.inf)
    order = score.sort(dim=1, descending=True, stable=True).indices  # (B, F)
    return order[:, :keep].sort(dim=1).values


SELECTORS = {
    "cluster": select_by_cluster,
    "attention": select_by_attention,
    "motion": select_by_motion,
    "uniform": select_by_uniform,
}
