"""MotionAGFormer (Mehraban et al., WACV 2024), HoT (CVPR 2024) and H2OT (TPAMI 2025, both Li et al.) w. MotionAGFormer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.errors import InputError
from model.hourglass import Hourglass, PoseTransformer, check_width
from model.layers import SPACE, TIME, Attention, Mlp, PreLogits, fuse
from model.registry import register_model

# The published spatial graph, rows -> columns; it is not symmetric.
NEIGHBOURS = (
    (1, 7), (2, 0), (3, 1), (2,), (5, 0), (6, 4), (5,), (0, 8), (7, 9), (8, 10), (9,), (12, 8), (13, 11), (12,), (15, 8), (16, 14), (15,),
)  # fmt: skip


class GraphConvolution(nn.Module):
    """Graph convolution over one axis of (B, F, J, C): relu(x + norm(A V x + U x)), A normalised by its row sums.

    Over space A is the skeleton; over time it joins each frame to the `neighbours` frames that are most like it, ties included.
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

    def __init__(
        self,
        frames: int,
        channel: int,
        plan: Hourglass,
        *,
        joints: int = 17,
        in_channels: int = 3,
        depth: int = 16,
        heads: int = 4,
        neighbours: int = 4,
        mlp_ratio: int = 4,
        representation: int = 512,
    ) -> None:
        super().__init__(frames, joints, in_channels, depth, plan)
        check_width(channel, heads)
        self.channel, self.hidden, self.representation = channel, mlp_ratio * channel, representation
        if joints != len(NEIGHBOURS):
            raise InputError(f"joints is {joints}; MotionAGFormer's graph is defined for {len(NEIGHBOURS)} joints only")
        if neighbours < 1:
            raise InputError(f"neighbours is {neighbours}; it must be 1 or more")
        self.joints_embed = nn.Linear(in_channels, channel)
        self.pos_embed = nn.Parameter(torch.zeros(1, joints, channel))
        self.layers = nn.ModuleList(
            DualStream(channel, mlp_ratio * channel, heads, joints, plan.frames_at(layer, frames), neighbours) for layer in range(depth)
        )
        self.norm = nn.LayerNorm(channel, eps=1e-5)
        self.rep_logit = PreLogits(channel, representation)
        self.head = nn.Linear(representation, 3)
        self.add_hourglass(channel, heads, qkv_bias=False)

    def embed(self, pose_2d: Tensor) -> Tensor:
        return self.joints_embed(pose_2d) + self.pos_embed[:, None]  # (B, F, J, C)

    def stage(self, layer: int, x: Tensor, scores: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        received = [] if scores else None
        x = self.layers[layer](x, received)
        return (x, received[0]) if scores else x

    def finish(self, x: Tensor) -> Tensor:
        return self.norm(x)

    def regress(self, x: Tensor) -> Tensor:
        return self.head(self.rep_logit(x))  # (B, F or K, J, 3)


@register_model("motionagformer.motionagformer")
def motionagformer(
    frames: int = 243,
    channel: int = 128,
    depth: int = 16,
    heads: int = 4,
    neighbours: int = 4,
    joints: int = 17,
    in_channels: int = 3,
    prune: str = "",
    select: str = "uniform",
    recover: str = "interpolation",
) -> MotionAGFormer:
    """MotionAGFormer at the HoT authors' size; the original authors' base size has heads=8, neighbours=2."""
    plan = Hourglass.read(frames, prune, select, recover)
    return MotionAGFormer(frames, channel, plan, depth=depth, heads=heads, neighbours=neighbours, joints=joints, in_channels=in_channels)


@register_model("motionagformer.hot_motionagformer")
def hot_motionagformer(
    frames: int = 243,
    channel: int = 128,
    token_num: int = 81,
    layer_index: int = 7,
    depth: int = 16,
    heads: int = 4,
    neighbours: int = 4,
    joints: int = 17,
    in_channels: int = 3,
    prune: str = "",
    select: str = "cluster",
    recover: str = "attention",
) -> MotionAGFormer:
    """HoT w. MotionAGFormer, sequence to sequence."""
    plan = Hourglass.read(frames, prune, select, recover, own=((layer_index, token_num),))
    return MotionAGFormer(frames, channel, plan, depth=depth, heads=heads, neighbours=neighbours, joints=joints, in_channels=in_channels)


@register_model("motionagformer.h2ot_motionagformer")
def h2ot_motionagformer(
    frames: int = 243,
    channel: int = 128,
    depth: int = 16,
    heads: int = 4,
    neighbours: int = 4,
    joints: int = 17,
    in_channels: int = 3,
    prune: str = "2:123,6:81,10:59",
    select: str = "uniform",
    recover: str = "interpolation",
) -> MotionAGFormer:
    """H2OT w. MotionAGFormer, sequence to sequence: TPS and TRI. The journal gives no schedule; this one is ours."""
    plan = Hourglass.read(frames, prune, select, recover)
    return MotionAGFormer(frames, channel, plan, depth=depth, heads=heads, neighbours=neighbours, joints=joints, in_channels=in_channels)
