"""MotionAGFormer (Mehraban et al., WACV 2024), HoT (CVPR 2024) and H2OT (TPAMI 2025, both Li et al.) w.
MotionAGFormer.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from common.errors import InputError
from model.hourglass import Hourglass, PoseTransformer, check_counts, check_width
from model.layers import SPACE, TIME, Attention, Mlp, PreLogits, fuse
from model.macs import Macs, attention_macs, linear_macs
from model.registry import ALL_FRAMES, Variant, one_stage, register_variants, schedule

MLP_RATIO, REPRESENTATION = 4, 512
GRAPH_NODES = "layers.{}.graph_temporal.mixer.batch_norm.weight"
"""The parameter of a layer that has a number for each frame that the layer sees."""

# The published spatial graph, rows -> columns; it is not symmetric.
NEIGHBOURS = (
    (1, 7), (2, 0), (3, 1), (2,), (5, 0), (6, 4), (5,), (0, 8), (7, 9), (8, 10), (9,), (12, 8), (13, 11), (12,),
    (15, 8), (16, 14), (15,),
)  # fmt: skip


class GraphConvolution(nn.Module):
    """Graph convolution over one axis of (B, F, J, C): relu(x + norm(A V x + U x)), A normalised by its row sums.

    Over space A is the skeleton; over time it joins each frame to the `neighbours` frames that are most like it, ties
    included.
    """

    def __init__(self, channel: int, nodes: int, axis: int, neighbours: int) -> None:
        super().__init__()
        self.axis, self.neighbours = axis, neighbours
        self.U = nn.Linear(channel, channel)
        self.V = nn.Linear(channel, channel)
        self.batch_norm = nn.BatchNorm1d(nodes)
        nn.init.normal_(self.U.weight, std=(2 / channel) ** 0.5)
        nn.init.normal_(self.V.weight, std=(2 / channel) ** 0.5)
        if axis == SPACE:
            graph = torch.zeros(nodes, nodes)
            for row, columns in enumerate(NEIGHBOURS):
                graph[row, list(columns)] = 1
            self.register_buffer("graph", normalise_graph(graph), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x.movedim(self.axis, 2)  # (B, M, N, C) with the N nodes of a graph together
        if self.axis == SPACE:
            graph = self.graph  # (N, N)
        else:
            likeness = x @ x.mT  # (B, M, N, N)
            count = min(self.neighbours, likeness.shape[-1])
            smallest = likeness.topk(count, dim=-1).values[..., -1:]  # (B, M, N, 1)
            graph = normalise_graph((likeness >= smallest).to(x.dtype))
        update = (graph @ self.V(x) + self.U(x)).to(x.dtype)  # (B, M, N, C); the norm is not for half precision
        update = self.batch_norm(update.flatten(0, 1)).unflatten(0, x.shape[:2])  # (B, M, N, C)
        return torch.relu(x + update).movedim(2, self.axis)  # (B, F, J, C)


def normalise_graph(graph: Tensor) -> Tensor:
    """D^-1/2 A D^-1/2 with the row sums D of A (..., N, N)."""
    scale = graph.sum(dim=-1).rsqrt()  # (..., N)
    return scale[..., :, None] * graph * scale[..., None, :]


class ScaledBlock(nn.Module):
    """Mixer and MLP, each pre-norm and with a learned layer scale: (B, F, J, C) -> the same."""

    def __init__(self, channel: int, hidden: int, mixer: nn.Module, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.norm1 = nn.LayerNorm(channel, eps=1e-5)
        self.mixer = mixer
        self.norm2 = nn.LayerNorm(channel, eps=1e-5)
        self.mlp = Mlp(channel, hidden)
        self.layer_scale_1 = nn.Parameter(torch.full((channel,), 1e-5))
        self.layer_scale_2 = nn.Parameter(torch.full((channel,), 1e-5))

    def forward(self, x: Tensor, received: list[Tensor] | None = None) -> Tensor:
        mixed = self.norm1(x)
        mixed = self.mixer(mixed, self.axis, received) if isinstance(self.mixer, Attention) else self.mixer(mixed)
        x = x + self.layer_scale_1 * mixed
        return x + self.layer_scale_2 * self.mlp(self.norm2(x))


class DualStream(nn.Module):
    """An attention stream and a graph stream, each space then time, fused by learned weights."""

    att_spatial: nn.Module
    att_temporal: nn.Module
    graph_spatial: nn.Module
    graph_temporal: nn.Module

    def __init__(self, channel: int, hidden: int, heads: int, joints: int, frames: int, neighbours: int) -> None:
        super().__init__()
        for name, axis, nodes in (("spatial", SPACE, joints), ("temporal", TIME, frames)):
            attention = Attention(channel, heads, qkv_bias=False)
            self.add_module(f"att_{name}", ScaledBlock(channel, hidden, attention, axis))
            graph = GraphConvolution(channel, nodes, axis, neighbours)
            self.add_module(f"graph_{name}", ScaledBlock(channel, hidden, graph, axis))
        self.fusion = nn.Linear(2 * channel, 2)
        nn.init.zeros_(self.fusion.weight)
        nn.init.constant_(self.fusion.bias, 0.5)

    def forward(self, x: Tensor, received: list[Tensor] | None = None) -> Tensor:
        attention = self.att_temporal(self.att_spatial(x), received)
        graph = self.graph_temporal(self.graph_spatial(x))
        return fuse(attention, graph, self.fusion)


class MotionAGFormer(PoseTransformer):
    """Attention and graph convolution side by side; its temporal graphs are sized by the frames that a layer sees."""

    size_axes: ClassVar = {
        "frames": (GRAPH_NODES.format(0), 0), "channel": ("pos_embed", 2), "joints": ("pos_embed", 1),
        "in_channels": ("joints_embed.weight", 1),
    }  # fmt: skip
    layer_list = "layers"
    positions = ("pos_embed",)

    def __init__(
        self, frames: int, channel: int, plan: Hourglass, *, depth: int = 16, heads: int = 4, neighbours: int = 4,
        joints: int = 17, in_channels: int = 3,
    ) -> None:  # fmt: skip
        super().__init__(frames, joints, in_channels, depth, plan)
        check_width(channel, heads)
        check_counts(neighbours=neighbours)
        if joints != len(NEIGHBOURS):
            raise InputError(f"joints is {joints}; MotionAGFormer's graph is defined for {len(NEIGHBOURS)} joints only")
        self.channel, self.hidden = channel, MLP_RATIO * channel
        self.joints_embed = nn.Linear(in_channels, channel)
        self.pos_embed = nn.Parameter(torch.zeros(1, joints, channel))
        self.layers = nn.ModuleList(
            DualStream(channel, self.hidden, heads, joints, plan.frames_at(layer, frames), neighbours)
            for layer in range(depth)
        )
        self.norm = nn.LayerNorm(channel, eps=1e-5)
        self.rep_logit = PreLogits(channel, REPRESENTATION)
        self.head = nn.Linear(REPRESENTATION, 3)
        self.add_hourglass(channel, heads, qkv_bias=False)

    def embed(self, pose_2d: Tensor) -> Tensor:
        return self.joints_embed(pose_2d) + self.pos_embed[:, None]  # (B, F, J, C)

    def stage(self, layer: int, x: Tensor, scores: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        received: list[Tensor] = []
        x = self.layers[layer](x, received if scores else None)
        return (x, received[0]) if scores else x

    def finish(self, x: Tensor) -> Tensor:
        return self.norm(x)

    def regress(self, x: Tensor) -> Tensor:
        return self.head(self.rep_logit(x))  # (B, F or K, J, 3)

    @classmethod
    def sizes_in(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int | str]:
        sizes = super().sizes_in(shapes)
        counts = [
            shapes.get(GRAPH_NODES.format(layer), (0,))[0] for layer in range(int(sizes["depth"]))
        ]  # frames that a layer sees
        stages = [
            (layer, after)
            for layer, (before, after) in enumerate(itertools.pairwise(counts), start=1)
            if after < before
        ]
        if "token_num" in sizes and len(stages) == 1:
            sizes["layer_index"] = stages[0][0]
        elif stages:
            sizes.pop("token_num", None)
            sizes["prune"] = ",".join(f"{layer}:{keep}" for layer, keep in stages)
        return sizes

    def stage_macs(self, layer: int, frames: int) -> Macs:
        channel, joints, tokens = self.channel, self.joints, frames * self.joints
        attention = attention_macs(frames, joints, channel) + attention_macs(joints, frames, channel)
        graph = graph_macs(frames, joints, channel, built=False) + graph_macs(joints, frames, channel, built=True)
        return (
            attention
            + graph
            + linear_macs(tokens, channel, self.hidden, channel) * 4
            + linear_macs(tokens, 2 * channel, 2)
        )

    def ends_macs(self, kept: int, frames: int) -> Macs:
        embed = linear_macs(self.frames * self.joints, self.in_channels, self.channel)
        return embed + linear_macs(frames * self.joints, self.channel, REPRESENTATION, 3)


def graph_macs(rows: int, length: int, channel: int, built: bool) -> Macs:
    """A graph convolution over `rows` graphs of `length` nodes: U and V; A V, and x x^T where the graph is built from
    the tokens.
    """
    return Macs(rows * length * 2 * channel**2, rows * length**2 * channel * (2 if built else 1))


register_variants(
    MotionAGFormer,
    {"frames": 243, "channel": 128, "depth": 16, "heads": 4, "neighbours": 4, "joints": 17, "in_channels": 3},
    Variant(
        "motionagformer.motionagformer", ALL_FRAMES,
        "MotionAGFormer at the HoT authors' size; the original authors' base size has heads=8, neighbours=2.",
    ),
    Variant("motionagformer.hot_motionagformer", one_stage(81, 7, "attention"),
    "HoT w. MotionAGFormer, sequence to sequence."),
    Variant(
        "motionagformer.h2ot_motionagformer", schedule("2:123,6:81,10:59"),
        "H2OT w. MotionAGFormer, sequence to sequence: TPS and TRI. The journal gives no schedule; this one is ours.",
    ),
    meanings={"neighbours": "frames that a temporal graph joins each frame to"},
)  # fmt: skip
