"""`common.geometry.normalise` for windows of 2D on any device: the person's box, 2D in its units, and the line of sight
to it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def box_of(pose_2d: Tensor) -> tuple[Tensor, Tensor]:
    """The person's box in windows (B, F, 17, 2 or 3): centre (B, 2) and larger side (B,) in pixels, as
    `normalise.box_of` says.
    """
    xy = pose_2d[..., :2]
    if pose_2d.shape[-1] == 2:
        low, high = xy.amin(dim=2), xy.amax(dim=2)  # (B, F, 2)
        return ((low + high) / 2).quantile(0.5, dim=1), (high - low).amax(dim=-1).quantile(0.5, dim=1)
    there = pose_2d[..., 2:] > 0  # (B, F, 17, 1)
    low = torch.where(there, xy, torch.inf).amin(dim=2)
    high = torch.where(there, xy, -torch.inf).amax(dim=2)  # (B, F, 2)
    valid = there.any(dim=2)[..., 0]  # (B, F)
    return median((low + high) / 2, valid), median((high - low).amax(dim=-1, keepdim=True), valid)[:, 0]


def median(values: Tensor, valid: Tensor) -> Tensor:
    """Medians of the valid frames: (B, F, n), (B, F) -> (B, n); 0 where none is."""
    count = valid.sum(dim=1)[:, None, None]  # (B, 1, 1)
    ordered = torch.where(valid[..., None], values, torch.inf).sort(dim=1).values
    shape = (-1, 1, values.shape[-1])
    low, high = (
        ordered.gather(1, middle.clamp(min=0).expand(shape))
        for middle in ((count - 1) // 2, count // 2 - (count == 0).long())
    )
    return torch.where(count > 0, (low + high) / 2, 0.0)[:, 0]


def normalise(pose_2d: Tensor, size: Tensor, focal: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels and scores (B, F, 17, 3) in pictures of `size` (B, 2) and focal lengths (B,) pixels -> what
    `Normaliser.apply` of kind "box" makes of them (B, F, 17, 3), and `Normaliser.turn` (B, 3, 3).
    """
    centre, side = box_of(pose_2d)
    score = pose_2d[..., 2:]
    xy = torch.where(score > 0, pose_2d[..., :2] - centre[:, None, None], 0.0)
    xy = xy / torch.where(side > 0, side, 1.0)[:, None, None, None]
    offset = torch.where(side[:, None] > 0, centre - size / 2, 0.0) / focal[:, None]  # (B, 2)
    return torch.cat([xy, score], dim=-1), sight(torch.cat([offset, torch.ones_like(offset[:, :1])], dim=-1))


def sight(ray: Tensor) -> Tensor:
    """The smallest rotation that turns the z axis into the direction of rays (B, 3), z > 0 -> (B, 3, 3)."""
    x, y, z = (ray / ray.norm(dim=-1, keepdim=True)).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, zero, x, zero, zero, y, -x, -y, zero], dim=-1).view(-1, 3, 3)
    return torch.eye(3, device=ray.device) + cross + cross @ cross / (1 + z)[:, None, None]
