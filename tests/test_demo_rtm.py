"""RTMPose and RTMO through rtmlib, on stand-ins of the same signature: the real weights cannot be fetched here."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from demo import rtm
from demo.detect import create_detector

PICTURE = np.full((200, 400, 3), 255, np.uint8)


def test_without_rtmlib_the_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    for name in ("rtmpose", "rtmo"):
        with pytest.raises(InputError, match="pip install --no-deps rtmlib"):
            create_detector(name)


def write_network(path: Path, inputs: list[int], outputs: dict[str, np.ndarray]) -> None:
    """A network whose outputs are these, times whether the picture is bright (its largest value over 100)."""
    onnx = pytest.importorskip("onnx")
    helper, numbers = onnx.helper, onnx.numpy_helper
    nodes = [
        helper.make_node("ReduceMax", ["input"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "limit"], ["bright"]),
        helper.make_node("Cast", ["bright"], ["share"], to=onnx.TensorProto.FLOAT),
    ]
    constants = [numbers.from_array(np.array(1, np.float32), "limit")]
    results = []
    for name, value in outputs.items():
        constants.append(numbers.from_array(value.astype(np.float32), f"{name}_bright"))
        nodes.append(helper.make_node("Mul", [f"{name}_bright", "share"], [name]))
        results.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, value.shape))
    given = helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, inputs)
    graph = helper.make_graph(nodes, "stand-in", [given], results, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())


def test_rtmpose_on_a_stand_in(tmp_path: Path) -> None:
    pytest.importorskip("rtmlib")
    pytest.importorskip("onnxruntime")
    # With the suppression of doubles inside, as the files that rtmlib fetches: corners and score.
    boxes = np.array([[[0, 0, 100, 200, 0.9], [300, 50, 400, 150, 0.8], [0, 0, 9, 9, 0.1]]], np.float32)
    write_network(tmp_path / rtm.FINDER, [1, 3, 400, 400], {"dets": boxes, "labels": np.zeros((1, 3))})
    along, down = np.zeros((1, 17, 384)), np.zeros((1, 17, 512))
    along[:, :, 192] = down[:, :, 256] = 0.75  # the middle of a crop of 192 x 256
    write_network(tmp_path / rtm.LOOKER, [1, 3, 256, 192], {"simcc_x": along, "simcc_y": down})
    detector = create_detector("rtmpose", tmp_path)
    people = detector.detect(PICTURE, 0.0)
    assert (people.shape, people.dtype) == ((2, 17, 3), np.float32)
    np.testing.assert_allclose(people[:, 3], [[50, 100, 0.75], [350, 100, 0.75]], atol=1e-4)
    dark = np.zeros((400, 400, 3), np.uint8)  # of the size that needs no grey border
    assert detector.detect(dark, 0.1).shape == (0, 17, 3)
    detector.close()


def test_rtmo_on_a_stand_in(tmp_path: Path) -> None:
    pytest.importorskip("rtmlib")
    pytest.importorskip("onnxruntime")
    boxes = np.array([[[0, 0, 100, 200, 0.9], [300, 50, 400, 150, 0.8]]], np.float32)
    joints = np.full((1, 2, 17, 3), 0.5, np.float32)
    joints[0, :, :, 0] = [[40], [360]]
    write_network(tmp_path / rtm.LOOKER, [1, 3, 400, 400], {"dets": boxes, "keypoints": joints})
    detector = create_detector("rtmo", tmp_path)
    people = detector.detect(PICTURE, 0.0)
    np.testing.assert_allclose(people[:, 0], [[40, 0.5, 0.5], [360, 0.5, 0.5]], atol=1e-4)
    dark = np.zeros((400, 400, 3), np.uint8)  # of the size that needs no grey border
    assert detector.detect(dark, 0.1).shape == (0, 17, 3)


def test_files_that_are_no_networks(tmp_path: Path) -> None:
    pytest.importorskip("rtmlib")
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match=r"none: no such folder; give --detector_model lightweight"):
        create_detector("rtmo", tmp_path / "none")
    with pytest.raises(InputError, match=r"pose.onnx: no such file"):
        create_detector("rtmo", tmp_path)
    (tmp_path / rtm.LOOKER).write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be fetched or read"):
        create_detector("rtmo", tmp_path)
