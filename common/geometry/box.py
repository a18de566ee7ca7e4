"""The person's box in a window of 2D, and the line of sight to it, on any device."""

from __future__ import annotations

import torch
from torch import Tensor


def box_of(pose_2d: Tensor) -> tuple[Tensor, Tensor]:
    """The person's box in a window (..., F, J, 2 or 3), pixels and score -> centre (..., 2), larger side (...).

    Medians over the frames, so that a joint that is far off for a moment changes nothing; joints of score 0 do not
    count. A window without any joint has centre and side 0, one whose joints are all in one point has side 0.
    """
    xy = pose_2d[..., :2]
    if pose_2d.shape[-1] == 2:
        low, high = xy.amin(dim=-2), xy.amax(dim=-2)  # (..., F, 2)
        valid = torch.ones_like(low[..., 0], dtype=torch.bool)  # (..., F)
    else:
        found = pose_2d[..., 2:] > 0  # (..., F, J, 1)
        low = torch.where(found, xy, torch.inf).amin(dim=-2)  # (..., F, 2)
        high = torch.where(found, xy, -torch.inf).amax(dim=-2)  # (..., F, 2)
        valid = found.any(dim=-2)[..., 0]  # (..., F)
    side = (high - low).amax(dim=-1, keepdim=True)  # (..., F, 1)
    return median((low + high) / 2, valid), median(side, valid)[..., 0]


def median(values: Tensor, valid: Tensor) -> Tensor:
    """Medians of the valid frames: (..., F, n), (..., F) -> (..., n); 0 where none is."""
    count = valid.sum(dim=-1)[..., None, None]  # (..., 1, 1)
    ordered = torch.where(valid[..., None], values, torch.inf).sort(dim=-2).values  # (..., F, n)
    shape = (*values.shape[:-2], 1, values.shape[-1])
    low, high = (
        ordered.gather(-2, middle.clamp(min=0).expand(shape))
        for middle in ((count - 1) // 2, count // 2 - (count == 0).long())
    )  # (..., 1, n) each
    return torch.where(count > 0, (low + high) / 2, 0.0)[..., 0, :]


def in_box(pose_2d: Tensor) -> Tensor:
    """Pixels and scores (..., F, J, 3) in units of the window's own box -> (..., F, J, 2).

    The box's centre becomes 0, its larger side 1; joints that are not there (score 0) are put at 0.
    """
    centre, side = box_of(pose_2d)
    xy = torch.where(pose_2d[..., 2:] > 0, pose_2d[..., :2] - centre[..., None, None, :], 0.0)  # (..., F, J, 2)
    return xy / torch.where(side > 0, side, 1.0)[..., None, None, None]


def turn_to_box(pose_2d: Tensor, middle: Tensor, focal: Tensor) -> Tensor:
    """The rotations (..., 3, 3) from axes whose z is the line of sight to the window's box to the camera's axes.

    pose_2d: (..., F, J, 2 or 3). middle: where the camera's axis meets the picture (..., 2); focal: (...), pixels.
    Windows without a person: no rotation.
    """
    centre, side = box_of(pose_2d)
    offset = torch.where(side[..., None] > 0, centre - middle, 0.0) / focal[..., None]  # (..., 2)
    return rotation_to(torch.cat([offset, torch.ones_like(offset[..., :1])], dim=-1))


def rotation_to(ray: Tensor) -> Tensor:
    """The smallest rotation that turns the z axis into the direction of rays (..., 3), z > 0 -> (..., 3, 3)."""
    x, y, z = (ray / ray.norm(dim=-1, keepdim=True)).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, zero, x, zero, zero, y, -x, -y, zero], dim=-1).unflatten(-1, (3, 3))  # (..., 3, 3)
    one = torch.eye(3, dtype=ray.dtype, device=ray.device)
    return one + cross + cross @ cross / (1 + z)[..., None, None]
