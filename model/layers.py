"""The layers that all backbones share, each exactly once.

Tokens are (B, F, S, C): batch, frames, tokens per frame, channels; or (B, N, C) where there is no second token axis.
Attention runs along any one axis of them, so that no caller has to change the layout between space and time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SPACE, TIME = 2, 1
"""The axes of (B, F, S, C) along which attention runs."""


class Dropout(nn.Dropout):
    """nn.Dropout; on a CPU each value is decided by 16 random bits, for PyTorch draws a whole number for each, one by
    one.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not self.training or self.p in (0, 1):
            return super().forward(x)
        bits = (
            torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        )  # four to a number
        keep = bits[: x.numel()].view(x.shape) < round((1 - self.p) * 2**16) - 2**15
        return x * keep.to(x.dtype).div_(1 - self.p)


class Mlp(nn.Module):
    """Linear, GELU, Linear over the last axis: (..., C) -> (..., C)."""

    def __init__(self, channel: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channel, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, channel)
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, axis: int) -> Tensor:
    """Multi-head scaled dot-product attention along one axis of q (..., N, ..., C) and of k, v (..., M, ..., C).

    The other axes are batch axes and must agree. Returns the shape of q.
    """
    shape, width = q.shape, q.shape[-1] // heads
    # Axes before `axis` are the batch, axes behind it count as heads: a view of contiguous tokens, and so is the way
    # back.
    q, k, v = (
        t.flatten(0, axis - 1).flatten(2).unflatten(2, (-1, width)) for t in (q, k, v)
    )  # (batch, N or M, heads, width)
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # (batch, heads, N or M, width)
    x = _by_products(q, k, v) if _products_are_faster(q, k) else functional.scaled_dot_product_attention(q, k, v)
    return x.transpose(1, 2).reshape(shape)  # (..., N, ..., C)


def _products_are_faster(q: Tensor, k: Tensor) -> bool:
    """Whether two matrix products beat the fused kernel: on a CPU in half precision, and in float32 in the training of
    narrow heads over short sequences.
    """
    if q.device.type != "cpu":
        return False
    narrow = q.shape[-1] <= 16 and q.shape[-2] * k.shape[-2] <= 64 * 64
    return q.dtype.itemsize == 2 or (narrow and torch.is_grad_enabled())


_PART = 2 * 2**20
"""Bytes of attention weights that are worked on at a time: they stay in the cache and bound the memory."""


def _by_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention (batch, heads, N or M, width) -> (batch, heads, N, width) by two matrix products.

    The softmax is in float32.
    """
    _, heads, queries, width = q.shape
    precision = torch.promote_types(q.dtype, torch.float32)
    rows = max(1, _PART // (heads * queries * k.shape[-2] * precision.itemsize))
    with torch.autocast(q.device.type, enabled=False):
        outputs = []
        for part in zip(*(t.split(rows) for t in (q * width**-0.5, k, v)), strict=True):
            query, key, value = (t.flatten(0, 1) for t in part)  # (rows * heads, N or M, width)
            weights = torch.bmm(query, key.mT).softmax(dim=-1, dtype=precision)  # (rows * heads, N, M)
            outputs.append(torch.bmm(weights.to(value.dtype), value).unflatten(0, (len(query) // heads, heads)))
        return torch.cat(outputs) if len(outputs) > 1 else outputs[0]


def attend_and_score(q: Tensor, k: Tensor, v: Tensor, heads: int, axis: int) -> tuple[Tensor, Tensor]:
    """`attend`, and how much attention each key receives along `axis`: the mean over heads, queries and the other token
    axes.

    q, k, v: (B, N or M, ..., C) as `attend` takes them. The same weights serve both, where fused attention shows none:
    the result differs from that of `attend` by rounding. The scores are (B, M), at least float32, without a gradient;
    their rows sum to 1.
    """
    width, shape, precision = (
        q.shape[-1] // heads,
        q.movedim(axis, -2).shape,
        torch.promote_types(q.dtype, torch.float32),
    )
    scaled = q.to(precision) * width**-0.5
    parts = (t.to(precision).movedim(axis, -2).flatten(0, -3) for t in (scaled, k, v))  # (batch, N or M, C)
    with torch.autocast(q.device.type, enabled=False):
        # One head at a time: the weights of all would fit neither the caches nor, for a large batch, the memory.
        outputs, scores = zip(*map(_weigh, *(t.split(width, dim=-1) for t in parts)), strict=True)
    x = torch.cat(outputs, dim=-1).reshape(shape).movedim(-2, axis)  # (B, N, ..., C)
    return x.to(q.dtype).contiguous(), sum(scores).unflatten(0, (q.shape[0], -1)).mean(dim=1) / (heads * shape[-2])


def _weigh(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Attention of one head (batch, N or M, width), q scaled -> (batch, N, width), and the sum of the weights of each
    key (batch, M).
    """
    weights = torch.bmm(q, k.mT).softmax(dim=-1)  # (batch, N, M)
    return torch.bmm(weights, v), weights.detach().sum(dim=1)


