"""Plain models to measure ours against: MixSTE, HoT w. MixSTE and MHFormer in the most direct way to write them.

PyTorch's own modules, attention as a softmax between two products, tokens rearranged between space and time. They have
the parameter names of ours, so that `load_state_dict` takes the weights of one for the other, and give equal poses.
Only the choice of frames is ours, which favours them: it is faster than the published one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model import PoseTransformer, Prediction
from model.mhformer import MHFormer
from model.mixste import MixSTE
from model.pruning import gather_frames, select_by_cluster


class PlainAttention(nn.Module):
    """Softmax attention over the second to last axis: (B, N, C) -> (B, N, C)."""

    def __init__(self, channel: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.scale = heads, (channel // heads) ** -0.5
        self.qkv = nn.Linear(channel, 3 * channel)
        self.proj = nn.Linear(channel, channel)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        batch, count, channel = x.shape
        qkv = self.qkv(x).reshape(batch, count, 3, self.heads, channel // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # three of (B, heads, N, width)
        weights = ((q @ k.transpose(-2, -1)) * self.scale).softmax(dim=-1)  # (B, heads, N, N)
        x = (weights @ v).transpose(1, 2).reshape(batch, count, channel)  # (B, N, C)
        return self.drop(self.proj(x))


class PlainCrossAttention(nn.Module):
    """Softmax attention of queries (B, N, C) over keys and values (B, M, C) -> (B, N, C)."""

    def __init__(self, channel: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.scale = heads, (channel // heads) ** -0.5
        self.linear_q = nn.Linear(channel, channel)
        self.linear_k = nn.Linear(channel, channel)
        self.linear_v = nn.Linear(channel, channel)
        self.proj = nn.Linear(channel, channel)
        self.drop = nn.Dropout(dropout)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        parts = (self.linear_q(q), self.linear_k(k), self.linear_v(v))
        heads = (t.unflatten(-1, (self.heads, -1)).permute(0, 2, 1, 3) for t in parts)
        query, key, value = heads  # (B, heads, N or M, width)
        weights = ((query @ key.transpose(-2, -1)) * self.scale).softmax(dim=-1)  # (B, heads, N, M)
        return self.drop(self.proj((weights @ value).transpose(1, 2).flatten(2)))  # (B, N, C)


class PlainMlp(nn.Module):
    """Linear, GELU, Linear: (..., C) -> (..., C)."""

    def __init__(self, channel: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channel, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, channel)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))


class PlainDropPath(nn.Module):
    """Stochastic depth by samples: (B, ...) -> (B, ...)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        mask = keep + torch.rand([len(x)] + [1] * (x.ndim - 1), dtype=x.dtype, device=x.device)
        return x.div(keep) * mask.floor()


