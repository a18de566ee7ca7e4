"""Windows of free motion as anybody's camera and anybody's detector might see them (recipe `wild`): everything is drawn
afresh for each window, and vectorised over the batch, on any device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from common.data.world_motion import WorldClip
from common.geometry.box import in_box, turn_to_box
from common.geometry.normalise import Normaliser
from common.geometry.skeleton import H36M
from common.wild.body import HEIGHT, draw_motion
from common.wild.camera import shoot
from common.wild.detector import observe
from common.wild.draw import Draw
from common.wild.motion import MotionBank
from common.wild.options import WILD, Wild


class WildBatch(NamedTuple):
    """pose_2d (B, F, 17, 3) normalised, with score; pose_3d (B, F, 17, 3) metres of a person HEIGHT tall,
    root-relative, z along the line of sight; which clip, and which of its frames is in the middle (B,); up (B, 3):
    where up is in the axes of pose_3d, 0 where nothing tells; focal (B,): focal length in larger sides of the picture.
    """

    pose_2d: Tensor
    pose_3d: Tensor
    sequence: Tensor
    start: Tensor
    up: Tensor
    focal: Tensor


def in_units_of_person(pose_3d: Tensor) -> Tensor:
    """Camera-space poses (B, F, 17, 3) metres -> root-relative, in metres of a person HEIGHT tall."""
    joint, parent = (torch.tensor(numbers, device=pose_3d.device) for numbers in zip(*H36M.bones, strict=True))
    length = (pose_3d[:, :, joint] - pose_3d[:, :, parent]).norm(dim=-1).mean(dim=1)  # (B, 16), of joints 1 to 16
    tall = length[:, [1, 2, 4, 5]].sum(dim=1) / 2 + length[:, 6:10].sum(dim=1)  # as skeleton.body_height
    return (pose_3d - pose_3d[:, :, :1]) * (HEIGHT / tall.clamp(min=1e-6))[:, None, None, None]


class WildDataset(Dataset):
    """An epoch of windows: as many as there are when one is cut every `stride` frames of all clips, drawn by the clips'
    weights and seen anew in every epoch; indexed by arrays of item numbers. They lie on `device`, where they are drawn.

    The same seed, epoch and items give the same batch. Targets are what a model behind `normaliser`, of kind "box", is
    to say: the person's size and the camera's axes are taken out (`Normaliser.height`, `Normaliser.turn`).
    """

    def __init__(
        self,
        clips: Sequence[WorldClip],
        fps: float,
        normaliser: Normaliser,
        frames: int,
        stride: int,
        seed: int,
        wild: Wild = WILD,
        device: torch.device | str = "cpu",
    ) -> None:
        self.bank = MotionBank(clips, fps, device, wild.by_content)
        self.normaliser, self.frames, self.seed, self.wild, self.device = (
            normaliser,
            frames,
            seed,
            wild,
            torch.device(device),
        )
        self.windows = -(-sum(map(len, clips)) // stride)
        self.epoch = 0

    def __len__(self) -> int:
        return self.windows

    @torch.no_grad()
    def __getitem__(self, items: np.ndarray | int) -> WildBatch:
        items = np.atleast_1d(items)
        draw = Draw([self.seed, self.epoch, *items.tolist()], self.device)
        fps = self.normaliser.fps
        # Each window has its own share of all motion, in which it begins anywhere: an epoch sees everything alike.
        share = (torch.from_numpy(items).to(self.device) + draw.uniform(0, 1, len(items)).double()) / self.windows
        clip, centre = self.bank.place(share)
        shot = shoot(draw_motion(self.bank, clip, centre, self.frames, fps, self.wild, draw), self.wild, draw)
        seen = observe(shot.pose, shot.size, shot.focal, fps, self.wild, draw)
        pose_2d = torch.cat([in_box(seen), seen[..., 2:]], dim=-1)  # (B, F, 17, 3)
        turn = turn_to_box(seen, shot.size / 2, shot.focal)  # (B, 3, 3)
        target = in_units_of_person(shot.pose) @ turn[:, None]  # the inverse turn, of row vectors
        up = (shot.up[:, None] @ turn)[:, 0]
        return WildBatch(pose_2d, target, clip, centre, up, shot.focal / shot.size.amax(dim=1))
