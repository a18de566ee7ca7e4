"""Reads TensorFlow.js graph models (model.json and its .bin) and runs them by torch, without TensorFlow.

Only the operators that pose networks such as MoveNet use. Pictures stay (batch, height, width, channels), as there.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from common.errors import InputError

ADVICE = "give a TensorFlow.js graph model, as `python demo/models.py movenet` gets it"
CONVOLUTIONS = ("_FusedConv2D", "Conv2D")
DEPTHWISE = ("FusedDepthwiseConv2dNative", "DepthwiseConv2dNative")
TYPES = {"DT_FLOAT": torch.float32, "DT_INT32": torch.int64, "DT_BOOL": torch.bool}
STORED = {"float32": "<f4", "int32": "<i4", "bool": "|b1", "float16": "<f2"}

Value = Any
"""A tensor, or a tuple of tensors where an operator has several results."""


class Attributes(dict):
    """The attributes of a node, as model.json has them."""

    def number(self, name: str, default: int = 0) -> int:
        """A whole number."""
        return int(self[name]["i"]) if name in self else default

    def numbers(self, name: str) -> list[int]:
        """A list of whole numbers."""
        return [int(number) for number in self.get(name, {}).get("list", {}).get("i", [])]

    def flag(self, name: str) -> bool:
        """A yes or no."""
        return bool(self.get(name, {}).get("b", False))

    def text(self, name: str) -> str:
        """A text."""
        return base64.b64decode(self.get(name, {}).get("s", "")).decode()

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        return [base64.b64decode(text).decode() for text in self.get(name, {}).get("list", {}).get("s", [])]


class GraphModel:
    """A TensorFlow.js graph model that runs.

    Raises InputError where the files are missing, damaged or use an operator that is not known here.
    """

    def __init__(self, path: Path) -> None:
        try:
            model = json.loads(path.read_bytes())
            nodes, (manifest,) = model["modelTopology"]["node"], model["weightsManifest"]
            data = b"".join((path.parent / Path(name).name).read_bytes() for name in manifest["paths"])
            self._values: dict[str, Value] = {
                name: torch.from_numpy(array) for name, array in read_weights(manifest["weights"], data).items()
            }
            self._nodes = [self._prepared(node) for node in _in_order(nodes) if node["op"] != "Const"]
            self._input = next(node["name"] for node in nodes if node["op"] == "Placeholder")
            ends = model["signature"]["outputs"].values()
            self._outputs = [end["name"].partition(":")[0] for end in ends]
        except OSError as error:
            raise InputError(f"{error.filename}: cannot be read ({error.strerror}); {ADVICE}") from error
        except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
            reason = " ".join(str(error).split())[:120] or "it has no input"
            raise InputError(f"{path}: is no graph model that can be read ({reason}); {ADVICE}") from error

    def _prepared(self, node: dict) -> tuple[str, Callable[..., Value] | None, list[tuple[str, int]], Attributes]:
        """The node's name, what it does, what it takes (name, number among that node's results), its attributes."""
        operator = node["op"]
        if operator != "Placeholder" and operator not in OPERATORS:
            raise ValueError(f"its operator {operator} is not known")
        inputs = [name for name in node.get("input", []) if not name.startswith("^")]
        taken = [(name.partition(":")[0], int(name.partition(":")[2] or 0)) for name in inputs]
        if operator in CONVOLUTIONS:
            weights = self._values[taken[1][0]]  # (H, W, in, out)
            self._values[node["name"] + "/weights"] = weights.permute(3, 2, 0, 1).contiguous()  # (out, in, H, W)
            taken[1] = (node["name"] + "/weights", 0)
        elif operator in DEPTHWISE:
            weights = self._values[taken[1][0]]  # (H, W, C, M)
            rows = weights.permute(2, 3, 0, 1).flatten(0, 1)  # (C * M, H, W)
            self._values[node["name"] + "/weights"] = rows[:, None].contiguous()  # (C * M, 1, H, W)
            taken[1] = (node["name"] + "/weights", 0)
        return node["name"], OPERATORS.get(operator), taken, Attributes(node.get("attr") or {})

    @torch.inference_mode()
    def __call__(self, picture: torch.Tensor) -> list[torch.Tensor]:
        """The outputs for an input in the shape that the model wants."""
        values = {**self._values, self._input: picture}
        for name, operator, taken, attributes in self._nodes:
            if operator is not None:
                given = [values[source] for source, _ in taken]
                given = [
                    value[number] if isinstance(value, tuple) else value
                    for value, (_, number) in zip(given, taken, strict=True)
                ]
                values[name] = operator(given, attributes)
        return [values[name] for name in self._outputs]


def read_weights(entries: list[dict], data: bytes) -> dict[str, np.ndarray]:
    """The arrays that lie one after the other in `data`, by name: float32, int64 or bool; half precision is widened.

    Raises ValueError where they do not fill it exactly, or are packed in another way.
    """
    arrays: dict[str, np.ndarray] = {}
    start = 0
    for entry in entries:
        packed = entry.get("quantization", {}).get("dtype", entry["dtype"])
        if packed not in STORED:
            raise ValueError(f"its weights are {packed}, not one of {', '.join(STORED)}")
        dtype, count = np.dtype(STORED[packed]), int(np.prod(entry["shape"], dtype=np.int64))
        end = start + count * dtype.itemsize
        if count < 0 or end > len(data):
            raise ValueError(f"its weights are cut off: {len(data):,} bytes end in {entry['name']}")
        array = np.frombuffer(data, dtype, count, start).reshape(entry["shape"])
        wide = {"f": np.float32, "i": np.int64, "b": np.bool_}[dtype.kind]
        arrays[entry["name"]], start = array.astype(wide), end
    if start != len(data):
        raise ValueError(f"its weights are {start:,} bytes, but the file has {len(data):,}")
    return arrays


def _in_order(nodes: list[dict]) -> list[dict]:
    """Nodes so that each comes after what it takes. Raises ValueError where they go round in a circle."""
    by_name, done, order = {node["name"]: node for node in nodes}, set(), []
    for last in nodes:
        stack = [(last, iter(last.get("input", [])))]
        waiting = {last["name"]}
        while stack:
            node, rest = stack[-1]
            source = next((name.lstrip("^").partition(":")[0] for name in rest), None)
            if source is None:
                stack.pop()
                waiting.discard(node["name"])
                if node["name"] not in done:
                    done.add(node["name"])
                    order.append(node)
            elif source in waiting:
                raise ValueError(f"its nodes go round in a circle at {source}")
            elif source not in done:
                stack.append((by_name[source], iter(by_name[source].get("input", []))))
                waiting.add(source)
    return order


# Operators
# ---------------------------------------------------------------------------------------------------------------------


def _padded(picture: torch.Tensor, size: list[int], strides: list[int], padding: str, fill: float) -> torch.Tensor:
    """A picture (B, C, H, W) with the border that TensorFlow's padding "SAME" gives it, the odd pixel last."""
    if padding == "VALID":
        return picture
    if padding != "SAME":
        raise ValueError(f"padding {padding!r} is not known")
    border: list[int] = []
    for length, kernel, stride in zip(picture.shape[:1:-1], size[::-1], strides[::-1], strict=True):
        lacking = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        border += [lacking // 2, lacking - lacking // 2]
    return functional.pad(picture, border, value=fill) if any(border) else picture


def _convolution(given: list[torch.Tensor], attributes: Attributes) -> torch.Tensor:
    picture, weights, *bias = given
    after = [name for name in attributes.texts("fused_ops") if name != "BiasAdd"]
    if attributes.numbers("dilations") not in ([], [1, 1, 1, 1]) or attributes.text("data_format") == "NCHW":
        raise ValueError("a convolution with holes or with channels first is not known")
    picture, strides = picture.permute(0, 3, 1, 2), attributes.numbers("strides")[1:3]  # (B, C, H, W)
    size = list(weights.shape[2:])
    padded = _padded(picture, size, strides, attributes.text("padding"), 0.0)
    groups = picture.shape[1] // weights.shape[1]
    result = functional.conv2d(padded, weights, bias[0] if bias else None, stride=strides, groups=groups)
    for name in after:
        result = {"Relu": functional.relu, "Relu6": functional.relu6}[name](result)
    return result.permute(0, 2, 3, 1)  # (B, H, W, C)


def _max_pool(given: list[torch.Tensor], attributes: Attributes) -> torch.Tensor:
    picture = given[0].permute(0, 3, 1, 2)  # (B, C, H, W)
    size, strides = attributes.numbers("ksize")[1:3], attributes.numbers("strides")[1:3]
    padded = _padded(picture, size, strides, attributes.text("padding"), float("-inf"))
    return functional.max_pool2d(padded, size, strides).permute(0, 2, 3, 1)  # (B, H, W, C)


def _resize(given: list[torch.Tensor], attributes: Attributes) -> torch.Tensor:
    if attributes.flag("align_corners") or not attributes.flag("half_pixel_centers"):
        raise ValueError("a way of resizing is not known")
    size = given[1].tolist()
    resized = functional.interpolate(given[0].permute(0, 3, 1, 2), size, mode="bilinear", align_corners=False)
    return resized.permute(0, 2, 3, 1)  # (B, H, W, C)


def _strided_slice(given: list[torch.Tensor], attributes: Attributes) -> torch.Tensor:
    begin, end, step = (numbers.tolist() for numbers in given[1:])
    if attributes.number("ellipsis_mask"):
        raise ValueError("a slice with an ellipsis is not known")

    def bit(mask: str, axis: int) -> bool:
        return bool(attributes.number(mask) >> axis & 1)

    index: list[Any] = []
    for axis in range(len(begin)):
        if bit("new_axis_mask", axis):
            index.append(None)
        elif bit("shrink_axis_mask", axis):
            index.append(begin[axis])
        else:
            first = None if bit("begin_mask", axis) else begin[axis]
            index.append(slice(first, None if bit("end_mask", axis) else end[axis], step[axis]))
    return given[0][tuple(index)]


def _top_k(given: list[torch.Tensor], attributes: Attributes) -> tuple[torch.Tensor, torch.Tensor]:
    """The first of equal values comes first, always."""
    values, order = given[0].sort(dim=-1, descending=True, stable=True)
    count = int(given[1])
    return values[..., :count], order[..., :count]


def _total(given: list[torch.Tensor], attributes: Attributes) -> torch.Tensor:
    return given[0].sum(dim=given[1].reshape(-1).tolist(), keepdim=attributes.flag("keep_dims"))


def _largest(given: list[torch.Tensor], attributes: Attributes) -> torch.Tensor:
    return given[0].amax(dim=given[1].reshape(-1).tolist(), keepdim=attributes.flag("keep_dims"))


OPERATORS: dict[str, Callable[[list[Any], Attributes], Value]] = {
    **dict.fromkeys((*CONVOLUTIONS, *DEPTHWISE), _convolution),
    "Abs": lambda given, _: given[0].abs(),
    "AddN": lambda given, _: sum(given[1:], given[0]),
    "AddV2": lambda given, _: given[0] + given[1],
    "ArgMax": lambda given, _: given[0].argmax(dim=int(given[1])),
    "Cast": lambda given, attributes: given[0].to(TYPES[attributes["DstT"]["type"]]),
    "ConcatV2": lambda given, _: torch.cat(given[:-1], dim=int(given[-1])),
    "Equal": lambda given, _: given[0] == given[1],
    "Exp": lambda given, _: given[0].exp(),
    "ExpandDims": lambda given, _: given[0].unsqueeze(int(given[1])),
    "Fill": lambda given, _: torch.full(given[0].tolist(), given[1].item(), dtype=given[1].dtype),
    "FloorDiv": lambda given, _: torch.div(given[0], given[1], rounding_mode="floor"),
    "GatherNd": lambda given, _: given[0][given[1].unbind(-1)],
    "Greater": lambda given, _: given[0] > given[1],
    "GreaterEqual": lambda given, _: given[0] >= given[1],
    "Identity": lambda given, _: given[0],
    "Less": lambda given, _: given[0] < given[1],
    "LogicalAnd": lambda given, _: given[0] & given[1],
    "Max": _largest,
    "MaxPool": _max_pool,
    "Maximum": lambda given, _: torch.maximum(given[0], given[1]),
    "Minimum": lambda given, _: torch.minimum(given[0], given[1]),
    "Mul": lambda given, _: given[0] * given[1],
    "Pack": lambda given, attributes: torch.stack(given, dim=attributes.number("axis")),
    "Range": lambda given, _: torch.arange(*(number.item() for number in given), dtype=given[0].dtype),
    "RealDiv": lambda given, _: given[0] / given[1],
    "Reciprocal": lambda given, _: given[0].reciprocal(),
    "Reshape": lambda given, _: given[0].reshape(given[1].tolist()),
    "ResizeBilinear": _resize,
    "Select": lambda given, _: torch.where(given[0], given[1], given[2]),
    "Shape": lambda given, _: torch.tensor(given[0].shape),
    "Sigmoid": lambda given, _: given[0].sigmoid(),
    "Size": lambda given, _: torch.tensor(given[0].numel()),
    "Split": lambda given, attributes: given[1].chunk(attributes.number("num_split"), dim=int(given[0])),
    "Sqrt": lambda given, _: given[0].sqrt(),
    "SquaredDifference": lambda given, _: (given[0] - given[1]) ** 2,
    "Squeeze": lambda given, attributes: given[0].squeeze(tuple(attributes.numbers("squeeze_dims"))),
    "StridedSlice": _strided_slice,
    "Sub": lambda given, _: given[0] - given[1],
    "Sum": _total,
    "Tile": lambda given, _: given[0].repeat(given[1].tolist()),
    "TopKV2": _top_k,
    "Unpack": lambda given, attributes: given[0].unbind(attributes.number("axis")),
}
"""By name, as in model.json: what is given -> the result."""
