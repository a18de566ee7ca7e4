"""Multiply-accumulates (MACs): by formula from the sizes of layers, or counted by PyTorch while a part of a model
runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

PRODUCTS = (torch.ops.aten.bmm, torch.ops.aten.baddbmm)
"""PyTorch's operations that multiply activations with activations; the others multiply with weights."""


class Macs(NamedTuple):
    """Multiply-accumulates of one window: in linear and convolution layers, and in products of activations."""

    linear: int = 0
    products: int = 0

    def __add__(self, other: Macs) -> Macs:  # type: ignore[override]  # sums, where a tuple would be longer
        return Macs(self.linear + other.linear, self.products + other.products)

    def __mul__(self, times: int) -> Macs:  # type: ignore[override]
        return Macs(self.linear * times, self.products * times)


def linear_macs(tokens: int, *widths: int) -> Macs:
    """Linear layers one after another, from each of the widths to the next, over every token."""
    return Macs(tokens * sum(before * after for before, after in itertools.pairwise(widths)))


def attention_macs(rows: int, length: int, channel: int) -> Macs:
    """Self-attention over `rows` sequences of `length` tokens: q, k, v and projection; QK^T and AV."""
    return Macs(rows * length * 4 * channel**2, rows * 2 * length**2 * channel)


def cross_attention_macs(rows: int, queries: int, keys: int, channel: int) -> Macs:
    """Attention of `queries` over `keys` tokens in each of `rows` sequences; queries that the rows share count in
    each.
    """
    return Macs(rows * 2 * (queries + keys) * channel**2, rows * 2 * queries * keys * channel)


def block_macs(rows: int, length: int, channel: int, hidden: int) -> Macs:
    """A transformer block over `rows` sequences of `length` tokens: attention and MLP."""
    return attention_macs(rows, length, channel) + linear_macs(rows * length, channel, hidden, channel)


def run_counted(model: nn.Module, part: Callable[[Tensor], Any], x: Tensor) -> tuple[Any, Macs]:
    """What `part` of `model` makes of x without a gradient, in evaluation mode, and the MACs that PyTorch counts
    meanwhile.

    Products with a matrix and convolutions count as linear, batched products as products.
    """
    in_training = [module for module in model.modules() if module.training]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    model.eval()
    torch.backends.mha.set_fastpath_enabled(False)  # PyTorch's counter sees into no fused attention
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            result = part(x)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for module in in_training:
            module.training = True
    flops = counter.get_flop_counts().get("Global", {})  # of each operation, two for a MAC
    products = sum(count for operation, count in flops.items() if operation in PRODUCTS)
    return result, Macs((sum(flops.values()) - products) // 2, products // 2)