class Attention(nn.Module):
    """Multi-head self-attention along `axis` of (..., C) tokens; a list `received` gets the scores of
    `attend_and_score`.
    """

    def __init__(self, channel: int, heads: int = 8, qkv_bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channel, 3 * channel, bias=qkv_bias)
        self.proj = nn.Linear(channel, channel)
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor, axis: int, received: list[Tensor] | None = None) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)  # three of (..., C)
        if received is None:
            x = attend(q, k, v, self.heads, axis)
        else:
            x, scores = attend_and_score(q, k, v, self.heads, axis)
            received.append(scores)
        return self.drop(self.proj(x))


class CrossAttention(nn.Module):
    """Multi-head attention of queries (..., N, ..., C) over keys and values (..., M, ..., C) along `axis`."""

    def __init__(self, channel: int, heads: int = 8, qkv_bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.linear_q = nn.Linear(channel, channel, bias=qkv_bias)
        self.linear_k = nn.Linear(channel, channel, bias=qkv_bias)
        self.linear_v = nn.Linear(channel, channel, bias=qkv_bias)
        self.proj = nn.Linear(channel, channel)
        self.drop = Dropout(dropout)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, axis: int) -> Tensor:
        """Axes of size 1 in q (a query shared by batch or joints) are broadcast against k."""
        q, k, v = self.linear_q(q), self.linear_k(k), self.linear_v(v)
        shape = list(k.shape)
        shape[axis] = q.shape[axis]
        return self.drop(self.proj(attend(q.expand(shape), k, v, self.heads, axis)))


class DropPath(nn.Module):
    """Stochastic depth: whole rows of a residual branch are dropped in training, the others scaled by 1 / keep.

    One draw for each row; `axis` names the token axis that belongs to a row (attention along it): the rows of (B, F, S,
    C) are its other two token axes. None: one draw per sample.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor, axis: int | None = None) -> Tensor:
        if self.rate == 0.0 or not self.training:
            return x
        shape = [x.shape[0]] + [1] * (x.ndim - 1)
        if axis is not None:
            shape = [1 if i in (axis, x.ndim - 1) else size for i, size in enumerate(x.shape)]
        keep = 1 - self.rate
        return x * x.new_empty(shape).bernoulli_(keep).div_(keep)


class Block(nn.Module):
    """Pre-norm transformer block along one axis: x + droppath(attn(norm1 x)); x + droppath(mlp(norm2 x))."""

    def __init__(
        self,
        channel: int,
        hidden: int,
        heads: int = 8,
        qkv_bias: bool = True,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channel, eps=eps)
        self.attn = Attention(channel, heads, qkv_bias, dropout)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(channel, eps=eps)
        self.mlp = Mlp(channel, hidden, dropout)

    def forward(self, x: Tensor, axis: int, received: list[Tensor] | None = None) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x), axis, received), axis)
        return x + self.drop_path(self.mlp(self.norm2(x)), axis)


class PreLogits(nn.Module):
    """Linear and tanh before the head: (..., C) -> (..., R)."""

    def __init__(self, channel: int, representation: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channel, representation)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.fc(x))


def fuse(first: Tensor, second: Tensor, weigh: nn.Module) -> Tensor:
    """Adaptive fusion of two streams (..., C): a softmax over two weights per token, from both streams."""
    alpha = weigh(torch.cat([first, second], dim=-1)).softmax(dim=-1, dtype=first.dtype)  # (..., 2)
    return first * alpha[..., :1] + second * alpha[..., 1:]
