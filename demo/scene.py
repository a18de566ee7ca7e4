"""The 3D panel without people: a ground grid, and the virtual camera that looks at it. Pictures are BGR."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from demo.figure import CELL, DARK_TONES, LIGHT_TONES, NEAR, SOLE, VIEW_ANGLE

SHIFT = 4
"""OpenCV takes coordinates in 1/16 pixel: with 4 bits after the point."""
FAR_OUT = 20_000.0  # pixels: no drawing routine overflows on this


def bgr(colour: str) -> tuple[int, int, int]:
    """Colour "#rrggbb" -> (blue, green, red), 0 to 255."""
    return int(colour[5:7], 16), int(colour[3:5], 16), int(colour[1:3], 16)


def fixed_point(points: np.ndarray) -> np.ndarray:
    """Pixels -> int32 coordinates for OpenCV with SHIFT; points far outside stay far outside, without overflow."""
    return np.rint(np.clip(points, -FAR_OUT, FAR_OUT) * 2**SHIFT).astype(np.int32)


@dataclass(frozen=True)
class Scene3D:
    """A ground grid at y = 0 and the virtual camera that looks at it.

    size: (width, height) of the panel in pixels. centre: the point (x, y, z) in the middle of the panel, metres.
    distance: from there to the camera. azimuth: degrees that the camera has gone from where the real one is to the
    person's side (> 0: to the left in the picture); elevation: degrees above the horizontal. dark: a dark background
    instead of a white one.
    """

    size: tuple[int, int]
    centre: tuple[float, float, float] = (0.0, -0.85, 0.0)
    distance: float = 4.6
    azimuth: float = 28.0
    elevation: float = 14.0
    dark: bool = False

    @classmethod
    def around(cls, size: tuple[int, int], joints: np.ndarray, valid: np.ndarray, **options: Any) -> Scene3D:
        """A scene in which a whole motion fits: joints (P, T, 17, 3) in metres with their offsets, valid (P, T).

        options: azimuth, elevation, dark. The few farthest joints (outliers) may be outside.
        """
        scene = cls(size, **options)
        points = _sample(np.asarray(joints, np.float64)[np.asarray(valid, bool)])  # (N, 3)
        if not len(points):
            return scene
        low, high = np.percentile(points, (0.2, 99.8), axis=0)
        low[1] = min(low[1], -1.5)
        high[1] = 0.0  # the ground is always seen
        centre = (low + high) / 2
        corners = np.clip(points, low, high) - centre
        corners = np.concatenate([corners, [(0, low[1] - centre[1], 0), (0, high[1] - centre[1], 0)]])
        view = corners @ scene.rotation.T  # (N + 2, 3) right, down, forward
        half = np.array(size) / 2 / scene.focal * 0.84
        distance = np.percentile((np.abs(view[:, :2]) / half).max(axis=-1) - view[:, 2], 99.8)
        return cls(size, tuple(centre.tolist()), float(np.clip(distance, 2.0, 60.0)), **options)

    @cached_property
    def rotation(self) -> np.ndarray:
        """(3, 3): rows are the virtual camera's right, down and forward in the axes of the poses."""
        return Rotation.from_euler("YX", (self.azimuth, -self.elevation), degrees=True).inv().as_matrix()

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return min(self.size) / 2 / math.tan(math.radians(VIEW_ANGLE / 2))

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (..., 3) in metres -> pixels (..., 2) and depth in metres (...); points behind the camera come to its
        near plane.
        """
        view = (np.asarray(points, np.float64) - self.centre) @ self.rotation.T
        depth = np.maximum(view[..., 2] + self.distance, NEAR)
        pixels = view[..., :2] * (self.focal / depth[..., None]) + (np.array(self.size) - 1) / 2
        return pixels, depth

    @cached_property
    def background(self) -> np.ndarray:
        """The empty panel (H, W, 3) uint8: ground, grid and small axes; read-only, copy it to draw on it."""
        panel = self._draw_ground()
        self._draw_axes(panel)
        panel.setflags(write=False)
        return panel

    @cached_property
    def nobody(self) -> np.ndarray:
        """The panel (H, W, 3) uint8 of a frame without a person; read-only."""
        panel = self.background.copy()
        self._write(panel, "no person", (0.5, 0.46), 0.035, 0.42)
        panel.setflags(write=False)
        return panel

    @property
    def tones(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colours (3,) of the air, the ground and the grid's lines."""
        air, ground, line = (np.array(bgr(tone), np.float64) for tone in (DARK_TONES if self.dark else LIGHT_TONES))
        return air, ground, line

    def _draw_ground(self) -> np.ndarray:
        """The panel (H, W, 3) uint8 with ground and grid, which fade out at the sides."""
        air, ground, line = self.tones
        places, below = self._places_on_ground()
        away = np.hypot(*(places - np.array(self.centre)[[0, 2]]).transpose(2, 0, 1))
        seen = (np.clip(1 - away / (1.0 * self.distance + 0.4), 0, 1) ** 0.8 * below)[..., None]
        colour = air + seen * (ground - air) + (seen * _grid_cover(places)[..., None]) * (line - ground)
        return np.clip(np.rint(colour), 0, 255).astype(np.uint8)

    def _places_on_ground(self) -> tuple[np.ndarray, np.ndarray]:
        """The x and z at which each pixel's ray meets the ground, metres (H, W, 2), and whether it does (H, W)."""
        (width, height), focal = self.size, self.focal
        x, y = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
        ray = np.stack([x / focal, y / focal, np.ones_like(x)], axis=-1) @ self.rotation  # (H, W, 3), 1 along forward
        origin = np.array(self.centre) - self.distance * self.rotation[2]
        below = ray[..., 1] > 1e-4
        depth = np.where(below, (SOLE - origin[1]) / np.where(below, ray[..., 1], 1), 1e3)  # metres along forward
        return origin[[0, 2]] + depth[..., None] * ray[..., [0, 2]], below

    def _draw_axes(self, panel: np.ndarray) -> None:
        """The poses' axes as they stand in this view, small, in the lower left corner."""
        air, _, line = self.tones
        colour = (0.25 * air + 0.75 * line * (1.0 if self.dark else 0.72)).tolist()
        length = 0.055 * min(self.size)
        origin = np.array([0.075 * min(self.size), self.size[1] - 0.1 * min(self.size)])
        for axis, name in enumerate("xyz"):
            tip = origin + self.rotation[:2, axis] * length
            start, end = fixed_point(np.stack([origin, tip])).tolist()
            cv2.line(panel, start, end, colour, max(1, round(min(self.size) / 500)), cv2.LINE_AA, SHIFT)
            way = (tip - origin) / max(np.hypot(*(tip - origin)), 1e-6)
            place = (tip + 0.018 * min(self.size) * way) / self.size
            self._write(panel, name, tuple(place), 0.016, 0.75)

    def _write(self, panel: np.ndarray, text: str, place: tuple[float, float], height: float, strength: float) -> None:
        """Text of a height (share of the panel's smaller side) with its middle at `place` (shares of width and
        height).
        """
        air, ink = self.tones[0], np.array([245.0] * 3 if self.dark else [40.0] * 3)
        scale = height * min(self.size) / 22
        weight = max(1, round(scale))
        (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, weight)
        corner = (round(place[0] * self.size[0] - wide / 2), round(place[1] * self.size[1] + high / 2))
        colour = (air + strength * (ink - air)).tolist()
        cv2.putText(panel, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, weight, cv2.LINE_AA)


