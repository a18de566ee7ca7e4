"""YOLOv3 and HRNet-W48 of the demo against the published demo's: golden arrays, made with weights by a rule.

With HOT_SHARED naming a folder that has pose2d/ in it, the networks are checked at their full size as well.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import InputError
from demo import hrnet
from demo.detect import create_detector
from demo.lib import person_boxes, person_crops
from demo.lib.hrnet_network import HRNet
from demo.lib.yolov3_network import HEADER, YoloV3, load_darknet
from tests.conftest import ROOT
from tests.rules import filled

SHARED = Path(os.environ["HOT_SHARED"]) / "pose2d" if os.environ.get("HOT_SHARED") else None
needs_shared = pytest.mark.skipif(
    SHARED is None or not (SHARED / "hrnet_w48.npz").exists(), reason="HOT_SHARED names no folder with pose2d/ in it"
)
FRAME = 1920, 1080


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(ROOT / "tests" / "pose2d.npz") as data:
        return dict(data)


def darknet_numbers(model: YoloV3) -> Iterator[np.ndarray]:
    """The numbers of the rule's yolov3.weights, in the order of the file."""
    rng, f32 = np.random.default_rng([7, 3]), np.float32

    def normal(shape: tuple[int, ...]) -> np.ndarray:
        return rng.standard_normal(int(np.prod(shape))).astype(f32)

    for module in model.modules():
        if not hasattr(module, "slots"):
            continue
        *vectors, weight = module.slots()
        yield f32(0.02) * normal(vectors[0].shape)
        if len(vectors) > 1:
            yield 1 + f32(0.1) * normal(vectors[1].shape)
            yield f32(0.02) * normal(vectors[2].shape)
            yield 1 + f32(0.1) * np.abs(normal(vectors[3].shape))
        yield normal(weight.shape) * f32(1 / np.sqrt(weight[0].numel()))


@pytest.fixture(scope="module")
def yolo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights by the rule; not to be written to."""
    path = tmp_path_factory.mktemp("yolo") / hrnet.YOLO
    with open(path, "wb") as file:
        file.write(np.array([0, 2, 0, 0, 0], "<i4").tobytes())
        for numbers in darknet_numbers(YoloV3()):
            file.write(numbers.tobytes())
    return path


@pytest.fixture(scope="module")
def yolo(yolo_file: Path) -> YoloV3:
    model = YoloV3().eval()
    load_darknet(model, yolo_file, "get it")
    return model


@pytest.fixture(scope="module")
def network() -> HRNet:
    return filled(HRNet().eval(), 7)


def run(model: torch.nn.Module, pictures: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return model(torch.from_numpy(pictures.astype(np.float32))).numpy()


def frame(width: int, height: int, along: float, down: float) -> np.ndarray:
    """Waves (height, width, 3) uint8, by the rule of the golden arrays."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [np.rint(127.5 + 60 * np.sin((x + 37 * c) / along) + 60 * np.cos((y - 19 * c) / down)) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def heatmaps() -> np.ndarray:
    """(1, 17, 96, 72), by the rule: peaks in corners, at borders and inside, two alike, and a joint that is nowhere."""
    maps = (0.1 * np.random.default_rng([7, 96]).standard_normal((1, 17, 96, 72))).astype(np.float32)
    maps[0, 3] = -np.abs(maps[0, 3]) - np.float32(0.01)
    peaks = [(4, 0, 0), (5, 95, 71), (6, 1, 1), (7, 94, 70), (8, 2, 2), (9, 50, 30), (10, 20, 60), (10, 70, 10),
             (11, 40, 71)]  # fmt: skip
    for place in peaks:
        maps[(0, *place)] = 2
    maps[0, 9, 50, 29] = maps[0, 9, 50, 31] = maps[0, 9, 49, 30] = 0.5
    maps[0, 9, 51, 30] = 0.6
    return maps


# HRNet


def test_hrnet_has_the_published_names(network: HRNet, golden: dict[str, np.ndarray]) -> None:
    shapes = sorted((name, tuple(value.shape)) for name, value in network.state_dict().items())
    text = "\n".join(f"{name} {shape}" for name, shape in shapes)
    assert len(shapes) == 1754
    assert hashlib.sha256(text.encode()).hexdigest() == str(golden["hrnet_shapes_sha256"])


