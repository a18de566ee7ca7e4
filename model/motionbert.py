"""MotionBERT's DSTformer (Zhu et al., ICCV 2023) at its "Lite" size, HoT (CVPR 2024) and H2OT (TPAMI 2025, Li et al.) w. MotionBERT."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.hourglass import Hourglass, PoseTransformer, check_width
from model.layers import SPACE, TIME, Attention, Mlp, PreLogits, fuse
from model.registry import register_model


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

    def __init__(
        self,
        frames: int,
        channel: int,
        plan: Hourglass,
        *,
        joints: int = 17,
        in_channels: int = 3,
        depth: int = 5,
        heads: int = 8,
        mlp_ratio: int = 4,
        representation: int = 512,
    ) -> None:
        super().__init__(frames, joints, in_channels, depth, plan)
        check_width(channel, heads)
        self.channel, self.hidden, self.representation = channel, mlp_ratio * channel, representation
        self.joints_embed = nn.Linear(in_channels, channel)
        self.pos_embed = nn.Parameter(torch.zeros(1, joints, channel))
        self.temp_embed = nn.Parameter(torch.zeros(1, frames, 1, channel))
        self.blocks_st = nn.ModuleList(DualBlock(channel, mlp_ratio * channel, heads, "st") for _ in range(depth))
        self.blocks_ts = nn.ModuleList(DualBlock(channel, mlp_ratio * channel, heads, "ts") for _ in range(depth))
        self.ts_attn = nn.ModuleList(nn.Linear(2 * channel, 2) for _ in range(depth))
        self.norm = nn.LayerNorm(channel, eps=1e-6)
        self.pre_logits = PreLogits(channel, representation)
        self.head = nn.Linear(representation, 3)
        self.add_hourglass(channel, heads)
        self.apply(_initialise)
        for position in (self.pos_embed, self.temp_embed):
            nn.init.trunc_normal_(position, std=0.02)
        for weigh in self.ts_attn:
            nn.init.zeros_(weigh.weight)
            nn.init.constant_(weigh.bias, 0.5)

    def embed(self, pose_2d: Tensor) -> Tensor:
        return self.joints_embed(pose_2d) + self.pos_embed[:, None] + self.temp_embed  # (B, F, J, C)

    def stage(self, layer: int, x: Tensor, scores: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        received = [] if scores else None  # of the stream that attends over time last; both would cost twice as much
        x = fuse(self.blocks_st[layer](x, received), self.blocks_ts[layer](x), self.ts_attn[layer])
        return (x, received[0]) if scores else x

    def finish(self, x: Tensor) -> Tensor:
        return self.norm(x)

    def regress(self, x: Tensor) -> Tensor:
        return self.head(self.pre_logits(x))  # (B, F or K, J, 3)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@register_model("motionbert.motionbert")
def motionbert(
    frames: int = 243,
    channel: int = 256,
    depth: int = 5,
    joints: int = 17,
    in_channels: int = 3,
    prune: str = "",
    select: str = "uniform",
    recover: str = "interpolation",
) -> MotionBERT:
    """MotionBERT: every frame in every layer, unless `prune` says otherwise."""
    plan = Hourglass.read(frames, prune, select, recover)
    return MotionBERT(frames, channel, plan, depth=depth, joints=joints, in_channels=in_channels)


@register_model("motionbert.hot_motionbert")
def hot_motionbert(
    frames: int = 243,
    channel: int = 256,
    token_num: int = 81,
    layer_index: int = 1,
    depth: int = 5,
    joints: int = 17,
    in_channels: int = 3,
    prune: str = "",
    select: str = "cluster",
    recover: str = "attention",
) -> MotionBERT:
    """HoT w. MotionBERT, sequence to sequence."""
    plan = Hourglass.read(frames, prune, select, recover, own=((layer_index, token_num),))
    return MotionBERT(frames, channel, plan, depth=depth, joints=joints, in_channels=in_channels)


@register_model("motionbert.h2ot_motionbert")
def h2ot_motionbert(
    frames: int = 243,
    channel: int = 256,
    depth: int = 5,
    joints: int = 17,
    in_channels: int = 3,
    prune: str = "1:121,2:81,3:59",
    select: str = "uniform",
    recover: str = "interpolation",
) -> MotionBERT:
    """H2OT w. MotionBERT, sequence to sequence: TPS and TRI. The journal gives no schedule; this one is ours."""
    plan = Hourglass.read(frames, prune, select, recover)
    return MotionBERT(frames, channel, plan, depth=depth, joints=joints, in_channels=in_channels)
