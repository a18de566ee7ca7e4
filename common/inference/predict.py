"""What every use of a model shares: which rows of a prediction are which frames, and the mean of a plain and a mirrored
pass.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.geometry.augment import flip
from model import Prediction


def root_relative(pose: Tensor) -> Tensor:
    """Poses (..., J, 3) with joint 0 moved to the origin."""
    return pose - pose[..., :1, :]


def centre_rows(frames: Tensor, centre: int) -> Tensor:
    """The row of each sample that holds frame `centre`: frames (B, K) -> (B, 1)."""
    return (frames == centre).int().argmax(dim=1, keepdim=True)


def all_frames(prediction: Prediction, frames: int) -> Tensor:
    """The frame numbers (B, K) of the rows of a prediction."""
    if prediction.frames is not None:
        return prediction.frames
    return torch.arange(frames, device=prediction.pose.device).expand(prediction.pose.shape[0], -1)


def predict(model: nn.Module, pose_2d: Tensor, mirrored: tuple[int, ...] | None) -> Prediction:
    """Poses (B, F or K, J, 3) of normalised 2D (B, F, J, channels).

    mirrored (`Skeleton.mirrored`): test-time augmentation, the mean of the plain and the mirrored pass. Where poses of
    kept frames come out, the mirrored pass keeps the frames of the plain one; where all come out, it selects anew.
    """
    plain = model(pose_2d)
    if mirrored is None:
        return plain
    mirror = model(flip(pose_2d, mirrored), kept=None if plain.frames is None else plain.kept)
    return plain._replace(pose=(plain.pose + flip(mirror.pose, mirrored)) / 2)