def test_hrnet_on_a_small_picture(network: HRNet, golden: dict[str, np.ndarray]) -> None:
    """The values of a network that met the published one at full size."""
    output = run(network, np.random.default_rng([7, 64]).standard_normal((1, 3, 64, 64)))
    np.testing.assert_allclose(output, golden["hrnet_small"], rtol=0, atol=0.01)


def test_crops(golden: dict[str, np.ndarray]) -> None:
    picture = frame(*FRAME, 53, 41)
    for number, box in enumerate(golden["boxes"]):
        centre, scale = person_crops.centre_and_scale(box)
        np.testing.assert_allclose(centre, golden["center"][number], atol=0.01)
        np.testing.assert_allclose(scale, golden["scale"][number], atol=1e-5)
        np.testing.assert_allclose(person_crops.affine(centre, scale), golden["affine"][number], atol=0.01)
        seen = person_crops.crop(picture, centre, scale)
        assert seen.shape == (3, person_crops.HEIGHT, person_crops.WIDTH)
        np.testing.assert_allclose(seen[:, ::8, ::8], golden["crop_input_stride8"][number], atol=0.02)


def test_joints_of_heatmaps(golden: dict[str, np.ndarray]) -> None:
    joints = person_crops.find_joints(heatmaps())[0]
    np.testing.assert_array_equal(joints[:, :2], golden["synthetic_refined"])
    for number in range(3):
        points = person_crops.to_frame(joints, golden["center"][number], golden["scale"][number])
        np.testing.assert_allclose(points[:, :2], golden["synthetic_keypoints"][number], atol=0.01)
        np.testing.assert_array_equal(points[:, 2], golden["synthetic_scores"][number])


# YOLOv3


def test_yolov3_on_a_small_picture(yolo: YoloV3, golden: dict[str, np.ndarray]) -> None:
    output = run(yolo, np.random.default_rng([7, 64]).random((1, 3, 64, 64)))
    expected = golden["yolov3_small"]
    assert output.shape == (1, 252, 85)
    assert (np.abs(output[..., :4] - expected[..., :4]) <= 3e-5 * (1 + np.abs(expected[..., :4]))).all()
    np.testing.assert_allclose(output[..., 4:], expected[..., 4:], rtol=0, atol=1e-5)


def test_letterbox(golden: dict[str, np.ndarray]) -> None:
    for width, height, *inner, left, top in golden["letterbox_geometry"].tolist():
        assert person_boxes.letterbox_place(width, height) == (left, top, *inner)
    square = person_boxes.letterbox(frame(480, 270, 23, 17))[None]
    np.testing.assert_allclose(square[..., ::8, ::8], golden["letterbox_input_stride8"], atol=1e-6)
    assert person_boxes.letterbox(frame(2000, 1, 23, 17)).shape == (3, 416, 416)


def test_people_of_boxes(golden: dict[str, np.ndarray]) -> None:
    people = person_boxes.find_people(golden["nms_in"])
    np.testing.assert_allclose(people, golden["nms_out"][:, 1:6], atol=1e-4)
    for width, height in (FRAME, FRAME[::-1]):
        expected = golden[f"person_boxes_{width}x{height}"]
        np.testing.assert_allclose(person_boxes.to_frame(people, width, height), expected, atol=0.011)
    assert person_boxes.find_people(golden["nms_in"] * 0).shape == (0, 5)


# Files of weights


def test_darknet_files_of_other_sizes(yolo_file: Path, tmp_path: Path) -> None:
    path, whole, model = tmp_path / hrnet.YOLO, yolo_file.stat().st_size, YoloV3()

    def refusal(size: int, place: int = 0, value: float = 0) -> str:
        """Of a file of zeros, but for one number."""
        with open(path, "wb") as file:
            file.truncate(size)
            file.seek(HEADER + 4 * place)
            file.write(np.float32(value).tobytes())
            file.truncate(size)
        with pytest.raises(InputError) as error:
            load_darknet(model, path, "get it")
        return str(error.value)

    assert (
        "has 62,001,756 numbers, and YOLOv3 has 62,001,757; it is cut short or of another network: get it"
        in refusal(whole - 4)
    )
    assert "62,001,758" in refusal(whole + 4)
    assert "cut short" in refusal(whole - 2)
    assert "cut short" in refusal(10)
    assert "not finite" in refusal(whole, 5, np.nan)
    first_variance = 3 * 32
    assert "variances below 0" in refusal(whole, first_variance, -1)


