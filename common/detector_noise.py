"""True pixels -> pixels and scores as a 2D detector would give them.

The sizes are those of a real detector's residuals, in units of the person's height in the picture: an error that stays
through the clip, one that drifts, one that is new in every frame; now and then a joint far off, or left and right swapped.
"""

from __future__ import annotations

import hashlib

import numpy as np

from common.skeleton import H36M

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

# The score is 1 at no error and falls by 1/e at this error (heights).
SCORE_DISTANCE = 0.15


def named_generator(seed: int, *names: str) -> np.random.Generator:
    """A generator that depends on the seed and the names only, not on what was drawn for others before."""
    digest = hashlib.sha256("/".join((str(seed), *names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def person_height(pixels: np.ndarray) -> float:
    """The person's height in the picture: the median over frames of the larger side of the joints' box. (L, J, 2) -> pixels."""
    sides = pixels.max(axis=1) - pixels.min(axis=1)  # (L, 2)
    return float(np.median(sides.max(axis=1)))


def drifting(noise: np.ndarray, correlation: float) -> np.ndarray:
    """White noise (L, ...) of unit variance -> stationary AR(1) noise of unit variance along the first axis; in place."""
    noise[1:] *= np.sqrt(1 - correlation**2)
    # The sum over the past of correlation^k * noise[t - k], doubling how far back it reaches: log2(L) steps.
    reach = 1
    while reach < len(noise):
        noise[reach:] += correlation**reach * noise[:-reach]
        reach *= 2
    return noise


def residual(shape: tuple[int, ...], fps: float, rng: np.random.Generator) -> np.ndarray:
    """Bias + drift + white error of shape (L, ..., J, 2), in units of the person's height in the picture."""
    correlation = CORRELATION ** (REFERENCE_FPS / fps)
    bias = BIAS * rng.standard_normal((1, *shape[1:]))
    return bias + DRIFT * drifting(rng.standard_normal(shape), correlation) + WHITE * rng.standard_normal(shape)


def spells(length: int, rate: float, seconds: tuple[float, float], fps: float, rng: np.random.Generator) -> list[slice]:
    """Random spells of frames within a clip of `length` frames: `rate` of them per second, each lasting `seconds` (from, to)."""
    starts = rng.integers(0, length, rng.poisson(rate * length / fps))
    frames = np.maximum(np.rint(rng.uniform(*seconds, len(starts)) * fps), 1).astype(int)
    return [slice(start, start + count) for start, count in zip(starts, frames, strict=True)]


def detector_like(pixels: np.ndarray, rng: np.random.Generator, fps: float = 50.0) -> np.ndarray:
    """True pixels (L, 17, 2) of one clip -> (L, 17, 3): pixels with a detector's errors, and a score 0..1, float32.

    All errors scale with `person_height`. `rng` is the only source of chance: the same generator gives the same result.
    """
    pixels = np.asarray(pixels, dtype=np.float64)
    length, joints, _ = pixels.shape
    height = person_height(pixels)
    seen = pixels.copy()
    mirrored = np.array(H36M.mirrored)
    for group in SWAP_GROUPS:
        for frames in spells(length, SWAP_RATE, SWAP_SECONDS, fps, rng):
            seen[frames, group] = pixels[frames, mirrored[list(group)]]
    seen += height * residual(pixels.shape, fps, rng)
    for joint in range(joints):
        for frames in spells(length, OUTLIER_RATE, OUTLIER_SECONDS, fps, rng):
            angle = rng.uniform(0, 2 * np.pi)
            seen[frames, joint] += height * rng.uniform(*OUTLIER_DISTANCE) * np.array([np.cos(angle), np.sin(angle)])
    error = np.linalg.norm(seen - pixels, axis=-1) / max(height, 1e-9)  # (L, 17)
    # A detector's score is no exact measure of its error: a tenth of it is chance.
    score = np.exp(-error / SCORE_DISTANCE) * rng.uniform(0.9, 1.0, error.shape)
    return np.concatenate([seen, score[..., None]], axis=-1).astype(np.float32)  # (L, 17, 3)
