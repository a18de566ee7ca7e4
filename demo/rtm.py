"""RTMPose and RTMO, as the package rtmlib runs them; it fetches its weights itself."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from common.data.npz import one_line
from common.errors import InputError
from demo.convert import COCO_17

INSTALL = "pip install --no-deps rtmlib && pip install onnxruntime"
MODES = ("lightweight", "balanced", "performance")
"""Sizes of models, by rtmlib's names."""
FINDER, LOOKER = "det.onnx", "pose.onnx"
"""In a folder with files of one's own."""
LEAST = 1e-6


class RTMDetector:
    """17 joints of COCO of each person, every picture for itself.

    one_stage: RTMO, which sees all people at once; else RTMPose, on the boxes of YOLOX. model: one of MODES, or a
    folder with pose.onnx, and det.onnx for RTMPose; None: balanced. Raises InputError where rtmlib is not there, or
    its weights cannot be fetched or read.
    """

    joints = COCO_17

    def __init__(self, model: str | Path | None = None, one_stage: bool = False) -> None:
        library, errors = _import_rtmlib()
        mode = "balanced" if model is None else str(model)
        self.name = f"{'rtmo' if one_stage else 'rtmpose'} {Path(mode).name}"
        files = _files(library, mode, one_stage)
        try:
            self._looker = _tool(library.RTMO if one_stage else library.RTMPose, files["pose"], not one_stage)
            self._finder = None if one_stage else _tool(library.YOLOX, files["det"], False)
        except errors as error:
            raise InputError(
                f"{self.name}: its weights cannot be fetched or read ({one_line(error)}); connect to the network, or "
                f"give a folder with {LOOKER}{'' if one_stage else f' and {FINDER}'} by --detector_model"
            ) from error

    def detect(self, frame: np.ndarray, time: float) -> np.ndarray:
        """As `Detector.detect`, in rtmlib's order."""
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"a frame is {frame.dtype} {frame.shape}, not uint8 (H, W, 3)")
        nobody = np.zeros((0, self.joints.sources, 3), np.float32)
        if self._finder is None:
            places, scores = self._looker(frame)
        else:
            boxes = self._finder(frame)
            if not len(boxes):
                return nobody  # rtmlib would look at the whole picture
            places, scores = self._looker(frame, bboxes=boxes)
        people = np.concatenate([places, scores[..., None]], axis=-1).astype(np.float32)  # (P, J, 3)
        if people.shape[1:] != nobody.shape[1:]:
            raise InputError(
                f"{self.name}: sees {people.shape[1]} joints, not the {len(nobody[0])} of COCO; give another"
            )
        people[..., 2] = np.clip(people[..., 2], 0, 1)
        return people[people[..., 2].max(axis=1, initial=0) > LEAST]  # RTMO stands a person of zeros for nobody

    def reset(self) -> None:
        """As `Detector.reset`: nothing is remembered."""

    def close(self) -> None:
        """As `Detector.close`."""
        del self._finder, self._looker


def _import_rtmlib() -> tuple[Any, tuple[type[BaseException], ...]]:
    """The package, and the errors of files and networks that it may raise. Raises InputError where it is not there."""
    try:
        library = importlib.import_module("rtmlib")
        state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    except ImportError as error:
        raise InputError(
            f"rtmlib, which runs RTMPose and RTMO, cannot be imported ({one_line(error)}); {INSTALL}"
        ) from error
    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented")
    broken = [getattr(state, name) for name in names if hasattr(state, name)]
    return library, (*broken, OSError, RuntimeError, ValueError)


def _files(library: Any, mode: str, one_stage: bool) -> dict[str, str]:
    """Addresses or paths of the networks, by rtmlib's names."""
    if mode in MODES:
        return (library.Body.RTMO_MODE if one_stage else library.Body.MODE)[mode]
    folder = Path(mode)
    if not folder.is_dir():
        raise InputError(f"{mode}: no such folder; give --detector_model {', '.join(MODES)} or a folder with {LOOKER}")
    files = {"pose": folder / LOOKER} if one_stage else {"pose": folder / LOOKER, "det": folder / FINDER}
    for path in files.values():
        if not path.is_file():
            raise InputError(f"{path}: no such file; give a folder that holds it")
    return {name: str(path) for name, path in files.items()}


def _tool(kind: Any, file: str, width_first: bool) -> Any:
    """One of rtmlib's networks, that sees pictures of the size that its file says."""
    tool = kind(file, backend="onnxruntime", device="cpu")
    height, width = tool.session.get_inputs()[0].shape[2:]
    if isinstance(height, int) and isinstance(width, int):
        tool.model_input_size = (width, height) if width_first else (height, width)
    return tool
