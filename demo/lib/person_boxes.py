"""Before and after YOLOv3: a frame into its square, and its boxes into people of the frame. Pure functions."""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 416
"""Of the square that the network sees, pixels."""
GREY = 128
LEAST = 0.30
"""Boxes of less objectness are nobody."""
SAME = 0.4
"""A box that overlaps a better one so much (intersection over union) is of the same person."""
PERSON = 0
"""The number of the class."""


def letterbox(frame: np.ndarray) -> np.ndarray:
    """A frame (H, W, 3) uint8 BGR -> (3, SIDE, SIDE) float32 RGB 0..1: made smaller or larger, on grey."""
    left, top, width, height = letterbox_place(frame.shape[1], frame.shape[0])
    square = np.full((SIDE, SIDE, 3), GREY, np.uint8)
    if width and height:
        small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC)
        square[top : top + height, left : left + width] = small
    return np.ascontiguousarray(square[..., ::-1].transpose(2, 0, 1), np.float32) / np.float32(255)  # (3, SIDE, SIDE)


def letterbox_place(width: int, height: int) -> tuple[int, int, int, int]:
    """Where a frame of (width, height) lies in the square: left, top, width, height in whole pixels."""
    scale = min(SIDE / width, SIDE / height)
    inner = int(width * scale), int(height * scale)
    return (SIDE - inner[0]) // 2, (SIDE - inner[1]) // 2, *inner


def find_people(boxes: np.ndarray) -> np.ndarray:
    """What the network says of one picture (M, 85) -> corners and objectness of people (P, 5), pixels of the square,
    the surest first; of boxes of one person the surest.
    """
    boxes = boxes[(boxes[:, 4] > LEAST) & (boxes[:, 5:].argmax(axis=1) == PERSON)]
    boxes = boxes[np.argsort(-boxes[:, 4], kind="stable")]
    half = boxes[:, 2:4] / 2
    people = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half, boxes[:, 4:5]], axis=1)  # (N, 5)
    kept: list[np.ndarray] = []
    for person in people:
        if all(_overlap(person, other) < SAME for other in kept):
            kept.append(person)
    return np.stack(kept) if kept else people[:0]


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two boxes (5,), of which the last pixels count."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:4], second[2:4])
    common = np.maximum(high - low + 1, 0).prod()
    areas = [(box[2:4] - box[:2] + 1).prod() for box in (first, second)]
    return float(common / (sum(areas) - common))


def to_frame(people: np.ndarray, width: int, height: int) -> np.ndarray:
    """Corners (P, 4 or 5) in the square -> (P, 4) in a frame of (width, height), to 0.01 pixels and within it."""
    scale = SIDE / max(width, height)
    margin = np.array([SIDE - scale * width, SIDE - scale * height] * 2) / 2
    corners = (people[:, :4] - margin) / scale
    return np.round(np.clip(corners, 0, [width, height] * 2), 2)
