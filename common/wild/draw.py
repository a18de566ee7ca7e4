"""Random numbers of one batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class Draw:
    """Everything that is drawn for one batch, from one generator on one device: the same key gives the same numbers."""

    def __init__(self, key: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        words = [len(key), *key]  # numpy takes no notice of zeros at the end
        seed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])
        self.generator = torch.Generator(self.device).manual_seed(seed)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Evenly between two numbers."""
        return torch.rand(shape, generator=self.generator, device=self.device).mul_(high - low).add_(low)

    def ratio(self, low: float, high: float, *shape: int) -> Tensor:
        """Factors between two, such that each doubling is as likely as another."""
        return self.uniform(math.log(low), math.log(high), *shape).exp_()

    def normal(self, *shape: int) -> Tensor:
        """Of mean 0 and variance 1."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def chance(self, probability: float, *shape: int) -> Tensor:
        """True with this probability."""
        return torch.rand(shape, generator=self.generator, device=self.device) < probability

    def chosen(self, probability: float, count: int) -> Tensor:
        """The numbers below `count` that are chosen with this probability, in order; none is chosen where it is 0."""
        return self.chance(probability, count).nonzero()[:, 0]

    def integer(self, count: int, *shape: int) -> Tensor:
        """Whole numbers below `count`."""
        return torch.randint(count, shape, generator=self.generator, device=self.device)

    def pick(self, shares: Sequence[float], *shape: int) -> Tensor:
        """Whole numbers below len(shares), each as often as its share, which add up to 1."""
        border = torch.tensor(shares, device=self.device).cumsum(0)[:-1]
        return torch.bucketize(self.uniform(0, 1, *shape), border)

    def direction(self, *shape: int) -> Tensor:
        """Unit vectors (..., 3) in any direction."""
        vector = self.normal(*shape, 3)
        return vector / vector.norm(dim=-1, keepdim=True).clamp(min=1e-6)

    def rotation(self, count: int) -> Tensor:
        """Rotations (count, 3, 3), evenly among all."""
        x, y, z, w = (self.normal(count, 4) + 1e-9).unbind(-1)
        s = 2 / (x * x + y * y + z * z + w * w)
        rows = (
            1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w),
            s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w),
            s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y),
        )  # fmt: skip
        return torch.stack(rows, dim=-1).view(count, 3, 3)
