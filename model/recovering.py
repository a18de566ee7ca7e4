"""How the full length comes back."""

from __future__ import annotations

from torch import Tensor

from model.layers import TIME, CrossAttention


def recover_by_attention(tokens: Tensor, queries: Tensor, attention: CrossAttention) -> Tensor:
    """Token recovering attention (HoT, CVPR 2024, section 3.3: TRA): tokens (B, K, S, C) -> (B, F, S, C).

    queries: (1, F, C), learned, one per frame of the full length; the kept tokens of the same joint are keys and values.
    """
    queries = queries[:, :, None]  # (1, F, 1, C): every joint asks the same
    return queries + attention(queries, tokens, tokens, axis=TIME)
