"""TensorFlow.js graph models, read and run by torch; MoveNet around them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from common.errors import InputError
from demo import models, movenet, tfjs


def text(word: str) -> str:
    return base64.b64encode(word.encode()).decode()


def integers(*numbers: int) -> dict:
    return {"list": {"i": [str(number) for number in numbers]}}


def write(folder: Path, nodes: list[dict], weights: dict[str, np.ndarray], output: str) -> Path:
    """A tiny graph model: float weights in half precision, as the real ones have them."""
    entries, data = [], b""
    for name, array in weights.items():
        entry = {"name": name, "shape": list(array.shape), "dtype": "int32"}
        if array.dtype.kind == "f":
            entry |= {"dtype": "float32", "quantization": {"dtype": "float16", "original_dtype": "float32"}}
        data += array.astype("<f2" if array.dtype.kind == "f" else "<i4").tobytes()
        entries.append(entry)
    nodes = [{"name": name, "op": "Const"} for name in weights] + nodes + [{"name": "input", "op": "Placeholder"}]
    model = {
        "modelTopology": {"node": nodes},
        "signature": {"outputs": {"output": {"name": f"{output}:0"}}},
        "weightsManifest": [{"paths": ["tiny.bin"], "weights": entries}],
    }
    (folder / "tiny.bin").write_bytes(data)
    (folder / "tiny.json").write_text(json.dumps(model))
    return folder / "tiny.json"


def convolution(op: str, stride: int, *after: str) -> list[dict]:
    attributes = {
        "strides": integers(1, stride, stride, 1),
        "padding": {"s": text("SAME")},
        "fused_ops": {"list": {"s": [text(name) for name in ("BiasAdd", *after)]}},
    }
    return [{"name": "end", "op": op, "input": ["input", "weights", "bias"], "attr": attributes}]


@pytest.mark.parametrize(("height", "width"), [(6, 9), (7, 8)])
def test_a_convolution_is_as_tensorflow_pads_it(tmp_path: Path, height: int, width: int) -> None:
    rng = np.random.default_rng(1)
    weights, bias = rng.integers(-4, 5, (3, 3, 2, 5)) / 4.0, rng.integers(-4, 5, 5) / 4.0
    path = write(tmp_path, convolution("_FusedConv2D", 2, "Relu"), {"weights": weights, "bias": bias}, "end")
    picture = rng.normal(size=(1, height, width, 2)).astype(np.float32)
    (result,) = tfjs.GraphModel(path)(torch.from_numpy(picture))
    rows, columns = -(-height // 2), -(-width // 2)
    low = [max((count - 1) * 2 + 3 - size, 0) // 2 for count, size in ((rows, height), (columns, width))]
    padded = np.pad(picture[0], ((low[0], 3), (low[1], 3), (0, 0)))
    expected = [
        [np.einsum("hwi,hwio->o", padded[2 * y : 2 * y + 3, 2 * x : 2 * x + 3], weights) for x in range(columns)]
        for y in range(rows)
    ]
    np.testing.assert_allclose(result[0], np.maximum(np.array(expected) + bias, 0), atol=1e-5)


def test_each_channel_has_its_own_depthwise_kernel(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    weights, bias = rng.integers(-4, 5, (3, 3, 4, 1)) / 4.0, np.zeros(4)
    path = write(
        tmp_path, convolution("FusedDepthwiseConv2dNative", 1, "Relu6"), {"weights": weights, "bias": bias}, "end"
    )
    picture = torch.from_numpy(rng.normal(size=(1, 5, 6, 4)).astype(np.float32))
    (result,) = tfjs.GraphModel(path)(picture)
    for channel in range(4):
        kernel = torch.from_numpy(weights[None, None, :, :, channel, 0]).float()
        expected = functional.relu6(functional.conv2d(picture[None, ..., channel], kernel, padding=1))
        torch.testing.assert_close(result[..., channel], expected[0])


def test_nodes_run_after_what_they_take_and_results_have_numbers(tmp_path: Path) -> None:
    count, axis = np.array(2, np.int32), np.array(0, np.int32)
    nodes = [
        {"name": "end", "op": "Pack", "input": ["top", "top:1", "parts:1"], "attr": {"axis": {"i": "0"}}},
        {"name": "parts", "op": "Split", "input": ["axis", "input", "^top"], "attr": {"num_split": {"i": "2"}}},
        {"name": "top", "op": "TopKV2", "input": ["input", "count"]},
    ]
    path = write(tmp_path, nodes, {"count": count, "axis": axis}, "end")
    (result,) = tfjs.GraphModel(path)(torch.tensor([1.0, 5.0, 5.0, 2.0]))
    assert result.tolist() == [[5, 5], [1, 2], [5, 2]]


@pytest.mark.parametrize(
    ("masks", "expected"),
    [({"new_axis_mask": 1}, (1, 2, 4)), ({"shrink_axis_mask": 2}, (2,)), ({"begin_mask": 3, "end_mask": 3}, (3, 4))],
)
def test_slices(tmp_path: Path, masks: dict[str, int], expected: tuple[int, ...]) -> None:
    numbers = {"first": [1, 1], "stop": [3, 3], "step": [1, 1]}
    weights = {name: np.array(values, np.int32) for name, values in numbers.items()}
    attributes = {name: {"i": str(mask)} for name, mask in masks.items()}
    node = {"name": "end", "op": "StridedSlice", "input": ["input", *weights], "attr": attributes}
    (result,) = tfjs.GraphModel(write(tmp_path, [node], weights, "end"))(torch.arange(12).reshape(3, 4))
    assert result.shape == expected


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        tfjs.GraphModel(path)
    assert "\n" not in str(error.value)
    assert "python demo/models.py movenet" in str(error.value)
    return str(error.value)


def test_bad_models_are_one_sentence(tmp_path: Path) -> None:
    weights = {"weights": np.zeros((1, 1, 2, 2)), "bias": np.zeros(2)}
    good = convolution("_FusedConv2D", 1)
    path = write(tmp_path, good, weights, "end")
    data = (tmp_path / "tiny.bin").read_bytes()
    for wrong, said in ((data[:-1], "cut off"), (data + b"\0", "bytes")):
        (tmp_path / "tiny.bin").write_bytes(wrong)
        assert said in refusal(path)
    (tmp_path / "tiny.bin").unlink()
    assert "tiny.bin" in refusal(path)
    assert "Softmax" in refusal(write(tmp_path, [{"name": "end", "op": "Softmax", "input": ["input"]}], weights, "end"))
    circle = [{"name": name, "op": "Abs", "input": [other]} for name, other in (("a", "b"), ("b", "a"))]
    assert "circle" in refusal(write(tmp_path, circle, weights, "a"))
    assert refusal(write(tmp_path, [{"name": "end", "op": "Abs", "input": ["nobody"]}], weights, "end"))
    for content in (b"", b"[]", b"{}", b"\xff\xfe", b"<!DOCTYPE html>"):
        path.write_bytes(content)
        refusal(path)
    assert "no such" in refusal(tmp_path / "none.json").lower()


@pytest.mark.parametrize("size", [(994, 1768), (1768, 994), (100, 100), (3, 4000)])
def test_people_are_where_the_small_picture_has_them(size: tuple[int, int]) -> None:
    small, scale = movenet.letterbox(np.full((*size, 3), 9, np.uint8))
    height, width = small.shape[:2]
    assert height % movenet.STEP == width % movenet.STEP == 0
    assert max(height, width) == movenet.SIDE
    found = np.zeros((1, 6, 56), np.float32)
    found[0, 2, [0, 1, 2, 55]] = 0.5, 0.25, 0.75, 0.9
    people = movenet.people_of(found, height, width, scale)
    assert people.shape == (1, 17, 3)
    np.testing.assert_allclose(people[0, 0], [0.25 * width / scale, 0.5 * height / scale, 0.75], rtol=1e-5)


def test_the_square_holds_the_points_that_are_seen() -> None:
    person = np.zeros((17, 3), np.float32)
    person[:5] = [[10, 20, 1], [30, 20, 1], [10, 100, 1], [30, 100, 1], [900, 900, 0.01]]
    region = movenet.region_of(person)
    assert (region.x, region.y, region.side) == (20, 60, 80 * movenet.REACH)
    assert movenet.region_of(np.zeros((17, 3), np.float32)).side > 0


def test_other_models_are_refused() -> None:
    with pytest.raises(InputError, match="multipose or thunder"):
        movenet.MoveNet("heavy")


@pytest.mark.skipif(
    not all((models.FOLDER / name).is_file() for name in models.MODELS["movenet"]), reason="the models are not there"
)
def test_movenet_sees_nobody_in_noise() -> None:
    detector = movenet.MoveNet()
    noise = np.random.default_rng(1).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    assert detector.detect(noise, 0.0).shape == (0, 17, 3)
    detector.close()
