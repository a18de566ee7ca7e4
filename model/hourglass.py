"""The hourglass: a plan about the frame axis, and the one `forward` that carries it out for every backbone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from common.errors import InputError
from model.layers import CrossAttention
from model.pruning import SELECTORS, gather_frames
from model.recovering import recover_by_attention


@dataclass(frozen=True)
class Hourglass:
    """Which frames stay from where on, and how the others come back.

    stages: (layer, keep) pairs: before that layer, keep so many frames. select: a name of `pruning.SELECTORS`.
    recover: "attention" (learned, sequence to sequence) or "none" (sequence to frame: poses of the kept frames only).
    always: frame numbers that every stage keeps. No stages: the plain backbone.
    """

    stages: tuple[tuple[int, int], ...] = ()
    select: str = "cluster"
    recover: str = "none"
    always: tuple[int, ...] = ()

    def frames_at(self, layer: int, frames: int) -> int:
        """How many frames layer `layer` sees when `frames` go in."""
        return min([frames, *(keep for at, keep in self.stages if at <= layer)])

    @property
    def learned(self) -> bool:
        """Whether the plan brings parameters: positions of the kept tokens and recovering attention."""
        return bool(self.stages) and self.recover == "attention"


class Prediction(NamedTuple):
    """What a model returns.

    pose: (B, F, J, 3), or (B, K, J, 3) where only kept frames have a pose; metres, camera space.
    frames: None when every frame has a pose, else (B, K) int64, sorted: the frame numbers of the rows of `pose`.
    kept: one (B, K_i) per stage of the plan, original frame numbers; given back to the model, it replays the selection.
    """

    pose: Tensor
    frames: Tensor | None
    kept: tuple[Tensor, ...]


class PoseTransformer(nn.Module, ABC):
    """A video pose transformer: embed, stages, finish, regress over tokens (B, F, S, C), with an hourglass over F.

    A backbone fills `embed`, `stage`, `finish` and `regress` (and `frame_features` where the mean over a frame's tokens is not
    what describes a frame), and calls `add_hourglass` once it knows its width.
    """

    name: str
    sizes: dict[str, object]
    first_stage = 0
    """The first layer before which frames may be pruned."""
    centre_only = False
    """Whether the published evaluation scores the centre frame alone, whatever the stride."""

    def __init__(self, frames: int, joints: int, in_channels: int, depth: int, plan: Hourglass, last_stage: int | None = None) -> None:
        super().__init__()
        if in_channels not in (2, 3):
            raise InputError(f"in_channels is {in_channels}; it must be 2 (x, y) or 3 (x, y, score)")
        check_plan(plan, frames, self.first_stage, depth - 1 if last_stage is None else last_stage)
        self.frames, self.joints, self.in_channels, self.depth, self.plan = frames, joints, in_channels, depth, plan

    def add_hourglass(self, channel: int, heads: int, qkv_bias: bool = True) -> None:
        """Hold what a plan learns, on the model itself and under the published names."""
        if self.plan.learned:
            for number, (_, keep) in enumerate(self.plan.stages, start=1):
                name = "pos_embed_token" if number == 1 else f"pos_embed_token_{number}"
                self.register_parameter(name, nn.Parameter(torch.zeros(1, keep, channel)))
            self.x_token = nn.Parameter(torch.zeros(1, self.frames, channel))
            self.cross_attention = CrossAttention(channel, heads, qkv_bias)

    @abstractmethod
    def embed(self, pose_2d: Tensor) -> Tensor:
        """Normalised 2D poses (B, F, J, in_channels) -> tokens (B, F, S, C)."""

    @abstractmethod
    def stage(self, layer: int, x: Tensor) -> Tensor:
        """Layer number `layer`: (B, K, S, C) -> (B, K, S, C)."""

    @abstractmethod
    def finish(self, x: Tensor) -> Tensor:
        """What follows the last layer and comes before recovering: (B, K, S, C) -> (B, K, S, C)."""

    @abstractmethod
    def regress(self, x: Tensor) -> Tensor:
        """Tokens (B, F or K, S, C) -> poses (B, F or K, J, 3) metres."""

    def frame_features(self, x: Tensor) -> Tensor:
        """What a selector compares: (B, K, S, C) -> (B, K, D)."""
        return x.mean(dim=2)

    def forward(self, pose_2d: Tensor, kept: tuple[Tensor, ...] | None = None) -> Prediction:
        """Normalised 2D poses (B, F, J, in_channels) -> Prediction; `kept` of an earlier call replays its selection."""
        x = self.embed(pose_2d)  # (B, F, S, C)
        frames, chosen = None, []
        stages = dict(self.plan.stages)
        for layer in range(self.depth):
            if layer in stages:
                x, frames = self.prune(x, frames, stages[layer], None if kept is None else kept[len(chosen)])
                chosen.append(frames)
                if self.plan.learned:
                    x = x + getattr(self, "pos_embed_token" if len(chosen) == 1 else f"pos_embed_token_{len(chosen)}")[:, :, None]
            x = self.stage(layer, x)  # (B, K, S, C)
        x = self.finish(x)  # (B, K, S, C)
        if self.plan.learned:
            x, frames = recover_by_attention(x, self.x_token, self.cross_attention), None  # (B, F, S, C)
        with torch.autocast(x.device.type, enabled=False):  # millimetres need more digits than half precision has
            pose = self.regress(x.to(torch.promote_types(x.dtype, torch.float32)))
        return Prediction(pose, frames, tuple(chosen))

    def prune(self, x: Tensor, frames: Tensor | None, keep: int, replay: Tensor | None) -> tuple[Tensor, Tensor]:
        """Keep some frames of x (B, N, S, C), whose original numbers are `frames` (B, N), None: all.

        Returns (B, K, S, C) and the original numbers of its frames (B, K).
        """
        if frames is None:
            frames = torch.arange(x.shape[1], device=x.device).expand(x.shape[0], -1)  # (B, N)
        if replay is not None:
            index = torch.searchsorted(frames.contiguous(), replay)  # (B, K) rows of x
        else:
            protected = torch.isin(frames, torch.tensor(self.plan.always, device=x.device)) if self.plan.always else None  # (B, N)
            index = SELECTORS[self.plan.select](self.frame_features(x.detach()), keep, protected)  # (B, K)
        return gather_frames(x, index), frames.gather(1, index)


def check_plan(plan: Hourglass, frames: int, first: int, last: int) -> None:
    """Raise InputError where the plan does not suit a model of `frames` frames that prunes before layers first..last."""
    if frames < 3 or frames % 2 == 0:
        raise InputError(f"frames is {frames}; it must be an odd number, 3 or more, so that a window has a centre frame")
    layers, counts = [layer for layer, _ in plan.stages], [keep for _, keep in plan.stages]
    if layers != sorted(set(layers)) or counts != sorted(counts, reverse=True):
        raise InputError(f"the stages {plan.stages} make no plan; each must come later than the one before and keep no more frames")
    for layer, keep in plan.stages:
        if not first <= layer <= last:
            raise InputError(f"layer_index is {layer}; this model prunes before layers {first} to {last}")
        if not max(1, len(plan.always)) <= keep <= frames:
            raise InputError(f"token_num is {keep}; it must be between 1 and the number of frames, {frames}")


def check_width(channel: int, heads: int) -> None:
    """Raise InputError where the heads do not divide the width."""
    if channel < heads or channel % heads:
        raise InputError(f"channel is {channel}; it must be a multiple of {heads}, the number of attention heads")
