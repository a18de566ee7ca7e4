"""MixSTE (Zhang et al., CVPR 2022), HoT and TPC w. MixSTE (Li et al., CVPR 2024), and H2OT w. MixSTE (Li et al., TPAMI 2025)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from model.hourglass import Hourglass, PoseTransformer, check_width
from model.layers import SPACE, TIME, Block
from model.registry import register_model


class MixSTE(PoseTransformer):
    """Alternating blocks over the joints of a frame and over the frames of a joint; one token per joint."""

    first_stage = 1  # layer 0 adds the temporal position of every frame

    def __init__(
        self,
        frames: int,
        channel: int,
        hidden: int,
        plan: Hourglass,
        *,
        joints: int = 17,
        in_channels: int = 2,
        depth: int = 8,
        heads: int = 8,
    ) -> None:
        super().__init__(frames, joints, in_channels, depth, plan)
        check_width(channel, heads)
        self.channel, self.hidden = channel, hidden
        self.Spatial_patch_to_embedding = nn.Linear(in_channels, channel)
        self.Spatial_pos_embed = nn.Parameter(torch.zeros(1, joints, channel))
        self.Temporal_pos_embed = nn.Parameter(torch.zeros(1, frames, channel))
        rates = np.linspace(0, 0.1, depth).tolist()
        self.STEblocks = nn.ModuleList(Block(channel, hidden, heads, drop_path=rate) for rate in rates)
        self.TTEblocks = nn.ModuleList(Block(channel, hidden, heads, drop_path=rate) for rate in rates)
        self.Spatial_norm = nn.LayerNorm(channel, eps=1e-6)
        self.Temporal_norm = nn.LayerNorm(channel, eps=1e-6)
        self.head = nn.Sequential(nn.LayerNorm(channel, eps=1e-5), nn.Linear(channel, 3))
        self.add_hourglass(channel, heads)

    def embed(self, pose_2d: Tensor) -> Tensor:
        return self.Spatial_patch_to_embedding(pose_2d) + self.Spatial_pos_embed[:, None]  # (B, F, J, C)

    def stage(self, layer: int, x: Tensor, scores: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        received = [] if scores else None
        x = self.Spatial_norm(self.STEblocks[layer](x, SPACE))
        if layer == 0:
            x = x + self.Temporal_pos_embed[:, :, None]
        x = self.Temporal_norm(self.TTEblocks[layer](x, TIME, received))
        return (x, received[0]) if scores else x

    def finish(self, x: Tensor) -> Tensor:
        return x

    def regress(self, x: Tensor) -> Tensor:
        return self.head(x)  # (B, F or K, J, 3)


@register_model("mixste.mixste")
def mixste(
    frames: int = 243,
    channel: int = 512,
    d_hid: int = 1024,
    depth: int = 8,
    joints: int = 17,
    in_channels: int = 2,
    prune: str = "",
    select: str = "uniform",
    recover: str = "interpolation",
) -> MixSTE:
    """MixSTE: every frame in every layer, unless `prune` says otherwise."""
    plan = Hourglass.read(frames, prune, select, recover)
    return MixSTE(frames, channel, d_hid, plan, depth=depth, joints=joints, in_channels=in_channels)


@register_model("mixste.hot_mixste")
def hot_mixste(
    frames: int = 243,
    channel: int = 512,
    d_hid: int = 1024,
    token_num: int = 81,
    layer_index: int = 3,
    depth: int = 8,
    joints: int = 17,
    in_channels: int = 2,
    prune: str = "",
    select: str = "cluster",
    recover: str = "attention",
) -> MixSTE:
    """HoT w. MixSTE, sequence to sequence. d_hid is accepted and, as published, not used: the MLP is 2 x channel wide."""
    plan = Hourglass.read(frames, prune, select, recover, own=((layer_index, token_num),))
    return MixSTE(frames, channel, 2 * channel, plan, depth=depth, joints=joints, in_channels=in_channels)


@register_model("mixste.tpc_mixste")
def tpc_mixste(
    frames: int = 243,
    channel: int = 512,
    d_hid: int = 1024,
    token_num: int = 61,
    layer_index: int = 7,
    depth: int = 8,
    joints: int = 17,
    in_channels: int = 2,
    prune: str = "",
    select: str = "cluster",
    recover: str = "none",
) -> MixSTE:
    """TPC w. MixSTE, sequence to frame. d_hid is accepted and, as published, not used: the MLP is 2 x channel wide."""
    plan = Hourglass.read(frames, prune, select, recover, own=((layer_index, token_num),))
    return MixSTE(frames, channel, 2 * channel, plan, depth=depth, joints=joints, in_channels=in_channels)


@register_model("mixste.h2ot_mixste")
def h2ot_mixste(
    frames: int = 243,
    channel: int = 512,
    d_hid: int = 1024,
    depth: int = 8,
    joints: int = 17,
    in_channels: int = 2,
    prune: str = "1:123,3:81,5:59",
    select: str = "uniform",
    recover: str = "interpolation",
) -> MixSTE:
    """H2OT w. MixSTE, sequence to sequence: TPS and TRI. The journal gives no schedule; this one is ours, at its saving of 57.4 %."""
    plan = Hourglass.read(frames, prune, select, recover)
    return MixSTE(frames, channel, d_hid, plan, depth=depth, joints=joints, in_channels=in_channels)
