"""How pixels become what a model reads. A value that travels with the weights, not a habit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.camera import denormalise_picture, normalise_picture


@dataclass(frozen=True)
class Normaliser:
    """kind: "picture" (x in -1..1 over the width, aspect kept; the published weights) or "pixels" (left as they are).

    in_channels: 2, or 3 with the detector's score as third channel (1 where the data has none). fps: the frame rate that the
    model was trained on.
    """

    kind: str = "picture"
    in_channels: int = 2
    fps: float = 50.0

    def __post_init__(self) -> None:
        if self.kind not in ("picture", "pixels") or self.in_channels not in (2, 3):
            raise ValueError(f"no normaliser of kind {self.kind!r} with {self.in_channels} channels")

    def apply(self, pose_2d: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Pixels, with or without score (L, J, 2 or 3), in a picture of `size` (width, height) -> (L, J, in_channels) float32."""
        xy = normalise_picture(pose_2d[..., :2], size) if self.kind == "picture" else pose_2d[..., :2]
        if self.in_channels == 2:
            return xy.astype(np.float32)
        score = pose_2d[..., 2:] if pose_2d.shape[-1] == 3 else np.ones_like(pose_2d[..., :1])  # (L, J, 1)
        return np.concatenate([xy, score], axis=-1).astype(np.float32)

    def invert(self, normalised: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The inverse of `apply`: (L, J, in_channels) -> pixels, and score where there is one, (L, J, in_channels)."""
        xy = denormalise_picture(normalised[..., :2], size) if self.kind == "picture" else normalised[..., :2]
        return np.concatenate([xy, normalised[..., 2:]], axis=-1).astype(np.float32)