def test_hrnet_files_of_other_networks(network: HRNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / hrnet.HRNET
    state = network.state_dict()

    def refusal(content: object) -> str:
        monkeypatch.setattr(hrnet, "read_torch_file", lambda _: content)
        with pytest.raises(InputError) as error:
            hrnet.load_hrnet(network, path)
        return str(error.value)

    assert "of another network than HRNet-W48 (final_layer.weight)" in refusal(
        state | {"final_layer.weight": torch.zeros(16, 48, 1, 1)}
    )
    assert "more" in refusal({f"x{number}": torch.zeros(1) for number in range(9)})
    assert "no weights" in refusal([1, 2])
    assert "not finite (final_layer.bias)" in refusal(state | {"final_layer.bias": torch.full((17,), torch.nan)})
    old = {f"module.{name}": value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    monkeypatch.setattr(hrnet, "read_torch_file", lambda _: {"state_dict": old})
    hrnet.load_hrnet(network, path)
    monkeypatch.undo()
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=r"of another network than HRNet-W48 \(conv1.weight"):
        hrnet.load_hrnet(network, path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match=hrnet.HRNET):
        hrnet.load_hrnet(network, path)


def test_missing_weights_say_where_they_are_from(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"yolov3.weights: no such file; it is from https.*`python demo/models.py yolov3`"
    ):
        create_detector("hrnet", tmp_path)
    (tmp_path / hrnet.YOLO).write_bytes(b"")
    with pytest.raises(InputError, match=r"pose_hrnet_w48_384x288.pth: no such file; .*deep-high-resolution-net"):
        create_detector("hrnet", tmp_path)


# The detector


def test_the_detector_puts_them_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for the networks: two people are found, and every joint is in the middle of the box."""

    class Finder(torch.nn.Module):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            boxes = torch.zeros(1, 3, 85)
            boxes[0, :2, :4] = torch.tensor([[100.0, 208, 40, 100], [300, 208, 50, 120]])
            boxes[0, :2, 4] = torch.tensor([0.6, 0.9]) * (pictures.max() > 0.6)
            boxes[0, :, 5] = 1
            return boxes

    class Looker(torch.nn.Module):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            maps = torch.zeros(len(pictures), 17, 96, 72)
            maps[:, :, 48, 36] = 1.5
            return maps

    monkeypatch.setattr(hrnet, "YoloV3", Finder)
    monkeypatch.setattr(hrnet, "HRNet", Looker)
    monkeypatch.setattr(hrnet, "load_darknet", lambda *_: None)
    monkeypatch.setattr(hrnet, "load_hrnet", lambda *_: None)
    monkeypatch.setattr(hrnet.Path, "is_file", lambda _: True)
    detector = create_detector("hrnet")
    picture = np.full((416, 416, 3), 255, np.uint8)
    people = detector.detect(picture, 0.0)
    assert (people.shape, people.dtype) == ((2, 17, 3), np.float32)
    np.testing.assert_allclose(people[:, 0], [[300, 208, 1], [100, 208, 1]], atol=0.01)
    assert detector.detect(np.zeros_like(picture), 0.1).shape == (0, 17, 3)  # the published demo repeats the last ones
    detector.close()


# At full size


@needs_shared
def test_networks_at_full_size(network: HRNet, yolo: YoloV3) -> None:
    assert SHARED is not None
    with np.load(SHARED / "hrnet_w48.npz") as data:
        output = run(network, np.random.default_rng([7, 384]).standard_normal((1, 3, 384, 288)))
        np.testing.assert_allclose(output, data["output"], rtol=0, atol=0.01)
        joints = person_crops.find_joints(output)[0]
        for number in range(3):
            points = person_crops.to_frame(joints, data["center"][number], data["scale"][number])
            np.testing.assert_allclose(points[:, :2], data["network_keypoints"][number], atol=0.01)
            np.testing.assert_allclose(points[:, 2], data["network_scores"][number], atol=0.01)
    with np.load(SHARED / "yolov3.npz") as data:
        boxes = run(yolo, np.random.default_rng([7, 416]).random((1, 3, 416, 416)))[0]
        expected = data["box_obj"]
        assert (np.abs(boxes[:, :4] - expected[:, :4]) <= 3e-5 * (1 + np.abs(expected[:, :4]))).all()
        np.testing.assert_allclose(boxes[:, 4], expected[:, 4], rtol=0, atol=1e-5)
        np.testing.assert_allclose(boxes[::7, 5:], data["cls_stride7"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(boxes[:, 5:].astype(np.float64).sum(axis=1), data["cls_row_sum"], atol=1e-3)
