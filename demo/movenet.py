"""MoveNet: MultiPose finds up to six people and their 17 points of COCO in one pass; Thunder sees one person better."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from common.errors import InputError
from demo.blazepose import cut_out, in_picture
from demo.convert import COCO_17
from demo.follow import Region
from demo.models import find_model
from demo.tfjs import GraphModel

SIDE = 384
"""The longer side of the picture that MultiPose sees, pixels."""
STEP = 32
"""Its sides are multiples of this."""
CROP = 256
"""The side of the square that Thunder sees, pixels."""
PERSON = 0.2
"""Below this score MultiPose has seen nobody."""
SEEN = 0.1
"""Points of a lower score say nothing of where the person is."""
REACH = 1.5
"""The side of Thunder's square over the longer side of the box around the points."""


class MoveNet:
    """Everybody in a picture, without regard to the pictures before.

    model: "multipose", or "thunder", which looks again at each person that MultiPose finds; None: thunder. Raises
    InputError where a model is not there.
    """

    joints = COCO_17

    def __init__(self, model: str | Path | None = None) -> None:
        if model not in (None, "multipose", "thunder"):
            raise InputError(f"there is no model {str(model)!r} of movenet; give --detector_model multipose or thunder")
        self.name = f"movenet {model or 'thunder'}"
        self._multipose = _model("multipose")
        self._thunder = None if model == "multipose" else _model("thunder")

    def detect(self, frame: np.ndarray, time: float) -> np.ndarray:
        """As `Detector.detect`: the surest first."""
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"a frame is {frame.dtype} {frame.shape}, not uint8 (H, W, 3)")
        small, scale = letterbox(frame)
        (found,) = self._multipose(torch.from_numpy(small.astype(np.int64))[None])
        people = people_of(found.numpy(), small.shape[0], small.shape[1], scale)
        if self._thunder is not None and len(people):
            people = np.stack([self._closer(frame, person) for person in people])
        outside = (people[..., :2] < 0) | (people[..., :2] >= (frame.shape[1], frame.shape[0]))  # (P, 17, 2)
        people[outside.any(axis=-1), 2] = 0
        return people

    def _closer(self, frame: np.ndarray, person: np.ndarray) -> np.ndarray:
        """A person (17, 3) as Thunder sees him or her -> (17, 3)."""
        region = region_of(person)
        assert self._thunder is not None
        crop = cut_out(frame, region, CROP, cv2.BORDER_CONSTANT)
        (found,) = self._thunder(torch.from_numpy(crop.astype(np.int64))[None])
        points = found.numpy().reshape(-1, 3)  # (17, 3): y, x, score
        return np.concatenate([in_picture(points[:, 1::-1], region), points[:, 2:]], axis=1).astype(np.float32)

    def reset(self) -> None:
        """As `Detector.reset`: nothing is remembered."""

    def close(self) -> None:
        """As `Detector.close`."""
        self.__dict__.pop("_multipose", None)
        self.__dict__.pop("_thunder", None)


def _model(name: str) -> GraphModel:
    find_model(f"movenet-{name}.bin")
    return GraphModel(find_model(f"movenet-{name}.json"))


def letterbox(frame: np.ndarray) -> tuple[np.ndarray, float]:
    """A picture (H, W, 3) blue green red -> red green blue, so small that its longer side is SIDE, with black at the
    right and below up to multiples of STEP; and how much smaller it is.
    """
    scale = SIDE / max(frame.shape[:2])
    height, width = (max(1, round(side * scale)) for side in frame.shape[:2])
    small = np.zeros((-(-height // STEP) * STEP, -(-width // STEP) * STEP, 3), np.uint8)
    small[:height, :width] = cv2.cvtColor(
        cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB
    )
    return small, scale


def people_of(found: np.ndarray, height: int, width: int, scale: float) -> np.ndarray:
    """MultiPose's output (1, 6, 56) for a picture of so many pixels -> people (P, 17, 3), pixels of the larger picture
    and score.
    """
    rows = found[0, found[0, :, 55] >= PERSON]
    points = rows[:, :51].reshape(-1, 17, 3)  # (P, 17, 3): y, x, score
    return (points[..., [1, 0, 2]] * [width / scale, height / scale, 1]).astype(np.float32)


def region_of(person: np.ndarray) -> Region:
    """The square in which Thunder looks at a person (17, 3)."""
    seen = person[person[:, 2] >= SEEN] if (person[:, 2] >= SEEN).any() else person
    low, high = seen[:, :2].min(axis=0), seen[:, :2].max(axis=0)
    x, y = (low + high) / 2
    return Region(float(x), float(y), max(float(REACH * (high - low).max()), 8.0), 0.0)
