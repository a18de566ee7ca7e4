"""The errors of a 2D detector, fitted to a real one's residuals; time is the second axis of everything.

In units of the person's height in the picture: an error that stays through the clip, one that drifts, one that is new
in every frame; now and then a joint far off, or left and right swapped.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor

from common.geometry.skeleton import H36M
from common.wild.draw import Draw

# Standard deviations per picture axis, in units of the person's height in the picture.
BIAS = 0.009
DRIFT = 0.012
WHITE = 0.003
# Of the drift, from one frame to the next at REFERENCE_FPS.
CORRELATION = 0.88
REFERENCE_FPS = 50.0

# A joint is far off this often (per joint and second), this long (seconds) and this far (heights).
OUTLIER_RATE, OUTLIER_SECONDS, OUTLIER_DISTANCE = 0.03, (0.04, 0.3), (0.08, 0.35)
# Left and right are swapped this often (per second and group of joints) and this long (seconds).
SWAP_RATE, SWAP_SECONDS = 0.03, (0.04, 0.25)
SWAP_GROUPS = ((1, 2, 3, 4, 5, 6), (11, 12, 13, 14, 15, 16))  # the legs, the arms

# The score falls from 1 by this for an error of a height, and this much of it is chance.
SCORE_FALL, SCORE_CHANCE = 5.0, 0.04
LEAST_SCORE = 0.05


def named_generator(seed: int, *names: str) -> np.random.Generator:
    """A generator that depends on the seed and the names only, not on what was drawn for others before."""
    digest = hashlib.sha256("/".join((str(seed), *names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def person_height(pixels: np.ndarray) -> float:
    """The person's height in the picture: the median over frames of the larger side of the joints' box. (L, J, 2) ->
    pixels.
    """
    sides = pixels.max(axis=1) - pixels.min(axis=1)  # (L, 2)
    return float(np.median(sides.max(axis=1)))


def drifting(white: Tensor, correlation: float) -> Tensor:
    """White noise (B, F, ...) of unit variance -> stationary AR(1) noise of unit variance along time."""
    noise = torch.cat([white[:, :1], white[:, 1:] * math.sqrt(1 - correlation**2)], dim=1)
    # The sum over the past of correlation^k * noise[t - k], doubling how far back it reaches: log2(F) steps.
    reach = 1
    while reach < noise.shape[1]:
        noise = torch.cat([noise[:, :reach], noise[:, reach:] + correlation**reach * noise[:, :-reach]], dim=1)
        reach *= 2
    return noise


def residual(shape: tuple[int, int, int, int], fps: float, draw: Draw) -> Tensor:
    """Bias + drift + white error of shape (B, F, 17, 2), heights."""
    count, _, joints, axes = shape
    drift = drifting(draw.normal(*shape), CORRELATION ** (REFERENCE_FPS / fps))
    return BIAS * draw.normal(count, 1, joints, axes) + DRIFT * drift + WHITE * draw.normal(*shape)


def outliers(shape: tuple[int, int, int], fps: float, draw: Draw) -> Tensor:
    """How far joints (B, F, 17) that are far off are away -> (B, F, 17, 2), heights."""
    count, frames, joints = shape
    total = torch.zeros(*shape, 2, device=draw.device)
    for chance in turns(OUTLIER_RATE, frames / fps):
        far = spells(chance, OUTLIER_SECONDS, frames, fps, draw, count, joints)  # (B, F, 17)
        angle, away = draw.uniform(0, 2 * math.pi, count, joints), draw.uniform(*OUTLIER_DISTANCE, count, joints)
        offset = away[..., None] * torch.stack([angle.cos(), angle.sin()], dim=-1)  # (B, 17, 2)
        total = total + far[..., None] * offset[:, None]
    return total


def swaps(frames: int, fps: float, draw: Draw, count: int) -> Tensor:
    """Which joints are taken for their twins for a moment (count, F, 17)."""
    swapped = torch.zeros(count, frames, 17, dtype=torch.bool, device=draw.device)
    for group in SWAP_GROUPS:
        for chance in turns(SWAP_RATE, frames / fps):
            swapped[..., list(group)] ^= spells(chance, SWAP_SECONDS, frames, fps, draw, count)[..., None]
    return swapped


def score(error: Tensor, draw: Draw) -> Tensor:
    """The scores (B, F, 17) of joints with errors (B, F, 17, 2), heights; 1 is the most, some come out above it."""
    distance = error.norm(dim=-1)
    return 1 - SCORE_FALL * distance + SCORE_CHANCE * draw.normal(*distance.shape)


def chance_of(rate: float, seconds: float) -> float:
    """How probable it is that something which comes `rate` times a second comes within `seconds`."""
    return 1 - math.exp(-rate * seconds)


def turns(rate: float, seconds: float) -> list[float]:
    """The chances of spells, drawn one after the other, that make `rate` of them a second within `seconds`; one for
    short clips.
    """
    count = max(1, math.ceil(4 * rate * seconds))
    return [chance_of(rate, seconds / count)] * count


def bounds(
    chance: float, seconds: tuple[float, float], frames: int, fps: float, draw: Draw, *shape: int
) -> tuple[Tensor, Tensor]:
    """First and last + 1 frame (B, 1, ...) of a spell of so many seconds for each of `shape` (B, ...); after the last
    frame where, against `chance`, there is none.
    """
    long = (draw.uniform(*seconds, *shape) * fps).clamp(min=1)
    start = draw.uniform(0, 1, *shape) * (frames + long) - long
    start = torch.where(draw.chance(chance, *shape), start, frames + 1.0)
    return start[:, None], (start + long)[:, None]


def spells(chance: float, seconds: tuple[float, float], frames: int, fps: float, draw: Draw, *shape: int) -> Tensor:
    """With `chance`, a spell of so many seconds somewhere within `frames` for each of `shape` (B, ...) -> bool (B, F,
    ...).
    """
    start, end = bounds(chance, seconds, frames, fps, draw, *shape)
    time = torch.arange(frames, device=draw.device).view(1, -1, *[1] * (len(shape) - 1))
    return (time >= start) & (time < end)


def soft_spells(
    chance: float, seconds: tuple[float, float], frames: int, fps: float, draw: Draw, *shape: int
) -> Tensor:
    """`spells` that come and go within some frames: from 0 to 1 (B, F, ...)."""
    start, end = bounds(chance, seconds, frames, fps, draw, *shape)
    time = torch.arange(frames, device=draw.device).view(1, -1, *[1] * (len(shape) - 1))
    ramp = draw.uniform(0.3, 4.0, *shape)[:, None]
    return (torch.minimum(time - start, end - 1 - time) / ramp + 1).clamp(0, 1)


def detector_like(pixels: np.ndarray, rng: np.random.Generator, fps: float = 50.0) -> np.ndarray:
    """True pixels (L, 17, 2) of one clip -> (L, 17, 3): pixels with a detector's errors, and a score 0..1, float32.

    All errors scale with `person_height`. `rng` is the only source of chance: the same generator gives the same result.
    """
    draw = Draw([int(rng.integers(2**63))])
    true = torch.from_numpy(np.asarray(pixels, dtype=np.float32))[None]  # (1, L, 17, 2)
    frames = true.shape[1]
    seen = torch.where(swaps(frames, fps, draw, 1)[..., None], true[:, :, list(H36M.mirrored)], true)
    height = max(person_height(pixels), 1e-6)
    seen = seen + height * (residual((1, frames, 17, 2), fps, draw) + outliers((1, frames, 17), fps, draw))
    scores = score((seen - true) / height, draw).clamp(LEAST_SCORE, 1)
    return torch.cat([seen, scores[..., None]], dim=-1)[0].numpy()  # (L, 17, 3)
