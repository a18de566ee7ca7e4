"""Before and after HRNet: a person's box into the picture that it sees, its heatmaps into joints. Pure functions."""

from __future__ import annotations

import cv2
import numpy as np

WIDTH, HEIGHT = 288, 384
"""Of the picture that the network sees, pixels."""
MAP_WIDTH, MAP_HEIGHT = WIDTH // 4, HEIGHT // 4
MARGIN = 1.25
UNIT = 200.0
"""Scales are in units of so many pixels."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue, 0..1, in the pictures of the training."""


def centre_and_scale(box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A box (x1, y1, x2, y2) -> its centre (2,), and the width and height of what is seen of it (2,) in UNITs."""
    box = np.asarray(box, np.float64)
    centre, (width, height) = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    shape = WIDTH / HEIGHT
    width, height = max(width, height * shape), max(height, width / shape)
    return centre.astype(np.float32), (np.array([width, height]) / UNIT * MARGIN).astype(np.float32)


def affine(centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """From the frame to the picture that the network sees (2, 3)."""
    factor = WIDTH / (UNIT * float(scale[0]))
    return np.array(
        [
            [factor, 0, WIDTH / 2 - factor * float(centre[0])],
            [0, factor, HEIGHT / 2 - factor * float(centre[1])],
        ]
    )


def crop(frame: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """What the network sees of a frame (H, W, 3) uint8 BGR: (3, HEIGHT, WIDTH) float32, black outside the frame."""
    picture = cv2.warpAffine(frame, affine(centre, scale), (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
    rgb = picture[..., ::-1].astype(np.float32) / np.float32(255)
    normal = (rgb - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1))  # (3, HEIGHT, WIDTH)


def find_joints(heatmaps: np.ndarray) -> np.ndarray:
    """Heatmaps (N, J, H, W) -> (N, J, 3): where each is highest, moved a quarter of a pixel towards the higher
    neighbours, in pixels of the map; and how high. What is nowhere above 0 is at 0, 0.
    """
    people, joints, height, width = heatmaps.shape
    flat = heatmaps.reshape(people, joints, -1)
    index, score = flat.argmax(axis=-1), flat.max(axis=-1)  # (N, J)
    x, y = index % width, index // width
    inside = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    column, row = np.clip(x, 1, width - 2), np.clip(y, 1, height - 2)
    n, j = np.indices((people, joints))
    right = np.sign(heatmaps[n, j, row, column + 1] - heatmaps[n, j, row, column - 1])
    below = np.sign(heatmaps[n, j, row + 1, column] - heatmaps[n, j, row - 1, column])
    place = np.stack([x, y], axis=-1) + 0.25 * np.stack([right, below], axis=-1) * inside[..., None]  # (N, J, 2)
    place = np.where((score > 0)[..., None], place, 0)
    return np.concatenate([place, score[..., None]], axis=-1).astype(np.float32)


def to_frame(joints: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Joints (J, 3) in pixels of a heatmap -> in pixels of the frame."""
    factor = UNIT * float(scale[0]) / MAP_WIDTH
    place = np.asarray(centre) + factor * (joints[:, :2] - [MAP_WIDTH / 2, MAP_HEIGHT / 2])
    return np.concatenate([place, joints[:, 2:]], axis=1).astype(np.float32)