class PlainBlock(nn.Module):
    """Pre-norm transformer block: (B, N, C) -> (B, N, C)."""

    def __init__(self, channel: int, hidden: int, heads: int, dropout: float = 0.0, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channel, eps=1e-6)
        self.attn = PlainAttention(channel, heads, dropout)
        self.drop_path = PlainDropPath(drop_path)
        self.norm2 = nn.LayerNorm(channel, eps=1e-6)
        self.mlp = PlainMlp(channel, hidden, dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


def drop_path_rates(most: float, depth: int) -> list[float]:
    """Rates that grow from layer to layer."""
    return torch.linspace(0, most, depth).tolist()


class PlainMixSTE(nn.Module):
    """MixSTE, and HoT around it where the model that it stands beside has one learned stage: (B, F, J, 2) ->
    poses (B, F, J, 3).
    """

    def __init__(self, ours: MixSTE) -> None:
        super().__init__()
        channel, frames, joints, depth = ours.channel, ours.frames, ours.joints, ours.depth
        self.stage = dict(ours.plan.stages)
        self.Spatial_patch_to_embedding = nn.Linear(ours.in_channels, channel)
        self.Spatial_pos_embed = nn.Parameter(torch.zeros(1, joints, channel))
        self.Temporal_pos_embed = nn.Parameter(torch.zeros(1, frames, channel))
        rates = drop_path_rates(0.1, depth)
        self.STEblocks = nn.ModuleList(PlainBlock(channel, ours.hidden, 8, drop_path=rate) for rate in rates)
        self.TTEblocks = nn.ModuleList(PlainBlock(channel, ours.hidden, 8, drop_path=rate) for rate in rates)
        self.Spatial_norm = nn.LayerNorm(channel, eps=1e-6)
        self.Temporal_norm = nn.LayerNorm(channel, eps=1e-6)
        self.head = nn.Sequential(nn.LayerNorm(channel), nn.Linear(channel, 3))
        if self.stage:
            (keep,) = self.stage.values()
            self.pos_embed_token = nn.Parameter(torch.zeros(1, keep, channel))
            self.x_token = nn.Parameter(torch.zeros(1, frames, channel))
            self.cross_attention = PlainCrossAttention(channel, 8)

    def forward(self, pose_2d: Tensor) -> Prediction:
        batch, frames, joints = pose_2d.shape[:3]
        x = self.Spatial_patch_to_embedding(pose_2d.flatten(0, 1)) + self.Spatial_pos_embed  # (B F, J, C)
        for layer, (space, time) in enumerate(zip(self.STEblocks, self.TTEblocks, strict=True)):
            if layer in self.stage:
                x = x.unflatten(0, (batch, frames))  # (B, F, J, C)
                index = select_by_cluster(x.detach().mean(dim=2), self.stage[layer])  # (B, K)
                x, frames = gather_frames(x, index) + self.pos_embed_token[:, :, None], index.shape[1]
                x = x.flatten(0, 1)  # (B K, J, C)
            x = self.Spatial_norm(space(x))
            x = x.unflatten(0, (batch, frames)).transpose(1, 2).flatten(0, 1)  # (B J, F, C)
            if layer == 0:
                x = x + self.Temporal_pos_embed
            x = self.Temporal_norm(time(x))
            x = x.unflatten(0, (batch, joints)).transpose(1, 2).flatten(0, 1)  # (B F, J, C)
        x = x.unflatten(0, (batch, frames))  # (B, F, J, C)
        if self.stage:
            x = x.transpose(1, 2).flatten(0, 1)  # (B J, K, C)
            token = self.x_token.expand(len(x), -1, -1)  # (B J, F, C)
            x = token + self.cross_attention(token, x, x)
            x = x.unflatten(0, (batch, joints)).transpose(1, 2)  # (B, F, J, C)
        return Prediction(self.head(x), None, ())


class PlainEncoder(nn.Module):
    """MHFormer's encoder over coordinates: (B, N, F) -> (B, N, F)."""

    def __init__(self, coordinates: int, frames: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, coordinates, frames))
        self.pos_drop = nn.Dropout(0.1)
        self.blocks = nn.ModuleList(PlainBlock(frames, 2 * frames, 9, 0.1, rate) for rate in drop_path_rates(0.2, 4))
        self.norm = nn.LayerNorm(frames, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pos_drop(x + self.pos_embed)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class PlainRefinement(nn.Module):
    """MHFormer's SHR block: three of (B, F, C) -> the same."""

    def __init__(self, channel: int, hidden: int, drop_path: float) -> None:
        super().__init__()
        for k in (1, 2, 3):
            self.add_module(f"norm1_{k}", nn.LayerNorm(channel, eps=1e-6))
            self.add_module(f"attn_{k}", PlainAttention(channel, 8, 0.1))
        self.norm2 = nn.LayerNorm(3 * channel, eps=1e-6)
        self.mlp = PlainMlp(3 * channel, hidden, 0.1)
        self.drop_path = PlainDropPath(drop_path)

    def forward(self, *h: Tensor) -> tuple[Tensor, ...]:
        h = tuple(
            x + self.drop_path(getattr(self, f"attn_{k}")(getattr(self, f"norm1_{k}")(x)))
            for k, x in enumerate(h, start=1)
        )
        x = torch.cat(h, dim=-1)  # (B, F, 3C)
        return (x + self.drop_path(self.mlp(self.norm2(x)))).chunk(3, dim=-1)


class PlainInteraction(nn.Module):
    """MHFormer's CHI block: three of (B, F, C) -> the same."""

    def __init__(self, channel: int, hidden: int, drop_path: float) -> None:
        super().__init__()
        for k in (1, 2, 3):
            for role in (1, 2, 3):
                self.add_module(f"norm3_{k}{role}", nn.LayerNorm(channel, eps=1e-6))
            self.add_module(f"attn_{k}", PlainCrossAttention(channel, 8, 0.1))
        self.norm2 = nn.LayerNorm(3 * channel, eps=1e-6)
        self.mlp = PlainMlp(3 * channel, hidden, 0.1)
        self.drop_path = PlainDropPath(drop_path)

    def forward(self, *h: Tensor) -> tuple[Tensor, ...]:
        first, second, third = h
        first = first + self.attend(1, second, third, first)
        second = second + self.attend(2, first, third, second)
        third = third + self.attend(3, first, second, third)
        x = torch.cat([first, second, third], dim=-1)  # (B, F, 3C)
        return (x + self.drop_path(self.mlp(self.norm2(x)))).chunk(3, dim=-1)

    def attend(self, k: int, *roles: Tensor) -> Tensor:
        q, key, v = (getattr(self, f"norm3_{k}{role}")(x) for role, x in enumerate(roles, start=1))
        return self.drop_path(getattr(self, f"attn_{k}")(q, key, v))


class PlainMHFormer(nn.Module):
    """MHFormer of more than 27 frames: (B, F, J, 2) -> poses (B, F, J, 3)."""

    def __init__(self, ours: MHFormer) -> None:
        super().__init__()
        channel, frames, joints, coordinates = ours.channel, ours.frames, ours.joints, ours.joints * ours.in_channels
        for k in (1, 2, 3):
            self.add_module(f"norm_{k}", nn.LayerNorm(frames))
            self.add_module(f"Transformer_encoder_{k}", PlainEncoder(coordinates, frames))
            self.add_module(f"embedding_{k}", nn.Conv1d(coordinates, channel, kernel_size=1))
        transformer = self.Transformer_hypothesis = nn.Module()
        for k in (1, 2, 3):
            transformer.register_parameter(f"pos_embed_{k}", nn.Parameter(torch.zeros(1, frames, channel)))
        *refining, last = drop_path_rates(0.2, ours.depth)
        transformer.pos_drop = nn.Dropout(0.1)
        transformer.SHR_blocks = nn.ModuleList(PlainRefinement(channel, ours.hidden, rate) for rate in refining)
        transformer.CHI_blocks = nn.ModuleList([PlainInteraction(channel, ours.hidden, last)])
        transformer.norm = nn.LayerNorm(3 * channel, eps=1e-6)
        self.regression = nn.Sequential(nn.BatchNorm1d(3 * channel), nn.Conv1d(3 * channel, 3 * joints, kernel_size=1))

    def forward(self, pose_2d: Tensor) -> Prediction:
        batch, frames, joints = pose_2d.shape[:3]
        transformer, h = self.Transformer_hypothesis, []
        x = pose_2d.flatten(2).transpose(1, 2)  # (B, coordinates, F)
        for k in (1, 2, 3):
            x = x + getattr(self, f"Transformer_encoder_{k}")(getattr(self, f"norm_{k}")(x))
            tokens = getattr(self, f"embedding_{k}")(x).transpose(1, 2)  # (B, F, C)
            h.append(transformer.pos_drop(tokens + getattr(transformer, f"pos_embed_{k}")))
        for block in (*transformer.SHR_blocks, *transformer.CHI_blocks):
            h = block(*h)
        x = transformer.norm(torch.cat(list(h), dim=-1)).transpose(1, 2)  # (B, 3C, F)
        pose = self.regression(x).transpose(1, 2).reshape(batch, frames, joints, 3)
        return Prediction(pose, None, ())


def plain_model(ours: PoseTransformer) -> nn.Module | None:
    """The plain counterpart of a model, with its weights and in its mode; None: there is none here."""
    plan = ours.plan
    if isinstance(ours, MixSTE) and (not plan.stages or (plan.learned and plan.select == "cluster")):
        plain: nn.Module = PlainMixSTE(ours)
    elif isinstance(ours, MHFormer) and not plan.stages and ours.frames > 27:
        plain = PlainMHFormer(ours)
    else:
        return None
    plain.load_state_dict(ours.state_dict())
    return plain.train(ours.training)
