"""Which way up the person is, and the camera before it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from common.wild.draw import Draw
from common.wild.options import Wild

SIZES = ((1280, 720), (1920, 1080), (1080, 1920), (720, 1280), (1000, 1000), (640, 480))
NEAREST = 1.0
"""No joint comes nearer to the camera than this, metres."""


class Shot(NamedTuple):
    """Windows in camera space: pose (B, F, 17, 3) metres; the picture's size (B, 2) and the focal length (B,) in
    pixels; where up is, unit vectors (B, 3), or 0 where the body was turned as if gravity were not.
    """

    pose: Tensor
    size: Tensor
    focal: Tensor
    up: Tensor


def shoot(pose: Tensor, wild: Wild, draw: Draw) -> Shot:
    """Put a camera before each window: world poses (B, F, 17, 3), y up -> camera space.

    The person's root in the middle of the window is somewhere in the picture, so far away that the person fits in.
    """
    count, frames = pose.shape[:2]
    pose = pose - pose[:, frames // 2, None, :1]  # about the middle root
    tumbled = draw.chance(wild.tumbled, count)[:, None, None]
    turn = camera_axes(wild, draw, count)
    up = torch.where(tumbled[..., 0], 0.0, turn[:, :, 1])  # (B, 3)
    turn = torch.where(tumbled, turn @ draw.rotation(count), turn)  # (B, 3, 3)
    body = pose @ turn.mT[:, None]  # (B, F, 17, 3)

    size = torch.tensor(SIZES, device=pose.device)[draw.integer(len(SIZES), count)].float()  # (B, 2)
    field = torch.deg2rad(draw.uniform(*wild.field_of_view, count))
    focal = size.amax(dim=1) / 2 / torch.tan(field / 2)  # (B,)
    tall = (body[..., :2] - body[:, :, :1, :2]).abs().amax(dim=(1, 2))  # (B, 2) half of what the person takes, metres
    fits = (2.1 * tall * focal[:, None] / size).amax(dim=1)  # (B,) the distance at which the person fills the picture
    near = (0.9 * fits).clamp(min=wild.distance[0])
    distance = near + (near.clamp(min=wild.distance[1]) - near) * draw.uniform(0, 1, count) ** 1.5
    room = (size / 2 / focal[:, None] - tall / distance[:, None]).clamp(
        min=0
    )  # (B, 2) how far from the centre the root may be
    place = room * draw.uniform(-1, 1, count, 2) * torch.where(draw.chance(0.5, count, 1), 0.5, 1.0)
    ray = torch.cat([place, torch.ones_like(place[:, :1])], dim=1)  # (B, 3)
    root = ray * distance[:, None]
    closest = (body[..., 2].amin(dim=(1, 2)) + root[:, 2])[:, None]
    root = root + ray * (NEAREST - closest).clamp(min=0)
    return Shot(body + root[:, None, None], size, focal, up)


def camera_axes(wild: Wild, draw: Draw, count: int) -> Tensor:
    """Rotations (count, 3, 3) from the world, y up, to cameras (x right, y down, z forward) that look from all
    around.
    """
    yaw = draw.uniform(-torch.pi, torch.pi, count)
    pitch = torch.deg2rad(draw.uniform(*wild.pitch, count))
    pitch = torch.where(draw.chance(wild.steep, count), torch.asin(draw.uniform(-1, 1, count)), pitch)
    roll = torch.deg2rad((wild.roll * draw.normal(count)).clamp(-3 * wild.roll, 3 * wild.roll))
    one, zero = torch.ones_like(yaw), torch.zeros_like(yaw)

    def matrix(*rows: Tensor) -> Tensor:
        return torch.stack(rows, dim=-1).view(count, 3, 3)

    level = matrix(yaw.cos(), zero, -yaw.sin(), zero, -one, zero, -yaw.sin(), zero, -yaw.cos())
    tilt = matrix(
        one, zero, zero, zero, pitch.cos(), -pitch.sin(), zero, pitch.sin(), pitch.cos()
    )  # looking down brings what is up
    return matrix(roll.cos(), -roll.sin(), zero, roll.sin(), roll.cos(), zero, zero, zero, one) @ tilt @ level
