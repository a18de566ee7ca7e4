"""MixSTE (Zhang et al., CVPR 2022), HoT and TPC w. MixSTE (Li et al., CVPR 2024), and H2OT w. MixSTE (Li et al., TPAMI
2025).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from model.hourglass import Hourglass, PoseTransformer, check_counts, check_width
from model.layers import SPACE, TIME, Block
from model.macs import Macs, block_macs, linear_macs
from model.registry import ALL_FRAMES, Variant, one_stage, register_variants, schedule

HEADS = 8


class MixSTE(PoseTransformer):
    """Alternating blocks over the joints of a frame and over the frames of a joint; one token per joint."""

    first_stage = 1  # layer 0 adds the temporal position of every frame
    size_axes: ClassVar = {
        "frames": ("Temporal_pos_embed", 1), "channel": ("Spatial_pos_embed", 2), "joints": ("Spatial_pos_embed", 1),
        "in_channels": ("Spatial_patch_to_embedding.weight", 1), "d_hid": ("STEblocks.0.mlp.fc1.weight", 0),
    }  # fmt: skip
    layer_list = "STEblocks"
    positions = ("Spatial_pos_embed", "Temporal_pos_embed")

    def __init__(
        self, frames: int, channel: int, d_hid: int, plan: Hourglass, *,
        depth: int = 8, joints: int = 17, in_channels: int = 2,
    ) -> None:  # fmt: skip
        super().__init__(frames, joints, in_channels, depth, plan)
        check_width(channel, HEADS)
        check_counts(d_hid=d_hid)
        self.channel, self.hidden = channel, d_hid
        self.Spatial_patch_to_embedding = nn.Linear(in_channels, channel)
        self.Spatial_pos_embed = nn.Parameter(torch.zeros(1, joints, channel))
        self.Temporal_pos_embed = nn.Parameter(torch.zeros(1, frames, channel))
        rates = np.linspace(0, 0.1, depth).tolist()
        self.STEblocks = nn.ModuleList(Block(channel, d_hid, HEADS, drop_path=rate) for rate in rates)
        self.TTEblocks = nn.ModuleList(Block(channel, d_hid, HEADS, drop_path=rate) for rate in rates)
        self.Spatial_norm = nn.LayerNorm(channel, eps=1e-6)
        self.Temporal_norm = nn.LayerNorm(channel, eps=1e-6)
        self.head = nn.Sequential(nn.LayerNorm(channel, eps=1e-5), nn.Linear(channel, 3))
        self.add_hourglass(channel, HEADS)

    def embed(self, pose_2d: Tensor) -> Tensor:
        return self.Spatial_patch_to_embedding(pose_2d) + self.Spatial_pos_embed[:, None]  # (B, F, J, C)

    def stage(self, layer: int, x: Tensor, scores: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        received: list[Tensor] = []
        x = self.Spatial_norm(self.STEblocks[layer](x, SPACE))
        if layer == 0:
            x = x + self.Temporal_pos_embed[:, :, None]
        x = self.Temporal_norm(self.TTEblocks[layer](x, TIME, received if scores else None))
        return (x, received[0]) if scores else x

    def finish(self, x: Tensor) -> Tensor:
        return x

    def regress(self, x: Tensor) -> Tensor:
        return self.head(x)  # (B, F or K, J, 3)

    def stage_macs(self, layer: int, frames: int) -> Macs:
        sizes = (self.channel, self.hidden)
        return block_macs(frames, self.joints, *sizes) + block_macs(self.joints, frames, *sizes)

    def ends_macs(self, kept: int, frames: int) -> Macs:
        embed = linear_macs(self.frames * self.joints, self.in_channels, self.channel)
        return embed + linear_macs(frames * self.joints, self.channel, 3)


def _published_width(channel: int, d_hid: int, **others: Any) -> MixSTE:
    check_counts(d_hid=d_hid)
    return MixSTE(channel=channel, d_hid=2 * channel, **others)


register_variants(
    MixSTE,
    {"frames": 243, "channel": 512, "d_hid": 1024, "depth": 8, "joints": 17, "in_channels": 2},
    Variant("mixste.mixste", ALL_FRAMES, "MixSTE: every frame in every layer, unless `prune` says otherwise."),
    Variant(
        "mixste.hot_mixste", one_stage(81, 3, "attention"),
        "HoT w. MixSTE, sequence to sequence. d_hid is accepted and, as published, not used: the MLP is 2 x channel "
        "wide.",
        _published_width,
    ),
    Variant(
        "mixste.tpc_mixste", one_stage(61, 7, "none"),
        "TPC w. MixSTE, sequence to frame. d_hid is accepted and, as published, not used: the MLP is 2 x channel wide.",
        _published_width,
    ),
    Variant(
        "mixste.h2ot_mixste", schedule("1:123,3:81,5:59"),
        "H2OT w. MixSTE, sequence to sequence: TPS and TRI. The journal gives no schedule; this one is ours, at its "
        "saving of 57.4 %.",
    ),
)  # fmt: skip
