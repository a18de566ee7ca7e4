"""2D detectors: pictures of a video in, the people's joints out, behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from common.errors import InputError
from demo.blazepose import BlazePose
from demo.convert import Conversion
from demo.movenet import MoveNet


class Detector(Protocol):
    """Finds people's joints in the pictures of one video, in order; joints says what joints, by their table."""

    name: str
    joints: Conversion

    def detect(self, frame: np.ndarray, time: float) -> np.ndarray:
        """The people in a picture (H, W, 3) uint8, blue green red, at `time` seconds -> (P, J, 3): pixels and score
        0..1.

        P may be 0, and who is first may change from picture to picture.
        """

    def reset(self) -> None:
        """Forget who was seen where: the next picture is of another scene."""

    def close(self) -> None:
        """Give back the threads and the memory; nothing is detected after this."""


def _hrnet(model: str | Path | None) -> Detector:
    from demo.hrnet import HRNetDetector  # brings PyTorch

    return HRNetDetector(model)


def _rtm(model: str | Path | None, one_stage: bool) -> Detector:
    from demo.rtm import RTMDetector

    return RTMDetector(model, one_stage)


DETECTORS: dict[str, Callable[[str | Path | None], Detector]] = {
    "blazepose": BlazePose,
    "movenet": MoveNet,
    "hrnet": _hrnet,
    "rtmpose": partial(_rtm, one_stage=False),
    "rtmo": partial(_rtm, one_stage=True),
}
"""By name: each is called with the model that the user asked for, or None. Another detector joins by a line here."""

FORMER = {"mediapipe": "blazepose"}
"""Names that detectors had before."""


def create_detector(name: str = "blazepose", model: str | Path | None = None) -> Detector:
    """A detector for one video. model: which of the detector's models, or the path of one; None: the best that is
    there.

    Raises InputError where there is no detector of the name, or it cannot run here.
    """
    name = FORMER.get(name, name)
    if name not in DETECTORS:
        raise InputError(f"detector is {name!r}; there is {', '.join(sorted(DETECTORS))}")
    return DETECTORS[name](model)
