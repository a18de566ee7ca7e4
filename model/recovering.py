"""How the full length comes back: as tokens before they are regressed, or as poses afterwards."""

from __future__ import annotations

import torch
from torch import Tensor

from model.layers import TIME, CrossAttention
from model.pruning import count_before, gather_frames


def recover_by_attention(tokens: Tensor, queries: Tensor, attention: CrossAttention) -> Tensor:
    """Token recovering attention (HoT, CVPR 2024, section 3.3: TRA): tokens (B, K, S, C) -> (B, F, S, C).

    queries: (1, F, C), learned, one per frame of the full length; the kept tokens of the same joint are keys and
    values.
    """
    queries = queries[:, :, None]  # (1, F, 1, C): every joint asks the same
    return queries + attention(queries, tokens, tokens, axis=TIME)


def recover_by_interpolation(pose: Tensor, frames: Tensor, count: int) -> Tensor:
    """Linear interpolation over time (H2OT, TPAMI 2025: TRI): poses (B, K, J, 3) of `frames` -> (B, count, J, 3), the
    same unit.

    frames: (B, K), sorted, out of 0..count-1. A frame that was kept has its own pose to the bit; before the first and
    after the last of them the nearest one stands.
    """
    number, left, right = _neighbours(frames, count)
    start, end = frames.gather(1, left), frames.gather(1, right)  # (B, count) frame numbers
    passed, gap = (
        n.to(torch.promote_types(pose.dtype, torch.float32)) for n in (number - start, (end - start).clamp(min=1))
    )
    weight = (passed / gap).clamp(0, 1).to(pose.dtype)  # (B, count)
    return torch.lerp(
        gather_frames(pose, left), gather_frames(pose, right), weight[..., None, None]
    )  # (B, count, J, 3)


def recover_by_nearest(pose: Tensor, frames: Tensor, count: int) -> Tensor:
    """The pose of the nearest kept frame, of two the earlier: poses (B, K, J, 3) of `frames` (B, K), sorted -> (B,
    count, J, 3).
    """
    number, left, right = _neighbours(frames, count)
    later = (frames.gather(1, right) - number).abs() < (number - frames.gather(1, left)).abs()  # (B, count)
    return gather_frames(pose, torch.where(later, right, left))  # (B, count, J, 3)


def _neighbours(frames: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Frame numbers 0..count-1, and for each the rows of `frames` (B, K) around it: the last before and the first not
    before it.
    """
    number = torch.arange(count, device=frames.device).expand(frames.shape[0], -1)  # (B, count)
    after = count_before(frames, number)  # (B, count), 0..K
    last = frames.shape[1] - 1
    return number, (after - 1).clamp(min=0), after.clamp(max=last)


POSE_RECOVERERS = {"interpolation": recover_by_interpolation, "nearest": recover_by_nearest}
RECOVERERS = ("attention", *POSE_RECOVERERS, "none")
"""The names that a plan may give; "none" leaves the poses of the kept frames."""
