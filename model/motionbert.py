"""MotionBERT's DSTformer (Zhu et al., ICCV 2023) at its "Lite" size, HoT (CVPR 2024) and H2OT (TPAMI 2025, Li et al.)
w. MotionBERT.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from model.hourglass import Hourglass, PoseTransformer, check_width
from model.layers import SPACE, TIME, Attention, Mlp, PreLogits, fuse
from model.macs import Macs, block_macs, linear_macs
from model.registry import ALL_FRAMES, Variant, one_stage, register_variants, schedule

HEADS, MLP_RATIO, REPRESENTATION = 8, 4, 512


class DualBlock(nn.Module):
    """Attention and MLP over one axis, then over the other, in the order given: (B, F, J, C) -> the same."""

    def __init__(self, channel: int, hidden: int, heads: int, order: str) -> None:
        super().__init__()
        self.order = order
        for stream in ("s", "t"):
            self.add_module(f"norm1_{stream}", nn.LayerNorm(channel, eps=1e-6))
            self.add_module(f"norm2_{stream}", nn.LayerNorm(channel, eps=1e-6))
            self.add_module(f"attn_{stream}", Attention(channel, heads))
            self.add_module(f"mlp_{stream}", Mlp(channel, hidden))

    def forward(self, x: Tensor, received: list[Tensor] | None = None) -> Tensor:
        for stream in self.order:
            part = {name: getattr(self, f"{name}_{stream}") for name in ("norm1", "attn", "norm2", "mlp")}
            x = x + part["attn"](part["norm1"](x), *((SPACE, None) if stream == "s" else (TIME, received)))
            x = x + part["mlp"](part["norm2"](x))
        return x


class MotionBERT(PoseTransformer):
    """Two streams in each layer, space before time and time before space, fused by learned weights."""

    size_axes: ClassVar = {
        "frames": ("temp_embed", 1), "channel": ("pos_embed", 2), "joints": ("pos_embed", 1),
        "in_channels": ("joints_embed.weight", 1),
    }  # fmt: skip
    layer_list = "blocks_st"
    positions = ("pos_embed", "temp_embed")

    def __init__(
        self, frames: int, channel: int, plan: Hourglass, *, depth: int = 5, joints: int = 17, in_channels: int = 3
    ) -> None:  # fmt: skip
        super().__init__(frames, joints, in_channels, depth, plan)
        check_width(channel, HEADS)
        self.channel, self.hidden = channel, MLP_RATIO * channel
        self.joints_embed = nn.Linear(in_channels, channel)
        self.pos_embed = nn.Parameter(torch.zeros(1, joints, channel))
        self.temp_embed = nn.Parameter(torch.zeros(1, frames, 1, channel))
        self.blocks_st = nn.ModuleList(DualBlock(channel, self.hidden, HEADS, "st") for _ in range(depth))
        self.blocks_ts = nn.ModuleList(DualBlock(channel, self.hidden, HEADS, "ts") for _ in range(depth))
        fusions = [nn.Linear(2 * channel, 2) for _ in range(depth)]
        self.ts_attn = nn.ModuleList(fusions)
        self.norm = nn.LayerNorm(channel, eps=1e-6)
        self.pre_logits = PreLogits(channel, REPRESENTATION)
        self.head = nn.Linear(REPRESENTATION, 3)
        self.add_hourglass(channel, HEADS)
        self.apply(_initialise)
        for position in (self.pos_embed, self.temp_embed):
            nn.init.trunc_normal_(position, std=0.02)
        for weigh in fusions:
            nn.init.zeros_(weigh.weight)
            nn.init.constant_(weigh.bias, 0.5)

    def embed(self, pose_2d: Tensor) -> Tensor:
        return self.joints_embed(pose_2d) + self.pos_embed[:, None] + self.temp_embed  # (B, F, J, C)

    def stage(self, layer: int, x: Tensor, scores: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        received: list[Tensor] = []  # of the stream that attends over time last; both would cost twice as much
        x = fuse(self.blocks_st[layer](x, received if scores else None), self.blocks_ts[layer](x), self.ts_attn[layer])
        return (x, received[0]) if scores else x

    def finish(self, x: Tensor) -> Tensor:
        return self.norm(x)

    def regress(self, x: Tensor) -> Tensor:
        return self.head(self.pre_logits(x))  # (B, F or K, J, 3)

    def stage_macs(self, layer: int, frames: int) -> Macs:
        sizes, tokens = (self.channel, self.hidden), frames * self.joints
        stream = block_macs(frames, self.joints, *sizes) + block_macs(self.joints, frames, *sizes)
        return stream * 2 + linear_macs(tokens, 2 * self.channel, 2)

    def ends_macs(self, kept: int, frames: int) -> Macs:
        embed = linear_macs(self.frames * self.joints, self.in_channels, self.channel)
        return embed + linear_macs(frames * self.joints, self.channel, REPRESENTATION, 3)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


register_variants(
    MotionBERT,
    {"frames": 243, "channel": 256, "depth": 5, "joints": 17, "in_channels": 3},
    Variant("motionbert.motionbert", ALL_FRAMES,
    "MotionBERT: every frame in every layer, unless `prune` says otherwise."),
    Variant("motionbert.hot_motionbert", one_stage(81, 1, "attention"), "HoT w. MotionBERT, sequence to sequence."),
    Variant(
        "motionbert.h2ot_motionbert", schedule("1:121,2:81,3:59"),
        "H2OT w. MotionBERT, sequence to sequence: TPS and TRI. The journal gives no schedule; this one is ours.",
    ),
)  # fmt: skip
