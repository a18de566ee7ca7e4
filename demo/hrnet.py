"""The published demo's own pair of networks: YOLOv3 finds the people, HRNet-W48 sees the joints of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common.data.schema import listed
from common.errors import InputError
from common.inference.compute import choose_compute
from common.inference.torch_file import read_torch_file
from demo.convert import COCO_17
from demo.lib.hrnet_network import HRNet
from demo.lib.person_boxes import find_people, letterbox
from demo.lib.person_boxes import to_frame as boxes_in_frame
from demo.lib.person_crops import centre_and_scale, crop, find_joints
from demo.lib.person_crops import to_frame as joints_in_frame
from demo.lib.yolov3_network import YoloV3, load_darknet
from demo.models import FOLDER, SOURCES

YOLO, HRNET = "yolov3.weights", "pose_hrnet_w48_384x288.pth"
ADVICE = {
    file: f"it is from {SOURCES[file].address}, and `python demo/models.py {name}` places it"
    for name, file in (("yolov3", YOLO), ("hrnet", HRNET))
}
MOST = 20
"""No more people of one picture than this are looked at, the surest."""
SMALLEST = 2.0
"""A box whose shorter side has no more pixels is of nobody."""


class HRNetDetector:
    """17 joints of COCO of each person, every picture for itself.

    model: the folder with the two files of weights; None: FOLDER. The score of a joint is how high its heatmap is.
    Raises InputError where a file is missing, damaged or of another network.
    """

    name = "yolov3 hrnet_w48"
    joints = COCO_17

    def __init__(self, model: str | Path | None = None) -> None:
        folder = FOLDER if model is None else Path(model)
        for file in (YOLO, HRNET):
            if not (folder / file).is_file():
                raise InputError(
                    f"{folder / file}: no such file; {ADVICE[file]}, or name their folder by --detector_model"
                )
        self._device = choose_compute("auto", "0", "fp32").device
        self._finder, self._looker = YoloV3(), HRNet()
        load_darknet(self._finder, folder / YOLO, ADVICE[YOLO])
        load_hrnet(self._looker, folder / HRNET)
        self._finder.eval().to(self._device)
        self._looker.eval().to(self._device)

    def detect(self, frame: np.ndarray, time: float) -> np.ndarray:
        """As `Detector.detect`; who is found most surely first."""
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"a frame is {frame.dtype} {frame.shape}, not uint8 (H, W, 3)")
        height, width = frame.shape[:2]
        found = find_people(self._run(self._finder, letterbox(frame)[None])[0])[:MOST]
        boxes = boxes_in_frame(found, width, height)  # (P, 4)
        boxes = boxes[(boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) > SMALLEST]
        if not len(boxes):
            return np.zeros((0, self.joints.sources, 3), np.float32)
        places = [centre_and_scale(box) for box in boxes]
        heatmaps = self._run(self._looker, np.stack([crop(frame, *place) for place in places]))  # (P, 17, 96, 72)
        people = [joints_in_frame(joints, *place) for joints, place in zip(find_joints(heatmaps), places, strict=True)]
        points = np.stack(people)  # (P, 17, 3)
        points[..., 2] = np.clip(points[..., 2], 0, 1)
        return points

    def reset(self) -> None:
        """As `Detector.reset`: nothing is remembered."""

    def close(self) -> None:
        """As `Detector.close`."""
        del self._finder, self._looker

    def _run(self, network: torch.nn.Module, pictures: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(pictures).to(self._device)).cpu().numpy()


def load_hrnet(model: HRNet, path: Path) -> None:
    """Fill the network from the published file. Raises InputError where that is damaged or of another network."""
    state = read_torch_file(path)
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    advice = ADVICE[HRNET]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: holds no weights of a network; {advice}")
    given = {str(name).removeprefix("module."): value for name, value in state.items()}
    own = model.state_dict()
    counters = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
    given = counters | given  # old files have none, and nothing depends on them
    wrong = [name for name in own if name not in given or given[name].shape != own[name].shape]
    wrong += [name for name in given if name not in own]
    if wrong:
        raise InputError(f"{path}: is of another network than HRNet-W48 ({listed(wrong, 3)}); {advice}")
    broken = [name for name in own if not given[name].isfinite().all()]
    if broken:
        raise InputError(f"{path}: holds values that are not finite ({listed(broken, 3)}), it is damaged; {advice}")
    model.load_state_dict(given)
