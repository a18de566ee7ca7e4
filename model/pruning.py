"""Which frames stay: selectors are pure functions that return frame numbers, `gather_frames` applies them.

Every selector returns (B, K) int64, sorted in time, without a gradient and without chance: equal input gives equal
frames.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gather_frames(x: Tensor, frames: Tensor) -> Tensor:
    """Rows `frames` (B, K) of x (B, F, ...) along time -> (B, K, ...)."""
    index = frames.reshape(*frames.shape, *[1] * (x.ndim - 2))  # (B, K, 1, ...)
    return x.gather(1, index.expand(-1, -1, *x.shape[2:]))  # (B, K, ...); take_along_dim would tie an export to one B


def count_before(frames: Tensor, wanted: Tensor) -> Tensor:
    """How many of `frames` (B, N) come before each of `wanted` (B, M) -> (B, M) int64; of sorted frames, its row.

    As torch.searchsorted counts, for which ONNX has no operation.
    """
    return (frames[:, None] < wanted[..., None]).sum(dim=-1)  # (B, M) of (B, M, N)


def is_one_of(frames: Tensor, wanted: Tensor) -> Tensor:
    """Which of `frames` (..., N) are among `wanted` (M,) -> (..., N) bool; torch.isin, without its search."""
    return (frames[..., None] == wanted).any(dim=-1)  # (..., N) of (..., N, M)


@torch.no_grad()
def select_by_cluster(features: Tensor, keep: int, always: Tensor | None = None) -> Tensor:
    """The `keep` frames that represent the sequence best, by density-peaks clustering (HoT, CVPR 2024, section 3.2:
    TPC).

    features: (B, F, D). always: (B, F) bool, the frames that must stay, whatever their score. Returns (B, keep) sorted
    frame numbers.

    With d the distance scaled by 1 / sqrt(D): density = exp(-mean of the k = 2 smallest d^2, the frame itself
    included); parent distance = the smallest d to a denser frame (the densest frame: the largest d of all); the frames
    with the largest density x parent distance stay. Of two equal densities the earlier frame counts as denser, of two
    equal scores the earlier frame is kept.
    """
    precision = torch.float32 if features.device.type == "mps" else torch.float64
    with torch.autocast(features.device.type, enabled=False):
        x = features.to(precision, copy=True)  # (B, F, D)
        x -= features.mean(dim=1, keepdim=True).to(precision)  # a Gram matrix of centred points loses far fewer digits
        width, gram = x.shape[-1], _lower_gram(x)  # (B, F, F)
        square = gram.diagonal(dim1=1, dim2=2)  # (B, F)
        distance = (square[:, :, None] + square[:, None, :]).sub_(gram, alpha=2)  # (B, F, F), squared and times D
        # The Gram matrix leaves rounding where frames are equal; below its noise a distance is zero, so that ties are
        # ties.
        noise = 1e3 * torch.finfo(precision).eps * square.amax(dim=1)[:, None, None]  # (B, 1, 1)
        distance = distance.masked_fill_(distance <= noise, 0).tril_(-1)
        distance = distance + distance.mT  # symmetric to the bit
        largest = distance.amax(dim=(1, 2))[:, None, None]  # (B, 1, 1)
        itself = torch.eye(x.shape[1], dtype=torch.bool, device=x.device)  # (F, F)
        distance = torch.where(itself, largest, distance)  # no frame is its own neighbour or parent
        # The point itself is one of the two nearest, at distance zero: the mean is half of its nearest neighbour's.
        log_density = -distance.amin(dim=2) / (2 * width)  # (B, F); logarithms cannot underflow
        rank = log_density.argsort(dim=1, descending=True, stable=True).argsort(dim=1)  # (B, F), the densest first
        denser = rank[:, None, :] < rank[:, :, None]  # (B, F, F)
        parent = distance.where(denser, largest).amin(dim=2)  # (B, F), squared and times D; of the densest: the largest
        score = (parent / width).log() / 2 + log_density
        return _largest(score, keep, always)


def _lower_gram(x: Tensor) -> Tensor:
    """The lower triangle of x @ x.mT for x (B, F, D), and parts of the upper one: (B, F, F).

    Four blocks of rows, each as far as its diagonal reaches, are 5/8 of the products; smaller blocks multiply no
    faster.
    """
    count = x.shape[1]
    size = -(-count // 4)
    gram = x.new_zeros(x.shape[0], count, count)
    for start in range(0, count, size):
        stop = start + size
        gram[:, start:stop, :stop] = x[:, start:stop] @ x[:, :stop].mT
    return gram


def select_by_attention(scores: Tensor, keep: int, always: Tensor | None = None) -> Tensor:
    """The `keep` frames that receive the most temporal attention (H2OT, TPAMI 2025: TPA).

    scores: (B, F), of `layers.attend_and_score`. always: as for `select_by_cluster`. Of equal scores the earlier frame
    is kept.
    """
    return _largest(scores.detach(), keep, always)


@torch.no_grad()
def select_by_motion(pose: Tensor, keep: int, always: Tensor | None = None) -> Tensor:
    """The `keep` frames with the largest motion of the input pose (H2OT, TPAMI 2025: TPMo).

    pose: (B, F, J, 2 or more), x and y first. The motion of a frame is the mean distance of its joints from where they
    were in the frame before; the first frame, which has none before, counts as the second. always: as for
    `select_by_cluster`.
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
    """`keep` frames evenly spaced from the first to the last, both included (H2OT, TPAMI 2025: TPS); one frame is the
    middle one.

    x: (B, F, ...), of which shape and device alone count. always: as for `select_by_cluster`; the samples that are
    nearest to a frame that must stay make room for it. Halves are rounded up.
    """
    batch, count = x.shape[:2]
    gaps = max(keep - 1, 1)
    first = (
        torch.arange(keep, device=x.device) * 2 * (count - 1)
    )  # whole numbers: no rounding to differ between devices
    sample = (first + gaps) // (2 * gaps) if keep > 1 else torch.full_like(first, (count - 1) // 2)  # (keep,)
    if always is None:
        return sample.expand(batch, -1)  # (B, keep)
    number = torch.arange(count, device=x.device)
    apart = (number[:, None] - number).abs()  # (F, F)
    score = (
        apart.expand(batch, -1, -1).masked_fill(~always[:, None], count).amin(dim=2)
    )  # (B, F): to the next frame that must stay
    score = score.masked_fill(~is_one_of(number, sample), -1)
    return _largest(score.float(), keep, always)


def _largest(score: Tensor, keep: int, always: Tensor | None) -> Tensor:
    """The `keep` largest of score (B, F), the frames of `always` first, ties to the earlier frame -> (B, keep),
    sorted.
    """
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