def _sample(poses: np.ndarray) -> np.ndarray:
    """The finite joints (N, 3) of a few thousand of the poses (M, 17, 3)."""
    points = poses[:: max(1, len(poses) // 4000)].reshape(-1, 3)
    return points[np.isfinite(points).all(axis=-1)]


def _grid_cover(places: np.ndarray) -> np.ndarray:
    """How much of each pixel a line of the grid covers, 0 to 1 (H, W), from the pixels' places (H, W, 2) in metres.

    Lines are about a pixel thick everywhere, and grow faint where they come close to each other.
    """
    # Metres of ground in a pixel, along x and z.
    step = sum(np.abs(np.gradient(places, axis=axis)) for axis in (0, 1)) + 1e-9
    cover = np.zeros(places.shape[:2])
    for axis in (0, 1):
        near = np.abs((places[..., axis] + CELL / 2) % CELL - CELL / 2)
        # Lines at whole metres are stronger than those between.
        whole = np.abs((places[..., axis] + CELL) % (2 * CELL) - CELL) < CELL / 2
        strength = np.clip(1.1 - near / step[..., axis], 0, 1) * np.where(whole, 1.0, 0.5)
        cover = np.maximum(cover, strength * np.clip(0.4 * CELL / step[..., axis], 0, 1))
    return cover
