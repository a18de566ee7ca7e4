"""World motion of many clips, from which windows are cut at any speed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from common.data.world_motion import WorldClip
from common.geometry.windows import catmull_rom


class MotionBank:
    """The poses of all clips in one tensor on `device`. by_content: clips are drawn by weight and minutes, else by
    minutes.
    """

    def __init__(
        self, clips: Sequence[WorldClip], fps: float, device: torch.device | str = "cpu", by_content: bool = True
    ) -> None:
        self.fps = fps
        self.pose = (
            torch.from_numpy(np.concatenate([clip.pose for clip in clips]).astype(np.float32)).flatten(1).to(device)
        )  # (total, 51)
        self.length = torch.tensor([len(clip) for clip in clips], device=device)  # (N,)
        self.offset = self.length.cumsum(0) - self.length  # (N,)
        self.own_bones = torch.tensor([clip.own_bones for clip in clips], device=device)  # (N,)
        weight = torch.tensor(
            [clip.weight if by_content else 1.0 for clip in clips], dtype=torch.float64, device=device
        )  # (N,)
        self.share = weight * self.length / (weight * self.length).sum()  # (N,) of each clip in what is drawn

    def place(self, share: Tensor) -> tuple[Tensor, Tensor]:
        """Where one is after a share (B,), 0 <= share < 1, of all that is drawn -> clips (B,) and frames of them (B,),
        float32.
        """
        end = self.share.cumsum(0)  # (N,)
        share = share.double()
        clip = torch.searchsorted(end, share, right=True).clamp(max=len(end) - 1)  # (B,)
        clip = torch.where(self.share[clip] > 0, clip, self.share.argmax())  # beyond the last by rounding
        within = ((share - end[clip]) / self.share[clip] + 1).clamp(0, 1)
        return clip, (within * (self.length[clip] - 1)).float()

    def cut(self, clip: Tensor, centre: Tensor, speed: Tensor, frames: int) -> Tensor:
        """Windows of clips (B,) around frames `centre` (B,), played at `speed` (B,), negative: backwards -> (B, frames,
        17, 3).

        Windows that stick out are moved into the clip; in clips that are too short the edge frames are repeated.
        Between frames the motion goes along Catmull-Rom splines.
        """
        reach = speed.abs() * (frames - 1) / 2
        last = self.length[clip] - 1  # (B,)
        centre = torch.where(2 * reach < last, torch.minimum(torch.maximum(centre, reach), last - reach), last / 2)
        step = torch.arange(frames, device=speed.device) - (frames - 1) / 2  # (F,)
        time = torch.minimum(
            (centre[:, None] + speed[:, None] * step).clamp(min=0), last[:, None]
        )  # (B, F) frames of the clip
        left = torch.minimum(time.long(), (last[:, None] - 1).clamp(min=0))  # (B, F)
        pose = torch.zeros((*left.shape, self.pose.shape[1]), device=speed.device)  # (B, F, 51)
        for neighbour, weight in zip((-1, 0, 1, 2), catmull_rom(time - left), strict=True):
            rows = torch.minimum((left + neighbour).clamp(min=0), last[:, None]) + self.offset[clip, None]
            pose.addcmul_(weight[..., None], self.pose[rows])
        return pose.view(*left.shape, 17, 3)
