"""MHFormer (Li et al., CVPR 2022), TPC and HoT w. MHFormer (Li et al., CVPR 2024), and H2OT w. MHFormer (Li et al.,
TPAMI 2025).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from common.errors import InputError
from model.hourglass import Hourglass, PoseTransformer, check_counts, check_width
from model.layers import Attention, Block, CrossAttention, DropPath, Mlp
from model.macs import Macs, attention_macs, block_macs, linear_macs
from model.registry import ALL_FRAMES, Variant, one_stage, register_variants, schedule

HEADS, ENCODER_HEADS, ENCODER_DEPTH = 8, 9, 4
HYPOTHESES = (1, 2, 3)
DROPOUT = 0.1


class CoordinateEncoder(nn.Module):
    """Transformer over the coordinates of all joints as tokens, whose channels are the frames: (B, N, F) -> (B,
    N, F).
    """

    def __init__(self, coordinates: int, frames: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, coordinates, frames))
        self.pos_drop = nn.Dropout(DROPOUT)
        rates = np.linspace(0, 0.2, ENCODER_DEPTH).tolist()
        self.blocks = nn.ModuleList(
            Block(frames, 2 * frames, ENCODER_HEADS, dropout=DROPOUT, drop_path=rate) for rate in rates
        )
        self.norm = nn.LayerNorm(frames, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pos_drop(x + self.pos_embed)
        for block in self.blocks:
            x = block(x, axis=1)
        return self.norm(x)


class SelfHypothesisRefinement(nn.Module):
    """Self-attention over the frames of each hypothesis, then one MLP over the three together: (B, K, 3, C) -> the
    same.
    """

    def __init__(self, channel: int, hidden: int, heads: int, drop_path: float) -> None:
        super().__init__()
        for k in HYPOTHESES:
            self.add_module(f"norm1_{k}", nn.LayerNorm(channel, eps=1e-6))
            self.add_module(f"attn_{k}", Attention(channel, heads, dropout=DROPOUT))
        self.norm2 = nn.LayerNorm(3 * channel, eps=1e-6)
        self.mlp = Mlp(3 * channel, hidden, DROPOUT)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, received: list[Tensor] | None = None) -> Tensor:
        hypotheses = []
        for k, h in zip(HYPOTHESES, x.unbind(2), strict=True):  # h: (B, K, C)
            attention, norm = getattr(self, f"attn_{k}"), getattr(self, f"norm1_{k}")
            hypotheses.append(h + self.drop_path(attention(norm(h), 1, received)))
        return mix_hypotheses(self, hypotheses)


class CrossHypothesisInteraction(nn.Module):
    """Each hypothesis attends to the other two, in order, then one MLP over the three together: (B, K, 3, C) -> the
    same.
    """

    def __init__(self, channel: int, hidden: int, heads: int, drop_path: float) -> None:
        super().__init__()
        for k in HYPOTHESES:
            for role in HYPOTHESES:
                self.add_module(f"norm3_{k}{role}", nn.LayerNorm(channel, eps=1e-6))
            self.add_module(f"attn_{k}", CrossAttention(channel, heads, dropout=DROPOUT))
        self.norm2 = nn.LayerNorm(3 * channel, eps=1e-6)
        self.mlp = Mlp(3 * channel, hidden, DROPOUT)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        h = dict(zip(HYPOTHESES, x.unbind(2), strict=True))  # three of (B, K, C)
        for k, roles in {
            1: (2, 3, 1),
            2: (1, 3, 2),
            3: (1, 2, 3),
        }.items():  # query, key, value; what is done already is seen
            q, key, v = (
                getattr(self, f"norm3_{k}{role}")(h[other]) for role, other in zip(HYPOTHESES, roles, strict=True)
            )
            h[k] = h[k] + self.drop_path(getattr(self, f"attn_{k}")(q, key, v, axis=1))
        return mix_hypotheses(self, list(h.values()))


def mix_hypotheses(block: SelfHypothesisRefinement | CrossHypothesisInteraction, hypotheses: list[Tensor]) -> Tensor:
    """The MLP over the concatenated hypotheses that ends either kind of block: three of (B, K, C) -> (B, K, 3, C)."""
    x = torch.cat(hypotheses, dim=-1)  # (B, K, 3C)
    x = x + block.drop_path(block.mlp(block.norm2(x)))
    return x.unflatten(-1, (3, -1))  # (B, K, 3, C)


class HypothesisTransformer(nn.Module):
    """Holds, under the published names, the part of MHFormer whose tokens are the frames of three hypotheses."""

    def __init__(self, frames: int, channel: int, hidden: int, heads: int, depth: int) -> None:
        super().__init__()
        for k in HYPOTHESES:
            self.register_parameter(f"pos_embed_{k}", nn.Parameter(torch.zeros(1, frames, channel)))
        self.pos_drop = nn.Dropout(DROPOUT)
        rates = np.linspace(0, 0.2, depth).tolist()
        self.SHR_blocks = nn.ModuleList(SelfHypothesisRefinement(channel, hidden, heads, rate) for rate in rates[:-1])
        self.CHI_blocks = nn.ModuleList([CrossHypothesisInteraction(channel, hidden, heads, rates[-1])])
        self.norm = nn.LayerNorm(3 * channel, eps=1e-6)


class MHFormer(PoseTransformer):
    """Three hypotheses per frame are the tokens; its layers are the SHR blocks and the CHI block that ends them."""

    size_axes: ClassVar = {
        "frames": ("Transformer_hypothesis.pos_embed_1", 1),
        "channel": ("Transformer_hypothesis.pos_embed_1", 2),
        "d_hid": ("Transformer_hypothesis.SHR_blocks.0.mlp.fc1.weight", 0),
    }  # fmt: skip
    layer_list = "Transformer_hypothesis.SHR_blocks"
    positions = tuple(f"Transformer_hypothesis.pos_embed_{k}" for k in HYPOTHESES)

    def __init__(
        self, frames: int, channel: int, d_hid: int, plan: Hourglass, *,
        joints: int = 17, in_channels: int = 2, depth: int = 3,
    ) -> None:  # fmt: skip
        super().__init__(frames, joints, in_channels, depth, plan)
        check_width(channel, HEADS)
        check_counts(d_hid=d_hid)
        if frames % ENCODER_HEADS:
            raise InputError(
                f"frames is {frames}; for MHFormer it must be an odd multiple of {ENCODER_HEADS} (27, 81, 243, 351 ...)"
            )
        self.channel, self.hidden = channel, d_hid
        self.centre_only = plan.kept_only
        coordinates = joints * in_channels
        for k in HYPOTHESES:
            self.add_module(f"norm_{k}", nn.LayerNorm(frames, eps=1e-5))
            self.add_module(f"Transformer_encoder_{k}", CoordinateEncoder(coordinates, frames))
            embedding: nn.Module = nn.Conv1d(coordinates, channel, kernel_size=1)
            if frames <= 27:
                embedding = nn.Sequential(embedding, nn.BatchNorm1d(channel, momentum=0.1), nn.ReLU(), nn.Dropout(0.25))
            self.add_module(f"embedding_{k}", embedding)
        self.Transformer_hypothesis = HypothesisTransformer(frames, channel, d_hid, HEADS, depth)
        self.regression = nn.Sequential(
            nn.BatchNorm1d(3 * channel, momentum=0.1), nn.Conv1d(3 * channel, 3 * joints, kernel_size=1)
        )
        self.add_hourglass(channel, HEADS)

    def embed(self, pose_2d: Tensor) -> Tensor:
        x = rearrange(pose_2d, "b f j c -> b (j c) f")  # (B, coordinates, F)
        transformer, tokens = self.Transformer_hypothesis, []
        for k in HYPOTHESES:
            x = x + getattr(self, f"Transformer_encoder_{k}")(getattr(self, f"norm_{k}")(x))
            h = getattr(self, f"embedding_{k}")(x).mT  # (B, F, C)
            tokens.append(transformer.pos_drop(h + getattr(transformer, f"pos_embed_{k}")))
        return torch.stack(tokens, dim=2)  # (B, F, 3, C)

    def stage(self, layer: int, x: Tensor, scores: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        block = [*self.Transformer_hypothesis.SHR_blocks, *self.Transformer_hypothesis.CHI_blocks][layer]
        if not scores:
            return block(x)
        received: list[Tensor] = []
        return block(x, received), torch.stack(received).mean(dim=0)  # the last block, which gives none, is never asked

    def finish(self, x: Tensor) -> Tensor:
        return self.Transformer_hypothesis.norm(x.flatten(2)).unflatten(-1, (3, -1))  # (B, K, 3, C)

    def regress(self, x: Tensor) -> Tensor:
        pose = self.regression(rearrange(x, "b f h c -> b (h c) f"))  # (B, 3 * joints, F or K)
        return rearrange(pose, "b (j c) f -> b f j c", c=3)  # (B, F or K, J, 3)

    def frame_features(self, x: Tensor) -> Tensor:
        return x.flatten(2)  # (B, K, 3C): the hypotheses of a frame side by side

    @classmethod
    def sizes_in(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int | str]:
        sizes = super().sizes_in(shapes)
        if isinstance(refining := sizes["depth"], int):
            sizes["depth"] = refining + 1  # the CHI block
        outputs, coordinates = shapes.get("regression.1.weight", ()), shapes.get("Transformer_encoder_1.pos_embed", ())
        if len(outputs) == len(coordinates) == 3 and outputs[0] >= 3:
            joints = outputs[0] // 3
            sizes |= {"joints": joints, "in_channels": coordinates[1] // joints}
        return sizes

    def stage_macs(self, layer: int, frames: int) -> Macs:
        wide = len(HYPOTHESES) * self.channel
        return attention_macs(len(HYPOTHESES), frames, self.channel) + linear_macs(frames, wide, self.hidden, wide)

    def ends_macs(self, kept: int, frames: int) -> Macs:
        coordinates = self.joints * self.in_channels
        encoder = block_macs(1, coordinates, self.frames, 2 * self.frames) * ENCODER_DEPTH
        embed = (encoder + linear_macs(self.frames, coordinates, self.channel)) * len(HYPOTHESES)
        return embed + linear_macs(frames, len(HYPOTHESES) * self.channel, 3 * self.joints)


register_variants(
    MHFormer,
    {"frames": 351, "channel": 512, "d_hid": 1024, "depth": 3, "joints": 17, "in_channels": 2},
    Variant("mhformer.mhformer", ALL_FRAMES, "MHFormer: every frame in every layer, unless `prune` says otherwise."),
    Variant("mhformer.tpc_mhformer", one_stage(117, 1, "none"), "TPC w. MHFormer, sequence to frame."),
    Variant(
        "mhformer.hot_mhformer", one_stage(117, 1, "attention"),
        "HoT w. MHFormer, sequence to sequence: TPC and TRA around MHFormer's layers. No variant of the paper; the "
        "plan is ours.",
    ),
    Variant(
        "mhformer.h2ot_mhformer", schedule("1:117,2:59"),
        "H2OT w. MHFormer, sequence to sequence: TPS and TRI. The journal gives no schedule; this one is ours.",
    ),
)  # fmt: skip
